"""A training for each place left out, joined to one run: k-fold cross-validation. Importing this imports Keras."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from segmentation.configuration import Configuration
from segmentation.data.patches import Patches, Progress, load_patches
from segmentation.data.protocols import Fold, assign_parts, scene_groups
from segmentation.data.scenes import Dataset, natural_key
from segmentation.errors import ConfigurationError
from segmentation.evaluation.out_of_fold import models_of_folds, predict_out_of_fold
from segmentation.files import write_json, writing
from segmentation.model.registry import build
from segmentation.runs.run import CONFIG, FOLDS, Run, write_scores
from segmentation.training.callbacks import STATUS_SECONDS, Whole
from segmentation.training.fit import folder_to_write, told_by_the_status, train
from segmentation.training.pipeline import Share
from segmentation.training.run_config import check_same_run, run_config


def train_folds(
    dataset: Dataset,
    configuration: Configuration,
    folder: Path | str,
    resume: bool = False,
    progress: Progress | None = None,
    verbose: int | str = "auto",
    selection: Sequence[str] = (),
    tell: Callable[[str], None] = print,
) -> Run:
    """Train once for each place left out, and leave a run of what each training predicts of its place.

    The trainings are complete run folders in ``folds``, each with its epoch chosen on a validation part of its own. The
    whole has no model, but a prediction of every scene by the training that left it out, and the scores of these.

    Args:
        dataset: The labelled scenes.
        configuration: The hyper-parameters, with `Configuration.folds`.
        folder: The run folder of the whole. It must not exist, unless `resume`.
        resume: Go on in the fold that was cut; folds that have ended are kept.
        progress: As `train` takes it.
        verbose: Likewise.
        selection: Likewise, of every fold.
        tell: Called with a sentence for what is left out, and for every fold.

    Raises:
        RunError: As `train` does.
        ConfigurationError: Likewise, or if there are too few places.
        StorageError: If a run cannot be written; what was written can be resumed.
        KeyboardInterrupt: If stopped; the run folders say so and can be resumed.
    """
    folder = Path(folder)
    with folder_to_write(folder, resume, Share()):
        patches = load_patches(dataset, configuration.patch_size, progress, configuration.protocol)
        folds = fold_configurations(configuration, patches)
        for remark in patches.remarks(dataset, configuration.protocol):
            tell(remark)
        _begin(dataset, configuration, patches, folder)
        if Run(folder).status.state == "finished":
            return Run(folder)
        with told_by_the_status(folder):
            made = []
            for number, fold in enumerate(folds):
                keras.utils.clear_session()  # the networks of the folds before need no memory
                tell(f"Fold {number + 1} of {len(folds)}: without {_left_out(fold, patches)}")
                whole = Whole(folder, number, len(folds))
                target = folder / FOLDS / f"{folder.name}-{number + 1:02d}"
                beat, quiet = _beat(whole, progress), (lambda sentence: None)
                made.append(train(dataset, fold, target, True, beat, verbose, selection, quiet, None, patches, whole))
            with writing(folder):
                beat = _beat(Whole(folder, len(folds) - 1, len(folds)), progress)
                write_scores(folder, *predict_out_of_fold(folder, models_of_folds(made), dataset, patches, beat))
    return Run(folder)


def fold_configurations(configuration: Configuration, patches: Patches) -> list[Configuration]:
    """Return the configuration of each fold: every tile that gives patches, or every group of scenes, is left out once.

    Args:
        configuration: With `Configuration.folds`.
        patches: All patches.

    Raises:
        ConfigurationError: If there are too few places for three parts.
    """
    single = replace(configuration, folds=None, protocol="scene")
    if configuration.folds == "tile":
        tiles = sorted(set(patches.table["tile"]), key=natural_key)
        folds = [replace(single, protocol="tile", held_out_tile=tile) for tile in tiles]
    else:
        folds = [replace(single, fold=number) for number in range(len(scene_groups(patches.table, single.seed)))]
    for fold in folds:  # what does not suit is said before hours of training
        try:
            assign_parts(patches.table, fold.protocol, fold.held_out_tile, fold.seed, fold.fold)
        except ConfigurationError as error:
            raise ConfigurationError(
                f"There are too few places to leave one out each time, and validate on others: {error}"
            ) from error
    return folds


def _left_out(fold: Configuration, patches: Patches) -> str:
    """Say what a fold leaves out."""
    if fold.held_out_tile is not None:
        return fold.held_out_tile
    scenes = scene_groups(patches.table, fold.seed)[fold.fold]
    return ", ".join(scenes[:2]) + (f" and {len(scenes) - 2:,} more scenes" if len(scenes) > 2 else "")


def _begin(dataset: Dataset, configuration: Configuration, patches: Patches, folder: Path) -> None:
    """Write the config of the whole, or refuse to go on with another."""
    model = build(configuration.architecture, configuration.patch_size, len(dataset.palette), dataset.channels)
    everything = Fold(np.arange(0), np.arange(len(patches.masks)), "k-fold")
    config = run_config(dataset, configuration, patches, everything, model)
    check_same_run(Run(folder), config)
    if Run(folder).config is None:
        with writing(folder):
            write_json(folder / CONFIG, config.to_dict())


def _beat(whole: Whole, progress: Progress | None) -> Progress:
    """Return a callback for what is predicted of a fold, which keeps the whole's status fresh."""
    due = 0.0

    def predicted(done: int, total: int) -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + STATUS_SECONDS
            whole.write_status(1.0, phase="evaluation")
        if progress:
            progress(done, total)

    return predicted
