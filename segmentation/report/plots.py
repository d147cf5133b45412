"""Where the lines, bars and points of a report's charts lie; the template draws them as SVG.

Plotly's code alone is larger than a whole report, and charts that it draws do not print as they are seen.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from segmentation.runs.logs.columns import TRAINING, direction
from segmentation.runs.logs.curves import thinned
from segmentation.runs.logs.history import History, best_position
from segmentation.runs.records import Calibration, Metrics

MOST_CURVES, MOST_POINTS = 6, 400
"""Charts of a training log, and points of a curve."""

MOST_DOTS = 1_500
"""Points of a cloud: of more, as many are drawn, evenly chosen."""

MOST_CELLS = 20
"""Classes of a confusion matrix that is drawn: of more, the cells could not be read."""

LEFT, TOP, RIGHT, BOTTOM = 56, 12, 12, 44
"""Pixels around a plot, for ticks and titles."""


@dataclass(frozen=True)
class Tick:
    """A mark of an axis: where it is, in pixels, and what it says."""

    at: float
    text: str


@dataclass(frozen=True)
class Line:
    """A curve.

    Args:
        text: What it is, for the legend.
        points: Its corners, as SVG's ``points``.
        kind: ``first`` or ``second``, a run's; ``quiet`` for what is no run's.
        dashed: Whether it is dashed, as curves of training are.
        best: Its best point, in pixels, if it is marked.
        best_text: What that says.
    """

    text: str
    points: str
    kind: str = "first"
    dashed: bool = False
    best: tuple[float, float] | None = None
    best_text: str = ""


@dataclass(frozen=True)
class Bar:
    """A bar that stands on the axis: all in pixels, but what it says."""

    left: float
    top: float
    width: float
    height: float
    text: str


@dataclass(frozen=True)
class Plot:
    """A chart with two axes.

    Args:
        title: Above it.
        alt: What it shows, for who does not see it.
        x_title: Of the axis across.
        y_title: Of the axis upwards.
        x_ticks: Of the axis across.
        y_ticks: Of the axis upwards.
        width: In pixels.
        height: In pixels.
        lines: Its curves.
        bars: Its bars.
        dots: Its points, in pixels.
    """

    title: str
    alt: str
    x_title: str
    y_title: str
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    width: int
    height: int
    lines: list[Line] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    dots: list[tuple[float, float]] = field(default_factory=list)

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the plot itself, in pixels."""
        return LEFT, TOP, self.width - RIGHT, self.height - BOTTOM


@dataclass(frozen=True)
class Scale:
    """From a value to pixels.

    Args:
        low: The value at the beginning.
        high: The value at the end.
        begin: Of the axis, in pixels.
        end: Likewise; above `begin` for an axis upwards.
    """

    low: float
    high: float
    begin: float
    end: float

    def __call__(self, value: float) -> float:
        """Return where a value is."""
        span = self.high - self.low
        share = (value - self.low) / span if span else 0.5
        return round(self.begin + share * (self.end - self.begin), 1)

    def ticks(self, most: int = 6) -> list[Tick]:
        """Return marks at round values, at most about so many."""
        span = self.high - self.low
        if not span:
            return [Tick(self(self.low), f"{self.low:g}")]
        power = 10.0 ** math.floor(math.log10(span / most))
        step = next(times * power for times in (1, 2, 5, 10) if span / (times * power) <= most)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        return [Tick(self(number * step), f"{number * step:.{digits}f}") for number in range(first, last + 1)]


def _scales(x: tuple[float, float], y: tuple[float, float], width: int, height: int) -> tuple[Scale, Scale]:
    return Scale(*x, LEFT, width - RIGHT), Scale(*y, height - BOTTOM, TOP)


def _points(x: Scale, y: Scale, values: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x(across):g},{y(up):g}" for across, up in values)


def curve_plots(histories: dict[str, History], most: int = MOST_CURVES) -> list[Plot]:
    """Return a chart for each metric of one or two trainings, validation solid and training dashed.

    Args:
        histories: By the run's name; what the first one logs is drawn.
        most: Charts.
    """
    first = next(iter(histories.values()))
    plots = (curve_plot(histories, metric) for metric in first.metrics)
    return [plot for plot in plots if plot is not None][:most]


