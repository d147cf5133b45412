"""Every layer of our networks as ONNX: what Keras computes; anything else is refused, and predicted by Keras."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from keras import layers

from segmentation.errors import RunError
from segmentation.inference.engine import load_engine
from segmentation.inference.onnx_file import check_network
from segmentation.inference.onnx_graph import UnknownNetworkError, read_as_onnx
from segmentation.inference.predictor import Predictor
from segmentation.model.registry import ARCHITECTURES, build

SIZE = 15
"""Odd, so that strides and pooling meet a rest."""

IMAGES = np.random.default_rng(3).integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8)


def saved(folder: Path, outputs: Callable, size: int = SIZE) -> tuple[keras.Model, Path]:
    """A model from an image, in 0–1 and of four channels, to what `outputs` makes of it; its weights are random."""
    inputs = keras.Input((size, size, 3), name="image")
    x = layers.Conv2D(4, 1, name="four")(layers.Rescaling(1 / 255, offset=-0.4)(inputs))
    model = keras.Model(inputs, outputs(x))
    rng = np.random.default_rng(5)
    model.set_weights(
        [rng.uniform(0.1, 1, weights.shape) - 0.3 * (weights.ndim > 1) for weights in model.get_weights()]
    )
    path = folder / "network" / "best.keras"
    path.parent.mkdir(parents=True)
    model.save(path)
    return model, path


def enlarged(x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.UpSampling2D()(layers.Conv2D(3, 1)(x))


def convolved(x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.Conv2D(5, 3, padding="same", activation="relu")(x)


def used_twice(x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.Concatenate()([x, convolved(x)])


KNOWN = {
    "convolution": lambda x: layers.Conv2D(5, 3, padding="same", activation="relu")(x),
    "convolution, even kernel": lambda x: layers.Conv2D(5, 4, strides=2, padding="same", use_bias=False)(x),
    "convolution, valid": lambda x: layers.Conv2D(5, (3, 5), strides=(2, 1))(x),
    "convolution, in groups": lambda x: layers.Conv2D(6, 3, strides=2, padding="same", groups=2)(x),
    "depthwise": lambda x: layers.DepthwiseConv2D(5, strides=2, padding="same", use_bias=False)(x),
    "depthwise, several a channel": lambda x: layers.DepthwiseConv2D(3, depth_multiplier=3, activation="relu")(x),
    "transposed": lambda x: layers.Conv2DTranspose(5, 2, strides=2, padding="same", activation="relu")(x),
    "transposed, odd kernel": lambda x: layers.Conv2DTranspose(5, 3, strides=2, padding="same")(x),
    "transposed, large kernel": lambda x: layers.Conv2DTranspose(5, (4, 5), strides=(2, 1), padding="same")(x),
    "normalization": lambda x: layers.BatchNormalization(epsilon=0.2)(x),
    "relu": lambda x: layers.ReLU()(x),
    "relu up to a value": lambda x: layers.ReLU(0.9)(x),
    "pooling": lambda x: layers.MaxPooling2D()(x),
    "pooling, same": lambda x: layers.MaxPooling2D(3, strides=2, padding="same")(x),
    "nearest": lambda x: layers.UpSampling2D((2, 3))(x),
    "bilinear": lambda x: layers.UpSampling2D((2, 3), interpolation="bilinear")(x),
    "nearest, then convolved": lambda x: layers.Conv2D(5, 3, padding="same")(layers.UpSampling2D()(x)),
    "nearest, activated, then convolved": lambda x: convolved(layers.ReLU(0.9)(layers.UpSampling2D()(x))),
    "nearest, joined, then convolved": lambda x: convolved(layers.Concatenate()([enlarged(x), enlarged(x)])),
    "joined behind another, then convolved": lambda x: convolved(
        layers.Concatenate()([convolved(enlarged(x)), enlarged(x)])
    ),
    "nearest, joined to two, then convolved": lambda x: convolved(layers.Concatenate()([enlarged(x)] * 3)),
    "nearest, used twice": lambda x: used_twice(enlarged(x)),
    "nearest, convolved in strides": lambda x: layers.Conv2D(5, 3, strides=2, padding="same")(enlarged(x)),
    "nearest, convolved without padding": lambda x: layers.Conv2D(5, 3)(enlarged(x)),
    "nearest, convolved by another kernel": lambda x: layers.Conv2D(5, 5, padding="same")(enlarged(x)),
    "nearest, convolved in groups": lambda x: layers.Conv2D(6, 3, padding="same", groups=2)(layers.UpSampling2D()(x)),
    "nearest, threefold, then convolved": lambda x: convolved(layers.UpSampling2D(3)(x)),
    "bilinear, then convolved": lambda x: convolved(layers.UpSampling2D(interpolation="bilinear")(x)),
    "enlarged to a size, then convolved": lambda x: convolved(layers.Resizing(30, 30, interpolation="nearest")(x)),
    "enlarged": lambda x: layers.Resizing(24, 31)(x),
    "reduced": lambda x: layers.Resizing(6, 11)(x),
    "enlarged, nearest": lambda x: layers.Resizing(24, 31, interpolation="nearest")(x),
    "reduced, nearest": lambda x: layers.Resizing(6, 11, interpolation="nearest")(x),
    "dropout": lambda x: layers.Dropout(0.5)(x),
    "sum": lambda x: layers.Add()([x, layers.ReLU()(x), x]),
    "joined": lambda x: layers.Concatenate()([x, layers.Conv2D(2, 1)(x)]),
    "softmax": lambda x: layers.Softmax()(x),
    "softmax as activation": lambda x: layers.Conv2D(5, 1, activation="softmax")(x),
}


@pytest.mark.parametrize("outputs", KNOWN.values(), ids=KNOWN)
def test_a_layer_computes_what_it_does_in_keras(outputs: Callable, tmp_path: Path) -> None:
    model, path = saved(tmp_path, outputs)
    content = read_as_onnx(path)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (received,) = session.run(None, {"images": IMAGES})
    expected = np.asarray(model(IMAGES, training=False))
    assert (received.dtype, received.shape) == (np.float32, expected.shape)
    assert np.ptp(expected) > 0.1
    assert np.allclose(received, expected, atol=1e-5)
    network = check_network(path, content)
    assert (network.input_shape, network.output_shape) == ((SIZE, SIZE, 3), expected.shape[1:])


@pytest.mark.parametrize("name", [name for name in KNOWN if not name.startswith(("enlarged", "reduced"))])
def test_a_layer_computes_what_it_does_in_keras_at_another_size(name: str, tmp_path: Path) -> None:
    _, path = saved(tmp_path, KNOWN[name])
    session = onnxruntime.InferenceSession(read_as_onnx(path), providers=["CPUExecutionProvider"])
    model, _ = saved(tmp_path / "larger", KNOWN[name], 26)
    images = np.random.default_rng(4).integers(0, 256, (2, 26, 26, 3), dtype=np.uint8)
    (received,) = session.run(None, {"images": images})
    assert np.allclose(received, np.asarray(model(images, training=False)), atol=1e-5)


@pytest.mark.parametrize("name", ["nearest, then convolved", "nearest, joined, then convolved"])
def test_what_is_convolved_is_not_enlarged_first(name: str, tmp_path: Path) -> None:
    _, path = saved(tmp_path, KNOWN[name])
    operators = [node.op_type for node in onnx.load_from_string(read_as_onnx(path)).graph.node]
    assert "ConvTranspose" in operators
    assert operators.count("Resize") == name.count("joined")  # what comes behind in the joined one is enlarged


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_is_known(architecture: str, tmp_path: Path) -> None:
    model = build(architecture, 64, 3)
    model.save(tmp_path / "best.keras")
    read_as_onnx(tmp_path / "best.keras")


def test_weights_of_half_precision_are_computed_with_in_single_precision(tmp_path: Path) -> None:
    model, path = saved(tmp_path, KNOWN["normalization"])
    model.set_weights([weights.astype(np.float16).astype(weights.dtype) for weights in model.get_weights()])
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    held = io.BytesIO(entries["model.weights.h5"])
    with h5py.File(held, "r+") as file:
        for layer in file["layers"].values():
            for index, values in list(layer["vars"].items()):
                del layer["vars"][index]
                layer["vars"][index] = values[()].astype(np.float16)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        for name, content in (entries | {"model.weights.h5": held.getvalue()}).items():
            archive.writestr(name, content)
    session = onnxruntime.InferenceSession(read_as_onnx(path), providers=["CPUExecutionProvider"])
    assert np.allclose(session.run(None, {"images": IMAGES})[0], np.asarray(model(IMAGES)), atol=1e-5)


@keras.saving.register_keras_serializable(package="tests")
class Halved(layers.Layer):
    """A layer of a user's own."""

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        return x / 2


