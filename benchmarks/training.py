"""Training on the real set's patches in batches of 32, images a second within an epoch.

Keras' defaults on arrays: images and one-hot masks in floating point, `categorical_crossentropy`, accuracy, `fit`.
Ours: what `train` does, with its loss, its four metrics and its pipeline, void left out. Each in a process of its own.
The first batches, and the seconds for which Keras' own pipeline may stall at an epoch's end, are not counted.
"""

import math
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tyro

from benchmarks.measuring import alone, megabytes, print_header, print_row
from segmentation.data.locate import default_folder
from segmentation.data.patches import load_patches
from segmentation.data.scenes import find_dataset

BATCH, WARM = 32, 3


def defaults(root: Path, architecture: str, count: int) -> tuple[float, float]:
    """Return images a second and megabytes of Keras' defaults on arrays."""
    import keras

    from segmentation.model.registry import build

    patches = load_patches(find_dataset(root), protocol="patch")
    classes = 6
    images = patches.images[:count].astype("float32")
    masks = keras.utils.to_categorical(patches.masks[:count], classes)
    del patches
    model = build(architecture, images.shape[1], classes)
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    return _speed(lambda callback: model.fit(images, masks, BATCH, verbose=0, callbacks=[callback])), megabytes()


def ours(root: Path, architecture: str, count: int, mixed_precision: bool = False) -> tuple[float, float]:
    """Return images a second and megabytes of what `train` does."""
    from segmentation.allocator import keep_freed_memory
    from segmentation.configuration import Configuration
    from segmentation.model.registry import build
    from segmentation.training.fit import compile_model
    from segmentation.training.pipeline import feed, training_batches

    keep_freed_memory()
    patches = load_patches(find_dataset(root), protocol="patch")
    configuration = Configuration(
        architecture=architecture, batch_size=BATCH, epochs=1, mixed_precision=mixed_precision
    )
    model = build(architecture, configuration.patch_size, 6)
    compile_model(model, configuration)
    batches = feed(training_batches(patches, np.arange(count), configuration))
    steps = math.ceil(count / BATCH)
    fit = lambda callback: model.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=0, callbacks=[callback])  # noqa: E731
    return _speed(fit), megabytes()


def _speed(fit: Callable) -> float:
    """Return images a second, by the median of all batches but the first ones."""
    import keras

    ends = []
    fit(keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: ends.append(time.perf_counter())))
    return BATCH / statistics.median(np.diff(ends)[WARM:])


def main(
    architectures: tuple[str, ...] = ("unet", "lite0-unet"),
    data: Path | None = None,
    batches: int = 16,
    times: int = 2,
) -> None:
    """Print images a second of each way.

    Args:
        architectures: Networks to train.
        data: The data set's folder; by default that in data/.
        batches: How many to train on.
        times: How often to train each way; the mean counts.
    """
    root = data or default_folder()
    ways = {
        "Keras' defaults on arrays": (defaults,),
        "ours": (ours,),
        "ours, `--mixed-precision`": (ours, True),
    }
    print_header(["network", "way", "images a second", "ratio", "memory, MB"])
    for architecture in architectures:
        outcomes = {name: [] for name in ways}
        for _ in range(times):
            for name, (way, *options) in ways.items():
                outcomes[name].append(alone(way, root, architecture, batches * BATCH, *options))
        usual = None
        for name, figures in outcomes.items():
            speed, memory = np.mean(figures, axis=0)
            usual = usual or speed
            print_row(f"`{architecture}`", name, f"{speed:.1f}", f"{speed / usual:.2f}", f"{memory:,.0f}")


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    tyro.cli(main)
