"""Patches predicted and counted, scene by scene: on this machine, or on the workers of a Dask cluster."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, Self

import numpy as np

from segmentation import scores
from segmentation.calibration import PixelSample, sample_pixels, temper
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
    survey_scene,
)
from segmentation.data.protocols import Protocol, apply_void_policy
from segmentation.data.scenes import Dataset, Scene, read_scene
from segmentation.data.stretch import Stretch
from segmentation.errors import BackendError, ImageFileError
from segmentation.inference.options import Inference
from segmentation.inference.prediction import choose_classes, most_probable
from segmentation.inference.predictor import Predictor, kept_predictor
from segmentation.inference.workers import compute_on, worker_address
from segmentation.runs.scoring import Confidence, PatchScores, score_confidence, score_patches
from segmentation.thresholds import Thresholds, count_probabilities

NO_PLACES = np.empty((0, 2), np.intp)


class Extra(NamedTuple):
    """What is counted of patches beside their scores.

    Args:
        sampled: How many pixels of each are kept, to fit a temperature on.
        temperature: At which their confidence is counted, too.
        probabilities: Whether pixels are counted by probability.
        thresholds: Under which classes are chosen, too.
    """

    sampled: int = 0
    temperature: float | None = None
    probabilities: bool = False
    thresholds: Thresholds = ()


NOTHING = Extra()


class Counted(NamedTuple):
    """What patches.csv and metrics.json are made of.

    Args:
        scores: What is counted of each patch.
        brightness: (patches,) float64, of its image.
        contrast: Likewise.
        sample: Some pixels of each, if they were asked for and their probabilities are known.
        tempered: Their confidence at a temperature, likewise.
        at_thresholds: (patches, classes, classes) int64 confusion matrices under thresholds, likewise.
        probabilities: Pixels of all patches by probability, as `count_probabilities`, likewise.
    """

    scores: PatchScores
    brightness: np.ndarray
    contrast: np.ndarray
    sample: PixelSample | None = None
    tempered: Confidence | None = None
    at_thresholds: np.ndarray | None = None
    probabilities: np.ndarray | None = None

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return what is counted of all patches of several parts, one after the other; extras if all have them."""
        samples = [part.sample for part in parts if part.sample]
        tempered = [part.tempered for part in parts if part.tempered]
        matrices = [part.at_thresholds for part in parts if part.at_thresholds is not None]
        counts = [part.probabilities for part in parts if part.probabilities is not None]
        return cls(
            PatchScores.joined(part.scores for part in parts),
            np.concatenate([part.brightness for part in parts]),
            np.concatenate([part.contrast for part in parts]),
            PixelSample(*map(np.concatenate, zip(*samples, strict=True))) if len(samples) == len(parts) else None,
            Confidence.joined(tempered) if len(tempered) == len(parts) else None,
            np.concatenate(matrices) if len(matrices) == len(parts) else None,
            np.sum(counts, axis=0) if len(counts) == len(parts) else None,
        )

    def in_order(self, order: np.ndarray) -> "Counted":
        """Return what is counted with the patches in the order of (patches,) indices, without extras."""
        return Counted(PatchScores(*(of[order] for of in self.scores)), self.brightness[order], self.contrast[order])


def count(
    predictor: Predictor,
    patches: Patches,
    classes: int,
    tta: bool = False,
    progress: Progress | None = None,
    chosen: np.ndarray | None = None,
    extra: Extra = NOTHING,
) -> Counted:
    """Predict patches and count what is right and wrong, scene by scene.

    Args:
        predictor: The model.
        patches: Those of one scene after the other.
        classes: Number of classes.
        tta: Predict with test-time augmentation.
        progress: Called with (patches done, patches).
        chosen: (n,) indices of those that are predicted, ascending; by default all.
        extra: What else is counted.
    """
    chosen = np.arange(len(patches.masks)) if chosen is None else chosen
    parts, counts, done = list[Counted](), list[np.ndarray](), 0
    of_scenes = patches.table.iloc[chosen].groupby("scene", sort=False).size()
    images = (patches.images[index] for index in chosen)
    for probabilities in predictor.batches(images, tta, of_scenes):
        here = chosen[done : done + len(probabilities)]
        known = predictor.gives_probabilities
        batch = _count_batch(patches.images[here], patches.masks[here], probabilities, classes, known, extra)
        parts.append(put_aside(batch, counts))
        done += len(here)
        if progress:
            progress(done, len(chosen))
    return Counted.joined(parts)._replace(probabilities=counts[0] if counts else None)


