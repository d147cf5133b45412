"""What runs are, in a line each: read again where their files have changed."""

from segmentation.runs.run import ADAPTER, BEST, CONFIG, HISTORY, METRICS, PATCHES, Run
from segmentation.runs.summary import RunSummary, summarize_run
from segmentation.ui.loaders.caching import remembered

_READ = (CONFIG, METRICS, HISTORY, BEST, ADAPTER, PATCHES)


def load_summary(run: Run) -> RunSummary:
    """Return what a run is."""
    return _summary(run, run_mark(run))


def run_mark(run: Run) -> tuple[tuple[int, int] | None, ...]:
    """Return a mark of a run's files that changes when one of them does."""
    return tuple(_stamp(run, name) for name in _READ)


def _stamp(run: Run, name: str) -> tuple[int, int] | None:
    try:
        status = (run.folder / name).stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


@remembered(2_000, key=lambda run, stamps: (run.folder, stamps))
def _summary(run: Run, stamps: tuple[tuple[int, int] | None, ...]) -> RunSummary:
    return summarize_run(run)
