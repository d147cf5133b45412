"""A training log's text as cells, and cells as numbers."""

import codecs
import csv
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segmentation.errors import RunError
from segmentation.runs import columns as names

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


def decoded(content: bytes) -> str:
    """Return the text of a log; UTF-16, as Windows' PowerShell and Excel write it, has a mark at its begin."""
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = content.decode("utf-16" if wide else "utf-8-sig", errors="replace")
    return text.replace("\0", "").lstrip("\ufeff\r\n")


def cells_of(text: str, notes: list[str]) -> tuple[dict[str, np.ndarray], np.ndarray, bool]:
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
        half = "the last line is still being written and" if short == 1 and not ended else counted(short, "line")
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
    begins = row[:-1] == header[:last] and last < len(header) and header[last].startswith(row[-1])
    return row != header and begins


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


def numbers_of(texts: dict[str, np.ndarray], decimal_commas: bool, notes: list[str]) -> dict[str, np.ndarray]:
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


def counted(count: int, noun: str) -> str:
    """Say how many of something there are."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
