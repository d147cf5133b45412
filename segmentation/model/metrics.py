"""Metrics that Keras shows while it trains: the article's Jaccard and accuracy, void left out."""

import keras
from keras import ops

from segmentation.data.palette import VOID
from segmentation.model.losses import truth_by_class

CARRY = 2**30
"""Cells of a confusion matrix hold fewer pixels than this; the rest is counted by the so many."""

SMOOTHING = 1.0
"""The article adds one to intersection and union, so that empty masks do not divide by zero."""


def soft_overlap(
    labels: keras.KerasTensor, probabilities: keras.KerasTensor
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Return each image's soft intersection Σ(true · predicted) and soft total Σtrue + Σpredicted, without void.

    Args:
        labels: (batch, height, width) class indices, void 255.
        probabilities: (batch, height, width, classes).

    Returns:
        Two (batch,) float32 tensors, in pixels.
    """
    labels = ops.cast(labels, "int32")
    labelled = ops.cast(labels != VOID, "float32")
    truth = truth_by_class(labels, probabilities.shape[-1])
    probabilities = ops.cast(probabilities, "float32")
    intersection = ops.sum(truth * probabilities, axis=(1, 2, 3))
    predicted = ops.sum(probabilities * labelled[..., None], axis=(1, 2, 3))
    return intersection, ops.sum(labelled, axis=(1, 2)) + predicted


def _jaccard(intersection: keras.KerasTensor, total: keras.KerasTensor) -> keras.KerasTensor:
    return (intersection + SMOOTHING) / (total - intersection + SMOOTHING)


@keras.saving.register_keras_serializable(package="segmentation")
class Jaccard(keras.metrics.Metric):
    """The article's Jaccard index: soft, all pixels and classes flattened together, one added above and below.

    The sums run over the whole epoch, so that the value does not depend on the batch size.
    """

    def __init__(self, name: str = "jaccard", **kwargs: object) -> None:
        super().__init__(name=name, **kwargs)
        self.intersection = self.add_variable((), "zeros", name="intersection")
        self.total = self.add_variable((), "zeros", name="total")

    def update_state(self, y_true: object, y_pred: object, sample_weight: object = None) -> None:
        """Add a batch: labels (batch, height, width), probabilities (batch, height, width, classes)."""
        intersection, total = soft_overlap(y_true, y_pred)
        self.intersection.assign_add(ops.sum(intersection))
        self.total.assign_add(ops.sum(total))

    def result(self) -> keras.KerasTensor:
        """Return the index over everything seen since the last reset."""
        return _jaccard(self.intersection, self.total)


@keras.saving.register_keras_serializable(package="segmentation")
class ImageJaccard(keras.metrics.Mean):
    """The article's mean IoU coefficient: the soft Jaccard index of each image, averaged over the images.

    An image without any label is left out: so are those that only fill up a batch for several devices.
    """

    def __init__(self, name: str = "image_jaccard", **kwargs: object) -> None:
        super().__init__(name=name, **kwargs)

    def update_state(self, y_true: object, y_pred: object, sample_weight: object = None) -> None:
        """Add a batch: labels (batch, height, width), probabilities (batch, height, width, classes)."""
        labelled = ops.any(ops.cast(y_true, "int32") != VOID, axis=(1, 2))
        super().update_state(_jaccard(*soft_overlap(y_true, y_pred)), sample_weight=ops.cast(labelled, "float32"))


class _ConfusionMetric(keras.metrics.Metric):
    """A score read off the confusion matrix of the whole epoch, rows true and columns predicted.

    JAX has no 64-bit integers by default: the matrix is kept in two of 32 bits, exact up to 2^61 pixels.
    """

    def __init__(self, classes: int, name: str, **kwargs: object) -> None:
        super().__init__(name=name, **kwargs)
        self.classes = classes
        self.matrix = self.add_variable((classes, classes), "zeros", dtype="int32", name="matrix")
        self.carried = self.add_variable((classes, classes), "zeros", dtype="int32", name="carried")

    def update_state(self, y_true: object, y_pred: object, sample_weight: object = None) -> None:
        """Add a batch: labels (batch, height, width), probabilities (batch, height, width, classes)."""
        truth = ops.reshape(ops.cast(y_true, "int32"), (-1,))
        predicted = ops.reshape(ops.cast(ops.argmax(y_pred, axis=-1), "int32"), (-1,))
        # Void falls into one more cell behind the matrix, and is cut off there.
        cells = ops.where(truth == VOID, self.classes**2, truth * self.classes + predicted)
        # Not `bincount`, whose length compiled code (JAX, XLA) would have to know beforehand.
        counts = ops.segment_sum(ops.ones_like(cells), cells, num_segments=self.classes**2 + 1)
        total = self.matrix + ops.reshape(counts[: self.classes**2], (self.classes, self.classes))
        self.carried.assign_add(total // CARRY)
        self.matrix.assign(total % CARRY)

    def counts(self) -> keras.KerasTensor:
        """Return the confusion matrix (classes, classes) float32, in pixels."""
        return ops.cast(self.matrix, "float32") + ops.cast(self.carried, "float32") * CARRY

    def get_config(self) -> dict:
        """Return what rebuilds the metric."""
        return {**super().get_config(), "classes": self.classes}


@keras.saving.register_keras_serializable(package="segmentation")
class PixelAccuracy(_ConfusionMetric):
    """Share of the labelled pixels whose class is right."""

    def __init__(self, classes: int, name: str = "accuracy", **kwargs: object) -> None:
        super().__init__(classes, name, **kwargs)

    def result(self) -> keras.KerasTensor:
        """Return the accuracy over everything seen since the last reset; 0 if nothing was."""
        matrix = self.counts()
        return ops.divide_no_nan(ops.trace(matrix), ops.sum(matrix))


@keras.saving.register_keras_serializable(package="segmentation")
class MacroMeanIoU(_ConfusionMetric):
    """Mean of the classes' IoU; a class in neither mask nor prediction is left out."""

    def __init__(self, classes: int, name: str = "mean_iou", **kwargs: object) -> None:
        super().__init__(classes, name, **kwargs)

    def result(self) -> keras.KerasTensor:
        """Return the mean over everything seen since the last reset; 0 if nothing was."""
        matrix = self.counts()
        intersection = ops.diagonal(matrix)
        union = ops.sum(matrix, axis=0) + ops.sum(matrix, axis=1) - intersection
        counted = ops.sum(ops.cast(union > 0, "float32"))
        return ops.divide_no_nan(ops.sum(ops.divide_no_nan(intersection, union)), counted)


def training_metrics(classes: int) -> list[keras.metrics.Metric]:
    """Return the metrics of every training, in the order in which `history.csv` names them."""
    return [PixelAccuracy(classes), Jaccard(), ImageJaccard(), MacroMeanIoU(classes)]
