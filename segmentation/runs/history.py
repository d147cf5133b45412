"""Training logs: tables of epochs or steps, as Keras, Lightning, Ultralytics, fastai and others write them."""

import codecs
import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from segmentation.errors import RunError
from segmentation.runs import columns as names
from segmentation.runs.columns import Curve, Metric
from segmentation.runs.trainings import MOST_TRAININGS, Found, Lines, Training, find_trainings

MOST_BYTES = 16 << 20
MOST_LINES = 60_000
MOST_COLUMNS = 1_000
MOST_HEADERS = 100
MOST_CELLS = 600_000
"""What a log may have at most, so that reading and drawing it take seconds whoever has made it."""

NO_LOG = "This is not a training log"

CUT_DOWN = "cut it down to the columns that matter, or to one line per epoch"

BLANKS = {"", "na", "n/a", "none", "null", "<na>"}
"""What is written, in any case, where there is no value."""

DECIMAL_COMMA = re.compile(r"[-+]?[0-9]*,[0-9]+([eE][-+]?[0-9]+)?")


@dataclass(frozen=True)
class History:
    """A training's log.

    Args:
        table: One row per epoch in ascending order: first ``epoch`` (int, as the log counts it), or ``step`` where it
            counts none, then a float column for each of the log's.
        notes: One sentence for everything that had to be mended.
        warnings: One sentence for what went wrong in the training.
        trainings: All trainings that the log holds, of which this is one; as it is read, the last.
    """

    table: pd.DataFrame
    notes: tuple[str, ...] = field(default=())
    warnings: tuple[str, ...] = field(default=())
    trainings: tuple["History", ...] = field(default=())

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
    """Read a training log as far as it goes.

    Repeated headers, changed columns, several lines an epoch, half-written lines, blanks, epochs that occur again,
    several trainings, decimal commas and other separators are all met in practice and mended, each with a note.

    Args:
        source: The file's path, or its bytes.

    Raises:
        RunError: If the file cannot be read, does not look like such a log, or is larger than one may be.
    """
    text = _decoded(_content(source))
    if not text.strip():
        table = pd.DataFrame({"epoch": pd.Series(dtype=int)})
        return History(table, ("The log is empty: no epoch has ended yet.",))
    notes: list[str] = []
    cells, tables, decimal_commas = _cells(text, notes)
    table = pd.DataFrame(_numbers(cells, decimal_commas, notes), index=range(len(tables)), dtype=float)
    return _history(table, tables, notes)


def _content(source: Path | bytes) -> bytes:
    if isinstance(source, bytes):
        content = source
    else:
        try:
            if not source.is_file():  # a pipe would be waited for
                raise RunError(f"{source} cannot be read: check the path.")
            with source.open("rb") as file:
                content = file.read(MOST_BYTES + 1)
        except OSError as error:
            raise RunError(f"{source} cannot be read: check the path.") from error
    if len(content) > MOST_BYTES:
        raise RunError(f"The log is larger than {MOST_BYTES >> 20} MB: {CUT_DOWN}.")
    return content


def _decoded(content: bytes) -> str:
    """Return the text of a log; UTF-16, as Windows' PowerShell and Excel write it, has a mark at its begin."""
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = content.decode("utf-16" if wide else "utf-8-sig", errors="replace")
    return text.replace("\0", "").lstrip("\ufeff\r\n")


