"""Files of points: written to be labelled, and read once they are; GeoJSON (RFC 7946) or CSV."""

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from segmentation.areas.class_map import ClassMap
from segmentation.areas.design import MOST_POINTS
from segmentation.areas.sampling import DrawnPoints
from segmentation.errors import ConfigurationError, ImageFileError, printable
from segmentation.tables import to_safe_csv

MOST_BYTES = 1 << 26
"""A larger file of points is refused."""

DEGREES, OF_MAP = "EPSG:4326", "map"
"""Coordinate systems of points: longitude and latitude, and the map's own, which are pixels where it lies nowhere."""

SYSTEM = re.compile(r"(?:EPSG|epsg):+(?:[\d.]*:)?(\d{4,6})$")
"""How the field names a coordinate system, within a URN or without."""

LABELS = ("label", "class", "reference")
"""Attributes that may hold a point's label, the first that is there."""

MARK = "map_mark"
"""The attribute that holds the mark of the map on which a point was drawn."""

LONGITUDES, LATITUDES = ("longitude", "lon", "lng"), ("latitude", "lat")


@dataclass(frozen=True)
class Points:
    """Points of a file.

    Args:
        name: The file's.
        ids: What each is called.
        labels: Their labels as they are written; empty for none.
        x: (points,) float64, or longitudes.
        y: Likewise, or latitudes.
        system: ``EPSG:4326`` and the like, or `OF_MAP`.
        marks: `ClassMap.mark` of the maps on which they were drawn, where the file tells.
    """

    name: str
    ids: tuple[str, ...]
    labels: tuple[str, ...]
    x: np.ndarray
    y: np.ndarray
    system: str
    marks: frozenset[str] = frozenset()


def write_points(class_map: ClassMap, drawn: DrawnPoints, mark: str, as_csv: bool = False, reveal: bool = False) -> str:
    """Return points as a file to be labelled: each has an ``id``, an empty ``label`` and the map's mark.

    In longitude and latitude, where these lead back to the same pixels; otherwise in the map's own coordinates, or for
    a map without a place in pixels from its top left corner.

    Args:
        class_map: The map.
        drawn: The points.
        mark: The map's.
        as_csv: As CSV in place of GeoJSON.
        reveal: Also tell the map's class, ``map_class``: who knows it labels less freely.
    """
    x, y = _own_coordinates(class_map, drawn.columns + 0.5, drawn.rows + 0.5)
    degrees = _degrees(class_map, x, y, drawn)
    if degrees is not None:
        x, y = degrees
    told = [{"id": number, "label": "", MARK: mark} for number in range(1, len(x) + 1)]
    if reveal:
        told = [row | {"map_class": class_map.names[index]} for row, index in zip(told, drawn.classes, strict=True)]
    if as_csv:
        where = {"longitude": x, "latitude": y} if degrees is not None else {"x": x, "y": y}
        return to_safe_csv(pd.DataFrame(told).assign(**where))
    head: dict[str, object] = {"type": "FeatureCollection"}
    if degrees is None:
        head["coordinate_system"] = class_map.raster.system or "pixels"
    features = [
        {"type": "Feature", "properties": of, "geometry": {"type": "Point", "coordinates": [float(a), float(b)]}}
        for of, a, b in zip(told, x, y, strict=True)
    ]
    lines = ",\n".join(json.dumps(feature, ensure_ascii=False) for feature in features)
    return f'{json.dumps(head, ensure_ascii=False)[:-1]}, "features": [\n{lines}\n]}}\n'


