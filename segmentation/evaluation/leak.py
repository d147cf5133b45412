"""What a split leaks: held-out scores by the distance to the nearest pixel that was trained on (no TensorFlow).

Neighbouring patches are alike, so a model does better beside what it was trained on than far from it (Roberts et al.,
Cross-validation strategies for data with temporal, spatial, hierarchical, or phylogenetic structure, Ecography, 2017).
A table here is a run's patches.csv, and matrices are its patches' confusion matrices, (patches, classes, classes).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from segmentation.data.palette import Palette
from segmentation.intervals import LEAST, UNKNOWN, Gain, Groups, draw, find_intervals, interval, score_functions

TRAINED_ON, HELD_OUT = "train", "test"
"""Values of ``part``; whatever else there is, such as a validation part, is neither."""

EDGES = (0, 1, 2, 4, 8)
"""Distances in patches at which bins end: each bin is as wide as all before it, as there are fewer patches far away."""

SURROUNDING_EDGES = (4, 6, 7, 8)
"""Likewise numbers of the eight surrounding patches: of nearly all patches most are trained on."""

MOST_CELLS = 1 << 24
"""Of a scene's grid of patches: one of more makes no sense, and would take all memory."""

SCORES = ("accuracy", "mean_iou")
"""What is compared, by the names in `Metrics`."""


@dataclass(frozen=True)
class Leak:
    """Scores of held-out patches by how near they are to what was trained on.

    Args:
        by: ``distance``; or ``surroundings``, the number of the eight surrounding patches that were trained on, where
            every held-out patch has the same distance of 0.
        bins: One row per bin that holds a patch, nearest first, after one of all patches that were trained on
            (``trained_on`` true): ``from`` and ``to`` (px, infinite for another scene; or patches), ``patches, scenes,
            accuracy, mean_iou``, and each score's interval as ``…_low`` and ``…_high``, NaN where there is none.
        gains: What the farthest bin gains on the nearest, by `SCORES`; none with one bin only.
        unplaced: Held-out patches that are left out, since the grid of their scene makes no sense.
    """

    by: Literal["distance", "surroundings"]
    bins: pd.DataFrame
    gains: dict[str, Gain]
    unplaced: int

    @property
    def held_out(self) -> pd.DataFrame:
        """The bins of held-out patches."""
        return self.bins[~self.bins["trained_on"]]

    @property
    def in_other_scenes(self) -> bool:
        """Whether no held-out patch has a trained-on one in its scene."""
        return bool(np.isinf(self.held_out["from"]).all())


def distance_to_training(table: pd.DataFrame, size: int) -> np.ndarray:
    """Return how far each held-out patch is from the nearest trained-on one of its scene, edge to edge.

    Args:
        table: One row per patch with columns ``scene``, ``row``, ``column`` and ``part``.
        size: Side of a patch, in pixels.

    Returns:
        (patches,) float64 in pixels: 0 where they touch, at a corner too; infinite where nothing of the scene was
        trained on; NaN for patches that are not held out, and where the grid makes no sense.
    """
    distance = np.full(len(table), np.nan)
    for places, rows, columns, trained_on, test in _grids(table):
        distance[places[test]] = np.inf
        if trained_on.any():
            across = _along_rows(_grown(trained_on))
            down = np.arange(len(across))
            # A patch after the other: all at once would take rows times as many numbers.
            distance[places[test]] = [
                size * np.hypot(row - down, across[:, column]).min()
                for row, column in zip(rows[test] + 1, columns[test] + 1, strict=True)
            ]
    return distance


def trained_surroundings(table: pd.DataFrame) -> np.ndarray:
    """Return how many of the eight patches around each held-out one were trained on; arguments as above.

    Returns:
        (patches,) float64: 0 to 8; NaN for patches that are not held out, and where the grid makes no sense.
    """
    count = np.full(len(table), np.nan)
    for places, rows, columns, trained_on, test in _grids(table):
        here = rows[test], columns[test]
        count[places[test]] = sum(
            trained_on[here[0] + down, here[1] + right].astype(int) for down in range(3) for right in range(3)
        )
    return count


