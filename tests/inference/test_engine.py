"""What computes a network: as exact as TensorFlow, without importing it, from many threads, in bounded memory."""

import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from segmentation.data.locate import PROJECT
from segmentation.data.scenes import Dataset
from segmentation.errors import BackendError, RunError
from segmentation.inference import engine
from segmentation.inference.engine import keras_engine, load_engine
from segmentation.inference.options import Inference
from segmentation.inference.predictor import Predictor
from segmentation.runs.run import SHIPPED, find_runs


@pytest.fixture(scope="module")
def patches(real_dataset: Dataset) -> np.ndarray:
    """Sixteen of 160 px, two a tile."""
    scenes = [scene for scene in real_dataset.scenes if scene.name.endswith(("1", "5"))]
    return np.stack([np.asarray(Image.open(scene.image).convert("RGB"))[100:260, 100:260] for scene in scenes])


@pytest.mark.parametrize("run", find_runs(SHIPPED), ids=lambda run: run.name)
def test_a_shipped_model_predicts_what_tensorflow_does(run: object, patches: np.ndarray) -> None:
    expected = keras_engine(run.model).forward(patches)
    probabilities = load_engine(run.model).forward(patches)
    assert np.allclose(probabilities, expected, atol=1e-4)
    assert (probabilities.argmax(-1) == expected.argmax(-1)).mean() > 0.99999


@pytest.mark.usefixtures("bfloat16")
@pytest.mark.parametrize("run", find_runs(SHIPPED), ids=lambda run: run.name)
def test_in_bfloat16_almost_all_pixels_get_the_same_class(run: object, patches: np.ndarray) -> None:
    exact, coarse = (Predictor(run.model, bfloat16) for bfloat16 in (False, True))
    expected, probabilities = (np.concatenate(list(predictor.batches(patches))) for predictor in (exact, coarse))
    assert np.abs(probabilities - expected).max() > 1e-4
    assert np.abs(probabilities - expected).mean() < 5e-3
    assert (probabilities.argmax(-1) == expected.argmax(-1)).mean() > 0.99
    image = np.concatenate(np.concatenate(patches.reshape(4, 4, 160, 160, 3), axis=1), axis=1)
    same = coarse.scene_classes(image, Inference(overlap=0.5)) == exact.scene_classes(image, Inference(overlap=0.5))
    assert 0.99 < same.mean() < 1


