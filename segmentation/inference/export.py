"""A network in the formats of other programs."""

from pathlib import Path
from typing import Literal, get_args

from segmentation.errors import ConfigurationError, RunError
from segmentation.files import scratch_folder

Format = Literal["onnx", "tf_saved_model", "openvino", "litert"]
"""By Keras' names."""

SUFFIXES = dict(zip(get_args(Format), (".onnx", "", ".xml", ".tflite"), strict=True))
"""What the output's name ends in; a SavedModel is a folder."""


def export(path: Path, format: Format, output: Path) -> None:
    """Write a network in another format.

    ONNX is what predicts here: it takes (batch, height, width, bands) uint8, of any size where the network does, the
    others take float32 in 0–255. All give class probabilities, (batch, height, width, classes) float32.

    Args:
        path: A run's ``best.keras``.
        format: Which.
        output: The new file, or folder; OpenVINO puts the weights beside it.

    Raises:
        ConfigurationError: If the output exists or its name ends in something else than the format's does.
        RunError: If the network cannot be loaded or written.
    """
    if output.suffix != SUFFIXES[format]:
        raise ConfigurationError(f"Expected an output that ends in {SUFFIXES[format]!r}. Received: {output.name}")
    if output.exists():
        raise ConfigurationError(f"There is {output} already: remove it first, or choose another name.")
    from segmentation.inference.predictor import Predictor  # half a second

    Predictor(path)  # refuses what is no network of ours
    with scratch_folder(output.parent) as scratch:
        write = _write_onnx if format == "onnx" else _write_by_keras
        write(path, format, scratch / output.name)
        for written in scratch.iterdir():
            written.replace(output.parent / written.name)


def _write_onnx(path: Path, format: Format, target: Path) -> None:
    from segmentation.inference.onnx_graph import UnknownNetworkError, read_as_onnx

    try:
        target.write_bytes(read_as_onnx(path))
    except UnknownNetworkError as error:
        raise RunError(
            f"{path.name} of {path.parent.name} has layers that cannot be written as {format} here: choose another."
        ) from error


def _write_by_keras(path: Path, format: Format, target: Path) -> None:
    from segmentation.inference.model_file import load_keras_model

    try:
        load_keras_model(path).export(str(target), format, verbose=False)
    except ImportError as error:
        raise RunError(f"Writing {format} needs packages that are not installed: pip install openvino scipy") from error
