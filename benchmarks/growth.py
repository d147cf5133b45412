"""How time and memory grow with the data set: to find its files, to prepare patches, and to train.

Larger sets are links to the real scenes. Memory is the most that the process had of its own beyond its imports:
images or masks beyond half a gigabyte lie in a file, whose pages the system takes back when it needs them. Training
is 20 batches of 16 of the article's network.
"""

import os
import tempfile
import time
from pathlib import Path

import numpy as np
import tyro

from benchmarks.clicks import link_scenes
from benchmarks.measuring import alone, megabytes, print_header, print_row, watched_memory
from segmentation.data.locate import default_folder
from segmentation.data.scenes import find_dataset

STEPS = 20


def train(root: Path) -> tuple[int, float, float, float, float]:
    """Return the patches, seconds to find files and to prepare patches, and megabytes then and while training."""
    from segmentation.configuration import Configuration
    from segmentation.data.patches import load_patches
    from segmentation.model.registry import build
    from segmentation.training.fit import compile_model
    from segmentation.training.pipeline import feed, training_batches

    before = megabytes("RssAnon")
    with watched_memory() as preparing:
        begun = time.perf_counter()
        dataset = find_dataset(root)
        finding = time.perf_counter() - begun
        patches = load_patches(dataset, protocol="patch")
        loading = time.perf_counter() - begun - finding
    configuration = Configuration(epochs=1, batch_size=16, random_windows=True)
    model = build(configuration.architecture, configuration.patch_size, len(dataset.palette))
    compile_model(model, configuration)
    batches = feed(training_batches(patches, np.arange(len(patches.masks)), configuration))
    with watched_memory() as training:
        model.fit(batches, steps_per_epoch=STEPS, verbose=0)
    return len(patches.masks), finding, loading, preparing[0] - before, training[0] - before


def main(data: Path | None = None, times: tuple[int, ...] = (1, 10, 100)) -> None:
    """Print a row for each size.

    Args:
        data: The data set's folder; by default that in data/.
        times: How many links to each scene; 100 of the real set's take 36 GB in the temporary folder.
    """
    root = data or default_folder()
    print_header(["scenes", "patches", "find, s", "prepare, s", "ms a scene", "preparing, MB", "training, MB"])
    for count in times:
        with tempfile.TemporaryDirectory() as folder:
            linked = link_scenes(root, Path(folder), count)
            scenes = len(find_dataset(linked).scenes)
            patches, finding, loading, preparing, training = alone(train, linked)
        print_row(
            f"{scenes:,}",
            f"{patches:,}",
            f"{finding:.2f}",
            f"{loading:.1f}",
            f"{1000 * loading / scenes:.0f}",
            f"{preparing:,.0f}",
            f"{training:,.0f}",
        )


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    tyro.cli(main)
