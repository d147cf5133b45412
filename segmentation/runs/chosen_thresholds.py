"""The confidence thresholds that somebody chose for a run: in its folder; those of shipped runs in the database."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from segmentation.errors import printable
from segmentation.files import write_json, writing
from segmentation.runs.database import changing, reading
from segmentation.runs.fields import Record, by_name, number
from segmentation.runs.records import read_json
from segmentation.runs.run import SHIPPED, THRESHOLDS, Run

READ = "SELECT CAST(class AS TEXT), threshold FROM run_threshold WHERE run = ? AND threshold BETWEEN 0 AND 1 LIMIT 256"


@dataclass(frozen=True, kw_only=True)
class ChosenThresholds(Record):
    """The thresholds of a run: thresholds.json."""

    thresholds: Annotated[dict[str, float], by_name(number("From which probability on pixels are of a class.", 0, 1))]


def read_chosen(run: Run, runs: Path) -> dict[str, float]:
    """Return the thresholds that are kept with a run, by its classes' names and in their order; none if none are.

    Args:
        run: The run.
        runs: The folder of the runs, which has the database.

    Raises:
        RunError: If the run was shipped and the database cannot be read.
    """
    if _is_read_only(run):
        with reading(runs) as connection:
            kept = {} if connection is None else dict(connection.execute(READ, (printable(run.name),)).fetchall())
    else:
        record = ChosenThresholds.from_dict(read_json(run.folder / THRESHOLDS))
        kept = record.thresholds if record else {}
    names = run.palette.names if run.palette else ()
    return {name: float(kept[name]) for name in names if name in kept}


def keep_chosen(run: Run, runs: Path, class_name: str, threshold: float | None) -> None:
    """Keep a threshold of a class with a run, in the place of an earlier one; or remove it.

    Args:
        run: The run.
        runs: The folder of the runs, which has the database.
        class_name: One of its classes.
        threshold: From which probability on pixels are of the class; None to remove it.

    Raises:
        RunError: If the run was shipped and the database cannot be used.
        StorageError: If it cannot be written.
    """
    if _is_read_only(run):
        with changing(runs) as connection:
            place = (printable(run.name), class_name)
            connection.execute("DELETE FROM run_threshold WHERE run = ? AND class = ?", place)
            if threshold is not None:
                connection.execute("INSERT INTO run_threshold VALUES (?, ?, ?)", (*place, threshold))
        return
    kept = read_chosen(run, runs)
    kept.pop(class_name, None)
    if threshold is not None:
        kept[class_name] = threshold
    if kept:
        write_json(run.folder / THRESHOLDS, ChosenThresholds(thresholds=kept).to_dict())
    else:
        with writing(run.folder):
            (run.folder / THRESHOLDS).unlink(missing_ok=True)


def _is_read_only(run: Run) -> bool:
    return run.folder.parent == SHIPPED
