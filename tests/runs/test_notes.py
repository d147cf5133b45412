"""Notes on runs are kept in one file, whoever writes at once; a file that cannot be used is named and left alone."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from segmentation.data.locate import PROJECT
from segmentation.errors import RunError, SegmentationError
from segmentation.runs import database
from segmentation.runs.database import DATABASE, MIGRATIONS
from segmentation.runs.notes import LONGEST_NOTE, LONGEST_TAG, MOST_TAGS, RunNote, change_note, read_notes
from segmentation.runs.run import check_run_name
from segmentation.runs.speeds import keep_speed, read_speeds

SAID = RunNote("too bright; ask \"Ada\" 'O'Neil'", ("baseline", "größer"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that holds a note."""
    change_note(tmp_path, "first", RunNote(), SAID)
    return tmp_path / DATABASE


def test_without_a_file_nothing_is_said_and_none_is_made(tmp_path: Path) -> None:
    assert read_notes(tmp_path / "runs") == {}
    assert list(tmp_path.iterdir()) == []


def test_what_was_said_is_read_again_from_one_file(file: Path) -> None:
    change_note(file.parent, "second", RunNote(), RunNote(hidden=True))
    assert read_notes(file.parent) == {"first": SAID, "second": RunNote(hidden=True)}
    assert list(file.parent.iterdir()) == [file]


def test_the_folder_of_the_runs_is_made(tmp_path: Path) -> None:
    change_note(tmp_path / "a" / "runs", "first", RunNote(), SAID)
    assert read_notes(tmp_path / "a" / "runs") == {"first": SAID}


def test_what_others_changed_since_one_looked_stays(file: Path) -> None:
    change_note(file.parent, "first", SAID, RunNote(SAID.note, (*SAID.tags, "theirs"), hidden=True))
    change_note(file.parent, "first", SAID, RunNote("mine", ("baseline",)))
    assert read_notes(file.parent) == {"first": RunNote("mine", ("baseline", "theirs"), hidden=True)}


def test_what_is_typed_is_bounded_and_on_one_line() -> None:
    note = RunNote.of(
        "a\nb\x00\x1b[31m\u202e" + "c" * 9000, [" x  y ", "x y", "", "z" * 99, *map(str, range(99))], False
    )
    assert note.note.startswith("a b[31mccc")
    assert len(note.note) <= LONGEST_NOTE
    assert note.tags[:3] == ("x y", "z" * LONGEST_TAG, "0")
    assert len(note.tags) == MOST_TAGS
    assert RunNote.of(None, (), False) == RunNote()


def test_a_run_whose_folder_has_a_name_that_is_no_text_has_a_note(tmp_path: Path) -> None:
    change_note(tmp_path, os.fsdecode(b"caf\xe9"), RunNote(), SAID)
    assert read_notes(tmp_path) == {"caf\N{REPLACEMENT CHARACTER}": SAID}


def test_no_run_takes_the_files_place() -> None:
    with pytest.raises(RunError, match="not for a run"):
        check_run_name(DATABASE)


MANY = """
import sys
from pathlib import Path
from segmentation.runs.notes import RunNote, change_note

sys.stdin.readline()
for number in range(40):
    change_note(Path(sys.argv[1]), "both", RunNote(), RunNote(tags=(f"{sys.argv[2]}-{number}",)))
"""


def test_two_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    people = [
        subprocess.Popen(
            [sys.executable, "-c", MANY, tmp_path, name], stdin=subprocess.PIPE, stderr=subprocess.PIPE, cwd=PROJECT
        )
        for name in ("ada", "ben")
    ]
    for person in people:  # the file is not there yet: they also make it at once
        person.stdin.write(b"\n")
        person.stdin.flush()
    assert [(person.communicate()[1], person.returncode) for person in people] == [(b"", 0)] * 2
    with closing(sqlite3.connect(tmp_path / DATABASE)) as connection:
        kept = {tag for (tag,) in connection.execute("SELECT tag FROM run_tag WHERE run = 'both'")}
    assert kept == {f"{name}-{number}" for name in ("ada", "ben") for number in range(40)}


def test_a_process_that_is_killed_while_it_writes_leaves_the_file_as_it_was(file: Path) -> None:
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom segmentation.runs.database import changing\n"
        "with changing(Path(sys.argv[1])) as connection:\n"
        "    connection.execute('PRAGMA cache_size = 1')\n"  # so that pages reach the file before the end
        "    connection.executemany('INSERT INTO run (name, note) VALUES (?, ?)', "
        "((str(n), 'x' * 2000) for n in range(500)))\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, file.parent], cwd=PROJECT).returncode == -9
    assert file.with_name(f"{DATABASE}-journal").exists()
    assert read_notes(file.parent) == {"first": SAID}


