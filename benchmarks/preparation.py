"""Preparing the patches of the real set: read, crop, cut, masks to class indices.

The usual way, as tutorials do it: cut with the sliding window that `patchify` is, compare each class's colour patch
by patch, images and one-hot masks in floating point. Ours: `load_patches`, straight into two arrays of bytes. Both
give the same patches and classes. Memory is the most that was resident, interpreter and imports included.
"""

import hashlib
import time
from pathlib import Path

import numpy as np
import tyro
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from benchmarks.measuring import alone, megabytes, print_header, print_row
from segmentation.data.locate import default_folder
from segmentation.data.palette import DUBAI
from segmentation.data.patches import load_patches
from segmentation.data.scenes import find_dataset

SIZE = 160

Outcome = tuple[float, float, str]
"""Seconds, megabytes, and a digest of patches and classes."""


def usual_way(root: Path) -> Outcome:
    """Prepare as tutorials do."""
    begun = time.perf_counter()
    images, masks = [], []
    for scene in find_dataset(root).scenes:
        for path, patches in ((scene.image, images), (scene.mask, masks)):
            pixels = np.array(Image.open(path).convert("RGB"))
            for row in sliding_window_view(pixels, (SIZE, SIZE, 3))[::SIZE, ::SIZE]:
                patches.extend(np.array(window[0]) for window in row)
    images = np.array([image / np.float32(255) for image in images])
    labels = []
    for mask in masks:
        label = np.full((SIZE, SIZE), DUBAI.unlabeled, np.uint8)  # what has no class's colour counts as Unlabeled
        for index, color in enumerate(DUBAI.colors):
            label[np.all(mask == color, axis=-1)] = index
        labels.append(label)
    labels = np.array(labels)
    one_hot = np.zeros((labels.size, len(DUBAI)))  # double precision, as Keras' to_categorical
    one_hot[np.arange(labels.size), labels.ravel()] = 1
    one_hot = one_hot.reshape(*labels.shape, len(DUBAI))
    duration, memory = time.perf_counter() - begun, megabytes()
    return duration, memory, _digest((images * 255).round().astype(np.uint8), one_hot.argmax(-1).astype(np.uint8))


def our_way(root: Path) -> Outcome:
    """Prepare as a training here does."""
    begun = time.perf_counter()
    patches = load_patches(find_dataset(root), protocol="patch")
    duration, memory = time.perf_counter() - begun, megabytes()
    return duration, memory, _digest(patches.images, patches.masks)


def _digest(images: np.ndarray, masks: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(images).data).hexdigest() + hashlib.sha256(masks.data).hexdigest()


def main(data: Path | None = None, times: int = 3) -> None:
    """Print both ways' time and memory.

    Args:
        data: The data set's folder; by default that in data/.
        times: How often to prepare; the fastest counts, for both.
    """
    root = data or default_folder()
    outcomes = {way: min(alone(way, root) for _ in range(times)) for way in (usual_way, our_way)}
    usual, ours = outcomes.values()
    if usual[2] != ours[2]:
        raise RuntimeError("the two ways give other patches")
    print_header(["", "usual way", "ours", "ratio"])
    for what, place, unit in (("time", 0, "s"), ("memory", 1, "MB")):
        print_row(what, *(f"{way[place]:,.1f} {unit}" for way in (usual, ours)), f"{usual[place] / ours[place]:.1f}")


if __name__ == "__main__":
    tyro.cli(main)
