"""Scenes to patches and back: crop, cut, join, names, and the article's table of tiles."""

import errno
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Self

import numpy as np
import pandas as pd

from segmentation.data.images import read_size
from segmentation.data.labels import nothing_labelled, shows_a_class
from segmentation.data.palette import VOID, Palette
from segmentation.data.protocols import COUNTING_VOID, Protocol, apply_void_policy
from segmentation.data.scenes import Dataset, Scene, check_sizes, read_scene
from segmentation.data.stretch import COLORS, Stretch
from segmentation.errors import ConfigurationError, ImageFileError, StorageError

PATCH_SIZE = 160
"""The article's patch size, in pixels."""

IN_MEMORY = 1 << 29
"""Bytes up to which patches are held in memory; more are held in a file, so that any data set can be trained on."""

PIECE = 1 << 20
"""Pixels that are counted at once."""

NAMED = 5
"""Scenes that are named one by one in a sentence."""

Progress = Callable[[int, int], None]
"""Called with (done, total) as work goes on."""


@dataclass(frozen=True, kw_only=True)
class PatchList:
    """Which patches a data set gives, in the order of tile, scene, row, column, and which scenes give none.

    Args:
        table: One row per patch: ``patch, tile, scene, row, column``, and ``split`` where the data set brings splits.
        skipped: One sentence for every scene that gives no patch: it cannot be read, or is smaller than one.
        unlabelled: The scenes whose masks hold no class at all.
        resized: The scenes whose masks were resized to their images' size.
    """

    table: pd.DataFrame
    skipped: tuple[str, ...] = field(default=())
    unlabelled: tuple[str, ...] = field(default=())
    resized: tuple[str, ...] = field(default=())

    def only(self, chosen: np.ndarray) -> Self:
        """Return those patches for which (patches,) bool is true."""
        return replace(self, table=self.table[chosen].reset_index(drop=True))

    def remarks(self, dataset: Dataset, protocol: Protocol | None) -> list[str]:
        """Say what of the data set was left out, and which masks hold nothing; no sentence if all is well.

        Args:
            dataset: Where the patches are from.
            protocol: How void counts.
        """
        sentences = []
        if self.skipped:
            count, scenes = len(self.skipped), len(dataset.scenes)
            more = f"; {count - NAMED:,} more are in the health report" if count > NAMED else ""
            sentences.append(f"Left out {count:,} of {scenes:,} scenes: {'; '.join(self.skipped[:NAMED])}{more}")
        if self.unlabelled:
            void = protocol in COUNTING_VOID and dataset.palette.unlabeled is not None
            counts = "counts as Unlabeled" if void else "is left out of loss and scores"
            count, masks, names = len(self.unlabelled), len(dataset.scenes), _first(self.unlabelled)
            sentences.append(f"No class in {count:,} of {masks:,} masks; what they hold {counts}: {names}")
        if self.resized:
            count, masks = len(self.resized), len(dataset.scenes)
            sentences.append(f"Resized {count:,} of {masks:,} masks to their images' size: {_first(self.resized)}")
        return sentences


@dataclass(frozen=True, kw_only=True)
class Patches(PatchList):
    """All patches of a data set with their pixels.

    Args:
        images: (patches, size, size, bands) uint8.
        masks: (patches, size, size) uint8 class indices, void 255.
    """

    images: np.ndarray
    masks: np.ndarray

    def only(self, chosen: np.ndarray) -> Self:
        """Return those patches for which (patches,) bool is true, copied."""
        return replace(super().only(chosen), images=self.images[chosen], masks=self.masks[chosen])


class SceneReading(NamedTuple):
    """What shows of a scene when it is read.

    Args:
        grid: How many (rows, columns) of patches it gives; None if it cannot be read.
        problem: Why it gives none, without its name; empty if it gives any.
        unlabelled: Whether its mask holds no class at all.
        resized: Whether its mask was resized to its image's size.
    """

    grid: tuple[int, int] | None
    problem: str = ""
    unlabelled: bool = False
    resized: bool = False


def _first(scenes: Sequence[str]) -> str:
    """Name the first scenes of several."""
    return ", ".join(scenes[:NAMED]) + (" …" if len(scenes) > NAMED else "")


def grid(height: int, width: int, size: int) -> tuple[int, int]:
    """Return how many (rows, columns) of patches fit, from the top left and without overlap."""
    if size < 1:
        raise ValueError(f"Expected a positive patch size. Received: {size=}")
    return height // size, width // size


def crop(array: np.ndarray, size: int) -> np.ndarray:
    """Cut right and bottom strips off (height, width, …) so that both sides are divisible by `size`. A view."""
    rows, columns = grid(array.shape[0], array.shape[1], size)
    return array[: rows * size, : columns * size]


def cut(array: np.ndarray, size: int) -> np.ndarray:
    """Crop (height, width, …) and cut it into (rows · columns, size, size, …), row by row."""
    rows, columns = grid(array.shape[0], array.shape[1], size)
    blocks = crop(array, size).reshape(rows, size, columns, size, *array.shape[2:])
    return blocks.swapaxes(1, 2).reshape(rows * columns, size, size, *array.shape[2:])


