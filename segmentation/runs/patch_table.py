"""The table of a run's patches, patches.csv: its columns, each declared once, and who reads and writes it."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from segmentation.data.palette import VOID, Palette
from segmentation.data.protocols import PARTS
from segmentation.files import replacing

LARGEST_TABLE, LARGEST_HEADER, MOST_COLUMNS = 128 << 20, 8 << 20, 70_000
"""Bytes of the table, enough for 500,000 patches, and of its header; columns: 255 classes, each predicted as each."""

BLANKS = ["", "NA", "NaN", "nan", "null"]
"""What stands where a score does not exist: nothing, unless another program has written the table anew."""

MOST_PIXELS = 1 << 40
"""Of a patch."""


@dataclass(frozen=True)
class Column:
    """A column of patches.csv.

    Args:
        name: As the header has it.
        kind: ``name`` is a text. ``count`` is a whole number. ``share`` is a number, none where a score does not exist.
        most: The largest number; the least is 0.
        later: Whether it came with a later version, so that a table may lack it.
    """

    name: str
    kind: Literal["name", "count", "share"]
    most: float = 1
    later: bool = False

    def read(self, values: pd.Series) -> pd.Series | None:
        """Return the values as str, int64 or float64; None if one cannot be."""
        if self.kind == "name":
            return values if (values != "").all() else None
        try:
            numbers = values.astype(float)
        except (ValueError, TypeError, OverflowError):  # an integer of 400 digits has no float
            return None
        within = numbers.between(0, self.most)
        if self.kind == "share":
            return numbers if (within | numbers.isna()).all() else None
        return numbers.astype(np.int64) if (within & (numbers % 1 == 0)).all() else None


def patch_columns(palette: Palette | None) -> list[Column]:
    """Return the columns in their order, those of `confusion_columns` left out.

    Args:
        palette: The classes; without any, the columns that every table has.
    """
    names = palette.names if palette else ()
    return [
        Column("patch", "name"),
        Column("tile", "name"),
        Column("scene", "name"),
        Column("row", "count", 1 << 20),
        Column("column", "count", 1 << 20),
        Column("part", "name"),
        *(Column(f"iou_{name}", "share") for name in names),
        Column("mean_iou", "share"),
        Column("classes", "count", len(names) or VOID),
        Column("accuracy", "share"),
        Column("pixels", "count", MOST_PIXELS, later=True),
        Column("confidence", "share"),
        Column("confidence_wrong", "share", later=True),
        Column("surely_wrong", "share", later=True),
        Column("brightness", "share"),
        Column("contrast", "share"),
    ]


def confusion_column(true: str, predicted: str) -> str:
    """Return the name of the column that counts pixels of one class predicted as another."""
    return f"{true} as {predicted}"


def confusion_columns(palette: Palette | None) -> list[str]:
    """Return the names of the last columns, a patch's confusion matrix row by row: true, then predicted class."""
    names = palette.names if palette else ()
    return [confusion_column(true, predicted) for true in names for predicted in names]


def patch_table(values: pd.DataFrame, palette: Palette) -> pd.DataFrame:
    """Return the columns of patches.csv in their order, out of a table that has them all; rounded."""
    names = [column.name for column in patch_columns(palette)] + confusion_columns(palette)
    return values[list(dict.fromkeys(names))].round(6)  # "A as B" predicted as C may be A predicted as "B as C"


def read_patches(path: Path, palette: Palette | None) -> pd.DataFrame | None:
    """Read a run's patches: the columns known here that the file has. None if it cannot be read, or lacks one.

    What a confusion matrix holds is checked by `confusion_matrices`.
    """
    columns = patch_columns(palette)
    table = _read(path, columns, confusion_columns(palette))
    if table is None:
        return None
    checked: dict[str, pd.Series] = {}
    for column in columns:
        if column.name in table:
            values = column.read(table[column.name])
            if values is None:
                return None
            checked[column.name] = values
        elif not column.later:
            return None
    patches = checked["patch"]
    sound = patches.str.contains("/").all() and not patches.duplicated().any() and checked["part"].isin(PARTS).all()
    return table.assign(**checked) if sound else None


def _read(path: Path, columns: list[Column], further: list[str]) -> pd.DataFrame | None:
    """Read those of the columns that a CSV file has; None if it cannot be read, or not in bounded memory."""
    wanted = {column.name for column in columns}.union(further)
    texts = {column.name: str for column in columns if column.kind == "name"}  # a tile may be called 1 or NA
    blank = dict.fromkeys(wanted - texts.keys(), BLANKS)
    try:
        if not path.is_file() or path.stat().st_size > LARGEST_TABLE:  # a pipe would be waited for
            return None
        with path.open("rb") as file:
            header = file.readline(LARGEST_HEADER)
        if header.count(b",") > MOST_COLUMNS:
            return None
        names = next(csv.reader([header.decode()]))
        if len(set(names)) < len(names):  # pandas would give the second another name
            return None
        return pd.read_csv(path, usecols=lambda n: n in wanted, dtype=texts, na_values=blank, keep_default_na=False)
    except (OSError, ValueError, csv.Error, StopIteration):  # pandas' parser errors are ValueErrors
        return None


def confusion_matrices(table: pd.DataFrame, palette: Palette | None) -> np.ndarray | None:
    """Return each patch's confusion matrix, (patches, classes, classes) int64, in the table's order.

    None if the run was evaluated before these were kept, or one makes no sense.
    """
    columns = confusion_columns(palette)
    if palette is None or not set(columns) <= set(table.columns):
        return None
    cells = table[columns]
    sound = (cells.dtypes == np.int64).all() and ((cells >= 0) & (cells <= MOST_PIXELS)).all(axis=None)
    return cells.to_numpy().reshape(-1, len(palette), len(palette)) if sound else None


def write_patches(path: Path, table: pd.DataFrame) -> None:
    """Write a table of patches in one step."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False)
