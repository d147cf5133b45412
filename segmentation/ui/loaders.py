"""What pages load, remembered for all sessions: nothing is read or predicted twice, and memory stays bounded.

The arrays are shared, so they are made read-only. Caches are keyed by stamps (paths, sizes, times) or by the SHA-256 of
the pixels, never by a sample of them.
"""

import hashlib
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Condition, Thread
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
import pandas as pd
import streamlit as st
from cachetools import LRUCache, cached

from segmentation.data.health import Health, examine
from segmentation.data.images import png_bytes
from segmentation.data.palette import Palette
from segmentation.data.patches import PATCH_SIZE, Progress, patch_name, tile_table
from segmentation.data.raster import LARGE, Stretch
from segmentation.data.scenes import Dataset, Scene, read_scene
from segmentation.errors import ImageFileError, SegmentationError
from segmentation.log import event
from segmentation.ui.pictures import fit, overlay
from segmentation.ui.turns import Turns

if TYPE_CHECKING:
    from segmentation.inference.predictor import Prediction, Predictor

MEGABYTE = 1 << 20

PREDICTION = 48 * MEGABYTE
"""What a prediction takes at most of the memory for them: that of a scene of 2.9 megapixels and six classes."""

OVERVIEW = 1400
"""Longest side of what is shown of an orthophoto, in pixels."""

PATIENCE = 45
"""Seconds that a GeoTIFF may take to be shown small."""

TURNS = Turns(20)
"""Predictions under way in all sessions together."""

Loader = TypeVar("Loader", bound=Callable)


def remembered(maxsize: int, key: Callable[..., Hashable], size: Callable | None = None) -> Callable[[Loader], Loader]:
    """Cache a function for all sessions; while one computes a value, others that want the same wait for it.

    Args:
        maxsize: Entries kept, or whatever `size` counts.
        key: From the arguments to the cache's key.
        size: From a value to its size.
    """
    return cached(LRUCache(maxsize, size), key=key, condition=Condition())


@contextmanager
def progress_bar(text: str) -> Iterator[Progress]:
    """Yield a callback (done, total) that draws a bar from its first call on; nothing is left of it at the end."""
    place = st.empty()
    try:
        yield lambda done, total: place.progress(done / total, f"{text} {done:,} of {total:,}")
    finally:
        place.empty()


@contextmanager
def taking_turns(text: str) -> Iterator[Progress]:
    """Wait until no other session predicts, and yield a callback as `progress_bar` does that lets others go on."""
    drawn: tuple[float, str] = (0.0, text)
    place = st.empty()

    def wait(ahead: int) -> None:
        others = "another prediction" if ahead == 1 else f"{ahead} other predictions"
        place.progress(drawn[0], f"{drawn[1]} (taking turns with {others})")

    def progress(done: int, total: int) -> None:
        nonlocal drawn
        drawn = done / total, f"{text} {done:,} of {total:,}"
        place.progress(*drawn)
        if done < total:
            pass_on()

    try:
        with TURNS.taken(wait) as pass_on:
            yield progress
    finally:
        place.empty()


@remembered(4, key=lambda dataset, size, progress: (dataset.stamp(), size))
def _health(dataset: Dataset, size: int, progress: Progress) -> Health:
    return examine(dataset, size, progress)


def load_health(dataset: Dataset, size: int = PATCH_SIZE) -> Health:
    """Return the health report of a data set and its patches' statistics, with a bar while its files are read."""
    with progress_bar("Reading every scene once …") as progress:
        return _health(dataset, size, progress)


@remembered(16, key=lambda dataset, size: (dataset.stamp(), size))
def load_tile_table(dataset: Dataset, size: int) -> pd.DataFrame:
    """Return the article's table of tiles."""
    return tile_table(dataset, size)


@remembered(16, key=lambda dataset: dataset.stamp())
def load_fingerprint(dataset: Dataset) -> str:
    """Return the SHA-256 of a data set's contents."""
    return dataset.fingerprint()


def _scene_stamp(scene: Scene) -> tuple:
    """A mark of a scene's two files that changes when one of them does; None for a file that is gone."""
    marks = []
    for path in (scene.image, scene.mask):
        try:
            status = path.stat()
            marks.append((path, status.st_mtime_ns, status.st_size))
        except OSError:
            marks.append((path, None, None))
    return tuple(marks)


@remembered(
    400 * MEGABYTE,
    key=lambda scene, palette, stretch: (_scene_stamp(scene), palette, stretch),
    size=lambda pair: pair[0].nbytes + pair[1].nbytes,
)
def load_scene(scene: Scene, palette: Palette, stretch: Stretch | None) -> tuple[np.ndarray, np.ndarray]:
    """Return a scene's image (height, width, 3) and class indices (height, width), both uint8 and read-only.

    Args:
        scene: What to read.
        palette: The classes.
        stretch: For an image of more than 8 bits.

    Raises:
        ImageFileError: If it cannot be read.
    """
    image, mask = read_scene(scene, palette, stretch)
    image.flags.writeable = mask.flags.writeable = False
    return image, mask


