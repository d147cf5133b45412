"""What a model sees in a picture (no TensorFlow, so that pages can name the type without loading it)."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Prediction:
    """The most probable class of every pixel.

    Args:
        classes: (height, width) uint8 class indices.
        confidence: (height, width) float32: the probability of that class.
    """

    classes: np.ndarray
    confidence: np.ndarray
