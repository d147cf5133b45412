"""The command that adds what was made elsewhere as a run."""

from pathlib import Path
from typing import Annotated

import tyro

from segmentation.commands.common import RUNS, progress_bar, remark
from segmentation.commands.datasets import dataset_at
from segmentation.commands.training import print_scores, written_scores
from segmentation.data.patches import NAMED, PATCH_SIZE
from segmentation.data.protocols import Protocol
from segmentation.errors import DONE, PARTLY, ConfigurationError
from segmentation.runs.records import Metrics


def add(
    name: Annotated[str, tyro.conf.Positional],
    predictions: Path | None = None,
    data: Path | None = None,
    runs: Path = RUNS,
    protocol: Protocol = "all",
    held_out_tile: str | None = None,
    patch_size: int = PATCH_SIZE,
) -> int:
    """Add what was made elsewhere as a run: it is scored, and every page shows it.

    A prediction is an image of class indices, in the data set's own values or in its classes' colours, or an array of
    probabilities (.npy, .npz, or the bands of a TIFF). Files that do not fit are named, and scenes without a
    prediction left out; the exit code is then 3.

    Args:
        name: Name of the new run.
        predictions: Folder of predictions, a file for each scene, called as its image or its mask; also what predict
            has written.
        data: Folder of the data set, or a packed one; by default SEGMENTATION_DATA, data/ or the demo set.
        runs: Folder that holds the runs.
        protocol: What is scored: all scenes, or what another protocol holds out; the others count as trained on.
        held_out_tile: The tile to score under the tile protocol.
        patch_size: Side of the patches that are scored and ranked, in pixels.
    """
    if predictions is None:
        raise ConfigurationError("Say what to add: --predictions FOLDER.")
    from segmentation.evaluation.recorded import add_predictions

    with dataset_at(data) as dataset, progress_bar("scenes") as progress:
        run = add_predictions(name, predictions, dataset, runs, protocol, held_out_tile, patch_size, progress, remark)
    metrics = written_scores(run)
    print_scores(run.name, metrics)
    return _tell(metrics)


def _tell(metrics: Metrics) -> int:
    """Say what was left out and what is odd; return the exit code."""
    left_out = (metrics.dataset and metrics.dataset.skipped) or []
    scenes = (metrics.dataset and metrics.dataset.scenes) or 0
    how_many = f"Left out {len(left_out):,} of {scenes:,} scenes"
    for found, how in ((left_out, how_many), (metrics.findings or [], "Note")):
        for sentence in found[:NAMED]:
            remark(f"{how}: {sentence}")
        if len(found) > NAMED:
            remark(f"{how}: {len(found) - NAMED:,} more are in metrics.json")
    return PARTLY if left_out or metrics.findings else DONE
