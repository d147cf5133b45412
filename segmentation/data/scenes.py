"""Labelled scenes on disk: every image with its mask, in tiles, in a stable order."""

import hashlib
import math
import os
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from segmentation.data.class_files import find_class_file
from segmentation.data.classes import meaning, meaning_of_outlines
from segmentation.data.declaration import Declaration, read_declaration
from segmentation.data.drawing import Outlines
from segmentation.data.encodings import PALETTE_COLORS, Encoding, resized, same_shape
from segmentation.data.images import read_image, read_size
from segmentation.data.layouts import Found, Listing, Pair, readings, with_splits
from segmentation.data.layouts.listing import stem_of
from segmentation.data.layouts.names import spread
from segmentation.data.layouts.questions import kinds_of_masks, the_reading
from segmentation.data.locate import check_allowed, check_links
from segmentation.data.mask_contents import looks
from segmentation.data.pack_notes import packed_masks
from segmentation.data.palette import Palette
from segmentation.data.set_stretch import stretch_of
from segmentation.data.stretch import COLORS, Stretch
from segmentation.errors import DatasetNotFoundError, ImageFileError, printable

DEMO_MARKER = "demo.json"
"""The file in a demo set's root that holds its version."""


@dataclass(frozen=True)
class Scene:
    """One image file with its mask.

    Args:
        name: ``tile-7/image_part_003``: unique in its data set, safe in a file name and a URL.
        tile: The name of the folder that groups scenes, as it is on disk as far as it can be printed: ``Tile 7``.
        image: Path of the image.
        mask: Path of the mask, or of the file of outlines that it is drawn from.
        split: The split that the data set puts it in, in its own word; empty if it does not say.
        encoding: How that says a class.
    """

    name: str
    tile: str
    image: Path
    mask: Path
    split: str = ""
    encoding: Encoding | Outlines = PALETTE_COLORS

    def read_mask(self, palette: Palette) -> np.ndarray:
        """Read the mask as class indices (height, width) uint8, in its own size.

        Raises:
            ImageFileError: If it cannot be read.
        """
        if isinstance(self.encoding, Outlines):
            return self.encoding.read(self.mask, self.image)
        return self.encoding.read(self.mask, palette)

    def mask_size(self) -> tuple[int, int]:
        """Return (height, width) of the mask in pixels, from its header.

        Raises:
            ImageFileError: If it cannot be read.
        """
        return read_size(self.image) if isinstance(self.encoding, Outlines) else read_size(self.mask, orient=False)


@dataclass(frozen=True)
class Dataset:
    """The scenes below one folder, and the classes of their masks.

    Args:
        root: The folder.
        palette: The classes, and the colours that they are drawn in.
        scenes: In natural order of tile and file name.
        unpaired: Images without a mask and masks without an image.
        layout: What pairs with what, in words.
        encoding: How the masks say a class, in words.
        remarks: What the user should know, a sentence each.
        guessed: Whether the classes' names are made up, since nothing tells them.
        bands: The bands that networks see, counted from 1; empty for those that the files' tags say are red, green and
            blue, or the first three.
        shown: Those of them that people see, as `Stretch` says; empty also for those that the files' tags say.
        limits: What becomes 0 and 255 in each band; empty for what a sample of the scenes says.
        patterns: Of the paths of images and masks, as ``dataset.toml`` would say them; empty where none does.
    """

    root: Path
    palette: Palette
    scenes: tuple[Scene, ...]
    unpaired: tuple[Path, ...] = field(default=())
    layout: str = ""
    encoding: str = ""
    remarks: tuple[str, ...] = ()
    guessed: bool = False
    bands: tuple[int, ...] = ()
    shown: tuple[int, ...] = ()
    limits: tuple[tuple[float, float], ...] = ()
    patterns: tuple[str, str] = ("", "")

    @property
    def splits(self) -> dict[str, int]:
        """The number of scenes in each split that the data set brings, by its own word; empty if it brings none."""
        return dict(Counter(scene.split for scene in self.scenes if scene.split))

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
    def channels(self) -> int:
        """How many bands its images have once they are read."""
        return len(self.bands) or COLORS

    @property
    def stretch(self) -> Stretch | None:
        """Which bands are read and how: one stretch for the whole set, so that its scenes compare.

        Values of more than 8 bits are stretched: between the limits that ``dataset.toml`` says, else as a sample
        of the scenes says. None where none of them has more than 8 bits and nobody has chosen bands.
        """
        return stretch_of([scene.image for scene in self.scenes], self.bands, self.shown, self.limits)

    def stretch_for(self, trained_with: Stretch | None) -> Stretch | None:
        """Return how its images are read for a network: as for those that the network was trained on.

        Args:
            trained_with: The stretch of these. A network without one sees three bands, and here those that are shown.
        """
        return trained_with or (self.stretch and self.stretch.for_colors())

    def stamp(self) -> str:
        """Return a cheap mark of the files' names, sizes and times: it changes when a file does. For caches."""
        marks = [mark for scene in self.scenes for mark in file_marks(scene)]
        encodings = {scene.encoding for scene in self.scenes}
        return hashlib.sha256("\n".join([str(self.palette), str(encodings), *marks]).encode()).hexdigest()

    def file_bytes(self) -> int:
        """Return how many bytes the scenes' files take, as far as they are there."""
        paths = (path for scene in self.scenes for path in (scene.image, scene.mask))
        return sum(path.stat().st_size for path in paths if path.is_file())

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
                    digest.update(bytes.fromhex(original if original and content == packed else content))
        return digest.hexdigest()


