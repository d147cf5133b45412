"""How classes share an area, by set, tile and brightness."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from segmentation.data.palette import Palette
from segmentation.intervals import Interval
from segmentation.ui.charts.style import QUIET, literal

GAP = 2 * "\N{NO-BREAK SPACE}"
"""Before a value that stands behind a whisker: other spaces are cut off."""


def class_bars(
    values: Sequence[float] | np.ndarray,
    palette: Palette,
    axis: str,
    share: bool,
    intervals: Sequence[Interval] | None = None,
) -> go.Figure:
    """Draw one horizontal bar a class, in its colour, with its value.

    Args:
        values: One a class, 0–1; NaN is drawn as a dash.
        palette: The classes.
        axis: What the values are.
        share: Print per cent with one decimal, else a score with three.
        intervals: One a class, drawn over its bar.
    """
    texts = ["–" if np.isnan(v) else f"{100 * v:.1f} %" if share else f"{v:.3f}" for v in values]
    shown = [0 if np.isnan(v) else 100 * v if share else v for v in values]
    figure = go.Figure(
        go.Bar(
            x=shown,
            y=[literal(name) for name in palette.names],
            orientation="h",
            text=texts,
            textposition="outside",
            cliponaxis=False,
            marker={"color": [palette.hex(i) for i in range(len(palette))], "line": {"color": QUIET, "width": 1}},
            hovertemplate="%{y}: %{text}<extra></extra>",
        )
    )
    if intervals:
        _add_intervals(figure, intervals)
    figure.update_layout(
        xaxis={"title": literal(axis), "range": [0, 115 if share else 1.15], "showgrid": True},
        yaxis={"autorange": "reversed"},
        height=60 + 34 * len(palette),
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        showlegend=False,
    )
    return figure


def _add_intervals(figure: go.Figure, intervals: Sequence[Interval]) -> None:
    """Draw a whisker over each bar that has an interval, and write the values behind the whiskers."""
    (bars,) = figure.data
    values, ends = np.array(bars.x, float), np.array(intervals, float)
    known = np.isfinite(ends).all(1, keepdims=True)
    low, high = np.where(known, ends, values[:, None]).T
    figure.add_scatter(
        x=high,
        y=bars.y,
        text=[f"{GAP}{text}" for text in bars.text],
        mode="text",
        textposition="middle right",
        cliponaxis=False,
        hoverinfo="skip",
    )
    bars.update(
        error_x={"array": high - values, "arrayminus": values - low, "color": QUIET, "thickness": 1.5},
        textposition="none",
        customdata=[f", 95 % interval {a:.3f} – {b:.3f}" if b > a else "" for a, b in zip(low, high, strict=True)],
        hovertemplate="%{y}: %{text}%{customdata}<extra></extra>",
    )


def tile_shares(
    scenes: pd.DataFrame, palette: Palette, axis: str = "Share of the tile's labelled pixels, %"
) -> go.Figure:
    """Draw each tile's class shares as one stacked bar.

    Args:
        scenes: `Health.scenes`: one row per scene with its tile and its pixels by class; or patches, likewise.
        palette: The classes.
        axis: What the shares are of.
    """
    by_tile = scenes.groupby("tile", sort=False)[list(palette.names)].sum()
    shares = 100 * by_tile.div(by_tile.sum(axis=1), axis=0)
    figure = go.Figure()
    for index, name in enumerate(palette.names):
        figure.add_bar(
            x=shares[name],
            y=[literal(tile) for tile in shares.index],
            name=literal(name),
            orientation="h",
            marker={"color": palette.hex(index), "line": {"color": QUIET, "width": 0.5}},
            hovertemplate=f"%{{y}}: {literal(name)} %{{x:.1f}} %<extra></extra>",
        )
    figure.update_layout(
        barmode="stack",
        xaxis={"title": axis, "range": [0, 100]},
        yaxis={"autorange": "reversed", "type": "category"},
        height=90 + 34 * len(shares),
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        showlegend=False,  # the page's legend says it
    )
    return figure


def light_figure(light: pd.DataFrame, palette: Palette) -> go.Figure:
    """Draw each class's brightness as a point, and its contrast as a bar to both sides.

    Args:
        light: `Health.light`.
        palette: The classes.
    """
    figure = go.Figure(
        go.Scatter(
            x=light["brightness"],
            y=light["class"].map(literal),
            mode="markers",
            marker={
                "color": [palette.hex(index) for index in range(len(palette))],
                "size": 13,
                "line": {"color": QUIET, "width": 1},
            },
            error_x={"array": light["contrast"], "color": QUIET, "thickness": 1.5},
            customdata=light[["contrast", "pixels"]],
            hovertemplate="%{y}<br>brightness %{x:.2f} ± %{customdata[0]:.2f}<br>"
            "%{customdata[1]:,} pixels<extra></extra>",
        )
    )
    figure.update_layout(
        xaxis={"title": "Grey value, 0 black to 1 white: mean ± deviation of the class's pixels", "range": [0, 1]},
        yaxis={"autorange": "reversed", "type": "category"},
        height=70 + 34 * len(palette),
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
    )
    return figure
