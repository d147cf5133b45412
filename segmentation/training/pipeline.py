"""From patches to batches: what is shown when is NumPy's, the feeding is that of the backend."""

import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import keras
import numpy as np

from segmentation.configuration import Configuration
from segmentation.data.palette import VOID
from segmentation.data.patches import Patches
from segmentation.training.augmentation import Batch, Changes, Windows, change, draw_changes
from segmentation.training.on_device import DevicePatches

if TYPE_CHECKING:
    import tensorflow as tf

THREADS = min(8, os.cpu_count() or 1)
"""So many batches are made at once: a GPU takes them faster than one core can change them."""


class Share(NamedTuple):
    """What this process feeds of every batch, where several devices or machines train one network.

    Args:
        devices: Of all processes; a batch is filled up until they all get equally much.
        process: This one's number, from 0.
        processes: How many there are.
    """

    devices: int = 1
    process: int = 0
    processes: int = 1

    def of(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return which of a batch's patches this process feeds, and which of these only fill the batch up (bool)."""
        filled = count + -count % self.devices
        here = filled // self.processes
        places = np.arange(self.process * here, (self.process + 1) * here)
        return places % count, places >= count


class Batches(keras.utils.PyDataset):
    """A sequence of batches, each made when it is asked for, and those after it ahead of time.

    Args:
        make: From a batch's number to the batch; called from several threads.
        count: How many there are.
        threads: How many are made at once; without any, each is made where it is asked for.
    """

    def __init__(self, make: Callable[[int], Batch], count: int, threads: int = THREADS) -> None:
        super().__init__()
        self._make, self._count, self._threads = make, count, threads
        self._pool = ThreadPoolExecutor(threads) if threads else None
        self._under_way: dict[int, Future[Batch]] = {}

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Batch:
        if self._pool is None:
            return self._make(index)
        wanted = range(index, min(index + self._threads + 1, self._count))
        for number in self._under_way.keys() - set(wanted):
            self._under_way.pop(number).cancel()
        for number in wanted:
            if number not in self._under_way:
                self._under_way[number] = self._pool.submit(self._make, number)
        return self._under_way.pop(index).result()

    def __iter__(self) -> Iterator[Batch]:
        return (self[index] for index in range(self._count))


def training_batches(
    patches: Patches,
    part: np.ndarray,
    configuration: Configuration,
    first_epoch: int = 0,
    share: Share | None = None,
    on_device: bool = False,
) -> Batches:
    """Return the batches of all epochs from `first_epoch` on, one after another.

    Each epoch draws its order, and each batch its changes, from a random generator seeded with its number: a resumed
    training sees what it would have seen. Only the batches under way exist beside the uint8 patches.

    Args:
        patches: All patches.
        part: (n,) indices of those to train on.
        configuration: Batch size, epochs, seed and augmentation.
        first_epoch: The first epoch to feed, counted from 0.
        share: What this process feeds of each batch; by default all. What fills a batch up is void.
        on_device: Cut and change patches where the network trains, which needs all of each batch, instead of here. The
            batches are then tensors of the backend's.

    Returns:
        (images (batch, size, size, bands) uint8, class indices (batch, size, size) uint8); the last batch of an epoch
        may be smaller.
    """
    windows = Windows(patches, part)
    chosen_for = _chosen(part, configuration, first_epoch)
    on_grid = not (configuration.random_windows or configuration.zoom)
    device = DevicePatches(patches, windows, configuration.zoom) if on_device else None

    def make(index: int) -> Batch:
        chosen, rng = chosen_for(index)
        here, filling = (share or Share()).of(len(chosen))
        places = None if on_grid else windows.place(chosen, configuration, rng)
        changes = draw_changes(len(chosen), configuration, rng)
        if device:
            return device.batch(chosen, places, changes)
        if places:
            views = [windows.view(*view) for view in zip(chosen[here], *(array[here] for array in places), strict=True)]
            images, masks = (np.stack(arrays) for arrays in zip(*views, strict=True))
        else:
            images, masks = patches.images[chosen[here]], patches.masks[chosen[here]]
        masks[filling] = VOID
        return change(images, masks, Changes(*(array[here] for array in changes)))

    count = steps_an_epoch(part, configuration) * (configuration.epochs - first_epoch)
    return Batches(make, count, threads=0 if device else THREADS)


def _chosen(
    part: np.ndarray, configuration: Configuration, first_epoch: int
) -> Callable[[int], tuple[np.ndarray, np.random.Generator]]:
    """Return a function from a batch's number to the indices of its patches and the generator of its changes."""
    steps = steps_an_epoch(part, configuration)
    order = lru_cache(2)(lambda epoch: np.random.default_rng([configuration.seed, epoch]).permutation(part))

    def chosen_for(index: int) -> tuple[np.ndarray, np.random.Generator]:
        epoch, step = first_epoch + index // steps, index % steps
        chosen = order(epoch)[step * configuration.batch_size : (step + 1) * configuration.batch_size]
        return chosen, np.random.default_rng([configuration.seed, epoch, step])

    return chosen_for


def steps_an_epoch(part: np.ndarray, configuration: Configuration) -> int:
    """Return how many batches hold the patches of `part`."""
    return math.ceil(len(part) / configuration.batch_size)


def held_out_batches(
    patches: Patches, part: np.ndarray, configuration: Configuration, share: Share | None = None
) -> Batches:
    """Return the patches of `part` in their order, unchanged, in batches as `training_batches` gives them."""

    def make(index: int) -> Batch:
        chosen = part[index * configuration.batch_size : (index + 1) * configuration.batch_size]
        here, filling = (share or Share()).of(len(chosen))
        images, masks = patches.images[chosen[here]], patches.masks[chosen[here]]
        masks[filling] = VOID
        return images, masks

    return Batches(make, steps_an_epoch(part, configuration))


def feed(batches: Batches) -> "Batches | tf.data.Dataset":
    """Return batches as ``fit`` takes them fastest.

    Keras would wrap them for TensorFlow with tf.data's autotune on, which makes every dropped iterator wait for
    seconds. Other backends take them as they are.
    """
    if keras.config.backend() != "tensorflow":
        return batches
    import tensorflow as tf

    (images, masks), dtype = batches[0], tf.uint8
    signature = (tf.TensorSpec((None, *images.shape[1:]), dtype), tf.TensorSpec((None, *masks.shape[1:]), dtype))
    data = tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=signature)
    data = data.apply(tf.data.experimental.assert_cardinality(len(batches))).prefetch(2)
    options = tf.data.Options()
    options.autotune.enabled = False
    return data.with_options(options)
