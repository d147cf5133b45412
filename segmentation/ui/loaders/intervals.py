"""What scores tell: their intervals, what one run gains on another, what leaks, what matters; computed once."""

from segmentation.evaluation.gains import gains_between, intervals_of
from segmentation.evaluation.headlines import Headline, find_headlines
from segmentation.evaluation.leak import Leak, compare_parts, find_leak
from segmentation.intervals import Gain, Intervals
from segmentation.runs.run import PATCHES, Run
from segmentation.ui.loaders.caching import remembered

Mark = tuple[str, int, int]


def load_intervals(run: Run) -> Intervals | None:
    """Return the intervals of the scores of a run's held-out patches; None if it has none, or too few scenes."""
    if run.metrics and run.metrics.intervals:
        return run.metrics.intervals
    mark = patches_mark(run)  # scored before intervals were kept
    return _intervals(run, mark) if mark else None


def load_gains(
    run: Run, other: Run, part: str, tiles: tuple[str, ...]
) -> tuple[dict[str, Gain], dict[str, Gain]] | None:
    """Return what another run gains on a run, as `find_gains`, on the patches that both have in a part.

    Args:
        run: A run.
        other: Another, of the same classes in the same order.
        part: ``test`` or ``train``.
        tiles: Only patches of these; all if there is none.
    """
    mark, other_mark = patches_mark(run), patches_mark(other)
    return _gains(run, other, part, tiles, (mark, other_mark)) if mark and other_mark else None


def load_leak(run: Run) -> Leak | None:
    """Return the scores of a run's held-out patches by how near they are to what was trained on, as `find_leak`."""
    mark = patches_mark(run)
    return _leak(run, mark) if mark else None


def load_comparison(run: Run, other: Run) -> dict[str, Gain]:
    """Return what another run's held-out part scores more than a run's, as `compare_parts`; empty if it cannot be."""
    mark, other_mark = patches_mark(run), patches_mark(other)
    return _comparison(run, other, (mark, other_mark)) if mark and other_mark else {}


def load_headlines(run: Run) -> list[Headline]:
    """Return what matters most about a run, as `find_headlines`; nothing if it cannot be told."""
    mark = patches_mark(run)
    return _headlines(run, mark) if mark else []


def patches_mark(run: Run) -> Mark | None:
    """Return what tells a run's scored patches from others, and from those of an earlier evaluation; None of none."""
    try:
        status = (run.folder / PATCHES).stat()
    except OSError:
        return None
    return str(run.folder), status.st_mtime_ns, status.st_size


@remembered(256, key=lambda run, mark: mark)
def _intervals(run: Run, mark: Mark) -> Intervals | None:
    return intervals_of(run)


@remembered(256, key=lambda run, other, part, tiles, marks: (part, tiles, marks))
def _gains(
    run: Run, other: Run, part: str, tiles: tuple[str, ...], marks: tuple[Mark, Mark]
) -> tuple[dict[str, Gain], dict[str, Gain]] | None:
    return gains_between(run, other, part, tiles)


@remembered(256, key=lambda run, mark: mark)
def _leak(run: Run, mark: Mark) -> Leak | None:
    if run.patches is None or run.palette is None or run.confusion_matrices is None:
        return None
    return find_leak(run.patches, run.confusion_matrices, run.palette, run.patch_size)


@remembered(256, key=lambda run, mark: mark)
def _headlines(run: Run, mark: Mark) -> list[Headline]:
    if run.patches is None or run.palette is None or run.confusion_matrices is None:
        return []
    return find_headlines(run.patches, run.confusion_matrices, run.palette)


@remembered(256, key=lambda run, other, marks: marks)
def _comparison(run: Run, other: Run, marks: tuple[Mark, Mark]) -> dict[str, Gain]:
    if run.patches is None or run.palette is None or run.confusion_matrices is None:
        return {}
    if other.patches is None or other.confusion_matrices is None:
        return {}
    return compare_parts((run.patches, run.confusion_matrices), (other.patches, other.confusion_matrices), run.palette)
