"""Losses between class indices and class probabilities: pure functions, and one registered class that sums them.

Every function takes labels (batch, height, width) int32, void 255, and probabilities (batch, height, width, classes)
float32, leaves void out, and returns a scalar. `weights` is (classes,) float32: how much each class counts.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from segmentation.data.palette import VOID

Tensor = Any
"""A tensor of Keras' backend: each has a type of its own."""

FOCUS = 2.0
"""Exponent of the focal loss (Lin et al., 2017)."""


def cross_entropy(labels: Tensor, probabilities: Tensor, weights: Tensor) -> Tensor:
    """Return the mean of −log p over the labelled pixels, p being their true class's probability."""
    return _pixel_mean(labels, weights, -ops.log(_of_truth(labels, probabilities)))


def focal(labels: Tensor, probabilities: Tensor, weights: Tensor) -> Tensor:
    """Return the mean of −(1 − p)² log p over the labelled pixels: easy pixels count less (Lin et al., 2017)."""
    p = _of_truth(labels, probabilities)
    return _pixel_mean(labels, weights, -((1 - p) ** FOCUS) * ops.log(p))


def jaccard(labels: Tensor, probabilities: Tensor, weights: Tensor) -> Tensor:
    """Return one minus the soft Jaccard index, class by class over the batch, averaged over the classes in it."""
    intersection, total = _overlap_by_class(labels, probabilities)
    return _class_mean(labels, weights, 1 - (intersection + 1) / (total - intersection + 1))


def dice(labels: Tensor, probabilities: Tensor, weights: Tensor) -> Tensor:
    """Return one minus the soft Dice coefficient, class by class over the batch, averaged over the classes in it."""
    intersection, total = _overlap_by_class(labels, probabilities)
    return _class_mean(labels, weights, 1 - (2 * intersection + 1) / (total + 1))


def _of_truth(labels: Tensor, probabilities: Tensor) -> Tensor:
    """Each pixel's probability of its true class, (batch, height, width); nearly 0 where void."""
    # A product with one-hot labels, not `take_along_axis`: that one's gradient is four times as slow.
    p = ops.sum(truth_by_class(labels, probabilities.shape[-1]) * probabilities, axis=-1)
    return ops.clip(p, keras.config.epsilon(), 1.0)


def _pixel_mean(labels: Tensor, weights: Tensor, values: Tensor) -> Tensor:
    """Mean over the labelled pixels, each with its class's weight."""
    weight = ops.take(weights, ops.where(labels == VOID, 0, labels)) * ops.cast(labels != VOID, "float32")
    return ops.divide_no_nan(ops.sum(weight * values), ops.sum(weight))


def truth_by_class(labels: Tensor, classes: int) -> Tensor:
    """One-hot labels (batch, height, width, classes) float32; all zeros where void."""
    # PyTorch refuses what is no class, unless it is negative.
    return ops.one_hot(ops.where(labels == VOID, -1, labels), classes, dtype="float32")


def _overlap_by_class(labels: Tensor, probabilities: Tensor) -> tuple[Tensor, Tensor]:
    """Each class's soft intersection and soft total over the batch, (classes,), in pixels."""
    truth = truth_by_class(labels, probabilities.shape[-1])
    predicted = probabilities * ops.cast(labels != VOID, "float32")[..., None]
    axes = (0, 1, 2)
    return ops.sum(truth * predicted, axes), ops.sum(truth, axes) + ops.sum(predicted, axes)


def _class_mean(labels: Tensor, weights: Tensor, values: Tensor) -> Tensor:
    """Mean over the classes that the labels hold, each with its weight."""
    present = ops.cast(ops.any(truth_by_class(labels, weights.shape[0]) > 0, axis=(0, 1, 2)), "float32")
    return ops.divide_no_nan(ops.sum(present * weights * values), ops.sum(present * weights))


TERMS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "cross_entropy": cross_entropy,
    "focal": focal,
    "jaccard": jaccard,
    "dice": dice,
}
"""The losses by name."""


@keras.saving.register_keras_serializable(package="segmentation")
class SegmentationLoss(keras.losses.Loss):
    """A weighted sum of the losses in `TERMS`.

    Args:
        terms: How much each loss counts, by its name.
        class_weights: How much each class counts.

    Example:
        ``SegmentationLoss({"cross_entropy": 1.0, "jaccard": 0.5}, [1, 1, 1, 1, 1, 4])``
    """

    def __init__(
        self, terms: Mapping[str, float], class_weights: Sequence[float], name: str = "segmentation_loss"
    ) -> None:
        super().__init__(name=name)
        unknown = set(terms) - set(TERMS)
        if unknown or not terms:
            raise ValueError(f"Expected losses out of {', '.join(TERMS)}. Received: terms={dict(terms)}")
        self.terms = dict(terms)
        self.class_weights = [float(weight) for weight in class_weights]

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the sum for labels (batch, height, width) and probabilities (batch, height, width, classes)."""
        labels, probabilities = ops.cast(y_true, "int32"), ops.cast(y_pred, "float32")
        weights = ops.convert_to_tensor(self.class_weights, "float32")
        return sum(factor * TERMS[name](labels, probabilities, weights) for name, factor in self.terms.items())

    def get_config(self) -> dict:
        """Return what rebuilds the loss."""
        return {"terms": self.terms, "class_weights": self.class_weights, "name": self.name}
