"""Thresholds are kept with the run that they were chosen for, and survive."""

import shutil
from pathlib import Path

import pytest

from segmentation.runs.chosen_thresholds import keep_chosen, read_chosen
from segmentation.runs.database import DATABASE
from segmentation.runs.run import SHIPPED, THRESHOLDS, Run

SHIPPED_RUN = Run(SHIPPED / "demo-unet")


@pytest.fixture
def ours(tmp_path: Path) -> Run:
    """A run of this machine."""
    (tmp_path / "mine").mkdir()
    shutil.copyfile(SHIPPED_RUN.folder / "config.json", tmp_path / "mine" / "config.json")
    return Run(tmp_path / "mine")


@pytest.mark.parametrize("shipped", [False, True], ids=["ours", "shipped"])
def test_a_stored_threshold_survives_until_it_is_removed(ours: Run, tmp_path: Path, shipped: bool) -> None:
    run = SHIPPED_RUN if shipped else ours
    before = sorted(SHIPPED_RUN.folder.iterdir())
    assert read_chosen(run, tmp_path) == {}
    keep_chosen(run, tmp_path, "Water", 0.6)
    keep_chosen(run, tmp_path, "Building", 0.25)
    keep_chosen(run, tmp_path, "Building", 0.37)
    assert list(read_chosen(Run(run.folder), tmp_path).items()) == [("Building", 0.37), ("Water", 0.6)]
    assert (tmp_path / DATABASE).exists() == shipped  # what is shipped is not written to
    assert sorted(SHIPPED_RUN.folder.iterdir()) == before
    keep_chosen(run, tmp_path, "Building", None)
    keep_chosen(run, tmp_path, "Building", None)
    assert read_chosen(run, tmp_path) == {"Water": 0.6}
    keep_chosen(run, tmp_path, "Water", None)
    assert read_chosen(run, tmp_path) == {}
    assert not (run.folder / THRESHOLDS).exists()


def test_they_go_with_the_folder(ours: Run, tmp_path: Path) -> None:
    keep_chosen(ours, tmp_path, "Road", 0.4)
    copy = Run(shutil.copytree(ours.folder, tmp_path / "elsewhere" / "renamed"))
    assert read_chosen(copy, tmp_path / "elsewhere") == {"Road": 0.4}


@pytest.mark.parametrize(
    "content",
    ["", "[]", '{"thresholds": {"Road": 7}}', '{"thresholds": {"Road": "0.4"}}', '{"thresholds": {"Sea": 0.4}}'],
)
def test_a_file_that_makes_no_sense_holds_none(ours: Run, tmp_path: Path, content: str) -> None:
    (ours.folder / THRESHOLDS).write_text(content)
    assert read_chosen(ours, tmp_path) == {}
