"""From predicted patches to what a run folder keeps of them: the scores of metrics.json, the rows of patches.csv."""

from collections.abc import Iterable
from typing import NamedTuple, Self

import numpy as np
import pandas as pd

from segmentation import calibration, scores
from segmentation.data.palette import VOID, Palette
from segmentation.data.protocols import TEST, Protocol
from segmentation.intervals import find_intervals
from segmentation.runs.patch_table import confusion_columns, patch_table
from segmentation.runs.records import Calibration, Metrics, Tempered

DIGITS = 9
"""Of scores that are stored since they came: what is summed in another order is the same in these."""

MOST_PLACES = 200
"""Places whose calibration is stored, those with the most pixels: a file of thousands would be slow to read."""


class Confidence(NamedTuple):
    """How far the probabilities of some patches can be trusted; not-a-number where there are none.

    Args:
        bins: (patches, classes, bins, 3) floating-point numbers, as `calibration.calibration`.
        squared_error: (patches,) float64, as `calibration.squared_error`.
    """

    bins: np.ndarray
    squared_error: np.ndarray

    @classmethod
    def joined(cls, parts: Iterable[Self]) -> Self:
        """Return that of all patches of several parts, one after the other."""
        return cls(*map(np.concatenate, zip(*parts, strict=True)))


class PatchScores(NamedTuple):
    """What is counted of each patch; not-a-number where there are no probabilities.

    Args:
        matrices: (patches, classes, classes) int64 confusion matrices.
        intersection: (patches,) float64, as `scores.soft_overlap`.
        total: Likewise.
        confidence: (patches,) float64: the mean probability of the class predicted.
        confidence_wrong: (patches,) float64, as `scores.sureness_when_wrong`.
        surely_wrong: Likewise.
        boundary: (patches, 2, classes) int64, as `scores.boundary_counts`.
        bins: As in `Confidence`.
        squared_error: Likewise.
    """

    matrices: np.ndarray
    intersection: np.ndarray
    total: np.ndarray
    confidence: np.ndarray
    confidence_wrong: np.ndarray
    surely_wrong: np.ndarray
    boundary: np.ndarray
    bins: np.ndarray
    squared_error: np.ndarray

    @classmethod
    def joined(cls, parts: Iterable[Self]) -> Self:
        """Return the scores of all patches of several parts, one after the other."""
        return cls(*map(np.concatenate, zip(*parts, strict=True)))


def score_patches(
    truth: np.ndarray,
    predicted: np.ndarray,
    classes: int,
    probabilities: np.ndarray | None = None,
    confidence: np.ndarray | None = None,
) -> PatchScores:
    """Count what is right and wrong in some patches. Void in the truth is left out.

    Args:
        truth: (patches, height, width) uint8 class indices, void 255.
        predicted: (patches, height, width) uint8 class indices.
        classes: Number of classes.
        probabilities: (patches, height, width, classes) floating-point numbers, if they are known.
        confidence: (patches, height, width): the probability of the class predicted, where probabilities are known.
    """
    matrices, count = scores.confusion_matrices(truth, predicted, classes), len(truth)
    boundary = scores.boundary_counts(truth, predicted, classes)
    if probabilities is None or confidence is None:
        unknown = np.full(count, np.nan)
        no_bins = np.full((count, classes, calibration.CONFIDENCE_BINS, 3), np.nan, np.float32)
        return PatchScores(matrices, unknown, unknown, unknown, unknown, unknown, boundary, no_bins, unknown)
    intersection, total = scores.soft_overlap(truth, probabilities)
    confidence_wrong, surely_wrong = scores.sureness_when_wrong(truth, predicted, confidence)
    return PatchScores(
        matrices,
        intersection,
        total,
        confidence.mean((1, 2)),
        confidence_wrong,
        surely_wrong,
        boundary,
        *score_confidence(truth, predicted, probabilities, confidence),
    )


def score_confidence(
    truth: np.ndarray, predicted: np.ndarray, probabilities: np.ndarray, confidence: np.ndarray
) -> Confidence:
    """Count how far probabilities can be trusted; as `score_patches`, all of whose arguments are known."""
    bins = calibration.calibration(truth, predicted, confidence, probabilities.shape[-1])
    return Confidence(bins, calibration.squared_error(truth, probabilities))


def patch_rows(
    patches: pd.DataFrame,
    light: tuple[np.ndarray, np.ndarray],
    parts: np.ndarray,
    scored: PatchScores,
    palette: Palette,
) -> pd.DataFrame:
    """Return patches.csv: each patch's part, scores, how sure the model was, and what its image is like.

    Args:
        patches: One row per patch: ``patch, tile, scene, row, column``.
        light: Their brightness and contrast, as `segmentation.data.patches.image_statistics`.
        parts: (patches,) of `segmentation.data.protocols.PARTS`.
        scored: What is counted of them.
        palette: The classes.
    """
    by_class = scores.iou(scored.matrices)
    cells = scored.matrices.reshape(len(scored.matrices), -1).T
    values = patches.assign(
        part=parts,
        **{f"iou_{name}": by_class[:, index] for index, name in enumerate(palette.names)},
        mean_iou=scores.mean_iou(scored.matrices),
        classes=np.isfinite(by_class).sum(1),
        accuracy=scores.accuracy(scored.matrices),
        pixels=scored.matrices.sum((1, 2)),
        confidence=scored.confidence,
        confidence_wrong=scored.confidence_wrong,
        surely_wrong=scored.surely_wrong,
        brightness=light[0],
        contrast=light[1],
        **dict(zip(confusion_columns(palette), cells, strict=True)),
    )
    return patch_table(values, palette)


