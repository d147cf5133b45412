"""Points drawn at random within each class of a map, to be labelled by people."""

from typing import NamedTuple

import numpy as np

from segmentation.areas.class_map import ClassMap
from segmentation.data.palette import VOID
from segmentation.data.patches import Progress


class DrawnPoints(NamedTuple):
    """Pixels of a map in random order, so that their order tells nothing of their class.

    Args:
        rows: (points,) int64.
        columns: Likewise.
        classes: (points,) uint8: the class indices that the map gives them.
    """

    rows: np.ndarray
    columns: np.ndarray
    classes: np.ndarray


def draw_points(
    class_map: ClassMap, allocation: np.ndarray, seed: int, progress: Progress | None = None
) -> DrawnPoints:
    """Draw pixels of each class, none twice, the likelier the more ground they cover.

    In a projection that stretches some places, pixels drawn alike would show those places too often. Each pixel gets a
    random number, exponentially distributed and divided by what the pixel covers; those with the smallest are drawn
    (Efraimidis and Spirakis, Weighted random sampling with a reservoir, 2006). So one pass over the map is enough, and
    what is held is a window and the points.

    Args:
        class_map: The map.
        allocation: (classes,) int: how many of each class; no more than it has pixels.
        seed: The same draws the same points.
        progress: Called with (windows done, windows).

    Raises:
        ImageFileError: If the map is damaged.
    """
    rng = np.random.default_rng(seed)
    wanted = np.zeros(VOID + 1, np.int64)
    wanted[: len(allocation)] = allocation
    limits = np.where(wanted > 0, np.inf, -np.inf)  # of each class, the largest number that may still be drawn
    keys, places, classes = np.empty(0), np.empty(0, np.int64), np.empty(0, np.uint8)
    for rows, columns in class_map.windows(progress):
        found, numbers = class_map.classes(rows, columns), class_map.ground(rows, columns)
        with np.errstate(divide="ignore"):
            np.divide(rng.standard_exponential(found.shape), numbers, out=numbers)
        for index in np.flatnonzero(limits == np.inf):
            of_class = numbers[found == index]
            if len(of_class) >= wanted[index]:
                limits[index] = np.partition(of_class, wanted[index] - 1)[wanted[index] - 1]
        # What covers no ground has an infinite number and is never drawn.
        row, column = np.nonzero((numbers <= limits.take(found)) & (numbers < np.inf))
        keys = np.concatenate([keys, numbers[row, column]])
        places = np.concatenate([places, (row + rows.start) * class_map.width + column + columns.start])
        classes = np.concatenate([classes, found[row, column]])
        kept = _smallest(keys, classes, wanted)
        keys, places, classes = keys[kept], places[kept], classes[kept]
        for index in np.flatnonzero(wanted):
            of_class = keys[classes == index]
            if len(of_class) == wanted[index]:
                limits[index] = of_class.max()
    order = rng.permutation(len(keys))
    drawn = places[order]
    return DrawnPoints(drawn // class_map.width, drawn % class_map.width, classes[order])


def _smallest(keys: np.ndarray, classes: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return where the smallest numbers of each class are, as many as are wanted."""
    order = np.lexsort((keys, classes))
    sorted_classes = classes[order]
    first = np.searchsorted(sorted_classes, sorted_classes)  # of the class
    return order[np.arange(len(order)) - first < wanted[sorted_classes]]
