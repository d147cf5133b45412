"""The health report: what is wrong with a data set, and the statistics of its scenes, in one pass over the files."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from segmentation.data.copies import SIDE, TURNS, find_copies, inverse, thumbnail, thumbnails
from segmentation.data.drawing import Outlines
from segmentation.data.encodings import NO_VALUE, Encoding, value_strips
from segmentation.data.footprints import Footprint, footprint
from segmentation.data.images import is_palette_file, read_mask_colors, read_size
from segmentation.data.kept import KeptResults
from segmentation.data.palette import VOID, VOID_NAME, Palette
from segmentation.data.patches import (
    NAMED,
    PATCH_SIZE,
    PIECE,
    class_counts,
    cut,
    grid,
    image_statistics,
    patch_tables,
    smaller_than_a_patch,
)
from segmentation.data.raster import LARGE
from segmentation.data.scenes import Dataset, Scene, file_marks, read_scene
from segmentation.data.stretch import Stretch
from segmentation.errors import ImageFileError, printable

CONSTANT_BELOW = 0.02
"""An image whose grey values (0–1) deviate less than this shows next to nothing."""

VERSION = 2
"""Of what is kept of a scene: one more whenever `Examined` or how it is computed changes."""

READERS = 2
"""Files decoded at once: each is held whole, so that memory stays at two scenes."""

_LARGE_SCENE = Lock()
"""Held while a scene of more than `LARGE` pixels is read."""

Severity = Literal["error", "warning", "note"]

FINDINGS: dict[str, tuple[Severity, str]] = {
    "unpaired": ("warning", "An image without a mask, or a mask without an image"),
    "unreadable": ("error", "A file that cannot be read, or whose image and mask differ in size"),
    "void": ("warning", "Mask colours that are in no palette, or values that are no class's"),
    "smeared": ("warning", "A mask whose colours JPEG or smoothed edges mixed: save it as PNG without smoothing"),
    "transparent": ("warning", "Transparent pixels of a mask: they count as void, whatever colour they hide"),
    "duplicate": ("warning", "The same picture as another scene's"),
    "near-duplicate": ("warning", "The same picture as another scene's, turned, in other light, or saved anew"),
    "too small": ("warning", "A scene smaller than a patch: nothing of it is trained on or scored"),
    "near-constant": ("warning", "An image that shows next to nothing"),
    "resized": ("note", "A mask of another size than its image: its nearest pixels are taken"),
    "palette file": ("note", "A mask with a colour table of its own; it is read by its colours"),
}
"""Kinds of findings: how bad each is, and what it means."""


@dataclass(frozen=True)
class Health:
    """What one pass over a data set found.

    Args:
        scenes: One row per readable scene: ``scene, tile, height, width, brightness, contrast``, then the pixels of
            every class by its name, and those of no class.
        patches: One row per patch: ``patch, tile, scene, row, column, brightness, contrast``, and pixels as above.
        findings: One row per finding: ``severity, kind, scene, file, detail, pixels`` (void pixels, else 0).
        light: One row per class: ``class, pixels, brightness, contrast``, the mean and deviation of its grey values,
            0–1.
        unread: Names of the scenes that the report does not look at yet.
        scene_thumbnails: (scenes, side, side) uint8, as `segmentation.data.copies` compares them.
        patch_thumbnails: Likewise of the patches of each scene.
        footprints: Where scenes lie that say so, by name.
    """

    scenes: pd.DataFrame
    patches: pd.DataFrame
    findings: pd.DataFrame
    light: pd.DataFrame
    unread: tuple[str, ...] = ()
    scene_thumbnails: np.ndarray = field(default_factory=lambda: np.zeros((0, SIDE, SIDE), np.uint8))
    patch_thumbnails: tuple[np.ndarray, ...] = ()
    footprints: Mapping[str, Footprint] = field(default_factory=dict)


def examine(
    dataset: Dataset,
    size: int = PATCH_SIZE,
    progress: Callable[[int, int], None] | None = None,
    kept: KeptResults | None = None,
) -> Health:
    """Read every file of a data set once and report what is wrong with it.

    Args:
        dataset: The scenes.
        size: Side of a patch, in pixels.
        progress: Called with (scenes done, scenes).
        kept: What was found before: scenes whose files have not changed are not read again.
    """
    examined = []
    for scene in examined_scenes(dataset, size, kept):
        examined.append(scene)
        if progress:
            progress(len(examined), len(dataset.scenes))
    return report(dataset, examined)


def examined_scenes(dataset: Dataset, size: int, kept: KeptResults | None = None) -> Iterator["Examined"]:
    """Yield what each scene of a data set gives, in their order.

    Args:
        dataset: The scenes.
        size: Side of a patch, in pixels.
        kept: As in `examine`.
    """
    palette, stretch = dataset.palette, dataset.stretch
    keys = [_key(scene, palette, stretch, size) for scene in dataset.scenes]
    known = kept.read(keys) if kept else {}

    def examined(scene: Scene, key: str) -> Examined:
        before = Examined.from_bytes(known[key], len(palette)) if key in known else None
        if before:
            return before
        now = _examine_scene(scene, palette, stretch, size)
        if kept:
            kept.write({key: now.to_bytes()})
        return now

    with ThreadPoolExecutor(READERS) as pool:
        try:
            yield from pool.map(examined, dataset.scenes, keys)
        finally:
            pool.shutdown(cancel_futures=True)  # whoever asked may want no more


def known_report(dataset: Dataset, size: int, kept: KeptResults) -> Health | None:
    """Return the report of a data set whose scenes were all read before; None, without reading any, if one was not.

    Args:
        dataset: The scenes.
        size: Side of a patch, in pixels.
        kept: What was found before.
    """
    palette, stretch = dataset.palette, dataset.stretch
    keys = [_key(scene, palette, stretch, size) for scene in dataset.scenes]
    known = kept.read(keys)
    found = [Examined.from_bytes(known[key], len(palette)) for key in keys if key in known]
    sound = [of_scene for of_scene in found if of_scene]
    return report(dataset, sound) if len(sound) == len(keys) else None


def report(dataset: Dataset, examined: Sequence["Examined"]) -> Health:
    """Return the health report of a data set from what its first scenes, or all of them, give."""
    findings = [_finding("unpaired", "", path, "has no partner of the same name") for path in dataset.unpaired]
    first_with: dict[str, str] = {}
    for scene, of_scene in zip(dataset.scenes, examined, strict=False):
        findings += of_scene.findings
        if of_scene.row:
            twin = first_with.setdefault(of_scene.digest, scene.name)
            if twin != scene.name:
                findings.append(_finding("duplicate", scene.name, scene.image, f"shows the same as {twin}"))
    read = [(scene, of_scene) for scene, of_scene in zip(dataset.scenes, examined, strict=False) if of_scene.row]
    small = np.array([of_scene.thumbnails[0] for _, of_scene in read], np.uint8).reshape(-1, SIDE, SIDE)
    findings += _near_duplicates(read, small)
    measures = ["brightness", "contrast", *dataset.palette.names, VOID_NAME]
    order = {severity: place for place, severity in enumerate(("error", "warning", "note"))}
    table = pd.DataFrame(findings, columns=["severity", "kind", "scene", "file", "detail", "pixels"])
    table = table.sort_values("severity", key=lambda column: column.map(order), kind="stable", ignore_index=True)
    rows = [of_scene.row for of_scene in examined if of_scene.row]
    scenes = pd.DataFrame(rows, columns=["scene", "tile", "height", "width", *measures])
    light = (
        np.sum([of_scene.light for of_scene in examined], axis=0) if examined else np.zeros((len(dataset.palette), 3))
    )
    unread = tuple(scene.name for scene in dataset.scenes[len(examined) :])
    return Health(
        scenes,
        _patches(examined, measures),
        table,
        _light(light, dataset.palette),
        unread,
        small,
        tuple(of_scene.thumbnails[1:] for _, of_scene in read),
        {scene.name: of_scene.footprint for scene, of_scene in read if of_scene.footprint},
    )


def _near_duplicates(read: Sequence[tuple[Scene, "Examined"]], small: np.ndarray) -> Iterator[dict]:
    """Yield a finding for each pair of scenes of which one is a copy; the same pixels are duplicates, and left out.

    Args:
        read: Scenes and what they give.
        small: Their thumbnails.
    """
    pairs = {}
    for pair in find_copies(small, small, np.arange(len(small))).pairs.itertuples():
        first, later = sorted((pair.picture, pair.copy))
        pairs[later, first] = pair.turn if pair.picture == first else inverse(pair.turn), pair.similarity
    for (later, first), (turn, similarity) in sorted(pairs.items()):
        (scene, of_scene), (copy, of_copy) = read[later], read[first]
        if of_scene.digest != of_copy.digest:
            detail = f"shows {copy.name} {TURNS[turn]} (correlation {similarity:.3f})"
            yield _finding("near-duplicate", scene.name, scene.image, detail)


def _patches(examined: Sequence["Examined"], measures: list[str]) -> pd.DataFrame:
    """Return the patches' rows, made at once: a table for each of thousands of scenes takes seconds."""
    read = [of_scene for of_scene in examined if of_scene.row]
    table = patch_tables((of_scene.row["scene"], of_scene.row["tile"], *of_scene.grid) for of_scene in read)
    values = np.concatenate([np.empty((0, len(measures))), *(of_scene.measures for of_scene in read)])
    columns = [*values.T[:2], *values.T[2:].astype(np.int64)]
    return table.assign(**dict(zip(measures, columns, strict=True)))


