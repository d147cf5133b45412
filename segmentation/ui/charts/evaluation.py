"""Confusions, causes, calibration, and what a split leaks."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from segmentation.data.palette import Palette
from segmentation.runs.records import Calibration
from segmentation.ui.charts.style import ACCENT, POINTS, QUIET, WARM, literal


def confusion_figure(matrix: np.ndarray, palette: Palette) -> go.Figure:
    """Draw a confusion matrix, rows true and columns predicted, each row in per cent of its class.

    Args:
        matrix: (classes, classes) pixels.
        palette: The classes.
    """
    matrix, names = np.asarray(matrix), [literal(name) for name in palette.names]
    totals = matrix.sum(1, keepdims=True)
    shares = np.divide(100 * matrix, totals, out=np.full(matrix.shape, np.nan), where=totals > 0)
    figure = go.Figure(
        go.Heatmap(
            z=shares,
            x=names,
            y=names,
            colorscale=[[0, "rgba(15,118,110,0)"], [1, ACCENT]],
            zmin=0,
            zmax=100,
            colorbar={"title": "% of<br>the row", "thickness": 12},
            hoverinfo="skip",
        )
    )
    # A heat map's own text has one colour, for a light page only; a trace's text fades when a cell is selected.
    annotations = [
        {
            "x": x,
            "y": y,
            "text": f"{share:.0f}",
            "font": {"color": "#ffffff" if share > 50 else QUIET},
            "showarrow": False,
        }
        for y, row in zip(names, shares, strict=True)
        for x, share in zip(names, row, strict=True)
        if not np.isnan(share)
    ]
    # A heat map's cells cannot be clicked in Streamlit, points can: one that nobody sees lies over each cell. It says
    # what the pointer is on, too: what Plotly skips when the pointer passes, it does not select either.
    figure.add_scatter(
        x=[name for _ in names for name in names],
        y=[name for name in names for _ in names],
        mode="markers",
        marker={"symbol": "square", "size": 40, "opacity": 0},
        customdata=[
            ["–" if np.isnan(share) else f"{share:.1f} %", count]
            for share, count in zip(shares.ravel(), matrix.ravel().tolist(), strict=True)
        ],
        hovertemplate="%{y} predicted as %{x}: %{customdata[0]}<br>%{customdata[1]:,} pixels<extra></extra>",
        selected={"marker": {"opacity": 0}},
        unselected={"marker": {"opacity": 0}},
        showlegend=False,
    )
    figure.update_layout(
        xaxis={"title": "Predicted", "side": "bottom"},
        yaxis={"title": "True", "autorange": "reversed"},
        annotations=annotations,
        height=110 + 44 * len(palette),
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
    )
    return figure


def scatter_figure(
    x: pd.Series, y: pd.Series, names: pd.Series, x_title: str, y_title: str, diagonal: bool = False
) -> go.Figure:
    """Draw a point a patch.

    Args:
        x: Across.
        y: A score, 0–1, upwards.
        names: What each point is called.
        x_title: Of the axis.
        y_title: Of the axis.
        diagonal: Draw the line where both are equal.
    """
    figure = go.Figure()
    x_title, y_title = literal(x_title), literal(y_title)
    if diagonal:
        line = {"color": QUIET, "dash": "dot"}
        figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line=line, hoverinfo="skip", showlegend=False)
    figure.add_scatter(
        x=x,
        y=y,
        mode="markers",
        marker={"color": POINTS, "opacity": 0.7, "size": 7},
        customdata=names.map(literal).to_numpy()[:, None],
        hovertemplate=f"%{{customdata[0]}}<br>{x_title} %{{x:.3g}}<br>{y_title} %{{y:.3f}}<extra></extra>",
        showlegend=False,
    )
    figure.update_layout(
        xaxis={"title": x_title},
        yaxis={"title": y_title, "range": [-0.03, 1.03]},
        height=380,
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
    )
    return figure


def reliability_figure(calibration: Calibration) -> go.Figure:
    """Draw how often pixels are right against how sure the model is of them, and how many pixels are that sure.

    Args:
        calibration: Pixels by bins of confidence.
    """
    pixels, confidence, right = np.array([calibration.pixels, calibration.confidence, calibration.right], float)
    filled = pixels > 0
    edges = np.linspace(0, 1, len(pixels) + 1)
    figure = go.Figure()
    figure.add_bar(
        x=(edges[:-1] + edges[1:]) / 2,
        y=pixels / max(pixels.sum(), 1),
        width=np.diff(edges),
        name="share of the pixels",
        marker={"color": QUIET, "opacity": 0.35},
        customdata=np.stack([edges[:-1], edges[1:], pixels], axis=-1),
        hovertemplate="confidence %{customdata[0]:.2f}–%{customdata[1]:.2f}<br>%{customdata[2]:,} pixels, "
        "%{y:.1%}<extra></extra>",
    )
    figure.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        name="perfectly calibrated",
        line={"color": QUIET, "dash": "dot"},
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=confidence[filled] / pixels[filled],
        y=right[filled] / pixels[filled],
        mode="lines+markers",
        name="accuracy",
        line={"color": ACCENT, "width": 2},
        hovertemplate="mean confidence %{x:.3f}<br>accuracy %{y:.3f}<extra></extra>",
    )
    figure.update_layout(
        xaxis={"title": "Confidence: probability of the class predicted", "range": [0, 1]},
        yaxis={"title": "Accuracy, share of the pixels", "range": [0, 1.02]},
        height=340,
        margin={"l": 10, "r": 10, "t": 30, "b": 10},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "xanchor": "right", "x": 1},
    )
    return figure


def calibration_gaps_figure(table: pd.DataFrame, name: str) -> go.Figure:
    """Draw the mean confidence and the accuracy of each class or place, and the gap between them.

    Args:
        table: One row each, with columns `name`, ``Confidence``, ``Accuracy``, ``Pixels`` and ``ECE``.
        name: The column of names.
    """
    names = table[name].map(literal)
    figure = go.Figure()
    gaps = [
        [confidence, accuracy, None]
        for confidence, accuracy in zip(table["Confidence"], table["Accuracy"], strict=True)
    ]
    figure.add_scatter(
        x=[end for gap in gaps for end in gap],
        y=[of for of in names for _ in range(3)],
        mode="lines",
        line={"color": QUIET, "width": 3},
        hoverinfo="skip",
        showlegend=False,
    )
    details = table[["Pixels", "ECE"]].to_numpy()
    for column, symbol, color in (("Confidence", "circle-open", WARM), ("Accuracy", "diamond", POINTS)):
        figure.add_scatter(
            x=table[column],
            y=names,
            mode="markers",
            name="mean confidence" if column == "Confidence" else "accuracy",
            marker={"symbol": symbol, "size": 10, "color": color, "line": {"width": 2, "color": color}},
            customdata=details,
            hovertemplate=f"%{{y}}<br>{column.lower()} %{{x:.3f}}<br>%{{customdata[0]:,}} pixels, ECE "
            "%{customdata[1]:.3f}<extra></extra>",
        )
    figure.update_layout(
        xaxis={"title": "Share of the pixels"},
        yaxis={"autorange": "reversed", "type": "category", "automargin": True},
        height=min(140 + 26 * len(table), 1200),
        margin={"l": 10, "r": 10, "t": 30, "b": 10},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "xanchor": "right", "x": 1},
    )
    return figure


def leak_figure(
    trained_on: pd.Series, held_out: pd.DataFrame, labels: list[str], score: str, x_title: str, y_title: str
) -> go.Figure:
    """Draw a score of held-out patches with its interval by how near they are to what was trained on.

    Args:
        trained_on: The row of `Leak.bins` of what was trained on.
        held_out: Its other rows.
        labels: What each of these is called.
        score: The column of the score.
        x_title: Of the axis.
        y_title: Of the axis.
    """
    figure = go.Figure()
    first = pd.DataFrame([trained_on])
    for name, rows, names, color, symbol in (
        ("trained on", first, ["trained on"], QUIET, "diamond-open"),
        ("held out", held_out, [literal(label) for label in labels], POINTS, "circle"),
    ):
        figure.add_scatter(
            x=names,
            y=rows[score],
            error_y={
                "array": (rows[f"{score}_high"] - rows[score]).clip(lower=0),
                "arrayminus": (rows[score] - rows[f"{score}_low"]).clip(lower=0),
                "color": color,
            },
            mode="markers",
            marker={"color": color, "size": 11, "symbol": symbol, "line": {"width": 2}},
            name=name,
            customdata=rows[["patches", "scenes", f"{score}_low", f"{score}_high"]],
            hovertemplate="%{x}<br>%{y:.3f} (%{customdata[2]:.3f} – %{customdata[3]:.3f})<br>%{customdata[0]:,} "
            "patches of %{customdata[1]:,} scenes<extra></extra>",
        )
    figure.update_layout(
        xaxis={"title": literal(x_title), "type": "category"},
        yaxis={"title": literal(y_title)},
        height=340,
        margin={"l": 10, "r": 10, "t": 30, "b": 10},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "xanchor": "right", "x": 1},
    )
    return figure
