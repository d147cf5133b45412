"""Trains and predicts on the backend that KERAS_BACKEND names, for test_backends.py, in a process of its own.

``python -m tests.training.on_backend FOLDER DATA TASK…``, from the project's folder; tasks are the functions below, and
their runs are in FOLDER.
"""

import dataclasses
import os
import signal
import sys
import threading
import time
from functools import partial
from pathlib import Path

from segmentation.backend import load_backend

NAME = load_backend()

import keras  # noqa: E402 (which backend it takes is known now)
import numpy as np  # noqa: E402

from segmentation.configuration import Configuration  # noqa: E402
from segmentation.data.patches import load_patches  # noqa: E402
from segmentation.data.scenes import Dataset, find_dataset  # noqa: E402
from segmentation.model.registry import ARCHITECTURES, Architecture  # noqa: E402
from segmentation.model.unet import unet  # noqa: E402
from segmentation.training.fit import train  # noqa: E402

PLAIN = Configuration(
    architecture="without-dropout",
    start_from="first",
    patch_size=32,
    protocol="scene",
    epochs=3,
    batch_size=7,
    loss="cross_entropy+0.5*jaccard",
    class_weights=(1.0, 1.0, 1.0, 1.0, 1.0, 4.0),
    weight_decay=0.01,
    ema=0.5,
    flips_and_rotations=True,
    random_windows=True,
    zoom=0.25,
    brightness=0.1,
)
"""The same on every backend: 14 patches in batches of one size."""

CUT = Configuration(architecture="tiny", patch_size=32, protocol="scene", epochs=6, batch_size=9, ema=0.5)
"""With dropout, whose state a snapshot must hold; batches of nine and five patches are no multiples of two."""

tiny = partial(unet, filters=(8,), bottleneck=8)


def without_dropout(patch_size: int, classes: int, bands: int = 3) -> keras.Model:
    model = tiny(patch_size, classes, bands)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0
    return model


ARCHITECTURES["tiny"] = Architecture(tiny, divisor=2)
ARCHITECTURES["without-dropout"] = Architecture(without_dropout, divisor=2)


def first(folder: Path, dataset: Dataset) -> None:
    """Save the initial weights."""
    keras.utils.set_random_seed(3)
    (folder / "first").mkdir()
    without_dropout(32, 6).save(folder / "first" / "best.keras")
    (folder / "first" / "config.json").write_text("{}")


def plain(folder: Path, dataset: Dataset) -> None:
    train(dataset, PLAIN, folder / NAME, verbose=0)


def mixed(folder: Path, dataset: Dataset) -> None:
    configuration = dataclasses.replace(PLAIN, mixed_precision=True)
    train(dataset, configuration, folder / f"{NAME}-mixed", verbose=0)


def killed(folder: Path, dataset: Dataset) -> None:
    """Kill this process once two epochs are in the snapshot of its training."""
    threading.Thread(target=_kill_after, args=(2, folder / f"{NAME}-cut" / "latest" / "history.csv")).start()
    cut(folder, dataset)


def _kill_after(epochs: int, history: Path) -> None:
    while not history.exists() or history.read_bytes().count(b"\n") <= epochs:
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGKILL)


def cut(folder: Path, dataset: Dataset) -> None:
    """Train, or go on; on JAX on two devices."""
    train(dataset, CUT, folder / f"{NAME}-cut", resume=True, verbose=0, devices=2 if NAME == "jax" else None)


def uncut(folder: Path, dataset: Dataset) -> None:
    """Train the same in one go and on one device."""
    train(dataset, CUT, folder / f"{NAME}-uncut", verbose=0)


def predict(folder: Path, dataset: Dataset) -> None:
    """Save the probabilities that each backend's network gives here, and the classes that it was trained to."""
    images = load_patches(dataset, 32).images
    for trained_on in ("tensorflow", "jax", "torch"):
        model = keras.saving.load_model(folder / trained_on / "best.keras")
        np.save(folder / f"{trained_on}-on-{NAME}.npy", model.predict(images, verbose=0))


if __name__ == "__main__":
    data = find_dataset(Path(sys.argv[2]))
    for task in sys.argv[3:]:
        globals()[task](Path(sys.argv[1]), data)
