"""The SQLite file that keeps what people say, beside the runs: opened by several sessions at once, brought up to date.

Its journal is rolled back, not written ahead: a folder of runs may lie on a network's disk, where the memory that
write-ahead shares between processes is none, or be read only.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from segmentation.errors import RunError
from segmentation.files import writing

DATABASE = "dashboard.sqlite"
"""In the folder of the runs."""

SECONDS = 5.0
"""How long to wait while another session writes; each transaction takes milliseconds."""

LONGEST_VALUE, MOST_STEPS = 1 << 20, 20_000_000
"""Bytes of a value, and steps of SQLite's machine for a statement: a file that somebody prepared may ask for any."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE run (
            name TEXT PRIMARY KEY,
            note TEXT NOT NULL DEFAULT '',
            hidden INTEGER NOT NULL DEFAULT 0
        ) STRICT""",
        """CREATE TABLE run_tag (
            run TEXT NOT NULL,
            tag TEXT NOT NULL,
            PRIMARY KEY (run, tag)
        ) STRICT, WITHOUT ROWID""",
    ),
    (
        """CREATE TABLE run_speed (
            run TEXT NOT NULL,
            machine TEXT NOT NULL,
            seconds REAL NOT NULL,
            PRIMARY KEY (run, machine)
        ) STRICT, WITHOUT ROWID""",
    ),
    (
        """CREATE TABLE run_threshold (
            run TEXT NOT NULL,
            class TEXT NOT NULL,
            threshold REAL NOT NULL,
            PRIMARY KEY (run, class)
        ) STRICT, WITHOUT ROWID""",
    ),
    (
        """CREATE TABLE slice (
            name TEXT PRIMARY KEY,
            conditions TEXT NOT NULL
        ) STRICT, WITHOUT ROWID""",
    ),
    (
        """CREATE TABLE region_verdict (
            dataset TEXT NOT NULL,
            scene TEXT NOT NULL,
            labelled TEXT NOT NULL,
            predicted TEXT NOT NULL,
            first_row INTEGER NOT NULL,
            first_column INTEGER NOT NULL,
            end_row INTEGER NOT NULL,
            end_column INTEGER NOT NULL,
            verdict TEXT NOT NULL,
            run TEXT NOT NULL,
            reviewed TEXT NOT NULL,
            PRIMARY KEY (dataset, scene, labelled, predicted, first_row, first_column, end_row, end_column)
        ) STRICT, WITHOUT ROWID""",
    ),
)
"""What makes each version of the file out of the one before, from an empty one on; ``user_version`` counts them.

Whatever else is to be kept is one entry more. Those that were released do not change: files have been made by them.
"""


@contextmanager
def reading(runs: Path) -> Iterator[sqlite3.Connection | None]:
    """Yield a connection to read by, and to nothing else; None if nothing was kept yet.

    Args:
        runs: The folder of the runs.

    Raises:
        RunError: If the file is broken, locked for long, or of a newer version.
    """
    if not (runs / DATABASE).exists():
        yield None
        return
    with _opened(runs / DATABASE, "rw") as connection:  # SQLite falls back on reading where writing is not allowed
        yield connection


@contextmanager
def changing(runs: Path) -> Iterator[sqlite3.Connection]:
    """Yield a connection whose changes are kept together when the block ends, or not at all if it raises.

    Args:
        runs: The folder of the runs. It is made if it is missing.

    Raises:
        RunError: If the file is broken, locked for long, of a newer version, or cannot be written.
        StorageError: If the folder cannot be made.
    """
    with writing(runs):
        runs.mkdir(parents=True, exist_ok=True)
    with _opened(runs / DATABASE, "rwc") as connection:
        connection.execute("BEGIN IMMEDIATE")  # waits its turn now: to become a writer later may be refused at once
        yield connection
        connection.execute("COMMIT")


@contextmanager
def _opened(path: Path, mode: str) -> Iterator[sqlite3.Connection]:
    """Open the file at `path` and bring it up to date; turn what SQLite says into one sentence."""
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise RunError(f"{path.name} is not a file: move it away, so that notes can be kept.")
        address = f"{path.absolute().as_uri()}?mode={mode}"
        # Without a level transactions begin where it is said; an open one ends undone when its connection is closed.
        with closing(sqlite3.connect(address, SECONDS, isolation_level=None, uri=True)) as connection:
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_VALUE)
            connection.set_progress_handler(lambda: 1, MOST_STEPS)
            connection.text_factory = lambda raw: raw.decode(errors="replace")
            _bring_up_to_date(connection, path)
            yield connection
    except sqlite3.Error as error:
        raise RunError(_sentence(path, error)) from error


def _bring_up_to_date(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables that an earlier version of the file lacks.

    Raises:
        RunError: If it is of a newer version, or another program's.
    """
    if _version(connection) == len(MIGRATIONS):
        return
    if _version(connection) > len(MIGRATIONS):
        raise RunError(f"{path.name} was written by a newer version of the dashboard: update this one to read it.")
    connection.execute("BEGIN IMMEDIATE")
    version = _version(connection)  # another session may just have done it
    if version == 0 and connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        raise RunError(f"{path.name} is another program's database: move it away, so that notes can be kept.")
    for statements in MIGRATIONS[version:]:
        for statement in statements:
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    connection.execute("COMMIT")


def _version(connection: sqlite3.Connection) -> int:
    return connection.execute("PRAGMA user_version").fetchone()[0]


def _sentence(path: Path, error: sqlite3.Error) -> str:
    """Say what is wrong with the file and what to do, by SQLite's primary result code."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"{path.name} is in use by another program: close that, then try again."
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return f"{path.name} cannot be written: give permission to it and to its folder, then try again."
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return f"{path.name} cannot be written ({error}): make room for it, then try again."
    return f"{path.name} is broken ({error}): restore it from a copy or move it away."
