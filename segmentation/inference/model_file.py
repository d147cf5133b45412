"""A ``.keras`` file, looked at before it is unpacked: small files may unfold to gigabytes, or name other files.

It is a zip archive of ``config.json``, the layers, and ``model.weights.h5``, their weights in HDF5. Both formats can
promise far more than they hold, and HDF5 can take its numbers from other files.
"""

import gc
import hashlib
import json
import math
import traceback
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segmentation.backend import load_backend
from segmentation.errors import RunError, SegmentationError

if TYPE_CHECKING:
    import h5py
    import keras

CONFIG, WEIGHTS = "config.json", "model.weights.h5"

LARGEST_CONFIG = 8 << 20
"""Bytes of ``config.json``: those of our networks take 100,000."""

UNFOLDED, SMALL = 20, 64 << 20
"""More than `SMALL` bytes are unpacked only from a file that has a twentieth of them: weights hardly shrink."""

LARGEST = 1 << 31
"""Bytes that a file has, or is unpacked to, at most."""

MOST_OBJECTS = 100_000
"""Groups and data sets in the HDF5 file: a layer has a handful."""

LARGEST_OUTPUT = 1 << 27
"""Numbers that a layer may give for one image, 512 MB: twice those of 64 channels at 1024 × 1024 pixels."""

WHAT_LOADS = "what loads is a .keras file of Keras 3 without code of its own, from square RGB patches to probabilities"


@contextmanager
def loading(path: Path) -> Iterator[None]:
    """Say in one sentence what keeps the block from using a model's file.

    Raises:
        RunError: In place of whatever zipfile, h5py, Keras or a layer raises.
    """
    try:
        yield
    except SegmentationError:
        raise
    except Exception as error:
        # What is half read of a file is let go here and now: collected later, by another thread, HDF5 may hang.
        traceback.clear_frames(error.__traceback__)
        gc.collect()
        raise refusal(path, WHAT_LOADS) from error


