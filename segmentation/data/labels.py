"""Whether masks hold classes at all: if not, a network learns that there is nothing, and is right nearly everywhere."""

from collections import Counter

import numpy as np

from segmentation.data.images import read_mask_colors
from segmentation.data.palette import VOID
from segmentation.data.scenes import Dataset
from segmentation.errors import ConfigurationError, ImageFileError

LOOKED_AT = 8
"""Masks that are looked at to say what they hold: the first ones are like the others."""

NAMED = 8
"""Values that are named, the most frequent ones."""


def shows_a_class(mask: np.ndarray, unlabeled: int | None = None) -> bool:
    """Tell whether a mask holds a class, other than Unlabeled if that is given.

    Args:
        mask: (…) uint8 class indices, void 255.
        unlabeled: Index of the class that says that nothing was labelled.
    """
    shown = mask != VOID
    return bool((shown if unlabeled is None else shown & (mask != unlabeled)).any())


def nothing_labelled(dataset: Dataset, which: str = "the masks") -> ConfigurationError:
    """Return the refusal of masks without a class: what they hold, what was expected, and what to do.

    Args:
        dataset: The scenes.
        which: Of them, in words.
    """
    palette = dataset.palette
    classes = ", ".join(f"{name} {palette.hex(index)}" for index, name in enumerate(palette.names[:NAMED]))
    more = f" and {len(palette) - NAMED} more" if len(palette) > NAMED else ""
    return ConfigurationError(
        f"No pixel of {which} is of a class: they hold {_what_masks_hold(dataset)}, and the classes are "
        f"{classes}{more}: put a class_dict.csv into {dataset.root} that gives each class its name and colour, such as "
        "name,1,1,1 for the value 1."
    )


def _what_masks_hold(dataset: Dataset) -> str:
    """Name what the first masks hold: grey values as numbers, colours in hexadecimal, the most frequent first."""
    pixels: Counter[str] = Counter()
    for scene in dataset.scenes[:LOOKED_AT]:
        try:
            mask = read_mask_colors(scene.mask)
        except ImageFileError:
            continue
        pixels["transparent pixels"] += mask.transparent_pixels
        for rows in range(0, len(mask.colors), 256):  # sorted as a whole, a large mask would take as much again
            here = np.s_[rows : rows + 256]
            shown = mask.colors[here] if mask.transparent is None else mask.colors[here][~mask.transparent[here]]
            colors, counts = np.unique(shown.reshape(-1, 3), axis=0, return_counts=True)
            for color, count in zip(colors.tolist(), counts.tolist(), strict=True):
                pixels[str(color[0]) if len(set(color)) == 1 else f"#{bytes(color).hex()}"] += count
    pixels = +pixels  # without what does not occur
    names = [name for name, _ in pixels.most_common(NAMED)]
    if all(name.isdigit() for name in names):
        names = [f"the grey values {', '.join(sorted(names, key=int))}"]
    more = f" and {len(pixels) - NAMED:,} more" if len(pixels) > NAMED else ""
    return ", ".join(names) + more