def twice(x: keras.KerasTensor) -> keras.KerasTensor:
    layer = layers.Conv2D(4, 3, padding="same")
    return layer(layer(x))


UNKNOWN = {
    "layer": lambda x: layers.LeakyReLU()(x),
    "own layer": lambda x: Halved()(x),
    "dilation": lambda x: layers.Conv2D(5, 3, padding="same", dilation_rate=2)(x),
    "activation": lambda x: layers.Conv2D(5, 1, activation="elu")(x),
    "slope": lambda x: layers.ReLU(negative_slope=0.1)(x),
    "threshold": lambda x: layers.ReLU(threshold=0.1)(x),
    "axis of normalization": lambda x: layers.BatchNormalization(axis=1)(x),
    "normalization without scale": lambda x: layers.BatchNormalization(scale=False)(x),
    "axis of softmax": lambda x: layers.Softmax(axis=1)(x),
    "axis of concatenation": lambda x: layers.Concatenate(axis=2)([x, x]),
    "antialiasing": lambda x: layers.Resizing(6, 11, antialias=True)(x),
    "interpolation": lambda x: layers.UpSampling2D(interpolation="bicubic")(x),
    "cropping": lambda x: layers.Resizing(6, 11, crop_to_aspect_ratio=True)(x),
    "transposed, valid": lambda x: layers.Conv2DTranspose(5, 3)(x),
    "output padding": lambda x: layers.Conv2DTranspose(5, 3, strides=2, padding="same", output_padding=0)(x),
    "a layer used twice": twice,
    "half precision": lambda x: layers.Conv2D(4, 1, dtype="mixed_bfloat16")(x),
    "dropout in predictions": lambda x: layers.Dropout(1e-9)(x, training=True),
}


