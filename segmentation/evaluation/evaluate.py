"""Score a model: the held-out part's metrics and a row for every patch."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from segmentation.data.class_mapping import ClassMapping, both_sides, count_classes, in_classes_of, match_classes
from segmentation.data.palette import VOID, Palette
from segmentation.data.patches import Patches, PatchList, Progress, load_patches
from segmentation.data.protocols import TEST, TRAIN, Fold, Protocol, assign_parts
from segmentation.data.scenes import Dataset
from segmentation.errors import ConfigurationError, RunError
from segmentation.evaluation.scene_scores import Counted, Extra, SceneWork, count, count_on, survey_on
from segmentation.evaluation.tempering import CountedParts, CountSome, count_parts
from segmentation.inference.model_file import sha256_of
from segmentation.inference.options import PLAIN, Inference
from segmentation.inference.predictor import Predictor
from segmentation.runs.records import AtThresholds, DatasetRecord, Metrics, ProbabilityCounts, RunConfig
from segmentation.runs.run import BEST, Run, write_elsewhere, write_scores
from segmentation.runs.scoring import patch_rows, summarize


def evaluate_run(
    run: Run,
    dataset: Dataset,
    protocol: Protocol | None = None,
    held_out_tile: str | None = None,
    save: bool = False,
    inference: Inference = PLAIN,
    progress: Progress | None = None,
    tell: Callable[[str], None] = print,
    mapping: ClassMapping | None = None,
    save_as: Path | None = None,
    scheduler: str | None = None,
) -> tuple[Metrics, pd.DataFrame]:
    """Score a run's model on a data set, held out as the run or the caller says.

    Args:
        run: A run with a model and a config.
        dataset: The scenes; its classes are matched with the run's by name.
        protocol: What is held out; by default what the run was trained with.
        held_out_tile: The tile to hold out under the tile protocol.
        save: Write metrics.json and patches.csv into the run folder; otherwise only held-out patches are predicted.
        inference: How to predict; patches do not overlap, whatever it says.
        progress: Called with (done, total) while patches are read and predicted.
        tell: Called with a sentence for what of the data set is left out.
        mapping: The run's class of those of the data set's whose names differ; by default as the run's scores say.
        save_as: A new run folder for the model and these scores.
        scheduler: Address of a Dask scheduler whose workers see the same folders; by default this process predicts.

    Returns:
        The scores of the held-out part, and the contents of patches.csv or its held-out part.

    Raises:
        RunError: If the run knows none of the classes, its model cannot be loaded, or other scores would be replaced.
        BackendError: If what computes the model cannot be loaded, or the workers cannot be had or used.
        ConfigurationError: If the protocol does not suit the data set.
    """
    if run.config is None or run.palette is None:
        raise RunError(f"It cannot be read how {run.name} was trained: choose another run.")
    trained_with = run.config.hyper_parameters
    if protocol is None:
        protocol, held_out_tile = run.protocol if run.is_foreign else trained_with.protocol, trained_with.held_out_tile
    if protocol == "k-fold":
        raise ConfigurationError("One model has no folds: train them by train --folds, or choose another protocol.")
    mapping = run.mapping if mapping is None else mapping
    fingerprint = _check_place(run, dataset, protocol, save, save_as, tell)
    read = _in_its_classes(run, run.palette, dataset, mapping, progress, tell)
    model = run.model or run.folder / BEST
    predictor = Predictor(model, inference.bfloat16)
    predictor.check_thresholds(inference)
    size, stretch = predictor.patch_size, read.stretch_for(run.stretch)
    work = SceneWork(model.absolute(), sha256_of(model), run.palette, size, protocol, stretch, inference)
    patches = _read(work, read, progress, scheduler, tell)
    parts = _parts(run.config, dataset, fingerprint, patches, protocol, held_out_tile)
    scored_on = record_of(dataset, fingerprint, patches, parts == TEST) if save_as or run.is_foreign else None
    if not (save or (needed := parts != TRAIN).all()):  # a copy of everything may be larger than memory
        patches, parts = patches.only(needed), parts[needed]
    count_some = _counter(predictor, work, read, patches, scheduler)
    counted = count_parts(count_some, parts, len(run.palette), progress, inference.thresholds)
    metrics, table = score_counted(counted, patches, parts, run.palette, protocol)
    if counted.at_thresholds is not None:
        limits = {run.palette.names[index]: limit for index, limit in inference.thresholds}
        instead = AtThresholds(thresholds=limits, confusion_matrix=counted.at_thresholds.tolist())
        metrics = replace(metrics, at_thresholds=instead)
    if not save:
        table = table[table["part"] == TEST].reset_index(drop=True)
    model_of = run.model_of if save_as else None
    metrics = replace(metrics, mapping=dict(mapping) if mapping else None, model_of=model_of, dataset=scored_on)
    _write(run, metrics, table, save, save_as)
    return metrics, table


def _parts(
    config: RunConfig,
    dataset: Dataset,
    fingerprint: str | None,
    patches: PatchList,
    protocol: Protocol,
    held_out_tile: str | None,
) -> np.ndarray:
    """Return the part of each patch, (patches,) of `PARTS`.

    There is a validation part where the run had it: its epoch was chosen there, and a temperature may be fitted there.
    """
    trained_with, trained_on = config.hyper_parameters, config.dataset
    as_trained = (protocol, held_out_tile) == (trained_with.protocol, trained_with.held_out_tile)
    validated = as_trained and trained_on.validated_on is not None
    two_parts = not (validated and (fingerprint or dataset.fingerprint()) == trained_on.fingerprint)
    fold = trained_with.fold if as_trained else 0
    return assign_parts(patches.table, protocol, held_out_tile, trained_with.seed, fold, two_parts)


def _read(
    work: SceneWork, dataset: Dataset, progress: Progress | None, scheduler: str | None, tell: Callable[[str], None]
) -> PatchList:
    """Return the patches of a data set: with their pixels, unless the workers of a Dask scheduler read them."""
    if scheduler is not None:
        patches = survey_on(scheduler, work, dataset, progress)
    else:
        patches = load_patches(dataset, work.size, progress, work.protocol, work.stretch)
    for remark in patches.remarks(dataset, work.protocol):
        tell(remark)
    return patches


def _counter(
    predictor: Predictor, work: SceneWork, dataset: Dataset, patches: PatchList, scheduler: str | None
) -> CountSome:
    """Return who counts some patches: here if their pixels are here, otherwise the workers of a Dask scheduler."""

    def count_some(chosen: np.ndarray, extra: Extra, progress: Progress | None) -> Counted:
        if isinstance(patches, Patches):
            return count(predictor, patches, len(work.palette), work.inference.tta, progress, chosen, extra)
        some = patches.only(np.isin(np.arange(len(patches.table)), chosen))
        return count_on(scheduler or "", replace(work, extra=extra), dataset, some, progress)

    return count_some


def _write(run: Run, metrics: Metrics, table: pd.DataFrame, save: bool, save_as: Path | None) -> None:
    if save_as:
        write_elsewhere(run, save_as, metrics, table)
    elif save:
        write_scores(run.folder, metrics, table)


def _check_place(
    run: Run,
    dataset: Dataset,
    protocol: Protocol,
    save: bool,
    save_as: Path | None,
    tell: Callable[[str], None],
) -> str | None:
    """Refuse scores that would take the place of others, and say where a run is scored on what it was trained on.

    Returns:
        The data set's fingerprint where it had to be known: all its files are read for that.
    """
    if save and protocol == "all" and not run.is_foreign:
        raise RunError(f"{run.name} keeps the scores of its held-out part: save others by --save-as NAME.")
    if save_as and save_as.exists():
        raise RunError(f"There is a run {save_as.name} already: choose another name.")
    if not (save or save_as or protocol == "all"):
        return None
    fingerprint = dataset.fingerprint()
    trained_on = run.config.dataset.fingerprint if run.config else None
    kept = run.fingerprint if run.is_foreign else trained_on
    if save and kept not in (None, fingerprint):
        raise RunError(
            f"{run.name} was {'scored' if run.is_foreign else 'trained'} on other data than {dataset.root.name} holds, "
            "and keeps the scores of those: save these as a new run, by --save-as NAME."
        )
    if protocol == "all" and trained_on == fingerprint:
        tell(f"{run.name} was trained on most of these scenes: its scores on new ones will be lower")
    return fingerprint


def _in_its_classes(
    run: Run,
    palette: Palette,
    dataset: Dataset,
    mapping: ClassMapping | None,
    progress: Progress | None,
    tell: Callable[[str], None],
) -> Dataset:
    """Return a data set in a run's classes; say which of its classes are void thereby, and how much of it they are."""
    indices = match_classes(dataset.palette, palette, mapping)
    unmatched = [index for index, of in enumerate(indices) if of == VOID]
    if not unmatched:
        return in_classes_of(dataset, palette, mapping) or dataset
    pixels = count_classes(dataset, progress)
    read = in_classes_of(dataset, palette, mapping)
    if read is None or pixels.sum() == pixels[unmatched].sum():
        option = '--map "CLASS OF THE DATA SET=CLASS OF THE RUN"'
        raise RunError(
            f"{run.name} was trained on other classes than {dataset.root.name} holds. "
            f"{both_sides(dataset.palette, palette)} Say which are the same, by {option}."
        )
    names = [f"{dataset.palette.names[index]} ({pixels[index]:,} pixels)" for index in unmatched]
    tell(f"Void, being no class of {run.name}: {', '.join(names)}")
    return read


