"""Pictures that are copies of each other, turned or mirrored, in other light, or saved anew.

Each picture is kept as a thumbnail. Two are copies if one of the eight ways to turn and mirror the first correlates
with the second: a correlation knows no brightness and no contrast. To correlate all with all takes minutes for large
sets, so candidates are found by a perceptual hash first: which of two neighbouring cells of the thumbnail is lighter
(dHash, in both directions), looked up by parts, of which a slightly changed copy has at least one unchanged.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

SIDE = 16
"""Cells of a thumbnail to a side."""

CELLS = SIDE // 2
"""Likewise of what is hashed."""

BITS = 14
"""In a part of the hash: 16,384 values, so that few pictures share one by chance."""

LEAST_DETAIL = 2.0
"""Grey levels by which cells deviate from those around them: with less (open water, sand) all pictures look alike."""

LEAST_SIMILARITY = 0.9
"""Correlation of copies. Of the Dubai set's 3,483 patches, none of them a copy of another, the most alike have 0.84.
Copies stay above as JPEG of quality 20, with half the contrast or six tenths of the brightness; over-exposed not all.
"""

MOST_DIFFERENT_BITS = 28
"""Of the 112 of a hash; unrelated pictures differ in half of them."""

MOST_CANDIDATES = 100_000_000
"""Compared by their hashes, within a minute: of what gives more, not all pictures are looked at."""

AT_ONCE = 1 << 20
"""Candidates compared at once; correlated are fewer, since each takes a kilobyte."""

CORRELATED_AT_ONCE = 1 << 14

TURNS = (
    "as it is",
    "turned by 90°",
    "turned by 180°",
    "turned by 270°",
    "mirrored",
    "mirrored and turned by 90°",
    "mirrored and turned by 180°",
    "mirrored and turned by 270°",
)
"""The ways to lay a picture; turned anticlockwise."""


class Copies(NamedTuple):
    """Which pictures have a copy among others.

    Args:
        pairs: One row per picture that has one: ``picture, copy`` (their places), ``turn`` (of `TURNS`, what makes the
            picture its copy) and ``similarity``, the correlation; the most alike first.
        compared: How many pictures were looked at.
        plain: How many were not, since they show too little to tell.
    """

    pairs: pd.DataFrame
    compared: int
    plain: int


def thumbnails(images: np.ndarray) -> np.ndarray:
    """Return the mean grey of cells of pictures, (pictures, SIDE, SIDE) uint8.

    Args:
        images: (pictures, height, width, bands) uint8.
    """
    height, width, bands = images.shape[1:]
    rows, columns = _edges(height), _edges(width)
    sums = np.add.reduceat(images.sum(-1, dtype=np.uint32), columns, axis=2)
    sums = np.add.reduceat(sums, rows, axis=1, dtype=np.uint64)
    pixels = np.outer(_lengths(rows, height), _lengths(columns, width)) * bands
    return np.rint(sums / pixels).astype(np.uint8)


def thumbnail(image: np.ndarray) -> np.ndarray:
    """Return `thumbnails` of one picture (height, width, bands) of any size, (SIDE, SIDE) uint8, by strips."""
    edges = _edges(len(image))
    columns = _edges(image.shape[1])
    pixels = _lengths(columns, image.shape[1]) * image.shape[2]
    strips = []
    for top, length in zip(edges, _lengths(edges, len(image)), strict=True):
        sums = image[top : top + length].sum((0, 2), dtype=np.uint64)
        strips.append(np.add.reduceat(sums, columns) / (pixels * length))
    return np.rint(strips).astype(np.uint8)


def _edges(length: int) -> np.ndarray:
    """Return where the cells of a side begin; of a side of fewer pixels than cells, several are the same."""
    return np.minimum(np.rint(np.arange(SIDE) * length / SIDE).astype(np.intp), length - 1)


def _lengths(edges: np.ndarray, length: int) -> np.ndarray:
    return np.maximum(np.diff(edges, append=length), 1)


def inverse(turn: int) -> int:
    """Return which of `TURNS` undoes one of them: what is mirrored is its own."""
    return -turn % 4 if turn < 4 else turn


def find_copies(pictures: np.ndarray, others: np.ndarray, same: np.ndarray | None = None) -> Copies:
    """Find the pictures that have a copy among others: of each the most similar one.

    Args:
        pictures: (n, SIDE, SIDE) uint8 thumbnails.
        others: (m, SIDE, SIDE) uint8 thumbnails.
        same: (n,) each picture's own place among the others, which is not its copy; by default it is none of them.
    """
    places, other_places = _telling(pictures), _telling(others)
    best = np.full(len(pictures), -1.0)
    copy, turn = np.zeros((2, len(pictures)), np.intp)
    hashes = _parts(others[other_places])
    parts = [_parts(_turned(pictures[places], number)) for number in range(len(TURNS))]
    looked_at = _affordable(parts, hashes)
    for number, of_each in enumerate(parts):
        for first, second in _alike(of_each[looked_at], hashes):
            first = looked_at[first]
            if same is not None:
                others_only = same[places[first]] != other_places[second]
                first, second = first[others_only], second[others_only]
            for start in range(0, len(first), CORRELATED_AT_ONCE):
                here, there = (part[start : start + CORRELATED_AT_ONCE] for part in (first, second))
                turned = _turned(pictures[places[here]], number)
                similarity = np.einsum("ij,ij->i", _details(turned), _details(others[other_places[there]]))
                # The most similar comes last of each, and only if it is more so than what is known.
                order = np.argsort(similarity, kind="stable")
                order = order[similarity[order] > np.maximum(best[places[here[order]]], LEAST_SIMILARITY)]
                found = places[here[order]]
                best[found], copy[found], turn[found] = similarity[order], other_places[there[order]], number
    found = np.flatnonzero(best > 0)
    found = found[np.argsort(-best[found], kind="stable")]
    pairs = pd.DataFrame({"picture": found, "copy": copy[found], "turn": turn[found], "similarity": best[found]})
    return Copies(pairs, len(looked_at), len(pictures) - len(places))


def _turned(pictures: np.ndarray, number: int) -> np.ndarray:
    """Return (n, side, side) pictures as the way of that number in `TURNS` lays them."""
    return np.rot90(pictures[:, :, ::-1] if number >= 4 else pictures, number % 4, axes=(1, 2))


def _telling(pictures: np.ndarray) -> np.ndarray:
    """Return the places of the pictures that show enough detail to be compared, (k,)."""
    enough = [
        (_contrasts(pictures[start : start + CORRELATED_AT_ONCE]) ** 2).mean(1) >= LEAST_DETAIL**2
        for start in range(0, len(pictures), CORRELATED_AT_ONCE)
    ]
    return np.flatnonzero(np.concatenate([np.zeros(0, bool), *enough]))


def _details(pictures: np.ndarray) -> np.ndarray:
    """Return `_contrasts` to a length of 1."""
    values = _contrasts(pictures)
    return values / np.sqrt((values**2).sum(1, keepdims=True))


def _contrasts(pictures: np.ndarray) -> np.ndarray:
    """Return how cells deviate from the mean around them, (n, SIDE²) float32: two shores are alike, but no copies."""
    cells = np.pad(pictures.astype(np.float32), ((0, 0), (1, 1), (1, 1)), mode="edge")
    down = cells[:, 2:] + cells[:, 1:-1] + cells[:, :-2]
    around = (down[:, :, 2:] + down[:, :, 1:-1] + down[:, :, :-2]) / 9
    return (cells[:, 1:-1, 1:-1] - around).reshape(len(pictures), SIDE**2)


def _parts(pictures: np.ndarray) -> np.ndarray:
    """Return the hashes of (n, SIDE, SIDE) thumbnails by parts of `BITS` bits, (n, parts) uint16."""
    cells = pictures.reshape(-1, CELLS, 2, CELLS, 2).sum((2, 4), dtype=np.int16)
    right, down = cells[:, :, 1:] > cells[:, :, :-1], cells[:, 1:] > cells[:, :-1]
    compared = CELLS * (CELLS - 1)
    bits = np.concatenate([of.reshape(len(cells), compared) for of in (right, down)], axis=1)
    return (bits.reshape(len(cells), 2 * compared // BITS, BITS) << np.arange(BITS, dtype=np.uint16)).sum(
        -1, dtype=np.uint16
    )


def _affordable(parts: list[np.ndarray], hashes: np.ndarray) -> np.ndarray:
    """Return which pictures to look at: all, or as many, evenly chosen, as `MOST_CANDIDATES` allow.

    Args:
        parts: For each of `TURNS` the pictures' hashes, (n, parts) uint16.
        hashes: (m, parts) uint16 of the others.
    """
    candidates = np.zeros(len(parts[0]), np.int64)
    for part in range(hashes.shape[1]):
        counts = np.bincount(hashes[:, part], minlength=1 << BITS)
        for of_turn in parts:
            candidates += counts[of_turn[:, part]]
    total = int(candidates.sum())
    kept = len(candidates) if total <= MOST_CANDIDATES else len(candidates) * MOST_CANDIDATES // total
    return np.arange(kept) * len(candidates) // max(1, kept)


def _alike(hashes: np.ndarray, others: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield pairs of places whose hashes have a part in common and are alike: two (k,) arrays; some come twice."""
    for part in range(hashes.shape[1]):
        order = np.argsort(others[:, part], kind="stable")
        ranked = others[order, part]
        begin, end = (np.searchsorted(ranked, hashes[:, part], side) for side in ("left", "right"))
        counts = end - begin
        sums = np.cumsum(counts)
        first = 0
        while first < len(counts):
            before = sums[first - 1] if first else 0
            last = max(first + 1, int(np.searchsorted(sums, before + AT_ONCE, "right")))
            number = counts[first:last]
            picture = np.repeat(np.arange(first, last), number)
            within = np.arange(len(picture)) - np.repeat(sums[first:last] - number - before, number)
            other = order[begin[picture] + within]
            bits = np.bitwise_count(hashes[picture] ^ others[other]).sum(1)
            alike = bits <= MOST_DIFFERENT_BITS
            yield picture[alike], other[alike]
            first = last