def mosaic(dataset: Dataset, tile: str) -> list[list[Scene]]:
    """Return a tile's scenes in their places, row by row, where they are parts 1 to n² of one square area.

    So are the nine scenes of each Dubai tile. Empty if their numbers say otherwise.
    """
    scenes = [scene for scene in dataset.scenes if scene.tile == tile]
    side = math.isqrt(len(scenes))
    numbers = ((re.search(r"(\d+)\D*$", scene.image.stem), scene) for scene in scenes)
    by_number = {int(match[1]): scene for match, scene in numbers if match}
    if side < 2 or side * side != len(scenes) or sorted(by_number) != list(range(1, len(scenes) + 1)):
        return []
    return [[by_number[side * row + column + 1] for column in range(side)] for row in range(side)]


def natural_key(text: str) -> list[str | int]:
    """Sort key by which ``Tile 2`` comes before ``Tile 10``."""
    parts = re.split(r"([0-9]+)", text)  # texts and digits by turns
    return [int(part) if place % 2 else part.lower() for place, part in enumerate(parts)]


def slug(text: str) -> str:
    """Return `text` in lower-case letters, digits, ``_``, ``.`` and ``-``: safe in a file name and a URL."""
    return re.sub(r"[^a-z0-9_.]+", "-", text.lower()).strip("-.") or "scenes"


def find_dataset(root: Path | str, within: Sequence[Path] | None = None, said: Declaration | None = None) -> Dataset:
    """Find the labelled scenes below `root`, in any of the layouts that people use.

    ``dataset.toml`` in `root` says how it is to be read; without it names tell, by `segmentation.data.layouts`, and a
    sample of the masks, by `segmentation.data.classes`. A tile is named by its path from the deepest folder that all
    tiles lie in. Hidden folders are passed over. Links are followed to files, and to folders of images or masks.

    Args:
        root: The data set's folder.
        within: Folders that it and every file of it must lie in, links followed; by default they may lie anywhere.
        said: How it is to be read, in place of what its ``dataset.toml`` says.

    Raises:
        NotAllowedError: If something leads out of `within`.
        AmbiguousDatasetError: If there are several kinds of masks for the same images.
        DatasetNotFoundError: If there is no such folder, or nothing in it that is understood.
        PaletteError: If a ``class_dict.csv`` in `root` is unusable.
    """
    root = Path(root)
    if within is not None:
        check_allowed(root, within)
    if not root.is_dir():
        raise DatasetNotFoundError(f"There is no folder {root}: check the path, or make the demo set.")
    listing = Listing.of(root)
    if within is not None:
        check_links(listing.links_among(()), within)
    said = read_declaration(root) if said is None else said
    if within is not None:
        check_links(listing.links_among(_possible(listing, said.pairing)), within)
    found = _settled(listing, said.pairing)
    base = _base({pair.tile for pair in found.pairs})
    masks = [root / pair.label for pair in found.pairs]
    if found.kind == "masks":
        told = find_class_file(listing, _telling_folders(base, found))
        means = meaning(looks(masks), told, _paths(root, found))
    else:
        means = meaning_of_outlines(found.kind, list(dict.fromkeys(masks)), said.attribute)
    means = said.meaning(means)
    unpaired = tuple(root / path for path in sorted(found.unpaired, key=natural_key))
    scenes = _scenes(root, base, found, means.encoding)
    remarks = (*found.remarks, *means.remarks, *listing.remarks)
    return Dataset(
        root,
        means.palette,
        scenes,
        unpaired,
        layout=found.rule,
        encoding=means.words,
        remarks=remarks,
        guessed=means.guessed,
        bands=said.bands,
        shown=said.shown,
        limits=said.stretch,
        patterns=(found.images, found.masks),
    )


