"""Predictions from anywhere as arrays: what fits a scene, read by rows (no TensorFlow)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from segmentation.data.palette import VOID
from segmentation.errors import RunError

SUM = 0.02
"""Probabilities of a pixel sum to one within this much: those of half precision do."""

ROWS = 1 << 22
"""Pixels of a prediction that are looked at at once."""


@dataclass(frozen=True)
class Pixels:
    """A prediction of one scene, read by rows.

    Args:
        values: (height, width) of class indices, or (height, width, classes) of numbers; perhaps on disk.
        are_probabilities: Whether the numbers of a pixel are from 0 to 1 and sum to 1.
    """

    values: np.ndarray
    are_probabilities: bool

    def read(self, rows: slice) -> tuple[np.ndarray, np.ndarray | None]:
        """Return some rows: class indices (rows, width) uint8, and if known probabilities (rows, width, classes)."""
        here = self.values[rows]
        if here.ndim == 2:
            return here.astype(np.uint8), None
        return here.argmax(-1).astype(np.uint8), here.astype(np.float32) if self.are_probabilities else None


def predicted_classes(prediction: Any, size: tuple[int, int], classes: int, name: str) -> np.ndarray:  # noqa: ANN401
    """Return the classes of a prediction as `Recording.record` takes it, (height, width) uint8, 255 for none.

    Args:
        prediction: Class indices, or a number for each class.
        size: (height, width) of the scene.
        classes: How many.
        name: Of the scene.

    Raises:
        RunError: If it does not fit the scene.
    """
    pixels = read_pixels(prediction, size, classes, name)
    return np.concatenate([pixels.read(rows)[0] for rows in _strips(size)])


def read_pixels(prediction: Any, size: tuple[int, ...], classes: int, name: str) -> Pixels:  # noqa: ANN401 (as `record`)
    """Return a prediction as it can be read by rows.

    Raises:
        RunError: If it does not fit a scene of this (height, width) and so many classes.
    """
    try:
        values = np.asanyarray(prediction)  # of a file on disk it remains one
    except (TypeError, ValueError, RuntimeError) as error:
        raise RunError(f"The prediction of {name} is no array: give NumPy's, from the CPU.") from error
    if values.shape == (classes, *size) and values.shape != (*size, classes):
        values = np.moveaxis(values, 0, -1)
    numbers = values.dtype.kind == "f"
    if values.shape != ((*size, classes) if numbers else size) or values.dtype.kind not in "buif":
        shape = " × ".join(map(str, values.shape)) or "no"
        raise RunError(
            f"The prediction of {name} has {shape} values of type {values.dtype}, but the scene needs whole numbers of "
            f"{size[0]} × {size[1]} pixels (height × width), or floating-point ones of {size[0]} × {size[1]} × "
            f"{classes} classes."
        )
    parts = [values[rows] for rows in _strips(size)]
    if numbers:
        if not all(np.isfinite(part).all() for part in parts):
            raise RunError(f"The prediction of {name} holds what is not a number: write it anew.")
        return Pixels(values, all(_are_probabilities(part) for part in parts))
    for part in parts:
        strange = part[(part != VOID) & ((part < 0) | (part >= classes))]
        if strange.size:
            raise RunError(
                f"The prediction of {name} holds the class index {strange[0]}: the data set's are 0 to {classes - 1}, "
                f"and {VOID} where none is predicted."
            )
    return Pixels(values, are_probabilities=False)


def _strips(size: tuple[int, ...]) -> Iterator[slice]:
    step = max(1, ROWS // max(1, size[1]))
    return (slice(top, top + step) for top in range(0, size[0], step))


def _are_probabilities(part: np.ndarray) -> bool:
    total = part.sum(-1, dtype=np.float32)
    return bool(part.min() >= -SUM and part.max() <= 1 + SUM and np.abs(total - 1).max() <= SUM)


def notes_on(name: str, classes: np.ndarray, pixels: Pixels) -> Iterator[str]:
    """Say what is odd about a prediction that fits."""
    void = np.count_nonzero(classes == VOID)
    if void:
        share = 100 * void / classes.size
        yield f"{name}: {share:.2f} % of the prediction's pixels have no class and are left out of the scores"
    if pixels.values.ndim == 3 and not pixels.are_probabilities:
        yield f"{name}: its numbers do not sum to 1 at each pixel, so that only its classes count"
