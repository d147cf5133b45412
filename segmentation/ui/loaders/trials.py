"""What is to be added as a run, tried on a few scenes: how it is read, and what it predicts of them."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import streamlit as st

from segmentation.data.images import read_size
from segmentation.data.palette import Palette
from segmentation.data.patches import Patches, Progress, class_counts, load_patches
from segmentation.data.scenes import Dataset
from segmentation.data.stretch import Stretch, as_colors
from segmentation.errors import ImageFileError, RunError
from segmentation.evaluation.predicted_files import Matched, match_files
from segmentation.inference.prediction import most_probable
from segmentation.ui.loaders.caching import remembered, taking_turns
from segmentation.ui.loaders.scenes import load_small

if TYPE_CHECKING:
    from segmentation.inference.foreign.opened import Opened

SHOWN = 5
"""Patches or scenes that are shown."""

MOST_SCENES, MOST_PIXELS = 24, 24_000_000
"""Scenes that patches are cut from, and the pixels after which no further one is read."""

LONGEST = 320
"""Longest side of a scene that is shown, in pixels."""


class Sample(NamedTuple):
    """A patch or a scene with its prediction.

    Args:
        name: Its own.
        pixels: Its image (height, width, 3) and two times class indices (height, width), the true and the predicted
            ones, all uint8 and in register; None if they cannot be shown.
        trouble: Why not.
    """

    name: str
    pixels: tuple[np.ndarray, np.ndarray, np.ndarray] | None
    trouble: str = ""


class Trial(NamedTuple):
    """What came of it.

    Args:
        palette: The classes.
        remarks: What was found out, a sentence each.
        samples: A few patches or scenes.
        settings: All of a model's adapter, as if it were given by hand; nothing of predictions.
    """

    palette: Palette
    remarks: tuple[str, ...]
    samples: tuple[Sample, ...]
    settings: Mapping[str, Any]


def try_model(file: Path, dataset: Dataset, settings: Mapping[str, Any], patch_size: int) -> Trial:
    """Find out how a model is applied, and let it predict some patches, by turns with other sessions.

    Args:
        file: ONNX or Keras.
        dataset: What it is tried on: a sample of its scenes.
        settings: What of the adapter is given by hand.
        patch_size: Side of the patches in pixels, unless the model takes one square size only.

    Raises:
        RunError: If the model cannot be used.
        BackendError: If a Keras file is to be opened, and Keras cannot be loaded.
        ConfigurationError: If a setting contradicts the model, or the scenes give no labelled patch.
        BusyError: If too many predictions are under way.
    """
    return _try_model(file, _mark(file), dataset, settings, patch_size)


def _mark(path: Path) -> tuple[object, ...]:
    """A mark of a file that changes when it does."""
    try:
        status = path.stat()
    except OSError:  # whoever opens it says so
        return (path,)
    return path, status.st_ino, status.st_size, status.st_mtime_ns


@remembered(
    16,
    key=lambda file, mark, dataset, settings, patch_size: (
        *(mark, dataset.stamp(), dataset.stretch, tuple(sorted(settings.items())), patch_size),
    ),
)
def _try_model(
    file: Path, mark: tuple[object, ...], dataset: Dataset, settings: Mapping[str, Any], patch_size: int
) -> Trial:
    from segmentation.evaluation.foreign import find_adapter, palette_of_model  # ONNX Runtime: only where needed
    from segmentation.inference.foreign.computing import forward_of

    palette, stretch = palette_of_model(file, dataset.palette, settings), dataset.stretch
    with st.spinner("Trying the model …"), taking_turns("Reading scenes …") as progress:
        opened = _open(file, mark)
        (adapter, remarks), patches = find_adapter(
            *(opened, dataset, palette, settings, patch_size),
            lambda read, size: _load_patches(read, size, stretch, progress),
        )
        chosen = _telling(patches, len(palette))
        images, masks = patches.images[chosen], patches.masks[chosen]
        predicted = most_probable(forward_of(opened, adapter)(images))[0]
    pixels = zip(as_colors(images, stretch), masks, predicted, strict=True)
    samples = map(Sample, patches.table["patch"].iloc[chosen], pixels)
    return Trial(palette, (f"{file.name}: {adapter.shape_words}", *remarks), tuple(samples), adapter.settings)


@remembered(1, key=lambda file, mark: mark)
def _open(file: Path, mark: tuple[object, ...]) -> "Opened":
    from segmentation.inference.foreign.opened import open_model

    return open_model(file)


@remembered(1, key=lambda dataset, size, stretch, progress: (dataset.stamp(), size, stretch))
def _load_patches(dataset: Dataset, size: int, stretch: Stretch | None, progress: Progress) -> Patches:
    return load_patches(_some_scenes(dataset), size, progress, stretch=stretch)


def _some_scenes(dataset: Dataset) -> Dataset:
    """Return a data set with fewer scenes, the same ones each time."""
    chosen: list[int] = []
    pixels = 0
    for place in np.random.default_rng(0).permutation(len(dataset.scenes))[:MOST_SCENES]:
        try:
            height, width = read_size(dataset.scenes[place].image)
        except ImageFileError:  # left out as it is read
            height = width = 0
        if chosen and pixels + height * width > MOST_PIXELS:
            break
        chosen.append(int(place))
        pixels += height * width
    return replace(dataset, scenes=tuple(dataset.scenes[place] for place in sorted(chosen)))


def _telling(patches: Patches, classes: int) -> np.ndarray:
    """Return the places of some patches, spread over all: in each part the first of those with most classes."""
    present = (class_counts(patches.masks, classes)[:, :classes] > 0).sum(1)
    parts = np.array_split(np.arange(len(present)), min(SHOWN, len(present)))
    return np.array([part[present[part].argmax()] for part in parts])


def try_predictions(folder: Path, dataset: Dataset, within: tuple[Path, ...]) -> Trial:
    """Find out how the predictions in a folder are read, and read some of them.

    Args:
        folder: A file for each scene.
        dataset: The scenes.
        within: Folders that all files must lie in.

    Raises:
        NotAllowedError: If something leads out of `within`.
        RunError: If no file fits a scene.
    """
    matched = match_files(folder, dataset, within)
    return _try_predictions(matched, tuple(_mark(file.path) for file in matched.files.values()), dataset)


@remembered(16, key=lambda matched, marks, dataset: (marks, dataset.stamp(), dataset.stretch))
def _try_predictions(matched: Matched, marks: tuple[object, ...], dataset: Dataset) -> Trial:
    from segmentation.evaluation.recorded import find_readings

    readings, palette = find_readings(matched, dataset), dataset.palette
    scenes = [scene for scene in dataset.scenes if scene.name in matched.files]
    shown = min(SHOWN, len(scenes))
    samples = []
    for scene in (scenes[place * len(scenes) // shown] for place in range(shown)):
        try:
            image, truth = load_small(scene, palette, dataset.stretch, LONGEST)
            whole = readings.classes(matched.files[scene.name], scene, palette)
        except (ImageFileError, RunError) as error:
            samples.append(Sample(scene.name, None, str(error)))
            continue
        # The same pixels as of the mask.
        rows, columns = (
            np.arange(count) * length // count for count, length in zip(truth.shape, whole.shape, strict=True)
        )
        samples.append(Sample(scene.name, (image, truth, whole[np.ix_(rows, columns)])))
    counted = f"{len(matched.files):,} of {len(dataset.scenes):,} scenes have a prediction"
    return Trial(palette, (counted, *readings.remarks, *matched.findings), tuple(samples), {})
