"""Runs' reports, made once for all sessions."""

from collections.abc import Hashable

from segmentation.data.locate import cache_folder
from segmentation.data.scenes import Dataset
from segmentation.report.build import Sources, make_report
from segmentation.report.findings import known_findings
from segmentation.runs.reviews import Reviews
from segmentation.runs.run import Run
from segmentation.ui.loaders.caching import MEGABYTE, remembered, taking_turns
from segmentation.ui.loaders.predictions import load_predictor
from segmentation.ui.loaders.runs import run_mark
from segmentation.ui.loaders.scenes import load_fingerprint


def report_mark(run: Run, other: Run | None, dataset: Dataset, reviews: Reviews, safe: bool) -> Hashable:
    """Return a mark of a report that changes when what it shows does."""
    runs = tuple((one.folder, run_mark(one)) for one in (run, other) if one)
    reviewed = reviews.path.stat().st_mtime_ns if reviews.path.is_file() else None
    return runs, dataset.stamp(), reviewed, safe


@remembered(
    32 * MEGABYTE,
    key=lambda mark, *_: mark,
    size=len,
)
def load_report(mark: Hashable, run: Run, other: Run | None, dataset: Dataset, reviews: Reviews, safe: bool) -> str:
    """Return a run's report as an HTML page, with a bar while it is made.

    Args:
        mark: As `report_mark` returns it.
        run: The run.
        other: A second one to compare with it.
        dataset: The data set in use, in the runs' classes.
        reviews: Of its patches.
        safe: Draw the classes in colours that colour-blind eyes tell apart.

    Raises:
        RunError: If the reviews cannot be read, or the runs cannot be compared.
        BusyError: If too many predictions are under way.
    """
    with taking_turns("Making the report …") as progress:
        findings = known_findings(dataset, run.patch_size, cache_folder())
        sources = Sources(dataset, load_fingerprint(dataset), findings, reviews.read(), safe, load_predictor)
        return make_report(run, other, sources, progress=progress)
