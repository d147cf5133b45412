"""From patches to batches: the order is NumPy's, the feeding is tf.data's."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from segmentation.data.patches import Patches
from segmentation.training.augmentation import Batch, Windows, augment
from segmentation.training.configuration import Configuration


def training_batches(
    patches: Patches, part: np.ndarray, configuration: Configuration, first_epoch: int = 0
) -> tf.data.Dataset:
    """Return the batches of all epochs from `first_epoch` on, one after another.

    Each epoch has its own random generator, seeded with the epoch's number: a resumed training sees what it would
    have seen. Only the batches under way exist beside the uint8 patches.

    Args:
        patches: All patches.
        part: (n,) indices of those to train on.
        configuration: Batch size, epochs, seed and augmentation.
        first_epoch: The first epoch to feed, counted from 0.

    Returns:
        (images (batch, size, size, 3) uint8, class indices (batch, size, size) uint8); the last batch of an epoch may
        be smaller.
    """
    windows = Windows(patches, part) if configuration.random_windows or configuration.zoom else None

    def generate() -> Iterator[Batch]:
        for epoch in range(first_epoch, configuration.epochs):
            rng = np.random.default_rng([configuration.seed, epoch])
            order = rng.permutation(part)
            for start in range(0, len(order), configuration.batch_size):
                chosen = order[start : start + configuration.batch_size]
                if windows:
                    drawn = [windows.draw(index, configuration, rng) for index in chosen]
                    images, masks = (np.stack(arrays) for arrays in zip(*drawn, strict=True))
                else:
                    images, masks = patches.images[chosen], patches.masks[chosen]
                yield augment(images, masks, configuration, rng)

    steps = math.ceil(len(part) / configuration.batch_size)
    return _feed(generate, configuration.patch_size, steps * (configuration.epochs - first_epoch))


def held_out_batches(patches: Patches, part: np.ndarray, configuration: Configuration) -> tf.data.Dataset:
    """Return the patches of `part` in their order, unchanged, in batches as `training_batches` gives them."""

    def generate() -> Iterator[Batch]:
        for start in range(0, len(part), configuration.batch_size):
            chosen = part[start : start + configuration.batch_size]
            yield patches.images[chosen], patches.masks[chosen]

    return _feed(generate, configuration.patch_size, math.ceil(len(part) / configuration.batch_size))


def _feed(generate: Callable[[], Iterator[Batch]], size: int, batches: int) -> tf.data.Dataset:
    """Wrap a generator of batches; autotune is off because it makes every dropped iterator wait for seconds."""
    signature = (tf.TensorSpec((None, size, size, 3), tf.uint8), tf.TensorSpec((None, size, size), tf.uint8))
    feed = tf.data.Dataset.from_generator(generate, output_signature=signature)
    feed = feed.apply(tf.data.experimental.assert_cardinality(batches)).prefetch(2)
    options = tf.data.Options()
    options.autotune.enabled = False
    return feed.with_options(options)
