"""What a model sees in a picture, or what is known of that."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Prediction:
    """Every pixel's class, and how sure the model is of it.

    Args:
        classes: (height, width) uint8 class indices: the most probable ones.
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
