"""The classes of a data set and their colours: colour masks to class indices and back."""

import csv
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np

from segmentation.errors import PaletteError

Color = tuple[int, int, int]
"""Red, green and blue, 0–255."""

VOID = 255
"""Class index of a pixel whose mask colour is in no palette."""

VOID_NAME = "No class"
"""How void is named in tables and legends (a class may well be called Void: CamVid has one)."""

VOID_COLOR = (0, 0, 0)
"""How void is drawn. Black is what the Dubai masks hold there."""

CLASS_FILE = "class_dict.csv"
"""A palette in a data set's root: columns ``name,r,g,b``, as CamVid and DeepGlobe ship it."""

SMEARED_ABOVE = 32
"""A mask of more stray colours than this does not hold further classes: its colours were mixed."""

_ROWS, _COLORS = 256, 1 << 16
"""Rows of a mask, and colours, that are worked on at once."""

_MUTED = ("#CC6677", "#DDCC77", "#332288", "#117733", "#88CCEE", "#AA4499", "#44AA99", "#999933", "#882255", "#661100")
"""Paul Tol's muted scheme (Colour Schemes, SRON 2021), which colour-blind eyes tell apart, and its grey."""

_MUTED_GREY = "#DDDDDD"


class OffPaletteStats(NamedTuple):
    """What a mask holds that is neither a class's colour nor black, the colour of void.

    Args:
        share: Of the mask's pixels, 0–1.
        colors: Number of different colours.
    """

    share: float
    colors: int

    @property
    def smeared(self) -> bool:
        """Whether JPEG or smoothed edges mixed the mask's colours."""
        return self.colors > SMEARED_ABOVE


@dataclass(frozen=True)
class Palette:
    """Class names and mask colours; a class's index is its place.

    Args:
        names: One name a class, all different, 1 to 255 of them.
        colors: One (red, green, blue) a class, 0–255, all different.

    Raises:
        PaletteError: If names and colours do not pair up, repeat, or are out of range.
    """

    names: tuple[str, ...]
    colors: tuple[Color, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.names) <= VOID:
            raise PaletteError(f"Expected 1 to {VOID} classes. Received: {len(self.names)}")
        if not all(isinstance(name, str) for name in self.names):
            raise PaletteError(f"Expected names as texts. Received: {self.names}")
        if any(name != name.encode(errors="ignore").decode() for name in self.names):
            raise PaletteError("A class's name holds half of a character: give it another name.")
        if len(self.names) != len(self.colors):
            raise PaletteError(f"Expected a colour a class. Received: {len(self.names)=}, {len(self.colors)=}")
        for kind, values in (("name", self.names), ("colour", self.colors)):
            repeated = {value for value in values if values.count(value) > 1}
            if repeated:
                raise PaletteError(f"Two classes share the {kind} {sorted(repeated)[0]!r}: each needs its own.")
        if VOID_NAME in self.names:
            raise PaletteError(f"{VOID_NAME} is what pixels without a class are called: give that class another name.")
        if any(len(color) != 3 or not all(0 <= channel <= 255 for channel in color) for color in self.colors):
            raise PaletteError(f"Expected three channels from 0 to 255 a colour. Received: colors={self.colors}")

    @classmethod
    def from_hex(cls, classes: dict[str, str]) -> "Palette":
        """Return a palette from names and hexadecimal colours such as ``#3C1098``."""
        return cls(tuple(classes), tuple(map(color_of_hex, classes.values())))

    @classmethod
    def from_csv(cls, path: Path) -> "Palette":
        """Read a ``class_dict.csv``: a header, then a row ``name,r,g,b`` a class.

        Raises:
            PaletteError: If the file cannot be read as that.
        """
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                rows = list(csv.DictReader(file, skipinitialspace=True))
            columns = [{key.strip().lower(): value.strip() for key, value in row.items() if key} for row in rows]
            return cls(
                tuple(row["name"] for row in columns),
                tuple((int(row["r"]), int(row["g"]), int(row["b"])) for row in columns),
            )
        except (OSError, UnicodeDecodeError, csv.Error, KeyError, ValueError, AttributeError) as error:
            raise PaletteError(
                f"{path.name} could not be read as columns name,r,g,b with whole numbers from 0 to 255: correct it or "
                "remove it to use the Dubai palette."
            ) from error

    @classmethod
    def of(cls, folder: Path) -> "Palette":
        """Return the palette of the data set in `folder`: its ``class_dict.csv``, or the Dubai palette."""
        path = folder / CLASS_FILE
        return cls.from_csv(path) if path.is_file() else DUBAI

    @classmethod
    def from_dict(cls, content: dict) -> "Palette":
        """Rebuild a palette from `to_dict`."""
        entries = content["classes"]  # not by name: a name that occurs twice is to be seen
        return cls(tuple(entry["name"] for entry in entries), tuple(color_of_hex(entry["color"]) for entry in entries))

    def to_dict(self) -> dict:
        """Return the palette as JSON-ready names and hexadecimal colours, in class order."""
        return {"classes": [{"name": name, "color": self.hex(i)} for i, name in enumerate(self.names)]}

    def colour_blind_safe(self) -> "Palette":
        """Return the same classes in colours that colour-blind eyes tell apart; itself if there are too many classes.

        For the screen only: masks are read and written in the classes' own colours.
        """
        if len(self) - (self.unlabeled is not None) > len(_MUTED):
            return self
        colors = iter(_MUTED)
        return Palette.from_hex(
            {name: _MUTED_GREY if i == self.unlabeled else next(colors) for i, name in enumerate(self.names)}
        )

    def __len__(self) -> int:
        return len(self.names)

    def hex(self, index: int) -> str:
        """Return the colour of class `index`, or of void, as ``#rrggbb``."""
        return "#" + bytes(self.colors[index] if index != VOID else VOID_COLOR).hex()

    @property
    def unlabeled(self) -> int | None:
        """Index of the class that says "nothing was labelled here", or None if the palette has no such class."""
        return next((i for i, n in enumerate(self.names) if n.lower() in ("unlabeled", "unlabelled")), None)

    @cached_property
    def _index_of_color(self) -> np.ndarray:
        """Class index of each of the 2^24 colours: 16 MB that make encoding one look-up a pixel."""
        table = np.full(1 << 24, VOID, np.uint8)
        table[_codes(np.array([self.colors], np.uint8))] = np.arange(len(self))
        return table

    def __getstate__(self) -> dict:
        """Return what is sent to another process: the tables of all colours are made there again."""
        return {"names": self.names, "colors": self.colors}

    def encode(self, mask: np.ndarray) -> np.ndarray:
        """Turn a colour mask into class indices.

        Args:
            mask: (height, width, 3) uint8, red, green, blue.

        Returns:
            (height, width) uint8: class indices, and `VOID` for every colour that is not in the palette.
        """
        return _look_up(mask, self._index_of_color)

    def encode_nearest(self, mask: np.ndarray) -> np.ndarray:
        """Turn a colour mask whose colours were smeared into class indices: those of the nearest colours in RGB.

        Void counts as black, so that what is nearer to black than to any class stays void.

        Args:
            mask: (height, width, 3) uint8, red, green, blue.

        Returns:
            (height, width) uint8: class indices and `VOID`.
        """
        table = self._index_of_color.copy()
        strays = np.flatnonzero(_occurring(mask) & self._is_stray)
        colors = np.array([*self.colors, VOID_COLOR], np.float32)  # exact: no sum of squares exceeds 2^24
        classes = np.array([*range(len(self)), VOID], np.uint8)
        for start in range(0, len(strays), _COLORS):
            some = strays[start : start + _COLORS]
            rgb = np.stack([some >> 16, some >> 8 & 255, some & 255], axis=-1).astype(np.float32)
            # The squared distance, less the colour's own square, which does not change which is least.
            table[some] = classes[((colors**2).sum(-1) - 2 * rgb @ colors.T).argmin(-1)]
        return _look_up(mask, table)

    def strays(self, mask: np.ndarray) -> OffPaletteStats:
        """Tell how much of a colour mask (height, width, 3) uint8 has neither a class's colour nor void's."""
        pixels = np.count_nonzero(_look_up(mask, self._is_stray))
        colors = int(np.count_nonzero(_occurring(mask) & self._is_stray))
        return OffPaletteStats(pixels / max(1, mask.shape[0] * mask.shape[1]), colors)

    @cached_property
    def _is_stray(self) -> np.ndarray:
        """Whether each of the 2^24 colours is neither a class's nor void's."""
        stray = self._index_of_color == VOID
        stray[_codes(np.array([[VOID_COLOR]], np.uint8))] = False
        return stray

    def decode(self, indices: np.ndarray) -> np.ndarray:
        """Turn class indices into a colour mask: (height, width) uint8 to (height, width, 3) uint8; void is black."""
        table = np.zeros((256, 3), np.uint8)
        table[: len(self)] = self.colors
        return table.take(indices, axis=0)  # several times as fast as indexing

    def one_hot(self, indices: np.ndarray) -> np.ndarray:
        """Turn class indices (height, width) uint8 into (height, width, classes) uint8; a void pixel is all zeros."""
        return (indices[..., None] == np.arange(len(self), dtype=np.uint8)).astype(np.uint8)


