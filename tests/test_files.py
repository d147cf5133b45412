"""Writes that a reader can never meet half done."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from segmentation.data.locate import PROJECT
from segmentation.errors import StorageError
from segmentation.files import VanishingFolder, locked, remove_unfinished, replacing, scratch_folder, write_json


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


def test_a_full_disk_is_named_in_one_sentence_and_the_old_file_stays(small_disk: Path) -> None:
    path = small_disk / "file.txt"
    path.write_text("old")
    with pytest.raises(StorageError, match=r"^[^\n]* cannot be written \(No space left on device\): [^\n]*\.$"):
        write_json(path, "x" * 3_000_000)
    assert [(file.name, file.read_text()) for file in small_disk.iterdir()] == [("file.txt", "old")]


def test_a_folder_that_may_not_be_written_is_named_in_one_sentence(read_only: Path) -> None:
    with pytest.raises(StorageError, match=r"file\.json.* cannot be written \(Read-only file system\)"):
        write_json(read_only / "file.json", {})


def test_a_file_in_place_of_the_folder_is_named_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(StorageError, match=r"runs.* cannot be written"):
        write_json(tmp_path / "runs" / "file.json", {})


def test_a_lock_is_had_by_one_only_and_leaves_no_file(tmp_path: Path) -> None:
    with locked(tmp_path / "lock") as first, locked(tmp_path / "lock") as second:
        assert (first, second) == (True, False)
    with locked(tmp_path / "lock") as again:
        assert again
    assert list(tmp_path.iterdir()) == []


LOCKED = """
import sys
from pathlib import Path
from segmentation.files import locked
with locked(Path(sys.argv[1])) as mine:
    print(mine, flush=True)
    sys.stdin.read()
"""


def test_of_many_processes_that_want_a_lock_one_has_it_until_it_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LOCKED, str(tmp_path / "lock")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    children = [subprocess.Popen(command, cwd=PROJECT, **pipes) for _ in range(4)]
    has_it = [child.stdout.readline() == "True\n" for child in children]
    assert sum(has_it) == 1
    children[has_it.index(True)].kill()
    for child in children:
        child.communicate()
    assert (tmp_path / "lock").exists()
    with locked(tmp_path / "lock") as mine:
        assert mine


def test_json_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    content = {"name": "Straße × 2", "scores": [0.5, None], "deep": {"yes": True}}
    write_json(tmp_path / "file.json", content)
    assert json.loads((tmp_path / "file.json").read_text(encoding="utf-8")) == content


def test_nan_is_refused_and_the_old_json_stays(tmp_path: Path) -> None:
    write_json(tmp_path / "file.json", {"score": 1.0})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "file.json", {"score": float("nan")})
    assert json.loads((tmp_path / "file.json").read_text()) == {"score": 1.0}


def test_a_scratch_folder_is_gone_after_the_block(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), scratch_folder(tmp_path / "new") as scratch:
        (scratch / "half.txt").write_text("half")
        raise KeyboardInterrupt
    assert list((tmp_path / "new").iterdir()) == []


def test_only_what_nobody_writes_any_more_is_removed_as_unfinished(tmp_path: Path) -> None:
    killed = """
import os, pathlib, signal, sys
from segmentation.files import replacing, scratch_folder
folder = pathlib.Path(sys.argv[1])
with replacing(folder / "file.txt") as temporary, scratch_folder(folder) as scratch:
    temporary.write_text("half")
    (scratch / "file.txt").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", killed, tmp_path], cwd=PROJECT, check=False)
    assert len(list(tmp_path.iterdir())) == 2
    os.mkfifo(tmp_path / ".writing-pipe")
    with replacing(tmp_path / "file.txt") as temporary, scratch_folder(tmp_path) as scratch:
        temporary.write_text("whole")
        remove_unfinished(tmp_path)
        assert set(tmp_path.iterdir()) == {temporary, scratch}
    assert [path.read_text() for path in tmp_path.iterdir()] == ["whole"]


def gone(path: Path) -> bool:
    """Wait until a path is gone, or for half a minute."""
    end = time.monotonic() + 30
    while path.exists() and time.monotonic() < end:
        os.sched_yield()
    return not path.exists()


def test_a_vanishing_folder_goes_when_it_is_closed() -> None:
    folder = VanishingFolder("lent-")
    (folder.path / "file").write_text("lent")
    folder.close()
    assert not folder.path.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_vanishing_folder_goes_with_its_process(number: signal.Signals) -> None:
    script = """
import time
from segmentation.files import VanishingFolder
folder = VanishingFolder("lent-")
(folder.path / "file").write_text("lent")
print(folder.path, flush=True)
time.sleep(600)
"""
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:
        path = Path(process.stdout.readline().strip())
        assert path.is_dir()
        process.send_signal(number)
    assert gone(path)
