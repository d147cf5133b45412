"""The table of a run's patches: each column is checked as it is declared, and written in its place."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from segmentation.data.palette import DUBAI, Palette
from segmentation.runs.patch_table import (
    Column,
    confusion_columns,
    confusion_matrices,
    patch_columns,
    patch_table,
    read_patches,
    write_patches,
)

COLUMNS = patch_columns(DUBAI)

EVERY_COLUMN = pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)

LONG = "9" * 400
"""An integer that has no float."""

CELLS = {"name": "text", "count": 2, "share": 0.5}

WRONG = {
    "name": [""],
    "count": ["text", "", 0.5, -1, "inf", "nan", LONG, f"-{LONG}", "1e308", "1e-3", "9" * 5000],
    "share": ["text", 1.5, -0.1, "inf", "-inf", LONG, f"-{LONG}", "1e308", "0x1", "9" * 5000],
}
"""Cells that a column of a kind cannot hold, in a row beside others that it can."""


def row(number: int) -> dict[str, object]:
    """One patch in all columns."""
    cells = {column.name: CELLS[column.kind] for column in COLUMNS}
    confusions = {name: 3 * place + number for place, name in enumerate(confusion_columns(DUBAI))}
    return cells | {"patch": f"t/s/r00c{number:02d}", "part": "test", "accuracy": number / 4} | confusions


@pytest.fixture
def table() -> pd.DataFrame:
    return pd.DataFrame([row(number) for number in range(4)])


def read(table: pd.DataFrame, folder: Path, palette: Palette | None = DUBAI) -> pd.DataFrame | None:
    write_patches(folder / "patches.csv", table)
    return read_patches(folder / "patches.csv", palette)


def test_a_table_is_read_as_it_was_written(table: pd.DataFrame, tmp_path: Path) -> None:
    found = read(table, tmp_path)
    pd.testing.assert_frame_equal(found, table, check_dtype=False)
    matrices = confusion_matrices(found, DUBAI)
    assert np.array_equal(matrices[1].ravel(), 3 * np.arange(36) + 1)


def test_columns_are_written_in_their_order_whatever_order_they_come_in(table: pd.DataFrame) -> None:
    shuffled = table[table.columns[::-1]].assign(**{"beside them": 1, "accuracy": 1 / 3})
    written = patch_table(shuffled, DUBAI)
    assert list(written) == [column.name for column in COLUMNS] + confusion_columns(DUBAI)
    assert written["accuracy"].tolist() == 4 * [0.333333]


@EVERY_COLUMN
def test_what_a_column_cannot_hold_makes_the_table_unreadable(
    column: Column, table: pd.DataFrame, tmp_path: Path
) -> None:
    for cell in WRONG[column.kind]:
        cells = [*table[column.name].astype(object)[:-1], cell]
        assert read(table.assign(**{column.name: pd.Series(cells, dtype=object)}), tmp_path) is None, cell


@EVERY_COLUMN
@pytest.mark.parametrize("over", [0, 1])
def test_a_number_may_be_as_large_as_the_column_says(
    column: Column, over: int, table: pd.DataFrame, tmp_path: Path
) -> None:
    if column.kind != "name":
        largest = table.assign(**{column.name: column.most + over})
        assert (read(largest, tmp_path) is None) == bool(over)


@EVERY_COLUMN
def test_a_column_may_be_missing_if_it_came_later(column: Column, table: pd.DataFrame, tmp_path: Path) -> None:
    found = read(table.drop(columns=column.name), tmp_path)
    assert (found is None) == (column.name not in ("pixels", "confidence_wrong", "surely_wrong"))


@EVERY_COLUMN
def test_a_column_has_the_type_of_its_kind_however_it_was_written(
    column: Column, table: pd.DataFrame, tmp_path: Path
) -> None:
    if column.kind == "name":
        return
    texts = table.assign(**{column.name: ["1.0", "1", "0.0", "1e0"]})
    found = read(texts, tmp_path)[column.name]
    assert (found.tolist(), found.dtype) == ([1, 1, 0, 1], np.int64 if column.kind == "count" else np.float64)


@pytest.mark.parametrize("name", ["1", "2023", "007", "1e5", "NA", "nan", "None", "True", "inf"])
def test_a_tile_and_a_scene_may_be_called_like_anything_else(name: str, table: pd.DataFrame, tmp_path: Path) -> None:
    found = read(table.assign(tile=name, scene=name), tmp_path)
    assert (found["tile"].tolist(), found["scene"].tolist()) == (4 * [name], 4 * [name])


def test_a_score_that_does_not_exist_is_blank(table: pd.DataFrame, tmp_path: Path) -> None:
    found = read(table.assign(mean_iou=np.nan, iou_Land=[0.5, None, "NA", 1]), tmp_path)
    assert found["mean_iou"].isna().all()
    assert found["iou_Land"].isna().tolist() == [False, True, True, False]


@pytest.mark.parametrize("cell", ["text", "", "0.5", "-1", LONG, "1e308", 2**41, 2**63])
def test_confusions_that_make_no_sense_are_left_out_alone(cell: object, table: pd.DataFrame, tmp_path: Path) -> None:
    found = read(table.assign(**{"Land as Road": pd.Series([1, 2, 3, cell], dtype=object)}), tmp_path)
    assert found["accuracy"].tolist() == [0, 0.25, 0.5, 0.75]
    assert confusion_matrices(found, DUBAI) is None


def test_without_classes_there_are_neither_their_scores_nor_confusions(table: pd.DataFrame, tmp_path: Path) -> None:
    found = read(table, tmp_path, palette=None)
    assert list(found) == [column.name for column in patch_columns(None)]
    assert confusion_matrices(found, None) is None


def test_classes_whose_names_run_into_one_another_can_be_written(table: pd.DataFrame, tmp_path: Path) -> None:
    """Those of A predicted as "B as A" and of "A as B" predicted as A have one name."""
    palette = Palette(("A", "A as B", "B as A"), ((0, 0, 1), (0, 0, 2), (0, 0, 3)))
    cells = {f"iou_{name}": 0.5 for name in palette.names} | dict.fromkeys(confusion_columns(palette), 1)
    written = patch_table(table.assign(**cells), palette)
    assert read(written, tmp_path, palette) is not None


def test_a_table_without_rows_is_one(table: pd.DataFrame, tmp_path: Path) -> None:
    assert len(read(table[:0], tmp_path)) == 0
