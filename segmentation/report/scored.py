"""What a run scored, as a report says it: rows of tables, and which patches are looked at."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from segmentation import scores
from segmentation.data.palette import Palette
from segmentation.evaluation.diagnosis import compare_runs
from segmentation.evaluation.gains import GainInWords, gains_between, say_gain
from segmentation.evaluation.ranking import WRONG, count_errors, rank
from segmentation.intervals import Gain, Interval, Intervals
from segmentation.report.plots import Plot, scatter_plot
from segmentation.runs.records import Metrics
from segmentation.runs.run import Run

WORST, SUSPECTS, CHANGED = 8, 6, 4
"""Patches that are shown with pictures: the worst, those with suspect labels, those that got worse and better."""

LEAST_WRONG = 0.01
"""Share of a patch that is wrong at the least for it to be among the worst, as in the gallery."""

PLACES = 24
"""Rows of a table of scenes or tiles: the worst."""

COMPARED = ("accuracy", "mean_iou")
"""Scores by which two runs are compared in a sentence."""


@dataclass(frozen=True)
class ScoreRow:
    """A score: what it is called, what it means, and of each run its value and its interval."""

    name: str
    title: str
    meaning: str
    values: list[tuple[float | None, Interval | None]]


@dataclass(frozen=True)
class ClassRow:
    """A class: its colour, its scores, and its pixels."""

    name: str
    color: str
    iou: float
    interval: Interval | None
    precision: float
    recall: float
    f1: float
    true_pixels: int
    predicted_pixels: int


@dataclass(frozen=True)
class PlaceRow:
    """A scene or tile with its scores."""

    name: str
    patches: int
    pixels: int
    mean_iou: float
    accuracy: float


@dataclass(frozen=True)
class GainRow:
    """What a class gains."""

    name: str
    color: str
    gain: Gain


@dataclass(frozen=True)
class Comparison:
    """Two runs on the patches that both were scored on.

    Args:
        patches: How many these are.
        better: On how many the second run has a higher mean IoU.
        worse: On how many a lower one.
        sentences: What its gains are worth; empty where it cannot be told.
        classes: By class, likewise.
        plot: Patch by patch.
        table: The patches with their ``gain``.
    """

    patches: int
    better: int
    worse: int
    sentences: list[GainInWords]
    classes: list[GainRow]
    plot: Plot | None
    table: pd.DataFrame


def score_rows(scored: Sequence[tuple[Metrics | None, Intervals | None]]) -> list[ScoreRow]:
    """Return the scores of one or two runs, those of single classes left out; those that neither has, too.

    Args:
        scored: Each run's scores and their intervals.
    """
    rows = []
    for name, kind in Metrics.kinds.items():
        values = [
            (getattr(metrics, name, None), _known(intervals.by_name.get(name)) if intervals else None)
            for metrics, intervals in scored
        ]
        if kind.null and any(value is not None for value, _ in values):
            rows.append(ScoreRow(name, kind.heading, kind.meaning, values))
    return rows


def class_rows(metrics: Metrics, intervals: Intervals | None, colors: Palette) -> list[ClassRow]:
    """Return a row for each class.

    Args:
        metrics: The scores.
        intervals: Of them.
        colors: The classes, in the colours to draw.
    """
    matrix, by_class = np.array(metrics.confusion_matrix), intervals.iou if intervals else {}
    iou, precision, recall, f1 = (of(matrix) for of in (scores.iou, scores.precision, scores.recall, scores.f1))
    return [
        ClassRow(
            name,
            colors.hex(index),
            float(iou[index]),
            _known(by_class.get(name)),
            float(precision[index]),
            float(recall[index]),
            float(f1[index]),
            int(matrix[index].sum()),
            int(matrix[:, index].sum()),
        )
        for index, name in enumerate(colors.names)
    ]


def _known(interval: Interval | None) -> Interval | None:
    return None if interval is None or interval.low != interval.low else interval


def held_out(run: Run) -> pd.DataFrame | None:
    """Return the rows of the patches that a run is scored on, with their wrong pixels where these are known."""
    if run.patches is None:
        return None
    table = run.patches
    if run.confusion_matrices is not None:
        table = table.assign(**{WRONG: count_errors(run.confusion_matrices)[WRONG].to_numpy()})
    return table[table["part"] == "test"]


def place_rows(run: Run, by: str) -> list[PlaceRow]:
    """Return the scenes or tiles of the held-out patches, the worst first.

    Args:
        run: With confusion matrices of its patches; otherwise there are none.
        by: ``scene`` or ``tile``.
    """
    table, matrices = held_out(run), run.confusion_matrices
    if table is None or matrices is None or table.empty:
        return []
    codes, names = pd.factorize(table[by])
    sums = np.zeros((len(names), *matrices.shape[1:]), np.int64)
    np.add.at(sums, codes, matrices[(run.patches["part"] == "test").to_numpy()])  # type: ignore[index]
    counts = np.bincount(codes)
    ious, right = scores.mean_iou(sums), scores.accuracy(sums)
    order = np.argsort(ious, kind="stable")  # those without any score come last
    return [PlaceRow(str(names[i]), int(counts[i]), int(sums[i].sum()), float(ious[i]), float(right[i])) for i in order]


def worst_patches(run: Run) -> pd.DataFrame:
    """Return the held-out patches with the lowest mean IoU, as the gallery ranks them."""
    table = held_out(run)
    if table is None:
        return pd.DataFrame(columns=["patch", "scene"])
    ranked, _ = rank(table, "mean_iou", WRONG if WRONG in table else None, least=LEAST_WRONG * run.patch_size**2)
    return ranked.head(WORST)


def suspect_patches(run: Run) -> pd.DataFrame:
    """Return the held-out patches most of which is wrong with great confidence; none where that is not known."""
    table = held_out(run)
    if table is None or "surely_wrong" not in table:
        return pd.DataFrame(columns=["patch", "scene"])
    table = table[table["surely_wrong"] > 0]
    return table.sort_values("surely_wrong", ascending=False, kind="stable").head(SUSPECTS)


def compare(run: Run, other: Run, colors: Palette) -> Comparison:
    """Compare two runs of the same classes on the held-out patches that both have.

    Args:
        run: The first, from which gains are counted.
        other: The second.
        colors: The classes, in the colours to draw.
    """
    if run.patches is None or other.patches is None:
        return Comparison(0, 0, 0, [], [], None, pd.DataFrame(columns=["patch", "scene", "gain"]))
    both = compare_runs(run.patches, other.patches, "test").dropna(subset="gain")
    gains = gains_between(run, other) if len(both) else None
    sentences, classes = list[GainInWords](), list[GainRow]()
    if gains:
        by_name, by_class = gains
        for name in COMPARED:
            heading = Metrics.kinds[name].heading
            sentences.append(say_gain(by_name[name], heading[0].lower() + heading[1:], other.name))
        classes = [GainRow(name, colors.hex(index), gain) for index, (name, gain) in enumerate(by_class.items())]
    plot = None
    if len(both):
        ours, theirs = both["mean_iou"].to_numpy(), both["other_mean_iou"].to_numpy()
        plot = scatter_plot(ours, theirs, f"Mean IoU, {run.name}", f"Mean IoU, {other.name}")
    wrong, other_wrong = _wrong_pixels(run), _wrong_pixels(other)
    if wrong is not None and other_wrong is not None:
        both = both.assign(**{WRONG: np.fmax(both["patch"].map(wrong), both["patch"].map(other_wrong))})
    better, worse = int((both["gain"] > 0).sum()), int((both["gain"] < 0).sum())
    return Comparison(len(both), better, worse, sentences, classes, plot, both)


def _wrong_pixels(run: Run) -> pd.Series | None:
    """Return how many pixels of each held-out patch are wrong, by its name; None where that is not known."""
    table = held_out(run)
    return None if table is None or WRONG not in table else table.set_index("patch")[WRONG]


def changed_patches(comparison: Comparison, least: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the patches that the second run does worst in comparison, and those that it does best.

    Args:
        comparison: Of the two runs.
        least: Wrong pixels of either run: a few stray ones may change a mean IoU most, and tell nothing.
    """
    table = comparison.table
    if WRONG in table:
        table = table[table[WRONG] >= least]
    ordered = table.sort_values("gain", kind="stable")
    worse, better = ordered[ordered["gain"] < 0], ordered[ordered["gain"] > 0]
    return worse.head(CHANGED), better.iloc[::-1].head(CHANGED)
