"""What a model sees in a picture, or what is known of that."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from segmentation.thresholds import Thresholds


@dataclass(frozen=True)
class Prediction:
    """Every pixel's class, and how sure the model is of it.

    Args:
        classes: (height, width) uint8 class indices: the most probable ones, unless thresholds chose.
        confidence: (height, width) float32, of a large picture float16: the probability of that class; None if only
            the classes are known.
        probabilities: (height, width, classes) float16: of every class, to three decimals or so; None if they are not
            known, and for a large picture, for which they would take too much memory.
    """

    classes: np.ndarray
    confidence: np.ndarray | None
    probabilities: np.ndarray | None

    @property
    def nbytes(self) -> int:
        """Memory that the arrays take, in bytes."""
        arrays = (self.classes, self.confidence, self.probabilities)
        return sum(array.nbytes for array in arrays if array is not None)

    def at(self, rows: np.ndarray, columns: np.ndarray) -> "Prediction":
        """Return what is predicted of some rows and columns."""
        here = np.ix_(rows, columns)
        confidence, probabilities = (None if of is None else of[here] for of in (self.confidence, self.probabilities))
        return Prediction(self.classes[here], confidence, probabilities)

    def at_thresholds(self, thresholds: Thresholds) -> "Prediction":
        """Return what is predicted under thresholds, out of the most probable classes and their probabilities.

        Probabilities of half precision are compared: a pixel within a few ten-thousandths of a threshold may fall on
        its other side.

        Args:
            thresholds: As `choose_classes` takes them.

        Raises:
            ValueError: If the probabilities are not known.
        """
        if self.probabilities is None or self.confidence is None:
            raise ValueError("Expected a prediction with the probabilities of all classes.")
        reached, kept, lost = (np.zeros(self.classes.shape, bool) for _ in range(3))
        for index, limit in thresholds:
            here, of_class = self.probabilities[..., index] >= np.float32(limit), self.classes == index
            reached |= here
            kept |= here & of_class
            lost |= of_class & ~here
        changed = lost | (reached & ~kept)  # so few that a slider answers at once
        classes, confidence = self.classes.copy(), self.confidence.copy()
        classes[changed], confidence[changed] = choose_classes(self.probabilities[changed], thresholds)
        return Prediction(classes, confidence, self.probabilities)

    @cached_property
    def entropy(self) -> np.ndarray:
        """(height, width) float32: how evenly the classes share the probability, from 0, one has all, to 1."""
        if self.probabilities is None:
            raise ValueError("Expected a prediction with the probabilities of all classes.")
        classes = self.probabilities.shape[-1]
        total = np.zeros(self.classes.shape, np.float32)
        for index in range(classes):  # one class at a time: as float32, all at once would be twice the memory
            p = self.probabilities[..., index].astype(np.float32)
            total -= p * np.log(np.maximum(p, 1e-8))
        return np.clip(total / np.log(max(2, classes)), 0, 1)


def most_probable(probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return every pixel's most probable class, the first of several, and its probability.

    Args:
        probabilities: (…, classes).

    Returns:
        Two arrays (…): uint8, and of the probabilities' own type.
    """
    by_class = np.moveaxis(probabilities, -1, 0)
    best, confidence = np.zeros(by_class.shape[1:], np.uint8), by_class[0].copy()
    for index, probability in enumerate(by_class[1:], 1):  # twice as fast as NumPy along so short an axis
        np.putmask(best, probability > confidence, index)
        np.maximum(confidence, probability, out=confidence)
    return best, confidence


def choose_classes(probabilities: np.ndarray, thresholds: Thresholds) -> tuple[np.ndarray, np.ndarray]:
    """Return every pixel's class under thresholds, and the probability of that class.

    Of several classes that reach their thresholds it is the most probable. Where none does, it is the most probable
    class without a threshold; if all have one, the most probable class. Of equals it is the first.

    Args:
        probabilities: (…, classes).
        thresholds: Those in force; without any, every pixel is of its most probable class.

    Returns:
        Two arrays (…): uint8, and of the probabilities' own type.
    """
    if not thresholds:
        return most_probable(probabilities)
    limited = {index for index, _ in thresholds}
    free = np.array([index for index in range(probabilities.shape[-1]) if index not in limited], np.uint8)
    if free.size:
        place, confidence = most_probable(probabilities[..., free])
        best = free[place]
    else:
        best, confidence = most_probable(probabilities)
    held = np.full_like(confidence, -1)
    for index, limit in thresholds:
        probability = probabilities[..., index]
        # In float32: half precision would be compared with a threshold of half precision.
        reached = (probability >= np.float32(limit)) & (probability > held)
        np.putmask(best, reached, index)
        np.copyto(held, probability, where=reached)
    return best, np.where(held >= 0, held, confidence)
