"""How far probabilities can be trusted: calibration, Brier score, and a temperature that mends them (no TensorFlow).

A temperature T makes each probability p into p^(1/T), and these sum to one again: above 1 a model becomes less sure,
below 1 surer, and never is another class the most probable one (Guo et al., 2017). It is fitted on the validation part,
which was neither trained on nor is scored.
"""

from typing import NamedTuple

import numpy as np

from segmentation.data.palette import VOID
from segmentation.scores import divide

CONFIDENCE_BINS = 15
"""As many as Guo et al. (2017) use."""

COUNTED_IN_32_BITS = 1 << 24
"""Pixels of an image up to which float32 counts exactly: its table then takes half the memory."""

LEAST_PROBABILITY = float(np.finfo(np.float32).tiny)
"""What rounds to nothing is taken for this, so that it has a logarithm."""

SAMPLED = 1 << 22
"""Probabilities that a temperature is fitted on at the most, or one pixel of each patch if those are more."""

MOST_SAMPLED = 1 << 10
"""Pixels of a patch that it is fitted on at the most: neighbours say the same."""

HOTTEST = 20.0
"""The largest temperature that is tried; its inverse is the lowest."""

STEPS, NEAR, FLAT = 60, 1e-9, 1e-12
"""How often a better temperature is looked for, and what is near enough, and flat enough."""


class PixelSample(NamedTuple):
    """Some pixels of each of several patches.

    Args:
        truth: (patches, pixels) uint8 class indices, void 255.
        probabilities: (patches, pixels, classes) float32.
    """

    truth: np.ndarray
    probabilities: np.ndarray


def calibration(truth: np.ndarray, predicted: np.ndarray, confidence: np.ndarray, classes: int) -> np.ndarray:
    """Count pixels by class predicted and confidence, in bins of equal width, image by image. Void is left out.

    Args:
        truth: (images, height, width) uint8 class indices, void 255.
        predicted: (images, height, width) uint8 class indices: the most probable ones.
        confidence: (images, height, width) floating-point numbers: the probability of the class predicted.
        classes: Number of classes.

    Returns:
        (images, classes, CONFIDENCE_BINS, 3) float32, of large images float64: each bin's number of pixels, sum of
        confidence, and number of pixels that are right. Tables of images and of classes add up.
    """
    shape, labelled = (len(truth), classes, CONFIDENCE_BINS), truth != VOID
    image = np.nonzero(labelled)[0]
    seen, sure, right = predicted[labelled], confidence[labelled], (predicted == truth)[labelled]
    place = np.minimum((sure * CONFIDENCE_BINS).astype(np.intp), CONFIDENCE_BINS - 1)
    place += (image * classes + seen) * CONFIDENCE_BINS
    cells = len(truth) * classes * CONFIDENCE_BINS
    columns = (
        np.bincount(place, minlength=cells),
        np.bincount(place, sure, cells),
        np.bincount(place[right], minlength=cells),
    )
    kind = np.float32 if truth[0:1].size <= COUNTED_IN_32_BITS else np.float64
    return np.stack([column.astype(kind) for column in columns], axis=-1).reshape(*shape, 3)


def calibration_error(table: np.ndarray) -> float:
    """Return the expected calibration error (Guo et al., 2017) of a table (bins, 3) as in `calibration`; NaN if empty.

    It is the mean over pixels of |accuracy − mean confidence| of their bin.
    """
    pixels, confidence, right = table.T
    return float(divide(np.abs(right - confidence).sum(), pixels.sum()))


def squared_error(truth: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return each image's sum over labelled pixels of Σ (probability − 1 if it is the true class)² (Brier, 1950).

    Args:
        truth: (images, height, width) uint8 class indices, void 255.
        probabilities: (images, height, width, classes) float32.

    Returns:
        (images,) float64. By the number of labelled pixels it is the Brier score: from 0, always right and sure of it,
        to 2, always sure of another class.
    """
    labelled = truth != VOID
    index = np.where(labelled, truth, 0)[..., None].astype(np.intp)
    of_truth = np.take_along_axis(probabilities, index, axis=-1)[..., 0]
    error = np.maximum(np.einsum("ihwc,ihwc->ihw", probabilities, probabilities) - 2 * of_truth + 1, 0)
    return np.asarray(np.sum(error, axis=(1, 2), where=labelled, dtype=np.float64))


def temper(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Return probabilities at a temperature.

    Args:
        probabilities: (…, classes) float32.
        temperature: Above 1 they become more alike, below 1 less.
    """
    powers = np.log(np.maximum(probabilities, np.float32(LEAST_PROBABILITY)))
    powers *= np.float32(1 / temperature)
    largest = powers[..., 0].copy()
    for index in range(1, powers.shape[-1]):  # several times as fast as NumPy along so short an axis
        np.maximum(largest, powers[..., index], out=largest)
    powers -= largest[..., None]  # so that the largest power is one
    np.exp(powers, out=powers)
    powers /= np.einsum("...c->...", powers)[..., None]
    return powers


def pixels_sampled(patches: int, classes: int) -> int:
    """Return how many pixels of each of so many patches a temperature is fitted on."""
    return int(np.clip(SAMPLED // max(1, patches * classes), 1, MOST_SAMPLED))


def sample_pixels(truth: np.ndarray, probabilities: np.ndarray, pixels: int) -> PixelSample:
    """Return so many pixels of each patch, the same of all: drawn once and for all, so that any machine takes them.

    Args:
        truth: (patches, height, width) uint8 class indices, void 255.
        probabilities: (patches, height, width, classes) float32.
        pixels: How many; all where there are no more.
    """
    count, height, width = truth.shape
    chosen = np.random.default_rng(0).permutation(height * width)[:pixels]
    classes = probabilities.shape[-1]
    flat = probabilities.reshape(count, height * width, classes)
    return PixelSample(truth.reshape(count, -1)[:, chosen], flat[:, chosen])


def fit_temperature(sample: PixelSample) -> float | None:
    """Return the temperature at which the pixels' true classes are most probable, to six digits; None if all are void.

    The mean negative log-likelihood is convex in 1 / T: its slope is sought where it is zero, by Newton's steps within
    an interval that shrinks.
    """
    labelled = sample.truth != VOID
    true = sample.truth[labelled].astype(np.intp)
    if not len(true):
        return None
    logits = np.log(np.maximum(sample.probabilities[labelled], LEAST_PROBABILITY), dtype=np.float64)
    logits -= logits.max(-1, keepdims=True)
    of_truth = float(np.take_along_axis(logits, true[:, None], -1).mean())
    low, high, inverse = 1 / HOTTEST, HOTTEST, 1.0
    for _ in range(STEPS):
        weights = np.exp(inverse * logits)
        weights /= weights.sum(-1, keepdims=True)
        expected = np.einsum("pc,pc->p", weights, logits)
        slope = float(expected.mean()) - of_truth
        if abs(slope) <= FLAT:  # nothing to gain
            break
        curvature = float((np.einsum("pc,pc,pc->p", weights, logits, logits) - expected**2).mean())
        low, high = (low, inverse) if slope > 0 else (inverse, high)
        step = inverse - slope / curvature if curvature > 0 else 0.0
        following = step if low < step < high else (low * high) ** 0.5
        near, inverse = abs(following - inverse) <= NEAR * inverse, following
        if near:
            break
    return round(1 / inverse, 6)
