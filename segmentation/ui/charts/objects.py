"""How well objects are found, by their size."""

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from segmentation.ui.charts.style import POINTS, WARM


def size_figure(scores: pd.DataFrame, labels: Sequence[str]) -> go.Figure:
    """Draw recall and precision for each class of sizes, with the numbers of objects under it.

    Args:
        scores: As `score_by_size` returns it.
        labels: What each row's sizes are called.
    """
    figure = go.Figure()
    sides = (("Recall", "recall", "true", POINTS, ""), ("Precision", "precision", "predicted", WARM, "/"))
    for title, column, count, color, pattern in sides:
        figure.add_bar(
            x=list(labels),
            y=scores[column],
            name=title,
            marker={"color": color, "pattern": {"shape": pattern}},
            text=[f"{value:.2f}" if value == value else "" for value in scores[column]],
            textposition="outside",
            cliponaxis=False,
            customdata=scores[count],
            hovertemplate=f"{title} %{{y:.3f}}<br>of %{{customdata:,}} {count} objects<extra></extra>",
        )
    figure.update_layout(
        barmode="group",
        xaxis={"title": "Size of the object", "type": "category"},
        yaxis={"title": "Share of objects", "range": [0, 1.08]},
        height=340,
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "xanchor": "left", "x": 0},
    )
    return figure