def record_of(dataset: Dataset, fingerprint: str | None, patches: PatchList, test: np.ndarray) -> DatasetRecord:
    """Return what is kept of a data set that a run is scored on, but was not trained on here.

    Args:
        dataset: The data set.
        fingerprint: Of its files.
        patches: All that it gives.
        test: (patches,) bool, true where held out.
    """
    return DatasetRecord(
        name=dataset.root.resolve().name,
        fingerprint=fingerprint,
        scenes=len(dataset.scenes),
        skipped=list(patches.skipped),
        unlabelled=len(patches.unlabelled),
        resized=len(patches.resized),
        patches=len(test),
        held_out=int(test.sum()),
    )


def evaluate(
    predictor: Predictor,
    patches: Patches,
    fold: Fold,
    palette: Palette,
    progress: Progress | None = None,
    tta: bool = False,
) -> tuple[Metrics, pd.DataFrame]:
    """Predict every patch and score it.

    Args:
        predictor: The model.
        patches: All patches, void settled as the fold's protocol wants it.
        fold: Which of them are trained on, validated on and held out.
        palette: The classes.
        progress: Called with (patches done, patches).
        tta: Predict with test-time augmentation.

    Returns:
        The scores of the held-out part, and the contents of patches.csv: one row per patch.
    """

    def count_some(chosen: np.ndarray, extra: Extra, progress: Progress | None) -> Counted:
        return count(predictor, patches, len(palette), tta, progress, chosen, extra)

    parts = fold.parts(len(patches.masks))
    counted = count_parts(count_some, parts, len(palette), progress)
    return score_counted(counted, patches, parts, palette, fold.protocol)


def score_counted(
    found: CountedParts, patches: PatchList, parts: np.ndarray, palette: Palette, protocol: Protocol
) -> tuple[Metrics, pd.DataFrame]:
    """Return the scores of the held-out patches and the contents of patches.csv.

    Args:
        found: What is counted of each patch.
        patches: Which they are.
        parts: (patches,) of `segmentation.data.protocols.PARTS`.
        palette: The classes.
        protocol: What holds them out.
    """
    counted = found.counted
    table = patch_rows(patches.table, (counted.brightness, counted.contrast), parts, counted.scores, palette)
    metrics = summarize(table, counted.scores, parts == TEST, palette, protocol, found.temperature, found.tempered)
    counts = {part: ProbabilityCounts.of(of, palette.names) for part, of in found.probabilities.items()}
    return replace(metrics, probabilities=counts or None), table
