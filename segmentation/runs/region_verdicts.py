"""What people say of regions whose labels a model contradicts, in the database beside the runs, by data set.

A verdict is of the labels, and holds until the data set's files change: its fingerprint is then another one.
"""

import time
from pathlib import Path
from typing import NamedTuple

from segmentation.errors import RunError, printable
from segmentation.runs.database import changing, reading

WRONG, RIGHT, UNSURE = "wrong", "right", "unsure"

VERDICTS = {
    WRONG: "The label is wrong, and the class predicted is right.",
    RIGHT: "The label is right.",
    UNSURE: "The picture does not tell, or another class is right.",
}
"""What a person can say of a region, and what it means."""

MOST_VERDICTS = 100_000
"""That are read of a data set."""

READ = """SELECT CAST(scene AS TEXT), CAST(labelled AS TEXT), CAST(predicted AS TEXT),
    first_row, first_column, end_row, end_column, CAST(verdict AS TEXT)
    FROM region_verdict WHERE dataset = ? LIMIT ?"""

WRITE = "INSERT OR REPLACE INTO region_verdict VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"

REMOVE = """DELETE FROM region_verdict WHERE dataset = ? AND scene = ? AND labelled = ? AND predicted = ?
    AND first_row = ? AND first_column = ? AND end_row = ? AND end_column = ?"""


class Region(NamedTuple):
    """By what a region is known again: its scene, its label and prediction, and its box.

    Args:
        scene: The scene's name.
        labelled: Name of the class of the label.
        predicted: Name of the class predicted.
        top: First row.
        left: First column.
        bottom: The row after the last.
        right: The column after the last.
    """

    scene: str
    labelled: str
    predicted: str
    top: int
    left: int
    bottom: int
    right: int


def read_verdicts(runs: Path, fingerprint: str) -> dict[Region, str]:
    """Return the verdicts on a data set's regions, one of `VERDICTS` each; those that make no sense are left out.

    Args:
        runs: The folder of the runs.
        fingerprint: The data set's.

    Raises:
        RunError: If the file cannot be read.
    """
    with reading(runs) as connection:
        rows = [] if connection is None else connection.execute(READ, (fingerprint, MOST_VERDICTS)).fetchall()
    return {Region(*region): verdict for *region, verdict in rows if verdict in VERDICTS}


def keep_verdict(runs: Path, fingerprint: str, region: Region, verdict: str | None, run: str) -> None:
    """Keep a verdict on a region, in the place of an earlier one; or take that back.

    Args:
        runs: The folder of the runs.
        fingerprint: The data set's.
        region: What it is on.
        verdict: One of `VERDICTS`; None to take it back.
        run: The name of the run that contradicts the label.

    Raises:
        RunError: If it is no verdict, or cannot be kept.
        StorageError: If the folder of the runs cannot be made.
    """
    if verdict is not None and verdict not in VERDICTS:
        raise RunError(f"Expected a verdict out of {', '.join(VERDICTS)}. Received: {verdict}")
    place = (fingerprint, *region[:3], *map(int, region[3:]))
    with changing(runs) as connection:
        if verdict is None:
            connection.execute(REMOVE, place)
        else:
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            connection.execute(WRITE, (*place, verdict, printable(run), now))
