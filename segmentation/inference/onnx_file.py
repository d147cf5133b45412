"""Networks as ONNX files: ``best.onnx`` beside a run's ``best.keras``, or in a cache; looked at before they are used.

A run writes its own when its training ends. For runs without one, such as those that come with the project, the
translation is kept in a cache. Either is used only if it was made of this very ``best.keras``, whose SHA-256 it holds,
and is made of nothing that a translation is not made of. Otherwise ``best.keras`` is translated anew.
"""

import math
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

from onnx import AttributeProto, GraphProto, ModelProto, TensorProto, load_from_string, shape_inference

from segmentation.data.locate import cache_folder
from segmentation.errors import StorageError
from segmentation.files import remove_oldest, remove_unfinished, replacing
from segmentation.inference.model_file import (
    LARGEST_OUTPUT,
    check_model_file,
    check_size_of_layers,
    most_bytes,
    sha256_of,
)
from segmentation.inference.onnx_graph import OPERATORS, OPSET, TRANSLATION, read_as_onnx

CACHE = cache_folder() / "networks"
"""Where translations are kept."""

MOST_FILES, MOST_BYTES = 24, 512 << 20
"""So many translations are kept at most, and so many bytes; those that were not used for longest go first."""

WEIGHTS_PLACE = (
    ModelProto.GRAPH_FIELD_NUMBER,
    GraphProto.INITIALIZER_FIELD_NUMBER,
    TensorProto.RAW_DATA_FIELD_NUMBER,
)
"""The fields, each in the one before, that hold the weights in an ONNX file."""

MOST_BESIDE_WEIGHTS = 1 << 20
"""Bytes of an ONNX file that are no weights: those of our networks take 30,000. Once read they take a hundredfold."""

ATTRIBUTES = {AttributeProto.INT, AttributeProto.INTS, AttributeProto.FLOAT, AttributeProto.STRING}
"""What the attributes of a translation's nodes are: no graphs, and no tensors."""

BYTES_EACH = {TensorProto.FLOAT: 4, TensorProto.INT64: 8}
"""What the constants of a translation are."""

Used = TypeVar("Used")


class Network(NamedTuple):
    """A network as an ONNX model that has been looked at.

    Args:
        content: The model: from ``images``, (batch, height, width, channels) uint8, to ``probabilities``, (batch,
            height, width, classes) float32.
        source: SHA-256 of the ``.keras`` file that it was made of.
        input_shape: (height, width, channels) of the images that it was made for.
        output_shape: (height, width, classes) of its probabilities for these.
        any_size: Whether it takes others: at least such as are twice as high and wide.
    """

    content: bytes
    source: str
    input_shape: tuple[int, int, int]
    output_shape: tuple[int, ...]
    any_size: bool


def write_onnx(path: Path) -> None:
    """Write the network of a ``.keras`` file of our own beside it, under the same name: as ``best.onnx``.

    Raises:
        UnknownNetworkError: If it has other layers than the translation knows.
        StorageError: If it cannot be written.
    """
    content = read_as_onnx(path)
    with replacing(path.with_suffix(".onnx")) as temporary:
        temporary.write_bytes(content)


def open_network(path: Path, use: Callable[[Network], Used]) -> Used:
    """Return what is made of a ``.keras`` file's network: of the ONNX file beside it, the cached one, or a new one.

    Args:
        path: The ``.keras`` file.
        use: Opens the network. What it raises for a file that was found means that the file is not used.

    Raises:
        UnknownNetworkError: If the network has other layers than the translation knows.
        RunError: If the file is no network, or its layers would take much memory.
    """
    source = sha256_of(path)
    cached = CACHE / f"{source}-{TRANSLATION}.onnx"
    for found in (path.with_suffix(".onnx"), cached):
        try:
            used = use(_read_network(path, found, source))
        # Not there, or whatever somebody has put there: the .keras file has the last word.
        except Exception:  # noqa: S112 (nothing is lost but time)
            continue
        if found == cached:
            with suppress(OSError):
                os.utime(cached)
        return used
    check_model_file(path)
    network = check_network(path, read_as_onnx(path))
    used = use(network)
    _keep(network)
    return used


def _read_network(path: Path, found: Path, source: str) -> Network:
    """Return the network in an ONNX file.

    Raises:
        ValueError: If it is of another ``.keras`` file, too large, or nothing that a translation gives; a broken file
            raises what its readers raise.
    """
    if not found.is_file() or found.stat().st_size > most_bytes(path):  # a pipe would be waited for
        raise ValueError("Expected a file no larger than the weights that the .keras file may hold.")
    network = check_network(path, found.read_bytes())
    if network.source != source:
        raise ValueError("Expected the network of this very .keras file.")
    return network


