"""What several commands need: a bar of progress, remarks, and a run by its name."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from segmentation.data.locate import runs_folder
from segmentation.data.patches import Progress
from segmentation.errors import RunError, printable
from segmentation.runs.chosen_thresholds import read_chosen
from segmentation.runs.run import SHIPPED, Run, find_runs
from segmentation.thresholds import in_words, read_thresholds

RUNS = runs_folder()


@contextmanager
def progress_bar(unit: str) -> Iterator[Progress]:
    """Yield a callback (done, total) that draws a bar on standard error."""
    with tqdm(unit=f" {unit}", leave=False, dynamic_ncols=True, disable=not sys.stderr.isatty()) as bar:

        def update(done: int, total: int) -> None:
            if total != bar.total:  # another task, with a clock of its own
                bar.reset(total)
            bar.update(done - bar.n)

        yield update


def remark(sentence: str) -> None:
    """Say what the user should know on standard error, above a bar if there is one."""
    tqdm.write(printable(sentence), sys.stderr)


def chosen_thresholds(run: Run, runs: Path, entries: tuple[str, ...], stored: bool) -> dict[str, float]:
    """Return the thresholds that a command is to apply, by class: those given, and if asked those stored with the run.

    Where some are stored and none asked for, that is said: what a command gives does not change by a click on a page.

    Raises:
        ConfigurationError: If an entry is no threshold of one of the run's classes.
        RunError: If the run's classes are not known, or what is stored cannot be read.
    """
    if run.palette is None:
        raise RunError(f"It cannot be read which classes {run.name} has: choose another run.")
    given = read_thresholds(entries, run.palette)
    if given and not stored:
        return given
    kept = read_chosen(run, runs)
    if kept and not stored:
        remark(f"{run.name} has stored thresholds, {in_words(kept)}: --stored-thresholds applies them.")
        return {}
    return kept | given


def find_run(name: str, runs: Path) -> Run:
    """Return the run called `name`: in `runs`, among the shipped ones, or by its path.

    Raises:
        RunError: If there is none.
    """
    known = find_runs(runs, SHIPPED)
    for run in known:
        if run.name == name:
            return run
    if Path(name).is_dir():
        return Run(Path(name))
    names = ", ".join(run.name for run in known) or "none"
    raise RunError(f"There is no run {name}: the runs here are {names}.")
