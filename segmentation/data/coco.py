"""COCO's annotations: outlines and run lengths of objects, in one file for many images.

The format: https://cocodataset.org/#format-data. The file is read as JSON of bounded size; no code of it is run.
"""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from segmentation.data.palette import VOID
from segmentation.data.remembered import until_changed
from segmentation.errors import ImageFileError

MOST_BYTES = 1 << 27
"""A larger file is refused: parsed, it takes some ten times as much memory."""


class Coco(NamedTuple):
    """What a file of annotations holds.

    Args:
        categories: Names by their numbers, in the numbers' order.
        images: The number of each image by its path as the file has it.
        objects: Of every image by its number: the category and the outline of each object, in the file's order.
    """

    categories: dict[int, str]
    images: dict[str, int]
    objects: dict[int, list[tuple[int, list | dict]]]

    def objects_of(self, image: Path) -> list[tuple[int, list | dict]]:
        """Return the objects of an image; none if it is not in the file."""
        number = self.find(image)
        return [] if number is None else self.objects.get(number, [])

    def find(self, image: Path) -> int | None:
        """Return the number of the image with the longest end of a path that is in the file; None if there is none."""
        parts = image.parts
        ends = ("/".join(parts[start:]) for start in range(max(0, len(parts) - 8), len(parts)))
        return next((self.images[end] for end in ends if end in self.images), None)


@until_changed(4)
def read_coco(path: Path) -> Coco:
    """Read a file of annotations; the last ones are remembered.

    Raises:
        ImageFileError: If it is too large, or is no such file.
    """
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise ImageFileError(
            f"{path.name} has {size / 1e6:,.0f} MB, more than the {MOST_BYTES / 1e6:,.0f} that are read."
        )
    try:
        content = json.loads(path.read_bytes())
        categories = {int(of["id"]): str(of["name"]) for of in content["categories"]}
        images = {str(of["file_name"]).replace("\\", "/").lstrip("./"): int(of["id"]) for of in content["images"]}
        objects: dict[int, list[tuple[int, list | dict]]] = {}
        for of in content["annotations"]:
            if of.get("segmentation") and int(of["category_id"]) in categories:
                objects.setdefault(int(of["image_id"]), []).append((int(of["category_id"]), of["segmentation"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ImageFileError(f"{path.name} is no file of COCO annotations: export it again.") from error
    return Coco(dict(sorted(categories.items())), images, objects)


def draw_objects(objects: list[tuple[int, list | dict]], values: dict[int, int], size: tuple[int, int]) -> np.ndarray:
    """Return class indices (height, width) uint8, `VOID` where no object is; later ones lie over earlier ones.

    Args:
        objects: The category and the outline of each.
        values: The class index of each category.
        size: (height, width).
    """
    from segmentation.data.drawing import fill

    drawn = np.full(size, VOID, np.uint8)
    waiting: list[tuple[list[np.ndarray], int]] = []
    for category, outline in objects:
        if category not in values:
            continue
        if isinstance(outline, dict):
            fill(drawn, waiting)
            waiting = []
            drawn[decode_runs(outline, size)] = values[category]
        elif isinstance(outline, list):
            waiting += [([ring], values[category]) for ring in map(_ring, outline) if ring is not None]
    fill(drawn, waiting)
    return drawn


def _ring(numbers: object) -> np.ndarray | None:
    """Return x, y, x, y … as (points, 2) float64; None if they are no outline."""
    try:
        ring = np.asarray(numbers, np.float64)
    except (ValueError, TypeError, OverflowError):
        return None
    return ring.reshape(-1, 2) if ring.ndim == 1 and ring.size >= 6 and ring.size % 2 == 0 else None


def decode_runs(outline: dict, size: tuple[int, int]) -> np.ndarray:
    """Return where an object in run lengths is, (height, width) bool: runs of off and on by turns, down the columns.

    Raises:
        ImageFileError: If the runs do not make an image of this size.
    """
    counts = outline.get("counts")
    try:
        runs = np.asarray(_unpack(counts) if isinstance(counts, str) else counts, np.int64)
        if list(outline["size"]) != list(size) or (runs < 0).any() or runs.sum() != size[0] * size[1]:
            raise ValueError(outline["size"])
    except (ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
        raise ImageFileError("An object's run lengths do not make an image of its size: export them again.") from error
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(size[::-1]).T


def _unpack(text: str) -> list[int]:
    """Return the run lengths that COCO packs into a text: five bits a letter, from the third on as differences."""
    runs: list[int] = []
    place = 0
    while place < len(text):
        value = shift = 0
        more = True
        while more:
            bits = ord(text[place]) - 48
            value |= (bits & 0x1F) << shift
            more, shift, place = bool(bits & 0x20), shift + 5, place + 1
            if shift > 60:
                raise ValueError(text[:20])
            if not more and bits & 0x10:
                value |= -1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
    return runs
