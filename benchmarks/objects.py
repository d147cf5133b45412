"""Objects of all classes in the whole real set: found, matched and judged, prediction not counted.

As predictions the masks themselves are taken, moved down and to the right by 3 pixels, which leaves some 3 % of the
pixels wrong as a good model does, at all boundaries. `find_objects` is what the gallery computes once and keeps;
`object_table` and the scores are made at every choice of class or size.
"""

import time
from pathlib import Path

import numpy as np
import tyro

from benchmarks.measuring import print_header, print_row
from segmentation.data.locate import default_folder
from segmentation.data.protocols import TEST
from segmentation.data.scenes import find_dataset
from segmentation.evaluation.objects import SMALLEST, ObjectScores, find_objects, object_table

MOVED = 3
"""Pixels that masks are moved by."""


def main(data: Path | None = None) -> None:
    """Measure.

    Args:
        data: The data set's folder; by default that in data/.
    """
    dataset = find_dataset(data or default_folder())
    spent, pixels, found = 0.0, 0, {}
    for scene in dataset.scenes:
        mask = scene.read_mask(dataset.palette)
        moved = np.pad(mask, ((MOVED, 0), (MOVED, 0)), mode="edge")[:-MOVED, :-MOVED]
        begun = time.perf_counter()
        found[scene.name] = find_objects(mask, moved, len(dataset.palette))
        spent += time.perf_counter() - begun
        pixels += mask.size
    kept = sum(len(objects.to_bytes()) for objects in found.values())
    print(
        f"{len(found)} scenes, {pixels / 1e6:.0f} megapixels: **{spent:.1f} s**, {spent / pixels * 1e6:.2f} s per "
        f"megapixel; {kept / 1e6:.2f} MB are kept of the objects.\n"
    )
    print_header(("class", "true objects", "recall", "precision", "table and scores"))
    for index, name in enumerate(dataset.palette.names):
        begun = time.perf_counter()
        scores = ObjectScores.of(object_table(found, index, TEST, SMALLEST))
        seconds = time.perf_counter() - begun
        print_row(name, f"{scores.true:,}", f"{scores.recall:.3f}", f"{scores.precision:.3f}", f"{seconds:.2f} s")


if __name__ == "__main__":
    tyro.cli(main)
