"""SavedModels: translated by a process of their own if they only compute, else refused in one sentence."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.core.protobuf import saved_model_pb2

from segmentation.data.locate import PROJECT
from segmentation.data.scenes import Dataset
from segmentation.errors import RunError
from segmentation.evaluation.foreign import add_model
from segmentation.inference.foreign.adapter import read_adapter
from segmentation.inference.foreign.saved_model import translate_saved_model
from segmentation.inference.foreign.saved_model_translator import (
    OPERATORS,
    RefusedError,
    functions_of,
    keep_what_computes,
)
from segmentation.inference.predictor import Predictor
from tests.brightness import THREE, wrong

Computation = Callable[[tf.Tensor], tf.Tensor]

KERNEL, BIAS = np.outer(np.full(3, 1 / 3), [0, 1, 2]).astype(np.float32)[None, None], np.float32([0, -85, -255])
"""Logits of three classes by brightness, in 0–255."""


def save(folder: Path, change: Computation = tf.identity) -> Path:
    """Save a convolution by TensorFlow alone, with a computation after it."""
    module = tf.Module()
    module.kernel, module.change = tf.Variable(KERNEL), change

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3))], autograph=False)
    def serve(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"logits": change(tf.nn.conv2d(images, module.kernel, 1, "SAME") + BIAS)}

    tf.saved_model.save(module, str(folder), signatures={"serving_default": serve})
    return folder


def export(folder: Path) -> Path:
    """Export a network by Keras 3."""
    images = keras.Input((None, None, 3))
    convolution = keras.layers.Conv2D(3, 1, activation="softmax")
    model = keras.Model(images, convolution(images))
    convolution.set_weights([KERNEL, BIAS])
    model.export(folder, verbose=False)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("make", "output"), [(save, "logits"), (export, "probabilities")], ids=["TensorFlow", "Keras"])
def test_a_saved_model_is_added_as_onnx(
    tmp_path: Path,
    sets: dict[str, Dataset],
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[Path], Path],
    output: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    run = add_model(Path("runs", "run"), make(Path("net.v2")), sets[THREE], tell=said.append)
    adapter = read_adapter(run.model)
    assert (adapter.file, adapter.layout, adapter.scale, adapter.output) == ("model.onnx", "nhwc", "0-255", output)
    assert said[0] == f"net.v2: NHWC, any size; gives {output} of 3 classes"
    assert {path.name for path in run.folder.iterdir()} == {
        *("config.json", "metrics.json", "model.toml", "model.onnx", "patches.csv", "status.json")
    }
    image = np.asarray(Image.open(sets[THREE].scenes[1].image))
    assert wrong(Predictor(run.model).scene_classes(image), image, THREE) == 0


def after(effect: Callable[[], tf.Operation]) -> Computation:
    """A computation that does something else first."""

    def compute(logits: tf.Tensor) -> tf.Tensor:
        with tf.control_dependencies([effect()]):
            return tf.identity(logits)

    return compute


EFFECTS: dict[str, tuple[Computation, str]] = {
    "reads a file": (after(lambda: tf.io.read_file("/etc/hostname")), "ReadFile"),
    "writes a file": (after(lambda: tf.io.write_file("written", "x")), "WriteFile"),
    "lists files": (after(lambda: tf.io.matching_files("/etc/*")), "MatchingFiles"),
    "decodes an image": (after(lambda: tf.io.decode_png(b"")), "DecodePng"),
    "calls Python": (lambda logits: tf.py_function(lambda x: x, [logits], tf.float32), "EagerPyFunc"),
    "calls Python by numpy": (lambda logits: tf.numpy_function(lambda x: x, [logits], tf.float32), "PyFunc"),
    "prints into a file": (after(lambda: tf.print("x", output_stream="file://written")), "PrintV2"),
    "reads records": (
        after(lambda: tf.data.TFRecordDataset("/etc/hostname").reduce(0, lambda count, _: count + 1)),
        "ReduceDataset",
    ),
    "loops": (lambda logits: tf.while_loop(lambda x: True, lambda x: x, [logits])[0], "While"),
}


@pytest.mark.parametrize(("effect", "named"), EFFECTS.values(), ids=EFFECTS)
def test_what_may_do_more_than_compute_is_refused(tmp_path: Path, effect: Computation, named: str) -> None:
    file = save(tmp_path / "model", effect) / "saved_model.pb"
    with pytest.raises(RefusedError, match=rf"{named}.*: export ONNX from it, by tf2onnx$"):
        keep_what_computes(file.read_bytes())


class Table(tf.Module):
    """A computation that looks numbers up in a table out of a file."""

    def __init__(self, file: Path) -> None:
        file.write_text("1\n2\n")
        kinds = tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER, tf.int64, tf.lookup.TextFileIndex.WHOLE_LINE
        self.table = tf.lookup.StaticHashTable(tf.lookup.TextFileInitializer(str(file), *kinds), 0)

    def __call__(self, logits: tf.Tensor) -> tf.Tensor:
        return tf.cast(self.table.lookup(tf.cast(logits, tf.int64)), tf.float32)


def test_a_table_out_of_a_file_is_refused(tmp_path: Path) -> None:
    file = save(tmp_path / "model", Table(tmp_path / "table.txt")) / "saved_model.pb"
    with pytest.raises(RefusedError, match="it needs files or tables beside its weights"):
        keep_what_computes(file.read_bytes())


def operators(content: bytes) -> set[str]:
    """Of a model's functions."""
    (graph,) = saved_model_pb2.SavedModel.FromString(content).meta_graphs
    return {node.op for function in functions_of(graph) for node in function.node_def}