def usable_patches(tiles: pd.DataFrame, health: Health) -> pd.DataFrame:
    """Return `patches.tile_table` with the patches of scenes only that could be read to the end."""
    counts = tiles["tile"].map(health.patches.groupby("tile").size())
    return tiles.assign(patches=counts.fillna(0).astype(int))


def _light(sums: np.ndarray, palette: Palette) -> pd.DataFrame:
    """Return brightness and contrast by class from each class's pixels, sum of grey, and sum of grey squared."""
    pixels, grey, squared = sums.T
    mean, of_squares = (np.divide(a, pixels, out=np.full(len(a), np.nan), where=pixels > 0) for a in (grey, squared))
    contrast = np.sqrt(np.maximum(of_squares - mean**2, 0))
    return pd.DataFrame(
        {"class": palette.names, "pixels": pixels.astype(int), "brightness": mean, "contrast": contrast}
    )


class Examined(NamedTuple):
    """What one scene gives.

    Args:
        row: Its row; empty if it cannot be read.
        grid: Rows and columns of its patches.
        measures: (patches, 3 + classes) float64: brightness, contrast, pixels by class and of none.
        findings: What is wrong with it.
        digest: SHA-256 of the image's pixels.
        light: (classes, 3) float64: number of pixels, sum of grey, sum of grey squared.
        thumbnails: (1 + patches, side, side) uint8 of the scene and its patches; none if it cannot be read.
        footprint: Where it lies; None if it does not say.
    """

    row: dict
    grid: tuple[int, int]
    measures: np.ndarray
    findings: list[dict]
    digest: str
    light: np.ndarray
    thumbnails: np.ndarray
    footprint: Footprint | None = None

    def to_bytes(self) -> bytes:
        """Return all of it as a line of JSON and the arrays' values."""
        facts = json.dumps([self.row, self.grid, self.findings, self.digest, self.footprint])
        values = self.light.tobytes() + self.measures.tobytes() + self.thumbnails.tobytes()
        return b"\n".join([facts.encode(), values])

    @classmethod
    def from_bytes(cls, content: bytes, classes: int) -> "Examined | None":
        """Rebuild it from `to_bytes`; None from anything else."""
        facts, _, values = content.partition(b"\n")
        try:
            row, grid, findings, digest, place = json.loads(facts)
            patches = grid[0] * grid[1]
            numbers = 8 * (3 * classes + patches * (3 + classes))
            light, measures = np.split(np.frombuffer(values[:numbers]), [3 * classes])
            measures = measures.reshape(patches, 3 + classes)
            small = np.frombuffer(values[numbers:], np.uint8).reshape((1 + patches) * bool(row), SIDE, SIDE)
            place = place and tuple((east, north) for east, north in place)
            return cls(row, tuple(grid), measures, findings, digest, light.reshape(classes, 3), small, place)
        except (ValueError, TypeError, IndexError):
            return None


