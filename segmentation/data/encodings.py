"""How masks say a class: by colours, or by the values of one channel."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from segmentation.data.images import STRIP, ColourMask, Source, decode, read_mask_colors, strips, transparency
from segmentation.data.palette import VOID, Palette
from segmentation.data.remembered import until_changed
from segmentation.errors import ImageFileError

VALUES = 1 << 16
"""Values from 0 on that a mask of one channel may hold."""

NO_VALUE = VALUES - 1
"""What stands for a pixel that is transparent, coloured where others are grey, or out of range."""

Key = int | tuple[int, int, int]
"""What a mask holds where it says a class: a value, or a colour."""


@dataclass(frozen=True)
class Encoding:
    """How masks say a class. What is in none of its keys is void.

    Args:
        kind: Whether colours say it, or values in one channel or in three equal ones.
        keys: The colours or values; none are the colours of the palette.
        classes: The class index of each key.
        nearest: Whether other colours or values count as the nearest key.
        raw: Whether the numbers in a palette file are the values; otherwise the colours that they stand for.
    """

    kind: Literal["color", "value"] = "color"
    keys: tuple[Key, ...] = ()
    classes: tuple[int, ...] = ()
    nearest: bool = False
    raw: bool = False

    def read(self, source: Source, palette: Palette, name: str | None = None) -> np.ndarray:
        """Read a mask as class indices (height, width) uint8, `VOID` where it says no class or is transparent.

        Args:
            source: A path, the file's bytes, or a binary file.
            palette: The classes.
            name: What to call the file in an error; the path's own name by default.

        Raises:
            ImageFileError: If the file is no mask of this encoding, is damaged, or is too large.
        """
        if self.kind == "value":
            found = np.empty((0, 0), np.uint8)
            for rows, values, size in value_strips(source, name, self.raw):
                found = found if found.shape == size else np.empty(size, np.uint8)
                self._table.take(values, out=found[rows])
            return found
        colors = read_mask_colors(source, name)
        if not self.keys:
            return colors.encode(palette, self.nearest)
        places = colors.encode(_palette_of(self.keys), self.nearest)
        table = np.full(VOID + 1, VOID, np.uint8)
        table[: len(self.keys)] = self.classes
        return table.take(places)

    @property
    def _table(self) -> np.ndarray:
        """The class index of each value, (`VALUES`,) uint8."""
        return _class_table(self)

    def keys_of(self, index: int, palette: Palette) -> tuple[Key, ...]:
        """Return the colours or values that say a class."""
        if not self.keys:
            return (palette.colors[index],)
        return tuple(key for key, of in zip(self.keys, self.classes, strict=True) if of == index)


PALETTE_COLORS = Encoding()
"""Masks in the colours of the palette's classes."""


@lru_cache(16)
def _class_table(encoding: Encoding) -> np.ndarray:
    table = np.full(VALUES, VOID, np.uint8)
    if encoding.nearest and encoding.keys:
        keys, places = np.unique(encoding.keys, return_index=True)
        nearest = np.searchsorted((keys[1:] + keys[:-1]) / 2, np.arange(NO_VALUE))
        table[:NO_VALUE] = np.array(encoding.classes, np.uint8)[places][nearest]
    table[list(encoding.keys)] = encoding.classes
    return table


@lru_cache(16)
def _palette_of(colors: tuple[tuple[int, int, int], ...]) -> Palette:
    return Palette(tuple(map(str, range(len(colors)))), colors)


