"""What a training log tells: its epochs or steps, its metrics, and the best epoch, whoever has written it."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from segmentation.errors import RunError
from segmentation.runs.logs import columns as names
from segmentation.runs.logs.columns import Curve, Metric
from segmentation.runs.logs.formats import format_of
from segmentation.runs.logs.reading import NO_LOG, Content, Reading, content_of, counted
from segmentation.runs.logs.trainings import MOST_TRAININGS, Found, Lines, find_trainings


@dataclass(frozen=True)
class History:
    """A training's log.

    Args:
        table: One row per epoch in ascending order: first ``epoch`` (int, as the log counts it), or ``step`` where it
            counts none, then a float column for each of the log's.
        notes: One sentence for everything that had to be mended.
        warnings: One sentence for what went wrong in the training.
        trainings: All trainings that the log holds, of which this is one; as it is read, the last.
        format: What the file was taken for, such as "Lightning's metrics.csv"; empty if it holds nothing yet.
        name: What the log calls this training; empty if it does not.
    """

    table: pd.DataFrame
    notes: tuple[str, ...] = field(default=())
    warnings: tuple[str, ...] = field(default=())
    trainings: tuple["History", ...] = field(default=())
    format: str = ""
    name: str = ""

    @property
    def axis(self) -> str:
        """What the log counts: ``epoch``, or ``step``."""
        return str(self.table.columns[0])

    @cached_property
    def charts(self) -> list[Metric]:
        """What can be drawn: the metrics, each with its columns of training and validation."""
        return names.metrics_of(self.table.columns[1:])

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics, without the words for training and validation; no times, counts or learning rates."""
        return [metric.name for metric in self.charts]

    def curves(self, metric: str) -> tuple[Curve, ...]:
        """Return the columns of a metric, however its name is written; of `names.LEARNING_RATE` all learning rates."""
        if metric == names.LEARNING_RATE:
            rates = (column for column in self.table.columns[1:] if names.is_learning_rate(column))
            return tuple(Curve(column, names.UNSAID) for column in rates)
        return next((chart.curves for chart in self.charts if names.key(chart.name) == names.key(metric)), ())

    def pair(self, metric: str) -> tuple[str, str] | None:
        """Return a metric's column of training and its column of validation; None without both."""
        found = Metric(metric, self.curves(metric))
        training, validation = found.curve(names.TRAINING), found.curve(names.VALIDATION)
        return (training.column, validation.column) if training and validation else None

    @cached_property
    def best(self) -> tuple[str, int] | None:
        """The column by which the best epoch is chosen, of validation if there is one, and that epoch's position."""
        for curve in names.monitors(self.charts):
            position = best_position(self.table[curve.column], names.direction(curve.column))
            if position is not None:
                return curve.column, position
        return None

    def of_training(self, number: int) -> "History":
        """Return the history of one training of the log, counted from 1."""
        return replace(self.trainings[number - 1], trainings=self.trainings)


def best_position(values: pd.Series, direction: int) -> int | None:
    """Return the position of the best value; None without any, or if neither more nor less is better.

    Args:
        values: NaN where none is known.
        direction: As `columns.direction` returns it.
    """
    if not direction or values.isna().all():
        return None
    return int(values.argmax() if direction > 0 else values.argmin())


def gap(history: History, metric: str) -> pd.Series | None:
    """Return by how much a metric is better in training than in validation, epoch by epoch.

    None without both, or if neither more nor less of it is better.
    """
    pair, direction = history.pair(metric), names.direction(metric)
    if pair is None or not direction:
        return None
    return direction * (history.table[pair[0]] - history.table[pair[1]])


def read_history(source: Path | bytes) -> History:
    """Read a training log of any of the `FORMATS` as far as it goes.

    Repeated headers, changed columns, several lines an epoch, half-written lines, blanks, epochs that occur again,
    several trainings, decimal commas and other separators are all met in practice and mended, each with a note.

    Args:
        source: The file's path, or its bytes.

    Raises:
        RunError: If the file cannot be read, does not look like such a log, or is larger than one may be.
    """
    content = Content(content_of(source))
    if content.is_blank:
        table = pd.DataFrame({"epoch": pd.Series(dtype=int)})
        return History(table, ("The log is empty: no epoch has ended yet.",))
    kind = format_of(content)
    histories = [one for reading in kind.read(content) for one in _histories(reading, kind.name)][-MOST_TRAININGS:]
    return replace(histories[-1], trainings=tuple(histories))


