"""Kinds of error: every wrong pixel at the boundary, in the extent, or of a whole segment (no TensorFlow).

After Bernhard et al., What's Outside the Intersection? Fine-grained Error Analysis for Semantic Segmentation Beyond IoU
(WACV 2024). A wrong pixel is *missed* for its true class and *invented* for the class it is predicted as; each of the
two is one of three kinds. For one class, a pixel is right (true and predicted), missed, invented, or neither:

1. Boundary: the outline is off. Missed pixels within `distance` of a right pixel and of a pixel that is neither are the
   core of a strip; missed pixels within `distance` of the core belong to it. A connected piece of such pixels is at the
   boundary if it touches a right pixel and one that is neither. Invented pixels likewise.
2. Extent: of the rest, missed pixels whose connected region of the true class has a right pixel, invented ones whose
   region of the predicted class has one: the object was found, too small or too large.
3. Segment: all others: an object missed or invented whole.

Distances are Euclidean, between the centres of pixels; pixels that meet at a corner touch. Void is left out as if it
lay outside the picture: it neither touches nor connects. (The paper lets a predicted region go on through void.)
"""

from math import isqrt
from typing import NamedTuple

import numpy as np

from segmentation.data.palette import VOID

DISTANCE = 3
"""How far a boundary reaches, in pixels. The paper's is 1 % of the picture's diagonal: 2 px in a patch of 160 px, 11 in
a scene of 800 px, so that the same error would be of another kind in a patch than in its scene."""

SIDES = ("missed", "invented")
"""What a wrong pixel is for its true class, and for the class it is predicted as."""

KINDS = ("boundary", "extent", "segment")
"""The kinds in the order of their numbers, from 1 on."""

BOUNDARY, EXTENT, SEGMENT = 1, 2, 3

STRIP = 1 << 22
"""Pixels of a picture whose kinds are found at once: they take about a hundred megabytes."""

MARGIN = 256
"""Rows that a strip sees beyond its own."""

_EIGHT = np.ones((3, 3), bool)


class ErrorKinds(NamedTuple):
    """The kind of each wrong pixel: 0 where it is right or void, else the kind's number, from 1 on as in `KINDS`.

    Args:
        missed: (height, width) uint8, for the class that is true.
        invented: (height, width) uint8, for the class that is predicted.
    """

    missed: np.ndarray
    invented: np.ndarray


