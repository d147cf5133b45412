"""What makes up the error: shares of its kinds, and a picture of them."""

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from segmentation.evaluation.error_kinds import KINDS, SIDES
from segmentation.ui.charts.style import QUIET, literal

KIND_COLORS = ("#2dbfa9", "#075985", "#b45309")
"""One a kind: apart in lightness as well, for colour-blind eyes, and none a class colour of the Dubai palette."""

HATCH = 3
"""Width of the stripes of what is invented, in pixels."""

_RGB = np.array([[0, 0, 0], *(list(bytes.fromhex(color[1:])) for color in KIND_COLORS)], np.uint8)


def kinds_figure(counts: np.ndarray, names: list[str]) -> go.Figure:
    """Draw the shares of the kinds, stacked, in what is missed and in what is invented.

    Args:
        counts: (2, rows, 3) pixels: missed and invented, by row and kind.
        names: Of the rows.
    """
    figure = make_subplots(1, 2, shared_yaxes=True, horizontal_spacing=0.08, subplot_titles=("Missed", "Invented"))
    labels = [literal(name) for name in names]
    for column, (side, of_side) in enumerate(zip(SIDES, np.asarray(counts), strict=True), 1):
        totals = of_side.sum(1)
        shares = np.divide(
            100 * of_side, totals[:, None], out=np.full(of_side.shape, np.nan), where=totals[:, None] > 0
        )
        for place, (kind, color) in enumerate(zip(KINDS, KIND_COLORS, strict=True)):
            figure.add_bar(
                x=shares[:, place],
                y=labels,
                orientation="h",
                name=kind.capitalize(),
                legendgroup=kind,
                showlegend=column == 1,
                marker={"color": color},
                customdata=of_side[:, place],
                texttemplate="%{x:.0f}",
                textposition="inside",
                insidetextanchor="middle",
                textfont={"color": "#000000" if place == 0 else "#ffffff"},
                hovertemplate=f"%{{y}}, {side}, {kind}: %{{x:.1f}} %<br>%{{customdata:,}} pixels<extra></extra>",
                row=1,
                col=column,
            )
    figure.update_xaxes(range=[0, 100], title="% of these pixels", tickvals=[0, 50, 100], showgrid=False)
    figure.update_yaxes(autorange="reversed", automargin=True)
    figure.update_yaxes(title="Class", row=1, col=1)
    figure.update_annotations(font={"color": QUIET, "size": 14})
    figure.update_layout(
        barmode="stack",
        bargap=0.25,
        height=150 + 32 * len(names),
        margin={"l": 10, "r": 10, "t": 60, "b": 10},
        legend={"orientation": "h", "y": 1.12, "yanchor": "bottom", "x": 0, "traceorder": "normal"},
        uniformtext={"minsize": 9, "mode": "hide"},
    )
    return figure


def kinds_map(image: np.ndarray, missed: np.ndarray, invented: np.ndarray | None = None) -> np.ndarray:
    """Show wrong pixels in the colour of their kind, over a faded grey image; what is invented is hatched.

    Args:
        image: (height, width, 3) uint8.
        missed: (height, width) uint8 numbers of kinds, 0 for none.
        invented: Likewise, shown where nothing is missed.

    Returns:
        (height, width, 3) uint8.
    """
    grey = (image.mean(-1, keepdims=True) * 0.25 + 190).astype(np.uint8)
    drawn = np.where((missed > 0)[..., None], _RGB[missed], grey)
    if invented is not None:
        diagonals = np.add.outer(*(np.arange(length) for length in invented.shape))
        striped = (invented > 0) & (missed == 0) & (diagonals // HATCH % 2 == 0)
        drawn[striped] = _RGB[invented[striped]]
    return drawn
