"""A run scored against corrected masks, the old ones kept: what changed, and both scores on the same patches."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd

from segmentation.data.encodings import Encoding, resized, same_shape
from segmentation.data.images import read_size
from segmentation.data.palette import VOID, VOID_NAME, Palette
from segmentation.data.patches import Progress, cut
from segmentation.data.protocols import TEST, apply_void_policy
from segmentation.data.scenes import Dataset, Scene, read_scene
from segmentation.errors import ImageFileError, RunError
from segmentation.evaluation.audit_run import OpenModel
from segmentation.evaluation.predicted_files import match_files
from segmentation.inference.prediction import most_probable
from segmentation.intervals import Gain, Intervals, find_gains, find_intervals, score_functions
from segmentation.runs.recording import read_recorded
from segmentation.runs.run import Run
from segmentation.scores import confusion_matrices, iou

MOST_VOID = 0.5
"""Share of a mask that may have lost its class: with more it says its classes in another way."""

Value = TypeVar("Value")


class TwoTruths(NamedTuple):
    """The scores of one part's patches against two truths.

    Args:
        scores: One row per score and class: ``score``, ``before``, ``after``, ``gain``, and the ends of the 95 %
            intervals of all three, ``before_low`` and so on; NaN where there is none.
        intervals: Of the scores after; None with fewer than `LEAST` scenes.
        patches: How many are scored.
        changed: How many of these have other labels.
    """

    scores: pd.DataFrame
    intervals: Intervals | None
    patches: int
    changed: int


class Rescored(NamedTuple):
    """What corrected masks change.

    Args:
        pixels: One row per scene and pair of classes: ``scene``, ``before``, ``after`` and ``pixels``.
        masks: How many masks were compared.
        findings: What of the folder does not fit, a sentence each.
        truths: The scores of the held-out patches.
    """

    pixels: pd.DataFrame
    masks: int
    findings: list[str]
    truths: TwoTruths


def compare_truths(run: Run, matrices: np.ndarray) -> TwoTruths:
    """Compare a run's scores of its held-out patches with those against other labels.

    Args:
        run: With the confusion matrices of its patches.
        matrices: (patches, classes, classes) int64 against the other labels, in the order of the run's patches.

    Raises:
        RunError: If the run has no such matrices.
    """
    table, before, palette = checked(run)
    test = (table["part"] == TEST).to_numpy()
    table, before, after = table[test].reset_index(drop=True), before[test], matrices[test]
    intervals = [find_intervals(table, of, palette) for of in (before, after)]
    gains = find_gains((table, before), (table, after), palette)
    values = [_scores(of.sum(0), palette) for of in (before, after)]
    rows = []
    for name in values[0]:
        before_score, after_score = (of[name] for of in values)
        row = {"score": name, "before": before_score, "after": after_score, "gain": after_score - before_score}
        for prefix, of in zip(("before", "after"), intervals, strict=True):
            row |= _ends(prefix, (of.by_name | _named(of.iou)).get(name) if of else None)
        row |= _ends("gain", _gain(gains, name))
        rows.append(row)
    changed = int((before != after).any((1, 2)).sum())
    return TwoTruths(pd.DataFrame(rows), intervals[1], len(table), changed)


def checked(run: Run) -> tuple[pd.DataFrame, np.ndarray, Palette]:
    """Return a run's patches, their confusion matrices and its classes.

    Raises:
        RunError: If it was not evaluated, or before such matrices were kept.
    """
    if run.patches is None or run.palette is None or run.confusion_matrices is None:
        raise RunError(f"{run.name} has no confusion matrices of its patches: evaluate it again, with --save.")
    return run.patches, run.confusion_matrices, run.palette


def _scores(matrix: np.ndarray, palette: Palette) -> dict[str, float]:
    """Return the scores that have an interval, and the classes' IoU, by name."""
    found = {name: float(of(matrix)) for name, of in score_functions(palette).items()}
    return found | _named(dict(zip(palette.names, map(float, iou(matrix)), strict=True)))


def _named(of_classes: Mapping[str, Value]) -> dict[str, Value]:
    return {f"IoU of {name}": value for name, value in of_classes.items()}


def _gain(gains: tuple[dict[str, Gain], dict[str, Gain]] | None, name: str) -> Sequence[float] | None:
    return (gains[0] | _named(gains[1]))[name].interval if gains else None


def _ends(prefix: str, interval: Sequence[float] | None) -> dict[str, float]:
    low, high = interval or (np.nan, np.nan)
    return {f"{prefix}_low": low, f"{prefix}_high": high}


