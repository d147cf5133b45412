"""What matters most about a run: the few sentences that its errors support, each with an interval.

All is read off the confusion matrices of its patches. A sentence is about pixels that could have been right: those of
one confusion, those of a place beyond what the other places lose, those of the held-out part beyond what the part loses
that was trained on, those that are wrong with confidence. The most pixels come first. What its interval does not show
is not said.
"""

from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

import numpy as np
import pandas as pd

from segmentation.data.palette import Palette
from segmentation.data.protocols import TEST, TRAIN
from segmentation.intervals import CONFIDENCE, LEAST, Groups, Interval, draw, interval
from segmentation.scores import accuracy

MOST = 3
"""Sentences, at most: more are a list."""

PLACES = 3
"""Tiles that are compared with the others, those that lose most."""

WORTH_SAYING = 0.05
"""Share of the wrong pixels from which on a sentence is worth its place, however certain it is."""


class Subject(Enum):
    """What a sentence is about."""

    CONFUSION = "confusion"
    PLACE = "place"
    PARTS = "parts"
    CONFIDENCE = "confidence"


class Headline(NamedTuple):
    """One sentence, as figures.

    Args:
        subject: What it is about.
        names: The true class and the one predicted in its place; the tile; or nothing.
        value: Of a confusion and of confidence, the share of the wrong pixels that is of this kind; of a place or the
            held-out part, the accuracy less that of the other places, or of the part that was trained on.
        interval: Of the value; of a place it is wider, so that it holds for the worst of all places.
        figures: Of a place or part, both accuracies: its own, and the one that it is compared with.
        share: How many of the wrong pixels are at stake, 0–1.
    """

    subject: Subject
    names: tuple[str, ...]
    value: float
    interval: Interval
    figures: tuple[float, float] | None
    share: float


def find_headlines(table: pd.DataFrame, matrices: np.ndarray, palette: Palette) -> list[Headline]:
    """Return what matters most about the held-out patches of a run; nothing with fewer than `LEAST` scenes.

    Args:
        table: All patches of the run, with ``tile``, ``scene``, ``part`` and ``pixels``; ``surely_wrong`` if known.
        matrices: Their confusion matrices, (patches, classes, classes) int64.
        palette: The classes.

    Returns:
        At most `MOST`, those first that most wrong pixels are at stake in.
    """
    test = (table["part"] == TEST).to_numpy()
    total = matrices[test].sum(0)
    if table.loc[test, "scene"].nunique() < LEAST or _wrong(total) == 0:
        return []
    found = [
        *_of_kinds(table[test], matrices[test], palette),
        *_of_places(table[test], matrices[test]),
        *_of_parts(table, matrices, test),
    ]
    return sorted((of for of in found if of.share >= WORTH_SAYING), key=lambda of: -of.share)[:MOST]


def _wrong(matrices: np.ndarray) -> np.ndarray:
    """Return the wrong pixels of confusion matrices (…, classes, classes), (…)."""
    return matrices.sum((-2, -1)) - np.trace(matrices, axis1=-2, axis2=-1)


def _of_kinds(table: pd.DataFrame, matrices: np.ndarray, palette: Palette) -> Iterator[Headline]:
    """Yield the most frequent confusion, and the wrong pixels that are confidently so, as shares of all wrong ones."""
    classes = len(palette)
    known = "surely_wrong" in table  # runs that were evaluated long ago do not say
    sure = (table["surely_wrong"] * table["pixels"]).round().fillna(0).to_numpy(np.int64) if known else 0
    # Beside each matrix, so that each draw has the same scenes of both.
    beside = np.zeros((len(matrices), classes, 1), np.int64)
    beside[:, 0, 0] = sure
    groups = Groups.of(table, np.concatenate([matrices, beside], axis=-1))
    total = groups.matrices.sum(0)
    cells = np.where(np.eye(classes, dtype=bool), 0, total[:, :classes])
    true, predicted = (int(place) for place in np.unravel_index(cells.argmax(), cells.shape))

    def shares(sums: np.ndarray) -> np.ndarray:
        of_all = _wrong(sums[..., :classes])
        with np.errstate(invalid="ignore"):
            return np.column_stack([sums[:, true, predicted] / of_all, sums[:, 0, classes] / of_all])

    values = shares(total[None])[0]
    ends = interval(np.concatenate([shares(sums) for sums in draw(groups.matrices)]), len(groups.matrices))
    names = palette.names[true], palette.names[predicted]
    for subject, of, value, between in (
        (Subject.CONFUSION, names, values[0], ends[0]),
        (Subject.CONFIDENCE, (), values[1], ends[1]),
    ):
        if between.low > 0:
            yield Headline(subject, of, float(value), between, None, float(value))


def _of_places(table: pd.DataFrame, matrices: np.ndarray) -> Iterator[Headline]:
    """Yield the tile that is certainly less accurate than the others and loses most by it, if there is one."""
    scenes = table.groupby("tile")["scene"].nunique()
    tiles = [tile for tile, count in scenes.items() if LEAST <= count <= scenes.sum() - LEAST]
    whole, lost = matrices.sum(0), {}
    for tile in tiles:
        here = matrices[(table["tile"] == tile).to_numpy()].sum(0)
        lost[tile] = (accuracy(whole - here) - accuracy(here)) * here.sum()
    for tile in sorted(tiles, key=lambda tile: -lost[tile])[:PLACES]:
        inside = (table["tile"] == tile).to_numpy()
        groups = [Groups.of(table[of], matrices[of]) for of in (inside, ~inside)]
        drawn = [accuracy(np.concatenate(list(draw(of.matrices)))) for of in groups]
        np.random.default_rng(1).shuffle(drawn[1])  # else groups of as many would be drawn alike
        count = min(len(of.matrices) for of in groups)
        # As many looks as there are tiles (Bonferroni).
        (between,) = interval((drawn[0] - drawn[1])[:, None], count, 1 - (1 - CONFIDENCE) / len(tiles))
        if between.high < 0:
            here, others = (float(accuracy(of.matrices.sum(0))) for of in groups)
            share = float(lost[tile] / _wrong(whole))
            yield Headline(Subject.PLACE, (str(tile),), here - others, between, (here, others), share)
            return


def _of_parts(table: pd.DataFrame, matrices: np.ndarray, test: np.ndarray) -> Iterator[Headline]:
    """Yield how much less accurate the held-out part is than the one that was trained on, if it certainly is."""
    train, classes = (table["part"] == TRAIN).to_numpy(), matrices.shape[-1]
    either = test | train
    beside = np.concatenate([matrices * test[:, None, None], matrices * train[:, None, None]], axis=-1)[either]
    groups = Groups.of(table[either], beside)  # side by side: a scene may have patches of both
    count = min(int(side.any((1, 2)).sum()) for side in np.split(groups.matrices, [classes], axis=-1))
    if count < LEAST:
        return

    def gap(sums: np.ndarray) -> np.ndarray:
        return accuracy(sums[..., :classes]) - accuracy(sums[..., classes:])

    (between,) = interval(np.concatenate([gap(sums) for sums in draw(groups.matrices)])[:, None], count)
    if between.high < 0:
        held_out, trained_on = (side.sum(0) for side in np.split(groups.matrices, [classes], axis=-1))
        figures = float(accuracy(held_out)), float(accuracy(trained_on))
        value = figures[0] - figures[1]
        yield Headline(Subject.PARTS, (), value, between, figures, float(-value * held_out.sum() / _wrong(held_out)))
