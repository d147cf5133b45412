"""Writes that a reader can never meet half done."""

import json
import stat
from pathlib import Path

import pytest

from segmentation.files import replacing, write_json


def test_a_new_file_appears_with_its_content(tmp_path: Path) -> None:
    with replacing(tmp_path / "new.txt") as temporary:
        temporary.write_text("whole")
    assert (tmp_path / "new.txt").read_text() == "whole"


def test_missing_folders_are_made(tmp_path: Path) -> None:
    with replacing(tmp_path / "a" / "b" / "new.txt") as temporary:
        temporary.write_text("whole")
    assert (tmp_path / "a" / "b" / "new.txt").read_text() == "whole"


def test_a_reader_meets_the_old_content_until_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("ne")
        assert path.read_text() == "old"
        temporary.write_text("new")
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_block_that_raises_leaves_the_old_file_and_no_other(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(error), replacing(path) as temporary:
        temporary.write_text("half")
        raise error
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("file.txt", "old")]


def test_a_block_that_ends_well_leaves_no_other_file(tmp_path: Path) -> None:
    with replacing(tmp_path / "file.txt") as temporary:
        temporary.write_text("whole")
    assert [file.name for file in tmp_path.iterdir()] == ["file.txt"]


def test_the_temporary_file_is_beside_the_target_and_has_its_suffix(tmp_path: Path) -> None:
    with replacing(tmp_path / "best.keras") as temporary:
        assert (temporary.parent, temporary.suffix) == (tmp_path, ".keras")


def test_others_may_read_the_file(tmp_path: Path) -> None:
    with replacing(tmp_path / "file.txt") as temporary:
        temporary.write_text("whole")
    assert stat.S_IMODE((tmp_path / "file.txt").stat().st_mode) == 0o644


def test_json_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    content = {"name": "Straße × 2", "scores": [0.5, None], "deep": {"yes": True}}
    write_json(tmp_path / "file.json", content)
    assert json.loads((tmp_path / "file.json").read_text(encoding="utf-8")) == content


def test_nan_is_refused_and_the_old_json_stays(tmp_path: Path) -> None:
    write_json(tmp_path / "file.json", {"score": 1.0})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "file.json", {"score": float("nan")})
    assert json.loads((tmp_path / "file.json").read_text()) == {"score": 1.0}
