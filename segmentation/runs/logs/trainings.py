"""Which lines of a log are one epoch, and which epochs one training."""

from dataclasses import dataclass, replace

import numpy as np

MOST_TRAININGS = 100
"""So many trainings of one log are kept, the latest ones."""


@dataclass(frozen=True)
class Lines:
    """The lines of a log that hold values, in its order.

    Args:
        places: (lines,) int64: the epoch or the step of each.
        values: (lines, columns) float64: NaN where nothing was written, infinite where a value was no finite number.
        compared: (columns,) bool: the columns whose values tell two epochs apart: neither counts nor times.
        averaged: (columns,) bool: the columns of which an epoch has the mean of its steps.
        tables: (lines,) int: how many headers stand above each.
        steps: (lines,) float64: what counts on within an epoch; None if nothing does.
    """

    places: np.ndarray
    values: np.ndarray
    compared: np.ndarray
    averaged: np.ndarray
    tables: np.ndarray
    steps: np.ndarray | None = None

    def at(self, begins: np.ndarray, values: np.ndarray) -> "Lines":
        """Return the lines at some places, with other values."""
        return replace(self, places=self.places[begins], values=values, tables=self.tables[begins], steps=None)


@dataclass(frozen=True)
class Training:
    """One training: its epochs, each with the last one known of every column.

    Args:
        places: (epochs,) int64: their numbers, ascending.
        values: (epochs, columns) float64.
    """

    places: np.ndarray
    values: np.ndarray


@dataclass
class Found:
    """What a log turned out to hold.

    Args:
        trainings: In the log's order; at most `MOST_TRAININGS`.
        count: Of all trainings.
        repeated: Epochs that were trained again, as after a resume: the later values count.
        rewritten: Epochs that were written again with the values that they had.
        looped: The one epoch that all lines have, where they were counted instead.
        averaged: (columns,) bool: which columns had several values in one epoch, whose mean was taken.
    """

    trainings: list[Training]
    count: int
    repeated: int = 0
    rewritten: int = 0
    looped: int | None = None
    averaged: np.ndarray | None = None


def find_trainings(lines: Lines) -> Found:
    """Put lines together to epochs, and epochs to trainings.

    Where the epoch goes back, one of these is found: a table written anew, if the values are those that were there; a
    restart, if it goes back to where the training began; else a resume. If all are restarts of one epoch each and of
    the same number, `fit` was called in a loop, and the lines are one training.
    """
    places = lines.places
    if len(places) > 1 and (np.diff(places) < 0).all() and lines.tables[0] == lines.tables[-1]:  # the newest line first
        return Found([Training(places[::-1], lines.values[::-1])], 1)
    if (np.diff(places) > 0).all():
        return Found([Training(places, lines.values)], 1)
    lines, averaged = _merge_steps(lines)
    lines = _merge_lines(lines)
    places, values, tables = lines.places, lines.values, lines.tables
    if (np.diff(places) > 0).all():
        return Found([Training(places, values)], 1, averaged=averaged)
    rows: list[dict[int, int]] = [{}]  # of each training: the row of each epoch
    first = last = 0
    repeated: set[int] = set()
    rewritten: set[int] = set()
    for row, place in enumerate(places.tolist()):
        boundary = row > 0 and tables[row] != tables[row - 1]
        training = rows[-1]
        before = training.get(place)
        if training and place <= last:
            common, equal = (False, False) if before is None else _compare(values[before], values[row], lines.compared)
            if before is not None and equal and (common or not boundary):
                rewritten |= {place} if common else set()
                np.copyto(values[before], values[row], where=~np.isnan(values[row]))
                continue
            if place <= first:
                rows.append({})
            else:
                repeated |= {place} if before is not None else set()
        first = first if rows[-1] else place
        last = max(last, place) if rows[-1] else place
        rows[-1][place] = row
    return _found(rows, values, Found([], len(rows), len(repeated), len(rewritten), averaged=averaged))


