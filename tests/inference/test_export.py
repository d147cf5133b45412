"""Networks in the formats of other programs, loaded again."""

import sys
from pathlib import Path

import keras
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf

from segmentation.errors import ConfigurationError, RunError
from segmentation.inference.engine import openvino_core
from segmentation.inference.export import export
from segmentation.inference.predictor import Predictor

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def expected(small_model: Path) -> np.ndarray:
    return next(Predictor(small_model).batches(IMAGES))


def test_onnx_gives_the_same_probabilities(small_model: Path, expected: np.ndarray, tmp_path: Path) -> None:
    export(small_model, "onnx", tmp_path / "new folder" / "network.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "new folder" / "network.onnx")
    (probabilities,) = session.run(["probabilities"], {"images": IMAGES})
    assert np.array_equal(probabilities, expected)
    assert [path.name for path in (tmp_path / "new folder").iterdir()] == ["network.onnx"]


def test_a_saved_model_gives_the_same_probabilities(small_model: Path, expected: np.ndarray, tmp_path: Path) -> None:
    export(small_model, "tf_saved_model", tmp_path / "network")
    network = tf.saved_model.load(tmp_path / "network")
    probabilities = network.serve(IMAGES.astype(np.float32))
    assert np.allclose(probabilities, expected, atol=1e-5)


def test_litert_gives_the_same_probabilities(small_model: Path, expected: np.ndarray, tmp_path: Path) -> None:
    export(small_model, "litert", tmp_path / "network.tflite")
    interpreter = tf.lite.Interpreter(str(tmp_path / "network.tflite"))
    (images,), (probabilities,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(images["index"], IMAGES.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(images["index"], IMAGES.astype(np.float32))
    interpreter.invoke()
    assert np.allclose(interpreter.get_tensor(probabilities["index"]), expected, atol=1e-5)


def test_openvino_gives_the_same_probabilities(small_model: Path, expected: np.ndarray, tmp_path: Path) -> None:
    export(small_model, "openvino", tmp_path / "network.xml")
    network = openvino_core().compile_model(tmp_path / "network.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert np.allclose(network(IMAGES.astype(np.float32))[0], expected, atol=1e-5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["network.bin", "network.xml"]


def test_a_format_whose_packages_are_missing_says_what_to_install(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("openvino", "scipy"):
        monkeypatch.setitem(sys.modules, name, None)  # as where they are not installed: importing fails
    with pytest.raises(RunError, match=r"pip install openvino scipy$"):
        export(small_model, "openvino", tmp_path / "network.xml")
    assert list(tmp_path.iterdir()) == []


def test_what_exists_is_not_overwritten(small_model: Path, tmp_path: Path) -> None:
    (tmp_path / "network.onnx").write_text("mine")
    with pytest.raises(ConfigurationError, match=r"There is .*network\.onnx already"):
        export(small_model, "onnx", tmp_path / "network.onnx")
    assert (tmp_path / "network.onnx").read_text() == "mine"


def test_a_name_that_the_format_does_not_have_is_refused(small_model: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=r"Expected an output that ends in '\.tflite'\. Received: network\.onnx"
    ):
        export(small_model, "litert", tmp_path / "network.onnx")


def test_a_network_of_other_layers_is_not_written_as_onnx(tmp_path: Path) -> None:
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(3, 1, activation="elu")(inputs)
    model = keras.Model(inputs, keras.layers.Softmax()(x))
    model.save(tmp_path / "best.keras")
    with pytest.raises(RunError, match="choose another"):
        export(tmp_path / "best.keras", "onnx", tmp_path / "network.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["best.keras"]


def test_a_broken_network_is_named_with_its_run(tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "best.keras").write_bytes(b"no network")
    with pytest.raises(RunError, match=r"^best\.keras of tiny cannot be loaded: what loads is a \.keras file of"):
        export(tmp_path / "tiny" / "best.keras", "onnx", tmp_path / "network.onnx")
