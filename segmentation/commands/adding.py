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
from segmentation.runs.run import check_run_name


def add(
    name: Annotated[str, tyro.conf.Positional],
    predictions: Path | None = None,
    model: Path | None = None,
    data: Path | None = None,
    runs: Path = RUNS,
    protocol: Protocol = "all",
    held_out_tile: str | None = None,
    patch_size: int = PATCH_SIZE,
    adapter: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = (),
) -> int:
    """Add what was made elsewhere as a run: it is scored, and every page shows it.

    A model is copied into the run's folder. How it wants its images is found out, said, and kept in model.toml.

    A prediction is an image of class indices, in the data set's own values or in its classes' colours, or an array of
    probabilities (.npy, .npz, or the bands of a TIFF). Files that do not fit are named, and scenes without a
    prediction left out; the exit code is then 3.

    Args:
        name: Name of the new run.
        predictions: Folder of predictions, a file for each scene, called as its image or its mask; also what predict
            has written.
        model: ONNX or Keras file (.onnx, .keras), or the folder of a TensorFlow SavedModel.
        data: Folder of the data set, or a packed one; by default SEGMENTATION_DATA, data/ or the demo set.
        runs: Folder that holds the runs.
        protocol: What is scored: all scenes, or what another protocol holds out; the others count as trained on.
        held_out_tile: The tile to score under the tile protocol.
        patch_size: Side of the patches that are scored and ranked, in pixels; a model that takes only one square size
            up to 512 has it scored by that.
        adapter: Of a model: what is known of how it wants its images, as often as needed, such as scale=0-1 (0-255,
            -1-1, imagenet), order=bgr, mean=0.5,0.5,0.5, deviation=…, layout=nhwc, height=512, width=512, divisor=32,
            output=logits (probabilities, classes), and classes=NAME,NAME in the model's order.
    """
    if (predictions is None) == (model is None):
        raise ConfigurationError("Say what to add: --predictions FOLDER or --model FILE.")
    if adapter and model is None:
        raise ConfigurationError("An adapter belongs to a model: give --adapter with --model.")
    with dataset_at(data) as dataset, progress_bar("done") as progress:
        how = protocol, held_out_tile, patch_size, progress, remark
        if predictions:
            from segmentation.evaluation.recorded import add_predictions

            run = add_predictions(name, predictions, dataset, runs, *how)
        elif model:
            check_run_name(name)
            from segmentation.evaluation.foreign import add_model
            from segmentation.inference.foreign.adapter import read_settings

            run = add_model(runs / name, model, dataset, read_settings(adapter), *how)
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
