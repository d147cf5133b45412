"""Training curves, and the gap between training and validation."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from segmentation.runs.logs.columns import LEARNING_RATE, TEST, TRAINING, UNSAID, VALIDATION, Curve, direction, key
from segmentation.runs.logs.curves import smooth, thinned, widens_from
from segmentation.runs.logs.history import History, best_position, gap
from segmentation.ui.charts.style import QUIET, RUN_COLORS, literal, title_of

DASHES = {TRAINING: "dot", VALIDATION: "solid", TEST: "dash", UNSAID: "solid"}

PLOT, LETTER, LINE, STAR = (340, 220), 7, 16, 12
"""In pixels: a curve's plot on a small screen, a letter's width, a text's height, and a star's size."""


def history_figure(
    histories: dict[str, History], metric: str, smoothing: float = 0.0, logarithmic: bool = False
) -> go.Figure:
    """Draw one metric of any number of runs: training dotted, validation solid, the best epoch of each marked.

    What is known is connected over epochs in which it is not, with a marker for each value.

    Args:
        histories: By the run's name.
        metric: As `History.metrics` names it, or `LEARNING_RATE`.
        smoothing: Weight of the moving average, 0–1; what it smooths stays visible behind it.
        logarithmic: Draw the metric on a logarithmic scale.
    """
    figure = go.Figure()
    stars: list[dict] = []
    if key(metric) == LEARNING_RATE:
        smoothing = 0.0
    of_metric = {name: curves for name, history in histories.items() if (curves := history.curves(metric))}
    for place, (name, history) in enumerate(histories.items()):
        color = RUN_COLORS[place % len(RUN_COLORS)]
        for number, curve in enumerate(curves := of_metric.get(name, ())):
            known = history.table.set_index(history.axis)[curve.column].dropna()
            if known.empty:
                continue
            part = _part_of(curve, curves)
            label = ", ".join(word for word in (literal(name) if len(histories) > 1 else "", literal(part)) if word)
            dash = DASHES[curve.part] if curve.part or not number else "dash"
            line = {"color": color, "dash": dash, "width": 1 if curve.stepwise else 2}
            _draw_curve(figure, known, history, label, line, smoothing)
            best = best_position(known, direction(curve.column))
            if best is not None and not curve.stepwise and curve.part != TEST:
                at, value, full = known.index[best], float(known.iloc[best]), curve.part != TRAINING
                stars.append({"x": at, "y": value, "full": full, "color": color, "label": label, "axis": history.axis})
    entries = len(figure.data)
    _mark_best(figure, stars, direction(metric) > 0, logarithmic)
    figure.update_layout(
        title={"text": literal(title_of(metric)), "font": {"size": 15}},
        xaxis=_counting_axis([histories[name] for name in of_metric]),
        yaxis={
            "title": literal(title_of(metric)),
            "type": "log" if logarithmic else "linear",
            "rangemode": "tozero" if key(metric) == LEARNING_RATE else "normal",
        },
        height=_height(entries),
        margin={"l": 10, "r": 10, "t": 40, "b": 10},
        legend={"orientation": "h", "yanchor": "top", "y": -0.22, "xanchor": "left", "x": 0},
        uirevision=f"{metric} {logarithmic}",  # a live update keeps the zoom
    )
    return figure


def _draw_curve(
    figure: go.Figure, known: pd.Series, history: History, label: str, line: dict, smoothing: float
) -> None:
    """Draw one curve; behind what is smoothed, the values themselves."""
    values = thinned(known)
    if smoothing:
        thin = {**line, "width": 1}
        figure.add_scatter(
            x=values.index, y=values, mode="lines", line=thin, opacity=0.35, showlegend=False, hoverinfo="skip"
        )
    figure.add_scatter(
        x=values.index,
        y=smooth(known, smoothing)[values.index],
        customdata=values,
        name=label,
        mode="lines" if 1 < len(known) == len(history.table) else "lines+markers",
        line=line,
        marker={"size": 5},
        hovertemplate=f"{label}<br>{history.axis} %{{x}}: %{{customdata:.4g}}<extra></extra>",
    )


def _part_of(curve: Curve, curves: Sequence[Curve]) -> str:
    """Return what tells a curve from the others of its chart: its part, and its column where that is not enough."""
    part = f"{curve.part}, last step" if curve.stepwise else curve.part
    alike = [other for other in curves if (other.part, other.stepwise) == (curve.part, curve.stepwise)]
    if len(alike) == 1:
        return part
    return f"{part} ({curve.column})" if part else curve.column


def _height(entries: int) -> int:
    """Return a curve's height in pixels: below the plot its legend, whose entries may need a row each."""
    return 340 + 19 * max(0, entries - 2)


def _counting_axis(histories: Sequence[History]) -> dict:
    """Return an axis of epochs or steps: the logs' own numbers, and no tick between two of them."""
    counted = [(history.axis, history.table[history.axis]) for history in histories if len(history.table)]
    first = min((int(numbers.min()) for _, numbers in counted), default=0)
    last = max((int(numbers.max()) for _, numbers in counted), default=0)
    margin = max(0.5, 0.02 * (last - first))
    axis = {
        "title": " or ".join(dict.fromkeys(axis for axis, _ in counted)).capitalize(),
        "range": [first - margin, last + margin],
    }
    return {**axis, "tick0": first, "dtick": 1} if last - first <= 10 else axis


