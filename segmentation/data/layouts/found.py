"""What a layout finds in a folder."""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Kind = Literal["masks", "coco", "vectors"]
"""What labels are."""


class Pair(NamedTuple):
    """An image and what labels it, by their paths below the data set's folder.

    Args:
        image: Path of the image.
        label: Path of the mask, or of the file of polygons that covers it.
        tile: Path of the folder that groups scenes; empty for the data set's own.
        split: What the data set calls the split that it is in; empty if it does not say.
    """

    image: str
    label: str
    tile: str
    split: str = ""


@dataclass(frozen=True)
class Found:
    """How a data set lies on disk.

    Args:
        rule: What pairs with what, in words.
        pairs: The scenes.
        unpaired: Images without a mask and masks without an image.
        remarks: What else the user should know, a sentence each.
        kind: What the labels are.
        images: The images' paths as a pattern for ``dataset.toml``.
        masks: The masks' paths likewise.
    """

    rule: str
    pairs: tuple[Pair, ...]
    unpaired: tuple[str, ...] = ()
    remarks: tuple[str, ...] = field(default=())
    kind: Kind = "masks"
    images: str = ""
    masks: str = ""
