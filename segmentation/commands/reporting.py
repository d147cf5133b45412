"""The command that writes a run's report."""

from pathlib import Path

import pandas as pd

from segmentation.commands.common import RUNS, find_run, progress_bar, remark
from segmentation.data.locate import DEMO_FOLDER, cache_folder, default_folder
from segmentation.data.scenes import Dataset, find_dataset
from segmentation.errors import DONE, DatasetNotFoundError, PaletteError, RunError, printable
from segmentation.runs.reviews import Reviews
from segmentation.runs.run import Run


def report(
    run: str,
    compare: str | None = None,
    output: Path | None = None,
    data: Path | None = None,
    runs: Path = RUNS,
    colour_blind_safe: bool = False,
) -> int:
    """Write a run's report: one HTML file that opens anywhere, without a network, and prints well.

    It has the scores with their intervals, what fails with pictures, suspect labels, curves, data, model, and the
    commands that repeat it. What a run lacks is said in a sentence.

    Args:
        run: Name of a run, or the path of its folder.
        compare: Name of a second run of the same classes: whether it is better, and where.
        output: The new file; by default RUN-report.html here.
        data: Folder of the data set that the run was scored on, for pictures and findings; by default
            SEGMENTATION_DATA, data/ or the demo set.
        runs: Folder that holds the runs.
        colour_blind_safe: Draw the classes in colours that colour-blind eyes tell apart.
    """
    chosen, other = find_run(run, runs), find_run(compare, runs) if compare else None
    dataset = _dataset(data)
    from segmentation.report.build import Sources, make_report, report_name, write_report
    from segmentation.report.findings import read_findings

    with progress_bar("done") as progress:
        fingerprint = dataset.fingerprint() if dataset else None
        sources = Sources(
            dataset,
            fingerprint,
            read_findings(dataset, chosen.patch_size, cache_folder(), progress) if dataset else None,
            _reviews(runs, fingerprint),
            colour_blind_safe,
        )
        page = make_report(chosen, other, sources, progress=progress)
    target = output or Path(report_name(chosen, other))
    write_report(target, page)
    print(f"The report of {_named(chosen, other)} is in {printable(str(target))}, {len(page.encode()) / 1e6:.1f} MB")
    return DONE


def _named(run: Run, other: Run | None) -> str:
    return printable(f"{run.name} and {other.name}" if other else run.name)


def _dataset(data: Path | None) -> Dataset | None:
    """Return the data set asked for, or this machine's if it has one: a report is made without pictures, too.

    Raises:
        DatasetNotFoundError: If one is asked for, and is none.
    """
    folder = data or default_folder()
    if data is None and folder == DEMO_FOLDER and not folder.is_dir():
        return None
    try:
        return find_dataset(folder)
    except (DatasetNotFoundError, PaletteError) as error:
        if data is not None:
            raise
        remark(f"The report has no pictures. {error}")
        return None


def _reviews(runs: Path, fingerprint: str | None) -> pd.DataFrame | None:
    """Return what people said of the data set's patches, if anything can be read."""
    if fingerprint is None:
        return None
    try:
        return Reviews(runs, fingerprint).read()
    except RunError as error:
        remark(str(error))
        return None
