"""Labels that are probably wrong: connected regions where a model contradicts them with confidence.

A region's pixels have the same label, are predicted as the same other class, and touch at a side or a corner. Its core
is what is predicted with a calibrated probability of `CONFIDENT` or more and is farther than `RIM` pixels from every
outline of the mask: there, both label and prediction are a matter of a pixel or two, and say nothing of the class. From
a core of `LEAST` pixels on it is a region; it then grows back by `RIM` pixels as far as label and prediction are the
same, so that a label that is put right leaves no ring behind.

Regions are ranked by their evidence, area × certainty:

    Σ ln(p of the class predicted / p of the label) over the core's pixels × ε / (ε + r)

The sum says how much more probable the prediction makes the region than its label does, as if pixels were
independent; they are not, so it ranks and is no probability. A single pixel's ratio is the margin by which confident
learning orders examples, on the scale on which evidence adds up; where no probabilities are known, each pixel counts
1. The factor is the chance that such a contradiction is the label's fault: r is the share of the scene's other pixels
with this label that the model contradicts by the same class, ε the share of labels thought to be wrong beforehand. A
model that takes a third of the roofs in a hazy scene for bare land says nothing against one roof's label. Confident
learning, too, holds single examples against how often classes are confused (Northcutt et al., Confident Learning,
JAIR 2021).
"""

import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple, Self

import numpy as np
import pandas as pd
from scipy import ndimage

from segmentation.data.palette import VOID, Palette
from segmentation.data.pixel_areas import PixelAreas
from segmentation.data.protocols import TEST, TRAIN, VALIDATION
from segmentation.evaluation.objects import CONNECTIVITY, PART_CODES
from segmentation.runs.region_verdicts import Region
from segmentation.scores import near_edges

CONFIDENT = 0.8
"""Probability of the class predicted from which on a pixel contradicts its label."""

RIM = 3
"""Pixels along the outlines of the mask that say nothing of a label."""

LEAST = 64
"""Pixels of a region's core at least: 8 × 8, smaller ones are too many to be looked at."""

MOST = 2000
"""Regions of a scene that are kept, those of the most evidence."""

LEAST_PROBABILITY = 1e-3
"""What less is taken for: one pixel that is surely wrong is no more than seven that are probably."""

WRONG_BEFOREHAND = 0.01
"""Share of labels that is thought to be wrong before anything is seen: ε above."""

COLUMNS = ["scene", "place", "labelled", "predicted", "part", "pixels", "square_metres", "certainty", "evidence"]
COLUMNS += ["top", "left", "bottom", "right"]

PARTS_BY_CODE = {PART_CODES[part]: part for part in (TEST, VALIDATION, TRAIN)}