def summarize(
    patches: pd.DataFrame,
    scored: PatchScores,
    test: np.ndarray,
    palette: Palette,
    protocol: Protocol,
    temperature: float | None = None,
    tempered: Confidence | None = None,
) -> Metrics:
    """Return the scores of the held-out patches, with the counts they come from.

    Args:
        patches: All patches, with their ``tile`` and ``scene``.
        scored: What is counted of them.
        test: (patches,) bool, true where held out.
        palette: The classes.
        protocol: What holds them out.
        temperature: What was fitted on the validation part, if there is one.
        tempered: The confidence of the held-out patches at that temperature.
    """
    matrices, intersection, total = scored.matrices[test], scored.intersection[test], scored.total[test]
    matrix, boundary = matrices.sum(0), scores.boundary_iou(scored.boundary[test].sum(0))
    by_class = scores.iou(matrix)
    image_by_image = scores.jaccard(intersection, total)[matrices.any((1, 2))]  # as `ImageJaccard`: those with a label
    own = _confidence(patches[test], Confidence(scored.bins[test], scored.squared_error[test]), palette, matrix.sum())
    return Metrics(
        protocol=protocol,
        part=TEST,
        patches=len(matrices),
        pixels=int(matrix.sum()),
        accuracy=_number(scores.accuracy(matrix)),
        jaccard=_number(scores.jaccard(intersection.sum(), total.sum())) if matrix.any() else None,
        image_jaccard=_number(image_by_image.mean()) if len(image_by_image) else None,
        mean_iou=_number(scores.mean_iou(matrix)),
        mean_iou_without_unlabeled=_number(scores.mean_iou(matrix, without=palette.unlabeled)),
        iou={name: _number(value) for name, value in zip(palette.names, by_class, strict=True)},
        confusion_matrix=matrix.tolist(),
        mean_boundary_iou=_number(_mean(boundary), DIGITS),
        mean_iou_by_image=_number(scores.mean_iou_by_image(matrices), DIGITS),
        worst_10_by_image=_number(scores.mean_iou_by_image(matrices, 10), DIGITS),
        worst_5_by_image=_number(scores.mean_iou_by_image(matrices, 5), DIGITS),
        mean_iou_by_class=_number(scores.mean_iou_by_class(matrices), DIGITS),
        worst_10_by_class=_number(scores.mean_iou_by_class(matrices, 10), DIGITS),
        worst_5_by_class=_number(scores.mean_iou_by_class(matrices, 5), DIGITS),
        boundary_iou={name: _number(value, DIGITS) for name, value in zip(palette.names, boundary, strict=True)},
        calibration_error=own.calibration_error,
        brier=own.brier,
        calibration=own.calibration,
        calibration_by_class=own.calibration_by_class,
        calibration_by_place=own.calibration_by_place,
        intervals=find_intervals(patches[test], matrices, palette),
        temperature=temperature,
        tempered=tempered and _confidence(patches[test], tempered, palette, matrix.sum()),
    )


def _confidence(patches: pd.DataFrame, confidence: Confidence, palette: Palette, pixels: int) -> Tempered:
    """Return what is stored of how far the probabilities of the held-out patches can be trusted.

    Args:
        patches: Those, with their ``tile`` and ``scene``.
        confidence: Theirs.
        palette: The classes.
        pixels: How many are scored.
    """
    if not np.isfinite(confidence.squared_error).all():  # their probabilities are not known
        return Tempered()
    by_class = confidence.bins.sum(0, dtype=float)
    place = "tile" if patches["tile"].nunique() > 1 else "scene"
    codes, names = pd.factorize(patches[place])
    order = np.argsort(codes, kind="stable")
    first = np.flatnonzero(np.diff(codes[order], prepend=-1))
    of_patches = confidence.bins.sum(1, dtype=float)
    by_place = np.add.reduceat(of_patches[order], first) if len(first) else of_patches
    largest = np.sort(np.argsort(-by_place[..., 0].sum(1), kind="stable")[:MOST_PLACES])
    return Tempered(
        calibration_error=_number(calibration.calibration_error(by_class.sum(0))),
        brier=_number(scores.divide(confidence.squared_error.sum(), pixels), DIGITS),
        calibration=_calibration(by_class.sum(0)),
        calibration_by_class={name: _calibration(of) for name, of in zip(palette.names, by_class, strict=True)},
        calibration_by_place={str(names[index]): _calibration(by_place[index]) for index in largest},
    )


def _calibration(bins: np.ndarray) -> Calibration:
    """Return (bins, 3) as `calibration.calibration` counts them, ready to be stored."""
    pixels, confidence, right = bins.T
    return Calibration(
        pixels=pixels.astype(int).tolist(),
        confidence=confidence.round(1).tolist(),
        right=right.astype(int).tolist(),
    )


def _mean(by_class: np.ndarray) -> np.ndarray:
    """Return the mean of the scores that exist; NaN without any."""
    return scores.divide(np.nansum(by_class), np.isfinite(by_class).sum())


def without_unpredicted(truth: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Leave out pixels that are predicted as no class: void in the truth, and any class in the prediction.

    Args:
        truth: (…) uint8 class indices, void 255.
        predicted: (…) uint8 class indices, 255 for none.
    """
    unpredicted = predicted == VOID
    if not unpredicted.any():
        return truth, predicted
    return np.where(unpredicted, np.uint8(VOID), truth), np.where(unpredicted, np.uint8(0), predicted)


def _number(value: float | np.ndarray, digits: int = 6) -> float | None:
    """Return a JSON-ready number; None for a score that does not exist."""
    return round(float(value), digits) if np.isfinite(value) else None