def test_what_saves_is_taken_out(tmp_path: Path) -> None:
    content = (save(tmp_path / "model") / "saved_model.pb").read_bytes()
    assert {"Conv2D", "SaveV2", "RestoreV2"} <= operators(content)
    assert operators(keep_what_computes(content)) <= OPERATORS
    assert "Conv2D" in operators(keep_what_computes(content))


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "not of TensorFlow 2"), (b"no model", "none of TensorFlow's"), (bytes(99), "none of TensorFlow's")],
)
def test_what_is_no_graph_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(RefusedError, match=said):
        keep_what_computes(content)


def test_a_model_without_a_signature_says_how_to_save_it(tmp_path: Path) -> None:
    tf.saved_model.save(tf.Module(), str(tmp_path / "model"))
    with pytest.raises(RefusedError, match=r"it has no signature serving_default: save it by model\.export"):
        keep_what_computes((tmp_path / "model" / "saved_model.pb").read_bytes())


def restored(logits: tf.Tensor) -> tf.Tensor:
    return logits + tf.raw_ops.RestoreV2(
        prefix="/elsewhere/variables", tensor_names=["x"], shape_and_slices=[""], dtypes=[tf.float32]
    )


def enormous(logits: tf.Tensor) -> tf.Tensor:
    return logits + tf.reduce_mean(tf.fill([100_000, 100_000, 1_000], tf.reduce_mean(logits)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (EFFECTS["writes a file"][0], "its graph has WriteFile, which may do more than compute"),
        (restored, "TensorFlow and tf2onnx do not translate it"),
        (enormous, "it does not compute a batch"),
    ],
    ids=["a file", "another's weights", "40 TB"],
)
def test_a_hostile_model_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, sets: dict[str, Dataset], change: Computation, said: str
) -> None:
    folder, runs = save(tmp_path / "net", change), tmp_path / "runs"
    with pytest.raises(RunError, match=f"^net cannot be used as a model: {said}"):
        add_model(runs / "run", folder, sets[THREE], tell=len)
    assert list(runs.iterdir()) == []
    assert not (PROJECT / "written").exists()


def linked(file: Path) -> None:
    file.rename(file.with_name("elsewhere"))
    file.symlink_to(file.with_name("elsewhere"))


def piped(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def linked_folder(file: Path) -> None:
    file.parent.rename(file.parent.with_name("elsewhere"))
    file.parent.symlink_to(file.parent.with_name("elsewhere"))


@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.index"])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (Path.unlink, "is no plain file in its folder"),
        (linked, "is no plain file in its folder"),
        (piped, "is no plain file in its folder"),
        (lambda file: os.truncate(file, 17 << 20), "is larger than that of any network"),
    ],
    ids=["missing", "a link", "a pipe", "large"],
)
def test_files_that_are_not_the_models_are_refused_unread(
    tmp_path: Path, name: str, change: Callable[[Path], None], said: str
) -> None:
    folder = save(tmp_path / "net")
    change(folder / name)
    with pytest.raises(RunError, match=f"its {name} {said}"):
        translate_saved_model(folder, tmp_path / "model.onnx")


def test_weights_that_lie_elsewhere_are_refused(tmp_path: Path) -> None:
    for place, change in (("variables/variables.data-00000-of-00001", linked), ("variables/x", linked_folder)):
        folder = save(tmp_path / change.__name__)
        change(folder / place)
        with pytest.raises(RunError, match="is no plain file in its folder"):
            translate_saved_model(folder, tmp_path / "model.onnx")


def test_other_files_in_the_folder_are_not_copied(tmp_path: Path) -> None:
    """A folder without a graph, and one whose only graph lies deeper."""
    (tmp_path / "folder" / "deeper").mkdir(parents=True)
    shutil.copytree(save(tmp_path / "net"), tmp_path / "folder" / "deeper" / "net")
    with pytest.raises(RunError, match=r"its saved_model\.pb is no plain file"):
        translate_saved_model(tmp_path / "folder", tmp_path / "model.onnx")


def test_what_translates_it_is_named_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(RunError, match="pip install tf2onnx"):
        translate_saved_model(tmp_path, tmp_path / "model.onnx")
