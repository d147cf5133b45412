"""What several commands need: a bar of progress, remarks, and a run by its name."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from segmentation.data.locate import runs_folder
from segmentation.data.patches import Progress
from segmentation.errors import RunError, printable
from segmentation.runs.run import SHIPPED, Run, find_runs

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
