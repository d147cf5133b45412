"""A network as a U."""

from itertools import pairwise

import plotly.graph_objects as go

from segmentation.runs.records import Network
from segmentation.ui.charts.curves import LETTER, STAR
from segmentation.ui.charts.style import ACCENT, QUIET, literal


def network_figure(network: Network) -> go.Figure:
    """Draw a network as a U: a box a block with its output shape, the way down, the way up, and the skips.

    Args:
        network: Its blocks and skips.
    """
    blocks = network.blocks
    sides = sorted({block.shape[0] for block in blocks}, reverse=True)
    order = range(len(blocks))
    bottom = min(order, key=lambda number: blocks[number].shape[0])
    places = [(index, -sides.index(block.shape[0])) for index, block in enumerate(blocks)]
    figure = go.Figure()
    for place, following in pairwise(places):
        _arrow(figure, place, following, QUIET, "solid")
    for start, end in network.skips:
        _arrow(figure, places[start], places[end], ACCENT, "dot")
    texts = [f"{h}² × {c}" if h == w else f"{w} × {h} × {c}" for h, w, c in (block.shape for block in blocks)]
    layers = [
        "<br>".join(
            f"{count} × {literal(kind)}" if count > 1 else literal(kind) for kind, count in block.layers.items()
        )
        for block in blocks
    ]
    figure.add_scatter(
        x=[x for x, _ in places],
        y=[y for _, y in places],
        mode="markers+text",
        marker={"symbol": "square", "size": 16, "color": ACCENT},
        text=texts,
        textposition=[
            "middle left" if i < bottom else "middle right" if i > bottom else "bottom center" for i in order
        ],
        cliponaxis=False,
        customdata=layers,
        hovertemplate="%{text}<br>%{customdata}<extra></extra>",
    )
    # Room for the texts in pixels, which do not shrink with the screen as the U does.
    beside = LETTER * max(len(text) for text in texts) + STAR
    figure.update_layout(
        xaxis={"visible": False, "range": [-0.3, len(blocks) - 0.7]},
        yaxis={"visible": False, "range": [-len(sides) + 0.4, 0.4]},
        height=60 * len(sides),
        margin={"l": beside, "r": beside, "t": 0, "b": 0},
        showlegend=False,
    )
    return figure


def _arrow(figure: go.Figure, start: tuple[int, int], end: tuple[int, int], color: str, dash: str) -> None:
    figure.add_scatter(
        x=[start[0], end[0]], y=[start[1], end[1]], mode="lines", line={"color": color, "dash": dash}, hoverinfo="skip"
    )
