"""Calibration, Brier score and temperature against plain counting and SciPy's search."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from segmentation.calibration import (
    CONFIDENCE_BINS,
    PixelSample,
    calibration,
    calibration_error,
    fit_temperature,
    pixels_sampled,
    sample_pixels,
    squared_error,
    temper,
)
from segmentation.data.palette import VOID

CLASSES = 4


def pictures(sharpness: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Three masks with a fifth void, and probabilities surer where sharper, right in half of the pixels."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, CLASSES, (3, 7, 9), dtype=np.uint8)
    logits = rng.normal(size=(*truth.shape, CLASSES)) + 1.2 * np.eye(CLASSES)[truth]
    truth[rng.random(truth.shape) < 0.2] = VOID
    powers = np.exp(sharpness * logits)
    return truth, (powers / powers.sum(-1, keepdims=True)).astype(np.float32)


def test_calibration_counts_labelled_pixels_by_class_predicted_and_confidence() -> None:
    truth, probabilities = pictures()
    table = calibration(truth, probabilities.argmax(-1).astype(np.uint8), probabilities.max(-1), CLASSES)
    expected = np.zeros((3, CLASSES, CONFIDENCE_BINS, 3))
    for image, row, column in np.argwhere(truth != VOID):
        of_classes = probabilities[image, row, column]
        confidence, seen = float(of_classes.max()), of_classes.argmax()
        place = min(int(confidence * CONFIDENCE_BINS), CONFIDENCE_BINS - 1)
        expected[image, seen, place] += 1, confidence, seen == truth[image, row, column]
    assert table == pytest.approx(expected, rel=1e-5)
    assert table[..., 0].sum() == (truth != VOID).sum()


def test_full_confidence_falls_into_the_last_bin() -> None:
    table = calibration(np.zeros((1, 1, 2), np.uint8), np.array([[[0, 1]]], np.uint8), np.ones((1, 1, 2)), 2)
    assert table[0, :, -1].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert table.sum() == 5


def test_the_calibration_error_is_the_mean_gap_of_accuracy_and_confidence() -> None:
    table = np.array([[10, 6.0, 9], [30, 27.0, 24], [0, 0, 0]])  # 0.9 for 0.6, 0.8 for 0.9
    assert calibration_error(table) == pytest.approx((10 * 0.3 + 30 * 0.1) / 40)


def test_without_pixels_there_is_no_calibration_error() -> None:
    assert math.isnan(calibration_error(np.zeros((CONFIDENCE_BINS, 3))))


def test_the_squared_error_is_that_of_one_hot_masks() -> None:
    truth, probabilities = pictures()
    one_hot = np.eye(CLASSES)[np.where(truth == VOID, 0, truth)]
    expected = [((p - y)[t != VOID] ** 2).sum() for t, p, y in zip(truth, probabilities, one_hot, strict=True)]
    assert squared_error(truth, probabilities) == pytest.approx(expected, rel=1e-5)


def test_the_squared_error_is_from_none_to_two_a_pixel() -> None:
    truth = np.array([[[0, 0, VOID]]], np.uint8)
    assert squared_error(truth, np.array([[[[1, 0], [0, 1], [0, 1]]]], np.float32)) == pytest.approx([2])


@pytest.mark.parametrize("temperature", [0.05, 0.5, 1, 2.5, 20])
def test_tempered_probabilities_are_powers_that_sum_to_one(temperature: float) -> None:
    _, probabilities = pictures(5)
    powers = probabilities.astype(float) ** (1 / temperature)
    tempered = temper(probabilities, temperature)
    assert tempered == pytest.approx(powers / powers.sum(-1, keepdims=True), rel=1e-4, abs=1e-6)
    assert (tempered.argmax(-1) == probabilities.argmax(-1)).all()


def test_a_probability_of_nothing_can_be_tempered() -> None:
    sure = np.eye(3, dtype=np.float32)
    assert temper(sure, 0.05) == pytest.approx(sure)
    assert np.isfinite(temper(np.full((1, 255), 1 / 255, np.float32), 0.05)).all()


@pytest.mark.parametrize("sharpness", [0.4, 1, 3])
def test_the_temperature_is_that_of_the_least_negative_log_likelihood(sharpness: float) -> None:
    truth, probabilities = pictures(sharpness)
    known = truth != VOID
    logits, true = np.log(probabilities[known].astype(float)), truth[known]

    def loss(temperature: float) -> float:
        scaled = logits / temperature
        return float(np.mean(np.log(np.exp(scaled).sum(-1)) - scaled[np.arange(len(true)), true]))

    best = minimize_scalar(loss, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-8}).x
    found = fit_temperature(sample_pixels(truth, probabilities, 10_000))
    assert found == pytest.approx(best, rel=1e-4)
    assert loss(found) <= loss(1.0)


def test_a_sharper_model_needs_as_much_more_temperature() -> None:
    once, thrice = (fit_temperature(sample_pixels(*pictures(sharpness), 63)) for sharpness in (1, 3))
    assert thrice == pytest.approx(3 * once, rel=1e-4)


@pytest.mark.parametrize(
    ("seen", "least", "most"), [([0.9, 0.1], 0.05, 0.2), ([0.1, 0.9], 20, 20), ([0, 1], 20, 20), ([1, 0], 1, 1)]
)
def test_always_right_is_sharpened_and_always_wrong_softened_within_bounds(
    seen: list[float], least: float, most: float
) -> None:
    sample = PixelSample(np.zeros((1, 5), np.uint8), np.tile(np.float32(seen), (5, 1))[None])
    assert least - 1e-3 <= fit_temperature(sample) <= most + 1e-3


def test_void_alone_has_no_temperature_and_changes_none() -> None:
    truth, probabilities = pictures()
    sample = sample_pixels(truth, probabilities, 63)
    assert fit_temperature(PixelSample(np.full_like(sample.truth, VOID), sample.probabilities)) is None
    other = np.where((sample.truth == VOID)[..., None], np.float32(1 / CLASSES), sample.probabilities)
    assert fit_temperature(PixelSample(sample.truth, other)) == fit_temperature(sample)


def test_a_sample_holds_the_same_pixels_of_each_patch_and_is_bounded() -> None:
    truth = np.arange(3 * 64, dtype=np.uint8).reshape(3, 8, 8)
    probabilities = np.stack([truth, truth], axis=-1).astype(np.float32)
    sample = sample_pixels(truth, probabilities, 10)
    assert sample.truth.shape == (3, 10)
    assert len(set(sample.truth[0].tolist())) == 10
    assert (sample.truth - sample.truth[0] == [[0], [64], [128]]).all()
    assert (sample.probabilities == sample.truth[..., None]).all()
    for patches, classes in ((1, 2), (349, 6), (400_000, 6), (50, 255)):
        pixels = pixels_sampled(patches, classes)
        assert pixels == 1 or pixels * patches * classes <= 1 << 22