def value_strips(
    source: Source, name: str | None = None, raw: bool = False
) -> Iterator[tuple[slice, np.ndarray, tuple[int, int]]]:
    """Yield the values of a mask in strips: the rows, the values (rows, width) uint8 or uint16, and (height, width).

    Pixels without a value, which are transparent, coloured or out of range, are `NO_VALUE`.

    Args:
        source: A path, the file's bytes, or a binary file.
        name: What to call the file in an error.
        raw: Whether to take the numbers in a palette file, not its colours.

    Raises:
        ImageFileError: If it cannot be read.
    """
    name = name or (source.name if isinstance(source, Path) else "The file")
    image = decode(source, name, orient=False)
    hidden = transparency(image) if image.mode != "P" or not raw else None
    size = image.height, image.width
    if image.mode in ("1", "L") or (image.mode == "P" and raw) or image.mode.startswith(("I", "F")):
        pixels = np.asarray(image)
        step = max(1, STRIP // max(1, image.width))
        tops = range(0, size[0], step)
        parts = ((slice(top, min(top + step, size[0])), pixels[top : top + step]) for top in tops)
    else:
        parts = ((rows, _grey(strip)) for rows, strip in strips(image))
    for rows, values in parts:
        if values.dtype not in (np.uint8, np.uint16):
            values = _whole(values)
        if hidden is not None and hidden[rows].any():
            values = np.where(hidden[rows], np.uint16(NO_VALUE), values)
        yield rows, values, size


def _grey(strip: Image.Image) -> np.ndarray:
    """Return the value of the three channels where they are equal, (rows, width) uint8 or uint16."""
    plain = strip.convert({"La": "LA", "RGBa": "RGBA"}.get(strip.mode, strip.mode))
    channels = np.asarray(plain.convert("RGB"))
    equal = (channels[..., 0] == channels[..., 1]) & (channels[..., 1] == channels[..., 2])
    return channels[..., 0] if equal.all() else np.where(equal, channels[..., 0], np.uint16(NO_VALUE))


def _whole(values: np.ndarray) -> np.ndarray:
    """Return flags, wide integers and floats as uint16; what is no whole number from 0 to `NO_VALUE` as that."""
    if values.dtype == bool:
        return values.astype(np.uint8)
    with np.errstate(invalid="ignore"):
        sound = (values >= 0) & (values < NO_VALUE) & (values == np.floor(values))
        return np.where(sound, values, NO_VALUE).astype(np.uint16)


class MaskLook(NamedTuple):
    """What one mask holds.

    Args:
        values: Pixels by value, where all of it is grey; otherwise None.
        colors: Pixels by colour; of a mask of values those are its greys.
        table: The colour table of a palette file.
        indices: Pixels by the number in a palette file.
        size: (height, width).
        many: Whether there are more colours than are counted one by one.
        hidden: Pixels that are transparent.
        deep: Whether it holds values of more than 8 bits, and so no colours.
    """

    values: dict[int, int] | None
    colors: dict[tuple[int, int, int], int]
    table: bytes | None
    indices: dict[int, int]
    size: tuple[int, int]
    many: bool = False
    hidden: int = 0
    deep: bool = False


MOST_COLORS = 1 << 10
"""Different colours of a mask that are counted one by one."""

MOST_COUNTED = 1 << 16
"""Different colours that are held while they are counted: the rarest of more are dropped on the way."""


def look_at(source: Source, name: str | None = None) -> MaskLook:
    """Return what a mask holds.

    Args:
        source: A path, the file's bytes, or a binary file.
        name: What to call the file in an error; the path's own name by default.

    Raises:
        ImageFileError: If it cannot be read.
    """
    name = name or (source.name if isinstance(source, Path) else "The file")
    image = decode(source, name, orient=False)
    table, indices = None, {}
    if image.mode == "P":
        table = bytes(image.getpalette("RGB") or ())
        indices = dict(enumerate(np.bincount(np.asarray(image).ravel(), minlength=256).tolist()))
        indices = {index: count for index, count in indices.items() if count}
    counts = np.zeros(VALUES, np.int64)
    for _, values, _ in value_strips(source, name):
        counts += np.bincount(values.ravel(), minlength=VALUES)
    transparent = transparency(image)
    hidden = 0 if transparent is None else int(np.count_nonzero(transparent))
    coloured = counts[NO_VALUE] - hidden
    size = image.height, image.width
    deep = image.mode.startswith(("I", "F"))
    if coloured <= 0 or deep:
        counts[NO_VALUE] = 0
        found = {int(value): int(counts[value]) for value in np.flatnonzero(counts)}
        greys = {(v,) * 3: n for v, n in found.items() if v < 256}
        return MaskLook(found, greys, table, indices, size, hidden=hidden, deep=deep)
    del image, transparent
    counted = _count_colors(read_mask_colors(source, name))
    most = sorted(counted.items(), key=lambda entry: -entry[1])[:MOST_COLORS]
    shown = {(code >> 16, code >> 8 & 255, code & 255): count for code, count in most}
    return MaskLook(None, shown, table, indices, size, len(counted) > MOST_COLORS, hidden)


def _count_colors(colors: ColourMask) -> dict[int, int]:
    """Return the pixels of each colour that shows, by its number below 2^24; of very many the rarest are left out."""
    counted: dict[int, int] = {}
    height, width = colors.colors.shape[:2]
    rows = max(1, min(256, STRIP // (4 * max(1, width))))
    for top in range(0, height, rows):
        here = np.s_[top : top + rows]
        codes = colors.colors[here].astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
        if colors.transparent is not None:
            codes = codes[~colors.transparent[here]]
        for code, count in _count(codes.ravel()):
            counted[code] = counted.get(code, 0) + count
        if len(counted) > MOST_COUNTED:
            counted = dict(sorted(counted.items(), key=lambda entry: -entry[1])[: MOST_COUNTED // 2])
    return counted


def _count(codes: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield each number and how often it is there; by runs, since masks are the same over many pixels."""
    if not codes.size:
        return
    starts = np.concatenate([[0], np.flatnonzero(codes[1:] != codes[:-1]) + 1])
    lengths = np.diff(starts, append=codes.size)
    found, places = np.unique(codes[starts], return_inverse=True)
    yield from zip(found.tolist(), np.bincount(places, lengths).astype(int).tolist(), strict=True)


@until_changed(4096)
def _look_if_readable(path: Path) -> MaskLook | None:
    try:
        return look_at(path)
    except ImageFileError:  # a health report says it
        return None


def looks(paths: list[Path]) -> list[MaskLook]:
    """Return what a sample of some masks holds: about `SAMPLE` pixels evenly spread over them, four masks at least.

    Args:
        paths: All masks; only those of the sample are opened.
    """
    found, pixels = [], 0
    order = sorted(range(len(paths)), key=lambda place: (_spread(place), place))[:MOST_MASKS]
    for place in order:
        seen = None
        with suppress(ImageFileError):  # it has just gone
            seen = _look_if_readable(paths[place])
        if seen is None:
            continue
        found.append(seen)
        pixels += seen.size[0] * seen.size[1]
        if pixels >= SAMPLE and len(found) >= LEAST_MASKS:
            break
    return found


SAMPLE, LEAST_MASKS, MOST_MASKS = 24_000_000, 4, 256
"""Pixels of masks that are looked at, and masks."""


def _spread(place: int) -> int:
    """Return numbers whose order visits 0, 1, 2 … so that the first ones lie far apart: the bits in reverse."""
    return int(f"{place:032b}"[::-1], 2)


def same_shape(image: tuple[int, int], mask: tuple[int, int]) -> bool:
    """Tell whether a mask's (height, width) is of its image's shape: but for a rounded side of less than a pixel."""
    return abs(image[1] * mask[0] - mask[1] * image[0]) < min(image)


def resized(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return class indices (height, width) in another size, each pixel the nearest one's."""
    rows, columns = (
        ((2 * np.arange(length) + 1) * of // (2 * length)) for length, of in zip(size, mask.shape, strict=True)
    )
    return mask[rows[:, None], columns]
