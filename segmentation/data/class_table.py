"""The table of what masks hold, a row for each value, colour or name of outlines, and the classes that it makes."""

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from segmentation.data.classes import RARE, Meaning, distinct_colors
from segmentation.data.declaration import Declaration, DeclaredClass
from segmentation.data.drawing import BACKGROUND, Outlines
from segmentation.data.encodings import Encoding, Key
from segmentation.data.layouts.names import spread
from segmentation.data.mask_contents import looks
from segmentation.data.palette import SMEARED_ABOVE, VOID, Color
from segmentation.data.scenes import Dataset
from segmentation.errors import DeclarationError, ImageFileError

MOST_ROWS = VOID
"""Rows of a table."""

DRAWN = 4
"""Images whose outlines are drawn to see how much of them each class covers."""


@dataclass(frozen=True)
class ClassRow:
    """What one value, colour or name in the masks counts as.

    Args:
        key: The value, the colour, or what a file of outlines calls it.
        share: Of the sample's pixels, 0–1.
        name: The class's name. Rows of one name are one class.
        color: The colour to draw it in; rows of one name are drawn in the first one's.
        merge: The name of the class that it is part of; empty for one of its own.
        ignore: Whether its pixels are void.
    """

    key: Key | str
    share: float
    name: str
    color: Color
    merge: str = ""
    ignore: bool = False


def class_rows(dataset: Dataset, said: Declaration) -> tuple[ClassRow, ...]:
    """Return a row for all that the masks of a sample hold, and for all that `said` names, in the classes' order.

    Args:
        dataset: The scenes, found without the classes that `said` names.
        said: Where the classes start from; without classes, from those that were found.
    """
    classes = said.classes or found_classes(dataset)
    encoding = _meaning(dataset, said).encoding
    pixels, total = _pixels(dataset, encoding)
    told = {key for of in classes for key in of.keys}
    others = [key for key, _ in pixels.most_common() if key not in told]
    if len(others) > SMEARED_ABOVE:  # mixed by JPEG, or heights
        others = [key for key in others if pixels[key] >= RARE * total]
    if isinstance(encoding, Outlines):
        others += [key for key in _keys_of_outlines(dataset) if key not in told and key not in others]
    if isinstance(encoding, Encoding) and encoding.kind == "value":
        others.sort()
    free = iter(distinct_colors(len(classes) + len(others) + VOID))
    used = {of.show for of in classes}
    rows = []
    for of in classes:
        own = of.show or next((key for key in of.keys if isinstance(key, tuple)), None)
        color = own or next(color for color in free if color not in used)
        used.add(color)
        rows += [ClassRow(key, pixels[key] / total, of.name, color, of.merge, of.ignore) for key in of.keys]
    for key in others:
        color = key if isinstance(key, tuple) else next(color for color in free if color not in used)
        rows.append(ClassRow(key, pixels[key] / total, f"Class {spoken(key)}", color, ignore=True))
    return tuple(rows[:MOST_ROWS])


def found_classes(dataset: Dataset) -> tuple[DeclaredClass, ...]:
    """Return the classes of a data set as ``dataset.toml`` would say them."""
    encoding, palette = dataset.scenes[0].encoding, dataset.palette
    classes = []
    for index, (name, color) in enumerate(zip(palette.names, palette.colors, strict=True)):
        keys: tuple[Key | str, ...] = encoding.keys_of(index, palette)
        if isinstance(encoding, Outlines) and encoding.background and index == 0:
            keys = (BACKGROUND,)
        classes.append(DeclaredClass(name, keys, color))
    return tuple(classes)


def classes_of(rows: Iterable[ClassRow]) -> tuple[DeclaredClass, ...]:
    """Return the classes that a table makes.

    Raises:
        DeclarationError: If a row has no name.
    """
    classes: dict[object, DeclaredClass] = {}
    for row in rows:
        if not row.name.strip():
            raise DeclarationError(f"What masks call {spoken(row.key)} has no name: give it one, or ignore it.")
        one = (row.name, row.merge, row.ignore)
        before = classes.get(one)
        if before:
            classes[one] = replace(before, keys=(*before.keys, row.key))
        else:
            classes[one] = DeclaredClass(row.name, (row.key,), row.color, row.ignore, row.merge)
    return tuple(classes.values())


def meaning_of_rows(dataset: Dataset, said: Declaration) -> Meaning:
    """Return what masks mean by what is said of a data set that was found without it.

    Raises:
        DeclarationError: If its classes contradict each other.
    """
    if said.classes and all(of.ignore for of in said.classes):
        raise DeclarationError("Every class is ignored: leave one at least.")
    return _meaning(dataset, said)


def row_encoding(encoding: Encoding | Outlines, rows: Sequence[ClassRow]) -> Encoding | Outlines:
    """Return the encoding whose class indices are the places of the rows, so that masks need not be read anew."""
    places = {row.key: place for place, row in enumerate(rows)}
    if isinstance(encoding, Outlines):
        keys = tuple(key for key in places if not isinstance(key, tuple))
        return replace(encoding, keys=keys, classes=tuple(places[key] for key in keys), background=BACKGROUND in keys)
    keyed = tuple(key for key in places if not isinstance(key, str))
    return replace(encoding, keys=keyed, classes=tuple(places[key] for key in keyed))


def row_classes(encoding: Encoding | Outlines, rows: Sequence[ClassRow]) -> np.ndarray:
    """Return the class index of each row's place, (256,) uint8; `VOID` of those that are ignored, and of void.

    Args:
        encoding: How masks say a class, by `meaning_of_rows`.
        rows: The rows.
    """
    table = np.full(VOID + 1, VOID, np.uint8)
    classes = dict(zip(encoding.keys, encoding.classes, strict=True))
    for place, row in enumerate(rows):
        table[place] = classes.get(cast("Key", row.key), VOID)
    return table


def spoken(key: Key | str) -> int | str:
    """Return what says a class in masks as TOML and JSON hold it: a value, or a colour in hexadecimal."""
    return f"#{bytes(key).hex()}" if isinstance(key, tuple) else key


def _meaning(dataset: Dataset, said: Declaration) -> Meaning:
    return said.meaning(Meaning(dataset.scenes[0].encoding, dataset.palette, dataset.encoding, dataset.guessed))


def _pixels(dataset: Dataset, encoding: Encoding | Outlines) -> tuple[Counter[Key | str], int]:
    """Return how many pixels of a sample of masks each key has, and how many there are."""
    pixels: Counter[Key | str] = Counter()
    total = 0
    if isinstance(encoding, Outlines):
        keys = _keys_of_outlines(dataset)
        drawn = replace(encoding, keys=keys, classes=tuple(range(len(keys))), background=BACKGROUND in keys)
        for scene in spread(list(dataset.scenes), DRAWN):
            with suppress(ImageFileError):  # a health report says it
                counts = np.bincount(drawn.read(scene.mask, scene.image).ravel(), minlength=VOID + 1)
                pixels.update({key: int(counts[place]) for place, key in enumerate(keys)})
                total += int(counts.sum())
        return +pixels, max(1, total)
    for look in looks([scene.mask for scene in dataset.scenes]):
        if encoding.kind == "color":
            pixels.update(look.colors)
        else:
            pixels.update(look.indices if encoding.raw and look.indices else look.values or {})
        total += look.size[0] * look.size[1]
    return pixels, max(1, total)


def _keys_of_outlines(dataset: Dataset) -> tuple[int | str, ...]:
    return tuple(key for of in found_classes(dataset) for key in of.keys if not isinstance(key, tuple))
