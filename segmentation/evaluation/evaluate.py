"""Score a model: the held-out part's metrics and a row for every patch."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from segmentation import scores
from segmentation.data.class_mapping import ClassMapping, both_sides, count_classes, in_classes_of, match_classes
from segmentation.data.palette import VOID, Palette
from segmentation.data.patches import Patches, Progress, image_statistics, load_patches
from segmentation.data.protocols import Fold, Protocol, held_out
from segmentation.data.scenes import Dataset
from segmentation.errors import RunError
from segmentation.inference.options import PLAIN, Inference
from segmentation.inference.prediction import most_probable
from segmentation.inference.predictor import Predictor
from segmentation.runs.patch_table import confusion_columns, patch_table
from segmentation.runs.records import Calibration, DatasetRecord, Metrics
from segmentation.runs.run import BEST, Run, write_elsewhere, write_scores


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
) -> tuple[Metrics, pd.DataFrame]:
    """Score a run's model on a data set, held out as the run or the caller says.

    Args:
        run: A run with a model and a config.
        dataset: The scenes; its classes are matched with the run's by name.
        protocol: What is held out; by default what the run was trained with.
        held_out_tile: The tile to hold out under the tile protocol.
        save: Write metrics.json and patches.csv into the run folder, if it was trained on these data. Otherwise only
            held-out patches are predicted.
        inference: How to predict; patches do not overlap, whatever it says.
        progress: Called with (done, total) while patches are read and predicted.
        tell: Called with a sentence for what of the data set is left out.
        mapping: The run's class of those of the data set's whose names differ; by default as the run's scores say.
        save_as: A new run folder for the model and these scores.

    Returns:
        The scores of the held-out part, and the contents of patches.csv or its held-out part.

    Raises:
        RunError: If the run's classes are not the data set's, its model cannot be loaded, or the scores would take the
            place of others.
        BackendError: If what computes the model cannot be loaded.
        ConfigurationError: If the protocol does not suit the data set.
        StorageError: If the scores cannot be written.
    """
    if run.config is None or run.palette is None:
        raise RunError(f"It cannot be read how {run.name} was trained: choose another run.")
    trained_with = run.config.hyper_parameters
    if protocol is None and run.is_foreign:
        protocol = run.protocol
    elif protocol is None:
        protocol, held_out_tile = trained_with.protocol, trained_with.held_out_tile
    if mapping is None:
        mapping = run.mapping
    fingerprint = _check_place(run, dataset, protocol, save, save_as, tell)
    in_its_classes = _in_its_classes(run, run.palette, dataset, mapping, progress, tell)
    predictor = Predictor(run.model or run.folder / BEST, inference.bfloat16)
    stretch = in_its_classes.stretch_for(run.stretch)
    patches = load_patches(in_its_classes, predictor.patch_size, progress, protocol, stretch)
    test = held_out(patches.table, protocol, held_out_tile, trained_with.seed)
    for remark in patches.remarks(in_its_classes, protocol):
        tell(remark)
    scored_on = record_of(dataset, fingerprint, patches, test) if save_as or run.is_foreign else None
    if not save:
        table = patches.table[test].reset_index(drop=True)
        patches = replace(patches, images=patches.images[test], masks=patches.masks[test], table=table)
        test = test[test]
    fold = Fold(np.flatnonzero(~test), np.flatnonzero(test), protocol)
    metrics, table = evaluate(predictor, patches, fold, run.palette, progress, inference.tta)
    metrics = replace(metrics, mapping=dict(mapping) if mapping else None)
    if save:
        write_scores(run.folder, replace(metrics, dataset=scored_on), table)
    if save_as:
        whose = run.metrics and run.metrics.model_of
        metrics = replace(metrics, model_of=whose or run.name, dataset=scored_on)
        write_elsewhere(run, save_as, metrics, table)
    return metrics, table


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


def record_of(dataset: Dataset, fingerprint: str | None, patches: Patches, test: np.ndarray) -> DatasetRecord:
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
        fold: Which of them are held out.
        palette: The classes.
        progress: Called with (patches done, patches).
        tta: Predict with test-time augmentation.

    Returns:
        The scores of the held-out part, and the contents of patches.csv: one row per patch.
    """
    count, classes = len(patches.masks), len(palette)
    matrices = np.empty((count, classes, classes), np.int64)
    intersection, total, confidence, confidence_wrong, surely_wrong = (np.empty(count) for _ in range(5))
    calibration = np.zeros((scores.CONFIDENCE_BINS, 3))
    test = np.isin(np.arange(count), fold.test)
    done = 0
    for probabilities in predictor.batches(patches.images, tta):
        now = slice(done, done + len(probabilities))
        truth = patches.masks[now]
        predicted, sure = most_probable(probabilities)
        matrices[now] = scores.confusion_matrices(truth, predicted, classes)
        intersection[now], total[now] = scores.soft_overlap(truth, probabilities)
        confidence[now] = sure.mean((1, 2))
        confidence_wrong[now], surely_wrong[now] = scores.sureness_when_wrong(truth, predicted, sure)
        calibration += scores.calibration(truth[test[now]], probabilities[test[now]])
        done += len(probabilities)
        if progress:
            progress(done, count)
    sureness = {"confidence": confidence, "confidence_wrong": confidence_wrong, "surely_wrong": surely_wrong}
    table = patch_scores(patches, test, matrices, sureness, palette)
    metrics = summarize(matrices[test], intersection[test], total[test], calibration, palette, fold.protocol)
    return metrics, table


