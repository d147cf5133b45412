"""Tables with a line of column names above: their text as cells, and cells as numbers."""

import csv
import io
import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from segmentation.errors import RunError
from segmentation.runs.logs import columns as names
from segmentation.runs.logs.reading import (
    CUT_DOWN,
    MOST_COLUMNS,
    NO_LOG,
    Content,
    Reading,
    check_size,
    counted,
)

MOST_MENDED_BYTES = 16 << 20

MOST_MENDED_LINES = 60_000

MOST_MENDED_CELLS = 600_000
"""A larger table is read at once, in a twentieth of the time, and only if nothing in it has to be mended."""

MOST_HEADERS = 100

BLANKS = {"", "na", "n/a", "none", "null", "<na>"}
"""What is written, in any case, where there is no value."""

HALF = "The last line is still being written and left out: fewer or more values than columns."

DECIMAL_COMMA = re.compile(r"[-+]?[0-9]*,[0-9]+([eE][-+]?[0-9]+)?")


def read_table(content: Content) -> list[Reading]:
    """Read a table, whatever its columns are called.

    Raises:
        RunError: If it is none, or larger than one may be.
    """
    notes: list[str] = []
    text, separator = content.text, max(",;\t", key=content.first_line.count)
    if text.count(separator) + text.count("\n") > MOST_MENDED_CELLS or text.count("\n") > MOST_MENDED_LINES:
        whole = _read_whole(text, separator, notes)
        if whole is not None:
            return [whole]
        if len(text) > MOST_MENDED_BYTES:
            raise RunError(f"The log is larger than {MOST_MENDED_BYTES >> 20} MB and has to be mended: {CUT_DOWN}.")
    cells, tables, decimal_commas = cells_of(text, notes)
    numbers = numbers_of(cells, decimal_commas, notes)
    return [Reading(pd.DataFrame(numbers, index=range(len(tables)), dtype=float), notes, tables)]


def _read_whole(text: str, separator: str, notes: list[str]) -> Reading | None:
    """Read a large table at once; None if it has to be mended: several headers, quotes, lines of other lengths."""
    begin, end = text.partition("\n")[0], len(text)
    header = _split(begin.rstrip("\r"), separator)
    check_size(len(header), text.count("\n"))
    if not _names_columns(header) or '"' in text:
        return None
    if not text.endswith("\n") and text.count(separator, last := text.rindex("\n")) < len(header) - 1:
        notes.append(HALF)
        end = last + 1
    try:
        table = pd.read_csv(
            io.BytesIO(text[:end].encode()),
            sep=separator,
            header=None,
            skiprows=1,
            keep_default_na=False,
            na_values=list(BLANKS | {blank.upper() for blank in BLANKS}),
            skipinitialspace=True,
        )
    except (ValueError, pd.errors.ParserError):
        return None
    if text.count(separator, 0, end) != (len(header) - 1) * (len(table) + 1):  # none is longer than the first
        return None
    texts = {
        name: table[place].to_numpy(object, na_value=None)
        for place, name in enumerate(header)
        if table[place].dtype.kind not in "iuf"
    }
    for column in texts.values():
        column[:] = [text if text is None else str(text).strip() for text in column]
    first = texts.get(header[0], ())
    if any(cell is not None and not _is_number(cell) for cell in first):
        return None
    known = {name: table[place].to_numpy(float) for place, name in enumerate(header) if name not in texts}
    known = {name: np.where(np.isinf(column), np.inf, column) for name, column in known.items()}
    known |= numbers_of(texts, separator != ",", notes)
    known.pop("", None)
    return Reading(pd.DataFrame({name: known[name] for name in header if name}, index=table.index, dtype=float), notes)


def cells_of(text: str, notes: list[str]) -> tuple[dict[str, np.ndarray], np.ndarray, bool]:
    """Read the lines of a log into columns of texts.

    Returns:
        By column (lines,) object: its texts, None where a line has no such column; (lines,) int: how many headers stand
        above each line; and whether commas are free to be decimal ones.
    """
    lines = [line for line in re.split(r"[\r\n]+", text) if line]
    separator = max(",;\t", key=lines[0].count)
    _check_size(lines[0].count(separator) + 1, 1, len(lines))
    if len(lines) + text.count(separator) > MOST_MENDED_CELLS:
        raise RunError(f"The log has too many values, and at most {MOST_MENDED_CELLS:,} are read: {CUT_DOWN}.")
    if lines[0].startswith(("{", "[", "<")):  # some of it can be split at commas, too
        raise RunError(f"{NO_LOG}: {_what_instead(lines)}.")
    try:
        rows = [_split(line, separator) for line in lines]
    except csv.Error as error:
        raise RunError(f"{NO_LOG}: it is not a valid CSV file.") from error
    header = rows[0]
    if not _names_columns(header):
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
        several = f"{counted(short, 'line')} left out: fewer or more values than columns."
        notes.append(HALF if short == 1 and not ended else several)
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


def _names_columns(header: list[str]) -> bool:
    """Tell whether the cells of a first line are names."""
    return len(header) > 1 and all(not _is_number(cell) and _is_text(cell) for cell in header)


def _check_size(columns: int, headers: int, lines: int) -> None:
    """Refuse a table that is mended line by line and would take long."""
    if headers > MOST_HEADERS:
        raise RunError(f"The log changes its columns over {MOST_HEADERS} times: it is read if it has one header.")
    check_size(columns, lines, MOST_MENDED_LINES, MOST_MENDED_CELLS)


def _what_instead(lines: Sequence[str]) -> str:
    """Say what a text without a header is."""
    if not _is_text(lines[0].replace("\t", " ")):
        return "it is not plain text"
    if lines[0].startswith("{") and len(lines) > 1 and lines[1].startswith("{"):
        return "it holds JSON lines, and of such logs those are read which say the step or the epoch"
    if lines[0].startswith(("{", "[")):
        return "it holds JSON, and of such logs trainer_state.json, trial.json and lines of JSON are read, if whole"
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