@lru_cache(4)
def _possible(listing: Listing, said: Declaration) -> list[Found]:
    """Return the readings of names that are possible with what is said of pairs."""
    declared = said.find(listing)
    return [declared] if declared else readings(listing)


@lru_cache(4)
def _settled(listing: Listing, said: Declaration) -> Found:
    """Return the one reading, with splits."""
    return with_splits(listing, said.with_splits(listing, the_reading(listing, _possible(listing, said))))


def mask_choices(root: Path, within: Sequence[Path]) -> dict[str, tuple[str, str]]:
    """Return the kinds of masks that pair with the same images, in words, each with its patterns of images and masks.

    Args:
        root: The data set's folder.
        within: Folders that every file of it must lie in, links followed.

    Returns:
        Nothing where there is no choice.

    Raises:
        NotAllowedError: If something leads out of `within`.
    """
    listing = Listing.of(root)
    possible = _possible(listing, Declaration())
    check_links([*listing.links_among(()), *listing.links_among(possible)], within)
    return kinds_of_masks(root, possible)


def _base(tiles: set[str]) -> str:
    """Return the deepest folder that all tiles lie in: names do not depend on folders wrapped around them."""
    parents = [tile.rpartition("/")[0] for tile in tiles if tile]
    return os.path.commonpath(parents) if parents and all(parents) else ""


def _telling_folders(base: str, found: Found) -> list[str]:
    """Return where a file may tell the classes, by paths below the root: there, where the tiles are, by the masks."""
    first = found.pairs[0].label.rpartition("/")[0]
    above = first.split("/")
    return ["", base, first, *("/".join(above[:depth]) for depth in range(len(above) - 1, 0, -1))]


def _paths(root: Path, found: Found) -> list[str]:
    """Return some paths of images and masks, after the name of the data set's folder, in lower case."""
    name = root.resolve().name
    return [f"{name}/{path}".lower() for pair in spread(list(found.pairs)) for path in (pair.image, pair.label)]


@lru_cache(4)
def _scenes(root: Path, base: str, found: Found, encoding: Encoding | Outlines) -> tuple[Scene, ...]:
    """Return the scenes in natural order, each under a name of its own."""
    scenes = []
    by_tile: dict[str, list[Pair]] = {}
    for pair in found.pairs:
        by_tile.setdefault(pair.tile, []).append(pair)
    tiles_seen: Counter[str] = Counter()
    for tile in sorted(by_tile, key=natural_key):
        shown = printable(tile.removeprefix(base).lstrip("/") if tile else root.resolve().name)
        prefix = slug(shown)
        tiles_seen[prefix] += 1
        if tiles_seen[prefix] > 1:  # "Tile 1" and "tile-1" side by side
            prefix = f"{prefix}~{tiles_seen[prefix]}"
        names_seen: Counter[str] = Counter()
        named = [(stem_of(pair.image.rpartition("/")[2]), pair) for pair in by_tile[tile]]
        for stem, pair in sorted(named, key=lambda entry: natural_key(entry[0])):
            name = f"{prefix}/{slug(stem)}"
            names_seen[name] += 1
            if names_seen[name] > 1:
                name = f"{name}~{names_seen[name]}"
            scenes.append(Scene(name, shown, root / pair.image, root / pair.label, printable(pair.split), encoding))
    return tuple(scenes)


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
    """Read a scene's image (height, width, bands) uint8 and class indices (height, width) uint8.

    Args:
        scene: What to read.
        palette: The classes.
        stretch: Which bands, and for an image of more than 8 bits how: the data set's, or that of the run that is to
            see it; by default its own, and three bands.

    Raises:
        ImageFileError: If one of the files cannot be read, or their sizes differ.
    """
    size = read_size(scene.image)
    check_sizes(scene, size)
    mask = scene.read_mask(palette)  # first: it takes more memory while it is read, and less afterwards
    return read_image(scene.image, stretch=stretch), mask if mask.shape == size else resized(mask, size)


def check_sizes(scene: Scene, size: tuple[int, int]) -> bool:
    """Tell whether a scene's mask is in the size (height, width) of its image; if not, it is resized when it is read.

    Raises:
        ImageFileError: If the mask cannot be read, or is not the image's shape within one of its pixels.
    """
    mask = scene.mask_size()
    if mask == size:
        return True
    if not same_shape(size, mask):
        check_same_size(size, mask, scene.image.name, scene.mask.name)
    return False


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
