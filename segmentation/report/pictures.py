"""The pictures of a report: a patch's image, ground truth, predictions and what differs, as the browser reads them."""

import base64
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from segmentation.data.images import read_size
from segmentation.data.palette import VOID, Palette
from segmentation.data.patches import Progress
from segmentation.data.protocols import apply_void_policy
from segmentation.data.scenes import Dataset, read_scene
from segmentation.data.stretch import Stretch, as_colors
from segmentation.errors import BackendError, DatasetNotFoundError, ImageFileError, RunError
from segmentation.inference.predictor import Predictor
from segmentation.runs.recording import read_recorded
from segmentation.runs.run import Run

LONGEST = 512
"""Pixels of a picture's side: larger patches are shrunk, masks by whole pixels. On paper more is not seen."""

QUALITY = 88
"""Of an image as WebP. Masks are PNG."""

RIGHT = (236, 236, 236)
"""The colour of what is right where a prediction differs from the ground truth."""


@dataclass(frozen=True)
class PatchPictures:
    """A patch's pictures, each an address that holds the picture itself; empty where there is none.

    Args:
        image: What is seen from above.
        truth: The mask.
        predicted: A prediction for each run.
        wrong: Where each is wrong, in the colour of the class predicted.
        problem: Why there is none.
    """

    image: str = ""
    truth: str = ""
    predicted: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class _Seen:
    """A patch as it is read: bands and colours (size, size, …) uint8, and class indices."""

    bands: np.ndarray
    colors: np.ndarray
    mask: np.ndarray


def patch_pictures(
    runs: Sequence[Run],
    dataset: Dataset,
    rows: pd.DataFrame,
    colors: Palette,
    predictor_of: Callable[[Path], Predictor] = Predictor,
    progress: Progress | None = None,
) -> tuple[dict[str, PatchPictures], list[str]]:
    """Return the pictures of patches by their names, and a sentence for each run that cannot predict.

    Each scene is read once for each way in which the runs have it read.

    Args:
        runs: A run, and perhaps another of the same classes, whose patches have the first one's size.
        dataset: The scenes, in the runs' classes.
        rows: Of the first run's table of patches.
        colors: The classes, in the colours to draw.
        predictor_of: From a run's model to what predicts with it.
        progress: Called with (scenes and runs done, all of them).
    """
    first, total = runs[0], rows["scene"].nunique() + len(runs)
    seen: dict[str, _Seen] = {}
    problems: dict[str, str] = {}
    for done, (name, result) in enumerate(
        _read(dataset, rows, dataset.stretch_for(first.stretch), first.patch_size), 1
    ):
        seen.update(result if isinstance(result, dict) else {})
        if isinstance(result, str):
            problems |= dict.fromkeys(rows.loc[rows["scene"] == name, "patch"], result)
        if progress:
            progress(done, total)
    predicted: list[dict[str, np.ndarray]] = []
    sentences = []
    for number, run in enumerate(runs):
        try:
            predicted.append(_predict(run, dataset, rows[rows["patch"].isin(seen)], seen, predictor_of, first))
        except (RunError, BackendError, ImageFileError) as error:
            predicted.append({})
            sentences.append(str(error))
        if progress:
            progress(total - len(runs) + number + 1, total)
    drawn = {}
    for name, of in seen.items():
        truth = apply_void_policy(of.mask, first.protocol, dataset.palette)
        drawn[name] = _draw(of, truth, [classes.get(name) for classes in predicted], colors)
    return drawn | {name: PatchPictures(problem=problem) for name, problem in problems.items()}, sentences


def _read(
    dataset: Dataset, rows: pd.DataFrame, stretch: Stretch | None, size: int
) -> Iterator[tuple[str, dict[str, _Seen] | str]]:
    """Yield each scene's name with its patches of `size` pixels a side, or with why they cannot be had."""
    for name, of_scene in rows.groupby("scene", sort=False):
        try:
            bands, mask = read_scene(dataset.scene(str(name)), dataset.palette, stretch)
        except (ImageFileError, DatasetNotFoundError) as error:
            yield str(name), str(error)
            continue
        if (of_scene["row"].max() + 1) * size > len(mask) or (of_scene["column"].max() + 1) * size > mask.shape[1]:
            yield str(name), f"{name} is smaller than it was when it was scored: its files have changed."
            continue
        found = {}
        for patch, row, column in of_scene[["patch", "row", "column"]].itertuples(index=False):
            here = np.s_[row * size : (row + 1) * size, column * size : (column + 1) * size]
            # Copied: a view would hold the scene, of which there may be many.
            found[patch] = _Seen(bands[here].copy(), as_colors(bands[here], stretch).copy(), mask[here].copy())
        yield str(name), found


