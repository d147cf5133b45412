"""What is odd about the data that a report is of."""

from pathlib import Path

import pandas as pd

from segmentation.data.health import examine, known_report
from segmentation.data.kept import KeptResults
from segmentation.data.patches import Progress
from segmentation.data.scenes import Dataset

LARGEST = 1 << 28
"""Bytes of a data set's files: those of a larger one are not read for a report."""

KEPT_BYTES = 512 << 20
"""Of what was found in scenes before, as the pages keep it."""


def read_findings(
    dataset: Dataset, patch_size: int, cache: Path, progress: Progress | None = None
) -> pd.DataFrame | None:
    """Return the findings of a data set's health report, read anew as far as they are not known.

    Args:
        dataset: The scenes.
        patch_size: Side of a patch, in pixels.
        cache: The folder where the pages keep what was found before.
        progress: Called with (scenes done, scenes).

    Returns:
        As `Health.findings`; None of a data set that is too large to be read for a report.
    """
    if dataset.file_bytes() > LARGEST:
        return known_findings(dataset, patch_size, cache)
    return examine(dataset, patch_size, progress, _kept(cache)).findings


def known_findings(dataset: Dataset, patch_size: int, cache: Path) -> pd.DataFrame | None:
    """Return the findings of a data set all of whose scenes were read before, without reading any; else None."""
    health = known_report(dataset, patch_size, _kept(cache))
    return None if health is None else health.findings


def _kept(cache: Path) -> KeptResults:
    return KeptResults(cache / "health.sqlite", KEPT_BYTES)
