"""How masks say a class: by colours, or by the values of one channel."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from segmentation.data.images import STRIP, Source, decode, read_mask_colors, strips, transparency
from segmentation.data.palette import VOID, Palette

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
    yield from value_strips_of(decode(source, name, orient=False), raw)


def value_strips_of(image: Image.Image, raw: bool = False) -> Iterator[tuple[slice, np.ndarray, tuple[int, int]]]:
    """Yield the values of a decoded mask as `value_strips` does."""
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


def same_shape(image: tuple[int, int], mask: tuple[int, int]) -> bool:
    """Tell whether a mask's (height, width) is of its image's shape: but for a rounded side of less than a pixel."""
    return abs(image[1] * mask[0] - mask[1] * image[0]) < min(image)


def resized(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return class indices (height, width) in another size, each pixel the nearest one's."""
    rows, columns = (
        ((2 * np.arange(length) + 1) * of // (2 * length)) for length, of in zip(size, mask.shape, strict=True)
    )
    return mask[rows[:, None], columns]
