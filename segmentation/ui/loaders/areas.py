"""What maps cover, points drawn on them, and areas estimated from labelled points: computed once."""

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from segmentation.areas.assessment import Assessment, assess
from segmentation.areas.class_map import ClassMap, ClassNames, Coverage
from segmentation.areas.design import Allocation, allocate
from segmentation.areas.points import read_points, write_points
from segmentation.areas.sampling import draw_points
from segmentation.data.palette import Palette
from segmentation.data.patches import Progress
from segmentation.ui.loaders.caching import MEGABYTE, remembered
from segmentation.ui.loaders.orthophotos import PATIENCE, file_mark


class Plan(NamedTuple):
    """How points are to be drawn.

    Args:
        size: How many.
        allocation: How they are shared out to the classes.
        expected: The user's accuracy that each class is thought to have, 0–1.
        reveal: Whether to tell the map's class.
        seed: The same draws the same points.
    """

    size: int
    allocation: Allocation
    expected: tuple[float, ...]
    reveal: bool
    seed: int


def _open(path: Path, palette: Palette) -> ClassMap:
    return ClassMap(path, ClassNames(palette.names, palette), PATIENCE)


@remembered(64, key=lambda path, mark, palette, progress: (mark, palette))
def _coverage(path: Path, mark: tuple, palette: Palette, progress: Progress) -> Coverage:
    with _open(path, palette) as class_map:
        return class_map.coverage(progress)


@remembered(
    64 * MEGABYTE, key=lambda path, mark, palette, plan, progress: (mark, palette, plan), size=lambda text: len(text)
)
def _points(path: Path, mark: tuple, palette: Palette, plan: Plan, progress: Progress) -> str:
    coverage = _coverage(path, mark, palette, progress)
    shares = (coverage.areas, coverage.pixels, plan.allocation, np.array(plan.expected))
    with _open(path, palette) as class_map:
        drawn = draw_points(class_map, allocate(plan.size, *shares), plan.seed, progress)
        return write_points(class_map, drawn, class_map.mark(coverage), reveal=plan.reveal)


def load_points(path: Path, palette: Palette, plan: Plan, progress: Progress) -> str:
    """Return points drawn on a map, to be labelled, as GeoJSON.

    Args:
        path: The map.
        palette: Its classes.
        plan: How to draw them.
        progress: Called with (windows done, windows), if they were not drawn before.

    Raises:
        ConfigurationError: If they are too few or too many for the map.
        ImageFileError: If the map cannot be read.
    """
    return _points(path, file_mark(path), palette, plan, progress)


@remembered(
    16, key=lambda path, mark, palette, content, name, progress: (mark, palette, hashlib.sha256(content).digest(), name)
)
def _assessment(path: Path, mark: tuple, palette: Palette, content: bytes, name: str, progress: Progress) -> Assessment:
    points = read_points(content, name)
    coverage = _coverage(path, mark, palette, progress)
    with _open(path, palette) as class_map:
        return assess(class_map, coverage, points)


def load_assessment(path: Path, palette: Palette, content: bytes, name: str, progress: Progress) -> Assessment:
    """Return what labelled points say of a map.

    Args:
        path: The map.
        palette: Its classes.
        content: The bytes of the file of points.
        name: Its name.
        progress: Called with (windows done, windows), if the map was not read before.

    Raises:
        ConfigurationError: If the points do not fit the map.
        ImageFileError: If the points or the map cannot be read.
    """
    return _assessment(path, file_mark(path), palette, content, name, progress)
