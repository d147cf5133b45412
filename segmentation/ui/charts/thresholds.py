"""What a class scores at each confidence threshold."""

from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go

from segmentation.thresholds import EDGES, ThresholdCurve
from segmentation.ui.charts.style import POINTS, QUIET

F1 = "#b45309"


class Mark(NamedTuple):
    """A point on a curve.

    Args:
        name: What it is.
        threshold: Where it lies.
        symbol: Plotly's; each mark has one of its own, since colours are not told apart by everybody.
        color: Its colour.
    """

    name: str
    threshold: float
    symbol: str
    color: str


def marks(curve: ThresholdCurve, chosen: float) -> list[Mark]:
    """Return the thresholds that are marked on a class's curves: the best one, and the one that is chosen."""
    best = [] if curve.best is None else [Mark("best IoU and F1", curve.best, "star", F1)]
    return [*best, Mark("chosen", chosen, "circle-open", QUIET)]


def precision_recall_figure(curve: ThresholdCurve, points: list[Mark], current: tuple[float, float]) -> go.Figure:
    """Draw precision over recall, a point for each threshold.

    Args:
        curve: The class's.
        points: Thresholds to mark.
        current: Recall and precision without a threshold, where pixels are of their most probable class.
    """
    figure = go.Figure()
    figure.add_scatter(
        x=curve.recall,
        y=curve.precision,
        mode="lines",
        line={"color": POINTS, "width": 2},
        customdata=EDGES,
        hovertemplate="from %{customdata:.3f}<br>recall %{x:.3f}<br>precision %{y:.3f}<extra></extra>",
        showlegend=False,
    )
    for mark in points:
        at = curve.place(mark.threshold)
        _draw(figure, mark, float(curve.recall[at]), float(curve.precision[at]), "recall", "precision")
    figure.add_scatter(
        x=[current[0]],
        y=[current[1]],
        mode="markers",
        name="most probable class",
        marker={"symbol": "x", "size": 11, "color": QUIET},
        hovertemplate="most probable class<br>recall %{x:.3f}<br>precision %{y:.3f}<extra></extra>",
    )
    _lay_out(figure, "Recall: how much of the class is found", "Precision: how much of it is right")
    return figure


def threshold_figure(curve: ThresholdCurve, points: list[Mark], current: float) -> go.Figure:
    """Draw IoU and F1 over the threshold.

    Args:
        curve: The class's.
        points: Thresholds to mark, on the curve of IoU.
        current: IoU without a threshold: a dotted line.
    """
    figure = go.Figure()
    for label, values, color, dash in (("IoU", curve.iou, POINTS, "solid"), ("F1", curve.f1, F1, "dash")):
        figure.add_scatter(
            x=EDGES,
            y=values,
            mode="lines",
            name=label,
            line={"color": color, "width": 2, "dash": dash},
            hovertemplate=f"from %{{x:.3f}}<br>{label} %{{y:.3f}}<extra></extra>",
        )
    if np.isfinite(current):
        figure.add_scatter(
            x=[0, 1],
            y=[current, current],
            mode="lines",
            name="IoU, most probable class",
            line={"color": QUIET, "dash": "dot"},
            hovertemplate="IoU of the most probable class %{y:.3f}<extra></extra>",
        )
    for mark in points:
        _draw(figure, mark, mark.threshold, float(curve.iou[curve.place(mark.threshold)]), "from", "IoU", legend=False)
    _lay_out(figure, "Confidence threshold", "IoU and F1 of the class")
    return figure


def _draw(figure: go.Figure, mark: Mark, x: float, y: float, across: str, up: str, legend: bool = True) -> None:
    line = {"width": 0 if mark.symbol == "star" else 3, "color": mark.color}
    figure.add_scatter(
        x=[x],
        y=[y],
        mode="markers",
        name=f"{mark.name}, from {mark.threshold:.2f}",
        marker={"symbol": mark.symbol, "size": 14 if mark.symbol == "star" else 20, "color": mark.color, "line": line},
        hovertemplate=f"{mark.name}<br>{across} %{{x:.3f}}<br>{up} %{{y:.3f}}<extra></extra>",
        showlegend=legend,
    )


def _lay_out(figure: go.Figure, across: str, up: str) -> None:
    figure.update_layout(
        xaxis={"title": across, "range": [-0.02, 1.02]},
        yaxis={"title": up, "range": [-0.02, 1.02]},
        height=420,
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        legend={"orientation": "h", "yanchor": "top", "y": -0.2, "xanchor": "left", "x": 0},
    )
