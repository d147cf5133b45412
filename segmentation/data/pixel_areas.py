"""What the pixels of a map cover on the ground."""

from typing import NamedTuple

import numpy as np

PIECE = 1 << 20
"""Pixels of a side for which numbers are held at once: a header may claim hundreds of millions."""


class Unit(NamedTuple):
    """A unit that areas are told in.

    Args:
        name: As it is written.
        square_metres: Its size.
    """

    name: str
    square_metres: float


UNITS = (Unit("m²", 1), Unit("ha", 1e4), Unit("km²", 1e6))
"""From the smallest up."""


def unit_of(square_metres: float) -> Unit:
    """Return the unit that a person would tell an area in: m² up to a hectare, then ha, km² from a hundred of them."""
    return next((unit for unit in reversed(UNITS) if square_metres >= unit.square_metres), UNITS[0])


class PixelAreas:
    """What the pixels of an image cover on the ground, interpolated between the nodes of a grid.

    Args:
        height: Of the image, in pixels.
        width: Likewise.
        nodes: (rows, columns) m² at the middles of so many equal parts of the image.
    """

    def __init__(self, height: int, width: int, nodes: np.ndarray) -> None:
        self._lengths = height, width
        self._nodes = np.nan_to_num(nodes, posinf=0, neginf=0)  # off the planet there is no ground

    def within(self, rows: slice, columns: slice) -> np.ndarray:
        """Return the areas of the pixels in some rows and columns, (rows, columns) float64 in m²."""
        (above, below, share), (before, after, weight) = (
            _interpolation(part, length, count)
            for part, length, count in zip((rows, columns), self._lengths, self._nodes.shape, strict=True)
        )
        nodes = self._nodes[above] * (1 - share)[:, None] + self._nodes[below] * share[:, None]
        return nodes[:, before] * (1 - weight) + nodes[:, after] * weight

    @property
    def total(self) -> float:
        """The area of all pixels, in m²."""
        down, right = (
            _node_weights(length, count) for length, count in zip(self._lengths, self._nodes.shape, strict=True)
        )
        return float(down @ self._nodes @ right)


def _interpolation(part: slice, length: int, nodes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for each pixel of a part of a side the node before it, the one after it, and the second one's share."""
    place = np.clip((np.arange(part.start, part.stop) + 0.5) * nodes / length - 0.5, 0, nodes - 1)
    before = place.astype(np.intp)
    return before, np.minimum(before + 1, nodes - 1), place - before


def _node_weights(length: int, nodes: int) -> np.ndarray:
    """Return how many pixels of a side each node stands for, (nodes,) float64; long sides piece by piece."""
    weights = np.zeros(nodes)
    for start in range(0, length, PIECE):
        before, after, share = _interpolation(slice(start, min(start + PIECE, length)), length, nodes)
        weights += np.bincount(before, 1 - share, nodes) + np.bincount(after, share, nodes)
    return weights
