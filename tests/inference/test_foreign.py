"""Models from elsewhere: opened safely, understood without a word from the user, and computed as their makers would."""

import re
import tomllib
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, load, save
from PIL import Image

from segmentation.data.patches import load_patches
from segmentation.data.scenes import Dataset
from segmentation.errors import ConfigurationError, NotAllowedError, RunError
from segmentation.evaluation.foreign import add_model
from segmentation.inference.foreign.adapter import (
    DEVIATION,
    MEAN,
    Adapter,
    read_adapter,
    read_settings,
    write_adapter,
)
from segmentation.inference.foreign.computing import engine_of, enlarged, forward_of
from segmentation.inference.foreign.files import store_model
from segmentation.inference.foreign.finding import Finding, find_shape, find_values
from segmentation.inference.foreign.opened import open_model
from segmentation.inference.predictor import Predictor
from tests.brightness import MODELS, THREE, of_name, write_convolution, write_onnx, write_set, wrong
from tests.memory import memory, reset_peak


def found(file: Path, dataset: Dataset, size: int = 160, **settings: object) -> Finding:
    """What is found out about a model."""
    opened = open_model(file)
    shape = find_shape(opened, 3, dataset.palette.names, settings)
    return find_values(opened, shape, load_patches(dataset, size), settings)


def picture(dataset: Dataset) -> np.ndarray:
    return np.asarray(Image.open(dataset.scenes[0].image))


@pytest.mark.parametrize("name", MODELS)
def test_a_models_adapter_is_found_out(models: Path, sets: dict[str, Dataset], name: str) -> None:
    layout, scale, output, size = MODELS[name]
    adapter, remarks = found(models / name, sets[of_name(name)], size)
    normalization = ("0-1", MEAN, DEVIATION) if scale == "imagenet" else (scale, (), ())
    assert (adapter.layout, adapter.order, adapter.output) == (layout, "rgb", output)
    assert (adapter.scale, adapter.mean, adapter.deviation) == normalization
    assert re.search(r"accuracy (0\.99|1\.00)", remarks[0])
    assert "BGR gives the same, so RGB is taken" in remarks[0]
    assert len(remarks) == 1  # it is clear
    fixed = {"fixed256.onnx": (256, 256), "logits.keras": (128, 128), "two-to-one.keras": (128, 256)}
    assert (adapter.height, adapter.width) == fixed.get(name, (0, 0))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("height", "width"), [(160, 160), (65, 300), (300, 97), (31, 17)])
def test_images_of_any_size_get_the_right_classes(
    models: Path, sets: dict[str, Dataset], name: str, height: int, width: int
) -> None:
    dataset = sets[of_name(name)]
    adapter, _ = found(models / name, dataset)
    image = picture(dataset)[:height, :width]
    probabilities = forward_of(open_model(models / name), adapter)(np.stack([image] * 3))
    assert probabilities.shape == (3, height, width, len(dataset.palette))
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(-1), 1, atol=1e-5)
    assert wrong(probabilities[2].argmax(-1), image, of_name(name)) == 0


@pytest.mark.parametrize(("channel", "order"), [(0, "rgb"), (2, "bgr")])
def test_the_order_of_colours_is_found_where_it_matters(tmp_path: Path, channel: int, order: str) -> None:
    """The mask says how red a pixel is; the model looks at the first of its channels, or at the last."""
    dataset = write_set(tmp_path / "set", THREE, channel=0)
    adapter, (said, *_) = found(write_convolution(tmp_path / "model.onnx", channel), dataset)
    assert (adapter.order, adapter.scale) == (order, "0-255")
    assert "BGR in its place: 0." in said or "RGB in its place: 0." in said


def test_a_model_that_nothing_suits_is_taken_with_a_word(tmp_path: Path, sets: dict[str, Dataset]) -> None:
    nodes = [helper.make_node("Mul", ["x", "nought"], ["y"])]
    file = write_onnx(tmp_path / "same.onnx", nodes, {"nought": np.float32([0])})
    adapter, remarks = found(file, sets[THREE])
    assert (adapter.scale, adapter.mean) == ("0-1", MEAN)
    assert remarks[1].startswith("No way of scaling its images is clearly the right one")
    assert "--adapter scale=" in remarks[1]


