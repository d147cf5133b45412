"""Plotly figures: numbers in, a figure out, without Streamlit, so that tests can look at them."""

import base64
import html
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from segmentation.data.images import png_bytes
from segmentation.data.palette import Palette
from segmentation.runs.columns import LEARNING_RATE, TEST, TRAINING, UNSAID, VALIDATION, Curve, direction, key
from segmentation.runs.curves import smooth, thinned, widens_from
from segmentation.runs.history import History, best_position, gap

ACCENT = "#0f766e"
QUIET = "#8a8f94"
POINTS = "#159a8c"
"""The accent, light enough to be seen as a point on dark ground too."""

RUN_COLORS = ("#159a8c", "#b45309", "#475569", "#be185d", "#4d7c0f", "#0369a1")
"""One a run; none is a class colour of the Dubai palette."""

DASHES = {TRAINING: "dot", VALIDATION: "solid", TEST: "dash", UNSAID: "solid"}

PLOT, LETTER, LINE, STAR = (340, 220), 7, 16, 12
"""In pixels: a curve's plot on a small screen, a letter's width, a text's height, and a star's size."""

TITLES = {
    "accuracy": "Accuracy",
    "jaccard": "Jaccard (article, soft)",
    "image_jaccard": "Jaccard, image by image",
    "loss": "Loss",
    "iou": "IoU",
    "mean_iou": "Mean IoU",
    "miou": "mIoU",
    "learning_rate": "Learning rate",
}


def literal(text: object) -> str:
    """Return what Plotly draws as this text: it takes tags, entities and ``%{…}`` in a name for markup.

    `html.unescape` turns it back.
    """
    return html.escape(str(text), quote=False).replace("%{", "%&#123;")


def title_of(metric: str) -> str:
    """Return a metric's name for people."""
    words = metric.replace("_", " ")
    return TITLES.get(key(metric), words[:1].upper() + words[1:])


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


def class_bars(values: Sequence[float], palette: Palette, axis: str, share: bool) -> go.Figure:
    """Draw one horizontal bar a class, in its colour, with its value.

    Args:
        values: One a class, 0–1; NaN is drawn as a dash.
        palette: The classes.
        axis: What the values are.
        share: Print per cent with one decimal, else a score with three.
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
    figure.update_layout(
        xaxis={"title": literal(axis), "range": [0, 115 if share else 1.15], "showgrid": True},
        yaxis={"autorange": "reversed"},
        height=60 + 34 * len(palette),
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        showlegend=False,
    )
    return figure


def tile_shares(
    scenes: pd.DataFrame, palette: Palette, axis: str = "Share of the tile's labelled pixels, %"
) -> go.Figure:
    """Draw each tile's class shares as one stacked bar.

    Args:
        scenes: `Health.scenes`: a row a scene with its tile and its pixels by class; or patches, likewise.
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


def reliability_figure(calibration: dict) -> go.Figure:
    """Draw how often pixels are right against how sure the model is of them, and how many pixels are that sure.

    Args:
        calibration: As metrics.json holds it: ``pixels``, the sum of their ``confidence`` and how many are ``right``,
            by bins of equal width.
    """
    pixels, confidence, right = (np.asarray(calibration[key], float) for key in ("pixels", "confidence", "right"))
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
        name="as sure as right",
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


def map_figure(picture: np.ndarray, corners: np.ndarray, streets: bool) -> go.Figure:
    """Draw a picture where it lies on the ground.

    Args:
        picture: (height, width, 3) uint8.
        corners: (4, 2) longitude and latitude of its corners, clockwise from the top left.
        streets: Put OpenStreetMap behind it, which the browser fetches; else nothing.
    """
    source = f"data:image/png;base64,{base64.b64encode(png_bytes(picture)).decode()}"
    (west, south), (east, north) = corners.min(0), corners.max(0)
    # At zoom 0, 512 screen pixels show 360 degrees of longitude; the picture is to fill about 700.
    widest = max(east - west, (north - south) / max(0.05, np.cos(np.radians((north + south) / 2))), 1e-6)
    layer = {"sourcetype": "image", "source": source, "coordinates": corners.tolist()}
    outline = np.vstack([corners, corners[:1]])
    figure = go.Figure(
        go.Scattermap(
            lon=outline[:, 0], lat=outline[:, 1], mode="lines", line={"color": ACCENT, "width": 2}, hoverinfo="lon+lat"
        )
    )
    figure.update_layout(
        map={
            "style": "open-street-map" if streets else {"version": 8, "sources": {}, "layers": []},
            "layers": [layer],
            "center": {"lon": (west + east) / 2, "lat": (south + north) / 2},
            "zoom": float(np.log2(360 / widest * 450 / 512)),
        },
        height=560,
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        uirevision="map",
    )
    return figure


def network_figure(description: dict) -> go.Figure:
    """Draw a network as a U: a box a block with its output shape, the way down, the way up, and the skips.

    Args:
        description: What `segmentation.model.diagram.describe` returns, as kept in a run's config.json.
    """
    blocks = description["blocks"]
    sides = sorted({block["shape"][0] for block in blocks}, reverse=True)
    order = range(len(blocks))
    bottom = min(order, key=lambda i: blocks[i]["shape"][0])
    places = [(index, -sides.index(block["shape"][0])) for index, block in enumerate(blocks)]
    figure = go.Figure()
    for start, end in pairwise(places):
        _arrow(figure, start, end, QUIET, "solid")
    for start, end in description["skips"]:
        _arrow(figure, places[start], places[end], ACCENT, "dot")
    texts = [f"{h}² × {c}" if h == w else f"{w} × {h} × {c}" for h, w, c in (block["shape"] for block in blocks)]
    layers = [
        "<br>".join(
            f"{count} × {literal(kind)}" if count > 1 else literal(kind) for kind, count in block["layers"].items()
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
