"""Which folders pages may read is decided in one place, after every link has been followed."""

import os
from pathlib import Path

import pytest

from segmentation.data.locate import PROJECT, allowed_folders, check_allowed
from segmentation.errors import NotAllowedError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Somebody's home folder, with nothing set but that."""
    for variable in ("SEGMENTATION_DATA", "SEGMENTATION_RUNS", "SEGMENTATION_ALLOWED"):
        monkeypatch.delenv(variable, raising=False)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_by_default_the_projects_own_folders_are_allowed_and_home_where_nobody_else_is_answered(home: Path) -> None:
    own = {PROJECT / "data", PROJECT / "demo-data", PROJECT / "runs"}
    assert set(allowed_folders(private=False)) == {folder.resolve() for folder in own}
    assert set(allowed_folders(private=True)) == {folder.resolve() for folder in own} | {home.resolve()}


def test_a_home_that_is_the_whole_disk_is_not_allowed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/")
    assert Path("/") not in allowed_folders(private=True)


def test_folders_that_are_named_take_the_place_of_home(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGMENTATION_ALLOWED", os.pathsep.join(["", str(tmp_path / "a"), "~/b"]))
    allowed = allowed_folders(private=True)
    assert {(tmp_path / "a").resolve(), (home / "b").resolve()} <= set(allowed)
    assert home.resolve() not in allowed
    monkeypatch.setenv("SEGMENTATION_ALLOWED", "")
    assert home.resolve() not in allowed_folders(private=True)


def test_the_folders_of_data_and_runs_are_allowed(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGMENTATION_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("SEGMENTATION_RUNS", str(tmp_path / "runs"))
    assert {(tmp_path / "data").resolve(), (tmp_path / "runs").resolve()} <= set(allowed_folders(private=False))


def test_what_lies_below_an_allowed_folder_is_allowed(tmp_path: Path) -> None:
    folder = tmp_path.resolve()
    assert check_allowed(tmp_path, [folder]) == folder
    assert check_allowed(tmp_path / "x" / ".." / "not there", [folder]) == folder / "not there"


def test_what_leads_elsewhere_is_refused_in_one_sentence(tmp_path: Path) -> None:
    allowed, outside = tmp_path / "allowed", tmp_path / "allowed-not"
    allowed.mkdir()
    outside.mkdir()
    (allowed / "link").symlink_to(outside)
    (allowed / "further").symlink_to("link")
    (allowed / "up").symlink_to("..")
    paths = [outside, allowed / "..", allowed / ".." / "allowed-not", Path("/"), Path("/etc/passwd"), Path("../..")]
    paths += [allowed / name for name in ("link", "further", "link/x", "up", "up/allowed-not")]
    paths += [Path("~nobody-at-all/x"), Path("a\0b"), allowed / "link\0"]
    for path in paths:
        with pytest.raises(NotAllowedError, match=r"folder that pages may read.*SEGMENTATION_ALLOWED"):
            check_allowed(path, [allowed.resolve()])


def test_a_loop_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(NotAllowedError):
        check_allowed(tmp_path / "loop" / "x", [tmp_path.resolve()])
