"""Predictions of every scene by the training that left it out, and how their scores differ by place (no TensorFlow)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from segmentation.data.patches import Patches, Progress
from segmentation.data.protocols import TEST
from segmentation.data.scenes import Dataset, read_scene
from segmentation.errors import RunError
from segmentation.evaluation.diagnosis import grouped_scores
from segmentation.evaluation.evaluate import record_of, score_counted
from segmentation.evaluation.scene_scores import Counted, Extra, count, put_aside
from segmentation.evaluation.tempering import CountedParts
from segmentation.files import replacing
from segmentation.inference.predictor import Predictor
from segmentation.runs.patch_table import confusion_matrices
from segmentation.runs.recording import kept_path
from segmentation.runs.records import Metrics
from segmentation.runs.run import BEST, Run

PLACE_SCORES = ("mean_iou", "accuracy")
"""Whose mean and deviation over places is told; columns of `grouped_scores`."""


def predict_out_of_fold(
    folder: Path,
    models: Mapping[str, Path],
    dataset: Dataset,
    patches: Patches,
    progress: Progress | None = None,
) -> tuple[Metrics, pd.DataFrame]:
    """Predict each scene by the model that was not trained on it, keep its classes as a picture, and score all patches.

    Args:
        folder: The run folder that gets the pictures, as `segmentation.runs.recording.read_recorded` reads them.
        models: The model's path by the scene's name, of every scene that gives a patch.
        dataset: The scenes.
        patches: All their patches, void left as it is.
        progress: Called with (patches done, patches).

    Returns:
        The scores of all patches under protocol ``k-fold``, and the contents of patches.csv.

    Raises:
        RunError: If a model cannot be loaded.
        BackendError: If what computes it cannot be loaded.
        ImageFileError: If a scene cannot be read any more.
        StorageError: If a picture cannot be written.
    """
    counted: dict[str, Counted] = {}
    counts = list[np.ndarray]()
    done, names = 0, patches.table["scene"].to_numpy()
    for model in dict.fromkeys(models.values()):
        predictor = Predictor(model)
        for scene in (dataset.scene(name) for name, of in models.items() if of == model):
            chosen = names == scene.name
            found = count(predictor, patches.only(chosen), len(dataset.palette), extra=Extra(probabilities=True))
            counted[scene.name] = put_aside(found, counts)
            image, _ = read_scene(scene, dataset.palette, dataset.stretch)
            with replacing(kept_path(folder, scene.name)) as temporary:
                Image.fromarray(predictor.scene_classes(image)).save(temporary, "PNG", compress_level=6)
            done += int(chosen.sum())
            if progress:
                progress(done, len(names))
    joined = Counted.joined([counted[name] for name in dict.fromkeys(names)])
    found_in_all = CountedParts(joined, probabilities={TEST: counts[0]} if counts else {})
    parts = np.full(len(names), TEST, object)
    metrics, table = score_counted(found_in_all, patches, parts, dataset.palette, "k-fold")
    return replace(metrics, dataset=record_of(dataset, dataset.fingerprint(), patches, parts == TEST)), table


def models_of_folds(folds: Sequence[Run]) -> dict[str, Path]:
    """Return the model that was not trained on a scene, by the scene's name.

    Args:
        folds: Finished runs, each of which left some scenes out.

    Raises:
        RunError: If a fold has no model or scores, or a scene was left out twice.
    """
    models: dict[str, Path] = {}
    for fold in folds:
        if fold.trained_model is None or fold.patches is None:
            problems = ", ".join(fold.problems)
            raise RunError(f"{fold.name} cannot be joined with the other folds: {problems}. Remove it, and resume.")
        left_out = fold.patches.loc[fold.patches["part"] == TEST, "scene"].unique()
        if twice := set(left_out) & models.keys():
            raise RunError(f"{fold.name} leaves out {sorted(twice)[0]}, as another fold does: remove it, and resume.")
        models |= dict.fromkeys(left_out, fold.folder / BEST)
    return models


def scores_by_place(run: Run, by: str) -> pd.DataFrame | None:
    """Return a run's scores on its held-out patches, a row for each place, as `grouped_scores`; None if not evaluated.

    Args:
        run: An evaluated run.
        by: ``scene`` or ``tile``.
    """
    if run.patches is None or run.palette is None:
        return None
    matrices = confusion_matrices(run.patches, run.palette)
    test = (run.patches["part"] == TEST).to_numpy()
    if matrices is None or not test.any():
        return None
    return grouped_scores(run.patches[test].reset_index(drop=True), matrices[test], by, run.palette.names)


def mean_and_deviation(groups: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """Return the mean of each of `PLACE_SCORES` over places, all alike, and its sample standard deviation.

    Args:
        groups: A row for each place, as `grouped_scores` returns them.

    Returns:
        By the column's name; a deviation of fewer than two places is not-a-number.
    """
    return {name: (float(groups[name].mean()), float(groups[name].std(ddof=1))) for name in PLACE_SCORES}