def _cut_into(patches: np.ndarray, array: np.ndarray) -> None:
    """Cut (height, width, …) into the room for its patches, by strips: a large scene is not held twice."""
    size = patches.shape[1]
    columns = grid(array.shape[0], array.shape[1], size)[1]
    for row, first in enumerate(range(0, len(patches), columns or 1)):
        patches[first : first + columns] = cut(array[row * size : (row + 1) * size], size)


def join(patches: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Put (rows · columns, size, size, …) back together as (rows · size, columns · size, …): the inverse of `cut`."""
    if len(patches) != rows * columns:
        raise ValueError(f"Expected rows × columns patches. Received: {len(patches)=}, {rows=}, {columns=}")
    size = patches.shape[1]
    blocks = patches.reshape(rows, columns, size, size, *patches.shape[3:]).swapaxes(1, 2)
    return blocks.reshape(rows * size, columns * size, *patches.shape[3:])


def patch_name(scene: str, row: int, column: int) -> str:
    """Return a patch's name, ``tile-7/image_part_003/r02c05``: the same in every table, file and URL."""
    return f"{scene}/r{row:02d}c{column:02d}"


def tile_table(dataset: Dataset, size: int = PATCH_SIZE) -> pd.DataFrame:
    """Return the article's table: one row per tile with its sizes in pixels and its number of patches.

    Only headers are read. A scene that cannot be read, or whose mask cannot or is of another size, counts with no
    patches; what shows only when pixels are decoded is known to `health.usable_patches`.

    Returns:
        Columns ``tile, scenes, height, width, patches``; a size is a range such as ``643–644`` where scenes differ.
    """
    rows = []
    for tile in dataset.tiles:
        scenes = [scene for scene in dataset.scenes if scene.tile == tile]
        sizes = []
        for scene in scenes:
            try:
                size_of_image = read_size(scene.image)
                check_sizes(scene, size_of_image)
            except ImageFileError:
                continue
            sizes.append(size_of_image)
        heights, widths = ({size[axis] for size in sizes} for axis in (0, 1))
        counts = [np.prod(grid(*scene_size, size)) for scene_size in sizes]
        rows.append((tile, len(scenes), _span(heights), _span(widths), int(sum(counts))))
    return pd.DataFrame(rows, columns=["tile", "scenes", "height", "width", "patches"])


def _span(values: set[int]) -> str:
    """Show 644 or 643–644; a dash where there is nothing."""
    if not values:
        return "–"
    return str(min(values)) if len(values) == 1 else f"{min(values)}–{max(values)}"


def patch_table(scene: str, tile: str, rows: int, columns: int) -> pd.DataFrame:
    """Return one row per patch of one scene: ``patch, tile, scene, row, column``."""
    return patch_tables([(scene, tile, rows, columns)])


def patch_tables(scenes: Iterable[tuple[str, str, int, int]]) -> pd.DataFrame:
    """Return `patch_table` of several scenes, given as its arguments, one after the other."""
    places = [
        (patch_name(scene, row, column), tile, scene, row, column)
        for scene, tile, rows, columns in scenes
        for row in range(rows)
        for column in range(columns)
    ]
    return pd.DataFrame(places, columns=["patch", "tile", "scene", "row", "column"])


def load_patches(
    dataset: Dataset,
    size: int = PATCH_SIZE,
    progress: Progress | None = None,
    protocol: Protocol | None = None,
    stretch: Stretch | None = None,
) -> Patches:
    """Read every scene and cut it into patches, straight into one array of images and one of masks.

    A scene that gives no patch is passed over and named in `Patches.skipped`. Memory does not grow with the data set:
    patches beyond `IN_MEMORY` bytes lie in a temporary file that vanishes with the arrays.

    Args:
        dataset: The scenes.
        size: Side of a patch, in pixels.
        progress: Called after every scene.
        protocol: Count void as this protocol does (`apply_void_policy`); by default it stays void.
        stretch: Which bands to read, and for images of more than 8 bits how; by default the data set's.

    Raises:
        ConfigurationError: If no scene can be read, none is as large as one patch, or no mask holds a class.
        StorageError: If the temporary folder has no room for them.
    """
    scenes = dataset.scenes
    grids = [_grid_of(scene, size) for scene in scenes]
    total = sum(rows * columns for rows, columns in grids)
    stretch = stretch or dataset.stretch
    images, masks = _room(total, size, size, stretch.channels if stretch else COLORS), _room(total, size, size)
    readings, filled = [], 0
    for done, (scene, (rows, columns)) in enumerate(zip(scenes, grids, strict=True), 1):
        try:
            image, mask = read_scene(scene, dataset.palette, stretch)
            count = rows * columns
            _cut_into(images[filled : filled + count], image)
            _cut_into(masks[filled : filled + count], apply_void_policy(mask, protocol, dataset.palette))
            readings.append(_reading_of(scene, mask, size))
            filled += count
        except ImageFileError as error:
            readings.append(SceneReading(None, str(error)))
        if progress:
            progress(done, len(scenes))
    listed = list_patches(dataset, scenes, readings, size)
    return Patches(images=images[:filled], masks=masks[:filled], **vars(listed))


def survey_scene(scene: Scene, palette: Palette, size: int, stretch: Stretch | None = None) -> SceneReading:
    """Read a scene as `load_patches` does, and keep only what shows.

    Args:
        scene: What to read.
        palette: The classes.
        size: Side of a patch, in pixels.
        stretch: As `read_scene` takes it.
    """
    try:
        return _reading_of(scene, read_scene(scene, palette, stretch)[1], size)
    except ImageFileError as error:
        return SceneReading(None, str(error))


def _reading_of(scene: Scene, mask: np.ndarray, size: int) -> SceneReading:
    """Return what a scene's mask (height, width), in its image's size, shows.

    Raises:
        ImageFileError: If its file is not there any more.
    """
    height, width = mask.shape
    rows, columns = grid(height, width, size)
    if not rows * columns:
        return SceneReading((rows, columns), smaller_than_a_patch(height, width, size))
    resized = scene.mask_size() != mask.shape
    return SceneReading((rows, columns), unlabelled=not shows_a_class(mask), resized=resized)


def list_patches(dataset: Dataset, scenes: Sequence[Scene], readings: Sequence[SceneReading], size: int) -> PatchList:
    """Return which patches a data set gives.

    Args:
        dataset: The data set.
        scenes: Those that were read.
        readings: What showed of each.
        size: Side of a patch, in pixels.

    Raises:
        ConfigurationError: If no scene can be read, none is as large as one patch, or no mask holds a class.
    """
    of_scenes = list(zip(scenes, readings, strict=True))
    skipped = tuple(f"{scene.name}: {reading.problem}" for scene, reading in of_scenes if reading.problem)
    unlabelled = tuple(scene.name for scene, reading in of_scenes if reading.unlabelled)
    if not any(reading.grid for reading in readings):
        raise ConfigurationError(f"No scene of {dataset.root} could be used; the first is {skipped[0]}")
    if len(skipped) == len(scenes):
        raise ConfigurationError(
            f"No scene of {dataset.root} gives a patch of {size} × {size} pixels: choose a smaller patch size."
        )
    if len(unlabelled) + len(skipped) == len(scenes):
        raise nothing_labelled(dataset)
    table = patch_tables((scene.name, scene.tile, *reading.grid) for scene, reading in of_scenes if reading.grid)
    if dataset.splits:
        table["split"] = table["scene"].map({scene.name: scene.split for scene in scenes})
    resized = tuple(scene.name for scene, reading in of_scenes if reading.resized)
    return PatchList(table=table, skipped=skipped, unlabelled=unlabelled, resized=resized)


def _grid_of(scene: Scene, size: int) -> tuple[int, int]:
    """Return how many (rows, columns) of patches a scene's header promises; none if it cannot be read."""
    try:
        return grid(*read_size(scene.image), size)
    except ImageFileError:
        return 0, 0


def smaller_than_a_patch(height: int, width: int, size: int) -> str:
    """Say that an image gives no patch of `size` pixels a side."""
    return f"its {width} × {height} pixels are less than a patch of {size} × {size}"


def _room(*shape: int) -> np.ndarray:
    """Return an array of bytes to be filled: in memory, or on the disk if it is large."""
    size = math.prod(shape)
    if size <= IN_MEMORY:
        return np.empty(shape, np.uint8)
    folder = tempfile.gettempdir()
    with tempfile.TemporaryFile() as file:
        try:
            if shutil.disk_usage(folder).free < size:
                raise OSError(errno.ENOSPC, folder)
            if hasattr(os, "posix_fallocate"):  # takes the room now: a disk that fills up later would end the process
                os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            raise StorageError(
                f"{folder} has no room for {size / 1e9:,.1f} GB of patches: make room, or set TMPDIR to a larger disk."
            ) from error
        return np.memmap(file, np.uint8, "w+", shape=shape)


def image_statistics(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each image's brightness and contrast: mean and standard deviation of its bands' means, 0–1.

    Args:
        images: (images, height, width, bands) uint8.

    Returns:
        Two (images,) float64.
    """
    brightness, contrast = np.empty(len(images)), np.empty(len(images))
    for index, image in enumerate(images):  # one by one: as floats, all at once would be four times as large
        grey = image.mean(-1, dtype=np.float32) / 255
        brightness[index], contrast[index] = grey.mean(), grey.std()
    return brightness, contrast


def class_counts(masks: np.ndarray, classes: int) -> np.ndarray:
    """Count each mask's pixels by class; void comes last.

    Args:
        masks: (masks, height, width) uint8 class indices, void 255.
        classes: Number of classes.

    Returns:
        (masks, classes + 1) int64.
    """
    counts = np.empty((len(masks), classes + 1), np.int64)
    for index, mask in enumerate(masks):
        # Piece by piece: to be counted, each pixel becomes a number of eight bytes.
        pieces = np.array_split(mask.ravel(), -(-mask.size // PIECE) or 1)
        of_value = np.sum([np.bincount(piece, minlength=VOID + 1) for piece in pieces], axis=0)
        counts[index] = [*of_value[:classes], of_value[VOID]]
    return counts
