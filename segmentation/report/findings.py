"""What is odd about the data that a report is of."""

from pathlib import Path

import pandas as pd

from segmentation.data.health import examine
from segmentation.data.kept import KeptResults
from segmentation.data.patches import Progress
from segmentation.data.scenes import Dataset

LARGEST = 1 << 28
"""Bytes of a data set's files: those of a larger one are not read for a report, which is to take seconds."""

KEPT_BYTES = 512 << 20
"""Of what was found in scenes before, as the pages keep it."""


def read_findings(
    dataset: Dataset, patch_size: int, cache: Path, progress: Progress | None = None
) -> pd.DataFrame | None:
    """Return the findings of a data set's health report; None of one that is too large to be read for that.

    Args:
        dataset: The scenes.
        patch_size: Side of a patch, in pixels.
        cache: The folder where the pages keep what was found before.
        progress: Called with (scenes done, scenes).
    """
    if dataset.file_bytes() > LARGEST:
        return None
    return examine(dataset, patch_size, progress, KeptResults(cache / "health.sqlite", KEPT_BYTES)).findings