def patch_scores(
    patches: Patches, test: np.ndarray, matrices: np.ndarray, sureness: dict[str, np.ndarray], palette: Palette
) -> pd.DataFrame:
    """Return patches.csv: each patch's part, scores, how sure the model was, and what its image is like."""
    brightness, contrast = image_statistics(patches.images)
    by_class = scores.iou(matrices)
    cells = dict(zip(confusion_columns(palette), matrices.reshape(len(matrices), -1).T, strict=True))
    values = patches.table.assign(
        part=np.where(test, "test", "train"),
        **{f"iou_{name}": by_class[:, index] for index, name in enumerate(palette.names)},
        mean_iou=scores.mean_iou(matrices),
        classes=np.isfinite(by_class).sum(1),
        accuracy=scores.accuracy(matrices),
        pixels=matrices.sum((1, 2)),
        **sureness,
        brightness=brightness,
        contrast=contrast,
        **cells,
    )
    return patch_table(values, palette)


def summarize(
    matrices: np.ndarray,
    intersection: np.ndarray,
    total: np.ndarray,
    calibration: np.ndarray,
    palette: Palette,
    protocol: Protocol,
) -> Metrics:
    """Return the scores of a set of patches, with the counts they come from."""
    matrix = matrices.sum(0)
    by_class = scores.iou(matrix)
    pixels, confidence, right = calibration.T
    image_by_image = scores.jaccard(intersection, total)[matrices.any((1, 2))]  # as `ImageJaccard`: those with a label
    return Metrics(
        protocol=protocol,
        part="test",
        patches=len(matrices),
        pixels=int(matrix.sum()),
        accuracy=_number(scores.accuracy(matrix)),
        jaccard=_number(scores.jaccard(intersection.sum(), total.sum())) if matrix.any() else None,
        image_jaccard=_number(image_by_image.mean()) if len(image_by_image) else None,
        mean_iou=_number(scores.mean_iou(matrix)),
        mean_iou_without_unlabeled=_number(scores.mean_iou(matrix, without=palette.unlabeled)),
        iou={name: _number(value) for name, value in zip(palette.names, by_class, strict=True)},
        confusion_matrix=matrix.tolist(),
        calibration_error=_number(scores.calibration_error(calibration)),
        calibration=Calibration(
            pixels=pixels.astype(int).tolist(),
            confidence=confidence.round(1).tolist(),
            right=right.astype(int).tolist(),
        ),
    )


def _number(value: float | np.ndarray) -> float | None:
    """Return a JSON-ready number; None for a score that does not exist."""
    return round(float(value), 6) if np.isfinite(value) else None
