"""Patches by what a network's encoder makes of them, as points in a plane."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from segmentation.ui.charts.style import QUIET, RUN_COLORS, WARM, literal

MOST_POINTS = 20_000
"""Points that are drawn: a browser is slow with more."""

MOST_IN_SVG = 5_000
"""Points of one trace that are drawn without WebGL, which not every browser has."""

SYMBOLS = ("circle", "square", "diamond", "cross", "triangle-up", "x", "star", "triangle-down")
"""What tells groups apart beside their colour: with `RUN_COLORS`, 48 of them."""


def sample_points(strata: Sequence[str] | pd.Series, most: int = MOST_POINTS) -> np.ndarray:
    """Return the places of points to draw: all, or of each stratum the same share at random, always the same.

    Args:
        strata: (points,) which each is in, such as its part and tile.
        most: How many, at most but for one a stratum.

    Returns:
        (drawn,) int64, ascending.
    """
    codes = pd.factorize(np.asarray(strata))[0]
    if len(codes) <= most:
        return np.arange(len(codes))
    order = np.random.default_rng(0).permutation(len(codes))
    rank = pd.Series(codes[order]).groupby(codes[order]).cumcount().to_numpy()
    allowed = np.maximum(1, np.bincount(codes) * most // len(codes))
    return np.sort(order[rank < allowed[codes[order]]])


def patch_map(
    points: pd.DataFrame,
    shares: np.ndarray,
    groups: Sequence[str] | None = None,
    colors: Sequence[str] | None = None,
    marked: Sequence[str] = (),
) -> go.Figure:
    """Draw patches as points.

    Args:
        points: With ``x``, ``y``, ``patch``, ``part`` and ``mean_iou``, and ``group`` where groups are given.
        shares: (2,) of the variance along x and y, 0–1.
        groups: What tells points apart, in the legend's order; without any it is their IoU.
        colors: One a group; by default `RUN_COLORS`.
        marked: Names of patches to draw a ring around.
    """
    figure = go.Figure()
    if groups is None:
        _add(figure, points, "", color=points["mean_iou"], colorscale="Cividis", cmin=0, cmax=1, showscale=True)
        figure.data[0].marker.colorbar = {"title": "Mean IoU", "thickness": 12}
    by_group = [points[points["group"] == group] for group in groups or ()]
    for place in sorted(range(len(by_group)), key=lambda place: -len(by_group[place])):  # small ones lie above
        of_group, group = by_group[place], (groups or ())[place]
        color = colors[place] if colors else RUN_COLORS[place % len(RUN_COLORS)]
        symbol = SYMBOLS[(place + place // len(RUN_COLORS)) % len(SYMBOLS)]
        _add(figure, of_group, literal(group), color=color, symbol=symbol)
        figure.data[-1].legendrank = place
    here = points[points["patch"].isin(marked)]
    figure.add_scatter(
        x=here["x"],
        y=here["y"],
        mode="markers",
        marker={"symbol": "circle-open", "size": 15, "color": WARM, "line": {"width": 3}},
        hoverinfo="skip",
        showlegend=False,
    )
    titles = [f"Component {number}: {100 * share:.0f} % of the variance" for number, share in enumerate(shares, 1)]
    figure.update_layout(
        xaxis={"title": titles[0], "zeroline": False},
        yaxis={"title": titles[1], "zeroline": False},
        height=520,
        dragmode="lasso",
        margin={"l": 10, "r": 10, "t": 40, "b": 10},  # above: the colour bar's title, or the legend
        showlegend=groups is not None,
        legend={
            "orientation": "h",
            "yanchor": "bottom",
            "y": 1.02,
            "xanchor": "left",
            "x": 0,
            "itemsizing": "constant",
        },
    )
    return figure


def _add(figure: go.Figure, points: pd.DataFrame, name: str, **marker: object) -> None:
    """Add points that are selected by their patches' names."""
    draw = figure.add_scatter if len(points) <= MOST_IN_SVG else figure.add_scattergl
    draw(
        x=points["x"],
        y=points["y"],
        name=name,
        mode="markers",
        marker={"size": 6, "opacity": 0.8, "line": {"width": 0.3, "color": QUIET}, **marker},
        customdata=points["patch"],
        text=[
            f"{literal(patch)}<br>{part} · mean IoU {'–' if iou != iou else format(iou, '.3f')}"
            for patch, part, iou in zip(points["patch"], points["part"], points["mean_iou"], strict=True)
        ],
        hovertemplate="%{text}<extra></extra>",
    )