def test_a_scale_at_which_half_precision_overflows_is_not_the_models(tmp_path: Path, sets: dict[str, Dataset]) -> None:
    """It computes with 16 bits, in which 255 times what it wants is more than there is."""
    kernel = (np.outer([0, 1, 2], np.ones(3)) * 255 / 3).astype(np.float16)[..., None, None]
    convolution = helper.make_node("Conv", ["x", "kernel", "bias"], ["y"])
    constants = {"kernel": kernel, "bias": np.float16([0, -85, -255])}
    file = write_onnx(tmp_path / "half.onnx", [convolution], constants)
    model = load(file)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    save(model, file)
    adapter, (said, *_) = found(file, sets[THREE])
    assert (adapter.scale, adapter.mean, adapter.output) == ("0-1", (), "logits")
    assert "Input: 0–1, RGB: accuracy 0.9" in said or "Input: 0–1, RGB: accuracy 1.0" in said
    with pytest.raises(RunError, match=r"half\.onnx cannot be used as a model: it gives values that are no numbers"):
        forward_of(open_model(file), replace(adapter, scale="0-255"))(np.full((1, 64, 64, 3), 255, np.uint8))


def test_what_is_given_by_hand_is_not_looked_for(models: Path, sets: dict[str, Dataset]) -> None:
    settings = read_settings(["scale = 0-255", "order=BGR", "divisor=64", "output=logits", "layout=nchw"])
    adapter, remarks = found(models / "smp.onnx", sets[THREE], **settings)
    assert (adapter.scale, adapter.mean, adapter.order, adapter.divisor) == ("0-255", (), "bgr", 64)
    assert remarks == ["Input: 0–255, BGR, as given"]
    by_hand = read_settings(["scale=imagenet"])
    assert by_hand == {"scale": "0-1", "mean": MEAN, "deviation": DEVIATION}
    assert found(models / "smp.onnx", sets[THREE], **by_hand).adapter.order == "rgb"


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("scale", "an entry such as scale=0-1"),
        ("file=/etc/passwd", "an entry such as scale=0-1"),
        ("scale=0-2", "scale out of 0-255, 0-1, -1-1"),
        ("mean=a,b,c", "mean as in mean=0.5,0.5,0.5"),
        ("deviation=0,1,1", "deviations above 0"),
        ("height=x", "height as in height=256"),
        ("height=256", "height and width, or neither"),
        ("mean=" + ",".join(["1"] * 40), "up to 12 bands"),
    ],
)
def test_an_entry_that_cannot_be_is_refused(entry: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        read_settings([entry])


def test_sigmoids_of_several_classes_and_small_maps_of_logits_are_understood(
    tmp_path: Path, sets: dict[str, Dataset]
) -> None:
    """A map of a quarter of the size, as some networks give it, is enlarged between its pixels."""
    sigmoid = write_convolution(tmp_path / "s.onnx", after=(helper.make_node("Sigmoid", ["logits"], ["y"]),))
    adapter, _ = found(sigmoid, sets[THREE], scale="0-255")
    assert adapter.output == "probabilities"
    pool = helper.make_node("AveragePool", ["logits"], ["y"], kernel_shape=[4, 4], strides=[4, 4])
    small = write_convolution(tmp_path / "small.onnx", after=(pool,))
    adapter, _ = found(small, sets[THREE])
    assert (adapter.output, adapter.scale, adapter.divisor) == ("logits", "0-255", 32)
    flat = np.full((1, 160, 160, 3), 200, np.uint8)
    assert (forward_of(open_model(small), adapter)(flat).argmax(-1) == 2).all()


def test_enlarging_is_linear_between_the_middles_of_pixels() -> None:
    ramp = np.float32([0, 1, 2, 3]).reshape(1, 1, 4, 1)
    larger = enlarged(ramp, 2, 8)
    assert larger.shape == (1, 2, 8, 1)
    assert larger[0, 1, :, 0].tolist() == [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]


def test_a_model_of_one_image_at_a_time_and_one_size_slides(tmp_path: Path, sets: dict[str, Dataset]) -> None:
    file = write_convolution(tmp_path / "model.onnx", shape=(1, 3, 96, 96))
    adapter, _ = found(file, sets[THREE])
    assert (adapter.height, adapter.width) == (96, 96)
    image = picture(sets[THREE])
    assert wrong(forward_of(open_model(file), adapter)(image[None])[0].argmax(-1), image, THREE) == 0
    assert engine_of(open_model(file), adapter, 96).window == 0
    assert engine_of(open_model(file), replace(adapter, height=1024, width=512), 160).window == 1024


def test_a_size_that_the_graph_does_not_name_is_tried_out(tmp_path: Path, sets: dict[str, Dataset]) -> None:
    """Like a network of 64 px blocks: what it makes of other sizes does not fit its own input."""
    pooled = helper.make_node("AveragePool", ["x"], ["low"], kernel_shape=[64, 64], strides=[64, 64])
    scales = np.float32([1, 1, 64, 64])
    up = helper.make_node("Resize", ["low", "", "scales"], ["high"], mode="nearest")
    file = write_onnx(
        tmp_path / "b.onnx", [pooled, up, helper.make_node("Add", ["x", "high"], ["y"])], {"scales": scales}
    )
    assert found(file, sets[THREE]).adapter.divisor == 64


def test_an_adapter_is_kept_as_toml_with_comments(tmp_path: Path) -> None:
    adapter = Adapter(
        file="model.onnx",
        sha256="0" * 64,
        scale="0-1",
        mean=MEAN,
        deviation=DEVIATION,
        height=256,
        width=128,
        output="classes",
        classes=('a "b" \\ ü', "\x7f", "c"),
    )
    write_adapter(adapter, tmp_path / "model.toml")
    assert read_adapter(tmp_path / "model.toml") == adapter
    text = (tmp_path / "model.toml").read_text()
    assert tomllib.loads(text)["mean"] == list(MEAN)
    assert text.count("\n# ") == len(tomllib.loads(text))


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "file = 3",
        'file = "m.onnx"\nsha256 = ""\nclasses = ["a"]\nother = 1',
        'file = "m.onnx"\nsha256 = ""\nclasses = ["a"]\nbands = 1e9',
        'file = "m.onnx"\nsha256 = ""\nclasses = ["a"]\nmean = ["x", "y", "z"]',
        'file = "m.onnx"\nsha256 = ""\nclasses = ["a"]\nlayout = ["nchw"]',
        'file = "m.onnx"\nsha256 = ""\nclasses = ["a"]\nscale = "0-2"',
        'file = "m.onnx"\nsha256 = ""\nclasses = [["a"]]',
        "[" * 5000,
        "#" * (1 << 17),
        "\x00",
    ],
    ids=range(11),
)
def test_a_toml_that_cannot_be_is_one_sentence(tmp_path: Path, broken: str) -> None:
    (tmp_path / "model.toml").write_text(broken)
    with pytest.raises(RunError, match=r"^model.toml of .* (cannot be read|cannot be): .*\.?$"):
        read_adapter(tmp_path / "model.toml")


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors", ".h5", ".pb", ".tflite", ".zip"])
def test_other_files_are_refused_with_the_way_out(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"model{suffix}"
    file.write_bytes(b"anything")
    with pytest.raises(RunError, match=r"(export|save|load).*docs/models.md") as refused:
        open_model(file)
    assert str(refused.value).startswith(f"model{suffix} cannot be used as a model: ")


def test_a_file_of_zeros_is_refused_unread(tmp_path: Path) -> None:
    file = tmp_path / "zeros.onnx"
    with file.open("wb") as opened:
        opened.truncate((1 << 31) - 1)
    before = reset_peak()
    with pytest.raises(RunError, match="it is no ONNX file"):
        open_model(file)
    assert memory("VmHWM") - before < 100
    with file.open("wb") as opened:
        opened.truncate(1 << 33)
    with pytest.raises(RunError, match=r"it has 8\.6 GB, and ONNX files have up to 2 GB"):
        open_model(file)


def test_operators_that_nobody_knows_are_named(tmp_path: Path) -> None:
    file = write_onnx(tmp_path / "odd.onnx", [helper.make_node("Foo", ["x"], ["y"], domain="acme")], {})
    with pytest.raises(RunError, match=r"^odd.onnx cannot be used as a model: ONNX Runtime .* acme:Foo"):
        open_model(file)


def test_a_graph_that_asks_for_terabytes_is_one_sentence(tmp_path: Path) -> None:
    """Its output is as large as its brightest pixel says: no graph tells beforehand."""
    nodes = [
        helper.make_node("Cast", ["x"], ["whole"], to=TensorProto.INT64),
        helper.make_node("ReduceMax", ["whole"], ["most"], keepdims=0),
        helper.make_node("Add", ["most", "one"], ["times"]),
        helper.make_node("Concat", ["times"] * 4, ["all"], axis=0),
        helper.make_node("Tile", ["x", "all"], ["y"]),
    ]
    file = write_onnx(tmp_path / "large.onnx", nodes, {"one": np.array([1], np.int64)})
    opened = open_model(file)
    assert opened.run(np.zeros((1, 3, 8, 8), np.float32)).shape == (1, 3, 8, 8)
    before = reset_peak()
    with pytest.raises(RunError, match="it does not compute a batch of 1 × 3 × 160 × 160: "):
        opened.run(np.full((1, 3, 160, 160), 30, np.float32))
    assert memory("VmHWM") - before < 200


def test_a_model_of_more_than_two_gigabytes_stays_where_it_is(
    tmp_path: Path, sets: dict[str, Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its weights end in zeros that take no room on the disk. Pages read it only if they may."""
    (tmp_path / "large").mkdir()
    file = external(tmp_path / "large", "weights.bin")
    with (tmp_path / "large" / "weights.bin").open("r+b") as weights:
        weights.truncate(1 << 31)
    monkeypatch.setenv("SEGMENTATION_ALLOWED", str(tmp_path / "large"))
    run = add_model(tmp_path / "runs" / "large", file, sets[THREE], tell=len)
    assert run.metrics.accuracy > 0.98
    assert not (run.folder / "model.onnx").exists()
    assert read_adapter(run.model).file == str(file)
    monkeypatch.setenv("SEGMENTATION_ALLOWED", str(tmp_path / "runs"))
    with pytest.raises(NotAllowedError, match="SEGMENTATION_ALLOWED"):
        Predictor(run.model)


def external(folder: Path, location: str) -> Path:
    """A model whose weights lie elsewhere."""
    file = write_convolution(folder / "model.onnx")
    model = load(file)
    save(model, file, save_as_external_data=True, location="weights.bin", size_threshold=0)
    model = load(file, load_external_data=False)
    for tensor in model.graph.initializer:
        next(entry for entry in tensor.external_data if entry.key == "location").value = location
    file.write_bytes(model.SerializeToString())
    return file


def test_weights_beside_a_model_come_with_it(tmp_path: Path) -> None:
    file = external(tmp_path, "weights.bin")
    (tmp_path / "run").mkdir()
    stored = store_model(file, tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["model.onnx"]
    batch = np.full((1, 3, 4, 4), 200, np.float32)
    np.testing.assert_array_equal(open_model(stored).run(batch), open_model(file).run(batch))


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/hostname", "", "a/b", "link.bin", ".."])
def test_weights_anywhere_else_are_refused(tmp_path: Path, location: str) -> None:
    (tmp_path / "in").mkdir()
    file = external(tmp_path / "in", location)
    (tmp_path / "in" / "weights.bin").rename(tmp_path / "weights.bin")
    (tmp_path / "in" / "link.bin").symlink_to(tmp_path / "weights.bin")
    for use in (open_model, lambda path: store_model(path, tmp_path)):
        with pytest.raises(RunError, match=r"its weights lie in .*, which is not beside it|is not there"):
            use(file)


def test_a_keras_file_with_code_of_its_own_is_refused(tmp_path: Path) -> None:
    import keras

    model = keras.Sequential(
        [keras.Input((None, None, 3)), keras.layers.Lambda(lambda x: x * 2), keras.layers.Conv2D(3, 1)]
    )
    model.save(tmp_path / "lambda.keras")
    with pytest.raises(RunError, match=r"without running code that it brings: export it as ONNX"):
        open_model(tmp_path / "lambda.keras")
    with zipfile.ZipFile(tmp_path / "none.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(RunError, match=r"none.keras"):
        open_model(tmp_path / "none.keras")


def test_a_model_of_other_classes_says_what_it_gives(tmp_path: Path, sets: dict[str, Dataset]) -> None:
    file = write_convolution(tmp_path / "model.onnx")
    with pytest.raises(
        RunError, match=r"it gives 1 × 3 × 1[0-9]+ × 1[0-9]+ values, no map of the 2 classes dark, light"
    ):
        found(file, sets["dark, light"])


@pytest.mark.parametrize("shape", [("b", 5, "h", "w"), (1, 4, 64, 64)])
def test_a_model_of_other_bands_is_refused(tmp_path: Path, sets: dict[str, Dataset], shape: tuple) -> None:
    file = write_onnx(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])], {}, shape)
    with pytest.raises(RunError, match="read in 3 bands"):
        found(file, sets[THREE])


def test_a_network_of_pytorch_gives_the_same_classes_here(tmp_path: Path, sets: dict[str, Dataset]) -> None:
    torch = pytest.importorskip("torch")
    nn = torch.nn

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()

            def block(inputs: int, outputs: int) -> nn.Module:
                return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU())

            self.down = nn.ModuleList([block(3, 8), block(8, 16), block(16, 32)])
            self.up = nn.ModuleList([nn.ConvTranspose2d(32, 16, 2, 2), nn.ConvTranspose2d(16, 8, 2, 2)])
            self.joined = nn.ModuleList([block(32, 16), block(16, 8)])
            self.head = nn.Conv2d(8, 3, 1)

        def forward(self, x):  # noqa: ANN001, ANN202 (torch's are known only once it is imported)
            first = self.down[0](x)
            second = self.down[1](nn.functional.max_pool2d(first, 2))
            third = self.down[2](nn.functional.max_pool2d(second, 2))
            x = self.joined[0](torch.cat([self.up[0](third), second], 1))
            return self.head(self.joined[1](torch.cat([self.up[1](x), first], 1)))

    torch.manual_seed(1)
    network = UNet().eval()
    image = picture(sets[THREE])[:288, :320]
    values = torch.from_numpy(((image / 255 - MEAN) / DEVIATION).astype(np.float32).transpose(2, 0, 1)[None])
    with torch.no_grad():  # so that it knows all three classes
        network.head.bias -= network(values).mean((0, 2, 3))
    free = {0: "batch", 2: "height", 3: "width"}
    with pytest.warns(DeprecationWarning):  # the other way to export needs a further package
        torch.onnx.export(
            network,
            (torch.zeros(1, 3, 64, 64),),
            tmp_path / "unet.onnx",
            input_names=["images"],
            output_names=["logits"],
            dynamic_axes={"images": free, "logits": free},
            dynamo=False,
        )
    settings = read_settings(["scale=imagenet", "order=rgb"])
    adapter, _ = found(tmp_path / "unet.onnx", sets[THREE], **settings)
    assert (adapter.layout, adapter.output, adapter.divisor) == ("nchw", "logits", 32)
    with torch.no_grad():
        theirs = network(values).argmax(1)[0].numpy()
    ours = forward_of(open_model(tmp_path / "unet.onnx"), adapter)(image[None])[0].argmax(-1)
    assert len(np.unique(theirs)) > 1
    assert (ours == theirs).mean() >= 0.999
