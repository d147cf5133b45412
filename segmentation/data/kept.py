"""What was computed from files before, kept in one bounded SQLite file: a restart does not compute it again."""

import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

PATIENCE = 5.0
"""Seconds to wait for another process that writes."""

AT_ONCE = 500
"""Keys asked for in one statement, of which SQLite takes a thousand."""

TABLE = """
PRAGMA synchronous = OFF;
CREATE TABLE IF NOT EXISTS results (key TEXT PRIMARY KEY, value BLOB NOT NULL, bytes INTEGER, used REAL);
CREATE INDEX IF NOT EXISTS by_use ON results (used, bytes);
"""
"""Nothing waits for the disk: what a crash of the machine takes can be made again. The index tells the sum of bytes."""


class KeptResults:
    """Results by their keys, in a file that processes share. What the file cannot give is computed again, no more.

    Args:
        path: The file; its folder is made if it is missing.
        most: Bytes of results kept; beyond these, what nobody has asked for the longest goes.
    """

    def __init__(self, path: Path, most: int) -> None:
        self._path, self._most = path, most

    def read(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Return the results that are there, by their keys."""
        found: dict[str, bytes] = {}
        with suppress(sqlite3.Error, OSError), self._opened() as file:
            for start in range(0, len(keys), AT_ONCE):
                some = keys[start : start + AT_ONCE]
                marks = ", ".join("?" * len(some))
                found.update(file.execute(f"SELECT key, value FROM results WHERE key IN ({marks})", some))  # noqa: S608
                file.execute(f"UPDATE results SET used = ? WHERE key IN ({marks})", (time.time(), *some))  # noqa: S608
        return {key: value for key, value in found.items() if isinstance(value, bytes)}

    def write(self, results: Mapping[str, bytes]) -> None:
        """Keep results; a full disk or a folder where nobody may write keeps none."""
        rows = [(key, value, len(value), time.time()) for key, value in results.items()]
        with suppress(sqlite3.Error, OSError), self._opened() as file:
            file.executemany("INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?)", rows)
            (total,) = file.execute("SELECT COALESCE(SUM(bytes), 0) FROM results").fetchone()
            if total > self._most:
                for row, length in file.execute("SELECT rowid, bytes FROM results ORDER BY used").fetchall():
                    if total > self._most:
                        file.execute("DELETE FROM results WHERE rowid = ?", (row,))
                        total -= length

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with closing(sqlite3.connect(self._path, timeout=PATIENCE)) as file, file:
                file.executescript(TABLE)
                yield file
        except sqlite3.OperationalError:  # busy, full or read only: nothing is wrong with the file
            raise
        except sqlite3.DatabaseError:  # it is no database, or a broken one
            self._path.unlink(missing_ok=True)
            raise
