"""A data set's health, scenes, patches and thumbnails."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from segmentation.data.class_table import ClassRow, class_rows
from segmentation.data.declaration import Declaration
from segmentation.data.footprints import ground_resolution
from segmentation.data.images import png_bytes
from segmentation.data.palette import Palette
from segmentation.data.patches import patch_name, tile_table
from segmentation.data.scenes import Dataset, Scene, file_marks, read_scene
from segmentation.data.stretch import Stretch, as_colors
from segmentation.errors import ImageFileError
from segmentation.ui.loaders.caching import MEGABYTE, remembered
from segmentation.ui.pictures import fit, overlay


class Place(NamedTuple):
    """Where in the data set a picture is from.

    Args:
        scene: The scene's name.
        size: (height, width) of its image.
        top: The picture's first row in it.
        left: Its first column.
    """

    scene: str
    size: tuple[int, int]
    top: int = 0
    left: int = 0


@remembered(16, key=lambda dataset, size: (dataset.stamp(), size))
def load_tile_table(dataset: Dataset, size: int) -> pd.DataFrame:
    """Return the article's table of tiles."""
    return tile_table(dataset, size)


@remembered(16, key=lambda dataset: dataset.stamp())
def load_ground_resolution(dataset: Dataset) -> float | None:
    """Return the side of a pixel on the ground in metres; None if no scene says where it lies."""
    return ground_resolution(dataset)


@remembered(16, key=lambda dataset: dataset.stamp())
def load_fingerprint(dataset: Dataset) -> str:
    """Return the SHA-256 of a data set's contents."""
    return dataset.fingerprint()


@remembered(16, key=lambda dataset, said: (dataset.stamp(), said))
def load_class_rows(dataset: Dataset, said: Declaration) -> tuple[ClassRow, ...]:
    """Return what a sample of the masks holds, and what it counts as by what is said."""
    return class_rows(dataset, said)


def _scene_stamp(scene: Scene) -> tuple:
    """A mark of a scene that changes when a file of it or its encoding does."""
    return scene.encoding, *file_marks(scene)


@remembered(
    400 * MEGABYTE,
    key=lambda scene, palette, stretch: (_scene_stamp(scene), palette, stretch),
    size=lambda loaded: sum(array.nbytes for array in {id(array): array for array in loaded}.values()),
)
def _load(scene: Scene, palette: Palette, stretch: Stretch | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a scene's bands as they are read, its mask, and what people see of the bands."""
    bands, mask = read_scene(scene, palette, stretch)
    colors = as_colors(bands, stretch)
    bands.flags.writeable = mask.flags.writeable = colors.flags.writeable = False
    return bands, mask, colors


def load_scene(scene: Scene, palette: Palette, stretch: Stretch | None) -> tuple[np.ndarray, np.ndarray]:
    """Return a scene's image (height, width, 3) and class indices (height, width), both uint8 and read-only.

    Args:
        scene: What to read.
        palette: The classes.
        stretch: Which bands are read and shown, and for an image of more than 8 bits how.

    Raises:
        ImageFileError: If it cannot be read.
    """
    _, mask, colors = _load(scene, palette, stretch)
    return colors, mask


def load_bands(scene: Scene, palette: Palette, stretch: Stretch | None) -> np.ndarray:
    """Return a scene's image as a network sees it, (height, width, bands) uint8 and read-only; as for `load_scene`."""
    return _load(scene, palette, stretch)[0]


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
        stretch: Of the run that is to see it; by default the data set's.

    Raises:
        ImageFileError: If its scene cannot be read, or is too small.
        DatasetNotFoundError: If there is no such scene.
    """
    pixels = load_scene(dataset.scene(scene), dataset.palette, dataset.stretch_for(stretch))
    return _cut_patch(pixels, scene, row, column, size)


def load_patch_bands(
    dataset: Dataset, scene: str, row: int, column: int, size: int, stretch: Stretch | None = None
) -> np.ndarray:
    """Return one patch's image as a network sees it, (size, size, bands); as for `load_patch`."""
    bands, mask, _ = _load(dataset.scene(scene), dataset.palette, dataset.stretch_for(stretch))
    return _cut_patch((bands, mask), scene, row, column, size)[0]


def place_of(dataset: Dataset, scene: str, row: int, column: int, size: int, stretch: Stretch | None = None) -> Place:
    """Return where a patch is from; as for `load_patch`."""
    _, mask = load_scene(dataset.scene(scene), dataset.palette, dataset.stretch_for(stretch))
    return Place(scene, (len(mask), mask.shape[1]), row * size, column * size)


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
        stretch: As for `load_scene`.
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
        stretch: As for `load_scene`.
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
        stretch: As for `load_scene`.
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
