"""What every reader of a training log is given and gives: a file's content, its numbers, and how many there may be."""

import codecs
import json
import math
from array import array
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from segmentation.errors import RunError, printable

MOST_BYTES = 96 << 20

MOST_DOCUMENT = 16 << 20
"""A JSON document takes ten times its size in memory; lines of JSON are read one by one."""

MOST_LINES = 2_000_000

MOST_COLUMNS = 1_000

MOST_CELLS = 8_000_000
"""What a log may have at most, so that reading and drawing it take seconds whoever has made it."""

LONGEST_NAME = 200
"""Longer names of columns are cut."""

NO_LOG = "This is not a training log"

CUT_DOWN = "cut it down to the columns that matter, or to one line per epoch"


@dataclass(frozen=True)
class Reading:
    """The numbers of one log, line by line.

    Args:
        lines: One row per line, a float column for each of the log's: NaN where there is no value, infinite where there
            is one that is not finite.
        notes: One sentence for everything that had to be mended.
        headers: (lines,) int: how many headers stand above each line; None if there is one above all.
        name: What the file calls the training; empty if it does not.
    """

    lines: pd.DataFrame
    notes: list[str] = field(default_factory=list)
    headers: np.ndarray | None = None
    name: str = ""


@dataclass(frozen=True)
class Content:
    """A log's bytes, and what they are as text and as JSON."""

    data: bytes

    @property
    def is_blank(self) -> bool:
        """Whether nothing is written yet but spaces, ends of lines, zeros and marks of an encoding."""
        return not self.data.strip(b" \t\r\n\0\xef\xbb\xbf\xff\xfe")

    @cached_property
    def text(self) -> str:
        """The text; UTF-16, as Windows' PowerShell and Excel write it, has a mark at its begin."""
        wide = self.data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = self.data.decode("utf-16" if wide else "utf-8-sig", errors="replace")
        return text.replace("\0", "").lstrip("\ufeff\r\n")

    @cached_property
    def first_line(self) -> str:
        """The first line, without its end."""
        return self.text[:MOST_DOCUMENT].partition("\n")[0].partition("\r")[0]

    @cached_property
    def columns(self) -> list[str]:
        """The cells of the first line, as if it were a table's header."""
        separator = max(",;\t", key=self.first_line.count)
        return [cell.strip().strip('"') for cell in self.first_line.split(separator)]

    @cached_property
    def document(self) -> object:
        """What the file says as one JSON document; None if it is none."""
        if not self.text.startswith(("{", "[")) or len(self.text) > MOST_DOCUMENT:
            return None
        return parsed(self.text)


def parsed(text: str) -> object:
    """Return what a JSON text says; None if it is broken, or nested so deeply that nobody could have meant it."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def number_of(value: object) -> float | None:
    """Return a number that JSON holds, infinite if it is not finite; None for what is no number."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return float(value) if math.isfinite(value) else math.inf
    except OverflowError:  # a whole number of hundreds of digits
        return math.inf


def content_of(source: Path | bytes) -> bytes:
    """Return a log's bytes, if they are not too many."""
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


def check_size(columns: int, lines: int, most_lines: int = MOST_LINES, most_cells: int = MOST_CELLS) -> None:
    """Refuse a log that would take long to read and to draw.

    Raises:
        RunError: If it has too many columns, lines or values.
    """
    if columns > MOST_COLUMNS:
        raise RunError(f"The log has over {MOST_COLUMNS:,} columns: leave out those that are not to be drawn.")
    if lines > most_lines:
        raise RunError(f"The log has {lines:,} lines, and at most {most_lines:,} are read: {CUT_DOWN}.")
    if columns * lines > most_cells:
        size = f"{lines:,} lines and {columns:,} columns"
        raise RunError(f"The log has {size}, and at most {most_cells:,} values are read: {CUT_DOWN}.")


class Entries:
    """The values of a log that names the column of each one, put together to a table."""

    def __init__(self) -> None:
        self._columns: dict[str, tuple[array, array]] = {}

    def add(self, line: int, name: str, value: object) -> None:
        """Add a value, in place of an earlier one of its line and column; what is no number is passed over.

        Raises:
            RunError: If there are too many columns.
        """
        number = number_of(value)
        if number is None:
            return
        column = self._columns.get(name)
        if column is None:
            check_size(len(self._columns) + 1, 1)
            column = self._columns[name] = array("q"), array("d")
        column[0].append(line)
        column[1].append(number)

    def table(self, lines: int) -> pd.DataFrame:
        """Return the table of so many lines.

        Raises:
            RunError: If it would have too many values.
        """
        check_size(len(self._columns), lines)
        names = {name: printable(name).strip()[:LONGEST_NAME] for name in self._columns}
        table = {name: np.full(lines, np.nan) for name in names.values()}
        for name, (places, values) in self._columns.items():
            table[names[name]][np.frombuffer(places, np.int64)] = np.frombuffer(values, float)
        table.pop("", None)
        return pd.DataFrame(table, index=range(lines), dtype=float)


def read_by_steps(table: pd.DataFrame, notes: list[str] | None = None) -> Reading:
    """Make a reading of a table with the columns ``step`` and, if the log knows epochs, ``epoch``.

    As long as all lines are of one epoch, it would be one point: then the steps are what is drawn.
    """
    notes = [] if notes is None else notes
    if "epoch" in table and "step" in table and table["epoch"].nunique() <= 1:
        if table["epoch"].notna().any() and table["step"].nunique() > 1:
            notes.append("All lines are of one epoch: its steps are drawn.")
        table = table.drop(columns="epoch")
    return Reading(table, notes)


def counted(count: int, noun: str) -> str:
    """Say how many of something there are."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
