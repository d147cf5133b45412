"""Masks drawn from outlines: polygons over georeferenced images, and COCO's objects; once each, into a cache."""

import hashlib
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

from segmentation.data.coco import draw_objects, read_coco
from segmentation.data.images import decode, png_bytes, read_size
from segmentation.data.locate import cache_folder
from segmentation.data.palette import VOID, Palette
from segmentation.data.raster import Raster
from segmentation.data.remembered import until_changed
from segmentation.data.vectors import Rings, read_vectors
from segmentation.errors import ImageFileError, StorageError
from segmentation.files import remove_oldest, replacing

MOST_BYTES = 2 << 30
"""Of drawn masks that are kept; the oldest go first."""

FARTHEST = 1e7
"""Pixels from the image; what reaches farther is no outline in it."""

Value = int | str
"""What the file of outlines calls a class."""

BACKGROUND = "background"
"""What ``dataset.toml`` calls what no outline covers, where it is a class."""


@dataclass(frozen=True)
class Outlines:
    """How a file of outlines says a class. What no outline covers is void, or background where there is one class.

    Args:
        kind: What the file is.
        keys: What it calls the classes.
        classes: The class index of each key.
        attribute: Of a vector file: which one names the class; empty if all polygons are of one.
        background: Whether what no outline covers is a class: the one of `BACKGROUND`, else the first.
        becomes: The class index to give in place of each class's; empty for its own.
    """

    kind: Literal["coco", "vectors"]
    keys: tuple[Value, ...]
    classes: tuple[int, ...]
    attribute: str = ""
    background: bool = False
    becomes: tuple[int, ...] = ()

    def keys_of(self, index: int, _palette: Palette) -> tuple[Value, ...]:
        """Return what the file calls a class; the background is 0."""
        return tuple(key for key, of in zip(self.keys, self.classes, strict=True) if of == index) or (0,)

    def read(self, file: Path, image: Path) -> np.ndarray:
        """Return the class indices of an image, (height, width) uint8, drawn now or kept from before.

        Raises:
            ImageFileError: If one of the files cannot be read, or the image does not say where it lies.
        """
        if self.becomes:
            table = np.full(VOID + 1, VOID, np.uint8)
            table[: len(self.becomes)] = self.becomes
            return table.take(replace(self, becomes=()).read(file, image))
        size = read_size(image)
        raster = _place(image) if self.kind == "vectors" else None
        number = read_coco(file).find(image) if self.kind == "coco" else None
        key = hashlib.sha256(repr((self, _digest(file), number, size, raster)).encode()).hexdigest()
        kept = cache_folder() / "masks" / f"{key}.png"
        if kept.is_file():
            with suppress(ImageFileError, OSError):  # somebody has damaged it: it is drawn again
                mask = np.asarray(decode(kept, kept.name, orient=False))
                if mask.shape == size and mask.dtype == np.uint8:
                    return np.array(mask)
        mask = self._draw(file, image, size, raster)
        with suppress(StorageError):  # then it is drawn every time
            with replacing(kept) as temporary:
                temporary.write_bytes(png_bytes(mask))
            remove_oldest(kept.parent, "*.png", MOST_BYTES)
        return mask

    def _draw(self, file: Path, image: Path, size: tuple[int, int], place: "tuple | None") -> np.ndarray:
        index = dict(zip(self.keys, self.classes, strict=True))
        if self.kind == "coco":
            coco = read_coco(file)
            categories = {key: value for key, value in index.items() if isinstance(key, int)}
            mask = draw_objects(coco.objects_of(image), categories, size)
        else:
            vectors = read_vectors(file)
            polygons = _in_pixels(file, *(place or ()))
            only = next((key for key in self.keys if key not in (0, BACKGROUND)), None)
            values = [of.get(self.attribute) if self.attribute else only for of in vectors.attributes]
            mask = np.full(size, VOID, np.uint8)
            shown = [(rings, index.get(said(v))) for rings, v in zip(polygons, values, strict=True)]
            fill(mask, [(rings, value) for rings, value in shown if value is not None])
        if self.background:
            mask[mask == VOID] = index.get(BACKGROUND, 0)
        return mask


def said(value: object) -> Value:
    """Return an attribute's value as a class is called."""
    return value if isinstance(value, int) and not isinstance(value, bool) else str(value)


def fill(mask: np.ndarray, shapes: Sequence[tuple[Rings, int]]) -> None:
    """Fill polygons one after another: a pixel is in one if its middle is.

    Args:
        mask: (height, width) uint8; changed.
        shapes: The outlines and holes of each, x and y in pixels from the top left corner, and its class index.

    Raises:
        ImageFileError: If what fills them is not installed.
    """
    try:
        from rasterio.features import rasterize
    except ImportError as error:
        raise ImageFileError(
            'Outlines take a package that is missing: pip install "aerial-segmentation[geo]".'
        ) from error
    height, width = mask.shape
    inside = []
    for rings, value in shapes:
        points = np.concatenate(rings) if rings else np.empty((0, 2))
        if len(points) < 3 or not np.isfinite(points).all() or np.abs(points).max() > FARTHEST:
            continue
        if (points.max(0) >= 0).all() and (points.min(0) <= (width, height)).all():
            closed = [np.concatenate([ring, ring[:1]]).tolist() for ring in rings if len(ring) >= 3]
            inside.append(({"type": "Polygon", "coordinates": closed}, value))
    if inside:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that pixels lie nowhere on the ground
            rasterize(inside, out=mask)


@until_changed(64)
def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _place(image: Path) -> tuple[tuple[float, ...], str]:
    """Return where an image lies: from (column, row) to coordinates, and their system in WKT.

    Raises:
        ImageFileError: If it does not say.
    """
    with Raster(image) as raster:
        if raster.place is None or raster.crs is None:
            raise ImageFileError(f"{image.name} does not say where it lies, so that no polygon can be laid over it.")
        return raster.place, raster.crs.to_wkt()


@lru_cache(4)
def _coordinates(path: Path, _digest: str, system: str) -> list[Rings]:
    """Return a file's polygons in another coordinate system; as they are where it does not say theirs."""
    from pyproj import CRS, Transformer
    from pyproj.exceptions import ProjError

    file = read_vectors(path)
    try:
        own, other = CRS.from_user_input(file.system) if file.system else None, CRS.from_wkt(system)
    except ProjError:
        own = None
    if own is None or own.equals(other, ignore_axis_order=True) or not file.polygons:
        return file.polygons
    way = Transformer.from_crs(own, other, always_xy=True)
    lengths = [len(ring) for rings in file.polygons for ring in rings]
    points = np.concatenate([ring for rings in file.polygons for ring in rings])
    moved = iter(np.split(np.stack(way.transform(*points.T), axis=-1), np.cumsum(lengths)[:-1]))
    return [[next(moved) for _ in rings] for rings in file.polygons]


def _in_pixels(file: Path, place: tuple[float, ...], system: str) -> list[Rings]:
    """Return polygons as x and y in an image's pixels."""
    a, b, c, d, e, f = place
    back = np.linalg.inv([[a, b], [d, e]]).T
    return [[(ring - (c, f)) @ back for ring in rings] for rings in _coordinates(file, _digest(file), system)]