def curve_plot(histories: dict[str, History], metric: str, width: int = 380, height: int = 230) -> Plot | None:
    """Return one metric of one or two trainings; None if there is no value."""
    curves = [
        (kind, name, curve, history.axis, history.table.set_index(history.axis)[curve.column].dropna())
        for kind, (name, history) in zip(("first", "second"), histories.items(), strict=False)
        for curve in history.curves(metric)
        if not curve.stepwise
    ]
    curves = [entry for entry in curves if len(entry[-1])]
    if not curves:
        return None
    every = pd.concat([values for *_, values in curves])
    low, high = float(every.min()), float(every.max())
    margin = 0.05 * (high - low) or max(abs(low), 1) * 0.05
    x, y = _scales((every.index.min(), every.index.max()), (low - margin, high + margin), width, height)
    lines = []
    for kind, name, curve, _, values in curves:
        label = ", ".join(word for word in (name if len(histories) > 1 else "", curve.part or metric) if word)
        best = best_position(values, direction(curve.column)) if curve.part != TRAINING else None
        at = None if best is None else (x(values.index[best]), y(values.iloc[best]))
        said = "" if best is None else f"{values.iloc[best]:.4g}"
        drawn = thinned(values, MOST_POINTS)
        points = _points(x, y, zip(drawn.index, drawn, strict=True))
        lines.append(Line(label, points, kind, curve.part == TRAINING, at, said))
    axes = " or ".join(dict.fromkeys(axis for *_, axis, _ in curves)).capitalize()
    title = _title(metric)
    alt = f"{title} by {axes.lower()}: {', '.join(line.text for line in lines)}"
    return Plot(title, alt, axes, title, _whole(x.ticks()), y.ticks(5), width, height, lines)


def _title(metric: str) -> str:
    if metric in Metrics.kinds:
        return Metrics.kinds[metric].heading
    words = metric.replace("_", " ")
    return words[:1].upper() + words[1:]


def _whole(ticks: list[Tick]) -> list[Tick]:
    """Return the marks between which there are epochs: none lies between two of them."""
    return [tick for tick in ticks if "." not in tick.text] or ticks


def reliability_plot(calibration: Calibration, width: int = 480, height: int = 320) -> Plot:
    """Return how often pixels are right against how sure the model is, over how many pixels are that sure."""
    pixels, confidence, right = np.array([calibration.pixels, calibration.confidence, calibration.right], float)
    filled, shares = pixels > 0, pixels / max(pixels.sum(), 1)
    x, y = _scales((0, 1), (0, 1), width, height)
    edges = np.linspace(0, 1, len(pixels) + 1)
    bars = [
        Bar(x(left), y(share), round(x(end) - x(left), 1), round(y(0) - y(share), 1), f"{100 * share:.1f} %")
        for left, end, share in zip(edges[:-1], edges[1:], shares, strict=True)
    ]
    means = zip(confidence[filled] / pixels[filled], right[filled] / pixels[filled], strict=True)
    lines = [
        Line("perfectly calibrated", _points(x, y, [(0, 0), (1, 1)]), "quiet", dashed=True),
        Line("accuracy", _points(x, y, means)),
    ]
    return Plot(
        "",
        "Accuracy by confidence, with the share of the pixels in each bin",
        "Confidence: probability of the class predicted",
        "Accuracy, share of the pixels",
        x.ticks(),
        y.ticks(),
        width,
        height,
        lines,
        bars,
    )


def scatter_plot(
    across: np.ndarray, up: np.ndarray, x_title: str, y_title: str, width: int = 420, height: int = 400
) -> Plot:
    """Return a point a patch, with the line where both scores are equal.

    Args:
        across: Scores, 0–1.
        up: Likewise, as many.
        x_title: What the first are.
        y_title: What the others are.
        width: In pixels.
        height: In pixels.
    """
    x, y = _scales((0, 1), (0, 1), width, height)
    chosen = np.unique(np.linspace(0, len(across) - 1, min(len(across), MOST_DOTS)).astype(int))
    dots = [(x(float(across[place])), y(float(up[place]))) for place in chosen]
    equal = Line("both the same", _points(x, y, [(0, 0), (1, 1)]), "quiet", dashed=True)
    alt = f"{y_title} against {x_title}, a point for each patch"
    return Plot("", alt, x_title, y_title, x.ticks(), y.ticks(), width, height, [equal], dots=dots)


@dataclass(frozen=True)
class Cell:
    """A cell of a confusion matrix.

    Args:
        share: Of the true class's pixels, 0–1.
        pixels: How many.
        text: What it says: per cent.
    """

    share: float
    pixels: int
    text: str


def confusion_cells(matrix: np.ndarray) -> list[list[Cell | None]]:
    """Return the cells of a (classes, classes) confusion matrix, rows true; None in rows without pixels."""
    rows = []
    for row, total in zip(matrix.tolist(), matrix.sum(1).tolist(), strict=True):
        rows.append([Cell(count / total, count, f"{100 * count / total:.0f}") if total else None for count in row])
    return rows


@dataclass(frozen=True)
class Confusion:
    """Pixels of one class that are predicted as another."""

    true: str
    predicted: str
    pixels: int
    share: float


def largest_confusions(matrix: np.ndarray, names: Sequence[str], most: int) -> list[Confusion]:
    """Return the cells off the diagonal with most pixels, and their share of the true class.

    Args:
        matrix: (classes, classes) pixels, rows true.
        names: The classes.
        most: Cells.
    """
    wrong = matrix - np.diag(np.diagonal(matrix))
    found = []
    for place in np.argsort(-wrong, axis=None, kind="stable")[:most]:
        row, column = np.unravel_index(place, wrong.shape)
        if wrong[row, column]:
            share = float(wrong[row, column] / matrix[row].sum())
            found.append(Confusion(names[row], names[column], int(wrong[row, column]), share))
    return found