def _found(rows: list[dict[int, int]], values: np.ndarray, found: Found) -> Found:
    """Make the trainings out of the rows of their epochs.

    Those of one epoch each, all of the same number, are one training whose lines are counted from 1.
    """
    numbers = {place for training in rows for place in training}
    if len(rows) > 1 and len(numbers) == 1:
        (found.looped,) = numbers
        rows, found.count = [{number: row for number, one in enumerate(rows, 1) for row in one.values()}], 1
    for training in rows[-MOST_TRAININGS:]:
        places = sorted(training)
        found.trainings.append(Training(np.array(places, np.int64), values[[training[place] for place in places]]))
    return found


def _merge_steps(lines: Lines) -> tuple[Lines, np.ndarray]:
    """Merge lines that follow each other, are of one epoch, and whose steps count on.

    Of a column that is averaged an epoch has the mean, of others the last value known.

    Returns:
        The merged lines, and (columns,) bool: of which columns a mean was taken.
    """
    if lines.steps is None:
        return lines, np.zeros(len(lines.averaged), bool)
    values, steps = lines.values, lines.steps
    follows = (lines.places[1:] == lines.places[:-1]) & (lines.tables[1:] == lines.tables[:-1])
    compared = values[:, lines.compared]
    contradicts = ((compared[1:] != compared[:-1]) & ~np.isnan(compared[1:]) & ~np.isnan(compared[:-1])).any(axis=1)
    counts_on = (steps[1:] > steps[:-1]) | ((steps[1:] == steps[:-1]) & ~contradicts)
    begins = np.flatnonzero(np.concatenate([[True], ~(follows & counts_on)]))
    merged = _last_known(values, begins)
    known = ~np.isnan(values[:, lines.averaged])
    counts = np.add.reduceat(known, begins, dtype=np.int64)
    with np.errstate(invalid="ignore"):
        means = np.add.reduceat(np.where(known, values[:, lines.averaged], 0), begins) / counts
    merged[:, lines.averaged] = np.where(counts > 1, means, merged[:, lines.averaged])
    averaged = lines.averaged.copy()
    averaged[lines.averaged] = (counts > 1).any(axis=0)
    return lines.at(begins, merged), averaged


def _merge_lines(lines: Lines) -> Lines:
    """Merge lines that follow each other, are of one epoch, and none of which contradicts what another says.

    Lightning writes training and validation on lines of their own.
    """
    follows = (lines.places[1:] == lines.places[:-1]) & (lines.tables[1:] == lines.tables[:-1])
    begins = np.flatnonzero(np.concatenate([[True], ~follows]))
    compared = lines.values[:, lines.compared]
    contradict = (np.fmin.reduceat(compared, begins) < np.fmax.reduceat(compared, begins)).any(axis=1)
    ends = np.append(begins[1:], len(lines.places))
    apart = [_apart(compared, begins[group], ends[group]) for group in np.flatnonzero(contradict)]
    begins = np.sort(np.concatenate([begins, *apart]))
    return lines.at(begins, _last_known(lines.values, begins))


def _apart(compared: np.ndarray, begin: int, end: int) -> np.ndarray:
    """Return the lines between two, that one excluded, which contradict what those before them have said."""
    found, said = [], compared[begin].copy()
    for line in range(begin + 1, end):
        row = compared[line]
        known = ~np.isnan(row)
        if ((row != said) & known & ~np.isnan(said)).any():
            found.append(line)
            said = row.copy()
        else:
            said[known] = row[known]
    return np.array(found, np.int64)


def _last_known(values: np.ndarray, begins: np.ndarray) -> np.ndarray:
    """Return of each group of lines the last value known of every column; NaN without any.

    Args:
        values: (lines, columns) float64.
        begins: (groups,) int64: where the groups begin.
    """
    lines = np.where(np.isnan(values), -1, np.arange(len(values))[:, None])
    last = np.maximum.reduceat(lines, begins)
    return np.where(last < 0, np.nan, np.take_along_axis(values, np.maximum(last, 0), axis=0))


def _compare(one: np.ndarray, other: np.ndarray, compared: np.ndarray) -> tuple[bool, bool]:
    """Tell whether two epochs have a known value of the same column, and whether all such values are equal."""
    one, other = one[compared], other[compared]
    common = np.count_nonzero((one == one) & (other == other))  # NaN is nothing's equal
    return bool(common > 0), bool(common == np.count_nonzero(one == other))
