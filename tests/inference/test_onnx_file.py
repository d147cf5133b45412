"""Networks as ONNX files: used where they belong to their ``.keras`` file, made anew where anything is odd."""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from segmentation.errors import RunError
from segmentation.inference import onnx_file
from segmentation.inference.onnx_file import TRANSLATION, check_network, write_onnx
from segmentation.inference.onnx_graph import read_as_onnx
from segmentation.inference.predictor import Predictor
from segmentation.model.registry import ARCHITECTURES, build
from segmentation.model.unet import unet
from segmentation.runs.run import SHIPPED, find_runs
from tests.memory import memory, reset_peak

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setattr(onnx_file, "CACHE", tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def path(small_model: Path, tmp_path: Path) -> Path:
    """The small model in a folder of its own."""
    (tmp_path / "run").mkdir()
    return Path(shutil.copy(small_model, tmp_path / "run" / "best.keras"))


def predicted(path: Path) -> np.ndarray:
    return np.concatenate(list(Predictor(path).batches(IMAGES)))


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def marked(path: Path) -> ModelProto:
    """The network of a ``.keras`` file, but that it always says the last class: so it shows whether it is used."""
    model = onnx.load_from_string(read_as_onnx(path))
    (bias,) = (constant for constant in model.graph.initializer if list(constant.dims) == [3])
    bias.raw_data = np.array([0, 0, 1000], np.float32).tobytes()
    return model


def is_marked(path: Path) -> bool:
    return (predicted(path).argmax(-1) == 2).all()


# What a translation is


@pytest.mark.parametrize("run", find_runs(SHIPPED), ids=lambda run: run.name)
def test_a_shipped_network_takes_images_of_any_size(run: object) -> None:
    network = check_network(run.model, read_as_onnx(run.model))
    assert network.source == sha256(run.model)
    assert (network.input_shape, network.output_shape, network.any_size) == ((160, 160, 3), (160, 160, 6), True)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_network_that_resizes_keeps_its_size(architecture: str, tmp_path: Path) -> None:
    build(architecture, 64, 3).save(tmp_path / "best.keras")
    content = read_as_onnx(tmp_path / "best.keras")
    (images,) = onnx.load_from_string(content).graph.input
    lengths = [length.dim_param or length.dim_value for length in images.type.tensor_type.shape.dim]
    resizes = architecture == "lite0-unet-large"
    assert lengths == (["batch", 64, 64, 3] if resizes else ["batch", "height", "width", 3])
    assert check_network(tmp_path / "best.keras", content).any_size != resizes


def test_a_network_whose_parts_fit_at_its_own_size_only_is_for_no_other(tmp_path: Path, cache: Path) -> None:
    """Fifteen pixels are halved to seven, which are enlarged to the fourteen of the other branch; thirty do not fit."""
    inputs = keras.Input((15, 15, 3))
    halved = keras.layers.UpSampling2D()(keras.layers.MaxPooling2D()(inputs))
    joined = keras.layers.Concatenate()([halved, keras.layers.Conv2D(3, 2)(inputs)])
    keras.Model(inputs, keras.layers.Softmax()(joined)).save(tmp_path / "best.keras")
    network = check_network(tmp_path / "best.keras", read_as_onnx(tmp_path / "best.keras"))
    assert (network.output_shape, network.any_size) == ((14, 14, 6), False)


GRAPHS = {
    "demo-unet": "1: 7a5aae0278c868d7",
    "dubai-best": "1: 2ec622036d91e1cf",
}


@pytest.mark.parametrize("run", GRAPHS)
def test_another_translation_has_another_number(run: str) -> None:
    """What is cached is found by the number: whoever changes these graphs adds one to `TRANSLATION`."""
    graph = onnx.load_from_string(read_as_onnx(SHIPPED / run / "best.keras")).graph
    digest = hashlib.sha256(graph.SerializeToString(deterministic=True)).hexdigest()
    assert f"{TRANSLATION}: {digest[:16]}" == GRAPHS[run]


# The file beside


def test_the_network_beside_its_file_is_used(path: Path, cache: Path) -> None:
    expected = predicted(path)
    write_onnx(path)
    assert np.array_equal(predicted(path), expected)
    assert not is_marked(path)
    onnx.save(marked(path), path.with_suffix(".onnx"))
    assert is_marked(path)


def test_a_replaced_file_is_not_answered_by_the_network_of_the_old_one(path: Path, cache: Path) -> None:
    write_onnx(path)
    old = predicted(path)
    keras.utils.set_random_seed(2)
    model = unet(16, 3, filters=(4, 8), bottleneck=8)
    model.save(path)
    new = predicted(path)
    assert np.allclose(new, np.asarray(model(IMAGES)), atol=1e-5)
    assert not np.allclose(new, old, atol=1e-3)


# Hostile files: each would show if it were used


def change_bytes(change: Callable[[bytes], bytes]) -> Callable[[ModelProto, Path], None]:
    return lambda model, target: (target.write_bytes(change(model.SerializeToString())), None)[1]


def change_model(change: Callable[[ModelProto], object]) -> Callable[[ModelProto, Path], None]:
    def write(model: ModelProto, target: Path) -> None:
        change(model)
        target.write_bytes(model.SerializeToString())

    return write


def set_note(key: str, value: str | None) -> Callable[[ModelProto, Path], None]:
    def change(model: ModelProto) -> None:
        notes = {entry.key: entry.value for entry in model.metadata_props} | {key: value}
        helper.set_model_props(model, {name: text for name, text in notes.items() if text is not None})

    return change_model(change)


def weights_elsewhere(model: ModelProto, target: Path) -> None:
    """Weights that lie in another file: every probability would tell of its content."""
    constant = max(model.graph.initializer, key=lambda constant: len(constant.raw_data))
    Path("secret.bin").write_bytes(constant.raw_data)
    constant.ClearField("raw_data")
    constant.data_location = TensorProto.EXTERNAL
    constant.external_data.add(key="location", value="secret.bin")
    target.write_bytes(model.SerializeToString())


def weights_elsewhere_unsaid(model: ModelProto, target: Path) -> None:
    weights_elsewhere(model, target)
    for constant in model.graph.initializer:
        constant.data_location = TensorProto.DEFAULT
    target.write_bytes(model.SerializeToString())


def weights_in_an_attribute(model: ModelProto) -> None:
    constant = model.graph.initializer.pop()
    model.graph.node.insert(0, helper.make_node("Constant", [], [constant.name], value=constant))


def enlarged_a_thousandfold(model: ModelProto) -> None:
    last = model.graph.node[-1].input[0]
    scales = numpy_helper.from_array(np.array([1, 1, 10_000, 10_000], np.float32), "scales")
    back = numpy_helper.from_array(np.array([1, 1, 1e-4, 1e-4], np.float32), "back")
    model.graph.initializer.extend([scales, back])
    large = helper.make_node("Resize", [last, "", "scales"], ["large"], mode="nearest")
    small = helper.make_node("Resize", ["large", "", "back"], ["small"], mode="nearest")
    final = model.graph.node.pop()
    final.input[0] = "small"
    model.graph.node.extend([large, small, final])


def of_no_size_known(model: ModelProto) -> None:
    """The scales are computed, so that nobody knows beforehand how large the image becomes."""
    last = model.graph.node[-1].input[0]
    ones = numpy_helper.from_array(np.array([1, 1, 50, 50], np.float32), "ones")
    model.graph.initializer.append(ones)
    final = model.graph.node.pop()
    final.input[0] = "large"
    model.graph.node.extend(
        [
            helper.make_node("Mul", ["ones", "ones"], ["scales"]),
            helper.make_node("Resize", [last, "", "scales"], ["large"], mode="nearest"),
            final,
        ]
    )


def endless(model: ModelProto) -> None:
    """A loop of 10^18 rounds, whose body does nothing."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["still"])],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("still", TensorProto.BOOL, [])],
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array(10**18), "rounds"))
    model.graph.node.insert(0, helper.make_node("Loop", ["rounds", ""], [], body=body))


def rename_input(model: ModelProto) -> None:
    model.graph.input[0].name = "pictures"
    model.graph.node[0].input[0] = "pictures"


def rename_output(model: ModelProto) -> None:
    model.graph.output[0].name = model.graph.node[-1].output[0] = "logits"


def of_floats(model: ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT


def second_input(model: ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))


def one_image_at_a_time(model: ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


def other_operators(model: ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    model.graph.node[2].domain = "com.microsoft"


def more_than_its_bytes(model: ModelProto) -> None:
    constant = max(model.graph.initializer, key=lambda constant: len(constant.raw_data))
    constant.raw_data = constant.raw_data[:-4]


def computed_by_nobody(model: ModelProto) -> None:
    """Sound to the eye; no runtime computes a convolution of so many groups."""
    node = next(node for node in model.graph.node if node.op_type == "Conv")
    next(option for option in node.attribute if option.name == "group").i = 7


def no_numbers(model: ModelProto) -> None:
    (bias,) = (constant for constant in model.graph.initializer if list(constant.dims) == [3])
    bias.raw_data = np.full(3, np.nan, np.float32).tobytes()


def many_nodes(content: bytes) -> bytes:
    """Twenty million empty nodes: two gigabytes once they are read."""
    nodes = b"\x0a\x00" * 20_000_000
    length, value = b"", len(nodes)
    while value:
        length, value = length + bytes([value & 127 | (128 if value > 127 else 0)]), value >> 7
    return content + b"\x3a" + length + nodes


def sparse(model: ModelProto, target: Path) -> None:
    """A file of five gigabytes that takes no room."""
    target.write_bytes(model.SerializeToString())
    os.truncate(target, 5 << 30)


HOSTILE: dict[str, Callable[[ModelProto, Path], object]] = {
    "nothing": lambda model, target: target.touch(),
    "text": lambda model, target: target.write_text("Dear Sir or Madam"),
    "zeros": lambda model, target: target.write_bytes(bytes(100_000)),
    "noise": lambda model, target: target.write_bytes(np.random.default_rng(0).bytes(100_000)),
    "half of it": change_bytes(lambda content: content[: len(content) // 2]),
    "a folder": lambda model, target: target.mkdir(),
    "a pipe": lambda model, target: os.mkfifo(target),
    "a link to nowhere": lambda model, target: target.symlink_to("nowhere"),
    "another file's": set_note("source", "0" * 64),
    "nobody's": set_note("source", None),
    "another translation's": set_note("translation", str(TRANSLATION + 1)),
    "without its size": set_note("height", None),
    "of no size": set_note("height", "many"),
    "of less than no size": set_note("height", "-16"),
    "of 1,000,000 pixels a side": set_note("width", "1000000"),
    "weights in another file": weights_elsewhere,
    "weights in another file, which is not said": weights_elsewhere_unsaid,
    "weights in a node": change_model(weights_in_an_attribute),
    "a graph in a node": change_model(endless),
    "other operators": change_model(other_operators),
    "another input": change_model(rename_input),
    "another output": change_model(rename_output),
    "images of floats": change_model(of_floats),
    "two inputs": change_model(second_input),
    "one image at a time": change_model(one_image_at_a_time),
    "fewer bytes than weights": change_model(more_than_its_bytes),
    "weights that are no numbers": change_model(no_numbers),
    "what nobody computes": change_model(computed_by_nobody),
    "100,000,000 times the pixels": change_model(enlarged_a_thousandfold),
    "pixels that nobody can count": change_model(of_no_size_known),
    "20,000,000 nodes": change_bytes(many_nodes),
    "5 GB": sparse,
}


@pytest.mark.parametrize("write", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("place", ["beside", "cached"])
def test_a_hostile_network_is_not_used(
    write: Callable, place: str, path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)  # where ONNX Runtime looks for files that a model in memory names
    target = path.with_suffix(".onnx") if place == "beside" else cache / f"{sha256(path)}-{TRANSLATION}.onnx"
    target.parent.mkdir(exist_ok=True)
    write(marked(path), target)
    start = reset_peak()
    assert not is_marked(path)
    assert memory("VmHWM") - start < 300
    if place == "cached" and write is not HOSTILE["a folder"]:  # which is left to whoever put it there
        assert target.read_bytes() == read_as_onnx(path)


# The cache


def test_a_shipped_run_is_translated_once_and_left_as_it_is(cache: Path) -> None:
    path = SHIPPED / "demo-unet" / "best.keras"
    before = sorted(file.name for file in path.parent.iterdir())
    images = np.random.default_rng(1).integers(0, 256, (1, 160, 160, 3), dtype=np.uint8)
    (expected,) = Predictor(path).batches(images)
    (kept,) = cache.iterdir()
    assert kept.name == f"{sha256(path)}-{TRANSLATION}.onnx"
    assert kept.read_bytes() == read_as_onnx(path)
    first = kept.stat().st_ino
    (again,) = Predictor(path).batches(images)
    assert np.array_equal(again, expected)
    assert [(file, file.stat().st_ino) for file in cache.iterdir()] == [(kept, first)]
    assert sorted(file.name for file in path.parent.iterdir()) == before


def test_what_is_cached_is_what_predicts(path: Path, cache: Path) -> None:
    assert not is_marked(path)
    (kept,) = cache.iterdir()
    onnx.save(marked(path), kept)
    assert is_marked(path)


def test_a_file_of_the_same_content_elsewhere_is_not_translated_again(path: Path, cache: Path, tmp_path: Path) -> None:
    Predictor(path)
    (tmp_path / "other").mkdir()
    Predictor(Path(shutil.copy(path, tmp_path / "other" / "best.keras")))
    assert len(list(cache.iterdir())) == 1


def test_a_network_beside_its_file_is_not_cached(path: Path, cache: Path) -> None:
    write_onnx(path)
    Predictor(path)
    assert not cache.exists()


def small_networks(folder: Path, count: int) -> list[Path]:
    """Files of different networks."""
    paths = [folder / f"run{number}" / "best.keras" for number in range(count)]
    for number, path in enumerate(paths):
        keras.utils.set_random_seed(number)
        path.parent.mkdir()
        inputs = keras.Input((16, 16, 3))
        keras.Model(inputs, keras.layers.Conv2D(3, 1, activation="softmax")(inputs)).save(path)
    return paths


def used_long_ago(cache: Path, *paths: Path) -> None:
    """Let the cached networks of these files look as if they had been used long ago, the first at first."""
    for second, path in enumerate(paths, 1):
        os.utime(cache / f"{sha256(path)}-{TRANSLATION}.onnx", (second, second))


def cached(cache: Path) -> set[str]:
    return {file.name.split("-")[0] for file in cache.iterdir()}


def test_of_many_networks_those_used_last_are_kept(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "MOST_FILES", 2)
    first, second, third = small_networks(tmp_path, 3)
    Predictor(first)
    Predictor(second)
    used_long_ago(cache, first, second)
    Predictor(first)  # once more
    Predictor(third)
    assert cached(cache) == {sha256(first), sha256(third)}


def test_of_large_networks_as_many_are_kept_as_there_is_room(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = small_networks(tmp_path, 4)
    for path in paths[:3]:
        Predictor(path)
    used_long_ago(cache, *paths[:3])
    (cache / ".writing-killed.onnx").touch()
    size = (cache / f"{sha256(paths[0])}-{TRANSLATION}.onnx").stat().st_size
    monkeypatch.setattr(onnx_file, "MOST_BYTES", 2 * size)
    Predictor(paths[3])
    assert cached(cache) == {sha256(paths[2]), sha256(paths[3])}


def test_a_cache_that_cannot_be_written_costs_only_time(
    path: Path, cache: Path, read_only: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = predicted(path)
    cache_in_a_file = path.parent / "file" / "cache"
    cache_in_a_file.parent.touch()
    for folder in (read_only / "cache", cache_in_a_file):
        monkeypatch.setattr(onnx_file, "CACHE", folder)
        assert np.array_equal(predicted(path), expected)


# Files that are no networks


WHAT_LOADS = "what loads is a .keras file of Keras 3 without code of its own, from square RGB patches to probabilities"


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ("nothing", WHAT_LOADS),
        ("half", WHAT_LOADS),
        ("pipe", "it is no file"),
        ("5 GB", "it has 5.4 GB, more than any network"),
        ("missing", "it is not there"),
    ],
)
def test_a_broken_file_is_refused_before_anything_is_cached(broken: str, why: str, path: Path, cache: Path) -> None:
    content = path.read_bytes()
    path.unlink()
    match broken:
        case "nothing":
            path.touch()
        case "half":
            path.write_bytes(content[: len(content) // 2])
        case "pipe":
            os.mkfifo(path)
        case "5 GB":
            path.write_bytes(content)
            os.truncate(path, 5 << 30)
    with pytest.raises(RunError, match=f"^best.keras of run cannot be loaded: {why}\\.$"):
        Predictor(path)
    assert not cache.exists()
