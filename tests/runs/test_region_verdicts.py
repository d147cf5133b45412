"""Verdicts on regions are kept by data set, taken back, and survive what somebody else wrote into the file."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from segmentation.errors import RunError
from segmentation.runs.database import DATABASE
from segmentation.runs.region_verdicts import RIGHT, UNSURE, WRONG, Region, keep_verdict, read_verdicts

ROOF = Region("tile-1/a", "Land", "Building", 3, 4, 50, 60)


def test_a_verdict_is_of_a_region_in_a_data_set(tmp_path: Path) -> None:
    assert read_verdicts(tmp_path, "one") == {}
    other = ROOF._replace(predicted="Road")
    keep_verdict(tmp_path, "one", ROOF, UNSURE, "run")
    keep_verdict(tmp_path, "one", ROOF, WRONG, "run")
    keep_verdict(tmp_path, "one", other, RIGHT, "run")
    keep_verdict(tmp_path, "two", ROOF, RIGHT, "run")
    assert read_verdicts(tmp_path, "one") == {ROOF: WRONG, other: RIGHT}
    keep_verdict(tmp_path, "one", ROOF, None, "run")
    assert read_verdicts(tmp_path, "one") == {other: RIGHT}
    with pytest.raises(RunError, match="Expected a verdict"):
        keep_verdict(tmp_path, "one", ROOF, "maybe", "run")


def test_ten_people_at_once_lose_nothing(tmp_path: Path) -> None:
    with ThreadPoolExecutor(10) as people:
        list(people.map(lambda top: keep_verdict(tmp_path, "one", ROOF._replace(top=top), WRONG, "run"), range(10)))
    assert len(read_verdicts(tmp_path, "one")) == 10


def test_what_is_no_verdict_is_passed_over(tmp_path: Path) -> None:
    keep_verdict(tmp_path, "one", ROOF, WRONG, "run")
    keep_verdict(tmp_path, "one", ROOF._replace(top=9), WRONG, "run")
    with closing(sqlite3.connect(tmp_path / DATABASE)) as connection, connection:
        connection.execute("UPDATE region_verdict SET verdict = 'x' WHERE first_row = 9")
    assert read_verdicts(tmp_path, "one") == {ROOF: WRONG}
