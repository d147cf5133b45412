"""How far scores can be trusted: intervals by a bootstrap that draws whole scenes (no TensorFlow).

The patches of a scene are alike, so a thousand of them from eight scenes say little more than eight. Scenes are drawn
anew, with replacement, as many as there are; the scores of the drawn sets spread as those of other scenes of the kind
would (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13). Where there are tiles enough, they are
drawn instead: the scenes of one place are alike as well.

Two runs are compared on the same draws, so that what both find hard cancels out.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd

from segmentation import scores
from segmentation.data.palette import Palette

DRAWS = 2000
"""Sets of scenes that are drawn."""

CONFIDENCE = 0.95

UNITS = ("scene", "tile")
"""What may be drawn."""

LEAST = 6
"""With fewer scenes there is no interval: of five, all lie on one side of the truth once in sixteen times."""

FEW = 10
"""With fewer scenes an interval is itself uncertain; with fewer tiles scenes are drawn."""

MOST_CELLS = 1 << 20
"""Of matrices that are drawn at once."""

Score = Callable[[np.ndarray], np.ndarray]
"""From (…, classes, classes) confusion matrices to (…) or (…, classes) scores."""


class Interval(NamedTuple):
    """A score's interval; not-a-number where the score does not exist in most draws."""

    low: float
    high: float


class Groups(NamedTuple):
    """What is drawn.

    Args:
        unit: ``scene`` or ``tile``.
        matrices: (groups, classes, classes) int64: the confusion matrix of each.
    """

    unit: str
    matrices: np.ndarray

    @classmethod
    def of(cls, table: pd.DataFrame, matrices: np.ndarray) -> Self:
        """Sum the confusion matrices of patches by tile where there are `FEW` or more, else by scene.

        Args:
            table: The patches, with ``tile`` and ``scene``.
            matrices: (patches, classes, classes) int64.
        """
        unit = "tile" if table["tile"].nunique() >= FEW else "scene"
        codes = pd.factorize(table[unit])[0]
        order = np.argsort(codes, kind="stable")
        first = np.flatnonzero(np.diff(codes[order], prepend=-1))
        sums = np.add.reduceat(matrices[order], first) if len(first) else matrices
        return cls(unit, sums[sums.any((1, 2))])  # one of void alone says nothing