def _key(scene: Scene, palette: Palette, stretch: Stretch | None, size: int) -> str:
    """Return what an examined scene is kept under: it changes with the files and with all that they are read by."""
    how = [VERSION, scene.name, scene.tile, str(scene.encoding), palette.to_dict(), stretch and stretch.to_dict(), size]
    how += file_marks(scene)
    return hashlib.sha256(json.dumps(how).encode()).hexdigest()


def _examine_scene(scene: Scene, palette: Palette, stretch: Stretch | None, size: int) -> Examined:
    try:
        with _place(scene):
            return _examine_pixels(scene, palette, stretch, size)
    except ImageFileError as error:
        found = [_finding("unreadable", scene.name, scene.image, str(error))]
        nothing = np.zeros((0, 3 + len(palette)))
        no_pictures = np.zeros((0, SIDE, SIDE), np.uint8)
        return Examined({}, (0, 0), nothing, found, "", np.zeros((len(palette), 3)), no_pictures)


def _place(scene: Scene) -> AbstractContextManager:
    """Return what a scene waits for before it is read: a large one for other large ones, so that memory is bounded."""
    height, width = read_size(scene.image)
    return _LARGE_SCENE if height * width > LARGE else nullcontext()


def _examine_pixels(scene: Scene, palette: Palette, stretch: Stretch | None, size: int) -> Examined:
    image, mask = read_scene(scene, palette, stretch)
    height, width = mask.shape
    light, of_all = np.zeros((len(palette), 3)), np.zeros(3)
    for top in range(0, height, rows := max(1, PIECE // max(1, width))):
        grey = (image[top : top + rows].mean(-1, dtype=np.float32) / 255).ravel()
        sums = [np.bincount(mask[top : top + rows].ravel(), weights, VOID + 1) for weights in (None, grey, grey**2)]
        light += np.stack(sums, axis=-1)[: len(palette)]
        of_all += np.stack(sums, axis=-1).sum(0)
    row = {"scene": scene.name, "tile": scene.tile, "height": height, "width": width}
    pixels, brightness, squared = of_all / [1, max(1, of_all[0]), max(1, of_all[0])]
    row |= {"brightness": brightness, "contrast": max(0.0, squared - brightness**2) ** 0.5}
    row |= dict(zip([*palette.names, VOID_NAME], class_counts(mask[None], len(palette))[0].tolist(), strict=True))
    measures, small = [], [thumbnail(image)[None]]
    for top in range(0, height // size * size, size):
        images = cut(image[top : top + size], size)
        measures.append(_measures(images, cut(mask[top : top + size], size), len(palette)))
        small.append(thumbnails(images))
    digest = hashlib.sha256(image).hexdigest()
    del image, mask  # the findings may read the mask again
    found = list(_scene_findings(scene, row, int(pixels), palette, size))
    values = np.concatenate([np.empty((0, 3 + len(palette))), *measures])
    pictures, place = np.concatenate(small), footprint(scene.image)
    return Examined(row, grid(height, width, size), values, found, digest, light, pictures, place)


def _measures(images: np.ndarray, masks: np.ndarray, classes: int) -> np.ndarray:
    """Return brightness, contrast, and pixels by class and void, (n, 3 + classes), of (n, height, width[, 3])."""
    return np.column_stack([*image_statistics(images), class_counts(masks, classes)])


def _scene_findings(scene: Scene, row: dict, pixels: int, palette: Palette, size: int) -> Iterator[dict]:
    if isinstance(scene.encoding, Outlines):
        if row[VOID_NAME]:
            detail = f"{row[VOID_NAME]:,} pixels ({100 * row[VOID_NAME] / pixels:.2f} %) lie in no outline"
            yield _finding("void", scene.name, scene.mask, detail, row[VOID_NAME])
    elif row[VOID_NAME] and isinstance(scene.encoding, Encoding) and scene.encoding.kind == "value":
        detail = f"{row[VOID_NAME]:,} pixels ({100 * row[VOID_NAME] / pixels:.2f} %) hold "
        detail += _stray_values(scene.mask, scene.encoding)
        yield _finding("void", scene.name, scene.mask, detail, row[VOID_NAME])
    elif row[VOID_NAME]:
        yield from _void_colors(scene, row[VOID_NAME], pixels, palette)
    if (of_mask := scene.mask_size()) != (row["height"], row["width"]):
        detail = f"its {of_mask[1]} × {of_mask[0]} pixels become the image's {row['width']} × {row['height']}"
        yield _finding("resized", scene.name, scene.mask, detail)
    if not all(grid(row["height"], row["width"], size)):
        yield _finding("too small", scene.name, scene.image, smaller_than_a_patch(row["height"], row["width"], size))
    if row["contrast"] < CONSTANT_BELOW:
        yield _finding("near-constant", scene.name, scene.image, f"its contrast is only {row['contrast']:.3f}")
    if not isinstance(scene.encoding, Outlines) and is_palette_file(scene.mask):
        yield _finding("palette file", scene.name, scene.mask, "stores indices into a colour table of its own")


def _void_colors(scene: Scene, void: int, pixels: int, palette: Palette) -> Iterator[dict]:
    mask = read_mask_colors(scene.mask)
    strays, transparent = mask.strays(palette), mask.transparent_pixels
    if transparent:
        detail = f"{transparent:,} pixels ({100 * transparent / pixels:.2f} %) are transparent"
        yield _finding("transparent", scene.name, scene.mask, detail, transparent)
    void -= transparent
    if void > 0:
        detail = f"{void:,} pixels ({100 * void / pixels:.2f} %) have a colour that is in no palette"
        if strays.smeared:
            detail += f", {strays.colors:,} different ones: save the mask as PNG without smoothing its edges"
        yield _finding("smeared" if strays.smeared else "void", scene.name, scene.mask, detail, void)


def _stray_values(mask: Path, encoding: Encoding) -> str:
    """Name the values of a mask that are no class's."""
    found: set[int] = set()
    for _, values, _ in value_strips(mask, raw=encoding.raw):
        found.update(np.flatnonzero(np.bincount(values.ravel())).tolist())
    strays = sorted(found.difference(encoding.keys) - {NO_VALUE})
    names = [*map(str, strays[:NAMED]), *(["further values"] if len(strays) > NAMED else [])]
    names += ["no value, or are transparent"] if NO_VALUE in found else []
    return ", ".join(names) + ", no class's value"


def _finding(kind: str, scene: str, file: Path, detail: str, pixels: int = 0) -> dict:
    severity, _ = FINDINGS[kind]
    return {
        "severity": severity,
        "kind": kind,
        "scene": scene,
        "file": printable(f"{file.parent.name}/{file.name}"),
        "detail": detail,
        "pixels": pixels,
    }