def _cells(text: str, notes: list[str]) -> tuple[dict[str, np.ndarray], np.ndarray, bool]:
    """Read the lines of a log into columns of texts.

    Returns:
        By column (lines,) object: its texts, None where a line has no such column; (lines,) int: how many headers stand
        above each line; and whether commas are free to be decimal ones.
    """
    lines = [line for line in re.split(r"[\r\n]+", text) if line]
    separator = max(",;\t", key=lines[0].count)
    _check_size(lines[0].count(separator) + 1, 1, len(lines))
    if len(lines) + text.count(separator) > MOST_CELLS:
        raise RunError(f"The log has too many values, and at most {MOST_CELLS:,} are read: {CUT_DOWN}.")
    try:
        rows = [_split(line, separator) for line in lines]
    except csv.Error as error:
        raise RunError(f"{NO_LOG}: it is not a valid CSV file.") from error
    header = rows[0]
    other = lines[0].startswith(("{", "[", "<"))  # some of it can be split at commas, too
    if other or len(header) < 2 or any(_is_number(cell) or not _is_text(cell) for cell in header):
        raise RunError(f"{NO_LOG}: {_what_instead(lines)}.")

    known, headers, short, above = set(header), {tuple(header): 0}, 0, 1
    kept: list[tuple[int, list[str]]] = []  # the number of its header, and the cells
    tables: list[int] = []
    for row in rows[1:]:
        if _is_half(row, header):
            short += 1
        elif row[0] == header[0] or (not _is_number(row[0]) and _is_header(row, known)):
            header, above = row, above + 1
            known |= set(row)
            headers.setdefault(tuple(row), len(headers))
            if len(headers) > MOST_HEADERS or len(known) > MOST_COLUMNS:
                break
        elif len(row) != len(header):
            short += 1
        else:
            kept.append((headers[tuple(header)], row))
            tables.append(above)
    _check_size(len(known), len(headers), len(kept))
    if short:
        ended = text.endswith(("\n", "\r"))
        half = "the last line is still being written and" if short == 1 and not ended else _counted(short, "line")
        notes.append(f"{half[0].upper()}{half[1:]} left out: fewer or more values than columns.")
    if above > 1:
        first = set(rows[0])
        changed = any(set(other) != first for other in headers)
        notes.append(
            f"The header occurs {above:,} times{', with other columns' if changed else ''}: the log was appended."
        )

    ordered = dict.fromkeys(name for names_ in headers for name in names_)
    texts = {name: np.full(len(kept), None, object) for name in ordered}
    of_header = np.array([number for number, _ in kept], int)
    for names_, number in headers.items():
        (where,) = np.nonzero(of_header == number)
        for name, column in zip(names_, zip(*(kept[line][1] for line in where), strict=True), strict=False):
            texts[name][where] = column
    texts.pop("", None)
    return texts, np.array(tables, int), separator != ","


def _split(line: str, separator: str) -> list[str]:
    """Split one line: after a quote that a half line has opened, a reader of all would swallow those that follow."""
    row = next(csv.reader([line], delimiter=separator)) if '"' in line else line.split(separator)
    return [cell.strip() for cell in row]


def _check_size(columns: int, headers: int, lines: int) -> None:
    """Refuse a log that would take long to read and to draw."""
    if columns > MOST_COLUMNS:
        raise RunError(f"The log has over {MOST_COLUMNS:,} columns: leave out those that are not to be drawn.")
    if headers > MOST_HEADERS:
        raise RunError(f"The log changes its columns over {MOST_HEADERS} times: it is read if it has one header.")
    if lines > MOST_LINES:
        raise RunError(f"The log has {lines:,} lines, and at most {MOST_LINES:,} are read: {CUT_DOWN}.")
    if columns * lines > MOST_CELLS:
        size = f"{lines:,} lines and {columns:,} columns"
        raise RunError(f"The log has {size}, and at most {MOST_CELLS:,} values are read: {CUT_DOWN}.")


def _what_instead(lines: Sequence[str]) -> str:
    """Say what a text without a header is."""
    if not _is_text(lines[0].replace("\t", " ")):
        return "it is not plain text"
    if lines[0].startswith("{") and len(lines) > 1 and lines[1].startswith("{"):
        return "it holds JSON lines, and tables are read, whose first line names columns such as epoch,loss,val_loss"
    if lines[0].startswith(("{", "[")):
        return "it holds JSON, and tables are read, whose first line names columns such as epoch,loss,val_loss"
    if lines[0].startswith("<"):
        return "it is a web page or XML, perhaps in place of a file that could not be fetched"
    return "its first line should name columns such as epoch,accuracy,loss"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_header(row: list[str], known: set[str]) -> bool:
    """Tell whether a row names columns, some of them known or of a loss, and holds no value."""
    return len(row) > 1 and ("loss" in row or not known.isdisjoint(row)) and not any(map(_is_number, row))


def _is_half(row: list[str], header: list[str]) -> bool:
    """Tell whether a row is a header of which only the beginning was written."""
    last = len(row) - 1
    return row != header and row[:-1] == header[:last] and header[last : last + 1] and header[last].startswith(row[-1])


def _is_text(cell: str) -> bool:
    """Tell whether a cell can be a name: bytes that are no text show as control or replacement characters."""
    return cell.isprintable() and "\ufffd" not in cell


