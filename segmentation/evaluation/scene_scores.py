"""Patches predicted and counted, scene by scene: on this machine, or on the workers of a Dask cluster."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, Self

import numpy as np
import pandas as pd

from segmentation import scores
from segmentation.data.palette import Palette
from segmentation.data.patches import (
    Patches,
    PatchList,
    Progress,
    SceneReading,
    cut,
    grid,
    image_statistics,
    list_patches,
    patch_table,
    scenes_of,
    survey_scene,
)
from segmentation.data.protocols import Protocol, apply_void_policy
from segmentation.data.scenes import Dataset, Scene, read_scene
from segmentation.data.stretch import Stretch
from segmentation.errors import BackendError, ImageFileError
from segmentation.inference.options import PLAIN, Inference
from segmentation.inference.prediction import choose_classes, most_probable
from segmentation.inference.predictor import Predictor, kept_predictor
from segmentation.inference.workers import compute_on, worker_address
from segmentation.runs.scoring import PatchScores, score_patches
from segmentation.thresholds import count_probabilities

ByPart = dict[str, np.ndarray]

COUNTED_PARTS = ("validation", "test")
"""The parts on which thresholds are chosen and scored."""


class Counted(NamedTuple):
    """What patches.csv and metrics.json are made of.

    Args:
        scores: What is counted of each patch.
        brightness: (patches,) float64, of its image.
        contrast: Likewise.
        at_thresholds: (patches, classes, classes) int64 confusion matrices under thresholds; none without these.
        probabilities: As `count_probabilities`, by the part of the patches.
    """

    scores: PatchScores
    brightness: np.ndarray
    contrast: np.ndarray
    at_thresholds: np.ndarray
    probabilities: ByPart

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return what is counted of all patches of several parts, one after the other."""
        names = ("brightness", "contrast", "at_thresholds")
        several = (np.concatenate([getattr(part, name) for part in parts]) for name in names)
        counts = ByPart()
        for part in parts:
            add_counts(counts, part.probabilities)
        return cls(PatchScores.joined(part.scores for part in parts), *several, counts)


def add_counts(counts: ByPart, further: ByPart) -> None:
    """Add pixels by probability to those of the same parts."""
    for part, of_part in further.items():
        counts[part] = counts[part] + of_part if part in counts else of_part


def count(
    predictor: Predictor,
    patches: Patches,
    classes: int,
    inference: Inference = PLAIN,
    progress: Progress | None = None,
) -> Counted:
    """Predict patches and count what is right and wrong, scene by scene.

    Args:
        predictor: The model.
        patches: Those of one scene after the other; where their table has a column ``part``, the probabilities of
            those that are not trained on are counted.
        classes: Number of classes.
        inference: With which thresholds, and whether with test-time augmentation.
        progress: Called with (patches done, patches).
    """
    parts, matrices, counts, done = list[PatchScores](), [np.empty((0, classes, classes), np.int64)], ByPart(), 0
    of_scenes = patches.table.groupby("scene", sort=False).size()
    part = patches.table["part"].to_numpy() if "part" in patches.table else np.full(len(patches.masks), "train")
    for probabilities in predictor.batches(patches.images, inference.tta, of_scenes):
        here = slice(done, done + len(probabilities))
        truth = patches.masks[here]
        predicted, confidence = most_probable(probabilities)
        known = (probabilities, confidence) if predictor.gives_probabilities else ()
        parts.append(score_patches(truth, predicted, classes, *known))
        if known:
            for name in COUNTED_PARTS:
                chosen = part[here] == name
                if chosen.any():
                    add_counts(counts, {name: count_probabilities(truth[chosen], probabilities[chosen])})
        if inference.thresholds:
            predicted, _ = choose_classes(probabilities, inference.thresholds)
            matrices.append(scores.confusion_matrices(truth, predicted, classes))
        done += len(probabilities)
        if progress:
            progress(done, len(patches.masks))
    light = image_statistics(patches.images)
    return Counted(PatchScores.joined(parts), *light, np.concatenate(matrices), counts)


@dataclass(frozen=True)
class SceneWork:
    """What the workers of a cluster need to know to read and score any scene of a data set.

    Args:
        model: The path of a run's model, as they see it, too.
        digest: The SHA-256 of that file.
        palette: The classes.
        size: Side of a patch, in pixels.
        protocol: How void counts.
        stretch: Which bands are read, and how.
        inference: How to predict.
    """

    model: Path
    digest: str
    palette: Palette
    size: int
    protocol: Protocol
    stretch: Stretch | None
    inference: Inference


class _Piece(NamedTuple):
    """One scene for a worker.

    Args:
        scene: With absolute paths.
        sizes: Of its image's and its mask's file, in bytes; None for what is not there.
        places: (n, 2) rows and columns of the patches that are scored.
        parts: (n,) the part of each.
    """

    scene: Scene
    sizes: tuple[int | None, ...]
    places: np.ndarray
    parts: np.ndarray