def test_bfloat16_needs_a_processor_and_a_package(small_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import openvino

    with monkeypatch.context() as without:
        without.setattr(openvino.Core, "get_property", lambda *_: ["FP32", "INT8"])
        with pytest.raises(BackendError, match=r"^This machine's processor does not compute in bfloat16"):
            Predictor(small_model, bfloat16=True)
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setattr(engine, "openvino_core", engine.openvino_core.__wrapped__)  # as if it had not been asked before
    with pytest.raises(BackendError, match=r"pip install openvino$"):
        Predictor(small_model, bfloat16=True)


def test_openvino_computes_windows_of_both_sizes(small_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the processor has no such arithmetic OpenVINO computes in single precision, which is as good for this."""
    import openvino

    monkeypatch.setattr(openvino.Core, "get_property", lambda *_: ["BF16"])
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    exact, coarse = (Predictor(small_model, bfloat16) for bfloat16 in (False, True))
    for overlap, size in ((0.0, 16), (0.5, 32)):
        assert exact.window(50, 70, overlap)[0] == coarse.window(50, 70, overlap)[0] == size
        expected = exact.scene_classes(image, Inference(overlap))
        assert (coarse.scene_classes(image, Inference(overlap)) == expected).mean() > 0.97


@pytest.mark.usefixtures("bfloat16")
def test_a_network_that_only_keras_computes_is_not_computed_in_bfloat16(tmp_path: Path) -> None:
    path = tmp_path / "network" / "best.keras"
    path.parent.mkdir()
    keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Conv2D(3, 1, activation="softmax")]).save(path)
    with pytest.raises(
        RunError, match=r"^best\.keras of network cannot be computed in bfloat16: predict without it\.$"
    ):
        Predictor(path, bfloat16=True)


@pytest.mark.usefixtures("bfloat16")
def test_a_signal_does_not_crash_what_has_computed_in_bfloat16(small_model: Path) -> None:
    code = """
import faulthandler, signal, sys
from pathlib import Path
from segmentation.inference.engine import bfloat16_engine
faulthandler.enable()
signal.signal(signal.SIGINT, lambda *_: print("stopped politely"))
for _ in range(3):
    engine = bfloat16_engine(Path(sys.argv[1]))
del engine
signal.raise_signal(signal.SIGINT)
"""
    done = python(code, small_model)
    assert (done.returncode, done.stdout) == (0, "stopped politely\n"), done.stderr


def test_openvino_reports_to_nobody_that_it_is_used(small_model: Path) -> None:
    code = """
import importlib.util, socket, sys
assert importlib.util.find_spec("openvino_telemetry")  # what would report
def refuse(*_): raise AssertionError("something is to be sent")
socket.socket.connect = socket.getaddrinfo = refuse
from pathlib import Path
from segmentation.inference.engine import bfloat16_engine
from segmentation.errors import BackendError
try:
    bfloat16_engine(Path(sys.argv[1]))
except BackendError:  # by a processor that cannot
    pass
assert not [name for name, module in sys.modules.items() if name.startswith("openvino_telemetry") and module]
"""
    done = python(code, small_model)
    assert done.returncode == 0, done.stderr


def python(code: str, *arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=300)


def test_shipped_models_predict_without_tensorflow_in_memory_that_does_not_grow() -> None:
    code = """
import resource, sys
import numpy as np
from segmentation.inference.options import Inference
from segmentation.inference.predictor import Predictor
from segmentation.runs.run import SHIPPED, find_runs

images = np.random.default_rng(0).integers(0, 256, (8, 160, 160, 3), dtype=np.uint8)
for run in find_runs(SHIPPED):
    predictor = Predictor(run.model)
    for count in (8, 3, 8):
        probabilities = np.concatenate(list(predictor.batches(images[:count])))
assert not {"tensorflow", "keras"} & set(sys.modules)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for _ in range(40):
    assert np.array_equal(np.concatenate(list(predictor.batches(images))), probabilities)
assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # kilobytes; the results are 196 MB
"""
    done = python(code)
    assert done.returncode == 0, done.stderr


def test_commands_predict_and_evaluate_without_tensorflow(trained: object, tmp_path: Path) -> None:
    code = """
import sys
from segmentation.__main__ import main
assert main() == 0
assert not {"tensorflow", "keras"} & set(sys.modules)
"""
    run = ("--run", trained.run.folder)
    done = python(code, "predict", trained.dataset.scenes[0].image, *run, "--output", tmp_path)
    assert done.returncode == 0, done.stderr
    done = python(code, "evaluate", *run, "--data", trained.dataset.root)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("broken", ["no zip", "layers that are a list", "no weights", "weights that are no HDF5"])
def test_a_broken_file_is_refused_without_tensorflow(broken: str, small_model: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(small_model) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    match broken:
        case "layers that are a list":
            entries["config.json"] = b"[1, 2]"
        case "no weights":
            del entries["model.weights.h5"]
        case "weights that are no HDF5":
            entries["model.weights.h5"] = b"\x89HDF\r\n\x1a\n" + bytes(500)
    path = tmp_path / "best.keras"
    if broken == "no zip":
        path.write_bytes(b"Dear Sir or Madam")
    else:
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in entries.items():
                archive.writestr(name, content)
    code = """
import sys
from pathlib import Path
from segmentation.errors import RunError
from segmentation.inference.predictor import Predictor
try:
    Predictor(Path(sys.argv[1]))
except RunError as error:
    print(error)
assert not {"tensorflow", "keras"} & set(sys.modules)
"""
    done = python(code, path)
    assert done.returncode == 0, done.stderr
    assert "cannot be loaded: what loads is a .keras file" in done.stdout


def test_many_threads_share_a_predictor(small_model: Path) -> None:
    predictor = Predictor(small_model)
    size = predictor.patch_size
    images = np.random.default_rng(1).integers(0, 256, (12, 5 * size, 3 * size, 3), dtype=np.uint8)
    expected = [predictor.scene(image, Inference(overlap=0.5)).probabilities for image in images]
    with ThreadPoolExecutor(6) as pool:
        received = list(pool.map(lambda image: predictor.scene(image, Inference(overlap=0.5)).probabilities, images))
    assert np.array_equal(received, expected)
