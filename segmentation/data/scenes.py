"""Labelled scenes on disk: every image with its mask, in tiles, in a stable order."""

import hashlib
import json
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from segmentation.data.images import SUFFIXES, is_deep, read_image, read_mask, read_sample, read_size
from segmentation.data.locate import check_allowed
from segmentation.data.palette import CLASS_FILE, Palette
from segmentation.data.stretch import Stretch
from segmentation.errors import DatasetNotFoundError, ImageFileError, printable

DEMO_MARKER = "demo.json"
"""The file in a demo set's root that holds its version."""

PACK = "pack.json"
"""The file in the root of a data set that was packed: what its masks' files were before that."""

MOST_NOTES = 1 << 28
"""More bytes than this are not read of it."""

SAMPLED, SAMPLE = 32, 256
"""Scenes that a data set's stretch is taken from, and pixels a side that each is shrunk to for that."""


@dataclass(frozen=True)
class Scene:
    """One image file with its mask.

    Args:
        name: ``tile-7/image_part_003``: unique in its data set, safe in a file name and a URL.
        tile: The name of the folder that groups scenes, as it is on disk as far as it can be printed: ``Tile 7``.
        image: Path of the image.
        mask: Path of the colour mask.
    """

    name: str
    tile: str
    image: Path
    mask: Path