def _grids(table: pd.DataFrame) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield each scene with held-out patches.

    Yields:
        Its patches' places in the table, rows and columns, from 0 each; (rows + 2, columns + 2) bool where trained on,
        with a rim of one; and which of its patches are held out.
    """
    part = table["part"].to_numpy()
    for places in table.groupby("scene", sort=False).indices.values():
        test = part[places] == HELD_OUT
        if not test.any():
            continue
        rows, columns = (table[axis].to_numpy()[places] for axis in ("row", "column"))
        rows, columns = rows - rows.min(), columns - columns.min()
        shape = int(rows.max()) + 3, int(columns.max()) + 3
        if shape[0] * shape[1] <= MOST_CELLS:
            trained_on = np.zeros(shape, bool)
            chosen = part[places] == TRAINED_ON
            trained_on[rows[chosen] + 1, columns[chosen] + 1] = True
            yield places, rows, columns, trained_on, test


def _grown(cells: np.ndarray) -> np.ndarray:
    """Return where a cell or one of its eight neighbours is true: what touches a patch is at distance 0."""
    down = cells.copy()
    down[1:] |= cells[:-1]
    down[:-1] |= cells[1:]
    grown = down.copy()
    grown[:, 1:] |= down[:, :-1]
    grown[:, :-1] |= down[:, 1:]
    return grown


def _along_rows(cells: np.ndarray) -> np.ndarray:
    """Return the distance to the nearest true cell of the same row, (rows, columns) float64; infinite without any."""
    place = np.arange(cells.shape[1], dtype=float)
    left = np.maximum.accumulate(np.where(cells, place, -np.inf), axis=1)
    right = np.minimum.accumulate(np.where(cells, place, np.inf)[:, ::-1], axis=1)[:, ::-1]
    return np.minimum(place - left, right - place)


def find_leak(table: pd.DataFrame, matrices: np.ndarray, palette: Palette, size: int) -> Leak | None:
    """Score held-out patches by their distance to what was trained on.

    Args:
        table: A run's patches, with ``tile, scene, row, column, part``.
        matrices: Their confusion matrices.
        palette: The classes.
        size: Side of a patch, in pixels.

    Returns:
        None where nothing was trained on, or nothing held out has a place.
    """
    part = table["part"].to_numpy()
    distance = distance_to_training(table, size)
    known = ~np.isnan(distance)
    if not (part == TRAINED_ON).any() or not known.any():
        return None
    by: Literal["distance", "surroundings"] = "distance"
    ends, values = size * np.array(EDGES), distance
    if (distance[known] == 0).all():
        by, ends, values = "surroundings", np.array(SURROUNDING_EDGES), trained_surroundings(table)
    of_bin = np.where(known, np.searchsorted(ends, values), -1)
    of_bin[np.isinf(values)] = len(ends) + 1
    numbers = sorted(set(of_bin[known].tolist()), reverse=by == "surroundings")  # the nearest first
    rows = [_score_bin(table, matrices, palette, part == TRAINED_ON)]
    for number in numbers:
        first = ends[number - 1] if 0 < number <= len(ends) else 0
        last = ends[number] if number < len(ends) else np.inf
        rows.append(_score_bin(table, matrices, palette, of_bin == number))
        rows[-1] |= {"from": np.inf if number > len(ends) else float(first), "to": float(last), "trained_on": False}
    gains = {}
    if len(numbers) > 1:
        near, far = of_bin == numbers[0], of_bin == numbers[-1]
        gains = _gains_within(table, matrices, palette, near, far)
    return Leak(by, pd.DataFrame(rows), gains, int((part == HELD_OUT).sum() - known.sum()))


def _score_bin(table: pd.DataFrame, matrices: np.ndarray, palette: Palette, chosen: np.ndarray) -> dict:
    """Return a row of `Leak.bins`; as of the patches that were trained on."""
    whole = matrices[chosen].sum(0)
    intervals = find_intervals(table[chosen], matrices[chosen], palette)
    row = {"trained_on": True, "from": np.nan, "to": np.nan}
    row |= {"patches": int(chosen.sum()), "scenes": table["scene"][chosen].nunique()}
    for name in SCORES:
        row[name] = float(score_functions(palette)[name](whole))
        row[f"{name}_low"], row[f"{name}_high"] = intervals.by_name[name] if intervals else UNKNOWN
    return row


def _gains_within(
    table: pd.DataFrame, matrices: np.ndarray, palette: Palette, near: np.ndarray, far: np.ndarray
) -> dict[str, Gain]:
    """Return what the far patches gain on the near ones, (patches,) bool each, scenes drawn with both of theirs."""
    either, classes = near | far, len(palette)
    pair = np.concatenate([matrices * near[:, None, None], matrices * far[:, None, None]], axis=-1)[either]
    groups = Groups.of(table[either], pair)
    # The part with fewer scenes says how little is known.
    count = min(int(side.any((1, 2)).sum()) for side in np.split(groups.matrices, [classes], axis=-1))
    drawn = np.split(np.concatenate(list(draw(groups.matrices))), [classes], axis=-1)
    total = np.split(groups.matrices.sum(0, keepdims=True), [classes], axis=-1)
    return _gains(total, drawn, palette, groups.unit, count)


def compare_parts(
    one: tuple[pd.DataFrame, np.ndarray], other: tuple[pd.DataFrame, np.ndarray], palette: Palette
) -> dict[str, Gain]:
    """Return what a run's held-out patches score more than other ones of another run, by `SCORES`.

    The scenes of each are drawn on their own: unlike `segmentation.intervals.find_gains`, nothing cancels out.

    Args:
        one: The first run's patches and their (patches, classes, classes) confusion matrices.
        other: The second's.
        palette: The classes of both.
    """
    groups = [Groups.of(*_held_out(*of)) for of in (one, other)]
    count = min(len(of.matrices) for of in groups)
    if not count:
        return {}
    drawn = [np.concatenate(list(draw(of.matrices))) for of in groups]
    np.random.default_rng(1).shuffle(drawn[1])  # else groups of as many would be drawn alike
    total = [of.matrices.sum(0, keepdims=True) for of in groups]
    return _gains(total, drawn, palette, min(groups, key=lambda of: len(of.matrices)).unit, count)


def _held_out(table: pd.DataFrame, matrices: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
    chosen = (table["part"] == HELD_OUT).to_numpy()
    return table[chosen], matrices[chosen]


def _gains(
    total: list[np.ndarray], drawn: list[np.ndarray], palette: Palette, unit: str, count: int
) -> dict[str, Gain]:
    """Return the second's gains on the first.

    Args:
        total: Of both, the whole's confusion matrix, (1, classes, classes).
        drawn: Of both, those that are drawn, (draws, classes, classes).
        palette: The classes.
        unit: What was drawn.
        count: How many there are.
    """
    functions = [score_functions(palette)[name] for name in SCORES]
    found, spread = (np.column_stack([of(second) - of(first) for of in functions]) for first, second in (total, drawn))
    ends = interval(spread, count) if count >= LEAST else [UNKNOWN] * len(SCORES)
    return {
        name: Gain(float(value), between, unit, count)
        for name, value, between in zip(SCORES, found[0], ends, strict=True)
    }
