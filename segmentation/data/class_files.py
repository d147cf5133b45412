"""Names, colours and values of classes out of the files that people put beside their masks."""

import ast
import csv
import io
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from segmentation.data.layouts.listing import Listing, is_picture
from segmentation.data.palette import CLASS_FILE, Color, Palette, color_of_hex

MOST_BYTES = 1 << 20
"""A longer file names no classes."""


@dataclass(frozen=True)
class ClassFile:
    """What a file tells of the classes, in its order.

    Args:
        name: The file's.
        names: Of the classes.
        colors: Of the classes; empty if it does not tell.
        values: Of the classes in masks of one channel; empty if it does not tell.
    """

    name: str
    names: tuple[str, ...]
    colors: tuple[Color, ...] = ()
    values: tuple[int, ...] = ()


def find_class_file(listing: Listing, folders: Iterable[str]) -> ClassFile | None:
    """Return what the first file that tells the classes says; None if there is none.

    Args:
        listing: The data set's folder.
        folders: Where to look, by their paths below it, the most telling first.

    Raises:
        PaletteError: If a ``class_dict.csv`` is unusable.
    """
    for folder in dict.fromkeys(folders):
        names = [name for name in listing.folders.get(folder, ()) if not is_picture(name)]
        for name in sorted(names, key=lambda name: (name != CLASS_FILE, name)):
            path = listing.root / folder / name
            if name == CLASS_FILE:
                palette = Palette.from_csv(path)
                return ClassFile(name, palette.names, palette.colors)
            reader = next((of for pattern, of in READERS.items() if re.fullmatch(pattern, name, re.IGNORECASE)), None)
            text = _text(path) if reader else None
            found = reader(text) if reader and text else None
            if found and _sound(found):
                return ClassFile(name, *found)
    return None


Told = tuple[tuple[str, ...], tuple[Color, ...], tuple[int, ...]]


def _text(path: Path) -> str | None:
    try:
        if path.stat().st_size > MOST_BYTES:
            return None
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return None


def _sound(told: Told) -> bool:
    """Tell whether the classes that a file tells are some, and none of them twice."""
    names, colors, values = told
    of_color = not colors or (
        len(colors) == len(names) == len(set(colors))
        and all(0 <= channel <= 255 for color in colors for channel in color)
    )
    of_value = not values or (len(values) == len(names) == len(set(values)) and all(0 <= v < 65_536 for v in values))
    return 0 < len(names) == len(set(names)) < 256 and all(names) and of_color and of_value


_NAMES = ("name", "class", "class_name", "label")
_VALUES = ("pixel value", "value", "index", "id", "class_id", "label_id")
"""Columns of classes' names, and of their values."""


def _csv(text: str) -> Told | None:
    """Columns name, r, g, b; or, as Roboflow writes them, Pixel Value, Class; in any order and case."""
    try:
        rows = list(csv.DictReader(io.StringIO(text), skipinitialspace=True))
        rows = [{(key or "").strip().lower(): (value or "").strip() for key, value in row.items()} for row in rows]
        keys = rows[0] if rows else {}
        name = next((key for key in _NAMES if key in keys), None)
        value = next((key for key in _VALUES if key in keys), None)
        channels = next((of for of in (("r", "g", "b"), ("red", "green", "blue")) if set(of) <= keys.keys()), None)
        if name is None or (value is None and channels is None):
            return None
        colors = tuple(cast("Color", tuple(int(row[channel]) for channel in channels or ())) for row in rows)
        return (
            tuple(row[name] for row in rows),
            colors if channels else (),
            tuple(int(row[value]) for row in rows if value),
        )
    except (csv.Error, ValueError, TypeError, AttributeError):
        return None


def _labelmap(text: str) -> Told | None:
    """CVAT's: ``name:r,g,b:parts:actions`` a line, comments with ``#``."""
    found = re.findall(r"^([^#:\n][^:\n]*):(\d+),(\d+),(\d+):", text, re.MULTILINE)
    colors = tuple((int(red), int(green), int(blue)) for _, red, green, blue in found)
    return tuple(name.strip() for name, *_ in found), colors, ()


def _lines(text: str) -> Told | None:
    """A name a line, in the order of the values from 0; or a value before each."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    numbered = [match for line in lines if (match := re.fullmatch(r"(\d+)[\s:,;]+(.+)", line))]
    if len(numbered) == len(lines):
        return tuple(match[2] for match in numbered), (), tuple(int(match[1]) for match in numbered)
    return tuple(lines), (), tuple(range(len(lines)))


def _json(text: str) -> Told | None:
    """nnU-Net's ``labels`` by name or by number, or mmsegmentation's ``classes`` and ``palette``."""
    try:
        content = json.loads(text)
        if isinstance(labels := content.get("labels"), dict):
            pairs = [(k, v) if isinstance(v, int) else (str(v), int(k)) for k, v in labels.items()]
            pairs.sort(key=lambda pair: pair[1])
            return tuple(name for name, _ in pairs), (), tuple(value for _, value in pairs)
        return _metainfo(content)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None


def _python(text: str) -> Told | None:
    """Mmsegmentation's ``METAINFO = dict(classes=…, palette=…)``; the file is not run."""
    try:
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Assign) and any(getattr(of, "id", "") == "METAINFO" for of in node.targets):
                if isinstance(node.value, ast.Call):
                    return _metainfo({word.arg: ast.literal_eval(word.value) for word in node.value.keywords})
                return _metainfo(ast.literal_eval(node.value))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    return None


def _metainfo(content: dict) -> Told | None:
    names = tuple(map(str, content.get("classes") or ()))
    colors = tuple((int(red), int(green), int(blue)) for red, green, blue in content.get("palette") or ())
    return (names, colors, tuple(range(len(names)))) if names else None


def _qgis(text: str) -> Told | None:
    """A QGIS style of single values: ``<paletteEntry value="1" color="#ff0000" label="Road"/>``."""
    entries = [dict(re.findall(r'(\w+)="([^"<>]*)"', tag)) for tag in re.findall(r"<paletteEntry\b([^<>]*)/?>", text)]
    try:
        values = tuple(int(entry["value"]) for entry in entries)
        colors = tuple(color_of_hex(entry["color"][:7]) for entry in entries)
    except (KeyError, ValueError):
        return None
    return tuple(entry.get("label") or entry["value"] for entry in entries), colors, values


def _categories(text: str) -> Told | None:
    """GDAL's category names beside a raster, in the order of the values from 0."""
    names = re.findall(r"<Category>([^<>]*)</Category>", text)
    named = [(name.strip(), value) for value, name in enumerate(names) if name.strip()]
    return tuple(name for name, _ in named), (), tuple(value for _, value in named)


READERS: dict[str, Callable[[str], Told | None]] = {
    r"(.*_)?class_dict.*\.csv|_?classes\.csv|labels?\.csv": _csv,
    r"label_?map\.txt": _labelmap,
    r"(_?classes|class_names|obj)\.(txt|names)": _lines,
    r"dataset\.json|meta_?info\.json": _json,
    r".*\.py": _python,
    r".*\.qml": _qgis,
    r".*\.aux\.xml": _categories,
}
"""What reads a file whose name matches."""
