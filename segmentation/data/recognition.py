"""Which class is meant by what a mask holds that comes alone, without a data set that would tell."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, cast

from segmentation.data.classes import BINARY, NEAR, RARE
from segmentation.data.encodings import NO_VALUE, Encoding, Key
from segmentation.data.layouts import Listing, readings
from segmentation.data.layouts.listing import stem_of
from segmentation.data.layouts.names import role
from segmentation.data.mask_contents import MaskLook
from segmentation.data.palette import SMEARED_ABOVE, VOID, VOID_COLOR, Color, Palette

ASKED = 12
"""Colours or values whose class is asked for, one by one: the most frequent ones."""

Way = Literal["color", "value", "number"]
"""What says a class: a colour, a value, or the number of a colour in a palette file."""

Choices = Mapping[Way, Mapping[Key, int]]
"""Class indices, or `VOID`, that somebody has given to colours, values or numbers."""


class Reading(NamedTuple):
    """How a mask is read.

    Args:
        way: What says a class in it.
        known: The class index, or `VOID`, of what the data set, the legend or somebody says.
        guessed: Likewise of what it holds besides, where there is a guess.
        pixels: Of each colour, value or number in it.
        total: All its pixels that are not transparent.
        doubtful: Whether it holds something that nothing says, so that a guess may well be wrong.
        near: Whether the guesses are the classes of near colours.
    """

    way: Way
    known: dict[Key, int]
    guessed: dict[Key, int]
    pixels: dict[Key, int]
    total: int
    doubtful: bool
    near: bool

    def asked(self, chosen: Mapping[Key, int]) -> list[Key]:
        """Return what somebody should be asked for: all that no one says, of very many the most frequent.

        Args:
            chosen: What was answered before, to be answered again.
        """
        open_ = [key for key in self.pixels if key not in self.known or key in chosen]
        if len(open_) > ASKED:
            open_ = [key for key in open_ if self.pixels[key] >= RARE * self.total]
        return sorted(open_, key=lambda key: -self.pixels[key])[:ASKED]

    def class_of(self, key: Key, nearest: bool = False) -> int:
        """Return the class index of a colour, value or number, `VOID` if it has none."""
        given = self.guessed | self.known
        return given.get(min(given, key=lambda other: _distance(key, other)) if nearest and given else key, VOID)

    def encoding(self, nearest: bool = False) -> Encoding:
        """Return the encoding by which the mask is read.

        Args:
            nearest: Whether what has no class counts as the nearest that has one, or is void.
        """
        given = self.known | self.guessed
        color = self.way == "color"
        keys = dict(list(given.items())[:VOID]) if color else given
        kind: Literal["color", "value"] = "color" if color else "value"
        return Encoding(kind, tuple(keys), tuple(keys.values()), nearest, raw=self.way == "number")

    def places(self, keys: Sequence[Key]) -> Encoding:
        """Return the encoding by which each of some colours, values or numbers is its place among them."""
        kind: Literal["color", "value"] = "color" if self.way == "color" else "value"
        return Encoding(kind, tuple(keys), tuple(range(len(keys))), raw=self.way == "number")

    @property
    def strays(self) -> int:
        """Pixels that are of no class by what they hold: nobody says it, and they are no class indices."""
        said = self.known.keys() | (set() if self.near else self.guessed.keys())
        return self.total - sum(count for key, count in self.pixels.items() if key in said)


class _Candidate(NamedTuple):
    way: Way
    known: dict[Key, int]
    guessed: dict[Key, int]
    near: bool = False


def recognise(look: MaskLook, palette: Palette, encoding: Encoding | None, choices: Choices) -> Reading:
    """Return how a mask is read.

    The encoding of the data set is tried first, then the legend's colours, then whether its values, or the numbers in
    its table of colours, are class indices. The first that accounts for all of it is taken, else the one that gives
    most pixels a class.

    Args:
        look: What it holds.
        palette: The classes.
        encoding: How the masks of the data set in use say them; None if there is none of these classes.
        choices: What somebody has said of colours, values and numbers; it wins.
    """
    total = look.size[0] * look.size[1] - look.hidden
    found = []
    for way, known, guessed, near in _candidates(look, palette, encoding):
        pixels = cast("dict[Key, int]", _held(look, way))
        said = {**known, **choices.get(way, {})}
        left = {key: index for key, index in guessed.items() if key not in said}
        given = said | left
        classed = sum(count for key, count in pixels.items() if given.get(key, VOID) != VOID)
        indices = way != "color" and pixels.keys() <= given.keys()
        complete = classed > 0 and not look.many and (pixels.keys() <= said.keys() or indices)
        # No and yes could be any classes' if there are more.
        sure = pixels.keys() <= said.keys() or (indices and (len(palette) == 2 or frozenset(pixels) not in BINARY))
        found.append((complete, classed, Reading(way, said, left, pixels, total, not sure, near)))
    best = max(found, key=lambda entry: entry[:2])
    if not best[1] and look.values is not None:  # nothing is known: better asked by value than by shades of grey
        best = next(entry for entry in found if entry[2].way == "value")
    return best[2]


def _held(look: MaskLook, way: Way) -> Mapping[Key, int]:
    if way == "color":
        return cast("Mapping[Key, int]", look.colors)
    return cast("Mapping[Key, int]", (look.values or {}) if way == "value" else look.indices)


def _candidates(look: MaskLook, palette: Palette, encoding: Encoding | None) -> list[_Candidate]:
    """Return the ways in which a mask may be read, those first that are surest."""
    legend: dict[Key, int] = {color: index for index, color in enumerate(palette.colors)}
    told = [legend]
    found = []
    if encoding is not None:
        said = dict(zip(encoding.keys, encoding.classes, strict=True)) or legend
        if encoding.kind == "color":
            told.insert(0, said)
        elif look.table is not None if encoding.raw else look.values is not None:
            way: Way = "number" if encoding.raw else "value"
            void: dict[Key, int] = {VOID: VOID, NO_VALUE: VOID}
            found.append(_Candidate(way, void | said, {}))
    for colors in told if not look.deep else ():
        known = {VOID_COLOR: VOID} | colors
        found.append(_Candidate("color", known, _near(look, known), near=True))
    if look.values is not None:
        found.append(_Candidate("value", {NO_VALUE: VOID}, _as_indices(look.values, len(palette))))
    if look.table is not None:
        found.append(_of_table(look, look.table, len(palette)))
    return found


def _as_indices(pixels: Mapping[int, int], classes: int) -> dict[Key, int]:
    """Return the class index, or `VOID`, of each value of a mask, as far as they look like class indices.

    Two classes may be no and yes: 0 and 1, or 0 and 255. Values from 1 to the number of classes count from one. Zeros
    alone say nothing: so are masks in which nobody has drawn anything.
    """
    values = set(pixels) - {NO_VALUE}
    if len(values) >= VOID:
        return {}
    ends = pixels.get(0, 0) + pixels.get(VOID, 0)
    if classes == 2 and VOID in values and 1 not in values and 2 * ends >= sum(pixels.values()):
        return {0: 0, VOID: 1}
    void: dict[Key, int] = {VOID: VOID} if max(values, default=0) == VOID else {}
    plain = values - set(void)
    first = int(0 not in plain and max(plain, default=0) == classes)  # where they begin
    indices: dict[Key, int] = {value: value - first for value in sorted(plain) if value < classes + first}
    return indices | void if set(indices) - {0} or (0 in plain and classes == 1) else {}


def _of_table(look: MaskLook, table: bytes, classes: int) -> _Candidate:
    """Return what the numbers in a palette file say, told by its colours where they differ."""
    indices = _as_indices(look.indices, classes)
    colors = {number: cast("Color", tuple(table[3 * number : 3 * number + 3])) for number in look.indices}
    if len(set(colors.values())) < len(colors) or not all(len(color) == 3 for color in colors.values()):
        return _Candidate("number", {}, indices)
    by_color: dict[Key, int] = {colors[cast("int", number)]: index for number, index in indices.items()}
    return _Candidate("color", {}, by_color)


def _near(look: MaskLook, known: Mapping[Key, int]) -> dict[Key, int]:
    """Return the class of colours that are near to a known one, unless they are as many as smeared ones are."""
    others = [color for color in look.colors if color not in known]
    if look.many or len(others) > SMEARED_ABOVE:
        return {}
    nearest = {color: min(known, key=lambda other: _distance(color, other)) for color in others}
    return {color: known[other] for color, other in nearest.items() if _distance(color, other) <= NEAR**2}


def _distance(one: Key, other: Key) -> int:
    if isinstance(one, int) or isinstance(other, int):
        return abs(cast("int", one) - cast("int", other))
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def mask_by_name(names: Sequence[str]) -> int | None:
    """Tell which of two files is the mask, the first (0) or the second (1), by the rules for the names in a folder.

    Returns:
        None if their names do not say.
    """
    told = {pair.label for found in readings(Listing(Path(), {"": sorted(set(names))})) for pair in found.pairs}
    roles = [name in told for name in names] if told else [role(stem_of(name)) == "mask" for name in names]
    return roles.index(True) if sum(roles) == 1 else None


def mask_by_content(looks: Sequence[MaskLook | None]) -> int:
    """Tell which of two files is the mask: the one of fewer values or colours.

    Args:
        looks: What they hold as masks; None for one that cannot be read as such.
    """
    first, second = (len(look.values or look.colors) if look else VOID**2 for look in looks)
    return int(second <= first)
