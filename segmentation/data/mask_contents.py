"""What masks hold: their values or colours, counted, by which it is told how they say a class."""

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple, Self, cast

import numpy as np

from segmentation.data.encodings import NO_VALUE, VALUES, value_strips_of
from segmentation.data.images import STRIP, ColourMask, Source, decode, transparency
from segmentation.data.kept import KeptResults
from segmentation.data.locate import cache_folder
from segmentation.data.palette import Color
from segmentation.data.remembered import until_changed
from segmentation.errors import ImageFileError


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

    def to_bytes(self) -> bytes:
        """Return it as it is kept."""
        values = None if self.values is None else list(self.values.items())
        colors = [(*color, count) for color, count in self.colors.items()]
        table = None if self.table is None else self.table.hex()
        others = self.size, self.many, self.hidden, self.deep
        return json.dumps([values, colors, table, list(self.indices.items()), *others]).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> Self | None:
        """Rebuild it from `to_bytes`; None from anything else."""
        try:
            values, colors, table, indices, size, many, hidden, deep = json.loads(content)
            return cls(
                None if values is None else {int(value): int(count) for value, count in values},
                {(int(red), int(green), int(blue)): int(count) for red, green, blue, count in colors},
                None if table is None else bytes.fromhex(table),
                {int(index): int(count) for index, count in indices},
                (int(size[0]), int(size[1])),
                bool(many),
                int(hidden),
                bool(deep),
            )
        except (ValueError, TypeError, IndexError):
            return None


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
    transparent = transparency(image)
    hidden = 0 if transparent is None else int(np.count_nonzero(transparent))
    size = image.height, image.width
    if transparent is None and image.mode in ("RGB", "P"):
        colored = image if image.mode == "RGB" else image.convert("RGB")  # which copies
        exactly = cast("list[tuple[int, Color]] | None", colored.getcolors(MOST_COLORS))
        if exactly is not None:  # as nearly always
            return _look_of({color: count for count, color in exactly}, table, indices, size)
    deep = image.mode.startswith(("I", "F"))
    counts = np.zeros(VALUES, np.int64)
    for _, values, _ in value_strips_of(image):
        counts += np.bincount(values.ravel(), minlength=VALUES)
        if counts[NO_VALUE] > hidden and not deep:  # it is coloured
            break
    else:
        counts[NO_VALUE] = 0
        found = {int(value): int(counts[value]) for value in np.flatnonzero(counts)}
        greys = {(v,) * 3: n for v, n in found.items() if v < 256}
        return MaskLook(found, greys, table, indices, size, hidden=hidden, deep=deep)
    counted = _count_colors(ColourMask.of(image, transparent))
    most = sorted(counted.items(), key=lambda entry: -entry[1])[:MOST_COLORS]
    shown = {(code >> 16, code >> 8 & 255, code & 255): count for code, count in most}
    return MaskLook(None, shown, table, indices, size, len(counted) > MOST_COLORS, hidden)


def _look_of(colors: dict[Color, int], table: bytes | None, indices: dict[int, int], size: tuple[int, int]) -> MaskLook:
    """Return what a mask holds of which all colours are counted: values if all of them are grey."""
    if all(red == green == blue for red, green, blue in colors):
        values = {color[0]: count for color, count in sorted(colors.items())}
        return MaskLook(values, {(value,) * 3: count for value, count in values.items()}, table, indices, size)
    return MaskLook(None, dict(sorted(colors.items(), key=lambda entry: -entry[1])), table, indices, size)


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


VERSION = 1
"""Of what is kept of a mask: one more whenever `MaskLook` or how it is found changes."""

KEPT_BYTES = 64 << 20
"""Of what was found in masks, a kilobyte or less each, so that the next start does not read them again."""

SMALL = 4096
"""Bytes of a file that is read as soon as it is looked up."""


@cache
def _kept(folder: Path) -> KeptResults:
    return KeptResults(folder / "masks.sqlite", KEPT_BYTES)


@until_changed(4096)
def _look_if_readable(path: Path) -> MaskLook | None:
    try:
        status = path.stat()
        if status.st_size < SMALL:
            return look_at(path)
        mark = f"{VERSION}:{path.absolute()}:{status.st_size}:{status.st_mtime_ns}"
        key = hashlib.sha256(mark.encode("utf-8", "surrogateescape")).hexdigest()
        kept = _kept(cache_folder())
        content = kept.read([key]).get(key)
        look = MaskLook.from_bytes(content) if content else None
        if look is None:
            look = look_at(path)
            kept.write({key: look.to_bytes()})
    except (ImageFileError, OSError):  # a health report says it
        return None
    return look


def looks(paths: list[Path]) -> list[MaskLook]:
    """Return what a sample of some masks holds: about `SAMPLE` pixels evenly spread over them, four masks at least.

    Args:
        paths: All masks, in any order; only those of the sample are opened.
    """
    paths, found, pixels = sorted(paths), [], 0
    order = sorted(range(len(paths)), key=lambda place: (_spread(place), place))[:MOST_MASKS]
    for seen in _in_turn([paths[place] for place in order]):
        if seen is None:
            continue
        found.append(seen)
        pixels += seen.size[0] * seen.size[1]
        if pixels >= SAMPLE and len(found) >= LEAST_MASKS:
            break
    return found


SAMPLE, LEAST_MASKS, MOST_MASKS = 24_000_000, 4, 256
"""Pixels of masks that are looked at, and masks."""

AT_ONCE = 2
"""Masks that are decoded at once, which Pillow does on as many cores: the first page waits for it."""


def _in_turn(paths: list[Path]) -> Iterator[MaskLook | None]:
    """Yield what each mask holds, in their order; None of one that cannot be read. Few are read beyond the last one."""

    def look(path: Path) -> MaskLook | None:
        with suppress(ImageFileError):  # it has just gone
            return _look_if_readable(path)
        return None

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for first in range(0, len(paths), AT_ONCE):
            yield from pool.map(look, paths[first : first + AT_ONCE])


def _spread(place: int) -> int:
    """Return numbers whose order visits 0, 1, 2 … so that the first ones lie far apart: the bits in reverse."""
    return int(f"{place:032b}"[::-1], 2)