def refusal(path: Path, why: str) -> RunError:
    """Return the error that names a model's file by its run, and says why it is not loaded."""
    return RunError(f"{path.name} of {path.parent.name} cannot be loaded: {why}.")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a ``.keras`` file, in hexadecimal digits.

    Raises:
        RunError: If it is no file, cannot be read, or is larger than that of any network.
    """
    with loading(path):
        most_bytes(path)
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def most_bytes(path: Path) -> int:
    """Return how many bytes a ``.keras`` file may be unpacked to.

    Raises:
        RunError: If it is no file, or is larger than that of any network.
    """
    if not path.is_file():  # a pipe would be waited for
        raise refusal(path, "it is no file" if path.exists() else "it is not there")
    size = path.stat().st_size
    if size > LARGEST:
        raise refusal(path, f"it has {size / 1e9:.1f} GB, more than any network")
    return min(LARGEST, max(SMALL, UNFOLDED * size))


def check_model_file(path: Path) -> None:
    """Refuse a ``.keras`` file that would take much memory, or read other files, when it is loaded.

    Raises:
        RunError: If so, or if it is no such file.
    """
    import h5py  # takes as long as the first page's own modules, and no page needs it before a network is opened

    with loading(path):
        bound = most_bytes(path)
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
            if size > bound:
                raise refusal(path, f"it would unfold to {size / 1e9:.1f} GB, which no network of its size does")
            if archive.getinfo(CONFIG).file_size > LARGEST_CONFIG:
                raise refusal(path, f"its {CONFIG} is larger than that of any network")
            # As an image in memory: HDF5 that calls Python to read a file can wait for a thread that waits for it.
            with h5py.File(h5py.h5f.open_file_image(archive.read(WEIGHTS))) as file:
                _check_weights(path, file, bound)


def _check_weights(path: Path, file: "h5py.File", bound: int) -> None:
    """Look at every group and data set, without reading one."""
    import h5py

    groups, seen, unfolded = [file], set(), 0
    while groups:
        group = groups.pop()
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise refusal(path, "its weights lie in another file or place")
            item = group[name]
            place = h5py.h5o.get_info(item.id).addr
            if place in seen:
                continue
            seen.add(place)
            if len(seen) > MOST_OBJECTS:
                raise refusal(path, f"it has more than {MOST_OBJECTS:,} sets of weights")
            if isinstance(item, h5py.Group):
                groups.append(item)
                continue
            if item.is_virtual or item.external:
                raise refusal(path, "its weights lie in another file or place")
            if item.dtype.kind not in "fiubV":  # V: bfloat16
                raise refusal(path, "its weights are no numbers")
            # A piece that is read is unpacked as a whole, however little of it belongs to the data set.
            unfolded += max(item.size, math.prod(item.chunks or ())) * item.dtype.itemsize
            if unfolded > bound:
                size = f"{unfolded / 1e9:.1f} GB"
                raise refusal(path, f"its weights would unfold to {size}, which no network of its size does")


def check_size_of_layers(path: Path, weights: int, largest_output: int) -> None:
    """Refuse a network whose layers would take much memory, whatever its file holds.

    Args:
        path: Its file.
        weights: How many numbers its layers' weights are.
        largest_output: How many numbers the largest layer gives for one image.
    """
    if 4 * weights > most_bytes(path):
        raise refusal(path, f"its layers ask for {weights:,} weights, and the file does not hold them")
    if largest_output > LARGEST_OUTPUT:
        raise refusal(path, f"a layer gives {largest_output:,} numbers for one image: use smaller patches")


def load_keras_model(path: Path) -> "keras.Model":
    """Return the model of a ``.keras`` file, not compiled, after a look at what it would take.

    Raises:
        RunError: If it cannot be loaded.
        BackendError: If Keras and its backend cannot be.
    """
    check_model_file(path)
    load_backend()
    import keras

    with loading(path):
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read(CONFIG))
        # What Keras remembers of variables without values it remembers by thread: no later model gets to see them.
        with ThreadPoolExecutor(1) as pool:
            check_size_of_layers(path, *pool.submit(_outline, config).result())
        return keras.saving.load_model(path, compile=False)


def _outline(config: dict) -> tuple[int, int]:
    """Return how many numbers a model's weights are, and the largest output of a layer for one image.

    Nothing of that size is made: in such a scope variables have shapes, but no values.
    """
    import keras

    with keras.StatelessScope(initialize_variables=False):
        model = keras.saving.deserialize_keras_object(config, safe_mode=True)
    largest = 0
    for layer in model.layers:
        with suppress(AttributeError, ValueError):  # it has none, or is called more than once
            sizes = (math.prod(length or 1 for length in tensor.shape) for tensor in keras.tree.flatten(layer.output))
            largest = max(largest, *sizes)
    return sum(math.prod(variable.shape) for variable in model.variables), largest


def check_probabilities(path: Path, values: np.ndarray, tolerance: float) -> None:
    """Refuse a network whose outputs are no probabilities: confidence and the article's Jaccard would be wrong.

    Args:
        path: Its file.
        values: What it gives for some images, (images, height, width, classes).
        tolerance: How far off rounding may lead.

    Raises:
        RunError: If a value is no number, lies outside 0–1, or a pixel's do not add up to 1.
    """
    if not np.isfinite(values).all():
        raise refusal(path, "it gives values that are no numbers, so some of its weights are none")
    least, most, total = values.min(), values.max(), values.sum(-1, dtype=np.float64)
    if least < -tolerance or most > 1 + tolerance:
        raise refusal(
            path,
            f"it gives values from {least:.2f} to {most:.2f}, no probabilities: end it with a softmax over classes",
        )
    if np.abs(total - 1).max() > tolerance:
        raise refusal(
            path,
            f"its values add up to {total.min():.2f} to {total.max():.2f} at a pixel, not to 1: end it with a softmax "
            "over classes",
        )
