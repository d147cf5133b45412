"""Polygons with attributes out of GeoJSON, GeoPackage and shapefiles.

Each is read by what Python brings, not by GDAL, whose drivers follow whatever names a file holds: JSON by `json`, a
GeoPackage's tables by `sqlite3` without trust in its schema, a shapefile's records by `struct`. Formats: RFC 7946;
OGC 12-128r18; ESRI Shapefile Technical Description, July 1998.
"""

import json
import re
import sqlite3
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import numpy as np

from segmentation.data.raster import OTHER_FILES, SIDE_FILE
from segmentation.data.remembered import until_changed
from segmentation.errors import ImageFileError

MOST_BYTES = 1 << 28
"""A larger file is refused; a GeoJSON, which takes ten times as much memory when it is parsed, at half of it."""

MOST_FEATURES = 1_000_000

MOST_STEPS = 20_000_000
"""SQLite's instructions after which a GeoPackage is given up."""

SUFFIXES = (".geojson", ".gpkg", ".shp")
"""The formats read, by file name ending in lower case."""

TELLING = ("class", "label", "class_name", "classname", "category", "landcover", "landuse", "type", "name", "value")
"""Attributes that name a polygon's class, the most telling first."""

Rings = list[np.ndarray]
"""A polygon: its outlines and holes, each (points, 2) float64."""


class Vectors(NamedTuple):
    """Polygons and their attributes.

    Args:
        polygons: The outlines of each, holes among them.
        attributes: Of each.
        system: Its coordinate system: ``EPSG:32640``, or a text in WKT; empty if the file does not say.
    """

    polygons: list[Rings]
    attributes: list[dict[str, object]]
    system: str

    def telling(self) -> str:
        """Return the attribute that names the classes; empty if none does: then all polygons are of one class."""
        told = Counter(key for of in self.attributes for key, value in of.items() if value not in (None, ""))
        often = [key for key, count in told.items() if 2 * count > len(self.attributes)]
        return next((key for wanted in TELLING for key in often if key.lower() == wanted), "")


