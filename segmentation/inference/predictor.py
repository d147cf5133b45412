"""A trained network, loaded once, for patches and for scenes of any size. Importing this imports TensorFlow."""

from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from segmentation.data.patches import cut, join
from segmentation.errors import RunError
from segmentation.inference.prediction import Prediction

BATCH = 32
"""Patches predicted at once: larger batches are no faster on a CPU."""


class Predictor:
    """A network ready to predict.

    Args:
        path: A ``.keras`` file of ours.

    Raises:
        RunError: If the file cannot be loaded as a model that maps square patches to class probabilities.
    """

    def __init__(self, path: Path) -> None:
        try:
            model = keras.saving.load_model(path, compile=False)
            height, width, channels = model.input_shape[1:]
            *size, classes = model.output_shape[1:]
        # Keras raises whatever its layers, h5py or zipfile raise: to the user all mean that the file is unusable.
        except Exception as error:
            raise RunError(f"{path.name} of {path.parent.name} cannot be loaded: train that run again.") from error
        if channels != 3 or None in (height, width) or not [height, height] == [height, width] == size:
            raise RunError(
                f"{path.name} of {path.parent.name} does not map square RGB patches to class probabilities: train "
                "that run again."
            )
        self.patch_size: int = height
        self.classes: int = classes
        # One traced call costs milliseconds where `model.predict` costs a tenth of a second, and grows no memory.
        self._forward = tf.function(
            lambda images: model(images, training=False),
            input_signature=[tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8)],
            autograph=False,  # there is no Python control flow to translate, and it warns of lambdas
        )

    def batches(self, images: np.ndarray, tta: bool = False) -> Iterator[np.ndarray]:
        """Yield class probabilities (batch, size, size, classes) float32 for (patches, size, size, 3) uint8.

        Args:
            images: The patches.
            tta: Test-time augmentation: predict each patch in its eight flips and rotations and average. Eight times
                the time.
        """
        predict = self._all_ways_up if tta else self._as_it_is
        for start in range(0, len(images), BATCH):
            yield predict(images[start : start + BATCH])

    def _as_it_is(self, images: np.ndarray) -> np.ndarray:
        return self._forward(images).numpy()

    def _all_ways_up(self, images: np.ndarray) -> np.ndarray:
        """Return the mean of what is predicted for each flip and rotation, turned back."""
        total = np.zeros((*images.shape[:3], self.classes), np.float32)
        for turns in range(4):
            turned = np.rot90(images, turns, axes=(1, 2))
            total += np.rot90(self._as_it_is(turned), -turns, axes=(1, 2))
            total += np.rot90(self._as_it_is(turned[:, :, ::-1])[:, :, ::-1], -turns, axes=(1, 2))
        return total / 8

    def scene(
        self, image: np.ndarray, progress: Callable[[int, int], None] | None = None, tta: bool = False
    ) -> Prediction:
        """Predict an image of any size, patch by patch from the top left as the article cuts.

        What is left over at the right and at the bottom is filled up to a whole patch with its own mirror image, so
        that every pixel gets a prediction.

        Args:
            image: (height, width, 3) uint8.
            progress: Called with (patches done, patches) after every batch.
            tta: Test-time augmentation, as in `batches`.
        """
        height, width = image.shape[:2]
        size = self.patch_size
        filled = np.pad(image, ((0, -height % size), (0, -width % size), (0, 0)), mode="symmetric")
        patches = cut(filled, size)
        classes = np.empty(patches.shape[:3], np.uint8)
        confidence = np.empty(patches.shape[:3], np.float32)
        of_classes = np.empty((*patches.shape[:3], self.classes), np.float16)
        done = 0
        for probabilities in self.batches(patches, tta):
            end = done + len(probabilities)
            classes[done:end] = probabilities.argmax(-1)
            confidence[done:end] = probabilities.max(-1)
            of_classes[done:end] = probabilities
            done = end
            if progress:
                progress(done, len(patches))
        rows, columns = filled.shape[0] // size, filled.shape[1] // size
        return Prediction(*(join(part, rows, columns)[:height, :width] for part in (classes, confidence, of_classes)))
