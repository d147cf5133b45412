"""From predicted patches to what a run folder keeps of them: the scores of metrics.json, the rows of patches.csv."""

from collections.abc import Iterable
from typing import NamedTuple, Self

import numpy as np
import pandas as pd

from segmentation import scores
from segmentation.data.palette import VOID, Palette
from segmentation.data.protocols import TEST, Protocol
from segmentation.intervals import find_intervals
from segmentation.runs.patch_table import confusion_columns, patch_table
from segmentation.runs.records import Calibration, Metrics


class PatchScores(NamedTuple):
    """What is counted of each patch; not-a-number where there are no probabilities.

    Args:
        matrices: (patches, classes, classes) int64 confusion matrices.
        intersection: (patches,) float64, as `scores.soft_overlap`.
        total: Likewise.
        confidence: (patches,) float64: the mean probability of the class predicted.
        confidence_wrong: (patches,) float64, as `scores.sureness_when_wrong`.
        surely_wrong: Likewise.
        calibration: (patches, bins, 3) float64, as `scores.calibration`.
    """

    matrices: np.ndarray
    intersection: np.ndarray
    total: np.ndarray
    confidence: np.ndarray
    confidence_wrong: np.ndarray
    surely_wrong: np.ndarray
    calibration: np.ndarray

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
    if probabilities is None or confidence is None:
        unknown = np.full(count, np.nan)
        no_bins = np.full((count, scores.CONFIDENCE_BINS, 3), np.nan)
        return PatchScores(matrices, unknown, unknown, unknown, unknown, unknown, no_bins)
    bins = [scores.calibration(of, p) for of, p in zip(truth, probabilities, strict=True)]
    intersection, total = scores.soft_overlap(truth, probabilities)
    confidence_wrong, surely_wrong = scores.sureness_when_wrong(truth, predicted, confidence)
    return PatchScores(
        matrices,
        intersection,
        total,
        confidence.mean((1, 2)),
        confidence_wrong,
        surely_wrong,
        np.reshape(bins, (count, scores.CONFIDENCE_BINS, 3)),
    )


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
    patches: pd.DataFrame, scored: PatchScores, test: np.ndarray, palette: Palette, protocol: Protocol
) -> Metrics:
    """Return the scores of the held-out patches, with the counts they come from.

    Args:
        patches: All patches, with their ``tile`` and ``scene``.
        scored: What is counted of them.
        test: (patches,) bool, true where held out.
        palette: The classes.
        protocol: What holds them out.
    """
    matrices, intersection, total = scored.matrices[test], scored.intersection[test], scored.total[test]
    matrix, bins = matrices.sum(0), scored.calibration[test].sum(0)
    by_class = scores.iou(matrix)
    image_by_image = scores.jaccard(intersection, total)[matrices.any((1, 2))]  # as `ImageJaccard`: those with a label
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
        calibration_error=_number(scores.calibration_error(bins)),
        calibration=_calibration(bins),
        intervals=find_intervals(patches[test], matrices, palette),
    )


def _calibration(bins: np.ndarray) -> Calibration | None:
    """Return the bins of a `scores.calibration` table; None where probabilities are not known."""
    if not np.isfinite(bins).all():
        return None
    pixels, confidence, right = bins.T
    return Calibration(
        pixels=pixels.astype(int).tolist(),
        confidence=confidence.round(1).tolist(),
        right=right.astype(int).tolist(),
    )


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


def _number(value: float | np.ndarray) -> float | None:
    """Return a JSON-ready number; None for a score that does not exist."""
    return round(float(value), 6) if np.isfinite(value) else None
