"""Score a model on patches: the held-out part's metrics, and a row for every patch. Importing this imports TensorFlow.
"""

import numpy as np
import pandas as pd

from segmentation.data.palette import Palette
from segmentation.data.patches import Patches, Progress
from segmentation.data.protocols import Protocol
from segmentation.evaluation import scores
from segmentation.inference.predictor import BATCH, Predictor


def evaluate(
    predictor: Predictor,
    patches: Patches,
    test: np.ndarray,
    palette: Palette,
    protocol: Protocol,
    progress: Progress | None = None,
) -> tuple[dict, pd.DataFrame]:
    """Predict every patch and score it.

    Args:
        predictor: The model.
        patches: All patches, void settled as the protocol wants it.
        test: (patches,) bool, true where held out.
        palette: The classes.
        protocol: The protocol that gave `test`, to be named beside the scores.
        progress: Called with (patches done, patches).

    Returns:
        The contents of metrics.json (scores of the held-out part) and of patches.csv (a row a patch).
    """
    count, classes = len(patches.masks), len(palette)
    matrices = np.empty((count, classes, classes), np.int64)
    intersection, total, confidence = (np.empty(count) for _ in range(3))
    done = 0
    for probabilities in predictor.batches(patches.images):
        now = slice(done, done + len(probabilities))
        truth = patches.masks[now]
        matrices[now] = scores.confusion_matrices(truth, probabilities.argmax(-1).astype(np.uint8), classes)
        intersection[now], total[now] = scores.soft_overlap(truth, probabilities)
        confidence[now] = probabilities.max(-1).mean((1, 2))
        done += len(probabilities)
        if progress:
            progress(done, count)
    table = patch_scores(patches, test, matrices, confidence, palette)
    metrics = summarize(matrices[test], intersection[test], total[test], palette, protocol)
    return metrics, table


def patch_scores(
    patches: Patches, test: np.ndarray, matrices: np.ndarray, confidence: np.ndarray, palette: Palette
) -> pd.DataFrame:
    """Return patches.csv: a row a patch with its part, IoU by class, mean IoU, accuracy and statistics of its image."""
    brightness, contrast = image_statistics(patches.images)
    by_class = scores.iou(matrices)
    return patches.table.assign(
        part=np.where(test, "test", "train"),
        **{f"iou_{name}": by_class[:, index] for index, name in enumerate(palette.names)},
        mean_iou=scores.mean_iou(matrices),
        classes=np.isfinite(by_class).sum(1),
        accuracy=scores.accuracy(matrices),
        pixels=matrices.sum((1, 2)),
        confidence=confidence,
        brightness=brightness,
        contrast=contrast,
    ).round(6)


def image_statistics(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each image's brightness and contrast: mean and standard deviation of its grey values, 0–1.

    Args:
        images: (images, height, width, 3) uint8.
    """
    brightness, contrast = np.empty(len(images)), np.empty(len(images))
    for start in range(0, len(images), BATCH):
        now = slice(start, start + BATCH)
        grey = images[now].mean(-1, dtype=np.float32) / 255
        brightness[now], contrast[now] = grey.mean((1, 2)), grey.std((1, 2))
    return brightness, contrast


def summarize(
    matrices: np.ndarray, intersection: np.ndarray, total: np.ndarray, palette: Palette, protocol: Protocol
) -> dict:
    """Return the scores of a set of patches as metrics.json holds them, with the confusion matrix they come from."""
    matrix = matrices.sum(0)
    by_class = scores.iou(matrix)
    return {
        "protocol": protocol,
        "part": "test",
        "patches": len(matrices),
        "pixels": int(matrix.sum()),
        "accuracy": _number(scores.accuracy(matrix)),
        "jaccard": _number(scores.jaccard(intersection.sum(), total.sum())),
        "image_jaccard": _number(scores.jaccard(intersection, total).mean()),
        "mean_iou": _number(scores.mean_iou(matrix)),
        "mean_iou_without_unlabeled": _number(scores.mean_iou(matrix, without=palette.unlabeled)),
        "iou": {name: _number(value) for name, value in zip(palette.names, by_class, strict=True)},
        "confusion_matrix": matrix.tolist(),
    }


def _number(value: float) -> float | None:
    """Return a JSON-ready number; None for a score that does not exist."""
    return round(float(value), 6) if np.isfinite(value) else None
