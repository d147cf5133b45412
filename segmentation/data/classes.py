"""What masks mean: their encoding and classes, from what a sample of them holds and what lies beside them."""

import colorsys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

from segmentation.data.class_files import ClassFile
from segmentation.data.coco import read_coco
from segmentation.data.drawing import Outlines, Value, said
from segmentation.data.encodings import NO_VALUE, Encoding, Key
from segmentation.data.known_sets import known_set
from segmentation.data.mask_contents import MaskLook
from segmentation.data.palette import DUBAI, SMEARED_ABOVE, VOID, VOID_COLOR, Color, Palette
from segmentation.data.vectors import read_vectors
from segmentation.errors import DatasetNotFoundError

NEAR = 40
"""Distance in RGB within which a colour may be a class's that JPEG or smoothed edges have changed."""

RARE = 1e-3
"""Share of the pixels below which a colour among very many is no class."""

BINARY = (frozenset((0, 1)), frozenset((0, VOID)))
"""Values of masks that say no or yes."""


class Meaning(NamedTuple):
    """What masks mean.

    Args:
        encoding: How they say a class.
        palette: The classes, and the colours that they are drawn in.
        words: The same in words.
        guessed: Whether the classes' names are made up.
        remarks: What the user should know, a sentence each.
    """

    encoding: Encoding | Outlines
    palette: Palette
    words: str
    guessed: bool = False
    remarks: tuple[str, ...] = ()


def meaning(looks: Sequence[MaskLook], told: ClassFile | None, paths: Sequence[str]) -> Meaning:
    """Return what masks mean.

    What a file beside them tells goes first, then the table of well-known sets, then the colours of Dubai, then what
    they hold.

    Args:
        looks: What a sample of them holds.
        told: What a file beside them tells of the classes.
        paths: Some of their paths and their images', in lower case.
    """
    colors: Counter[Key] = Counter()
    values: Counter[Key] = Counter()
    for look in looks:
        colors.update(look.colors)
        values.update(look.values or {})
    grey = bool(looks) and all(look.values is not None for look in looks) and bool(values)
    if told and (by_file := _as_told(told, values if grey else None, colors, _shared_table(looks))):
        return by_file
    if not colors and not values:
        return _dubai()
    held = values if grey else colors
    if known := known_set(held, paths):
        return _of_known(known.name, known.classes, "value" if grey else "color")
    if not grey or set(values) - {0} == {DUBAI.colors[DUBAI.names.index("Unlabeled")][0]}:
        if _share(DUBAI, colors) > 0.5:
            return _dubai()
        return _by_table(looks) or _by_color(colors, any(look.many for look in looks))
    return _by_table(looks) or _by_value(values)


def _dubai() -> Meaning:
    return Meaning(Encoding(), DUBAI, "colours, of the Dubai set's classes")


def _share(palette: Palette, colors: Counter) -> float:
    """Return which share of the pixels, black ones aside, is of a palette's colours or near to one."""
    shown = Counter({color: count for color, count in colors.items() if color != VOID_COLOR})
    near = sum(
        count
        for color, count in shown.items()
        if min(sum((a - b) ** 2 for a, b in zip(color, other, strict=True)) for other in palette.colors) <= NEAR**2
    )
    return near / max(1, shown.total())


def _shared_table(looks: Sequence[MaskLook]) -> tuple[bytes, set[int]] | None:
    """Return the colour table of palette files that all share one, and the numbers in use; None if they do not."""
    tables = {look.table for look in looks}
    if len(tables) != 1 or None in tables:
        return None
    return cast("bytes", tables.pop()), {index for look in looks for index in look.indices}


def _as_told(
    told: ClassFile, values: Counter | None, colors: Counter, table: tuple[bytes, set[int]] | None
) -> Meaning | None:
    """Return the meaning that a file beside the masks gives; None if it does not fit."""
    drawn = _palette(told.names, told.colors)
    held = set(colors)
    if told.colors and (values is None or held & set(told.colors) - {VOID_COLOR} or held <= set(told.colors)):
        return Meaning(Encoding(), drawn, f"colours, named in {told.name}")
    named = told.values or tuple(range(len(told.names)))
    found, raw = (set(values), False) if values is not None else (table[1], True) if table else (set(), False)
    if not told.colors and len(told.names) == 2 and found in BINARY:
        named = tuple(sorted(found))
    if found - {VOID, NO_VALUE} <= set(named) and found:
        keys = Encoding("value", named, tuple(range(len(named))), raw=raw)
        return Meaning(keys, drawn, f"values in one channel, named in {told.name}")
    return Meaning(Encoding(), drawn, f"colours, named in {told.name}") if told.colors else None


def _of_known(name: str, classes: Mapping[Any, tuple[str, str]], kind: str) -> Meaning:
    palette = Palette.from_hex(dict(classes.values()))
    encoding = Encoding() if kind == "color" else Encoding("value", tuple(classes), tuple(range(len(classes))))
    how = "colours" if kind == "color" else "values in one channel"
    return Meaning(encoding, palette, f"{how}, those of {name}")


def _by_table(looks: Sequence[MaskLook]) -> Meaning | None:
    """Return the meaning of palette files that share one table: its numbers in order, read by their colours."""
    shared = _shared_table(looks)
    if shared is None:
        return None
    table, used = shared
    shown = {index: cast("Color", tuple(table[3 * index : 3 * index + 3])) for index in sorted(used - {VOID})}
    if (
        not shown
        or not all(len(color) == 3 for color in shown.values())
        or all(len(set(c)) == 1 for c in shown.values())
    ):
        return None
    names = tuple(f"Class {index}" for index in shown)
    if len(set(shown.values())) == len(shown):
        encoding = Encoding("color", tuple(shown.values()), tuple(range(len(shown))))
        return Meaning(encoding, Palette(names, tuple(shown.values())), "palette files with one table of colours", True)
    encoding = Encoding("value", tuple(shown), tuple(range(len(shown))), raw=True)
    return Meaning(encoding, _palette(names), "numbers in palette files with one table", True)


