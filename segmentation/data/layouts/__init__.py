"""How data sets lie on disk: a table of layouts, each a function that looks at names and proposes pairs.

A layout is given a `Listing` and returns its readings of it: none if the folder is not of its kind, one if it is, and
several if it cannot tell which of them is meant. No layout opens an image.
"""

from collections.abc import Callable

from segmentation.data.layouts.annotations import coco_files, vector_files
from segmentation.data.layouts.folders import images_and_masks, one_folder, parallel_folders
from segmentation.data.layouts.found import Found, Pair
from segmentation.data.layouts.listing import Listing
from segmentation.data.layouts.splits import with_splits

LAYOUTS: tuple[Callable[[Listing], list[Found]], ...] = (
    images_and_masks,
    parallel_folders,
    one_folder,
    coco_files,
    vector_files,
)
"""Tried in this order; the first that finds scenes is taken."""

__all__ = ["LAYOUTS", "Found", "Listing", "Pair", "readings", "with_splits"]


def readings(listing: Listing) -> list[Found]:
    """Return what the first layout that finds scenes makes of a folder: several readings if it cannot tell."""
    for layout in LAYOUTS:
        if found := [reading for reading in layout(listing) if reading.pairs]:
            return found
    return []