def _predict(
    run: Run,
    dataset: Dataset,
    rows: pd.DataFrame,
    seen: dict[str, _Seen],
    predictor_of: Callable[[Path], Predictor],
    first: Run,
) -> dict[str, np.ndarray]:
    """Return the class indices that a run predicts of patches, by their names.

    Raises:
        RunError: If its model cannot be used, or there is none.
        BackendError: If what computes it is missing.
    """
    if run.model:
        stretch = dataset.stretch_for(run.stretch)
        if stretch != dataset.stretch_for(first.stretch):
            of_scenes = _read(dataset, rows, stretch, first.patch_size)
            read = (found for _, found in of_scenes if isinstance(found, dict))
            seen = {name: one for found in read for name, one in found.items()}
        predictor = predictor_of(run.model)
        return {name: predictor.scene_classes(one.bands) for name, one in seen.items()}
    if run.predictions is None:
        raise RunError(f"{run.name} has neither a model nor predictions, so that its predictions are not shown.")
    size, found = first.patch_size, {}
    for scene, of_scene in rows.groupby("scene", sort=False):
        with suppress(ImageFileError):  # then this scene's are not shown
            classes = read_recorded(run, str(scene), read_size(dataset.scene(str(scene)).image))
            for patch, row, column in of_scene[["patch", "row", "column"]].itertuples(index=False):
                found[patch] = classes[row * size : (row + 1) * size, column * size : (column + 1) * size]
    return found


def _draw(seen: _Seen, truth: np.ndarray, predicted: Sequence[np.ndarray | None], colors: Palette) -> PatchPictures:
    """Return a patch's pictures.

    Args:
        seen: The patch.
        truth: Its class indices, void as the protocol counts it.
        predicted: Class indices of each run; None where there are none.
        colors: The classes.
    """
    masks = ["" if one is None else mask_address(colors.decode(one)) for one in predicted]
    wrong = ["" if one is None else mask_address(wrong_pixels(truth, one, colors)) for one in predicted]
    return PatchPictures(image_address(seen.colors), mask_address(colors.decode(truth)), tuple(masks), tuple(wrong))


def wrong_pixels(truth: np.ndarray, predicted: np.ndarray, colors: Palette) -> np.ndarray:
    """Show wrong pixels in the colour of the class they are predicted as, others in light grey; void in black.

    Args:
        truth: (height, width) uint8 class indices, void 255.
        predicted: (height, width) uint8 class indices.
        colors: The classes.

    Returns:
        (height, width, 3) uint8.
    """
    drawn = np.where((truth == predicted)[..., None], np.array(RIGHT, np.uint8), colors.decode(predicted))
    drawn[truth == VOID] = colors.decode(np.array([[VOID]], np.uint8))[0, 0]
    return drawn


def image_address(pixels: np.ndarray) -> str:
    """Return an image (height, width, 3) uint8 as an address that holds it, at most `LONGEST` pixels a side."""
    buffer = io.BytesIO()
    _shrunk(pixels, Image.Resampling.BOX).save(buffer, "WEBP", quality=QUALITY, method=4)
    return _address("webp", buffer.getvalue())


def mask_address(pixels: np.ndarray) -> str:
    """Return a mask's colours (height, width, 3) uint8 likewise, with hard edges."""
    buffer = io.BytesIO()
    _shrunk(pixels, Image.Resampling.NEAREST).save(buffer, "PNG", optimize=True)
    return _address("png", buffer.getvalue())


def _shrunk(pixels: np.ndarray, how: Image.Resampling) -> Image.Image:
    picture = Image.fromarray(pixels)
    scale = LONGEST / max(picture.size)
    return picture if scale >= 1 else picture.resize([max(1, round(side * scale)) for side in picture.size], how)


def _address(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
