"""Kinds of error counted for a run's patches, scene by scene, and kept (no TensorFlow)."""

import hashlib
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import pandas as pd

from segmentation.data.kept import KeptResults
from segmentation.data.patches import Progress, cut
from segmentation.data.protocols import apply_void_policy
from segmentation.data.scenes import Dataset, Scene, file_marks, read_scene
from segmentation.errors import ImageFileError, RunError
from segmentation.evaluation.error_kinds import DISTANCE, KINDS, SIDES, count_error_kinds, find_error_kinds
from segmentation.inference.prediction import most_probable
from segmentation.inference.predictor import Predictor
from segmentation.intervals import LEAST, Groups, Interval, draw, interval
from segmentation.runs.recording import kept_path, read_recorded
from segmentation.runs.run import Run
from segmentation.scores import divide

VERSION = 1
"""Of what is kept: another one when the same files give other counts."""


class _Work(NamedTuple):
    """The patches of one scene that are counted.

    Args:
        scene: Where they are.
        at: (n,) their places in the table of patches.
        places: (n, 2) their rows and columns in the scene.
        key: What their counts are kept by: it changes when files, model or what is asked for do.
    """

    scene: Scene
    at: np.ndarray
    places: np.ndarray
    key: str


def known_kinds(run: Run, dataset: Dataset, table: pd.DataFrame, kept: KeptResults) -> np.ndarray | None:
    """Return what `count_kinds` would, if all of it was counted before; None otherwise.

    Raises:
        RunError: As `count_kinds` does.
    """
    work = list(_work(run, dataset, table))
    known = kept.read([of.key for of in work])
    counts = _empty(run, table)
    for of in work:
        before = _from_bytes(known.get(of.key), counts[of.at].shape)
        if before is None:
            return None
        counts[of.at] = before
    return counts


def count_kinds(
    run: Run,
    dataset: Dataset,
    table: pd.DataFrame,
    kept: KeptResults,
    predictor: Predictor | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """Predict patches and count the pixels of each kind of error, each patch judged by itself, as its scores are.

    What is counted of a scene is kept at once: whoever is cut off goes on there.

    Args:
        run: With a model, or with predictions of the scenes.
        dataset: In the run's classes.
        table: Patches of it, with ``scene``, ``row`` and ``column``.
        kept: What was counted before.
        predictor: The run's model, unless it has predictions alone.
        progress: Called with (patches done, patches).

    Returns:
        (patches, 2, classes, 3) int32 in the table's order: missed and invented pixels by class and kind.

    Raises:
        RunError: If the run can neither predict nor was recorded, or its classes are not known.
        ImageFileError: If a scene or its prediction cannot be read, or has changed.
        DatasetNotFoundError: If a scene is not there any more.
    """
    work, counts, done = list(_work(run, dataset, table)), _empty(run, table), 0
    known = kept.read([of.key for of in work])
    for of in work:
        found = _from_bytes(known.get(of.key), counts[of.at].shape)
        if found is None:
            found = _count_scene(run, dataset, of, predictor)
            kept.write({of.key: zlib.compress(found.astype("<i4").tobytes(), 1)})
        counts[of.at] = found
        done += len(of.at)
        if progress:
            progress(done, len(table))
    return counts


def _empty(run: Run, table: pd.DataFrame) -> np.ndarray:
    return np.zeros((len(table), len(SIDES), len(run.palette or ()), len(KINDS)), np.int32)


def _from_bytes(content: bytes | None, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return kept counts; None if there are none, or what is there is broken."""
    if content is not None:
        with suppress(zlib.error, ValueError):
            return np.frombuffer(zlib.decompress(content), "<i4").reshape(shape)
    return None


def _work(run: Run, dataset: Dataset, table: pd.DataFrame) -> Iterator[_Work]:
    if run.palette is None or not (run.model or run.predictions):
        raise RunError(f"{run.name} has neither a model nor predictions: its errors cannot be seen again.")
    scenes = {scene.name: scene for scene in dataset.scenes}
    always: tuple[object, ...] = (VERSION, DISTANCE, run.folder.resolve(), run.patch_size, run.protocol, run.palette)
    always += (dataset.palette, dataset.stretch_for(run.stretch))
    if run.model:
        status = run.model.stat()
        always += (run.model.name, status.st_mtime_ns, status.st_size)
    for name, at in table.reset_index(drop=True).groupby("scene", sort=False).indices.items():
        scene = scenes.get(name) or dataset.scene(name)  # which says that there is none
        places = table[["row", "column"]].to_numpy()[at]
        mark: tuple[object, ...] = (name, scene.encoding, *file_marks(scene), places.tobytes())
        if run.predictions:
            path = kept_path(run.folder, name)
            mark += (path.stat().st_mtime_ns if path.is_file() else 0,)
        yield _Work(scene, at, places, "kinds " + hashlib.sha256(repr((always, mark)).encode()).hexdigest())


def _count_scene(run: Run, dataset: Dataset, of: _Work, predictor: Predictor | None) -> np.ndarray:
    """Count the kinds of one scene's patches, (patches, 2, classes, 3) int64."""
    palette, size = run.palette or dataset.palette, run.patch_size
    image, mask = read_scene(of.scene, dataset.palette, dataset.stretch_for(run.stretch))
    rows, columns = (length // size for length in mask.shape)
    if (of.places >= (rows, columns)).any():
        raise ImageFileError(f"{of.scene.name} has changed since {run.name} was evaluated: evaluate it again.")
    chosen = of.places @ (columns, 1)
    truth = cut(apply_void_policy(mask, run.protocol, palette), size)[chosen]
    if predictor is None:
        predicted = cut(read_recorded(run, of.scene.name, mask.shape), size)[chosen]
    else:
        batches = predictor.batches(cut(image, size)[chosen], of_scenes=[len(chosen)])
        predicted = np.concatenate([most_probable(probabilities)[0] for probabilities in batches])
    pairs = zip(truth, predicted, strict=True)
    return np.stack([count_error_kinds(find_error_kinds(*pair), *pair, len(palette)) for pair in pairs])


class KindShares(NamedTuple):
    """What makes up the error of some patches.

    Args:
        pixels: (3,) int64: wrong pixels of each kind.
        shares: (3,) float64 in 0–1; NaN without a wrong pixel.
        intervals: Of the shares; none with fewer than `LEAST` scenes.
        basis: What the intervals come from, such as ``8 scenes``.
    """

    pixels: np.ndarray
    shares: np.ndarray
    intervals: list[Interval] | None
    basis: str


def kind_shares(table: pd.DataFrame, counts: np.ndarray) -> KindShares:
    """Return the share of each kind in the wrong pixels of patches, with intervals by a bootstrap of scenes.

    Args:
        table: The patches, with ``tile`` and ``scene``.
        counts: (patches, classes, 3) integers: their wrong pixels by class and kind, of one side.
    """
    pixels = counts.sum((0, 1))
    groups = Groups.of(table, counts.astype(np.int64))
    intervals, number = None, len(groups.matrices)
    if number >= LEAST:
        drawn = np.concatenate([drawn.sum(1) for drawn in draw(groups.matrices)])
        intervals = interval(divide(drawn, drawn.sum(1, keepdims=True)), number)
    return KindShares(pixels, divide(pixels, pixels.sum()), intervals, f"{number:,} {groups.unit}s")
