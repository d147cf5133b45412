"""Slices that people saved by name, in the database beside the runs: what patches have in common, for any run.

A saved slice is its conditions and the class whose IoU it is about, and no list of patches: so it holds on other runs
and other data sets as well.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from segmentation.errors import RunError
from segmentation.runs.database import changing, reading
from segmentation.runs.fields import Record, number, record, several, text

LONGEST_NAME, MOST_SLICES, MOST_CONDITIONS = 60, 200, 2
"""Characters of a name, slices that are kept, and conditions of each."""

LONGEST_TEXT = 10_000
"""Characters of a slice's conditions as JSON."""

READ = """SELECT CAST(name AS TEXT), CAST(conditions AS TEXT) FROM slice
    WHERE length(name) <= ? AND length(conditions) <= ? ORDER BY name LIMIT ?"""


@dataclass(frozen=True, kw_only=True)
class Condition(Record):
    """What is true of a patch: a feature from ``low`` on and below ``high``, or a feature that has a value."""

    feature: Annotated[str, text("What it is about, as `segmentation.evaluation.slice_features` names it.")]
    low: Annotated[float | None, number("The least value.", -1e10, 1e10, null=True)] = None
    high: Annotated[float | None, number("The value that it stays below.", -1e10, 1e10, null=True)] = None
    value: Annotated[str | None, text("The value of a feature that is a name.", null=True)] = None

    def __post_init__(self) -> None:
        """Refuse what is true of every patch.

        Raises:
            ValueError: If no bound and no value is given.
        """
        if self.low is None and self.high is None and self.value is None:
            raise ValueError(f"Expected a bound or a value. Received: {self.feature=}")


@dataclass(frozen=True, kw_only=True)
class SavedSlice(Record):
    """Patches for which all conditions are true."""

    conditions: Annotated[
        list[Condition], several(record(Condition, "All are true of a patch."), least=1, most=MOST_CONDITIONS)
    ]
    class_name: Annotated[str | None, text("The class whose IoU is compared; accuracy if none.", null=True)] = None


def read_slices(runs: Path) -> dict[str, SavedSlice]:
    """Return the saved slices by their names, in the order of these; without those that make no sense.

    Args:
        runs: The folder of the runs.

    Raises:
        RunError: If the file cannot be read.
    """
    with reading(runs) as connection:
        bounds = (LONGEST_NAME, LONGEST_TEXT, MOST_SLICES)
        rows = [] if connection is None else connection.execute(READ, bounds).fetchall()
    slices = {}
    for name, content in rows:
        try:
            read = SavedSlice.from_dict(json.loads(content))
        except (ValueError, RecursionError):  # a file that somebody prepared may hold anything
            continue
        if read is not None and name == clean_name(name) != "":
            slices[name] = read
    return slices


def clean_name(name: str) -> str:
    """Return a slice's name as it is kept: on one line, without what cannot be printed, no longer than it may be."""
    line = " ".join(name[: 4 * LONGEST_NAME].split())
    return "".join(letter for letter in line if letter.isprintable())[:LONGEST_NAME].strip()


def save_slice(runs: Path, name: str, saved: SavedSlice) -> None:
    """Keep a slice by a name that no other has.

    Args:
        runs: The folder of the runs.
        name: For people; see `clean_name`.
        saved: What it is.

    Raises:
        RunError: If there is no name, it is taken, there are `MOST_SLICES`, or it cannot be kept.
        StorageError: If the folder of the runs cannot be made.
    """
    name = clean_name(name)
    if not name:
        raise RunError("A slice needs a name: type one.")
    content = json.dumps(saved.to_dict())
    if len(content) > LONGEST_TEXT:
        raise RunError(f"The names in the slice {name} are too long to be kept: shorten those of classes or tiles.")
    with changing(runs) as connection:
        if connection.execute("SELECT count(*) FROM slice").fetchone()[0] >= MOST_SLICES:
            raise RunError(f"{MOST_SLICES} slices are saved: remove one first.")
        if connection.execute("SELECT 1 FROM slice WHERE name = ?", (name,)).fetchone():
            raise RunError(f"There is a slice {name} already: choose another name, or remove that one first.")
        connection.execute("INSERT INTO slice VALUES (?, ?)", (name, content))


def remove_slice(runs: Path, name: str) -> None:
    """Remove a saved slice, if it is still there.

    Raises:
        RunError: If the file cannot be written.
        StorageError: If the folder of the runs cannot be made.
    """
    with changing(runs) as connection:
        connection.execute("DELETE FROM slice WHERE name = ?", (name,))
