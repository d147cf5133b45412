"""Confusion matrices, and every score that is read off them (no TensorFlow).

A confusion matrix is (…, classes, classes) int64, rows true and columns predicted, in pixels. Every function takes one
matrix or a stack of them. A score that does not exist (nothing to divide by) is NaN.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from segmentation.data.palette import VOID

_NEIGHBOURS = ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:]))
"""What meets when a picture is laid over itself, moved by one row or one column."""

STRIP = 1 << 22
"""Pixels of a picture that are counted at once: each takes eight bytes for that."""

SURE = 0.9
"""From this confidence on a model counts as sure."""

BOUNDARY_SHARE = 0.02
"""How far a boundary reaches, as a share of the image's diagonal (Cheng et al., 2021)."""

WORST = (10, 5)
"""Per cent of the images that the worst-case means are over (Wang et al., 2023)."""


def confusion_matrices(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Count, image by image, how often each class is predicted as which. Void in the truth is left out.

    Args:
        truth: (images, height, width) uint8 class indices, void 255.
        predicted: (images, height, width) uint8 class indices.
        classes: Number of classes.

    Returns:
        (images, classes, classes) int64.

    Raises:
        ValueError: If shapes differ or an index is out of range.
    """
    if truth.shape != predicted.shape or truth.ndim != 3:
        raise ValueError(f"Expected two (images, height, width). Received: {truth.shape=}, {predicted.shape=}")
    labelled = truth != VOID
    if truth.size and (predicted.max() >= classes or truth.max(where=labelled, initial=0) >= classes):
        raise ValueError(f"Expected class indices below {classes}. Received: {predicted.max()=}, {truth.max()=}")
    cells = truth.astype(np.int64) * classes + predicted
    cells += np.arange(len(truth))[:, None, None] * classes**2
    counts = np.bincount(cells[labelled], minlength=len(truth) * classes**2)
    return counts.reshape(len(truth), classes, classes)


def picture_matrices(
    truth: np.ndarray, predicted: np.ndarray, classes: int, distance: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the confusion matrix of one picture of any size, and that of its pixels near edges, strip by strip.

    Args:
        truth: (height, width) uint8 class indices, void 255.
        predicted: (height, width) uint8 class indices.
        classes: Number of classes.
        distance: As in `near_edges`.

    Returns:
        Two (classes, classes) int64.
    """
    whole, at_edges = np.zeros((2, classes, classes), np.int64)
    rows = max(1, STRIP // max(1, truth.shape[1]))
    for top in range(0, len(truth), rows):
        first, end = max(0, top - distance), min(top + rows, len(truth))
        near = near_edges(truth[first : end + distance], distance)[top - first : end - first]
        true, seen = truth[top:end], predicted[top:end]
        whole += confusion_matrices(true[None], seen[None], classes)[0]
        at_edges += confusion_matrices(np.where(near, true, np.uint8(VOID))[None], seen[None], classes)[0]
    return whole, at_edges


def near_edges(truth: np.ndarray, distance: int) -> np.ndarray:
    """Tell which pixels are near an edge between two classes, where masks are drawn roughly and models fail most.

    Args:
        truth: (height, width) uint8 class indices, void 255.
        distance: How far from the edge a pixel may be, in rows and columns; 1 is the pixels that touch it.

    Returns:
        (height, width) bool.
    """
    near = np.zeros(truth.shape, bool)
    for before, after in _NEIGHBOURS:
        edge = truth[before] != truth[after]
        near[before] |= edge
        near[after] |= edge
    for _ in range(distance - 1):
        for before, after in _NEIGHBOURS:
            grown = near.copy()
            grown[before] |= near[after]
            grown[after] |= near[before]
            near = grown
    return near


def accuracy(matrix: np.ndarray) -> np.ndarray:
    """Return the share of pixels whose class is right: (…) float64."""
    return divide(np.trace(matrix, axis1=-2, axis2=-1), matrix.sum((-2, -1)))


def iou(matrix: np.ndarray) -> np.ndarray:
    """Return intersection over union a class, (…, classes) float64: NaN where a class is neither true nor predicted."""
    intersection = np.diagonal(matrix, axis1=-2, axis2=-1)
    return divide(intersection, matrix.sum(-2) + matrix.sum(-1) - intersection)


def mean_iou(matrix: np.ndarray, without: int | None = None) -> np.ndarray:
    """Return the mean of IoU over the classes that are true or predicted, one class left out if asked: (…) float64."""
    scores = iou(matrix)
    if without is not None:
        scores = np.delete(scores, without, axis=-1)
    counted = np.isfinite(scores).sum(-1)
    return divide(np.nansum(scores, -1), counted)


def precision(matrix: np.ndarray) -> np.ndarray:
    """Return how much of what is predicted as each class is right: (…, classes) float64, NaN where none is."""
    return divide(np.diagonal(matrix, axis1=-2, axis2=-1), matrix.sum(-2))


def recall(matrix: np.ndarray) -> np.ndarray:
    """Return how much of each true class is found: (…, classes) float64, NaN where there is none."""
    return divide(np.diagonal(matrix, axis1=-2, axis2=-1), matrix.sum(-1))


def f1(matrix: np.ndarray) -> np.ndarray:
    """Return the harmonic mean of `precision` and `recall`, Dice's coefficient: (…, classes) float64, NaN as `iou`."""
    return divide(2 * np.diagonal(matrix, axis1=-2, axis2=-1), matrix.sum(-2) + matrix.sum(-1))


def frequency_weighted_iou(matrix: np.ndarray) -> np.ndarray:
    """Return the mean of IoU over the true classes, by their shares of the pixels: (…) float64 (Long et al., 2015)."""
    true = matrix.sum(-1)
    return divide(np.nansum(true * iou(matrix), axis=-1), true.sum(-1))


def kappa(matrix: np.ndarray) -> np.ndarray:
    """Return by how much accuracy exceeds that of chance, as a share of what it could (Cohen, 1960): (…) float64.

    Chance predicts each class as often as the model does, wherever. It may be below zero.
    """
    total = matrix.sum((-2, -1))
    by_chance = divide((matrix.sum(-1).astype(float) * matrix.sum(-2)).sum(-1), total.astype(float) * total)
    return divide(accuracy(matrix) - by_chance, 1 - by_chance)


def boundary_distance(height: int, width: int) -> int:
    """Return how far a boundary reaches in an image of this size, in pixels: 2 % of its diagonal, 1 at the least."""
    return max(1, round(BOUNDARY_SHARE * math.hypot(height, width)))


def boundary_counts(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Count, image by image and class by class, the pixels from which `boundary_iou` comes (Cheng et al., 2021).

    A class's boundary is those of its pixels that have another class, void or the edge of the image within
    `boundary_distance`, in rows and columns; the authors' code counts the edge, too. Void in the truth belongs to no
    class in the prediction either.

    Args:
        truth: (images, height, width) uint8 class indices, void 255.
        predicted: (images, height, width) uint8 class indices.
        classes: Number of classes.

    Returns:
        (images, 2, classes) int64: pixels on the boundary in both, and in either.
    """
    images, height, width = truth.shape
    distance = boundary_distance(height, width)
    predicted = np.where(truth == VOID, np.uint8(VOID), predicted)
    true_edge, seen_edge = (_near_others(of, distance) & (of != VOID) for of in (truth, predicted))

    def count(of: np.ndarray, where: np.ndarray) -> np.ndarray:
        image = np.nonzero(where)[0]
        return np.bincount(image * classes + of[where], minlength=images * classes).reshape(images, classes)

    both = count(truth, true_edge & seen_edge & (truth == predicted))
    return np.stack([both, count(truth, true_edge) + count(predicted, seen_edge) - both], axis=1)


def _near_others(classes: np.ndarray, distance: int) -> np.ndarray:
    """Tell which pixels have another value than their own, or the edge, within a distance in rows and columns.

    Args:
        classes: (images, height, width) uint8.
        distance: In pixels.

    Returns:
        (images, height, width) bool.
    """
    padded = np.pad(classes, ((0, 0), (distance, distance), (distance, distance)), constant_values=VOID)
    smallest, largest = (_in_window(padded, of, 2 * distance + 1) for of in (np.minimum, np.maximum))
    return smallest != largest


def _in_window(images: np.ndarray, extreme: np.ufunc, side: int) -> np.ndarray:
    """Return the extreme value in each square of `side` pixels that lies within (images, height, width).

    A window is made of two that overlap, those of four, and so on: eight steps for the largest patches.
    """
    for before in ((slice(None),), (slice(None), slice(None))):  # the axes that lie before that of rows, of columns
        reach = 1
        while reach < side:
            step = min(reach, side - reach)
            images = extreme(images[(*before, slice(None, -step))], images[(*before, slice(step, None))])
            reach += step
    return images


def boundary_iou(counts: np.ndarray) -> np.ndarray:
    """Return IoU over the pixels on boundaries, by class, from `boundary_counts`: (…, classes) float64, NaN as `iou`.

    Counts of several images add up, as those of `iou` do.
    """
    return divide(counts[..., 0, :], counts[..., 1, :])


def mean_iou_by_image(matrices: np.ndarray, worst: int = 100) -> float:
    """Return the mean over images of each one's mean IoU: mIoU^I, or mIoU^Iq over the worst (Wang et al., 2023).

    An image's mean is over the classes that are true in it: a class that is only predicted there costs the others.

    Args:
        matrices: (images, classes, classes) int64.
        worst: Per cent of the images that count, those of the lowest mean; one image at the least.
    """
    by_class = _iou_where_true(matrices)
    counted = np.isfinite(by_class).sum(1)
    return _mean_of_worst(divide(np.nansum(by_class, 1), counted), worst)


def mean_iou_by_class(matrices: np.ndarray, worst: int = 100) -> float:
    """Return the mean over classes of the mean IoU over the images that have each: mIoU^C, or mIoU^Cq of the worst.

    As `mean_iou_by_image`, the other way about: each class has its own worst images.
    """
    means = np.array([_mean_of_worst(of_class, worst) for of_class in _iou_where_true(matrices).T])
    return float(divide(np.nansum(means), np.isfinite(means).sum()))


def _iou_where_true(matrices: np.ndarray) -> np.ndarray:
    return np.where(matrices.sum(-1) > 0, iou(matrices), np.nan)


def _mean_of_worst(values: np.ndarray, worst: int) -> float:
    """Return the mean of the lowest share of some values in per cent, one at the least; NaN if there is none."""
    values = np.sort(values[np.isfinite(values)])
    return float(values[: max(1, worst * len(values) // 100)].mean()) if len(values) else math.nan


def divide(above: ArrayLike, below: ArrayLike) -> np.ndarray:
    """Return a quotient, NaN where there is nothing to divide by."""
    above, below = np.asarray(above, float), np.asarray(below, float)
    return np.divide(above, below, out=np.full(np.broadcast(above, below).shape, np.nan), where=below > 0)


def soft_overlap(truth: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each image's soft intersection Σ(true · predicted) and soft total Σtrue + Σpredicted, without void.

    Args:
        truth: (images, height, width) uint8 class indices, void 255.
        probabilities: (images, height, width, classes) float32.

    Returns:
        Two (images,) float64, in pixels.
    """
    labelled = truth != VOID
    index = np.where(labelled, truth, 0)[..., None].astype(np.intp)
    of_truth = np.take_along_axis(probabilities, index, axis=-1)[..., 0]
    intersection = np.sum(of_truth, axis=(1, 2), where=labelled, dtype=np.float64)
    predicted = np.sum(probabilities, axis=(1, 2, 3), where=labelled[..., None], dtype=np.float64)
    return np.asarray(intersection), labelled.sum((1, 2)) + predicted


def jaccard(intersection: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Return the article's Jaccard index, (intersection + 1) / (total − intersection + 1), from `soft_overlap`."""
    return (intersection + 1) / (total - intersection + 1)


def sureness_when_wrong(
    truth: np.ndarray, predicted: np.ndarray, confidence: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Tell how sure a model was where it was wrong: where it was very sure, the mask itself may be wrong.

    Args:
        truth: (images, height, width) uint8 class indices, void 255.
        predicted: (images, height, width) uint8 class indices.
        confidence: (images, height, width) float32: the probability of the class predicted.

    Returns:
        Each image's mean confidence over its wrong pixels, NaN if there are none, and the share of its labelled pixels
        that are wrong with a confidence of `SURE` or more: two (images,) float64.
    """
    labelled = truth != VOID
    wrong = labelled & (predicted != truth)
    count = wrong.sum((1, 2))
    total = np.sum(confidence, axis=(1, 2), where=wrong, dtype=np.float64)
    surely = (wrong & (confidence >= SURE)).sum((1, 2))
    return divide(total, count), divide(surely, labelled.sum((1, 2)))
