"""The one reading of a folder; or what was seen in it, said so that its owner knows what to write."""

from collections import Counter
from pathlib import Path

from segmentation.data.layouts.found import Found
from segmentation.data.layouts.listing import Listing
from segmentation.data.layouts.names import role_of_path
from segmentation.data.mask_contents import MaskLook, looks
from segmentation.errors import AmbiguousDatasetError, DatasetNotFoundError, printable

LOOKED_AT = 3
"""Masks of each kind that are opened to say what they look like."""

WRITE = 'write a dataset.toml into it, such as images = "{images}" and masks = "{masks}"'


def the_reading(listing: Listing, found: list[Found]) -> Found:
    """Return how a data set lies on disk.

    Args:
        listing: Its folder.
        found: What `readings` makes of it.

    Raises:
        AmbiguousDatasetError: If there are several kinds of masks for the same images.
        DatasetNotFoundError: If nothing in it is understood.
    """
    if len(found) == 1:
        return found[0]
    if not found:
        raise DatasetNotFoundError(
            f"No labelled scene in {listing.root}: it holds {listing.summary()}{_missing(listing)}. It needs an image "
            "and a mask for each scene, such as folders named images and masks with files of the same name in both; if "
            f"they are called otherwise, {WRITE.format(images='a/{stem}.jpg', masks='b/{stem}.png')}."
        )
    kinds = "; ".join(f"{reading.masks or reading.rule} ({_looks_like(listing.root, reading)})" for reading in found)
    raise AmbiguousDatasetError(
        f"{listing.root} has {len(found)} kinds of masks for the same images: {kinds}. To choose one, "
        f"{WRITE.format(images=found[0].images or 'images/{stem}.jpg', masks=found[0].masks or 'masks/{stem}.png')}."
    )


def _missing(listing: Listing) -> str:
    """Say what a folder lacks that holds no labelled scene, as far as names tell."""
    roles = {role_of_path(folder) for folder in listing.pictures}
    if not roles:
        return ", but no image" if any(listing.folders.values()) else ""
    if roles == {"mask"}:
        return ", which are masks without their images"
    return ", and no image pairs with a mask" if "mask" in roles else ", and nothing that is named as masks are"


def kinds_of_masks(root: Path, found: list[Found]) -> dict[str, tuple[str, str]]:
    """Return what can be chosen where there are several kinds of masks: each in words, with its two patterns.

    Args:
        root: The data set's folder.
        found: What `readings` makes of it.
    """
    patterned = [reading for reading in found if reading.images and reading.masks]
    if len(patterned) < 2:
        return {}
    return {
        printable(f"{reading.masks}: {len(reading.pairs):,} masks, {_looks_like(root, reading)}"): (
            reading.images,
            reading.masks,
        )
        for reading in patterned
    }


def _looks_like(root: Path, reading: Found) -> str:
    return describe(looks([root / pair.label for pair in reading.pairs[:LOOKED_AT]]))


def describe(seen: list[MaskLook]) -> str:
    """Say what masks hold, in a few words."""
    if not seen:
        return "that cannot be read"
    told = [look.values for look in seen if look.values is not None]
    if len(told) == len(seen):
        values = sorted({value for values in told for value in values})
        if not values:
            return "transparent"
        shown = ", ".join(map(str, values)) if len(values) < 4 else f"{values[0]}–{values[-1]}"
        return f"values {shown} in one channel"
    colors: Counter[tuple[int, int, int]] = Counter()
    for look in seen:
        colors.update(look.colors)
    return f"{len(colors):,} colours, most of all #{bytes(colors.most_common(1)[0][0]).hex()}"
