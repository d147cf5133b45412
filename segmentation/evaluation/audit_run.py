"""A run's labels audited, scene by scene, by the network that was not trained on it where there are folds; kept."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from segmentation.calibration import temper
from segmentation.data.kept import KeptResults
from segmentation.data.palette import VOID
from segmentation.data.patches import Progress
from segmentation.data.raster import RASTER_SUFFIXES, Raster
from segmentation.data.scenes import Dataset, Scene, file_marks, read_scene
from segmentation.errors import ImageFileError, RunError
from segmentation.evaluation.label_audit import (
    CONFIDENT,
    LEAST,
    LEAST_PROBABILITY,
    RIM,
    Contradiction,
    Suspects,
    find_suspects,
)
from segmentation.evaluation.objects import parts_of_pixels
from segmentation.inference.prediction import most_probable
from segmentation.runs.recording import kept_path, read_recorded
from segmentation.runs.run import Run

if TYPE_CHECKING:
    from segmentation.inference.predictor import Predictor

VERSION = 1
"""Of what is kept: another one when the same files give other regions."""

KEPT_BYTES = 256 << 20
"""Of regions: some ten kilobytes a scene."""

LARGEST = 64_000_000
"""Pixels; a larger scene is left out, which would take gigabytes."""

FAULT = b"!"
"""What is kept of a scene that cannot be audited begins with this, and says why; nothing else begins so."""

OpenModel = Callable[[Path], "Predictor"]


class Audit(NamedTuple):
    """What is known of the labels of a run's scenes.

    Args:
        scenes: The regions of each, by name.
        left_out: Why others were left out, a sentence each.
    """

    scenes: dict[str, Suspects]
    left_out: list[str]


class Judge(NamedTuple):
    """What judges the labels of a scene.

    Args:
        model: Path of a network that was not trained on it, or else of the run's; None for recorded predictions.
        temperature: At which its probabilities are calibrated; None if that was not fitted.
    """

    model: Path | None
    temperature: float | None


def judges(run: Run) -> dict[str, Judge]:
    """Return what judges the labels of each scene with patches, by its name: of k-fold the fold that left it out.

    Raises:
        RunError: If the run has neither a model nor predictions, was not evaluated, or a fold is not complete.
    """
    if run.palette is None or run.patches is None:
        raise RunError(f"{run.name} was not evaluated: no labels can be audited by it.")
    names = run.patches["scene"].unique()
    if run.folds:
        from segmentation.evaluation.out_of_fold import models_of_folds  # opens engines: only where needed

        models = models_of_folds(run.folds)
        warmth = {fold.folder: fold.metrics.temperature if fold.metrics else None for fold in run.folds}
        return {name: Judge(models[name], warmth[models[name].parent]) for name in names if name in models}
    if not (run.model or run.predictions):
        raise RunError(f"{run.name} has neither a model nor predictions: choose another run to audit labels by.")
    warm = run.metrics.temperature if run.metrics else None
    return dict.fromkeys(names, Judge(run.model, warm))


def audit_keys(run: Run, dataset: Dataset) -> dict[str, str]:
    """Return under which key the regions of each of a run's scenes are kept, by its name.

    Raises:
        RunError: As `judges` does.
    """
    by_scene, known = judges(run), {scene.name: scene for scene in dataset.scenes}
    patches = run.patches if run.patches is not None else pd.DataFrame()
    always: tuple[object, ...] = (
        VERSION,
        CONFIDENT,
        LEAST,
        RIM,
        str(run.folder.resolve()),
        run.patch_size,
        dataset.palette,
    )
    always += (dataset.stretch_for(run.stretch),)
    keys = {}
    for name, rows in patches.groupby("scene", sort=False):
        scene, judge = known.get(str(name)), by_scene.get(str(name))
        if scene is None or judge is None:
            continue
        path = judge.model or kept_path(run.folder, scene.name)
        status = path.stat() if path.is_file() else None
        made = (str(path), status.st_mtime_ns, status.st_size) if status else None
        places = rows[["row", "column", "part"]].to_dict("list")
        mark = repr((always, scene.name, file_marks(scene), scene.encoding, made, judge.temperature, places))
        keys[scene.name] = "audit " + hashlib.sha256(mark.encode()).hexdigest()
    return keys


def known_audit(keys: dict[str, str], kept: KeptResults) -> Audit | None:
    """Return what `audit_labels` would, if all of it was found before; None otherwise.

    Args:
        keys: Of the scenes, as `audit_keys` gives them.
        kept: What was found before.
    """
    before, audit = kept.read(list(keys.values())), Audit({}, [])
    for name, key in keys.items():
        if not _take(audit, name, before.get(key)):
            return None
    return audit


def _take(audit: Audit, name: str, content: bytes | None) -> bool:
    """Add what is kept of a scene to an audit; tell whether anything is."""
    if content is None:
        return False
    if content.startswith(FAULT):
        audit.left_out.append(content.removeprefix(FAULT).decode(errors="replace"))
        return True
    found = Suspects.from_bytes(content)
    if found is not None:
        audit.scenes[name] = found
    return found is not None


def audit_labels(
    run: Run, dataset: Dataset, kept: KeptResults, open_model: OpenModel, progress: Progress | None = None
) -> Audit:
    """Find the regions of all of a run's scenes where its predictions contradict the labels.

    What is found in a scene is kept at once: whoever is cut off goes on there. Each scene is predicted in patches, as
    scores are, so that what is found is what the scores count as wrong.

    Args:
        run: Evaluated on the data set.
        dataset: In the run's classes.
        kept: What was found before.
        open_model: Loads a network, or has it already.
        progress: Called with (scenes done, scenes).

    Raises:
        RunError: As `judges` does, or if a network cannot be loaded.
        BackendError: If what computes it cannot be loaded.
    """
    keys, by_scene = audit_keys(run, dataset), judges(run)
    before = kept.read(list(keys.values()))
    found = Audit({}, [])
    # One network after the other: each is loaded once.
    for done, name in enumerate(sorted(keys, key=lambda name: str(by_scene[name].model))):
        if progress:
            progress(done, len(keys))
        if _take(found, name, before.get(keys[name])):
            continue
        try:
            content = _audit_scene(run, dataset, dataset.scene(name), by_scene[name], open_model).to_bytes()
        except ImageFileError as error:
            content = FAULT + str(error).encode()
        kept.write({keys[name]: content})
        _take(found, name, content)
    if progress and keys:
        progress(len(keys), len(keys))
    return Audit({name: found.scenes[name] for name in keys if name in found.scenes}, found.left_out)


def _audit_scene(run: Run, dataset: Dataset, scene: Scene, judge: Judge, open_model: OpenModel) -> Suspects:
    height, width = scene.mask_size()
    if height * width > LARGEST:
        raise ImageFileError(
            f"{scene.name} has {width:,} × {height:,} pixels: labels are audited in scenes of up to "
            f"{LARGEST // 1_000_000} megapixels, so cut it into smaller ones."
        )
    image, truth = read_scene(scene, dataset.palette, dataset.stretch_for(run.stretch))
    if judge.model is None:
        seen = Contradiction(read_recorded(run, scene.name, truth.shape))
    else:
        seen = contradiction(open_model(judge.model), image, truth, judge.temperature)
    areas = None
    if scene.image.suffix.lower() in RASTER_SUFFIXES:
        with Raster(scene.image) as raster:
            areas = raster.pixel_areas()
    patches = run.patches
    parts = (
        None
        if patches is None
        else parts_of_pixels(patches[patches["scene"] == scene.name], truth.shape, run.patch_size)
    )
    return find_suspects(truth, seen, parts, areas)


def contradiction(
    predictor: "Predictor", image: np.ndarray, truth: np.ndarray, temperature: float | None = None
) -> Contradiction:
    """Predict a scene in patches and compare it with its labels; strip by strip, which bounds the memory.

    Args:
        predictor: The network.
        image: (height, width, bands) uint8.
        truth: (height, width) uint8 class indices, void 255.
        temperature: Its probabilities are taken at this one; as they are by default.
    """
    height, width = truth.shape
    predicted = np.empty(truth.shape, np.uint8)
    sure, margin = (np.zeros(truth.shape, np.float16) for _ in range(2))
    done = 0
    for strip in predictor.strips(lambda top, end: image[top:end], height, width):
        rows = slice(done, done + len(strip))
        probabilities = temper(strip, temperature) if temperature else strip
        predicted[rows], confidence = most_probable(probabilities)
        label = np.where(truth[rows] == VOID, 0, truth[rows]).astype(np.intp)[..., None]
        of_label = np.take_along_axis(probabilities, label, -1)[..., 0]
        sure[rows] = confidence
        margin[rows] = np.log(np.maximum(confidence, LEAST_PROBABILITY) / np.maximum(of_label, LEAST_PROBABILITY))
        done += len(strip)
    return Contradiction(predicted, sure, margin) if predictor.gives_probabilities else Contradiction(predicted)


def kept_audits(folder: Path) -> KeptResults:
    """Return what was found before in a cache's folder, for commands and pages alike."""
    return KeptResults(folder / "label-audit.sqlite", KEPT_BYTES)


def fresh_models() -> OpenModel:
    """Return a function that loads networks and remembers the last one: for commands, which use one at a time."""
    from segmentation.inference.predictor import Predictor

    last: dict[Path, Predictor] = {}

    def open_model(path: Path) -> Predictor:
        if path not in last:
            last.clear()
            last[path] = Predictor(path)
        return last[path]

    return open_model


def what_to_know(run: Run) -> Iterator[str]:
    """Yield what a reader should know of the probabilities that the audit goes by, a sentence each."""
    of_all = set(judges(run).values())
    if any(judge.model is None for judge in of_all):
        yield "The run has no probabilities: regions are ranked by their size alone."
    elif any(judge.temperature is None for judge in of_all):
        yield (
            "No temperature was fitted for this run, so its confidence may be too high: evaluating a run that has a "
            "validation part fits one."
        )
