"""Mixed precision: convolutions in bfloat16, while variables, loss and the saved file stay in single precision."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras

from segmentation.backend import has_accelerator

MIXED, SINGLE = "mixed_bfloat16", "float32"


def use_mixed_precision(model: keras.Model, mixed: bool) -> None:
    """Let a network train in bfloat16, or not.

    By Keras' own policy, layer by layer, except where TensorFlow trains on a CPU: its rewriting of the graph casts only
    what oneDNN convolves faster in bfloat16, and is faster than the policy.

    Args:
        model: A network in single precision that has not been trained yet.
        mixed: Whether it shall.
    """
    rewritten = keras.config.backend() == "tensorflow" and not has_accelerator()
    if rewritten:
        import tensorflow as tf

        tf.config.optimizer.set_experimental_options({"auto_mixed_precision_onednn_bfloat16": mixed})
    elif mixed:
        outputs = {layer.name for layer in model.layers if layer.output is model.output}
        for layer in model.layers:
            # Probabilities have more digits than bfloat16, and a policy of its own is a layer's own business.
            if layer.name not in outputs:
                layer.dtype_policy = MIXED


@contextmanager
def single_precision(model: keras.Model) -> Iterator[None]:
    """Let the layers say that they compute in single precision while the block saves them: what loads them shall.

    Their variables are in single precision anyway.
    """
    mixed = [layer for layer in model.layers if layer.dtype_policy.name == MIXED]
    try:
        for layer in mixed:
            layer.dtype_policy = SINGLE
        yield
    finally:
        for layer in mixed:
            layer.dtype_policy = MIXED
