"""Pixels counted by probability, and the curves that are read off the counts."""

import re

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from segmentation import scores
from segmentation.data.palette import DUBAI, VOID
from segmentation.errors import ConfigurationError
from segmentation.inference.prediction import Prediction, choose_classes, most_probable
from segmentation.thresholds import EDGES, STEPS, ThresholdCurve, by_index, count_probabilities, read_thresholds

CLASSES = 3


@pytest.fixture(scope="module")
def predicted() -> tuple[np.ndarray, np.ndarray]:
    """Truth of two images with some void, and probabilities, many of which lie on a threshold."""
    rng = np.random.default_rng(4)
    truth = rng.integers(0, CLASSES, (2, 40, 50)).astype(np.uint8)
    probabilities = rng.dirichlet((0.4, 0.6, 0.5), truth.shape).astype(np.float32)
    on_edges = rng.integers(0, STEPS + 1, 600)
    flat = probabilities.reshape(-1, CLASSES)
    flat[:600] = 0
    flat[:600, 1], flat[:600, 2] = EDGES[on_edges], 1 - EDGES[on_edges]
    truth[:, 5:9] = VOID
    return truth, probabilities


def test_counts_are_those_of_comparing_every_pixel_with_every_threshold(predicted: tuple) -> None:
    truth, probabilities = predicted
    counts = count_probabilities(truth, probabilities)
    assert counts.shape == (CLASSES, 2, STEPS + 1)
    for index in range(CLASSES):
        for own in (False, True):
            pixels = probabilities[..., index][(truth != VOID) & ((truth == index) == own)]
            reaching = (pixels >= np.float32(np.arange(STEPS + 1) / STEPS)[:, None]).sum(1)
            np.testing.assert_array_equal(np.cumsum(counts[index, int(own), ::-1])[::-1], reaching)


def test_counts_of_images_add_up(predicted: tuple) -> None:
    truth, probabilities = predicted
    apart = sum(count_probabilities(truth[place : place + 1], probabilities[place : place + 1]) for place in range(2))
    np.testing.assert_array_equal(apart, count_probabilities(truth, probabilities))


@pytest.mark.parametrize("threshold", [0.013, 0.25, 0.37, 0.5, 0.9, 1.0])
def test_a_curve_says_what_the_map_at_the_threshold_scores(predicted: tuple, threshold: float) -> None:
    truth, probabilities = predicted
    counts = count_probabilities(truth, probabilities)
    for index in range(CLASSES):
        classes, _ = choose_classes(probabilities, ((index, threshold),))
        matrix = scores.confusion_matrices(truth, classes, CLASSES).sum(0)
        curve = ThresholdCurve.of(counts[index])
        at = curve.place(threshold)
        for values, of in (
            (curve.iou, scores.iou),
            (curve.precision, scores.precision),
            (curve.recall, scores.recall),
            (curve.f1, scores.f1),
        ):
            assert values[at] == pytest.approx(of(matrix)[index], abs=1e-12, nan_ok=True)


def test_average_precision_is_scikit_learns(predicted: tuple) -> None:
    truth, probabilities = predicted
    labelled = truth != VOID
    for index, counts in enumerate(count_probabilities(truth, probabilities)):
        # Probabilities between two thresholds count as the lower one.
        lower = np.searchsorted(EDGES, probabilities[..., index][labelled], side="right")
        expected = average_precision_score(truth[labelled] == index, lower)
        assert ThresholdCurve.of(counts).average_precision == pytest.approx(expected, abs=1e-9)


def test_the_best_threshold_has_the_highest_score_of_all_hundredths(predicted: tuple) -> None:
    curve = ThresholdCurve.of(count_probabilities(*predicted)[1])
    hundredths = {place / 100: curve.iou[place * 10] for place in range(1, 101)}
    assert curve.iou[curve.place(curve.best)] == max(hundredths.values())
    assert curve.f1[curve.place(curve.best)] == max(curve.f1[place * 10] for place in range(1, 101))


def test_of_equal_thresholds_the_one_nearest_to_a_half_is_best() -> None:
    counts = np.zeros((2, STEPS + 1), np.int64)
    counts[0, 100], counts[1, 800] = 5, 7
    assert ThresholdCurve.of(counts).best == 0.5
    counts[0, 700] = 1
    assert ThresholdCurve.of(counts).best == 0.71


def test_a_class_that_is_nowhere_has_no_best_threshold() -> None:
    curve = ThresholdCurve.of(np.zeros((2, STEPS + 1), np.int64))
    assert (curve.best, curve.pixels) == (None, 0)
    assert np.isnan(curve.average_precision)


def chosen_one_by_one(probabilities: np.ndarray, thresholds: dict[int, float]) -> np.ndarray:
    """What thresholds give, pixel by pixel."""
    found = []
    for pixel in probabilities.reshape(-1, probabilities.shape[-1]).astype(np.float64):
        order = sorted(range(len(pixel)), key=lambda index: -pixel[index])
        reaching = [index for index in order if index in thresholds and pixel[index] >= np.float32(thresholds[index])]
        free = [index for index in order if index not in thresholds] or order
        found.append((reaching or free)[0])
    return np.reshape(found, probabilities.shape[:-1])


@pytest.mark.parametrize(
    "thresholds", [{}, {1: 0.2}, {1: 0.8}, {0: 0.3, 2: 0.4}, {0: 0.9, 1: 0.9, 2: 0.95}, {2: 1.0}], ids=str
)
def test_thresholds_choose_classes_as_they_are_defined(predicted: tuple, thresholds: dict[int, float]) -> None:
    _, probabilities = predicted
    pairs = tuple(sorted(thresholds.items()))
    classes, confidence = choose_classes(probabilities, pairs)
    np.testing.assert_array_equal(classes, chosen_one_by_one(probabilities, thresholds))
    np.testing.assert_array_equal(
        confidence, np.take_along_axis(probabilities, classes[..., None].astype(int), -1)[..., 0]
    )

    halves = probabilities[0].astype(np.float16)
    prediction = Prediction(*most_probable(halves), halves).at_thresholds(pairs)
    np.testing.assert_array_equal(prediction.classes, chosen_one_by_one(halves, thresholds))


def test_thresholds_are_read_in_the_classes_own_spelling() -> None:
    read = read_thresholds([" building=0.37", "Water = 1"], DUBAI)
    assert read == {"Building": 0.37, "Water": 1.0}
    assert by_index(read, DUBAI) == ((0, 0.37), (4, 1.0))


@pytest.mark.parametrize(
    "entry", ["Building", "Building=", "Building=1.5", "Building=nan", "Bridge=0.3", "=0.3", "0.3"]
)
def test_what_is_no_threshold_is_refused_with_an_example(entry: str) -> None:
    sentence = f"such as Building=0.4. Received: {entry}. The classes are Building, Land"
    with pytest.raises(ConfigurationError, match=re.escape(sentence)):
        read_thresholds([entry], DUBAI)


def test_a_class_with_two_thresholds_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="Road has two thresholds"):
        read_thresholds(["Road=0.3", "road=0.4"], DUBAI)
