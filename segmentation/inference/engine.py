"""What computes a network: ONNX Runtime where the network is of our layers, Keras where it is not.

On request OpenVINO, less exactly and faster.
"""

import os
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import onnxruntime

from segmentation.backend import load_backend
from segmentation.errors import BackendError, RunError
from segmentation.inference.device import check_device, providers
from segmentation.inference.model_file import load_keras_model
from segmentation.inference.onnx_file import Network, open_network
from segmentation.inference.onnx_graph import UnknownNetworkError

if TYPE_CHECKING:
    import keras
    import openvino

CORES = min(16, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
"""So many batches are computed at once: one a core that this process may use, up to what memory they may take."""


class Engine(NamedTuple):
    """A network ready to compute, from any number of threads at once.

    Args:
        input_shape: (height, width, channels) of the images that it was made for; 0 where any will do.
        output_shape: (height, width, classes) of its probabilities.
        forward: From (batch, *input_shape) uint8 to (batch, *output_shape) float32.
        any_size: Whether it also takes images twice as high and wide, and gives as many more probabilities.
        window: Side of the larger images that it takes best, where that is not twice its patches'; 0 if none is.
        gives_probabilities: Whether it tells how probable each class is; what only names classes gives 1 and 0.
    """

    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    forward: Callable[[np.ndarray], np.ndarray]
    any_size: bool = False
    window: int = 0
    gives_probabilities: bool = True


Check = Callable[[Engine], None]
"""What looks at an engine before it is used. If it raises, an ONNX file that was found is made anew."""


def compute_once(engine: Engine) -> None:
    """Let a network compute an image: what it cannot shows here, not later."""
    engine.forward(np.zeros((1, *engine.input_shape), np.uint8))


def load_engine(path: Path, check: Check = compute_once) -> Engine:
    """Return the network of a ``.keras`` file.

    ONNX Runtime is ready within a second, where importing TensorFlow alone takes several, and is as exact: classes are
    the same but for pixels whose two best classes are equally probable up to the last digit.

    Args:
        path: The file.
        check: Looks at the engine.

    Raises:
        RunError: If the network cannot be loaded; a broken file raises what its readers raise.
        BackendError: If it has layers that only Keras computes, and Keras cannot be loaded; or if the environment asks
            for a device of another kind than `device.providers_for` knows.
    """
    try:
        return onnx_engine(path, check)
    except UnknownNetworkError:
        engine = keras_engine(path)
        check(engine)
        return engine


def onnx_engine(path: Path, check: Check = compute_once) -> Engine:
    """Return a network of our layers, computed by ONNX Runtime.

    Args:
        path: A ``.keras`` file.
        check: As in `load_engine`.

    Raises:
        UnknownNetworkError: If it has others; otherwise as in `load_engine`.
    """

    def use(network: Network) -> Engine:
        check(engine := _on_runtime(network))
        return engine

    return open_network(path, use)


def _on_runtime(network: Network) -> Engine:
    options = onnxruntime.SessionOptions()
    # A batch for each core is done in two thirds of the time that all cores take for one batch after the other.
    options.intra_op_num_threads = 1
    asked = providers()
    session = onnxruntime.InferenceSession(network.content, options, providers=asked)
    check_device(session, asked)

    def forward(batch: np.ndarray) -> np.ndarray:
        return session.run(["probabilities"], {"images": batch})[0]

    return Engine(network.input_shape, network.output_shape, forward, network.any_size)


@cache
def openvino_core() -> "openvino.Core":
    """Return OpenVINO's core, the only one that this process ever has.

    Each core puts a signal stack of its own in the place of the thread's; where two come and go, one that has been
    freed stays, and the next Ctrl-C crashes the process.

    Raises:
        BackendError: If OpenVINO is not installed.
    """
    try:
        import openvino
    except ImportError as error:
        raise BackendError("bfloat16 needs a package that is not installed: pip install openvino") from error
    return openvino.Core()


def bfloat16_engine(path: Path, check: Check = compute_once) -> Engine:
    """Return a network of our layers, computed by OpenVINO with numbers of 16 bits: in little more than half the time.

    A few pixels in a thousand get another class, those whose two best classes are almost as probable.

    Args:
        path: A ``.keras`` file.
        check: As in `load_engine`.

    Raises:
        BackendError: If OpenVINO is not installed, or the processor has no such arithmetic.
        RunError: If it has others, or as in `load_engine`.
    """
    if "BF16" not in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise BackendError("This machine's processor does not compute in bfloat16: predict without it.")

    def use(network: Network) -> Engine:
        check(engine := _on_openvino(network))
        return engine

    try:
        return open_network(path, use)
    except (UnknownNetworkError, RuntimeError) as error:  # OpenVINO's are of the latter kind
        name = f"{path.name} of {path.parent.name}"
        raise RunError(f"{name} cannot be computed in bfloat16: predict without it.") from error


def _on_openvino(network: Network) -> Engine:
    core, turn = openvino_core(), threading.Lock()
    options = {
        "INFERENCE_PRECISION_HINT": "bf16",
        "INFERENCE_NUM_THREADS": CORES,
        "NUM_STREAMS": CORES,  # a batch for each core, as on ONNX Runtime
        "ENABLE_CPU_PINNING": False,  # other processes on this machine may predict, too
    }

    @cache
    def of_size(height: int, width: int) -> "openvino.CompiledModel":
        model = core.read_model(network.content)
        model.reshape([-1, height, width, network.input_shape[-1]])
        return core.compile_model(model, "CPU", options)

    def forward(batch: np.ndarray) -> np.ndarray:
        with turn:  # a size that is new is compiled once
            compiled = of_size(*batch.shape[1:3])
        return compiled.infer_new_request(batch)[0]

    return Engine(network.input_shape, network.output_shape, forward, network.any_size)


def keras_engine(path: Path) -> Engine:
    """Return any network, computed by Keras and its backend.

    Raises:
        BackendError: If these cannot be loaded.
        RunError: If the network cannot be.
    """
    backend = load_backend()
    model = load_keras_model(path)
    input_shape, output_shape = (
        tuple(length or 0 for length in shape[1:]) for shape in (model.input_shape, model.output_shape)
    )
    return Engine(input_shape, output_shape, keras_forward(model, backend, "uint8"))


def keras_forward(model: "keras.Model", backend: str, dtype: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return what computes a Keras model of one input, from any number of threads at once.

    Args:
        model: The model.
        backend: What Keras computes with.
        dtype: Of the images, (batch, height, width, bands).
    """
    if backend != "tensorflow":
        lock = threading.Lock()  # Keras keeps a call's state in the model

        def forward_alone(batch: np.ndarray) -> np.ndarray:
            with lock:
                return model.predict_on_batch(batch)

        return forward_alone
    import tensorflow as tf

    # One traced call costs milliseconds where `model.predict` costs a tenth of a second, and grows no memory.
    forward = tf.function(
        lambda images: model(images, training=False),
        input_signature=[tf.TensorSpec((None, *model.input_shape[1:]), dtype)],
        autograph=False,  # there is no Python control flow to translate, and it warns of lambdas
    )
    return lambda batch: forward(batch).numpy()
