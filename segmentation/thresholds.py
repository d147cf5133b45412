"""Confidence thresholds: what a class scores at each, and which classes they give pixels (no TensorFlow).

With a threshold t for a class, a pixel is of that class where its probability is t or more, even if another class is
more probable; where it is less, the pixel is of the most probable of the other classes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from segmentation.data.class_mapping import find_class
from segmentation.data.palette import VOID, Palette
from segmentation.errors import ConfigurationError

STEPS = 1000
"""Thresholds are told to three decimals."""

COARSE = 10
"""Of these steps, one at which a threshold is proposed."""

EDGES = (np.arange(STEPS + 1) / STEPS).astype(np.float32)
"""(STEPS + 1,) float32: all thresholds, 0 to 1."""

Thresholds = tuple[tuple[int, float], ...]
"""Class indices with their thresholds, in the order of the classes."""


def count_probabilities(truth: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Count pixels by their probability of each class, apart where they are of it and where not. Void is left out.

    Args:
        truth: (images, height, width) uint8 class indices, void 255.
        probabilities: (images, height, width, classes) float32.

    Returns:
        (classes, 2, STEPS + 1) int64: of each class pixels of other classes, then its own; in place k those whose
        probability is at least ``EDGES[k]`` and below the next. Counts of different images add up.
    """
    labelled, classes = truth != VOID, probabilities.shape[-1]
    true, counts = truth[labelled], np.empty((classes, 2, STEPS + 1), np.int64)
    following = np.append(EDGES[1:], np.float32(np.inf))
    for index in range(classes):
        probability = probabilities[..., index][labelled]
        place = np.clip(probability * STEPS, 0, STEPS).astype(np.intp)
        # A product may be rounded over an edge: a pixel counts as comparing it with the threshold does.
        place -= probability < EDGES[place]
        np.maximum(place, 0, out=place)
        place += probability >= following[place]
        place += (STEPS + 1) * (true == index)
        counts[index] = np.bincount(place, minlength=2 * (STEPS + 1)).reshape(2, -1)
    return counts


def read_thresholds(entries: Iterable[str], palette: Palette) -> dict[str, float]:
    """Read thresholds such as ``Building=0.37``.

    Args:
        entries: A class, an equals sign, and a number from 0 to 1.
        palette: The classes.

    Returns:
        The thresholds by the classes' names in the palette's own spelling.

    Raises:
        ConfigurationError: If an entry is none, or names no class or one twice.
    """
    found: dict[str, float] = {}
    for entry in entries:
        name, _, number = entry.rpartition("=")
        index = find_class(name.strip(), palette.names)
        try:
            threshold = float(number)
        except ValueError:
            threshold = -1.0
        if index is None or not 0 <= threshold <= 1:
            raise ConfigurationError(
                f"Expected a class, an equals sign and a probability from 0 to 1, such as {palette.names[0]}=0.4. "
                f"Received: {entry}. The classes are {', '.join(palette.names)}."
            )
        known = palette.names[index]
        if known in found:
            raise ConfigurationError(f"{known} has two thresholds: give one.")
        found[known] = threshold
    return found


def by_index(thresholds: Mapping[str, float], palette: Palette) -> Thresholds:
    """Return thresholds by the classes' names as they are applied; those of classes that there are not are left out."""
    return tuple((index, thresholds[name]) for index, name in enumerate(palette.names) if name in thresholds)


def in_words(thresholds: Mapping[str, float]) -> str:
    """Say thresholds: ``Building from 0.37``."""
    return ", ".join(f"{name} from {threshold:g}" for name, threshold in thresholds.items())


@dataclass(frozen=True)
class ThresholdCurve:
    """What a class scores at each threshold of `EDGES`: (STEPS + 1,) float64 each, not-a-number where there is none.

    Args:
        precision: How much of what reaches the threshold is of the class.
        recall: How much of the class reaches it.
        f1: The harmonic mean of both.
        iou: Intersection over union.
        pixels: Of the class.
    """

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    iou: np.ndarray
    pixels: int

    @classmethod
    def of(cls, counts: np.ndarray) -> Self:
        """Return the curve of one class's counts, (2, STEPS + 1), as `count_probabilities`."""
        false, hit = np.cumsum(counts[:, ::-1], axis=1)[:, ::-1]
        pixels = int(counts[1].sum())
        with np.errstate(invalid="ignore"):
            precision, recall = hit / (hit + false), hit / pixels
            return cls(precision, recall, 2 * hit / (hit + false + pixels), hit / (pixels + false), pixels)

    @property
    def best(self) -> float | None:
        """The threshold with the highest IoU, of several the nearest to a half; None without the class.

        F1 is highest there, too: it is 2 IoU / (1 + IoU). Of hundredths: a third decimal would be that of these very
        pixels. At 0 every pixel would be of the class.
        """
        if not self.pixels:
            return None
        places = np.arange(COARSE, STEPS + 1, COARSE)
        values = self.iou[places]
        highest = places[values == values.max()]
        return round(float(highest[np.abs(highest - STEPS // 2).argmin()] / STEPS), 2)

    @staticmethod
    def place(threshold: float) -> int:
        """Return where the scores at a threshold are."""
        return round(threshold * STEPS)

    @property
    def average_precision(self) -> float:
        """The area under precision over recall, as scikit-learn sums it: Σ (Rₙ − Rₙ₋₁) Pₙ."""
        steps = -np.diff(np.append(self.recall, 0))
        return float(np.sum(steps * np.nan_to_num(self.precision))) if self.pixels else float("nan")