def rescore(
    run: Run,
    dataset: Dataset,
    labels: Path,
    open_model: OpenModel,
    progress: Progress | None = None,
    within: Sequence[Path] | None = None,
) -> Rescored:
    """Score a run against corrected masks of the data set that it was scored on; nothing is written.

    Only patches whose labels differ are predicted again; a run that has its predictions on disk reads them.

    Args:
        run: Evaluated on the data set.
        dataset: In the run's classes, with the masks as they were.
        labels: Folder of corrected masks, named and encoded as the masks are. Scenes without one keep theirs.
        open_model: Loads a network, or has it already.
        progress: Called with (scenes done, scenes).
        within: Folders that the masks must lie in, links followed; by default they may lie anywhere.

    Raises:
        NotAllowedError: If something leads out of `within`.
        RunError: If no mask is there, the run was not evaluated, or a network cannot be loaded.
        BackendError: If what computes it cannot be loaded.
        ImageFileError: If a mask or a scene cannot be read, or has another size.
    """
    table, matrices, palette = checked(run)
    if not (run.model or run.predictions):
        raise RunError(f"{run.name} has neither a model nor predictions: it cannot be scored anew.")
    found = match_files(labels, dataset, within)
    after, rows = matrices.copy(), list[dict]()
    names = [str(name) for name in table["scene"].unique() if name in found.files]
    for done, name in enumerate(names):
        if progress:
            progress(done, len(names))
        scene = dataset.scene(name)
        image, old = read_scene(scene, palette, dataset.stretch_for(run.stretch))
        new = _read_mask(scene, found.files[name].path, palette, old)
        rows += _count_changes(name, old, new, palette)
        _score_anew(run, table, after, name, image, old, new, open_model)
    if progress and names:
        progress(len(names), len(names))
    if (after < 0).any():
        raise ImageFileError(f"The masks of {dataset.root.name} have changed since {run.name} was evaluated.")
    pixels = pd.DataFrame(rows, columns=["scene", "before", "after", "pixels"])
    return Rescored(pixels, len(names), found.findings, compare_truths(run, after))


def _read_mask(scene: Scene, path: Path, palette: Palette, old: np.ndarray) -> np.ndarray:
    """Return a corrected mask in the size of its image.

    Raises:
        ImageFileError: If it cannot be read, has another size, or says its classes in another way than the data set.
    """
    if not isinstance(scene.encoding, Encoding):
        raise ImageFileError(
            f"The labels of {scene.name} are outlines: correct them in a copy of the data set, and score the run on "
            "that by evaluate --data."
        )
    size = read_size(path, orient=False)
    if size != old.shape and not same_shape(old.shape, size):
        raise ImageFileError(
            f"{path.name} has {size[1]} × {size[0]} pixels, the image of {scene.name} {old.shape[1]} × {old.shape[0]}: "
            "export the mask in the image's size."
        )
    new = scene.encoding.read(path, palette)
    new = new if new.shape == old.shape else resized(new, old.shape)
    if ((new == VOID) & (old != VOID)).mean() > MOST_VOID:
        raise ImageFileError(
            f"{path.name} says its classes in another way than the masks of the data set: most of it matches no "
            "class. Export it in the same colours or values."
        )
    return new


def _count_changes(name: str, old: np.ndarray, new: np.ndarray, palette: Palette) -> list[dict]:
    """Return the changed pixels of a scene by pair of classes, the most first."""
    changed = old != new
    pairs, pixels = np.unique(np.stack([old[changed], new[changed]]), axis=1, return_counts=True)
    names = dict(enumerate(palette.names)) | {VOID: VOID_NAME}
    rows = [
        {"scene": name, "before": names[int(before)], "after": names[int(after)], "pixels": int(count)}
        for before, after, count in zip(*pairs, pixels, strict=True)
    ]
    return sorted(rows, key=lambda row: -row["pixels"])


def _score_anew(
    run: Run,
    table: pd.DataFrame,
    matrices: np.ndarray,
    name: str,
    image: np.ndarray,
    old: np.ndarray,
    new: np.ndarray,
    open_model: OpenModel,
) -> None:
    """Change the confusion matrices of a scene's held-out patches by what their new labels change."""
    size, palette, classes = run.patch_size, checked(run)[2], matrices.shape[-1]
    columns = old.shape[1] // size
    rows = table[(table["scene"] == name) & (table["part"] == TEST)]
    at = (rows["row"] * columns + rows["column"]).to_numpy()
    truths = [cut(apply_void_policy(of, run.protocol, palette), size) for of in (old, new)]
    if len(at) and at.max() >= len(truths[0]):
        raise ImageFileError(f"{name} has changed since {run.name} was evaluated: evaluate it again.")
    differs = (truths[0][at] != truths[1][at]).any((1, 2))
    at, places = at[differs], rows.index[differs]
    if not len(at):
        return
    if run.model is None:
        predicted = cut(read_recorded(run, name, old.shape), size)[at]
        none = predicted == VOID  # scores leave out what is not predicted
        truths = [np.where(none, np.uint8(VOID), of[at]) for of in truths]
        predicted = np.where(none, np.uint8(0), predicted)
    else:
        batches = open_model(run.model).batches(cut(image, size)[at])
        predicted = np.concatenate([most_probable(batch)[0] for batch in batches])
        truths = [of[at] for of in truths]
    before, after = (confusion_matrices(of, predicted, classes) for of in truths)
    matrices[places] += after - before
