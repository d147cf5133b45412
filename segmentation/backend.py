"""TensorFlow, loaded where a model is used: that takes seconds, and it may be missing or broken."""

from segmentation.errors import BackendError


def load_tensorflow() -> None:
    """Import TensorFlow and Keras, so that what needs them can be imported after this.

    Raises:
        BackendError: If that fails.
    """
    try:
        import keras  # noqa: F401
        import tensorflow  # noqa: F401
    # A broken installation raises anything, from ImportError to what its compiled parts raise.
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "").rstrip(".") or type(error).__name__
        raise BackendError(
            f"TensorFlow cannot be loaded ({reason}): install it anew with pip install -r requirements.txt"
        ) from error