@pytest.mark.parametrize("outputs", UNKNOWN.values(), ids=UNKNOWN)
def test_what_is_not_known_is_refused_and_computed_by_keras(outputs: Callable, tmp_path: Path) -> None:
    model, path = saved(tmp_path, outputs)
    with pytest.raises(UnknownNetworkError, match=r"^Expected .*Received: |^Expected [a-zA-Z ]+\.$"):
        read_as_onnx(path)
    engine = load_engine(path)
    assert (engine.input_shape, engine.output_shape) == (model.input_shape[1:], model.output_shape[1:])
    assert np.allclose(engine.forward(IMAGES), np.asarray(model(IMAGES, training=False)), atol=0.05)


def test_a_sequential_model_is_computed_by_keras(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((SIZE, SIZE, 3)), layers.Conv2D(3, 1, activation="softmax")])
    model.save(tmp_path / "best.keras")
    (received,) = Predictor(tmp_path / "best.keras").batches(IMAGES)
    assert np.allclose(received, np.asarray(model(IMAGES)), atol=1e-5)


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    sign = str(tmp_path / "was run")
    _, path = saved(tmp_path, lambda x: layers.Lambda(lambda y: y + 0 * len(open(sign, "w").name))(x))  # noqa: PTH123, SIM115
    Path(sign).unlink()
    with pytest.raises(RunError, match=r"^best\.keras of network cannot be loaded: what loads is a \.keras file of"):
        Predictor(path)
    assert not Path(sign).exists()


def test_weights_in_another_file_are_not_read(tmp_path: Path) -> None:
    _, path = saved(tmp_path, KNOWN["relu"])
    other = tmp_path / "other.bin"
    other.write_bytes(bytes(1000))
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    held = io.BytesIO(entries["model.weights.h5"])
    with h5py.File(held, "r+") as file:
        values = file["layers/conv2d/vars"]
        shape = values["0"].shape
        del values["0"]
        values.create_dataset("0", shape, "f4", external=[(str(other), 0, 48)])
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (entries | {"model.weights.h5": held.getvalue()}).items():
            archive.writestr(name, content)
    with pytest.raises(RunError, match="cannot be loaded: its weights lie in another file or place"):
        Predictor(path)


def test_an_option_that_keras_may_bring_is_refused(tmp_path: Path) -> None:
    _, path = saved(tmp_path, KNOWN["relu"])
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(entries["config.json"])
    config["config"]["layers"][-1]["config"]["softness"] = 0.5
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (entries | {"config.json": json.dumps(config).encode()}).items():
            archive.writestr(name, content)
    with pytest.raises(UnknownNetworkError, match="softness"):
        read_as_onnx(path)