def find_error_kinds(truth: np.ndarray, predicted: np.ndarray, distance: int = DISTANCE) -> ErrorKinds:
    """Find the kind of every wrong pixel of a picture.

    A picture of more than `STRIP` pixels is taken in strips of rows, each seen with `MARGIN` rows above and below: an
    object that reaches beyond them is judged by what lies within.

    Args:
        truth: (height, width) uint8 class indices, void 255.
        predicted: (height, width) uint8 class indices, 255 where none is predicted.
        distance: How far a boundary reaches, in pixels, 1 or more.

    Raises:
        ValueError: If the shapes differ or the distance is below 1.
    """
    if truth.shape != predicted.shape or truth.ndim != 2:
        raise ValueError(f"Expected two (height, width). Received: {truth.shape=}, {predicted.shape=}")
    if distance < 1:
        raise ValueError(f"Expected a distance of 1 or more. Received: {distance=}")
    height, width = truth.shape
    rows = max(1, STRIP // max(1, width))
    if rows >= height:
        return _find(truth, predicted, distance)
    kinds = ErrorKinds(np.empty(truth.shape, np.uint8), np.empty(truth.shape, np.uint8))
    for top in range(0, height, rows):
        first, end = max(0, top - MARGIN), min(top + rows, height)
        seen = np.s_[first : end + MARGIN]
        for whole, strip in zip(kinds, _find(truth[seen], predicted[seen], distance), strict=True):
            whole[top:end] = strip[top - first : end - first]
    return kinds


def count_error_kinds(kinds: ErrorKinds, truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Count the pixels of each kind by class.

    Args:
        kinds: Of the picture, as `find_error_kinds` gives them.
        truth: (height, width) uint8 class indices, void 255.
        predicted: (height, width) uint8 class indices, 255 where none is predicted.
        classes: Number of classes.

    Returns:
        (2, classes, 3) int64: missed and invented, by class, in the order of `KINDS`.
    """
    counts = np.empty((len(SIDES), classes, len(KINDS)), np.int64)
    for side, of_pixels, indices in zip(counts, kinds, (truth, predicted), strict=True):
        wrong = of_pixels > 0
        cells = indices[wrong].astype(np.intp) * len(KINDS) + of_pixels[wrong] - 1
        side[:] = np.bincount(cells, minlength=side.size).reshape(side.shape)
    return counts


def _find(truth: np.ndarray, predicted: np.ndarray, distance: int) -> ErrorKinds:
    kinds = ErrorKinds(np.zeros(truth.shape, np.uint8), np.zeros(truth.shape, np.uint8))
    scored = (truth != VOID) & (predicted != VOID)
    wrong = scored & (truth != predicted)
    concerned = np.bincount(truth[wrong], minlength=256) + np.bincount(predicted[wrong], minlength=256)
    for index in np.flatnonzero(concerned):
        true, found = scored & (truth == index), scored & (predicted == index)
        # What is farther than the distance from all that is of the class decides nothing.
        here = _window(true | found, distance)
        _find_of_class(true[here], found[here], scored[here], distance, ErrorKinds(*(of[here] for of in kinds)))
    return kinds


def _window(there: np.ndarray, margin: int) -> tuple[slice, slice]:
    """Return the rows and columns that hold all that is true, and a margin around it."""
    rows, columns = np.flatnonzero(there.any(1)), np.flatnonzero(there.any(0))
    return (
        slice(max(0, rows[0] - margin), rows[-1] + margin + 1),
        slice(max(0, columns[0] - margin), columns[-1] + margin + 1),
    )


def _find_of_class(true: np.ndarray, found: np.ndarray, scored: np.ndarray, distance: int, kinds: ErrorKinds) -> None:
    """Write the kinds of one class's missed and invented pixels into `kinds`; all arrays are (rows, columns)."""
    right, neither = true & found, scored & ~(true | found)
    near = _within(right, distance) & _within(neither, distance)
    contours = _touching(right), _touching(neither)
    for of_class, other, kind in ((true, found, kinds.missed), (found, true, kinds.invented)):
        wrong = of_class & ~other
        if not wrong.any():
            continue
        kind[wrong] = SEGMENT
        if not right.any():
            continue
        kind[wrong & _pieces_with(of_class, right)] = EXTENT
        core = wrong & near
        if core.any():
            strips = _within(core, distance) & wrong
            kind[_pieces_with(strips, *contours)] = BOUNDARY


def _pieces_with(mask: np.ndarray, *marks: np.ndarray) -> np.ndarray:
    """Return those connected pieces of a mask that hold a pixel of every mark: (rows, columns) bool."""
    from scipy import ndimage  # a quarter of a second: only where it is needed

    pieces, count = ndimage.label(mask, _EIGHT)
    kept = np.ones(count + 1, bool)
    kept[0] = False
    for mark in marks:
        marked = np.zeros(count + 1, bool)
        marked[pieces[mark & mask]] = True
        kept &= marked
    return kept[pieces]


def _within(mask: np.ndarray, distance: int) -> np.ndarray:
    """Tell which pixels are at most so far from one of a mask: it grows by a disc, row by row of the disc."""
    height = len(mask)
    across, grown, reach = mask.copy(), np.zeros_like(mask), 0
    for down in range(distance, -1, -1):
        while reach < isqrt(distance**2 - down**2):
            reach += 1
            across[:, reach:] |= mask[:, :-reach]
            across[:, :-reach] |= mask[:, reach:]
        kept = max(0, height - down)
        grown[down:] |= across[:kept]
        grown[:kept] |= across[down:]
    return grown


def _touching(mask: np.ndarray) -> np.ndarray:
    """Tell which pixels are of a mask or meet one of it, if only at a corner."""
    across = mask.copy()
    across[:, 1:] |= mask[:, :-1]
    across[:, :-1] |= mask[:, 1:]
    grown = across.copy()
    grown[1:] |= across[:-1]
    grown[:-1] |= across[1:]
    return grown
