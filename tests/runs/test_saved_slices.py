"""Slices are kept by name, for everybody, until somebody removes them."""

import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from segmentation.errors import RunError
from segmentation.runs.database import DATABASE
from segmentation.runs.saved_slices import LONGEST_NAME, Condition, SavedSlice, read_slices, remove_slice, save_slice

BRIGHT = SavedSlice(conditions=[Condition(feature="Brightness", low=0.7)], class_name="Road")

IN_TILE = SavedSlice(
    conditions=[Condition(feature="Tile", value="Tile 3"), Condition(feature="Share of Road", high=0.05)]
)


def test_a_slice_is_kept_until_it_is_removed(tmp_path: Path) -> None:
    assert read_slices(tmp_path) == {}
    save_slice(tmp_path, "night-side roofs", IN_TILE)
    save_slice(tmp_path, "  bright\n roads ", BRIGHT)
    assert read_slices(tmp_path) == {"bright roads": BRIGHT, "night-side roofs": IN_TILE}
    remove_slice(tmp_path, "bright roads")
    remove_slice(tmp_path, "bright roads")
    assert list(read_slices(tmp_path)) == ["night-side roofs"]


def test_a_name_is_needed_and_is_taken_once(tmp_path: Path) -> None:
    save_slice(tmp_path, "roofs", BRIGHT)
    with pytest.raises(RunError, match="There is a slice roofs already"):
        save_slice(tmp_path, "roofs", IN_TILE)
    with pytest.raises(RunError, match="needs a name"):
        save_slice(tmp_path, " \x07 ", IN_TILE)
    save_slice(tmp_path, "x" * 1000, IN_TILE)
    assert read_slices(tmp_path) == {"roofs": BRIGHT, "x" * LONGEST_NAME: IN_TILE}


def test_ten_people_at_once_lose_nothing(tmp_path: Path) -> None:
    with ThreadPoolExecutor(10) as people:
        list(people.map(lambda index: save_slice(tmp_path, f"slice {index}", BRIGHT), range(10)))
    assert set(read_slices(tmp_path)) == {f"slice {index}" for index in range(10)}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "[" * 5000,
        '{"conditions": []}',
        '{"conditions": [{"feature": "Brightness"}]}',
        '{"conditions": [{"feature": 7, "low": 0}]}',
        json.dumps({"conditions": [{"feature": "Brightness", "low": 0}] * 3}),
    ],
)
def test_what_makes_no_sense_is_passed_over(tmp_path: Path, content: str) -> None:
    save_slice(tmp_path, "sound", BRIGHT)
    with sqlite3.connect(tmp_path / DATABASE) as connection:
        connection.execute("INSERT INTO slice VALUES ('odd', ?)", (content,))
    connection.close()
    assert read_slices(tmp_path) == {"sound": BRIGHT}


def test_an_odd_bound_is_none(tmp_path: Path) -> None:
    save_slice(tmp_path, "sound", BRIGHT)
    odd = '{"conditions": [{"feature": "Brightness", "low": "many", "high": 0.3}]}'
    with sqlite3.connect(tmp_path / DATABASE) as connection:
        connection.execute("INSERT INTO slice VALUES ('odd', ?)", (odd,))
    connection.close()
    kept = read_slices(tmp_path)["odd"].conditions[0]
    assert (kept.low, kept.high) == (None, 0.3)