def both(runs: Path, sentence: str) -> None:
    """Reading and writing say the same."""
    for use in (lambda: read_notes(runs), lambda: change_note(runs, "first", RunNote(), SAID)):
        with pytest.raises(SegmentationError, match=sentence) as caught:
            use()
        assert str(caught.value).startswith(DATABASE)
        assert str(caught.value).endswith(".")


@pytest.mark.parametrize("content", [b"Dear Sir or Madam" * 99, b"SQLite format 3\x00" + bytes(4096)])
def test_a_broken_file_is_named_and_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / DATABASE).write_bytes(content)
    both(tmp_path, "is broken")
    assert (tmp_path / DATABASE).read_bytes() == content


def test_a_file_of_which_half_is_gone_is_named(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    both(file.parent, "is broken")


def test_an_empty_file_is_as_good_as_none(tmp_path: Path) -> None:
    (tmp_path / DATABASE).touch()
    change_note(tmp_path, "first", RunNote(), SAID)
    assert read_notes(tmp_path) == {"first": SAID}


def test_a_file_of_a_newer_version_is_left_alone(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    before = file.read_bytes()
    both(file.parent, "newer version")
    assert file.read_bytes() == before


def test_a_file_of_an_earlier_version_gets_what_it_lacks_and_keeps_what_it_has(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = (*MIGRATIONS, ("CREATE TABLE verdict (patch TEXT) STRICT",))
    monkeypatch.setattr(database, "MIGRATIONS", later)
    assert read_notes(file.parent) == {"first": SAID}
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT count(*) FROM verdict").fetchone() == (0,)
        assert connection.execute("PRAGMA user_version").fetchone() == (len(later),)


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / DATABASE)) as connection:
        connection.execute("CREATE TABLE run (cookie TEXT)")
    both(tmp_path, "another program's")


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / DATABASE)
    both(tmp_path, "not a file")


def test_a_file_that_somebody_holds_is_waited_for_and_then_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "SECONDS", 0.05)
    with closing(sqlite3.connect(file, isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        both(file.parent, "in use by another program")
    assert read_notes(file.parent) == {"first": SAID}


def test_where_nothing_may_be_written_notes_are_read_all_the_same(file: Path, read_only: Path) -> None:
    subprocess.run(["mount", "-o", "remount,rw,size=1m", read_only], check=True)
    (read_only / DATABASE).write_bytes(file.read_bytes())
    subprocess.run(["mount", "-o", "remount,ro", read_only], check=True)
    assert read_notes(read_only) == {"first": SAID}
    with pytest.raises(RunError, match="cannot be written: give permission"):
        change_note(read_only, "first", SAID, RunNote())
    assert read_notes(read_only) == {"first": SAID}


def test_a_full_disk_loses_nothing(small_disk: Path, fill: object) -> None:
    change_note(small_disk, "first", RunNote(), SAID)
    fill(small_disk)
    with pytest.raises(RunError, match="make room"):
        for number in range(2_000):
            change_note(small_disk, str(number), RunNote(), RunNote("x" * LONGEST_NOTE))
    (small_disk / "filler").unlink()
    assert read_notes(small_disk)["first"] == SAID


@pytest.mark.parametrize(
    "query",
    [
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i, '', 0 FROM n WHERE i < 0",
        "SELECT hex(zeroblob(2000000)), '', 0",
    ],
)
def test_a_file_that_asks_for_endless_work_is_given_up(tmp_path: Path, query: str) -> None:
    with closing(sqlite3.connect(tmp_path / DATABASE)) as connection:
        connection.execute(f"CREATE VIEW run (name, note, hidden) AS {query}")
        connection.execute("CREATE TABLE run_tag (run, tag)")
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    with pytest.raises(RunError, match="is broken"):
        read_notes(tmp_path)


def test_values_of_other_types_and_broken_text_are_read_as_text(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / DATABASE)) as connection:
        connection.execute("CREATE TABLE run (name, note, hidden)")
        connection.execute("CREATE TABLE run_tag (run, tag)")
        connection.execute("INSERT INTO run VALUES (CAST(x'636166e9' AS TEXT), 7, 'no'), ('b', x'00ff', NULL)")
        connection.execute("INSERT INTO run_tag VALUES ('b', 3.5)")
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.commit()
    notes = read_notes(tmp_path)
    assert set(notes) == {"caf\N{REPLACEMENT CHARACTER}", "b"}
    assert notes["b"].tags == ("3.5",)
    assert all(isinstance(note.note, str) and isinstance(note.hidden, bool) for note in notes.values())


def test_speeds_are_those_of_this_machine_and_the_last_that_was_measured(file: Path) -> None:
    keep_speed(file.parent, "mine", 1.5)
    keep_speed(file.parent, "mine", 0.5)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("INSERT INTO run_speed VALUES ('theirs', 'another machine', 0.1)")
    assert read_speeds(file.parent) == {"mine": 0.5}
    assert read_speeds(file.parent / "nowhere") == {}
