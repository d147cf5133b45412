"""The shipped models reach the scores to beat on the real set's held-out patches, computed without the package."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from segmentation.data.locate import PROJECT
from segmentation.data.scenes import Dataset
from segmentation.runs.run import SHIPPED, find_runs

COLORS = ((60, 16, 152), (132, 41, 246), (110, 193, 228), (254, 221, 58), (226, 169, 41), (155, 155, 155))

BARS = {
    "dubai-unet": (0.8616, 0.6599, 0.6, 0.7),
    "dubai-lite0": (0.888, 0.746, 0.69, 0.765),
    "dubai-best": (0.895, 0.78, 0.68, 0.785),
}
"""Accuracy, Jaccard, mean IoU over six classes and over five: the article's for its network, ahead of all that is
published for the best, for the one between what it was shipped with."""


PLACES = {
    "dubai-scene": ({f"Tile {part}/{part}" for part in range(1, 9)}, 0.867),
    "dubai-tile": ({f"Tile 2/{part}" for part in range(1, 10)}, 0.0),
}
"""What is held out, as tile and number of the scene, and the accuracy to reach: the best published by image; nobody
reports a place never seen."""


@pytest.fixture(scope="module")
def held_out(real_dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Images and class indices of the 349 held-out patches; other colours count as Unlabeled, as in the article."""
    images, masks = [], []
    for scene in real_dataset.scenes:
        image = np.asarray(Image.open(scene.image))
        mask = np.asarray(Image.open(scene.mask).convert("RGB"))
        for top in range(0, mask.shape[0] - 159, 160):
            for left in range(0, mask.shape[1] - 159, 160):
                images.append(image[top : top + 160, left : left + 160])
                masks.append(mask[top : top + 160, left : left + 160])
    assert len(images) == 3483
    chosen = np.random.RandomState(42).permutation(3483)[:349]
    truth = np.full((349, 160, 160), 5, np.uint8)
    for place, index in enumerate(chosen):
        for value, color in enumerate(COLORS):
            truth[place][(masks[index] == color).all(-1)] = value
    return np.stack([images[index] for index in chosen]), truth


@pytest.mark.parametrize("run", BARS)
def test_a_shipped_model_reaches_its_scores(run: str, held_out: tuple[np.ndarray, np.ndarray]) -> None:
    import keras

    images, truth = held_out
    model = keras.saving.load_model(SHIPPED / run / "best.keras", compile=False)
    predicted, of_truth = np.empty_like(truth), 0.0
    for start in range(0, len(images), 32):
        now = slice(start, start + 32)
        probabilities = np.asarray(model(images[now].astype("float32")))
        predicted[now] = probabilities.argmax(-1)
        of_truth += np.take_along_axis(probabilities, truth[now][..., None].astype(int), -1).sum(dtype=float)
    accuracy = (predicted == truth).mean()
    jaccard = (of_truth + 1) / (2 * truth.size - of_truth + 1)  # probabilities of a pixel sum to one
    ious = [((predicted == c) & (truth == c)).sum() / ((predicted == c) | (truth == c)).sum() for c in range(6)]
    reached = (accuracy, jaccard, np.mean(ious), np.mean(ious[:5]))
    assert all(score >= bar for score, bar in zip(reached, BARS[run], strict=True)), reached

    metrics = json.loads((SHIPPED / run / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["patches"] == 349
    assert metrics["pixels"] == truth.size
    assert metrics["accuracy"] == pytest.approx(accuracy, abs=1e-4)
    assert metrics["jaccard"] == pytest.approx(jaccard, abs=1e-4)
    assert list(metrics["iou"].values()) == pytest.approx(ious, abs=2e-4)
    assert metrics["mean_iou"] == pytest.approx(np.mean(ious), abs=2e-4)


@pytest.mark.parametrize("run", PLACES)
def test_a_model_of_whole_scenes_is_scored_on_those_it_has_not_seen(run: str, real_dataset: Dataset) -> None:
    import keras

    scenes, bar = PLACES[run]
    model = keras.saving.load_model(SHIPPED / run / "best.keras", compile=False)
    matrix, patches = np.zeros((6, 6), int), 0
    for scene in real_dataset.scenes:
        if f"{scene.tile}/{int(scene.image.stem[-3:])}" not in scenes:
            continue
        image = np.asarray(Image.open(scene.image))
        mask = np.asarray(Image.open(scene.mask).convert("RGB"))
        for top in range(0, mask.shape[0] - 159, 160):
            row = [image[top : top + 160, left : left + 160] for left in range(0, mask.shape[1] - 159, 160)]
            predicted = np.asarray(model(np.stack(row).astype("float32"))).argmax(-1)
            patches += len(row)
            for place, found in enumerate(predicted):
                colors = mask[top : top + 160, 160 * place : 160 * place + 160]
                for value, color in enumerate(COLORS):  # black is no class, and left out
                    matrix[value] += np.bincount(found[(colors == color).all(-1)], minlength=6)
    accuracy = np.trace(matrix) / matrix.sum()
    assert accuracy >= bar
    metrics = json.loads((SHIPPED / run / "metrics.json").read_text(encoding="utf-8"))
    assert (metrics["patches"], metrics["pixels"]) == (patches, matrix.sum())
    assert metrics["accuracy"] == pytest.approx(accuracy, abs=1e-4)
    ious = np.diag(matrix) / (matrix.sum(0) + matrix.sum(1) - np.diag(matrix))
    assert list(metrics["iou"].values()) == pytest.approx(list(ious), abs=2e-4)


@pytest.mark.parametrize("run", ["dubai-lite0", "dubai-best"])
def test_no_class_is_worse_in_the_stronger_network(run: str) -> None:
    weaker, stronger = (
        json.loads((SHIPPED / name / "metrics.json").read_text(encoding="utf-8"))["iou"] for name in ("dubai-unet", run)
    )
    assert all(stronger[name] >= weaker[name] for name in weaker)


def test_every_shipped_model_predicts_in_a_fresh_process_without_a_network() -> None:
    code = """
import sys

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise OSError(f"{event} {arguments}")

sys.addaudithook(refuse)
import keras
import numpy
import segmentation.model

for path in sys.argv[1:]:
    model = keras.saving.load_model(path, compile=False)
    probabilities = numpy.asarray(model(numpy.full((1, 160, 160, 3), 127, "float32")))
    assert probabilities.shape == (1, 160, 160, 6), path
    assert abs(probabilities.sum(-1) - 1).max() < 1e-5, path
"""
    paths = [str(run.folder / "best.keras") for run in find_runs(SHIPPED)]
    assert len(paths) == 7
    command = [sys.executable, "-c", code, *paths]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