def load_patch(
    dataset: Dataset, scene: str, row: int, column: int, size: int, stretch: Stretch | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return one patch's image (size, size, 3) and class indices (size, size).

    Args:
        dataset: Where its scene is.
        scene: The scene's name.
        row: Of the grid of patches.
        column: Likewise.
        size: Side of a patch, in pixels.
        stretch: Of the run that is to see it, for an image of more than 8 bits; by default the data set's.

    Raises:
        ImageFileError: If its scene cannot be read, or is too small.
        DatasetNotFoundError: If there is no such scene.
    """
    return _cut_patch(
        load_scene(dataset.scene(scene), dataset.palette, stretch or dataset.stretch), scene, row, column, size
    )


def _cut_patch(
    pixels: tuple[np.ndarray, np.ndarray], scene: str, row: int, column: int, size: int
) -> tuple[np.ndarray, np.ndarray]:
    image, mask = pixels
    if not (row < mask.shape[0] // size and column < mask.shape[1] // size):
        raise ImageFileError(f"{patch_name(scene, row, column)} is not in the scene: its files have changed.")
    here = np.s_[row * size : (row + 1) * size, column * size : (column + 1) * size]
    return image[here], mask[here]


@remembered(
    64 * MEGABYTE,
    key=lambda scene, palette, stretch, longest: (_scene_stamp(scene), palette, stretch, longest),
    size=lambda pair: pair[0].nbytes + pair[1].nbytes,
)
def load_small(scene: Scene, palette: Palette, stretch: Stretch | None, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a scene's image, shrunk smoothly, and its class indices, shrunk by whole pixels, both read-only.

    Args:
        scene: What to read.
        palette: The classes.
        stretch: For an image of more than 8 bits.
        longest: The longer side is at most so many pixels.

    Raises:
        ImageFileError: If the scene cannot be read.
    """
    image, mask = load_scene(scene, palette, stretch)
    small = np.array(fit(image, longest, smooth=True))
    rows = np.arange(small.shape[0]) * mask.shape[0] // small.shape[0]
    columns = np.arange(small.shape[1]) * mask.shape[1] // small.shape[1]
    small_mask = mask[np.ix_(rows, columns)]
    small.flags.writeable = small_mask.flags.writeable = False
    return small, small_mask


@remembered(
    32 * MEGABYTE,
    key=lambda scene, *how: (_scene_stamp(scene), *how),
    size=len,
)
def load_thumbnail(
    scene: Scene, palette: Palette, stretch: Stretch | None, colors: Palette, opacity: float, longest: int
) -> bytes:
    """Return a scene's thumbnail as PNG, its longer side at most `longest` pixels, with the mask laid over.

    Args:
        scene: What to read.
        palette: The classes, in the colours of the mask file.
        stretch: For an image of more than 8 bits.
        colors: The classes, in the colours to draw.
        opacity: How much the mask covers, 0–1.
        longest: In pixels.

    Raises:
        ImageFileError: If the scene cannot be read.
    """
    return png_bytes(overlay(*load_small(scene, palette, stretch, longest), colors, opacity))


@remembered(
    32 * MEGABYTE,
    key=lambda scene, *how: (_scene_stamp(scene), *how),
    size=len,
)
def load_patch_thumbnail(
    scene: Scene,
    palette: Palette,
    stretch: Stretch | None,
    colors: Palette,
    opacity: float,
    row: int,
    column: int,
    size: int,
) -> bytes:
    """Return a patch as PNG with its mask laid over, as `load_thumbnail` does: each may come from another scene.

    Args:
        scene: Where it lies.
        palette: The classes, in the colours of the mask file.
        stretch: For an image of more than 8 bits.
        colors: The classes, in the colours to draw.
        opacity: How much the mask covers, 0–1.
        row: Of the grid of patches.
        column: Likewise.
        size: Side of a patch, in pixels.

    Raises:
        ImageFileError: If the scene cannot be read, or is too small.
    """
    image, mask = _cut_patch(load_scene(scene, palette, stretch), scene.name, row, column, size)
    return png_bytes(overlay(image, mask, colors, opacity))


@remembered(2, key=lambda path, modified_ns, bfloat16: (path, modified_ns, bfloat16))
def _predictor(path: Path, modified_ns: int, bfloat16: bool) -> "Predictor":
    from segmentation.inference.predictor import Predictor  # half a second, only where needed

    begun = time.monotonic()
    predictor = Predictor(path, bfloat16)
    event("model loaded", run=path.parent.name, seconds=round(time.monotonic() - begun, 3))
    return predictor


def load_predictor(path: Path, bfloat16: bool = False) -> "Predictor":
    """Return the model at `path`, loaded once for all sessions.

    Raises:
        RunError: If it cannot be loaded.
        BackendError: If what computes it cannot be loaded.
    """
    with st.spinner("Loading the model …"):
        return _predictor(path, path.stat().st_mtime_ns, bfloat16)


def prepare_predictor(path: Path) -> None:
    """Begin to load the model at `path` while the user looks for a picture; what goes wrong shows when it is needed."""

    def load() -> None:
        with suppress(SegmentationError, OSError):
            _predictor(path, path.stat().st_mtime_ns, bfloat16=False)

    Thread(target=load, daemon=True).start()


class Orthophoto(NamedTuple):
    """What there is to know of a GeoTIFF.

    Args:
        height: In pixels.
        width: In pixels.
        unplaced: Why it does not say where it lies; None if it does.
        system: Name of its coordinate reference system.
        transform: From (column, row) to coordinates, (a, b, c, d, e, f).
        geographic: Whether its coordinates are degrees.
        corners: Longitude and latitude of its corners, (4, 2) clockwise from the top left; None if there are none.
        square_metres: What it covers on the ground; None if that is not known.
    """

    height: int
    width: int
    unplaced: str | None
    system: str | None
    transform: tuple[float, ...] | None
    geographic: bool
    corners: np.ndarray | None
    square_metres: float | None


@remembered(256, key=lambda path, mark: mark)
def _orthophoto(path: Path, mark: tuple) -> Orthophoto:
    from segmentation.data.raster import Raster

    with Raster(path, patience=PATIENCE) as raster:
        areas = raster.pixel_areas()
        return Orthophoto(
            raster.height,
            raster.width,
            raster.unplaced,
            raster.system,
            raster.place,
            raster.is_geographic,
            raster.corners(),
            areas and areas.total,
        )


def load_orthophoto(path: Path) -> Orthophoto:
    """Return what there is to know of a GeoTIFF.

    Raises:
        ImageFileError: If it cannot be read.
    """
    return _orthophoto(path, _mark(path))


def _mark(path: Path) -> tuple:
    """A mark of a file that changes when it does.

    Raises:
        ImageFileError: If it is not there.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise ImageFileError(f"{path.name} cannot be opened ({error.strerror}): check the path.") from error
    return path, status.st_ino, status.st_size, status.st_mtime_ns


@remembered(
    64 * MEGABYTE,
    key=lambda path, mark, band, stretch: (mark, band, stretch),
    size=lambda picture: picture.nbytes,
)
def _overview(path: Path, mark: tuple, band: bool, stretch: Stretch | None) -> np.ndarray:
    from segmentation.data.raster import Raster

    with Raster(path, stretch=stretch, patience=PATIENCE) as raster:
        picture = raster.indices(OVERVIEW) if band else raster.overview(OVERVIEW)
    picture.flags.writeable = False
    return picture


def load_overview(path: Path, band: bool = False, stretch: Stretch | None = None) -> np.ndarray:
    """Return a GeoTIFF shrunk to `OVERVIEW` pixels a side, read-only: (rows, columns, 3) uint8.

    Args:
        path: The file.
        band: Return the nearest values of its only band instead, (rows, columns) uint8.
        stretch: For bands of more than 8 bits; by default their own.

    Raises:
        ImageFileError: If it cannot be read.
    """
    return _overview(path, _mark(path), band, stretch)


@remembered(
    3 * PREDICTION,
    key=lambda path, modified_ns, digest, tta, overlap, full, image: (path, modified_ns, digest, tta, overlap, full),
    # Those of two runs are always kept, however large: a page that shows both would make them at every click.
    size=lambda prediction: min(prediction.nbytes, PREDICTION),
)
def _predict(
    path: Path, modified_ns: int, digest: str, tta: bool, overlap: float, full: bool, image: np.ndarray
) -> "Prediction":
    predictor = load_predictor(path)
    begun = time.monotonic()
    with taking_turns("Predicting, windows …") as progress:
        prediction = predictor.scene(image, progress, tta, overlap, full)
    seconds = round(time.monotonic() - begun, 3)
    event("prediction made", run=path.parent.name, pixels=prediction.classes.size, seconds=seconds)
    for array in (prediction.classes, prediction.confidence, *([prediction.probabilities] if full else [])):
        array.flags.writeable = False
    return prediction


def predict(path: Path, image: np.ndarray, tta: bool = False, overlap: float = 0.0) -> "Prediction":
    """Predict an image (height, width, 3) uint8 with the model at `path`, with a bar, by turns with other sessions.

    Of one of more than `LARGE` pixels the classes' probabilities are not kept.

    Args:
        path: A run's model.
        image: The picture.
        tta: With test-time augmentation.
        overlap: What a window has in common with the next, as a share of a patch's side, 0 to 0.5.

    Raises:
        RunError: If the model cannot be loaded.
        BusyError: If too many predictions are under way.
    """
    digest = hashlib.sha256(np.ascontiguousarray(image)).hexdigest() + str(image.shape)
    full = image.shape[0] * image.shape[1] <= LARGE
    return _predict(path, path.stat().st_mtime_ns, digest, tta, overlap, full, image)