class Suspects(NamedTuple):
    """The regions of a scene, those of the most evidence first.

    Args:
        labelled: (regions,) uint8: the class index of the label.
        predicted: (regions,) uint8: the class index that the model predicts.
        pixels: (regions,) int64.
        square_metres: (regions,) float64: what they cover; NaN where the scene does not say where it lies.
        certainty: (regions,) float64: the mean probability of the class predicted in the core; NaN if not known.
        evidence: (regions,) float64: what they are ranked by.
        boxes: (regions, 4) int32: first row, first column, the row after the last, the column after the last.
        parts: (regions,) uint8 of `PART_CODES`, the highest of its pixels; 0 beyond whole patches.
        bits: (bytes,) uint8: which pixels of each box are the region's, row by row, eight in a byte, box after box.
    """

    labelled: np.ndarray
    predicted: np.ndarray
    pixels: np.ndarray
    square_metres: np.ndarray
    certainty: np.ndarray
    evidence: np.ndarray
    boxes: np.ndarray
    parts: np.ndarray
    bits: np.ndarray

    def mask(self, place: int) -> np.ndarray:
        """Return which pixels of its box are a region's, (rows, columns) bool."""
        sides = self.boxes[:, 2:] - self.boxes[:, :2]
        sizes = sides.prod(1)
        begin = int((-(-sizes[:place] // 8)).sum())
        bits = np.unpackbits(self.bits[begin : begin - (-sizes[place] // 8)], count=int(sizes[place]))
        return bits.astype(bool).reshape(sides[place])

    def to_bytes(self) -> bytes:
        """Return them ready to be kept."""
        with io.BytesIO() as file:
            np.savez_compressed(file, allow_pickle=False, **self._asdict())
            return file.getvalue()

    @classmethod
    def from_bytes(cls, kept: bytes) -> Self | None:
        """Rebuild them from `to_bytes`; None from anything else."""
        try:
            with np.load(io.BytesIO(kept), allow_pickle=False) as arrays:
                return cls(*(arrays[name] for name in cls._fields))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
            return None


class Contradiction(NamedTuple):
    """What a model says against the labels of a scene.

    Args:
        predicted: (height, width) uint8 class indices, 255 where nothing is predicted.
        confidence: (height, width) float16: the probability of that class; None if it is not known.
        margin: (height, width) float16: ln(p of that class / p of the label); None likewise.
    """

    predicted: np.ndarray
    confidence: np.ndarray | None = None
    margin: np.ndarray | None = None


class _Region(NamedTuple):
    labelled: int
    predicted: int
    core: np.ndarray
    top: int
    left: int
    certainty: float
    evidence: float


def find_suspects(
    truth: np.ndarray, seen: Contradiction, parts: np.ndarray | None = None, areas: PixelAreas | None = None
) -> Suspects:
    """Find the regions of a scene where the model contradicts the labels.

    Args:
        truth: (height, width) uint8 class indices, void 255, which no region holds.
        seen: What the model says.
        parts: (height, width) uint8 of `PART_CODES`, and 0; by default all is held out.
        areas: What the pixels cover on the ground, if that is known.
    """
    core = (truth != seen.predicted) & (truth != VOID) & (seen.predicted != VOID)
    inner = ~near_edges(truth, RIM)
    core &= inner
    if seen.confidence is not None:
        core &= seen.confidence >= CONFIDENT
    labelled = np.bincount(truth[inner], minlength=VOID + 1)
    regions = sorted(_regions(core, truth, seen, labelled), key=lambda region: -region.evidence)[:MOST]
    pixels, ground, boxes, codes, bits = [], [], [], [], []
    for region in regions:
        rows, columns, mask = _grown(region, truth, seen.predicted)
        pixels.append(int(mask.sum()))
        ground.append(float(areas.within(rows, columns)[mask].sum()) if areas else np.nan)
        boxes.append((rows.start, columns.start, rows.stop, columns.stop))
        codes.append(PART_CODES[TEST] if parts is None else int(parts[rows, columns][mask].max()))
        bits.append(np.packbits(mask))
    return Suspects(
        np.array([region.labelled for region in regions], np.uint8),
        np.array([region.predicted for region in regions], np.uint8),
        np.array(pixels, np.int64),
        np.array(ground, np.float64),
        np.array([region.certainty for region in regions], np.float64),
        np.array([region.evidence for region in regions], np.float64),
        np.array(boxes, np.int32).reshape(-1, 4),
        np.array(codes, np.uint8),
        np.concatenate([np.zeros(0, np.uint8), *bits]),
    )


def _regions(core: np.ndarray, truth: np.ndarray, seen: Contradiction, labelled: np.ndarray) -> Iterator[_Region]:
    """Yield the cores that are large enough, pair of classes by pair of classes.

    Args:
        core: (height, width) bool: where labels are contradicted, away from outlines.
        truth: As `find_suspects` takes it.
        seen: Likewise.
        labelled: (256,) integers: pixels of each label, away from outlines.
    """
    width, flat = core.shape[1], np.flatnonzero(core)
    keys = truth.ravel()[flat].astype(np.uint16) * (VOID + 1) + seen.predicted.ravel()[flat]
    order = np.argsort(keys, kind="stable")
    found, starts = np.unique(keys[order], return_index=True)
    for key, first, end in zip(found, starts, (*starts[1:], len(flat)), strict=False):
        of_pair = flat[order[first:end]]
        if len(of_pair) < LEAST:
            continue
        rows, columns = np.divmod(of_pair, width)
        top, left = int(rows.min()), int(columns.min())
        here = np.zeros((int(rows.max()) - top + 1, int(columns.max()) - left + 1), bool)
        here[rows - top, columns - left] = True
        labels, count = ndimage.label(here, CONNECTIVITY)
        of_region = labels[rows - top, columns - left]
        sizes = np.bincount(of_region, minlength=count + 1)
        certainty: np.ndarray = np.full(count + 1, np.nan)
        evidence: np.ndarray = sizes.astype(np.float64)
        if seen.confidence is not None and seen.margin is not None:
            total = np.bincount(of_region, seen.confidence.ravel()[of_pair].astype(np.float64), count + 1)
            certainty = total / np.maximum(sizes, 1)
            evidence = np.bincount(of_region, seen.margin.ravel()[of_pair].astype(np.float64), count + 1)
        elsewhere = (len(of_pair) - sizes) / np.maximum(labelled[key // (VOID + 1)] - sizes, 1)
        evidence *= WRONG_BEFOREHAND / (WRONG_BEFOREHAND + elsewhere)
        boxes = ndimage.find_objects(labels)
        for number in np.flatnonzero(sizes >= LEAST):
            down, across = boxes[number - 1]
            yield _Region(
                *divmod(int(key), VOID + 1),
                labels[down, across] == number,
                top + down.start,
                left + across.start,
                float(certainty[number]),
                float(evidence[number]),
            )


def _grown(region: _Region, truth: np.ndarray, predicted: np.ndarray) -> tuple[slice, slice, np.ndarray]:
    """Return a region's rows, columns and pixels in them: its core, grown where label and prediction are the same."""
    rows, columns = (
        slice(max(0, begin - RIM), min(begin + length + RIM, whole))
        for begin, length, whole in zip((region.top, region.left), region.core.shape, truth.shape, strict=True)
    )
    mask = np.zeros((rows.stop - rows.start, columns.stop - columns.start), bool)
    down, across = region.top - rows.start, region.left - columns.start
    mask[down : down + len(region.core), across : across + region.core.shape[1]] = region.core
    same = (truth[rows, columns] == region.labelled) & (predicted[rows, columns] == region.predicted)
    mask = ndimage.binary_dilation(mask, CONNECTIVITY, RIM, same)
    ((down, across),) = ndimage.find_objects(mask.astype(np.uint8))
    return (
        slice(rows.start + down.start, rows.start + down.stop),
        slice(columns.start + across.start, columns.start + across.stop),
        mask[down, across],
    )


def suspect_table(scenes: Mapping[str, Suspects], palette: Palette) -> pd.DataFrame:
    """Return all regions: those first that the model was not trained on, each group by evidence.

    A network has learnt the labels that it was trained on, wrong ones as well: there it contradicts too seldom.

    Args:
        scenes: The regions of each scene, by its name.
        palette: The classes.

    Returns:
        One row each: ``scene``, ``place`` (its number in the scene's `Suspects`), ``labelled`` and ``predicted``
        (classes' names), ``part`` (of `PARTS`; empty beyond whole patches), ``pixels``, ``square_metres``,
        ``certainty``, ``evidence``, ``top``, ``left``, ``bottom`` and ``right``.
    """
    names = np.array(palette.names, object)
    tables = [
        pd.DataFrame(
            {
                "scene": name,
                "place": np.arange(len(of.pixels)),
                "labelled": names[of.labelled],
                "predicted": names[of.predicted],
                "part": [PARTS_BY_CODE.get(int(code), "") for code in of.parts],
                "pixels": of.pixels,
                "square_metres": of.square_metres,
                "certainty": of.certainty.round(6),
                "evidence": of.evidence.round(3),
            }
            | dict(zip(("top", "left", "bottom", "right"), of.boxes.T, strict=True))
        )
        for name, of in scenes.items()
    ]
    if not tables:
        return pd.DataFrame(columns=COLUMNS)
    table = pd.concat(tables, ignore_index=True)
    trained_on = (table["part"] == TRAIN).to_numpy()
    order = np.lexsort((-table["evidence"].to_numpy(np.float64), trained_on))
    return table.iloc[order].reset_index(drop=True)


def with_verdicts(table: pd.DataFrame, verdicts: Mapping[Region, str]) -> pd.DataFrame:
    """Return a table of regions with a column ``verdict``, empty where nobody has judged."""
    return table.assign(verdict=[verdicts.get(region, "") for region in regions_of(table)])


def regions_of(table: pd.DataFrame) -> list[Region]:
    """Return by what the regions of a table are known again."""
    return [Region(*row) for row in table[list(Region._fields)].itertuples(index=False)]
