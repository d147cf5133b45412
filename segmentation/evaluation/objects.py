"""Objects, found and missed: the connected regions of each class in mask and prediction, and which match.

An object is a set of pixels of one class that touch at a side or a corner (8-connectivity), in a whole scene: patches
would cut it. A true and a predicted object of a class match if their IoU is above 0.5; no object then has two partners
(Kirillov et al., Panoptic Segmentation, CVPR 2019). Outcomes, of which each object has the first that holds:

==========  ===============================================================================================
found       it has a partner of an IoU above 0.5
merged      of a true object: a predicted one covers half of it or more, and half or more of another true one, too;
            of a predicted object: it is such a one
split       of a true object: two or more predicted ones lie in it with half or more of their area;
            of a predicted object: it is such a part
missed      of any other true object
invented    of any other predicted object
==========  ===============================================================================================

Void pixels of the mask belong to no true object and count for no area; a predicted object that lies mostly in void is
left out, as in the paper.
"""

import io
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple, Self

import numpy as np
import pandas as pd
from scipy import ndimage

from segmentation.data.palette import VOID
from segmentation.data.pixel_areas import PixelAreas
from segmentation.data.protocols import TEST, TRAIN, VALIDATION
from segmentation.intervals import FEW, LEAST, Interval, draw, interval

CONNECTIVITY = np.ones((3, 3), int)

SMALLEST = 16
"""Regions of fewer pixels are left out from the start: of a noisy prediction they are most, and nobody looks for them.
"""

MATCHING = 0.5
"""IoU above which two objects match."""

HALF = 0.5
"""From this share on an object is covered, or lies in another."""

FOUND, MERGED, SPLIT, MISSED, INVENTED = "found", "merged", "split", "missed", "invented"

PART_CODES = {TEST: 1, VALIDATION: 2, TRAIN: 3}
"""An object counts in the part of the highest code among its pixels: held out is what was not even partly trained on.

Pixels beyond whole patches are in no part, 0.
"""

TRUE, PREDICTED = "true", "predicted"


class Regions(NamedTuple):
    """The objects of a scene's mask or prediction.

    Args:
        classes: (objects,) uint8 class indices.
        pixels: (objects,) int64 pixels outside void.
        square_metres: (objects,) float64: what these cover; NaN where the scene does not say where it lies.
        boxes: (objects, 4) int32: first row, first column, the row after the last, the column after the last.
        parts: (objects,) uint8 of `PART_CODES`; 0 for one beyond whole patches.
    """

    classes: np.ndarray
    pixels: np.ndarray
    square_metres: np.ndarray
    boxes: np.ndarray
    parts: np.ndarray