def _by_color(colors: Counter, many: bool) -> Meaning:
    """Return the meaning of masks in colours that nothing names: a class for each, black as void."""
    smeared = many or len(colors) > SMEARED_ABOVE
    kept = sorted(color for color, count in colors.items() if not smeared or count >= RARE * colors.total())
    remarks = []
    if len(kept) == 2 and VOID_COLOR in kept:
        other = next(color for color in kept if color != VOID_COLOR)
        encoding = Encoding("color", (VOID_COLOR, other), (0, 1))
        return Meaning(encoding, _palette(("Background", "Foreground")), "binary, in two colours", True)
    if VOID_COLOR in kept:
        kept.remove(VOID_COLOR)
        remarks.append("Black counts as no class: make it one in dataset.toml if it is one")
    if smeared:
        remarks.append(
            f"Masks hold {len(colors):,} colours or more, as JPEG or smoothed edges make them: those of "
            f"{100 * RARE:.1f} % of the pixels or more are taken for classes"
        )
    kept = kept[:VOID]
    names = tuple(f"Class #{bytes(color).hex()}" for color in kept)
    return Meaning(Encoding(), Palette(names, tuple(kept)), "colours that no file names", True, tuple(remarks))


def _by_value(values: Counter) -> Meaning:
    """Return the meaning of masks of values that nothing names: a class for each, 255 as void unless it says yes."""
    found = set(values)
    if found in BINARY:
        high = max(found)
        encoding = Encoding("value", (0, high, VOID + 1 - high), (0, 1, 1))  # a file of one bit among others holds 1
        return Meaning(encoding, _palette(("Background", "Foreground")), f"binary, 0 and {high}", True)
    remarks = []
    kept = sorted(found - {VOID if max(found) <= VOID else NO_VALUE, NO_VALUE}) or sorted(found)
    if len(kept) > 2 * SMEARED_ABOVE:
        kept = [value for value in kept if values[value] >= RARE * values.total()][:VOID]
        remarks.append(
            f"Masks hold {len(found):,} different values: if they are no classes but heights or smoothed edges, name "
            "the classes in dataset.toml"
        )
    encoding = Encoding("value", tuple(kept), tuple(range(len(kept))))
    spoken = f"values in one channel, {kept[0]}–{kept[-1]}" if len(kept) > 1 else f"the value {kept[0]}"
    void = f", {VOID} is void" if VOID in found else ""
    names = tuple(f"Class {value}" for value in kept)
    return Meaning(encoding, _palette(names), spoken + void, True, tuple(remarks))


MOST_READ = 64
"""Files of outlines that are read to see which classes there are."""


def meaning_of_outlines(kind: Literal["coco", "vectors"], files: Sequence[Path], attribute: str = "") -> Meaning:
    """Return what the outlines in some files mean: their categories, or the attribute that tells their classes.

    Args:
        kind: What the files are.
        files: The files.
        attribute: The attribute, where somebody has said it.

    Raises:
        ImageFileError: If a file cannot be read.
        DatasetNotFoundError: If they hold no classes, or more than there can be.
    """
    names: dict[Value, str] = {}
    for file in files[:MOST_READ]:
        if kind == "coco":
            names.update((number, name) for number, name in read_coco(file).categories.items())
            continue
        vectors = read_vectors(file)
        attribute = attribute or vectors.telling()
        names |= {said(of[attribute]): str(of[attribute]) for of in vectors.attributes if of.get(attribute) is not None}
        if not attribute:
            names.setdefault(file.stem, file.stem)
    if not attribute and kind == "vectors" and names:
        names = {next(iter(names)): "Labelled"}
    if not 0 < len(names) < VOID:
        raise DatasetNotFoundError(f"{files[0].name} has {len(names):,} classes: it needs 1 to {VOID - 1} of them.")
    ordered = dict(sorted(names.items(), key=lambda entry: (isinstance(entry[0], str), entry[0])))
    alone = len(ordered) == 1
    encoding = Outlines(kind, tuple(ordered), tuple(range(alone, len(ordered) + alone)), attribute, alone)
    shown = [name if list(ordered.values()).count(name) < 2 else f"{name} ({key})" for key, name in ordered.items()]
    shown = [*(["Background"] if alone else []), *shown]
    what = "objects" if kind == "coco" else f"polygons, their class in {attribute}" if attribute else "polygons"
    return Meaning(encoding, _palette(shown), f"{what}; what none covers is {'background' if alone else 'void'}")


def _palette(names: Sequence[str], colors: Sequence[tuple[int, int, int]] = ()) -> Palette:
    return Palette(tuple(names), tuple(colors) if len(colors) == len(names) else distinct_colors(len(names)))


def distinct_colors(count: int) -> tuple[tuple[int, int, int], ...]:
    """Return so many colours that differ, none of them black; two are a grey and a red."""
    found: list[tuple[int, int, int]] = [(221, 221, 221), (204, 51, 17)] if count == 2 else []
    step = 0
    while len(found) < count:
        hue, light = step * 0.618034 % 1, (0.45, 0.65, 0.3)[step // 12 % 3]
        color = cast("Color", tuple(round(255 * channel) for channel in colorsys.hls_to_rgb(hue, light, 0.7)))
        found += [color] if color not in found else []
        step += 1
    return tuple(found)
