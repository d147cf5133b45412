"""The reader of Keras' CSVLogger files, as they occur in practice."""

import csv
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from segmentation.errors import RunError


@dataclass(frozen=True)
class History:
    """A training's log.

    Args:
        table: A row an epoch in ascending order: ``epoch`` (int, counted from 0) and a float column a metric.
        notes: One sentence for everything that had to be mended.
    """

    table: pd.DataFrame
    notes: tuple[str, ...] = field(default=())

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics without the ``val_`` ones, the learning rate (``lr`` in Keras 2) left out."""
        return [
            column
            for column in self.table.columns
            if column not in ("epoch", "learning_rate", "lr") and not column.startswith("val_")
        ]


def gap(table: pd.DataFrame, metric: str, high_is_good: bool) -> pd.Series | None:
    """Return by how much a metric is better in training than in validation, epoch by epoch; None without both.

    Args:
        table: `History.table`.
        metric: A column, without ``val_``.
        high_is_good: As it is for an accuracy; a loss is the other way round.
    """
    if metric not in table or f"val_{metric}" not in table:
        return None
    difference = table[metric] - table[f"val_{metric}"]
    return difference if high_is_good else -difference


def widens_from(gaps: pd.Series) -> int | None:
    """Return the position from which a gap widens to the end: the last place where, smoothed, it is narrowest.

    While validation is the better one there is no gap. None if it does not widen by more than three times what it
    wavers from epoch to epoch.
    """
    known = gaps.dropna().clip(lower=0)
    if len(known) < 4:
        return None
    smoothed = known.rolling(max(3, len(known) // 5), center=True, min_periods=1).mean()
    narrowest = len(smoothed) - 1 - int(smoothed.iloc[::-1].argmin())
    risen = smoothed.iloc[-1] - smoothed.iloc[narrowest]
    wavering = known.diff().std() / np.sqrt(2)  # a steady rise has none
    if narrowest == len(known) - 1 or risen <= 3 * wavering:
        return None
    return int(gaps.index.get_loc(known.index[narrowest]))


def smooth(values: pd.Series, weight: float) -> pd.Series:
    """Return the exponential moving average of a curve, as TensorBoard draws it, without the pull to its start.

    Args:
        values: An epoch each.
        weight: How much of the past each value keeps, from 0, nothing, to below 1.
    """
    return values.ewm(alpha=1 - weight, adjust=True).mean() if weight else values


def read_history(source: Path | bytes) -> History:
    """Read a CSVLogger file as far as it goes.

    Repeated headers, changed columns, a half-written last line, "NA", epochs that occur twice (the later one counts),
    and separators other than the comma are all met in practice and mended, each with a note.

    Args:
        source: The file's path, or its bytes.

    Raises:
        RunError: If the file cannot be read, or does not look like such a log.
    """
    try:
        if isinstance(source, Path) and not source.is_file():  # a pipe would be waited for
            raise FileNotFoundError
        content = source if isinstance(source, bytes) else source.read_bytes()
    except OSError as error:
        raise RunError(f"{source} cannot be read: check the path.") from error
    text = content.decode("utf-8-sig", errors="replace").replace("\0", "").lstrip("\r\n")
    if not text.strip():
        return History(pd.DataFrame({"epoch": pd.Series(dtype=int)}), ("The log is empty: no epoch has ended yet.",))
    notes: list[str] = []
    lines = [line for line in re.split(r"[\r\n]+", text) if line]
    separator = max(",;\t", key=lines[0].count)
    try:
        # Line by line: after a quote that a half line has opened, the reader would swallow the lines that follow.
        rows = [[cell.strip() for cell in row] for line in lines for row in csv.reader([line], delimiter=separator)]
    except csv.Error as error:
        raise RunError("This is no CSVLogger file: it is not even a table.") from error
    header = rows[0]
    if len(header) < 2 or any(_is_number(cell) or not _is_text(cell) for cell in header):
        raise RunError("This is no CSVLogger file: its first line should name columns such as epoch,accuracy,loss.")

    records, headers, short = [], [header], 0
    for row in rows[1:]:
        if _is_half(row, header):
            short += 1
        elif row[0] == header[0] or (not _is_number(row[0]) and "loss" in row):
            header = row
            headers.append(header)
        elif len(row) != len(header):
            short += 1
        else:
            records.append(dict(zip(header, row, strict=True)))
    if short:
        ended = text.endswith(("\n", "\r"))
        half = "the last line is still being written and" if short == 1 and not ended else f"{short} lines"
        notes.append(f"{half[0].upper()}{half[1:]} left out: fewer or more values than columns.")
    if len(headers) > 1:
        changed = any(set(other) != set(headers[0]) for other in headers)
        notes.append(
            f"The header occurs {len(headers)} times{', with other columns' if changed else ''}: the log was appended."
        )

    columns = list(dict.fromkeys(name for header in headers for name in header))
    table = pd.DataFrame(records, columns=columns)
    table = _numbers(table, notes)
    if "epoch" not in table:
        if not table.notna().any(axis=None):
            raise RunError("This is no CSVLogger file: it has neither a column epoch nor a number.")
        table.insert(0, "epoch", np.arange(len(table)))
        notes.append("There is no column epoch: the lines were counted.")
    odd = (table["epoch"] % 1 != 0) | (table["epoch"].abs() > 1e9)  # NaN too
    if odd.any():
        notes.append(f"{int(odd.sum())} lines left out: their epoch is no whole number.")
    table = table[~odd].astype({"epoch": int})
    repeated = int(table["epoch"].duplicated().sum())
    if repeated:
        notes.append(f"{repeated} epochs occur more than once, as after a resume: the later line counts.")
        table = table.drop_duplicates("epoch", keep="last")
    return History(table.sort_values("epoch", ignore_index=True), tuple(notes))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_half(row: list[str], header: list[str]) -> bool:
    """Tell whether a row is a header of which only the beginning was written."""
    last = len(row) - 1
    return row != header and row[:-1] == header[:last] and header[last : last + 1] and header[last].startswith(row[-1])


def _is_text(cell: str) -> bool:
    """Tell whether a cell can be a name: bytes that are no text show as control or replacement characters."""
    return cell.isprintable() and "\ufffd" not in cell


def _numbers(table: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Turn every column into floats; "NA" becomes NaN silently, anything else with a note."""
    for column in table.columns:
        values = pd.to_numeric(table[column], errors="coerce").astype(float)
        odd = values.isna() & table[column].notna() & ~table[column].isin(["NA", "nan", "NaN", "None", ""])
        if odd.any():
            notes.append(f"{column}: {int(odd.sum())} values are not numbers and are left blank.")
        table[column] = values.replace([np.inf, -np.inf], np.nan)
    empty = [column for column in table.columns if column != "epoch" and len(table) and table[column].isna().all()]
    return table.drop(columns=empty)
