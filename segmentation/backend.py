"""Keras and what it computes with, loaded where a model is used: that takes seconds, and it may be missing or broken.

The environment variable KERAS_BACKEND chooses it.
"""

import gc
import importlib.util
import os
import sys

from segmentation.errors import BackendError

VARIABLE = "KERAS_BACKEND"
"""Keras' own environment variable."""

BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}
"""What Keras can train with, by its name for it; the first is the default."""

PACKAGES = {
    "tensorflow": "install it anew with pip install -r requirements.txt",
    "jax": "pip install jax",
    "torch": "pip install torch",
}
"""What to do where one is missing."""


def chosen_backend() -> str:
    """Return the name of the backend that the environment asks for."""
    return os.environ.get(VARIABLE) or next(iter(BACKENDS))


def installed_backends() -> list[str]:
    """Return the names of the backends on this machine, the chosen one first, without importing any."""
    found = [name for name in BACKENDS if importlib.util.find_spec(name)]
    return sorted(found, key=lambda name: name != chosen_backend())


def load_backend() -> str:
    """Import Keras with the chosen backend, so that what needs them can be imported after this; return its name.

    Raises:
        BackendError: If that fails.
    """
    name = chosen_backend()
    if name not in BACKENDS:
        raise BackendError(f"{VARIABLE} is {name!r}: set it to {', '.join(BACKENDS)}, or leave it out.")
    loaded = "keras" in sys.modules
    try:
        importlib.import_module(name)
        import keras
    # A broken installation raises anything, from ImportError to what its compiled parts raise.
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "").rstrip(".") or type(error).__name__
        others = [f"{VARIABLE}={other}" for other in installed_backends() if other != name]
        instead = f"; or set {' or '.join(others)}, which is installed" if others else ""
        raise BackendError(f"{BACKENDS[name]} cannot be loaded ({reason}): {PACKAGES[name]}{instead}") from error
    if not loaded:
        # Streamlit has Keras collect garbage before each run of a page: not over what it has just imported.
        gc.collect()
        gc.freeze()
    return keras.config.backend()


def has_accelerator() -> bool:
    """Tell whether the backend, which is loaded, computes on a GPU or the like."""
    import keras

    name = keras.config.backend()
    if name == "tensorflow":
        import tensorflow as tf

        return bool(tf.config.list_logical_devices("GPU"))
    if name == "jax":
        import jax

        return jax.default_backend() != "cpu"
    return keras.ops.zeros(()).device.type != "cpu"