class SceneObjects(NamedTuple):
    """A scene's true and predicted objects, and what they have in common.

    Args:
        true: Those of the mask.
        predicted: Those of the prediction.
        pairs: (pairs, 3) int64: a place in `true`, one in `predicted`, and how many pixels they share.
    """

    true: Regions
    predicted: Regions
    pairs: np.ndarray

    def to_bytes(self) -> bytes:
        """Return them ready to be kept."""
        arrays = {f"{side}_{name}": array for side in (TRUE, PREDICTED) for name, array in self._side(side).items()}
        with io.BytesIO() as file:
            np.savez_compressed(file, pairs=self.pairs, allow_pickle=False, **arrays)
            return file.getvalue()

    def _side(self, side: str) -> dict[str, np.ndarray]:
        return (self.true if side == TRUE else self.predicted)._asdict()

    @classmethod
    def from_bytes(cls, kept: bytes) -> Self | None:
        """Rebuild them from `to_bytes`; None from anything else."""
        try:
            with np.load(io.BytesIO(kept), allow_pickle=False) as arrays:
                true, predicted = (
                    Regions(*(arrays[f"{side}_{name}"] for name in Regions._fields)) for side in (TRUE, PREDICTED)
                )
                return cls(true, predicted, arrays["pairs"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
            return None


def label_regions(indices: np.ndarray, classes: int) -> np.ndarray:
    """Number the connected regions of all classes.

    Args:
        indices: (height, width) uint8 class indices; void, 255, is in no region.
        classes: How many there are.

    Returns:
        (height, width) int32: from 1 on, class after class; 0 for void.
    """
    labels, count = np.zeros(indices.shape, np.int32), 0
    for index in range(classes):
        here = indices == index
        if here.any():
            of_class, found = ndimage.label(here, CONNECTIVITY)
            labels[here] = of_class[here] + count
            count += found
    return labels


def find_objects(
    truth: np.ndarray,
    predicted: np.ndarray,
    classes: int,
    parts: np.ndarray | None = None,
    areas: PixelAreas | None = None,
) -> SceneObjects:
    """Find the objects of all classes in a scene's mask and prediction, and what they share.

    Args:
        truth: (height, width) uint8 class indices, void 255.
        predicted: (height, width) uint8 class indices; where it is 255, truth has to be void.
        classes: How many there are.
        parts: (height, width) uint8 of `PART_CODES`, and 0; by default all is held out.
        areas: What the pixels cover on the ground, if that is known.
    """
    valid = truth != VOID
    square_metres = areas.within(slice(0, len(truth)), slice(0, truth.shape[1])) if areas else None
    sides = [_regions(of, valid, classes, parts, square_metres) for of in (truth, predicted)]
    (true, true_labels), (seen, seen_labels) = sides
    same = (truth == predicted) & valid & (true_labels > 0) & (seen_labels > 0)
    keys = true_labels[same].astype(np.int64) * (len(seen.pixels) + 1) + seen_labels[same]
    starts = np.flatnonzero(np.diff(keys, prepend=-1))  # pixels of a pair lie beside each other: few have to be sorted
    lengths = np.diff(starts, append=len(keys))
    found, place = np.unique(keys[starts], return_inverse=True)
    shared = np.bincount(place, lengths, len(found)).astype(np.int64)
    in_true, in_seen = np.divmod(found, len(seen.pixels) + 1)
    return SceneObjects(true, seen, np.column_stack([in_true - 1, in_seen - 1, shared]))


def _regions(
    indices: np.ndarray, valid: np.ndarray, classes: int, parts: np.ndarray | None, square_metres: np.ndarray | None
) -> tuple[Regions, np.ndarray]:
    """Return the regions that count, and (height, width) int32 their numbers from 1 on; 0 where there is none."""
    labels = label_regions(indices, classes)
    whole = np.bincount(labels.ravel())
    pixels = np.bincount(labels[valid], minlength=len(whole))
    counts = (pixels >= SMALLEST) & (2 * pixels >= whole)
    counts[0] = False
    number = np.where(counts, np.cumsum(counts), 0).astype(np.int32)
    labels = number[labels]
    count = int(number.max())
    boxes = np.array(
        [(rows.start, columns.start, rows.stop, columns.stop) for rows, columns in ndimage.find_objects(labels)],
        np.int32,
    ).reshape(-1, 4)
    of_class = np.zeros(count, np.uint8)
    flat = labels.ravel()
    of_class[flat[flat > 0] - 1] = indices.ravel()[flat > 0]
    ground = np.full(count, np.nan)
    if square_metres is not None:
        ground = np.bincount(labels[valid], square_metres[valid], count + 1)[1:]
    in_parts = np.full(count, PART_CODES[TEST], np.uint8)
    if parts is not None:
        steps = max(PART_CODES.values()) + 1
        there = np.bincount(flat * np.int64(steps) + parts.ravel(), minlength=(count + 1) * steps).reshape(-1, steps)
        in_parts = np.where(there[1:] > 0, np.arange(steps), 0).max(-1, initial=0).astype(np.uint8)
    return Regions(of_class, pixels[counts].astype(np.int64), ground, boxes, in_parts), labels


def parts_of_pixels(patches: pd.DataFrame, shape: tuple[int, ...], size: int) -> np.ndarray:
    """Return in which part each pixel of a scene is, (height, width) uint8 of `PART_CODES`.

    Pixels beyond whole patches are in the scene's part if it has only one, and else in none, 0.

    Args:
        patches: The scene's, with ``row``, ``column`` and ``part``.
        shape: (height, width) of the scene.
        size: Side of a patch, in pixels.
    """
    codes = patches["part"].map(PART_CODES).to_numpy(np.uint8)
    if len(set(codes)) == 1:
        return np.full(shape, codes[0])
    parts = np.zeros(shape, np.uint8)
    for row, column, code in zip(patches["row"], patches["column"], codes, strict=True):
        parts[row * size : (row + 1) * size, column * size : (column + 1) * size] = code
    return parts


class Outcomes(NamedTuple):
    """What became of the objects of one scene.

    Args:
        true: (objects,) of `FOUND`, `MERGED`, `SPLIT` and `MISSED`.
        predicted: (objects,) of `FOUND`, `MERGED`, `SPLIT` and `INVENTED`.
        true_iou: (objects,) float64: the highest IoU with any predicted object; 0 without one.
        predicted_iou: Likewise.
    """

    true: np.ndarray
    predicted: np.ndarray
    true_iou: np.ndarray
    predicted_iou: np.ndarray


def judge(objects: SceneObjects, least: int = SMALLEST) -> Outcomes:
    """Tell what became of a scene's objects, as this module's first lines define it.

    Args:
        objects: The scene's.
        least: Smaller objects, in pixels, neither merge others nor are parts of a split one; they may be partners of
            larger ones, so that nothing changes abruptly at this size.
    """
    true, seen = objects.true.pixels, objects.predicted.pixels
    in_true, in_seen, shared = objects.pairs.T
    iou = shared / (true[in_true] + seen[in_seen] - shared)
    matched = iou > MATCHING
    true_iou, seen_iou = np.zeros(len(true)), np.zeros(len(seen))
    np.maximum.at(true_iou, in_true, iou)
    np.maximum.at(seen_iou, in_seen, iou)
    large = (true[in_true] >= least) & (seen[in_seen] >= least)
    covers = large & (shared >= HALF * true[in_true])
    lies_in = large & (shared >= HALF * seen[in_seen])
    merging = np.bincount(in_seen[covers], minlength=len(seen)) > 1
    torn = np.bincount(in_true[lies_in], minlength=len(true)) > 1
    merged, part = np.zeros(len(true), bool), np.zeros(len(seen), bool)
    merged[in_true[covers & merging[in_seen]]] = True
    part[in_seen[lies_in & torn[in_true]]] = True
    found_true, found_seen = np.zeros(len(true), bool), np.zeros(len(seen), bool)
    found_true[in_true[matched]] = True
    found_seen[in_seen[matched]] = True
    return Outcomes(
        np.select([found_true, merged, torn], [FOUND, MERGED, SPLIT], MISSED),
        np.select([found_seen, merging, part], [FOUND, MERGED, SPLIT], INVENTED),
        true_iou,
        seen_iou,
    )


def object_table(
    scenes: Mapping[str, SceneObjects], class_index: int, part: str, least: int = SMALLEST
) -> pd.DataFrame:
    """Return the objects of a class that count in a part, those of the most pixels first.

    Args:
        scenes: The objects of each scene, by its name.
        class_index: The class.
        part: One of `PARTS`.
        least: Smaller objects, in pixels, are left out.

    Returns:
        One row each: ``scene``, ``side`` (``true`` or ``predicted``), ``outcome``, ``pixels``, ``square_metres``,
        ``iou`` (the highest with any object of the other side), ``top``, ``left``, ``bottom`` and ``right``.
    """
    tables = []
    for name, objects in scenes.items():
        outcomes = judge(objects, least)
        for side, regions, outcome, iou in (
            (TRUE, objects.true, outcomes.true, outcomes.true_iou),
            (PREDICTED, objects.predicted, outcomes.predicted, outcomes.predicted_iou),
        ):
            chosen = (regions.classes == class_index) & (regions.parts == PART_CODES[part]) & (regions.pixels >= least)
            table = pd.DataFrame({"scene": name, "side": side, "outcome": outcome[chosen]})
            table = table.assign(pixels=regions.pixels[chosen], square_metres=regions.square_metres[chosen])
            box = dict(zip(("top", "left", "bottom", "right"), regions.boxes[chosen].T, strict=True))
            tables.append(table.assign(iou=iou[chosen].round(6), **box))
    if not tables:
        columns = ["scene", "side", "outcome", "pixels", "square_metres", "iou", "top", "left", "bottom", "right"]
        return pd.DataFrame(columns=columns)
    return pd.concat(tables, ignore_index=True).sort_values("pixels", ascending=False, kind="stable", ignore_index=True)


class ObjectScores(NamedTuple):
    """How well objects are found; NaN where a score does not exist.

    Args:
        true: How many true objects there are.
        predicted: How many predicted ones.
        recall: The share of the true ones that are found.
        precision: The share of the predicted ones that match a true one.
        f1: The harmonic mean of both: recognition quality.
        segmentation_quality: The mean IoU of the true objects that are found.
        panoptic_quality: The product of the last two (Kirillov et al., 2019).
    """

    true: int
    predicted: int
    recall: float
    precision: float
    f1: float
    segmentation_quality: float
    panoptic_quality: float

    @classmethod
    def of(cls, table: pd.DataFrame) -> Self:
        """Return the scores of a table as `object_table` returns it."""
        true, predicted = table[table["side"] == TRUE], table[table["side"] == PREDICTED]
        found = true["outcome"] == FOUND
        recall, precision = found.mean(), (predicted["outcome"] == FOUND).mean()
        both = recall + precision
        f1 = 2 * recall * precision / both if both > 0 else both * 0  # 0, or NaN where one does not exist
        quality = true.loc[found, "iou"].mean()
        return cls(len(true), len(predicted), recall, precision, f1, quality, quality * f1 if f1 else f1)


def score_by_size(table: pd.DataFrame, edges: Sequence[float], by: str = "pixels") -> pd.DataFrame:
    """Return recall and precision of objects by their size.

    Args:
        table: As `object_table` returns it.
        edges: Sizes at which one class of sizes ends and the next begins, ascending.
        by: ``pixels`` or ``square_metres``.

    Returns:
        One row per class of sizes: ``from``, ``to`` (infinite for the last), and the fields of `ObjectScores`.
    """
    bounds = [0.0, *edges, np.inf]
    rows = []
    for low, high in pairwise(bounds):
        within = table[(table[by] >= low) & (table[by] < high)]
        rows.append({"from": low, "to": high} | ObjectScores.of(within)._asdict())
    return pd.DataFrame(rows)


def size_edges(table: pd.DataFrame, by: str = "pixels") -> list[float]:
    """Return the quartiles of the true objects' sizes, to two digits, without repetition."""
    sizes = table.loc[table["side"] == TRUE, by].dropna()
    if sizes.empty:
        return []
    return sorted({float(f"{edge:.2g}") for edge in sizes.quantile([0.25, 0.5, 0.75])})


def object_intervals(table: pd.DataFrame, tiles: Mapping[str, str]) -> tuple[Interval, Interval, str, int] | None:
    """Return the 95 % intervals of recall and precision by a bootstrap of scenes; of tiles, where there are enough.

    Args:
        table: As `object_table` returns it.
        tiles: Of each scene.

    Returns:
        Both intervals, what was drawn (``scene`` or ``tile``) and how many; None with fewer than `LEAST`.
    """
    places = table["scene"].map(tiles)
    unit, groups = ("tile", places) if places.nunique() >= FEW else ("scene", table["scene"])
    found, true = table["outcome"] == FOUND, table["side"] == TRUE
    counts = pd.DataFrame({"a": found & true, "b": true, "c": found & ~true, "d": ~true}).groupby(groups).sum()
    if len(counts) < LEAST:
        return None
    drawn = np.concatenate(list(draw(counts.to_numpy(np.int64)[:, None, :])))[:, 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        recall, precision = interval(
            np.column_stack([drawn[:, 0] / drawn[:, 1], drawn[:, 2] / drawn[:, 3]]), len(counts)
        )
    return recall, precision, unit, len(counts)