def survey_on(address: str, work: SceneWork, dataset: Dataset, progress: Progress | None = None) -> PatchList:
    """Have every scene read by the workers of a Dask cluster, and return which patches the data set gives.

    Args:
        address: Of the cluster's scheduler.
        work: How scenes are read.
        dataset: The scenes, in folders that the workers see under the same paths.
        progress: Called with (scenes done, scenes).

    Raises:
        ConfigurationError: As `load_patches` does.
        BackendError: If there are no workers that see the files and have the versions of this machine.
    """
    scenes, readings = scenes_of(dataset, work.protocol), dict[str, SceneReading]()
    for outcome in compute_on(address, partial(_survey, work), _pieces(scenes)):
        readings[outcome.name] = outcome.value()
        if progress:
            progress(len(readings), len(scenes))
    return list_patches(dataset, scenes, [readings[scene.name] for scene in scenes], work.size)


def count_on(
    address: str, work: SceneWork, dataset: Dataset, patches: PatchList, progress: Progress | None = None
) -> Counted:
    """Have patches predicted and counted by the workers of a Dask cluster, scene by scene: `count` gives the same.

    Args:
        address: Of the cluster's scheduler.
        work: How scenes are read and predicted.
        dataset: The scenes.
        patches: Those that are scored.
        progress: Called with (patches done, patches).

    Raises:
        BackendError: As `survey_on` does, or if a scene cannot be computed, whichever worker tries.
        ImageFileError: If a scene has changed since it was read.
    """
    chosen = dict(iter(patches.table.groupby("scene", sort=False)))
    counted: dict[str, Counted] = {}
    probabilities = ByPart()
    done, total = 0, len(patches.table)
    pieces = _pieces([scene for scene in dataset.scenes if scene.name in chosen], chosen)
    for outcome in compute_on(address, partial(_count, work), pieces):
        value = outcome.value()
        add_counts(probabilities, value.probabilities)  # a hundred kilobytes per scene
        counted[outcome.name] = value._replace(probabilities=ByPart())
        done += len(chosen[outcome.name])
        if progress:
            progress(done, total)
    return Counted.joined([counted[name] for name in chosen])._replace(probabilities=probabilities)


def _pieces(scenes: Iterable[Scene], chosen: Mapping[str, pd.DataFrame] = MappingProxyType({})) -> dict[str, _Piece]:
    """Return the scenes for the workers, which may have been started in another folder, by name."""
    pieces, nothing = {}, pd.DataFrame(columns=["row", "column", "part"])
    for scene in scenes:
        rows = chosen.get(scene.name, nothing)
        places, parts = rows[["row", "column"]].to_numpy(np.intp), rows["part"].to_numpy(str)
        there = replace(scene, image=scene.image.absolute(), mask=scene.mask.absolute())
        pieces[scene.name] = _Piece(there, _file_sizes(there), places, parts)
    return pieces


def _file_sizes(scene: Scene) -> tuple[int | None, ...]:
    """Return how many bytes a scene's image and mask have; None for what is not there."""
    return tuple(path.stat().st_size if path.is_file() else None for path in (scene.image, scene.mask))


def _check_sight(work: SceneWork, piece: _Piece) -> None:
    """Refuse to go on where a worker does not see the files that the client sees."""
    unseen = [work.model] if not work.model.is_file() else []
    here_too = zip((piece.scene.image, piece.scene.mask), _file_sizes(piece.scene), piece.sizes, strict=True)
    unseen += [path for path, size, expected in here_too if size != expected]
    if unseen:
        raise BackendError(
            f"The worker {worker_address()} does not see {unseen[0]} as this machine does: keep data and runs in "
            "folders that all machines share, under the same path."
        )


def _survey(work: SceneWork, piece: _Piece) -> SceneReading:
    """Read a scene, on a worker."""
    _check_sight(work, piece)
    return survey_scene(piece.scene, work.palette, work.size, work.stretch)


def _count(work: SceneWork, piece: _Piece) -> Counted:
    """Predict a scene's patches and count, on a worker."""
    _check_sight(work, piece)
    predictor = kept_predictor(work.model, work.digest, work.inference.bfloat16)
    image, mask = read_scene(piece.scene, work.palette, work.stretch)
    rows, columns = grid(len(mask), mask.shape[1], work.size)
    if (piece.places >= (rows, columns)).any():
        raise ImageFileError(f"{piece.scene.name} has changed while it was scored: evaluate again.")
    table = patch_table(piece.scene.name, piece.scene.tile, rows, columns)
    masks = cut(apply_void_policy(mask, work.protocol, work.palette), work.size)
    patches = Patches(images=cut(image, work.size), masks=masks, table=table)
    numbers = piece.places @ (columns, 1)
    chosen = np.isin(np.arange(rows * columns), numbers)
    patches = patches.only(chosen)
    part = piece.parts[np.argsort(numbers)]
    patches = replace(patches, table=patches.table.assign(part=part))
    return count(predictor, patches, len(work.palette), work.inference)
