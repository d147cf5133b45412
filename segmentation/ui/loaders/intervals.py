"""The intervals of a run's scores, computed once."""

from segmentation.intervals import Intervals, find_intervals
from segmentation.runs.run import PATCHES, Run
from segmentation.ui.loaders.caching import remembered


def load_intervals(run: Run) -> Intervals | None:
    """Return the intervals of the scores of a run's held-out patches; None if it has none, or too few scenes."""
    try:
        status = (run.folder / PATCHES).stat()
    except OSError:
        return None
    return _load(run, (status.st_mtime_ns, status.st_size))


@remembered(256, key=lambda run, mark: (run.folder, mark))
def _load(run: Run, mark: tuple) -> Intervals | None:
    if run.patches is None or run.palette is None or run.confusion_matrices is None:
        return None
    test = (run.patches["part"] == "test").to_numpy()
    return find_intervals(run.patches[test], run.confusion_matrices[test], run.palette)
