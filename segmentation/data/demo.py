"""The demo set: the procedural city of `city.py` in the real set's folder layout, with exact masks.

Each tile is one contiguous area, cut into 3 by 3 scenes.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from segmentation.data.city import COLUMNS, PAINTERS, ROWS, render
from segmentation.data.palette import DUBAI, VOID
from segmentation.data.scenes import DEMO_MARKER
from segmentation.errors import SegmentationError
from segmentation.files import scratch_folder, writing

VERSION = 1
"""To be raised whenever the pictures change: a demo set of another version is made anew."""

PALETTE_MODE_SCENE = ("Tile 2", 4)
VOID_SCENES = {("Tile 1", 8): (slice(0, 4), slice(300, 420)), ("Tile 2", 6): (slice(200, 350), slice(-3, None))}
"""The real set's quirks: a mask saved in palette mode, and slivers (rows, columns) that nobody painted."""

HAZY_SCENES = {"Tile 1": (6,), "Tile 2": (2, 6)}
"""Scenes in bright haze, so that a gallery of the worst predictions has something to show."""


def make_demo(folder: Path, progress: Callable[[int, int], None] | None = None) -> Path:
    """Write the demo set into `folder` and return it. `progress(done, total)` is called after every scene.

    If the set is already there, nothing is written. Otherwise it is built beside `folder` and moved into place in one
    step: nobody meets half a set, and two processes that make it at the same time both end with a complete one.

    Raises:
        SegmentationError: If `folder` holds something other than a demo set.
        StorageError: If it cannot be written.
    """
    if _is_complete(folder):
        return folder
    if folder.exists() and not (folder / DEMO_MARKER).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise SegmentationError(f"{folder} holds something else: choose a new or an empty folder for the demo set.")
    with writing(folder), scratch_folder(folder.parent) as scratch:
        _build(scratch / "new", progress)
        _publish(scratch / "new", folder)
    return folder


def _is_complete(folder: Path) -> bool:
    try:
        version = json.loads((folder / DEMO_MARKER).read_text(encoding="utf-8"))["version"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return version == VERSION and all(
        image.is_file() and mask.is_file()
        for tile in PAINTERS
        for image, mask in (_scene_files(folder / tile, part) for part in range(1, 10))
    )


def _scene_files(tile: Path, part: int) -> tuple[Path, Path]:
    return tile / "images" / f"image_part_{part:03d}.jpg", tile / "masks" / f"image_part_{part:03d}.png"


def _publish(new: Path, folder: Path) -> None:
    """Move `new` to `folder`, and an outdated set there out of the way, unless another process was faster."""
    patience = 10
    while not _is_complete(folder):
        patience -= 1
        try:
            if folder.exists():
                folder.replace(new.with_name(f"old-{patience}"))
            new.replace(folder)
        except OSError:
            # Another process may be between the same two moves, and done in a moment.
            if not patience:
                raise
            time.sleep(0.05)


def _build(folder: Path, progress: Callable[[int, int], None] | None) -> None:
    for number, tile in enumerate(PAINTERS):
        image, labels = render(tile, np.random.default_rng((VERSION, number)), HAZY_SCENES[tile])
        for part in range(1, 10):
            row, column = divmod(part - 1, 3)
            window = slice(*ROWS[row : row + 2]), slice(*COLUMNS[column : column + 2])
            _save_scene(folder / tile, part, image[window], labels[window])
            if progress:
                progress(9 * number + part, 9 * len(PAINTERS))
    # Written last: a folder that has it is complete, and ours to replace.
    (folder / DEMO_MARKER).write_text(json.dumps({"version": VERSION}) + "\n", encoding="utf-8")


def _save_scene(tile: Path, part: int, image: np.ndarray, labels: np.ndarray) -> None:
    image_file, mask_file = _scene_files(tile, part)
    for file in (image_file, mask_file):
        file.parent.mkdir(parents=True, exist_ok=True)
    if (tile.name, part) in VOID_SCENES:
        labels[VOID_SCENES[tile.name, part]] = VOID
    if (tile.name, part) == PALETTE_MODE_SCENE:
        mask = Image.fromarray(labels)
        mask.putpalette([channel for color in DUBAI.colors for channel in color])
    else:
        mask = Image.fromarray(DUBAI.decode(labels))
    Image.fromarray(image).save(image_file, quality=88)
    mask.save(mask_file)
