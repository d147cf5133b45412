"""Embeddings of the real set's patches by the encoder of dubai-best, as "Similar" in the gallery computes them once.

Copies are 500 of the patches with 8 added to each value, and with 8 rows moved from one side to the other. How unlike
two patches are is told by the shares of their classes: half the sum of the differences, 0 for the same mix and 1 for
nothing in common.
"""

import time
from pathlib import Path

import numpy as np
import tyro

from benchmarks.measuring import print_header, print_row
from segmentation.data.locate import default_folder
from segmentation.data.patches import class_counts, load_patches
from segmentation.data.scenes import find_dataset
from segmentation.evaluation.similar import NEAR, NEAREST, STAND_IN, map_patches, nearest, open_encoder
from segmentation.runs.run import SHIPPED, Run

SAMPLE = 500
"""Patches that are looked at one by one."""


def main(data: Path | None = None) -> None:
    """Measure.

    Args:
        data: The data set's folder; by default that in data/.
    """
    dataset, run = find_dataset(data or default_folder()), Run(SHIPPED / STAND_IN)
    embedder = open_encoder(run).embedder
    print_header(("patches", "seconds", "milliseconds per patch", "10,000 patches"))
    for size in (256, 160):
        patches = load_patches(dataset, size)
        begun = time.perf_counter()
        vectors = np.concatenate(list(embedder.batches(patches.images)))
        seconds = time.perf_counter() - begun
        each = seconds / len(vectors)
        print_row(
            f"{len(vectors):,} of {size} px", f"{seconds:.0f}", f"{1000 * each:.1f}", f"{10_000 * each / 60:.1f} min"
        )
    embeddings, parts = vectors.astype(np.float16), run.patches["part"].to_numpy(str)
    begun = time.perf_counter()
    made = map_patches(embeddings, parts)
    seconds = time.perf_counter() - begun
    print(
        f"\nThe map of {len(parts):,} patches and their near-duplicates take {seconds:.2f} s; two components hold "
        f"{100 * made.shares.sum():.0f} % of the variance, and {made.pairs.total:,} pairs of patches in different "
        f"parts have a cosine similarity of {NEAR} or more.\n"
    )
    rng = np.random.default_rng(0)
    chosen = np.sort(rng.choice(len(parts), SAMPLE, replace=False))
    images = patches.images[chosen]
    copies = {
        "brighter": np.clip(images.astype(np.int16) + 8, 0, 255).astype(np.uint8),
        "moved": np.roll(images, 8, 1),
    }
    print_header(("copies", f"similarity of {NEAR} or more", "nearest of all is the original"))
    for name, copied in copies.items():
        cosines = np.concatenate(list(embedder.batches(copied))) @ vectors.T
        alike = (cosines[np.arange(SAMPLE), chosen] >= NEAR).mean()
        print_row(name, f"{100 * alike:.0f} %", f"{100 * (cosines.argmax(1) == chosen).mean():.0f} %")
    counts = class_counts(patches.masks, len(dataset.palette))[:, :-1]
    shares = counts / np.maximum(1, counts.sum(1, keepdims=True))
    near, chance = [], []
    for place in chosen:
        near.append(np.abs(shares[nearest(embeddings, place)[0]] - shares[place]).sum(1).mean() / 2)
        chance.append(np.abs(shares[rng.choice(len(shares), NEAREST)] - shares[place]).sum(1).mean() / 2)
    print(
        f"\nThe {NEAREST} nearest patches differ from a patch by {np.mean(near):.2f} in classes, as many at random "
        f"by {np.mean(chance):.2f}."
    )


if __name__ == "__main__":
    tyro.cli(main)
