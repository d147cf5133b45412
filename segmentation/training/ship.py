"""Make a finished run small enough to come with the project. Importing this imports Keras."""

import shutil
import zipfile
from pathlib import Path

import numpy as np

from segmentation.data.patches import Progress
from segmentation.data.scenes import Dataset
from segmentation.errors import RunError
from segmentation.evaluation.evaluate import evaluate_run
from segmentation.files import replacing
from segmentation.inference.model_file import load_keras_model
from segmentation.runs.run import BEST, CONFIG, HISTORY, Run, write_status


def ship(run: Run, dataset: Dataset, target: Path, progress: Progress | None = None) -> Run:
    """Copy a finished run, its weights rounded to half precision and compressed, its scores measured again.

    The model computes in single precision as before: only the values are rounded, so that the file packs well.

    Args:
        run: A run whose training has ended.
        dataset: What it was trained on.
        target: The new run folder.
        progress: Called with (done, total) while patches are read and predicted.

    Raises:
        RunError: If the run is not finished, or the target exists.
    """
    if run.status.state != "finished" or run.problems:
        raise RunError(f"{run.name} is not a finished run: {', '.join(run.problems) or run.status.state}.")
    if target.exists():
        raise RunError(f"There is a folder {target.name} already: remove it first.")
    model = load_keras_model(run.folder / BEST)
    model.set_weights([weights.astype(np.float16).astype(weights.dtype) for weights in model.get_weights()])
    with replacing(target / BEST) as temporary:
        model.save(temporary)
        _compress(temporary)
    for name in (CONFIG, HISTORY):
        shutil.copyfile(run.folder / name, target / name)
    evaluate_run(Run(target), dataset, save=True, progress=progress)
    write_status(target, "finished")
    return Run(target)


def _compress(path: Path) -> None:
    """Pack a .keras file, which is a zip archive of uncompressed entries, anew with compression."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    # Rounded weights pack a fifth smaller by LZMA than by deflate; bzip2, as small, takes a second to unpack.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
