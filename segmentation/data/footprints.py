"""Where scenes lie on the ground, what two of them share of it, and how large their pixels are."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from segmentation.data.layouts.names import spread
from segmentation.data.raster import RASTER_SUFFIXES, Raster
from segmentation.errors import ImageFileError

if TYPE_CHECKING:
    from pyproj import Geod

    from segmentation.data.scenes import Dataset

Footprint = tuple[tuple[float, float], ...]
"""The corners of a scene, clockwise from the top left: longitude and latitude in degrees on WGS 84."""

LEAST_SHARE = 0.005
"""Of the smaller scene: seams of a pixel or two, as maps are often cut, are no overlap to speak of."""

PATIENCE = 20.0
"""Seconds that a file's header may take."""


def footprint(path: Path) -> Footprint | None:
    """Return where an image lies; None if it does not say, or cannot be read."""
    if path.suffix.lower() not in RASTER_SUFFIXES:
        return None
    with suppress(ImageFileError), Raster(path, patience=PATIENCE) as raster:
        corners = raster.corners()
        return None if corners is None else tuple((float(east), float(north)) for east, north in corners)
    return None


def ground_resolution(dataset: "Dataset") -> float | None:
    """Return the side of a pixel on the ground in metres: the median of a few scenes, None if no scene says where."""
    sides = []
    for scene in spread([scene for scene in dataset.scenes if scene.image.suffix.lower() in RASTER_SUFFIXES]):
        with suppress(ImageFileError), Raster(scene.image, patience=PATIENCE) as raster:
            if areas := raster.pixel_areas():
                sides.append((areas.total / (raster.height * raster.width)) ** 0.5)
    return float(np.median(sides)) if sides and np.median(sides) > 0 else None


def overlaps(footprints: Mapping[str, Footprint], held_out: Sequence[str], trained_on: Sequence[str]) -> pd.DataFrame:
    """Return which scenes of two parts lie on the same ground.

    Args:
        footprints: Where scenes lie, by name; those that do not say are left out.
        held_out: Names of the scenes of one part.
        trained_on: Names of the other's; a scene does not overlap itself.

    Returns:
        One row per pair that shares more than `LEAST_SHARE` of the smaller scene, the largest overlap first:
        ``held_out, trained_on, area`` (m² on the ellipsoid) and ``share`` (of the held-out scene).
    """
    from pyproj import Geod  # PROJ: only where something lies somewhere

    others = [name for name in trained_on if name in footprints]
    corners = np.array([footprints[name] for name in others]).reshape(len(others), 4, 2)
    geod, rows = Geod(ellps="WGS84"), []
    for name in (name for name in held_out if name in footprints):
        own = np.array(footprints[name])
        origin = own[0, 0]
        here, there = _from(own, origin), _from(corners, origin)
        apart = (there.max(1) <= here.min(0)) | (there.min(1) >= here.max(0))
        for place in np.flatnonzero(~apart.any(-1)):
            if others[place] == name:
                continue
            area = _area(geod, _shared(here, there[place]), origin)
            whole, other = _area(geod, here, origin), _area(geod, there[place], origin)
            if area > LEAST_SHARE * min(whole, other):
                rows.append((name, others[place], area, area / whole))
    table = pd.DataFrame(rows, columns=["held_out", "trained_on", "area", "share"])
    return table.sort_values("area", ascending=False, kind="stable", ignore_index=True)


def _from(corners: np.ndarray, longitude: float) -> np.ndarray:
    """Return (…, 2) corners with longitudes from another one, −180 to 180: the date line is no edge of the world."""
    east = (corners[..., 0] - longitude + 180) % 360 - 180
    return np.stack([east, corners[..., 1]], axis=-1)


def _shared(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the corners of what two convex areas share, (corners, 2) (Sutherland and Hodgman, 1974)."""
    shared = one
    if np.sign(_twice_area(other)) < 0:
        other = other[::-1]
    for begin, end in zip(other, np.roll(other, -1, axis=0), strict=True):
        edge = end - begin
        sides = edge[0] * (shared[:, 1] - begin[1]) - edge[1] * (shared[:, 0] - begin[0])
        kept = []
        for place, side in enumerate(sides):
            before = sides[place - 1]
            if (before < 0) != (side < 0):
                kept.append(shared[place - 1] + (shared[place] - shared[place - 1]) * (before / (before - side)))
            if side >= 0:
                kept.append(shared[place])
        shared = np.array(kept).reshape(-1, 2)
        if not len(shared):
            break
    return shared


def _twice_area(corners: np.ndarray) -> float:
    x, y = corners.T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1))


def _area(geod: "Geod", corners: np.ndarray, longitude: float) -> float:
    """Return the area of corners that `_from` moved, in m² on the ellipsoid."""
    if len(corners) < 3:
        return 0.0
    area, _ = geod.polygon_area_perimeter(corners[:, 0] + longitude, corners[:, 1])
    return abs(area)
