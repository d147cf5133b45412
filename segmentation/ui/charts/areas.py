"""Areas of a map with their uncertainty."""

import pandas as pd
import plotly.graph_objects as go

from segmentation.data.palette import Palette
from segmentation.ui.charts.style import QUIET, literal


def area_bars(table: pd.DataFrame, palette: Palette, unit: str) -> go.Figure:
    """Draw a bar per class with the estimated area and its 95 % interval, and a mark at the map's own area.

    Args:
        table: One row per class: ``class``, ``mapped``, ``estimated``, ``low`` and ``high``, all in the unit.
        palette: The classes and their colours.
        unit: Of the areas.
    """
    names = [literal(name) for name in table["class"]]
    colors = [palette.hex(palette.names.index(name)) for name in table["class"]]
    estimated = table["estimated"]
    figure = go.Figure(
        go.Bar(
            x=estimated,
            y=names,
            orientation="h",
            name="Estimated, with 95 % interval",
            marker={"color": colors, "line": {"color": QUIET, "width": 1}},
            error_x={
                "array": table["high"] - estimated,
                "arrayminus": estimated - table["low"],
                "color": QUIET,
                "thickness": 2,
                "width": 6,
            },
            customdata=table[["low", "high"]],
            hovertemplate="%{y}: %{x:,.2f}, 95 % interval %{customdata[0]:,.2f} – %{customdata[1]:,.2f} "
            f"{unit}<extra></extra>",
        )
    )
    figure.add_scatter(
        x=table["mapped"],
        y=names,
        mode="markers",
        name="On the map",
        marker={"symbol": "diamond-open", "size": 11, "color": QUIET, "line": {"width": 2}},
        hovertemplate=f"%{{y}} on the map: %{{x:,.2f}} {unit}<extra></extra>",
    )
    figure.update_layout(
        xaxis={"title": f"Area, {unit}", "rangemode": "tozero"},
        yaxis={"autorange": "reversed", "type": "category"},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        height=120 + 34 * len(table),
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
    )
    return figure