def put_aside(counted: Counted, counts: list[np.ndarray]) -> Counted:
    """Add pixels by probability to the array in a list, or begin it: of each batch they take a hundred kilobytes."""
    if counted.probabilities is not None:
        if counts:
            counts[0] += counted.probabilities
        else:
            counts.append(counted.probabilities)
    return counted._replace(probabilities=None)


def _count_batch(
    images: np.ndarray, truth: np.ndarray, probabilities: np.ndarray, classes: int, known: bool, extra: Extra
) -> Counted:
    """Count what is right and wrong in a batch of patches; `known` is whether these are probabilities."""
    predicted, confidence = most_probable(probabilities)
    light = image_statistics(images)
    if not known:
        return Counted(score_patches(truth, predicted, classes), *light)
    sample = sample_pixels(truth, probabilities, extra.sampled) if extra.sampled else None
    tempered = None
    if extra.temperature is not None:
        at_temperature = temper(probabilities, extra.temperature)
        tempered = score_confidence(truth, predicted, at_temperature, most_probable(at_temperature)[1])
    matrices = None
    if extra.thresholds:
        chosen, _ = choose_classes(probabilities, extra.thresholds)
        matrices = scores.confusion_matrices(truth, chosen, classes)
    counts = count_probabilities(truth, probabilities) if extra.probabilities else None
    scored = score_patches(truth, predicted, classes, probabilities, confidence)
    return Counted(scored, *light, sample, tempered, matrices, counts)


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
        extra: What is counted beside the scores.
    """

    model: Path
    digest: str
    palette: Palette
    size: int
    protocol: Protocol
    stretch: Stretch | None
    inference: Inference
    extra: Extra = NOTHING


class _Piece(NamedTuple):
    """One scene for a worker.

    Args:
        scene: With absolute paths.
        sizes: Of its image's and its mask's file, in bytes; None for what is not there.
        places: (n, 2) rows and columns of the patches that are scored.
    """

    scene: Scene
    sizes: tuple[int | None, ...]
    places: np.ndarray


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
    scenes, readings = dataset.scenes, dict[str, SceneReading]()
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
    chosen = {name: rows[["row", "column"]].to_numpy() for name, rows in patches.table.groupby("scene", sort=False)}
    counted: dict[str, Counted] = {}
    counts = list[np.ndarray]()
    done, total = 0, len(patches.table)
    pieces = _pieces([scene for scene in dataset.scenes if scene.name in chosen], chosen)
    for outcome in compute_on(address, partial(_count, work), pieces):
        counted[outcome.name] = put_aside(outcome.value(), counts)
        done += len(chosen[outcome.name])
        if progress:
            progress(done, total)
    return Counted.joined([counted[name] for name in chosen])._replace(probabilities=counts[0] if counts else None)


def _pieces(scenes: Iterable[Scene], chosen: Mapping[str, np.ndarray] = MappingProxyType({})) -> dict[str, _Piece]:
    """Return the scenes for the workers, which may have been started in another folder, by name."""
    pieces = {}
    for scene in scenes:
        there = replace(scene, image=scene.image.absolute(), mask=scene.mask.absolute())
        pieces[scene.name] = _Piece(there, _file_sizes(there), chosen.get(scene.name, NO_PLACES))
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
    chosen = np.isin(np.arange(rows * columns), piece.places @ (columns, 1))
    return count(predictor, patches, len(work.palette), work.inference.tta, None, np.flatnonzero(chosen), work.extra)