@until_changed(4)
def read_vectors(path: Path) -> Vectors:
    """Read a file of polygons; the last ones are remembered.

    Raises:
        ImageFileError: If it is too large, or cannot be read.
    """
    reader = {".geojson": _geojson, ".json": _geojson, ".gpkg": _geopackage, ".shp": _shapefile}[path.suffix.lower()]
    most = MOST_BYTES // 2 if reader is _geojson else MOST_BYTES
    size = path.stat().st_size
    if size > most:
        raise ImageFileError(f"{path.name} has {size / 1e6:,.0f} MB, more than the {most / 1e6:,.0f} that are read.")
    try:
        found = reader(path)
        if not found.polygons:
            raise ValueError(path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise _unreadable(path) from error
    except (struct.error, sqlite3.Error, OverflowError, MemoryError) as error:
        raise _unreadable(path) from error
    return found


def _unreadable(path: Path) -> ImageFileError:
    return ImageFileError(f"{path.name} holds no polygons that can be read: export it again.")


def _geojson(path: Path) -> Vectors:
    content = json.loads(path.read_bytes())
    polygons, attributes = [], []
    for feature in content["features"][:MOST_FEATURES]:
        geometry = feature.get("geometry") or {}
        parts = {"Polygon": lambda c: [c], "MultiPolygon": list}.get(str(geometry.get("type")), lambda _: [])(
            geometry.get("coordinates")
        )
        for part in parts:
            polygons.append([np.array([point[:2] for point in ring], np.float64) for ring in part])
            attributes.append(dict(feature.get("properties") or {}))
    name = ((content.get("crs") or {}).get("properties") or {}).get("name", "")
    code = re.search(r"EPSG:+(?:[\d.]*:)?(\d{4,6})$", str(name))
    return Vectors(polygons, attributes, f"EPSG:{code[1]}" if code else "EPSG:4326")


def _geopackage(path: Path) -> Vectors:
    uri = f"file:{quote(str(path.resolve()))}?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True)) as database:
        database.execute("PRAGMA trusted_schema=OFF")
        database.execute("PRAGMA cell_size_check=ON")
        steps = iter(range(MOST_STEPS // 1000))
        database.set_progress_handler(lambda: next(steps, None) is None, 1000)
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not {"gpkg_geometry_columns", "gpkg_spatial_ref_sys"} <= tables:  # a view would run what somebody wrote
            raise ValueError(path)
        layers = database.execute("SELECT table_name, column_name, srs_id FROM gpkg_geometry_columns").fetchall()
        table, column, number = [layer for layer in layers if layer[0] in tables][0]  # noqa: RUF015 (an IndexError)
        systems = database.execute(
            "SELECT organization, organization_coordsys_id FROM gpkg_spatial_ref_sys WHERE srs_id = ?", (number,)
        ).fetchall()
        quoted = '"' + table.replace('"', '""') + '"'
        rows = database.execute(f"SELECT * FROM {quoted} LIMIT {MOST_FEATURES}")  # noqa: S608 (a table of that name)
        names = [column_[0] for column_ in rows.description]
        place, polygons, attributes = names.index(column), [], []
        for row in rows:
            for rings in _blob(row[place]):
                polygons.append(rings)
                attributes.append({name: value for name, value in zip(names, row, strict=True) if name != column})
    known = systems and str(systems[0][0]).upper() == "EPSG"
    return Vectors(polygons, attributes, f"EPSG:{int(systems[0][1])}" if known else "")


def _blob(blob: bytes | None) -> Iterator[Rings]:
    """Yield the polygons of a GeoPackage's geometry: a header, then well-known binary."""
    if blob:
        envelope = (0, 32, 48, 48, 64)[blob[3] >> 1 & 7]
        yield from _well_known(blob, 8 + envelope)[0]


def _well_known(blob: bytes, at: int) -> tuple[list[Rings], int]:
    """Return the polygons of well-known binary from a place on, and the place after it."""
    order = "<" if blob[at] else ">"
    (kind,) = struct.unpack_from(order + "I", blob, at + 1)
    base, high = kind % 1000 & 0xFF, kind & 0xF0000000
    axes = 2 + (kind // 1000 in (1, 3) or bool(high & 0x80000000)) + (kind // 1000 in (2, 3) or bool(high & 0x40000000))
    at += 5
    (count,) = struct.unpack_from(order + "I", blob, at)
    at += 4
    if base == 6:  # several polygons, each with a header of its own
        several: list[Rings] = []
        for _ in range(count):
            rings, at = _well_known(blob, at)
            several += rings
        return several, at
    if base != 3:
        return [], len(blob)
    outline: Rings = []
    for _ in range(count):
        (points,) = struct.unpack_from(order + "I", blob, at)
        values = np.frombuffer(blob, order + "f8", points * axes, at + 4)
        outline.append(values.reshape(points, axes)[:, :2].astype(np.float64))
        at += 4 + 8 * points * axes
    return [outline], at


def _shapefile(path: Path) -> Vectors:
    content, rows = path.read_bytes(), list(_table(path.with_suffix(".dbf")))
    polygons, attributes, at, record = [], [], 100, 0
    while at + 12 <= len(content) and record < MOST_FEATURES:
        (words,) = struct.unpack_from(">I", content, at + 4)
        (kind,) = struct.unpack_from("<I", content, at + 8)
        if kind in (5, 15, 25):  # polygons, plain, with heights and with measures
            parts, points = struct.unpack_from("<2I", content, at + 44)
            starts = [*struct.unpack_from(f"<{parts}I", content, at + 52), points]
            values = np.frombuffer(content, "<f8", 2 * points, at + 52 + 4 * parts).reshape(points, 2)
            polygons.append([values[start:end].astype(np.float64) for start, end in pairwise(starts)])
            attributes.append(rows[record] if record < len(rows) else {})
        at += 8 + 2 * words
        record += 1
    return Vectors(polygons, attributes, _projection(path.with_suffix(".prj")))


def _table(path: Path) -> Iterator[dict[str, object]]:
    """Yield the rows of a dBASE table beside a shapefile; none if it is not there."""
    if not path.is_file() or path.stat().st_size > MOST_BYTES:
        return
    content = path.read_bytes()
    count, start, length = struct.unpack_from("<IHH", content, 4)
    fields, at = [], 32
    while at + 32 <= start and content[at] != 0x0D:
        fields.append((content[at : at + 11].split(b"\0")[0].decode("ascii", "replace"), content[at + 16]))
        at += 32
    for row in range(min(count, MOST_FEATURES)):
        told: dict[str, object] = {}
        at = start + row * length + 1
        for name, width in fields:
            value = content[at : at + width]
            try:
                told[name] = value.decode("utf-8").strip()
            except UnicodeDecodeError:
                told[name] = value.decode("latin-1").strip()
            at += width
        yield told


def _projection(path: Path) -> str:
    """Return the coordinate system in a ``.prj``; empty if there is none, or one that names other files."""
    if not path.is_file() or path.stat().st_size > SIDE_FILE:
        return ""
    text = path.read_text(encoding="utf-8", errors="replace")
    return "" if OTHER_FILES.search(text) else text
