"""The temperature of a run, fitted on its validation part, and the scores that it changes; computed here anew."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from segmentation.data.patches import load_patches
from segmentation.data.protocols import TEST, VALIDATION
from segmentation.evaluation.evaluate import evaluate_run
from segmentation.inference.predictor import Predictor
from segmentation.runs.records import Calibration, Metrics
from segmentation.runs.run import Run


@pytest.fixture(scope="module")
def seen(trained: tuple) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Probabilities (pixels, classes) and true classes of the labelled pixels of each part, and each pixel's tile."""
    patches = load_patches(trained.dataset, 32, protocol="scene")
    probabilities = np.concatenate(list(Predictor(trained.run.model).batches(patches.images))).astype(float)
    table = trained.run.patches
    assert table["patch"].tolist() == patches.table["patch"].tolist()
    found = {}
    for part in (VALIDATION, TEST):
        chosen = (table["part"] == part).to_numpy()
        truth, known = patches.masks[chosen], patches.masks[chosen] != 255
        tiles = np.broadcast_to(table["tile"].to_numpy()[chosen, None, None], truth.shape)
        found[part] = probabilities[chosen][known], truth[known].astype(int), tiles[known]
    return found


def at(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    powers = probabilities ** (1 / temperature)
    return powers / powers.sum(-1, keepdims=True)


def error(probabilities: np.ndarray, truth: np.ndarray) -> float:
    confidence, right = probabilities.max(-1), probabilities.argmax(-1) == truth
    bins = np.minimum((confidence * 15).astype(int), 14)
    gaps = [abs((right[bins == b] - confidence[bins == b]).sum()) for b in set(bins)]
    return sum(gaps) / len(truth)


def brier(probabilities: np.ndarray, truth: np.ndarray) -> float:
    return ((probabilities - np.eye(6)[truth]) ** 2).sum() / len(truth)


def of(calibration: Calibration) -> float:
    gaps = np.abs(np.subtract(calibration.right, calibration.confidence))
    return gaps.sum() / sum(calibration.pixels)


def test_it_is_fitted_on_the_validation_part_alone(trained: tuple, seen: dict) -> None:
    probabilities, truth, _ = seen[VALIDATION]

    def loss(temperature: float) -> float:
        return float(-np.log(at(probabilities, temperature)[np.arange(len(truth)), truth]).mean())

    best = minimize_scalar(loss, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-8}).x
    assert trained.run.metrics.temperature == pytest.approx(best, rel=1e-4)
    assert abs(best - 1) > 0.01


def test_what_it_changes_is_stored_beside_what_was(trained: tuple, seen: dict) -> None:
    metrics, (probabilities, truth, tiles) = trained.run.metrics, seen[TEST]
    for stored, now in ((metrics, probabilities), (metrics.tempered, at(probabilities, metrics.temperature))):
        assert stored.calibration_error == pytest.approx(error(now, truth), abs=1e-5)
        assert stored.brier == pytest.approx(brier(now, truth), abs=1e-6)
        assert sum(stored.calibration.pixels) == metrics.pixels
        for index, name in enumerate(trained.dataset.palette.names):
            chosen = now.argmax(-1) == index
            assert sum(stored.calibration_by_class[name].pixels) == chosen.sum()
            if chosen.any():
                expected = error(now[chosen], truth[chosen])
                assert of(stored.calibration_by_class[name]) == pytest.approx(
                    expected, abs=0.05 * 15 / chosen.sum() + 1e-5
                )
        places = set(tiles)
        if len(places) > 1:
            assert stored.calibration_by_place.keys() == places
            for place in places:
                expected = error(now[tiles == place], truth[tiles == place])
                assert of(stored.calibration_by_place[place]) == pytest.approx(expected, abs=1e-3)


def test_scored_again_without_saving_it_is_the_same(trained: tuple) -> None:
    metrics, table = evaluate_run(trained.run, trained.dataset)
    assert metrics.temperature is not None
    assert metrics == trained.run.metrics
    assert set(table["part"]) == {TEST}


def test_a_protocol_that_the_run_was_not_validated_under_has_none(trained: tuple) -> None:
    for protocol in ("tile", "article", "all"):
        metrics, _ = evaluate_run(trained.run, trained.dataset, protocol, "Tile 2")
        assert (metrics.temperature, metrics.tempered) == (None, None)
        assert metrics.brier is not None


def test_a_run_of_two_parts_has_none(trained: tuple, tmp_path: Path) -> None:
    run = Run(shutil.copytree(trained.run.folder, tmp_path / "earlier"))
    config = json.loads((run.folder / "config.json").read_text())
    del config["dataset"]["validated_on"]
    (run.folder / "config.json").write_text(json.dumps(config))
    metrics, _ = evaluate_run(run, trained.dataset)
    assert (metrics.temperature, metrics.tempered) == (None, None)
    own = trained.run.metrics
    assert (metrics.brier, metrics.calibration) == (own.brier, own.calibration)


def test_earlier_scores_are_read_and_written_as_they_are(trained: tuple) -> None:
    content = trained.run.metrics.to_dict()
    for name in ("brier", "boundary_iou", "mean_boundary_iou", "temperature", "tempered", "calibration_by_class"):
        content.pop(name)
    earlier = Metrics.from_dict(content)
    assert (earlier.brier, earlier.temperature, earlier.boundary_iou) == (None, None, None)
    assert earlier.accuracy == trained.run.metrics.accuracy
    assert "temperature" not in earlier.to_dict()
