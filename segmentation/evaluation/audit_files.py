"""Audited regions as files that other programs read: GeoJSON for QGIS, COCO for CVAT and Label Studio."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import rasterio.features

from segmentation.data.images import read_size
from segmentation.data.scenes import Dataset
from segmentation.evaluation.label_audit import Suspects
from segmentation.evaluation.outlines import MOST, placed

SAID = ("labelled", "predicted", "part", "pixels", "square_metres", "certainty", "evidence", "verdict")
"""What both files say of a region, as `suspect_table` names it; the verdict is empty where there is none."""


def regions_to_geojson(table: pd.DataFrame, dataset: Dataset, scenes: Mapping[str, Suspects]) -> str:
    """Return the outlines of regions as GeoJSON, in coordinates as `segmentation.evaluation.outlines.to_geojson` has.

    Args:
        table: Regions with verdicts, as `with_verdicts` returns them; of more than `MOST` the first are taken.
        dataset: The scenes.
        scenes: The regions of each scene.

    Raises:
        ImageFileError: If a scene cannot be read.
        StorageError: If part of a map has no longitude and latitude, though its border has.
    """
    features = []
    for name, rows in table.head(MOST).groupby("scene", sort=False):
        shapes = [_polygons(scenes[str(name)], row) for row in rows.to_dict("records")]
        system, coordinates = placed(dataset.scene(str(name)).image, shapes)
        for row, polygons in zip(rows.to_dict("records"), coordinates, strict=True):
            properties = {"scene": name, **_said(row), "coordinates": system}
            geometry = {"type": "MultiPolygon", "coordinates": polygons}
            features.append({"type": "Feature", "properties": properties, "geometry": geometry})
    return json.dumps({"type": "FeatureCollection", "features": features}, ensure_ascii=False)


def regions_to_coco(table: pd.DataFrame, dataset: Dataset, scenes: Mapping[str, Suspects]) -> str:
    """Return regions as COCO annotations (https://cocodataset.org/#format-data), each of the class predicted.

    A region of one piece without holes is a polygon; others, which COCO's polygons cannot say, are run lengths.

    Args:
        table: Regions with verdicts, as `with_verdicts` returns them; of more than `MOST` the first are taken.
        dataset: The scenes; images are named by their paths below its folder.
        scenes: The regions of each scene.

    Raises:
        ImageFileError: If the size of an image cannot be read.
    """
    images, annotations = list[dict[str, Any]](), list[dict[str, Any]]()
    numbers = {name: number for number, name in enumerate(dataset.palette.names, 1)}
    for image, (name, rows) in enumerate(table.head(MOST).groupby("scene", sort=False), 1):
        path = dataset.scene(str(name)).image
        height, width = read_size(path)
        file = path.relative_to(dataset.root).as_posix()
        images.append({"id": image, "file_name": file, "width": width, "height": height})
        for row in rows.to_dict("records"):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": numbers[row["predicted"]],
                    "area": row["pixels"],
                    "bbox": [row["left"], row["top"], row["right"] - row["left"], row["bottom"] - row["top"]],
                    **_segmentation(scenes[str(name)], row, (height, width)),
                    "attributes": _said(row),
                }
            )
    categories = [{"id": number, "name": name} for name, number in numbers.items()]
    return json.dumps({"images": images, "categories": categories, "annotations": annotations}, ensure_ascii=False)


def _said(row: dict[str, Any]) -> dict[str, Any]:
    """Return what is said of a region; JSON has no number that is none."""
    return {key: None if row[key] != row[key] else row[key] for key in SAID}


def _polygons(suspects: Suspects, row: dict[str, Any]) -> list[dict]:
    """Return a region's polygons in the pixels of its scene, by sides: rings never touch themselves."""
    mask = suspects.mask(row["place"])
    transform = rasterio.Affine.translation(row["left"], row["top"])
    return [shape for shape, _ in rasterio.features.shapes(mask.view(np.uint8), mask, 4, transform)]


def _segmentation(suspects: Suspects, row: dict[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    """Return a region's outline as COCO has it."""
    polygons = _polygons(suspects, row)
    if len(polygons) == 1 and len(polygons[0]["coordinates"]) == 1:
        ring = polygons[0]["coordinates"][0][:-1]
        return {"segmentation": [[coordinate for point in ring for coordinate in point]], "iscrowd": 0}
    across, down = np.nonzero(suspects.mask(row["place"]).T)  # column after column
    flat = (across.astype(np.int64) + row["left"]) * size[0] + down + row["top"]
    return {"segmentation": {"size": list(size), "counts": list(_runs(flat, size[0] * size[1]))}, "iscrowd": 1}


def _runs(flat: np.ndarray, total: int) -> Iterator[int]:
    """Yield the lengths of runs of off and on by turns, of ascending places that are on."""
    begins = np.flatnonzero(np.diff(flat, prepend=-2) > 1)
    ends = np.append(begins[1:], len(flat)) - 1
    done = 0
    for begin, end in zip(flat[begins].tolist(), flat[ends].tolist(), strict=True):
        yield begin - done
        yield end + 1 - begin
        done = end + 1
    if done < total:
        yield total - done
