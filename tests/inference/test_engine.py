"""What computes a network: as exact as TensorFlow, without importing it, from many threads, in bounded memory."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segmentation.data.locate import PROJECT
from segmentation.data.scenes import Dataset
from segmentation.inference.engine import keras_engine, load_engine
from segmentation.inference.predictor import Predictor
from segmentation.runs.folder import SHIPPED, find_runs


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


def python(code: str, *arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=300)


def test_shipped_models_predict_without_tensorflow_in_memory_that_does_not_grow() -> None:
    code = """
import resource, sys
import numpy as np
from segmentation.inference.predictor import Predictor
from segmentation.runs.folder import SHIPPED, find_runs

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


def test_many_threads_share_a_predictor(small_model: Path) -> None:
    predictor = Predictor(small_model)
    size = predictor.patch_size
    images = np.random.default_rng(1).integers(0, 256, (12, 5 * size, 3 * size, 3), dtype=np.uint8)
    expected = [predictor.scene(image, overlap=0.5).probabilities for image in images]
    with ThreadPoolExecutor(6) as pool:
        received = list(pool.map(lambda image: predictor.scene(image, overlap=0.5).probabilities, images))
    assert np.array_equal(received, expected)