def _mark_best(figure: go.Figure, stars: list[dict], high: bool, logarithmic: bool) -> None:
    """Mark curves' best epochs: a full star with its value for validation, an open one for training.

    A value has its place beside the star where it covers no other; where there is none, pointing at the star tells it.
    """
    for star, place in zip(stars, _label_places(figure, stars, high, logarithmic), strict=True):
        figure.add_scatter(
            x=[star["x"]],
            y=[star["y"]],
            mode="markers+text" if place else "markers",
            text=[f"{star['y']:.4g}"],
            textposition=place,
            marker={"color": star["color"], "size": 11, "symbol": "star" if star["full"] else "star-open"},
            name=f"best of {star['label']}",
            cliponaxis=False,
            showlegend=False,
            hovertemplate=f"best of {star['label']}<br>{star['axis']} %{{x}}: %{{y:.4f}}<extra></extra>",
        )


def _label_places(figure: go.Figure, stars: list[dict], high: bool, logarithmic: bool) -> list[str | None]:
    """Choose for each full star where its value stands, so that no two texts or stars cover each other.

    Args:
        figure: With all its curves.
        stars: Their ``x``, ``y`` and whether they are ``full``.
        high: Whether more is better: then there is more room below a best value.
        logarithmic: Whether the scale is.
    """
    scale = (lambda y: np.log10(np.maximum(y, 1e-12))) if logarithmic else np.asarray
    xs = np.concatenate([np.asarray(trace.x, float) for trace in figure.data] or [np.zeros(1)])
    ys = scale(np.concatenate([np.asarray(trace.y, float) for trace in figure.data] or [np.zeros(1)]))
    left, right, low, top = xs.min(), xs.max(), ys.min(), ys.max()

    def pixels(star: dict) -> tuple[float, float]:
        across = (star["x"] - left) / (right - left) if right > left else 0.5
        up = (float(scale(star["y"])) - low) / (top - low) if top > low else 0.5
        return across * PLOT[0], up * PLOT[1]

    taken = [(x - STAR / 2, y - STAR / 2, x + STAR / 2, y + STAR / 2) for x, y in map(pixels, stars)]
    places: list[str | None] = []
    for number, star in enumerate(stars):
        x, y = pixels(star)
        width = LETTER * len(f"{star['y']:.4g}")
        lefts = {"left": x - width - STAR / 2, "center": x - width / 2, "right": x + STAR / 2}
        inward = "left" if x > 0.8 * PLOT[0] else "right" if x < 0.2 * PLOT[0] else "center"
        heights = {"top": y + STAR / 2, "bottom": y - LINE - STAR / 2}
        others = taken[:number] + taken[number + 1 :]
        boxes = {
            f"{upright} {side}": (lefts[side], heights[upright], lefts[side] + width, heights[upright] + LINE)
            for upright in (("bottom", "top") if high else ("top", "bottom"))
            for side in sorted(lefts, key=lambda side: side != inward)
        }
        free = (place for place, box in boxes.items() if not any(_overlap(box, other) for other in others))
        place = next(free, None) if star["full"] else None
        places.append(place)
        taken += [boxes[place]] if place else []
    return places


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Tell whether two boxes (left, bottom, right, top) cover each other somewhere."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def gap_figure(histories: dict[str, History], metric: str) -> go.Figure:
    """Draw by how much a metric is better in training than in validation, and the epoch from which that widens.

    Args:
        histories: By the run's name.
        metric: As `History.metrics` names it.
    """
    figure = go.Figure()
    known = {name: gaps for name, history in histories.items() if (gaps := gap(history, metric)) is not None}
    axis = _counting_axis([histories[name] for name in known])
    for place, (name, history) in enumerate(histories.items()):
        color = RUN_COLORS[place % len(RUN_COLORS)]
        gaps = known.get(name)
        if gaps is None:
            continue
        gaps = gaps.set_axis(history.table[history.axis]).dropna()
        if gaps.empty:
            continue
        shown = thinned(gaps)
        figure.add_scatter(
            x=shown.index,
            y=shown,
            mode="lines" if 1 < len(gaps) == len(history.table) else "lines+markers",
            name=literal(name),
            line={"color": color, "width": 2},
            marker={"size": 5},
            hovertemplate=f"{literal(name)}<br>{history.axis} %{{x}}: %{{y:+.4f}}<extra></extra>",
        )
        widening = widens_from(gaps)
        if widening is not None:
            at = int(gaps.index[widening])
            figure.add_vline(
                x=at,
                line={"color": color, "dash": "dash", "width": 1},
                annotation={
                    "text": f"widens from {history.axis} {at}",
                    "font": {"color": color},
                    "yshift": -LINE * place,  # a row for each run
                },
                annotation_position="top left" if at > sum(axis["range"]) / 2 else "top right",
            )
    figure.add_hline(y=0, line={"color": QUIET, "width": 1})
    title = f"{literal(title_of(metric))}: training better than validation by"
    figure.update_layout(
        title={"text": title, "font": {"size": 15}},
        xaxis=axis,
        yaxis={"title": "Gap"},
        height=_height(len(known)),
        margin={"l": 10, "r": 10, "t": 40, "b": 10},
        showlegend=len(histories) > 1,
        legend={"orientation": "h", "yanchor": "top", "y": -0.22, "xanchor": "left", "x": 0},
        uirevision=f"gap {metric}",
    )
    return figure
