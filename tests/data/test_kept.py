"""Results that outlive a restart."""

import sqlite3
from pathlib import Path

import pytest

from segmentation.data.kept import KeptResults


def test_results_are_there_for_another_process_s_object(tmp_path: Path) -> None:
    KeptResults(tmp_path / "deep" / "kept.sqlite", 100).write({"a": b"1", "b": b"\0\n"})
    assert KeptResults(tmp_path / "deep" / "kept.sqlite", 100).read(["a", "b", "c"]) == {"a": b"1", "b": b"\0\n"}


def test_thousands_of_keys_are_read_at_once(tmp_path: Path) -> None:
    kept = KeptResults(tmp_path / "kept.sqlite", 1 << 20)
    results = {str(number): str(number).encode() for number in range(2_345)}
    kept.write(results)
    assert kept.read(list(results)) == results


def test_what_nobody_asked_for_the_longest_goes_first(tmp_path: Path) -> None:
    kept = KeptResults(tmp_path / "kept.sqlite", 30)
    kept.write({"old": bytes(10)})
    kept.write({"older": bytes(10)})
    kept.read(["old"])
    kept.write({"new": bytes(10)})
    kept.write({"newest": bytes(10)})
    assert set(kept.read(["old", "older", "new", "newest"])) == {"old", "new", "newest"}


def test_values_of_another_kind_are_not_given(tmp_path: Path) -> None:
    kept = KeptResults(tmp_path / "kept.sqlite", 100)
    kept.write({"a": b"1"})
    with sqlite3.connect(tmp_path / "kept.sqlite") as file:
        file.execute("UPDATE results SET value = 'text'")
    assert kept.read(["a"]) == {}


def test_a_folder_where_nobody_may_write_keeps_nothing(read_only: Path) -> None:
    kept = KeptResults(read_only / "kept.sqlite", 100)
    kept.write({"a": b"1"})
    assert kept.read(["a"]) == {}


def test_a_full_disk_keeps_what_it_has(small_disk: Path) -> None:
    kept = KeptResults(small_disk / "kept.sqlite", 100 << 20)
    kept.write({"small": b"1"})
    kept.write({"large": bytes(4 << 20)})
    assert kept.read(["small", "large"]) == {"small": b"1"}


@pytest.mark.parametrize("content", [b"no database at all", b"SQLite format 3\0" + bytes(4_000)])
def test_a_broken_file_is_begun_anew(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "kept.sqlite").write_bytes(content)
    kept = KeptResults(tmp_path / "kept.sqlite", 100)
    assert kept.read(["a"]) == {}
    kept.write({"a": b"1"})
    assert kept.read(["a"]) == {"a": b"1"}