@dataclass(frozen=True)
class Dataset:
    """The scenes below one folder, and the classes their masks are drawn in.

    Args:
        root: The folder.
        palette: Its ``class_dict.csv``, or the Dubai palette.
        scenes: In natural order of tile and file name.
        unpaired: Images without a mask and masks without an image.
    """

    root: Path
    palette: Palette
    scenes: tuple[Scene, ...]
    unpaired: tuple[Path, ...] = field(default=())

    @property
    def tiles(self) -> tuple[str, ...]:
        """The tiles' names, in the scenes' order."""
        return tuple(dict.fromkeys(scene.tile for scene in self.scenes))

    def scene(self, name: str) -> Scene:
        """Return the scene called `name`.

        Raises:
            DatasetNotFoundError: If there is none.
        """
        for scene in self.scenes:
            if scene.name == name:
                return scene
        raise DatasetNotFoundError(f"There is no scene {name} in {self.root.name}: look whether its files were moved.")

    @property
    def stretch(self) -> Stretch | None:
        """How images of more than 8 bits are shown: one stretch for the whole set, so that its scenes compare.

        Taken from up to `SAMPLED` scenes, evenly spread; None where none of them has more than 8 bits.
        """
        sampled = self.scenes[:: -(-len(self.scenes) // SAMPLED)]
        marks = []
        for scene in sampled:
            with suppress(OSError):
                status = scene.image.stat()
                marks.append((scene.image, status.st_size, status.st_mtime_ns))
        return _stretch_of(tuple(marks))

    def stamp(self) -> str:
        """Return a cheap mark of the files' names, sizes and times: it changes when a file does. For caches."""
        marks = [mark for scene in self.scenes for mark in file_marks(scene)]
        return hashlib.sha256("\n".join([str(self.palette), *marks]).encode()).hexdigest()

    def file_bytes(self) -> int:
        """Return how many bytes the scenes' files take, as far as they are there."""
        count = 0
        for scene in self.scenes:
            for path in (scene.image, scene.mask):
                with suppress(OSError):
                    count += path.stat().st_size
        return count

    def fingerprint(self) -> str:
        """Return the SHA-256 of every scene's name and file contents: the same data give the same mark anywhere.

        A demo set is marked by its version instead: processors round a few of its pixels differently. A packed mask
        counts as the file that it was packed from, for as long as nobody changes it.
        """
        digest = hashlib.sha256()
        marker = self.root / DEMO_MARKER
        if marker.is_file():
            digest.update(marker.read_bytes())
        before_packing = packed_masks(self.root)
        for scene in self.scenes:
            digest.update(scene.name.encode())
            if marker.is_file():
                continue
            for path in (scene.image, scene.mask):
                with suppress(OSError):  # what cannot be read is left out, as it is in training
                    content = hashlib.sha256(path.read_bytes()).hexdigest()
                    packed, original = before_packing.get(path.relative_to(self.root).as_posix(), (None, None))
                    digest.update(bytes.fromhex(original if content == packed else content))
        return digest.hexdigest()


@lru_cache(16)
def _stretch_of(marks: tuple[tuple[Path, int, int], ...]) -> Stretch | None:
    """Return the stretch of some images, each with its size and time; None if none has more than 8 bits."""
    samples = []
    for path, *_ in marks:
        with suppress(ImageFileError):  # a health report says it
            if is_deep(path):
                samples.append(read_sample(path, SAMPLE))
    bands = Counter(len(sample) for sample in samples)
    return Stretch.of([sample for sample in samples if len(sample) == max(bands, key=bands.get)]) if samples else None


def packed_masks(root: Path) -> dict[str, tuple[str, str]]:
    """Return the SHA-256 of each packed mask and of the file it was packed from, by its path; empty if none was."""
    try:
        with (root / PACK).open("rb") as file:
            masks = json.loads(file.read(MOST_NOTES))["masks"]
        digests = {path: (packed, original) for path, (packed, original) in masks.items()}
        sound = all(re.fullmatch("[0-9a-f]{64}", digest) for pair in digests.values() for digest in pair)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
    return digests if sound else {}


def mosaic(dataset: Dataset, tile: str) -> list[list[Scene]]:
    """Return a tile's scenes in their places, row by row, where they are parts 1 to n² of one square area.

    So are the nine scenes of each Dubai tile. Empty if their numbers say otherwise.
    """
    scenes = [scene for scene in dataset.scenes if scene.tile == tile]
    side = math.isqrt(len(scenes))
    numbers = [re.search(r"(\d+)\D*$", scene.image.stem) for scene in scenes]
    if side < 2 or side * side != len(scenes) or not all(numbers):
        return []
    by_number = {int(match[1]): scene for match, scene in zip(numbers, scenes, strict=True)}
    if sorted(by_number) != list(range(1, len(scenes) + 1)):
        return []
    return [[by_number[side * row + column + 1] for column in range(side)] for row in range(side)]


def natural_key(text: str) -> list[str | int]:
    """Sort key by which ``Tile 2`` comes before ``Tile 10``."""
    parts = re.split(r"([0-9]+)", text)  # texts and digits by turns
    return [int(part) if place % 2 else part.lower() for place, part in enumerate(parts)]


def slug(text: str) -> str:
    """Return `text` in lower-case letters, digits, ``_``, ``.`` and ``-``: safe in a file name and a URL."""
    return re.sub(r"[^a-z0-9_.]+", "-", text.lower()).strip("-.") or "scenes"


def find_dataset(root: Path, within: Sequence[Path] | None = None) -> Dataset:
    """Find every ``images`` folder that has a ``masks`` folder beside it, at any depth below `root`.

    Images and masks are paired by file stem. Hidden folders are passed over and links to folders are not followed. A
    tile is named by its path from the deepest folder that all tiles lie in.

    Args:
        root: The data set's folder.
        within: Folders that it and every file of it must lie in, links followed; by default they may lie anywhere.

    Raises:
        NotAllowedError: If something leads out of `within`.
        DatasetNotFoundError: If there is no such folder, or no pair of image and mask in it.
        PaletteError: If a ``class_dict.csv`` in `root` is unusable.
    """
    if within is not None:
        check_allowed(root, within)
    if not root.is_dir():
        raise DatasetNotFoundError(f"There is no folder {root}: check the path, or make the demo set.")
    scenes, unpaired, tiles_seen = [], [], Counter()
    folders = _tile_folders(root)
    # An archive may wrap all tiles in one more folder: names do not depend on which of the two was chosen.
    base = Path(os.path.commonpath([folder.parent for folder in folders if folder != root] or [root]))
    for folder in folders:
        tile = printable(str(folder.relative_to(base)) if folder != root else root.resolve().name)
        prefix = slug(tile)
        tiles_seen[prefix] += 1
        if tiles_seen[prefix] > 1:  # "Tile 1" and "tile-1" side by side
            prefix = f"{prefix}~{tiles_seen[prefix]}"
        images, masks = _files_by_stem(folder / "images"), _files_by_stem(folder / "masks")
        names_seen = Counter()
        for stem in sorted(images.keys() & masks.keys(), key=natural_key):
            name = f"{prefix}/{slug(stem)}"
            names_seen[name] += 1
            if names_seen[name] > 1:
                name = f"{name}~{names_seen[name]}"
            scenes.append(Scene(name, tile, images[stem][0], masks[stem][0]))
            unpaired += images[stem][1:] + masks[stem][1:]
        for files, others in ((images, masks), (masks, images)):
            for stem in sorted(files.keys() - others.keys(), key=natural_key):
                unpaired += files[stem]
    if within is not None:
        files = [path for scene in scenes for path in (scene.image, scene.mask)] + unpaired
        read_too = [root / CLASS_FILE, base / CLASS_FILE, root / DEMO_MARKER]
        _check_links([folder / kind for folder in folders for kind in ("images", "masks")] + read_too + files, within)
    if not scenes:
        raise DatasetNotFoundError(
            f"No labelled scene in {root}: it needs folders named images and masks side by side, with files of the "
            "same name in both."
        )
    palette = Palette.of(root if (root / CLASS_FILE).is_file() else base)
    return Dataset(root, palette, tuple(scenes), tuple(unpaired))


def _check_links(paths: Iterable[Path], within: Sequence[Path]) -> None:
    """Refuse what is a link out of `within`; of many links into one folder, one is followed for all."""
    links = {}
    for path in paths:
        try:
            # By os, not by Path: of 14,400 files this takes a fraction of the time.
            target = os.path.join(os.path.dirname(path), os.readlink(path))  # noqa: PTH115, PTH118, PTH120
        except OSError:
            continue  # no link, or not there
        folder, name = os.path.split(target)
        links[path if name in ("", ".", "..") or os.path.islink(target) else folder] = path  # noqa: PTH114
    for link in links.values():
        check_allowed(link, within)


def _tile_folders(root: Path) -> list[Path]:
    """Folders below `root`, or `root` itself, that hold both an ``images`` and a ``masks`` folder."""
    found = []
    for folder, children, _ in os.walk(root):
        if "images" in children and "masks" in children:
            found.append(Path(folder))
        children[:] = [child for child in children if not child.startswith(".") and child not in ("images", "masks")]
    return sorted(found, key=lambda path: natural_key(str(path)))


def _files_by_stem(folder: Path) -> dict[str, list[Path]]:
    """The readable formats in `folder` by file stem; more than one file of a stem in the order of their suffix."""
    files: dict[str, list[Path]] = {}
    with os.scandir(folder) as entries:  # knows files from folders without asking for each
        for entry in sorted(entries, key=lambda entry: entry.name):
            stem, _, suffix = entry.name.rpartition(".")
            if stem and f".{suffix.lower()}" in SUFFIXES and not stem.startswith(".") and entry.is_file():
                files.setdefault(stem, []).append(folder / entry.name)
    return files


def file_marks(scene: Scene) -> list[str]:
    """Return a mark of each of a scene's files that changes when the file does."""
    marks = []
    for path in (scene.image, scene.mask):
        try:
            status = path.stat()
            marks.append(f"{path}:{status.st_size}:{status.st_mtime_ns}")
        except OSError:
            marks.append(f"{path}:missing")
    return marks


def read_scene(scene: Scene, palette: Palette, stretch: Stretch | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Read a scene's image (height, width, 3) uint8 and class indices (height, width) uint8.

    Args:
        scene: What to read.
        palette: The classes.
        stretch: For an image of more than 8 bits: the data set's, or that of the run that is to see it; by default its
            own.

    Raises:
        ImageFileError: If one of the files cannot be read, or their sizes differ.
    """
    check_same_size(read_size(scene.image), read_size(scene.mask, orient=False), scene.image.name, scene.mask.name)
    mask = read_mask(scene.mask, palette)  # first: it takes more memory while it is read, and less afterwards
    return read_image(scene.image, stretch=stretch), mask


def check_same_size(image: tuple[int, int], mask: tuple[int, int], image_name: str, mask_name: str) -> None:
    """Refuse a mask whose (height, width) is not its image's: a resized mask would be out of register.

    Raises:
        ImageFileError: If height or width differ.
    """
    if image != mask:
        raise ImageFileError(
            f"The mask {mask_name} has {mask[1]} × {mask[0]} pixels, the image {image_name} "
            f"{image[1]} × {image[0]}: export the mask in the image's size."
        )