def _own_coordinates(class_map: ClassMap, columns: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return places in a map, in pixels, in its own coordinates."""
    if class_map.raster.place is None:
        return columns, rows
    a, b, c, d, e, f = class_map.raster.place
    return a * columns + b * rows + c, d * columns + e * rows + f


def _degrees(class_map: ClassMap, x: np.ndarray, y: np.ndarray, drawn: DrawnPoints) -> np.ndarray | None:
    """Return longitudes and latitudes, (2, points); None if they do not lead back to the same pixels."""
    degrees = class_map.raster.to_longitude_latitude(x, y)
    if degrees is None or not np.isfinite(degrees).all():
        return None
    degrees = degrees.round(9)
    pixels = locate(class_map, degrees[0], degrees[1], DEGREES)
    return degrees if np.array_equal(pixels, [drawn.rows, drawn.columns]) else None


def locate(class_map: ClassMap, x: np.ndarray, y: np.ndarray, system: str) -> np.ndarray:
    """Return the rows and columns of points, (2, points) int64: -1 for those that lie outside.

    Args:
        class_map: The map.
        x: (points,) float64, or longitudes.
        y: Likewise, or latitudes.
        system: Their coordinate system, as that of `Points`.

    Raises:
        ConfigurationError: If there is no way from their coordinates to the map's.
    """
    raster = class_map.raster
    if raster.place is None:
        columns, rows = x, y
    else:
        if system not in (OF_MAP, raster.system):
            degrees = _to_degrees(x, y, system)
            own = raster.from_longitude_latitude(*degrees)
            if own is None:
                raise ConfigurationError(
                    f"{class_map.name} lies in a coordinate system of its own ({raster.system}): give the points in "
                    f"it, and say so with --crs {OF_MAP}."
                )
            x, y = own
        a, b, c, d, e, f = raster.place
        columns, rows = np.linalg.solve([[a, b], [d, e]], [x - c, y - f])
    inside = np.isfinite(rows) & np.isfinite(columns) & (rows >= 0) & (columns >= 0)
    inside &= (rows < class_map.height) & (columns < class_map.width)
    return np.where(inside, np.floor(np.where(inside, [rows, columns], 0)), -1).astype(np.int64)


def _to_degrees(x: np.ndarray, y: np.ndarray, system: str) -> np.ndarray:
    if system == DEGREES:
        return np.array([x, y])
    from pyproj import Transformer
    from pyproj.exceptions import ProjError

    try:
        return np.array(Transformer.from_crs(system, DEGREES, always_xy=True).transform(x, y))
    except ProjError as error:
        raise ConfigurationError(f"{system} is no coordinate system that is known here: check its number.") from error


def read_system(text: str) -> str:
    """Return a coordinate system that somebody named, as `Points` holds it.

    Raises:
        ConfigurationError: If it is none.
    """
    found = SYSTEM.search(text.strip())
    if text.strip().lower() == OF_MAP:
        return OF_MAP
    if text.strip().upper().endswith("CRS84"):
        return DEGREES
    if not found:
        raise ConfigurationError(f"Expected a coordinate system such as EPSG:32640, or {OF_MAP}. Received: {text}")
    return f"EPSG:{found[1]}"


def read_points(content: bytes, name: str) -> Points:
    """Read a file of points: GeoJSON if it is called so, else CSV with a header.

    GeoJSON is in longitude and latitude unless it says otherwise. Columns of CSV are ``x`` and ``y``, in the map's own
    coordinates, or ``longitude`` and ``latitude``. Labels are in ``label``, names of points in ``id``.

    Args:
        content: The file's bytes.
        name: Its name.

    Raises:
        ImageFileError: If it is no such file, or too large.
        ConfigurationError: If it names a coordinate system that is none.
    """
    name = printable(name)
    if len(content) > MOST_BYTES:
        raise ImageFileError(f"{name} has more than {MOST_BYTES >> 20} MB: is it a file of labelled points?")
    is_json = name.lower().endswith(("json",))
    try:
        points = (_of_geojson if is_json else _of_csv)(content.decode("utf-8-sig"), name)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, csv.Error) as error:
        kind = "GeoJSON of points" if is_json else "CSV with the columns x, y (or longitude, latitude) and label"
        raise ImageFileError(f"{name} cannot be read as {kind}: export it again.") from error
    if not points.ids:
        raise ImageFileError(f"{name} holds no points.")
    if len(points.ids) > MOST_POINTS:
        raise ImageFileError(f"{name} holds more than {MOST_POINTS:,} points: estimate from a sample of them.")
    return points


def _of_geojson(text: str, name: str) -> Points:
    content = json.loads(text)
    features = content["features"]
    kinds = {(feature.get("geometry") or {}).get("type", "nothing") for feature in features} - {"Point"}
    if kinds:
        raise ImageFileError(f"{name} holds {printable(str(min(map(str, kinds))))} where points are expected.")
    places = [feature["geometry"]["coordinates"] for feature in features]
    rows = [(feature.get("properties") or {}) for feature in features]
    for row, feature in zip(rows, features, strict=True):
        row.setdefault("id", feature.get("id"))
    system = DEGREES
    if "coordinate_system" in content:
        system = OF_MAP
    elif isinstance(content.get("crs"), dict):
        system = read_system(str(content["crs"]["properties"]["name"]))
    x, y = ([float(place[axis]) for place in places] for axis in (0, 1))
    return _points(name, rows, x, y, system)


def _of_csv(text: str, name: str) -> Points:
    head = text.split("\n", 1)[0]
    rows = list(csv.DictReader(io.StringIO(text), delimiter=max(",;\t", key=head.count), skipinitialspace=True))
    told = [{str(key).strip().lower(): value for key, value in row.items() if key} for row in rows]
    columns = set(told[0]) if told else set()
    across = next((key for key in LONGITUDES if key in columns), None)
    up = next((key for key in LATITUDES if key in columns), None)
    system = DEGREES if across and up else OF_MAP
    x, y = ([float(row[key]) for row in told] for key in (across or "x", up or "y"))
    if not columns & set(LABELS):
        raise KeyError(LABELS[0])
    return _points(name, told, x, y, system)


def _points(name: str, rows: list[dict], x: Sequence[float], y: Sequence[float], system: str) -> Points:
    key = next((key for key in LABELS if any(key in row for row in rows)), LABELS[0])
    ids = tuple(_said(row.get("id")) or str(number) for number, row in enumerate(rows, 1))
    labels = tuple(_said(row.get(key)) for row in rows)
    marks = frozenset(filter(None, (_said(row.get(MARK)) for row in rows)))
    return Points(name, ids, labels, np.array(x, np.float64), np.array(y, np.float64), system, marks)


def _said(value: object) -> str:
    """Return an attribute as text; empty for none. An apostrophe that `to_safe_csv` has put before it is taken away."""
    text = "" if value is None else str(value).strip()
    return text[1:] if re.match(r"'[=+\-@]", text) else text
