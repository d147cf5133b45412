"""Files of models from elsewhere: what is taken, looked at before it is read, and kept in a run folder."""

import hashlib
import mmap
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, load_from_string
from onnx.external_data_helper import load_external_data_for_tensor

from segmentation.errors import RunError
from segmentation.inference.foreign.saved_model import translate_saved_model
from segmentation.inference.model_file import LARGEST
from segmentation.inference.onnx_file import WEIGHTS_PLACE, bytes_beside_weights

ONNX, KERAS = ".onnx", ".keras"

MOST_GRAPH = 16 << 20
"""Bytes of an ONNX file that are no weights: once read they take a hundredfold. Large networks have two million."""

ELSEWHERE = "docs/models.md shows how, or how to bring its predictions"

TORCH = "it is PyTorch's, and such files run code when they are loaded: export the model by torch.onnx.export"

WAYS_OUT = {
    **dict.fromkeys((".pt", ".pth", ".ckpt", ".bin", ".safetensors", ".pkl", ".jit", ".torchscript"), TORCH),
    **dict.fromkeys((".h5", ".hdf5"), "it is of an early Keras: save it by Keras 3 as .keras, or export ONNX"),
    ".pb": "it is part of a SavedModel: give the whole folder, which is loaded",
    ".tflite": "it is LiteRT's: export ONNX from the model that it was made of",
    ".engine": "it is TensorRT's: export ONNX from the model that it was made of",
}
"""Why a file is not loaded, and what to do, by its suffix."""


def unusable(path: Path, why: str) -> RunError:
    """Return the error that names a model's file and says why it is not used."""
    return RunError(f"{path.name} cannot be used as a model: {why.rstrip('.')}.")


def store_model(file: Path, folder: Path) -> Path:
    """Copy a model into a run folder, with weights that lie in files beside it; return where it is to be opened.

    A model of more than 2 GB stays where it is. A SavedModel is translated to ONNX.

    Args:
        file: An ONNX or Keras file, or the folder of a SavedModel.
        folder: Of the run.

    Raises:
        RunError: If it is none, or its weights lie anywhere but beside it.
        OSError: If a file cannot be read or written.
    """
    target = folder / stored_name(file)
    if file.is_dir():
        translate_saved_model(file, target)
        return target
    check_kind(file)
    if target.suffix == KERAS:
        shutil.copyfile(file, target)
        return target
    beside = check_onnx_file(file)
    if sum(path.stat().st_size for path in (file, *beside)) >= LARGEST:
        return file.resolve()
    if not beside:
        shutil.copyfile(file, target)
        return target
    target.write_bytes(_with_its_weights(file))
    return target


def stored_name(file: Path) -> str:
    """Return what a model is called in a run folder."""
    return f"model{ONNX if file.is_dir() else file.suffix.lower()}"


def _with_its_weights(file: Path) -> bytes:
    """Return an ONNX model with the weights that lie in files beside it.

    Raises:
        RunError: If they cannot be read, or are more than one file can hold: a small model may name a large file often.
    """
    model, total = load_from_string(file.read_bytes()), 0
    for tensor in _tensors_of(model):
        if tensor.external_data:
            try:
                load_external_data_for_tensor(tensor, str(file.parent))
            except Exception as error:  # offsets and lengths that make no sense, among others
                raise unusable(file, "the files with its weights do not belong to it") from error
            tensor.ClearField("external_data")
            tensor.data_location = TensorProto.DEFAULT
            total += len(tensor.raw_data)
            if total >= LARGEST:
                raise unusable(file, "its weights are more than the files beside it hold")
    return model.SerializeToString()


def check_kind(file: Path) -> None:
    """Refuse what is no file of a kind that is opened here, with the way out.

    Raises:
        RunError: If so.
    """
    suffix = file.suffix.lower()
    if suffix not in (ONNX, KERAS):
        reason = WAYS_OUT.get(suffix, "what loads is an .onnx or a .keras file, or a SavedModel")
        raise unusable(file, f"{reason}; {ELSEWHERE}")
    if not file.is_file():  # a pipe would be waited for
        raise unusable(file, "it is no file" if file.exists() else "it is not there")


def sha256_of_model(file: Path) -> str:
    """Return the SHA-256 of a model's file and of those beside it that hold its weights, in hexadecimal digits.

    Raises:
        RunError: If they cannot be found.
    """
    digest = hashlib.sha256()
    for path in (file, *(check_onnx_file(file) if file.suffix.lower() == ONNX else ())):
        with path.open("rb") as opened:
            while piece := opened.read(1 << 20):
                digest.update(piece)
    return digest.hexdigest()


def check_onnx_file(file: Path) -> list[Path]:
    """Look at an ONNX file before any runtime does; return the files beside it that hold its weights, by name.

    Raises:
        RunError: If it is no ONNX file, is larger than they can be, or names files that do not lie beside it.
    """
    size = file.stat().st_size
    if not 0 < size < LARGEST:
        raise unusable(file, f"it has {size / 1e9:.1f} GB, and ONNX files have up to 2 GB")
    try:
        # Its weights are passed over unread, so that a large file that is no model is refused at once.
        with (
            file.open("rb") as opened,
            mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
            memoryview(mapped) as content,
        ):
            bytes_beside_weights(content, WEIGHTS_PLACE, MOST_GRAPH)
        model = load_from_string(file.read_bytes())
        if not model.graph.node:
            raise ValueError("Expected a graph.")
    except Exception as error:
        reason = f"it is no ONNX file, or its graph alone has more than {MOST_GRAPH >> 20} MB"
        raise unusable(file, f"{reason}: export it again, by torch.onnx.export with dynamo=False") from error
    return _files_beside(file, _tensors_of(model))


def _files_beside(file: Path, tensors: Iterable[TensorProto]) -> list[Path]:
    """Return the files that hold a model's weights.

    Raises:
        RunError: If one is not a plain file in the model's own folder.
    """
    names = set()
    for tensor in tensors:
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            names.add({entry.key: entry.value for entry in tensor.external_data}.get("location", ""))
    paths = [file.parent / name for name in sorted(names)]
    for name, path in zip(sorted(names), paths, strict=True):
        if not name or "\\" in name or "\0" in name or PurePosixPath(name).name != name or path.is_symlink():
            raise unusable(file, f"its weights lie in {name or 'a file without a name'}, which is not beside it")
        if not path.is_file():
            raise unusable(file, f"its weights lie in {name}, which is not there: put it beside the model")
    return paths


def _tensors_of(model: ModelProto) -> Iterator[TensorProto]:
    """Yield every constant of a model: of its graph, the graphs in it, and its functions."""
    yield from _tensors_in(model.graph)
    for function in model.functions:
        yield from _tensors_at(function.node)
    for training in model.training_info:
        yield from _tensors_in(training.initialization)
        yield from _tensors_in(training.algorithm)


def _tensors_in(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _tensors_at(graph.node)


def _tensors_at(nodes: Sequence[NodeProto]) -> Iterator[TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            yield from _tensors_of_attribute(attribute)


def _tensors_of_attribute(attribute: AttributeProto) -> Iterator[TensorProto]:
    yield from (attribute.t, *attribute.tensors)
    for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
        yield from (sparse.values, sparse.indices)
    for graph in (attribute.g, *attribute.graphs):
        if graph.node or graph.initializer:
            yield from _tensors_in(graph)