def check_network(path: Path, content: bytes) -> Network:
    """Look at an ONNX model, which may come from anywhere, before any runtime does.

    Args:
        path: The ``.keras`` file that it is said to be made of.
        content: The model.

    Raises:
        ValueError: If it is nothing that `read_as_onnx` returns; what is broken raises what its readers raise.
        RunError: If its layers would take much memory.
    """
    bytes_beside_weights(memoryview(content), WEIGHTS_PLACE)
    model = load_from_string(content)
    graph, notes = model.graph, {entry.key: entry.value for entry in model.metadata_props}
    if notes["translation"] != str(TRANSLATION):
        raise ValueError("Expected another translation.")
    _check_parts(model)
    weights = sum(math.prod(constant.dims) for constant in graph.initializer)
    for constant in graph.initializer:
        if len(constant.raw_data) > 64:  # which say nothing of shapes
            constant.ClearField("raw_data")
    height, width = int(notes["height"]), int(notes["width"])
    *lengths, channels = (length.dim_param or length.dim_value for length in graph.input[0].type.tensor_type.shape.dim)
    if lengths not in (free := ["batch", "height", "width"], ["batch", height, width]):
        raise ValueError("Expected images of the size that the network was made for, or of any.")
    largest, (_, *output_shape) = _shapes(model, height, width)
    check_size_of_layers(path, weights, largest)
    any_size = lengths == free and _takes_twice(model, height, width, output_shape)
    return Network(content, notes["source"], (height, width, channels), tuple(output_shape), any_size)


def bytes_beside_weights(content: memoryview, place: Sequence[int], most: int = MOST_BESIDE_WEIGHTS) -> int:
    """Return how many bytes of a protobuf message lie outside one field of its nested messages.

    Args:
        content: The message.
        place: The numbers of the fields, each in the one before.
        most: How many they may be.

    Raises:
        ValueError: If they are more, or it is no message of these.
    """
    at = outside = 0
    while at < len(content):
        begin = at
        key, at = _varint(content, at)
        length, at = _varint(content, at)  # of what follows, or the value itself
        if key & 7 == 2:
            at += length
        elif key & 7 or not key >> 3:
            raise ValueError("Expected messages, texts and whole numbers.")
        outside += at - begin
        if key == place[0] << 3 | 2:
            inside = bytes_beside_weights(content[at - length : at], place[1:], most) if place[1:] else 0
            outside += inside - length
        if outside > most:
            raise ValueError("Expected weights, and little else.")
    return outside


def _varint(content: memoryview, at: int) -> tuple[int, int]:
    """Return protobuf's whole number that begins somewhere, and where it ends."""
    value = 0
    for number, byte in enumerate(content[at : at + 10]):
        value |= (byte & 127) << 7 * number
        if byte < 128:
            return value, at + number + 1
    raise ValueError("Expected a whole number.")


def _check_parts(model: ModelProto) -> None:
    """Refuse a model that is made of anything but the parts of a translation, or has weights in other files."""
    graph = model.graph
    sound = (
        [(needed.domain, needed.version) for needed in model.opset_import] == [("", OPSET)],
        not (model.functions or model.training_info or graph.sparse_initializer or graph.quantization_annotation),
        [(end.name, end.type.tensor_type.elem_type) for end in graph.input] == [("images", TensorProto.UINT8)],
        [(end.name, end.type.tensor_type.elem_type) for end in graph.output] == [("probabilities", TensorProto.FLOAT)],
        all(node.op_type in OPERATORS and not node.domain for node in graph.node),
        all(attribute.type in ATTRIBUTES for node in graph.node for attribute in node.attribute),
        all(constant.data_location == TensorProto.DEFAULT for constant in graph.initializer),
        not any(constant.external_data for constant in graph.initializer),
        all(
            len(constant.raw_data) == BYTES_EACH[constant.data_type] * math.prod(constant.dims)
            for constant in graph.initializer
        ),
    )
    if not all(sound):
        raise ValueError("Expected the parts of a translation.")


def _shapes(model: ModelProto, height: int, width: int) -> tuple[int, list[int]]:
    """Return how many numbers the largest tensor holds for one image, and the shape of the output.

    Raises:
        ValueError: If not every tensor's shape can be told beforehand; shapes that do not fit raise ONNX's own error.
    """
    graph = model.graph
    for length, value in zip(graph.input[0].type.tensor_type.shape.dim[:3], (1, height, width), strict=True):
        length.dim_value = value
    graph.output[0].type.tensor_type.ClearField("shape")
    del graph.value_info[:]
    inferred = shape_inference.infer_shapes(model, check_type=True, strict_mode=True).graph
    shapes = {
        tensor.name: [length.dim_value for length in tensor.type.tensor_type.shape.dim]
        for tensor in (*inferred.value_info, *inferred.output)
    }
    if not all(all(length > 0 for length in shapes[name]) for node in graph.node for name in node.output):
        raise ValueError("Expected tensors whose shapes can be told.")
    return max(map(math.prod, shapes.values())), shapes["probabilities"]


def _takes_twice(model: ModelProto, height: int, width: int, output_shape: Sequence[int]) -> bool:
    """Tell whether a network gives twice as high and wide an output for images twice as high and wide."""
    try:
        largest, (_, *lengths) = _shapes(model, 2 * height, 2 * width)
    except shape_inference.InferenceError:
        return False
    return largest <= LARGEST_OUTPUT and lengths == [2 * output_shape[0], 2 * output_shape[1], *output_shape[2:]]


def _keep(network: Network) -> None:
    """Keep a translation for the next time, in the place of those that were not used for longest."""
    with suppress(OSError, StorageError):  # nothing is lost but time
        with replacing(CACHE / f"{network.source}-{TRANSLATION}.onnx") as temporary:
            temporary.write_bytes(network.content)
        remove_unfinished(CACHE)
        remove_oldest(CACHE, "[!.]*.onnx", MOST_BYTES, MOST_FILES)