def draw(matrices: np.ndarray, times: int = DRAWS) -> Iterator[np.ndarray]:
    """Yield sums of as many groups as there are, drawn with replacement, some draws at once: the same every time.

    Args:
        matrices: (groups, rows, columns) int64.
        times: How many draws.

    Yields:
        (draws, rows, columns) float64: whole numbers.
    """
    rng, count = np.random.default_rng(0), len(matrices)
    flat = matrices.reshape(count, -1).astype(float)  # exact up to 9·10¹⁵ pixels
    at_once = max(1, MOST_CELLS // max(count, flat.shape[1]))
    for begin in range(0, times, at_once):
        chosen = rng.integers(count, size=(min(at_once, times - begin), count))
        drawn = [np.bincount(row, minlength=count) for row in chosen]
        yield (np.stack(drawn) @ flat).reshape(-1, *matrices.shape[1:])


def interval(values: np.ndarray, groups: int, confidence: float = CONFIDENCE) -> list[Interval]:
    """Return the interval of each column of scores, with as many draws below it as above; none of too few groups.

    Args:
        values: (draws, scores) float64; those that do not exist are NaN.
        groups: How many were drawn from: of few, draws spread too little, and the interval is widened.
        confidence: How often such intervals hold the true score.
    """
    outside = share_outside(groups, confidence)
    # No draw lies beyond the best and the worst group, and all of them lie on one side of the truth by chance as well.
    enough = 2.0 ** (1 - groups) <= 1 - confidence
    exists = (np.isfinite(values).mean(0) > 0.5) & enough
    known = np.where(exists, values, 0)
    ends = np.where(exists, np.nanquantile(known, (outside, 1 - outside), axis=0), np.nan)
    return [Interval(float(low), float(high)) for low, high in ends.T.round(6)]


def share_outside(groups: int, confidence: float) -> float:
    """Return the share of the draws that lies below an interval, and as much above.

    It is (1 − confidence) / 2 for many groups, and less for few, as Student's t is wider than the normal distribution
    (the expanded percentile interval of Hesterberg, What Teachers Should Know About the Bootstrap, 2015).
    """
    normal = NormalDist()
    z, freedom = normal.inv_cdf((1 + confidence) / 2), groups - 1
    # Student's quantile, as Cornish and Fisher expand it: within a hundredth from five degrees of freedom on.
    t = z + (z**3 + z) / (4 * freedom)
    t += (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    t += (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    return normal.cdf(-t * (groups / freedom) ** 0.5)


UNKNOWN = Interval(math.nan, math.nan)


@dataclass(frozen=True)
class Intervals:
    """The intervals of a run's scores, named as in `Metrics`.

    Args:
        unit: What was drawn: ``scene`` or ``tile``.
        units: How many there are.
        by_name: Of ``accuracy``, ``mean_iou`` and ``mean_iou_without_unlabeled``.
        iou: By class.
    """

    unit: str
    units: int
    by_name: dict[str, Interval]
    iou: dict[str, Interval]

    @property
    def basis(self) -> str:
        """What they come from, in words, and that they are themselves uncertain where that is little."""
        few = ": so few that they are uncertain themselves" if self.units < FEW else ""
        return f"{self.units:,} {self.unit}s drawn anew{few}"

    @classmethod
    def from_dict(cls, content: Any) -> "Intervals | None":  # noqa: ANN401 (out of a file)
        """Rebuild intervals from `to_dict`; None from anything else."""
        try:
            unit, units = content["unit"], content["units"]
            by_name, iou = ({name: _read(ends) for name, ends in content[key].items()} for key in ("scores", "iou"))
        except (TypeError, KeyError, ValueError, AttributeError):
            return None
        return cls(unit, units, by_name, iou) if unit in UNITS and type(units) is int and units > 1 else None

    def to_dict(self) -> dict:
        """Return the intervals ready for JSON: [low, high], or null for one that does not exist."""
        by_name, iou = (
            {name: None if math.isnan(between.low) else list(between) for name, between in intervals.items()}
            for intervals in (self.by_name, self.iou)
        )
        return {"unit": self.unit, "units": self.units, "scores": by_name, "iou": iou}


def _read(ends: Any) -> Interval:  # noqa: ANN401 (out of a file)
    """Return an interval out of JSON.

    Raises:
        ValueError: If it is none.
        TypeError: Likewise.
    """
    if ends is None:
        return UNKNOWN
    low, high = ends
    if not 0 <= low <= high <= 1:
        raise ValueError("Expected an interval of a score.")
    return Interval(float(low), float(high))


def score_functions(palette: Palette) -> dict[str, Score]:
    """Return the scores that have an interval, by their names in `Metrics`."""
    return {
        "accuracy": scores.accuracy,
        "mean_iou": scores.mean_iou,
        "mean_iou_without_unlabeled": lambda matrix: scores.mean_iou(matrix, without=palette.unlabeled),
    }


def find_intervals(table: pd.DataFrame, matrices: np.ndarray, palette: Palette) -> Intervals | None:
    """Return the intervals of the scores of some patches; None with fewer than `LEAST` scenes.

    Args:
        table: The patches, with ``tile`` and ``scene``.
        matrices: Their confusion matrices, (patches, classes, classes) int64.
        palette: The classes.
    """
    groups = Groups.of(table, matrices)
    if len(groups.matrices) < LEAST:
        return None
    functions, count = score_functions(palette), len(groups.matrices)

    def score(drawn: np.ndarray) -> np.ndarray:
        return np.column_stack([*(of(drawn) for of in functions.values()), scores.iou(drawn)])

    ends = interval(np.concatenate([score(drawn) for drawn in draw(groups.matrices)]), count)
    by_name = dict(zip(functions, ends, strict=False))
    return Intervals(groups.unit, count, by_name, dict(zip(palette.names, ends[len(functions) :], strict=True)))


@dataclass(frozen=True)
class Gain:
    """How much better a second run is than a first on the same patches, by one score.

    Args:
        gain: The second's score less the first's.
        interval: Of it.
        unit: What was drawn: ``scene`` or ``tile``.
        units: How many there are.
    """

    gain: float
    interval: Interval
    unit: str
    units: int

    @property
    def real(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.interval.low > 0 or self.interval.high < 0

    @property
    def units_needed(self) -> int:
        """About how many units would show such a gain, as intervals narrow with the root of their number; or 0."""
        half = self.gain - self.interval.low if self.gain > 0 else self.interval.high - self.gain  # towards zero
        if not self.gain or math.isnan(half):
            return 0
        return math.ceil(self.units * (half / self.gain) ** 2)


def find_gains(
    one: tuple[pd.DataFrame, np.ndarray], other: tuple[pd.DataFrame, np.ndarray], palette: Palette
) -> tuple[dict[str, Gain], dict[str, Gain]] | None:
    """Compare two runs on the patches that both have, in the classes of `palette`.

    Args:
        one: The first run's patches and their (patches, classes, classes) confusion matrices.
        other: The second's.
        palette: The classes.

    Returns:
        Gains by the scores' names in `Metrics`, and of IoU by class, whose intervals are wider, so that the chance that
        any class of which nothing is to be shown leaves zero out is still 5 % (Bonferroni). None with fewer than
        `LEAST` scenes.
    """
    (table, ours), (other_table, theirs) = one, other
    place = pd.Series(range(len(other_table)), other_table["patch"].to_numpy())
    both = table["patch"].isin(place.index).to_numpy()
    table, ours = table[both], ours[both]
    theirs = theirs[place[table["patch"]].to_numpy()]
    # Side by side, so that each draw has the same scenes of both.
    groups = Groups.of(table, np.concatenate([ours, theirs], axis=-1))
    count, classes = len(groups.matrices), len(palette)
    if count < LEAST:
        return None
    functions = score_functions(palette)

    def gain(sums: np.ndarray) -> np.ndarray:
        first, second = sums[..., :classes], sums[..., classes:]
        gained = [of(second) - of(first) for of in functions.values()]
        return np.column_stack([*gained, scores.iou(second) - scores.iou(first)])

    found = gain(groups.matrices.sum(0, keepdims=True))[0]
    drawn = np.concatenate([gain(sums) for sums in draw(groups.matrices)])
    ends = interval(drawn[:, : len(functions)], count)
    ends += interval(drawn[:, len(functions) :], count, 1 - (1 - CONFIDENCE) / classes)
    gains = [Gain(float(value), between, groups.unit, count) for value, between in zip(found, ends, strict=True)]
    by_name = dict(zip(functions, gains, strict=False))
    return by_name, dict(zip(palette.names, gains[len(functions) :], strict=True))
