"""Which lines of a log are one epoch, and which epochs one training."""

from dataclasses import dataclass, field

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
        tables: (lines,) int: how many headers stand above each.
        steps: (lines,) float64: what counts on within an epoch; None if nothing does.
    """

    places: np.ndarray
    values: np.ndarray
    compared: np.ndarray
    tables: np.ndarray
    steps: np.ndarray | None = None


@dataclass
class Training:
    """One training: the values of its epochs, each with the last one known of every column."""

    epochs: dict[int, np.ndarray] = field(default_factory=dict)
    first: int = 0
    last: int = 0

    def put(self, place: int, values: np.ndarray) -> None:
        """Add an epoch, in place of an earlier one of its number."""
        self.first = place if not self.epochs else self.first
        self.last = max(place, self.last) if self.epochs else place
        self.epochs[place] = values


@dataclass
class Found:
    """What a log turned out to hold.

    Args:
        trainings: In the log's order; at most `MOST_TRAININGS`.
        count: Of all trainings.
        repeated: Epochs that were trained again, as after a resume: the later values count.
        rewritten: Epochs that were written again with the values that they had.
        looped: The one epoch that all lines have, where they were counted instead.
    """

    trainings: list[Training]
    count: int
    repeated: int = 0
    rewritten: int = 0
    looped: int | None = None


def find_trainings(lines: Lines) -> Found:
    """Put lines together to epochs, and epochs to trainings.

    Where the epoch goes back, one of these is found: a table written anew, if the values are those that were there; a
    restart, if it goes back to where the training began; else a resume. If all are restarts of one epoch each and of
    the same number, `fit` was called in a loop, and the lines are one training.
    """
    places, values, tables = lines.places, lines.values, lines.tables
    if len(places) > 1 and (np.diff(places) < 0).all() and tables[0] == tables[-1]:  # the newest line first
        places, values = places[::-1], values[::-1]
    if (np.diff(places) > 0).all():
        only = Training(dict(zip(places.tolist(), values, strict=True)))
        return Found([only], 1)
    found = Found([Training()], 1)
    trainings = found.trainings
    repeated: set[int] = set()
    rewritten: set[int] = set()
    above = None
    for begin, merged in _epochs(lines, places, values):
        place, training = int(places[begin]), trainings[-1]
        boundary, above = above is not None and tables[begin] != above, tables[begin]
        before = training.epochs.get(place)
        if not training.epochs or place > training.last:
            training.put(place, merged)
            continue
        common, equal = (False, False) if before is None else _compare(before, merged, lines.compared)
        if before is not None and equal and (common or not boundary):
            rewritten |= {place} if common else set()
            np.copyto(before, merged, where=~np.isnan(merged))
        elif place <= training.first:
            trainings.append(Training())
            trainings[-1].put(place, merged)
        else:
            repeated |= {place} if before is not None else set()
            training.put(place, merged)
    _join_loop(found)
    found.count = len(found.trainings)
    found.repeated, found.rewritten = len(repeated), len(rewritten)
    del found.trainings[:-MOST_TRAININGS]
    return found


def _epochs(lines: Lines, places: np.ndarray, values: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Merge lines that follow each other and are of one epoch; return the first line and the values of each epoch.

    Lines of one epoch belong together if a step counts on from one to the next, or none says of a column what another
    contradicts: Lightning writes training and validation on lines of their own.
    """
    epochs: list[tuple[int, np.ndarray]] = []
    follows = (places[1:] == places[:-1]) & (lines.tables[1:] == lines.tables[:-1])
    counts_on = np.zeros_like(follows) if lines.steps is None else lines.steps[1:] > lines.steps[:-1]
    compared = values[:, lines.compared]
    contradicts = ((compared[1:] != compared[:-1]) & ~np.isnan(compared[1:]) & ~np.isnan(compared[:-1])).any(axis=1)
    for line, row in enumerate(values):
        if line and follows[line - 1] and (counts_on[line - 1] or not contradicts[line - 1]):
            merged = epochs[-1][1]
            if counts_on[line - 1] or _compare(merged, row, lines.compared)[1]:
                np.copyto(merged, row, where=~np.isnan(row))
                continue
        epochs.append((line, row.copy()))
    return epochs


def _compare(one: np.ndarray, other: np.ndarray, compared: np.ndarray) -> tuple[bool, bool]:
    """Tell whether two epochs have a known value of the same column, and whether all such values are equal."""
    one, other = one[compared], other[compared]
    common = np.count_nonzero((one == one) & (other == other))  # NaN is nothing's equal
    return bool(common > 0), bool(common == np.count_nonzero(one == other))


def _join_loop(found: Found) -> None:
    """Make trainings of one epoch each, all of the same number, one training whose lines are counted from 1."""
    numbers = {place for training in found.trainings for place in training.epochs}
    if len(found.trainings) > 1 and len(numbers) == 1:
        (found.looped,) = numbers
        loop = Training()
        for number, training in enumerate(found.trainings, 1):
            loop.put(number, training.epochs[found.looped])
        found.trainings[:] = [loop]
