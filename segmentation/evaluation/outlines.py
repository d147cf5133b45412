"""Outlines of objects as GeoJSON."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import rasterio.features
from scipy import ndimage

from segmentation.data.footprints import PATIENCE
from segmentation.data.raster import RASTER_SUFFIXES, Raster
from segmentation.data.scenes import Dataset
from segmentation.evaluation.objects import CONNECTIVITY, TRUE
from segmentation.inference.maps import is_in_degrees, to_world

MOST = 10_000
"""Objects in a file, the largest: more take minutes to outline, and programs to open."""


def object_pixels(indices: np.ndarray, class_index: int, box: tuple[int, int, int, int]) -> np.ndarray:
    """Return which pixels of an object's box are the object's, (rows, columns) bool.

    Args:
        indices: (height, width) uint8 class indices that it was found in.
        class_index: Its class.
        box: First row, first column, the row after the last, the column after the last.
    """
    top, left, bottom, right = box
    labels, _ = ndimage.label(indices[top:bottom, left:right] == class_index, CONNECTIVITY)
    # It touches all four sides of its box; a second region that does would have to cross it.
    sides = (labels[0], labels[-1], labels[:, 0], labels[:, -1])
    common = set.intersection(*({int(label) for label in np.unique(side) if label} for side in sides))
    return np.isin(labels, list(common))


def to_geojson(
    table: pd.DataFrame, dataset: Dataset, class_index: int, read: Callable[[str], tuple[np.ndarray, np.ndarray]]
) -> str:
    """Return objects as GeoJSON: of a scene that says where it lies in longitude and latitude, else in its pixels.

    Where a map has no longitude and latitude everywhere, its own coordinates are given. Each feature's property
    ``coordinates`` says which: ``degrees``, ``pixels`` (columns to the right and rows downwards), or the map's system.

    Args:
        table: As `object_table` returns it; of more than `MOST` the first are taken.
        dataset: The scenes.
        class_index: The objects' class.
        read: Returns a scene's mask and prediction by its name, both (height, width) uint8, as objects were found in
            them.

    Raises:
        ImageFileError: If a scene cannot be read.
        StorageError: If part of a map has no longitude and latitude, though its border has.
    """
    features = []
    for name, rows in table.head(MOST).groupby("scene", sort=False):
        truth, predicted = read(str(name))
        shapes = [_shape(truth if row.side == TRUE else predicted, class_index, row) for row in rows.itertuples()]
        system, coordinates = placed(dataset.scene(str(name)).image, shapes)
        for row, polygons in zip(rows.to_dict("records"), coordinates, strict=True):
            properties = {key: None if value != value else value for key, value in row.items()}
            properties |= {"class": dataset.palette.names[class_index], "coordinates": system}
            geometry = {"type": "MultiPolygon", "coordinates": polygons}
            features.append({"type": "Feature", "properties": properties, "geometry": geometry})
    return json.dumps({"type": "FeatureCollection", "features": features}, ensure_ascii=False)


def _shape(indices: np.ndarray, class_index: int, row: Any) -> list[dict]:  # noqa: ANN401 (pandas' named tuple)
    """Return an object's polygons in the pixels of its scene."""
    here = object_pixels(indices, class_index, (row.top, row.left, row.bottom, row.right))
    transform = rasterio.Affine.translation(row.left, row.top)
    # By sides alone: rings that touch themselves at a corner are not valid.
    return [shape for shape, _ in rasterio.features.shapes(here.view(np.uint8), here, 4, transform)]


def placed(image: Path, shapes: list[list[dict]]) -> tuple[str, list[list]]:
    """Return in which coordinates outlines are given, and each one's polygons in them.

    Args:
        image: The scene's, which may say where it lies.
        shapes: Polygons of each object in the pixels of its scene, as GeoJSON's geometries.

    Returns:
        ``degrees``, ``pixels`` or the map's system, and the coordinates of each object's MultiPolygon.

    Raises:
        ImageFileError: If the image cannot be read.
        StorageError: If part of a map has no longitude and latitude, though its border has.
    """
    if image.suffix.lower() in RASTER_SUFFIXES:
        with Raster(image, patience=PATIENCE) as raster:
            if raster.transform is not None and raster.system:
                of_map = [[_through(raster.transform, polygon) for polygon in polygons] for polygons in shapes]
                in_degrees = is_in_degrees(raster)
                rings = to_world(raster, [polygon for polygons in of_map for polygon in polygons], in_degrees)
                return "degrees" if in_degrees else raster.system, [[next(rings) for _ in of] for of in of_map]
    return "pixels", [[polygon["coordinates"] for polygon in polygons] for polygons in shapes]


def _through(transform: rasterio.Affine, polygon: dict) -> dict:
    """Return a polygon of pixels in a map's coordinates."""
    rings = [np.column_stack(transform @ tuple(np.array(ring).T)) for ring in polygon["coordinates"]]
    return {"type": "Polygon", "coordinates": rings}