def _codes(mask: np.ndarray) -> np.ndarray:
    """Return each pixel's colour as one number below 2^24, (height, width) uint32."""
    if mask.ndim != 3 or mask.shape[2] != 3 or mask.dtype != np.uint8:
        raise ValueError(f"Expected a (height, width, 3) uint8 mask. Received: {mask.shape=}, {mask.dtype=}")
    code = mask[..., 0].astype(np.uint32) << 16
    code |= mask[..., 1].astype(np.uint32) << 8
    code |= mask[..., 2]
    return code


def color_of_hex(code: str) -> Color:
    """Return a colour written as ``#3C1098``, whose length `Palette` checks."""
    return cast("Color", tuple(bytes.fromhex(code.removeprefix("#"))))


def _look_up(mask: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Return what `table` holds of each pixel's colour, (height, width); memory is bounded by some rows' numbers."""
    found = np.empty(mask.shape[:2], table.dtype)
    for top in range(0, max(1, len(mask)), _ROWS):
        found[top : top + _ROWS] = table[_codes(mask[top : top + _ROWS])]
    return found


def _occurring(mask: np.ndarray) -> np.ndarray:
    """Return whether each of the 2^24 colours occurs in a mask."""
    occurring = np.zeros(1 << 24, bool)
    for top in range(0, len(mask), _ROWS):
        occurring[_codes(mask[top : top + _ROWS])] = True
    return occurring


DUBAI = Palette.from_hex(
    {
        "Building": "#3C1098",
        "Land": "#8429F6",
        "Road": "#6EC1E4",
        "Vegetation": "#FEDD3A",
        "Water": "#E2A929",
        "Unlabeled": "#9B9B9B",
    }
)
"""The palette that the MBRSC Dubai masks hold; the `classes.json` that comes with them lists other colours."""
