"""How long models take on this machine, as it was measured: a folder of runs may be shared by several."""

import platform
from pathlib import Path

from segmentation.errors import printable
from segmentation.runs.database import changing, reading
from segmentation.runs.notes import MOST_RUNS

LONGEST = 1e6
"""Seconds a megapixel."""

READ = "SELECT CAST(run AS TEXT), seconds FROM run_speed WHERE machine = ? AND seconds BETWEEN 0 AND ? LIMIT ?"


def read_speeds(runs: Path) -> dict[str, float]:
    """Return the seconds that models take for a megapixel on this machine, by the names of their runs.

    Args:
        runs: The folder of the runs.

    Raises:
        RunError: If the file cannot be read.
    """
    with reading(runs) as connection:
        if connection is None:
            return {}
        return dict(connection.execute(READ, (platform.node(), LONGEST, MOST_RUNS)))


def keep_speed(runs: Path, name: str, seconds: float) -> None:
    """Keep how long a run's model takes for a megapixel on this machine.

    Args:
        runs: The folder of the runs.
        name: The run's.
        seconds: As measured.

    Raises:
        RunError: If it cannot be kept.
        StorageError: If the folder of the runs cannot be made.
    """
    with changing(runs) as connection:
        place = printable(name), platform.node()
        connection.execute("INSERT OR REPLACE INTO run_speed VALUES (?, ?, ?)", (*place, seconds))