class _Numbers(dict[str | None, float]):
    """What texts mean, each looked at once: NaN is no value, infinite one that is not finite; `odd` are no numbers."""

    def __init__(self, decimal_commas: bool) -> None:
        super().__init__({None: np.nan})
        self.decimal_commas = decimal_commas
        self.with_commas = 0
        self.odd: set[str | None] = set()

    def __missing__(self, text: str) -> float:
        if self.decimal_commas and DECIMAL_COMMA.fullmatch(text):
            self.with_commas += 1
            self[text] = float(text.replace(",", "."))
        elif text.lower() in BLANKS:
            self[text] = np.nan
        elif _is_number(text):
            number = float(text)
            self[text] = number if np.isfinite(number) else np.inf
        else:
            self.odd.add(text)
            self[text] = np.nan
        return self[text]


def _numbers(texts: dict[str, np.ndarray], decimal_commas: bool, notes: list[str]) -> dict[str, np.ndarray]:
    """Turn every column into floats: NaN where there is no value, infinite where there is one that is not finite."""
    meaning = _Numbers(decimal_commas)
    numbers = {name: np.array([meaning[text] for text in column], float) for name, column in texts.items()}
    if meaning.with_commas:
        notes.append("The commas in its numbers are decimal commas.")
    if meaning.odd:
        counts = {name: sum(text in meaning.odd for text in texts[name]) for name in texts if names.is_metric(name)}
        odd = [(name, count) for name, count in counts.items() if count]
        notes += [f"{name}: {count} values are not numbers and are left blank." for name, count in odd[:3]]
        if len(odd) > 3:
            notes.append(f"{len(odd) - 3} more columns hold values that are not numbers and are left blank.")
    return numbers


def _history(table: pd.DataFrame, tables: np.ndarray, notes: list[str]) -> History:
    """Make the history out of a log's numbers.

    Args:
        table: One row per line, as `_numbers` returns it.
        tables: (lines,) int: how many headers stand above each.
        notes: To be added to.
    """
    axis, places = _axis(table, notes)
    odd = ((places % 1 != 0) | (places.abs() > 1e9)).to_numpy()  # NaN too
    if odd.any():
        notes.append(f"{_counted(int(odd.sum()), 'line')} left out: their {axis} is no whole number.")
    values = table[[name for name in table if not (names.is_epoch if axis == "epoch" else names.is_step)(name)]]
    steps = next((table[name] for name in table if axis == "epoch" and names.is_step(name)), None)
    found = find_trainings(
        Lines(
            places.to_numpy()[~odd].astype(np.int64),
            values.to_numpy(float)[~odd],
            np.array([names.is_metric(name) for name in values], bool),
            tables[~odd],
            None if steps is None else steps.to_numpy()[~odd],
        )
    )
    notes += _what_was_found(found, axis)
    histories = []
    for training in found.trainings:
        whole = _table(training, axis, values.columns)
        finite = whole.replace(np.inf, np.nan)
        if len(finite):
            finite = finite.dropna(axis="columns", how="all")
        histories.append(History(finite, tuple(notes), tuple(_divergence(whole, axis))))
    return replace(histories[-1], trainings=tuple(histories))


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


def _table(training: Training, axis: str, columns: pd.Index) -> pd.DataFrame:
    """Return a training's epochs in ascending order."""
    places = sorted(training.epochs)
    values = np.array([training.epochs[place] for place in places], float).reshape(len(places), len(columns))
    table = pd.DataFrame(values, columns=columns)
    table.insert(0, axis, np.array(places, np.int64))
    return table


def _what_was_found(found: Found, axis: str) -> list[str]:
    """Say how the lines of a log became its trainings, where that is not plain."""
    notes = []
    if found.looped is not None:
        count = len(found.trainings[0].epochs)
        notes.append(
            f"Every {axis} is {found.looped}, as when fit is called in a loop: the {count:,} lines are counted from 1."
        )
    if found.count > 1:
        sizes = [f"{len(training.epochs):,}" for training in found.trainings]
        of = f", of {', '.join(sizes[:-1])} and {sizes[-1]} {axis}s" if found.count <= 6 else ""
        rest = "" if found.count <= MOST_TRAININGS else f"; the last {MOST_TRAININGS} can be seen"
        notes.append(f"The log holds {found.count:,} trainings{of}: all begins anew each time{rest}.")
    if found.repeated:
        occur = "occurs" if found.repeated == 1 else "occur"
        notes.append(
            f"{_counted(found.repeated, axis)} {occur} more than once, as after a resume: the later line counts."
        )
    if found.rewritten:
        notes.append(f"{_counted(found.rewritten, axis)} written again with the same values: each counts once.")
    return notes


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


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