def _histories(reading: Reading, kind: str) -> list[History]:
    """Make a history out of the numbers of each training.

    Args:
        reading: As the format's reader gives it.
        kind: The format's name.
    """
    table, notes = reading.lines, list(reading.notes)
    axis, places = _axis(table, notes)
    odd = ((places % 1 != 0) | (places.abs() > 1e9)).to_numpy()  # NaN too
    if odd.any():
        notes.append(f"{counted(int(odd.sum()), 'line')} left out: their {axis} is no whole number.")
    values = table[[name for name in table if not (names.is_epoch if axis == "epoch" else names.is_step)(name)]]
    steps = next((table[name] for name in table if axis == "epoch" and names.is_step(name)), None)
    of_training = {
        curve.column
        for metric in names.metrics_of(values.columns)
        for curve in metric.curves
        if curve.part == names.TRAINING and not curve.stepwise
    }
    found = find_trainings(
        Lines(
            places.to_numpy()[~odd].astype(np.int64),
            values.to_numpy(float)[~odd],
            np.array([names.is_metric(name) for name in values], bool),
            np.array([name in of_training for name in values], bool),
            (np.ones(len(table), int) if reading.headers is None else reading.headers)[~odd],
            None if steps is None else steps.to_numpy()[~odd],
        )
    )
    notes += _what_was_found(found, axis, values.columns)
    histories = []
    for training in found.trainings:
        whole = pd.DataFrame(training.values, columns=values.columns)
        whole.insert(0, axis, training.places)
        finite = whole.replace(np.inf, np.nan)
        if len(finite):
            finite = finite.dropna(axis="columns", how="all")
        warnings = tuple(_divergence(whole, axis))
        histories.append(History(finite, tuple(notes), warnings, format=kind, name=reading.name))
    return histories


def _axis(table: pd.DataFrame, notes: list[str]) -> tuple[str, pd.Series]:
    """Return what a log counts, and of each line its number: of its epoch, of its step, or else of the line."""
    epochs, steps = (next((table[c] for c in table if test(c)), None) for test in (names.is_epoch, names.is_step))
    if epochs is not None and (epochs.notna().any() or steps is None or steps.isna().all()):
        # Lightning writes learning rates on lines with a step but no epoch, before the other lines of their epoch.
        return "epoch", epochs if steps is None else epochs.where(epochs.notna() | steps.isna(), epochs.bfill())
    if steps is not None:
        return "step", steps
    if not table.notna().any(axis=None):
        raise RunError(f"{NO_LOG}: it has neither a column epoch nor a number.")
    notes.append("There is no column epoch: the lines were counted.")
    return "epoch", pd.Series(np.arange(len(table), dtype=float), table.index)


def _what_was_found(found: Found, axis: str, columns: pd.Index) -> list[str]:
    """Say how the lines of a log became its trainings, where that is not plain."""
    notes = []
    if found.looped is not None:
        count = len(found.trainings[0].places)
        notes.append(
            f"Every {axis} is {found.looped}, as when fit is called in a loop: the {count:,} lines are counted from 1."
        )
    if found.count > 1:
        sizes = [f"{len(training.places):,}" for training in found.trainings]
        of = f", of {', '.join(sizes[:-1])} and {sizes[-1]} {axis}s" if found.count <= 6 else ""
        rest = "" if found.count <= MOST_TRAININGS else f"; the last {MOST_TRAININGS} can be seen"
        notes.append(f"The log holds {found.count:,} trainings{of}: all begins anew each time{rest}.")
    if found.repeated:
        occur = "occurs" if found.repeated == 1 else "occur"
        notes.append(
            f"{counted(found.repeated, axis)} {occur} more than once, as after a resume: the later line counts."
        )
    if found.rewritten:
        notes.append(f"{counted(found.rewritten, axis)} written again with the same values: each counts once.")
    if found.averaged is not None and found.averaged.any():
        averaged = _listed(list(columns[found.averaged]))
        notes.append(f"Of {averaged}, logged several times in an epoch, the mean over the epoch is drawn.")
    return notes


def _divergence(table: pd.DataFrame, axis: str) -> list[str]:
    """Say which losses are not finite, and from when on.

    Args:
        table: Of one training, infinite where a value is not finite.
        axis: Its first column.
    """
    told: dict[str, list[str]] = {}
    for name in table.columns[np.isinf(table.to_numpy(float)).any(axis=0)]:
        if names.direction(name) >= 0 or not names.is_metric(name):
            continue
        known = table[[axis, name]].dropna()
        lost = np.isinf(known[name].to_numpy())
        begin = int(lost.argmax())
        first = f"{axis} {known[axis].iloc[begin]}"
        if lost[begin:].all():
            said = f"became NaN or infinite in {first} and stayed so: the training has diverged"
        else:
            said = f"was NaN or infinite in {lost.sum()} of {len(lost)} {axis}s, first in {first}"
        told.setdefault(said, []).append(name)
    return [f"{_listed(columns)} {said}." for said, columns in told.items()]


def _listed(words: list[str]) -> str:
    """Return names as a person lists them, the first three of many."""
    shown = [*words[:3], f"{len(words) - 3} more"] if len(words) > 4 else words
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
