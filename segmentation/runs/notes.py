"""What people say about runs: a note, tags, and which are hidden; those of shipped runs too, all by the run's name."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from segmentation.errors import printable
from segmentation.runs.database import changing, reading

LONGEST_NOTE, LONGEST_TAG, MOST_TAGS = 2_000, 40, 20
"""Characters of a note and of a tag, and tags of a run."""

MOST_RUNS = 10_000
"""Runs whose notes are read."""

READ_RUNS = "SELECT CAST(name AS TEXT), CAST(note AS TEXT), hidden FROM run WHERE name NOTNULL LIMIT ?"

READ_TAGS = "SELECT CAST(run AS TEXT), CAST(tag AS TEXT) FROM run_tag WHERE tag NOTNULL ORDER BY tag LIMIT ?"
# As text: a file that somebody prepared may hold numbers and bytes.


@dataclass(frozen=True)
class RunNote:
    """What is said about one run."""

    note: str = ""
    tags: tuple[str, ...] = ()
    hidden: bool = False

    @classmethod
    def of(cls, note: str | None, tags: Iterable[str], hidden: bool) -> "RunNote":
        """Return what somebody typed as it is kept: no longer than it may be, without control characters."""
        cleaned = (_clean(tag, LONGEST_TAG) for tag in tags)
        return cls(_clean(note or "", LONGEST_NOTE), tuple(dict.fromkeys(filter(None, cleaned)))[:MOST_TAGS], hidden)


def read_notes(runs: Path) -> dict[str, RunNote]:
    """Return what is said about runs, by their names; runs of which nothing is said are left out.

    Args:
        runs: The folder of the runs.

    Raises:
        RunError: If the file cannot be read.
    """
    with reading(runs) as connection:
        if connection is None:
            return {}
        said = connection.execute(READ_RUNS, (MOST_RUNS,)).fetchall()
        tagged = connection.execute(READ_TAGS, (MOST_RUNS * MOST_TAGS,)).fetchall()
    tags: dict[str, list[str]] = {}
    for name, tag in tagged:
        tags.setdefault(name, []).append(tag)
    alone = [(name, "", 0) for name in tags.keys() - {name for name, _, _ in said}]
    return {name: RunNote.of(note, tags.get(name, ()), bool(hidden)) for name, note, hidden in [*said, *alone]}


def change_note(runs: Path, name: str, before: RunNote, after: RunNote) -> None:
    """Keep what somebody changed about a run, and leave what others have changed since they looked.

    Args:
        runs: The folder of the runs.
        name: The run's.
        before: What they saw.
        after: What they made of it.

    Raises:
        RunError: If it cannot be kept.
        StorageError: If the folder of the runs cannot be made.
    """
    name = printable(name)  # a folder's name may hold bytes that are no text
    removed, added = set(before.tags) - set(after.tags), set(after.tags) - set(before.tags)
    with changing(runs) as connection:
        connection.execute("INSERT OR IGNORE INTO run (name) VALUES (?)", (name,))
        if after.note != before.note:
            connection.execute("UPDATE run SET note = ? WHERE name = ?", (after.note, name))
        if after.hidden != before.hidden:
            connection.execute("UPDATE run SET hidden = ? WHERE name = ?", (after.hidden, name))
        connection.executemany("DELETE FROM run_tag WHERE run = ? AND tag = ?", [(name, tag) for tag in removed])
        connection.executemany("INSERT OR IGNORE INTO run_tag VALUES (?, ?)", [(name, tag) for tag in added])


def _clean(text: str, longest: int) -> str:
    """Return a text on one line, without what cannot be printed, no longer than it may be."""
    text = " ".join(text[: 2 * longest].split())
    return "".join(letter for letter in text if letter.isprintable())[:longest]
