"""Patches that look alike to the network: a map of all, the most similar ones, near-duplicates across parts."""

import html
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from segmentation.tables import to_safe_csv
from segmentation.ui.charts.similar import MOST_POINTS, patch_map, sample_points
from segmentation.ui.gallery.actions import offer_actions
from segmentation.ui.gallery.cards import LIKE, MORE, SHOWN, show_card, show_cards
from segmentation.ui.gallery.evaluated import EvaluatedRun
from segmentation.ui.gallery.filters import Filters
from segmentation.ui.loaders.similar import (
    compute_embeddings,
    load_embeddings,
    load_encoder,
    load_map,
    scenes_to_embed,
)
from segmentation.ui.shell.faults import show_errors
from segmentation.ui.shell.masks import display_palette
from segmentation.ui.shell.words import PARTS, code, plain

if TYPE_CHECKING:
    from segmentation.evaluation.similar import Pairs

BY = ("Mean IoU", "Class", "Part", "Tile")
"""What points can be coloured by."""

SELECTED, NEAR_DUPLICATES = "Selected", "Near-duplicates"
"""What is shown below the map, beside `MORE`."""

MOST_TILES = 24
"""Tiles with a colour of their own, the largest ones."""

OTHERS, NO_CLASS = "Other tiles", "No class"

SECONDS = 0.3
"""To embed the patches of a megapixel on two cores by the shipped encoder."""

ALL = Filters("All", (), None, "All")
"""The patches of every part: a card needs to know."""


def similar(evaluated: EvaluatedRun) -> None:
    """Show the map of a run's patches and, below it, those selected there, or like one, or almost the same."""
    from segmentation.evaluation.similar import STAND_IN  # opens engines: only where needed

    run, dataset = evaluated.run, evaluated.dataset
    by, like = _choose(evaluated)
    encoder = load_encoder(run)
    own = f"the encoder of {plain(run.name)}"
    by_what = own if not encoder.why else f"the encoder of {STAND_IN}, since {plain(encoder.why)}"
    found = load_map(run, dataset)
    if found is None:
        _offer_embedding(evaluated, by_what)
        return
    points = evaluated.patches[["patch", "tile", "part", "mean_iou"]].assign(x=found.places[:, 0], y=found.places[:, 1])
    _show_map(evaluated, points, found.shares, by, like)
    st.caption(
        f"Each point is a patch, by {by_what}: near points look alike to it. The axes are the two directions along "
        f"which the patches differ most; together they hold {100 * found.shares.sum():.0f} % of the variance, so that "
        "points may be near here and yet be unlike. The lists below compare all features."
    )
    shown = st.segmented_control(
        "Patches below the map",
        [SELECTED, MORE, NEAR_DUPLICATES],
        default=SELECTED,
        required=True,
        key=SHOWN,
        bind="query-params",
        help=f"**{SELECTED}**: those that you click, or draw a line around, in the map.  \n**{MORE}**: the most "
        "similar ones to the patch named in the sidebar; *Similar* on a card names it.  \n"
        f"**{NEAR_DUPLICATES}**: pairs of patches in different parts that look almost the same.",
    )
    if shown == MORE:
        _show_nearest(evaluated, like)
    elif shown == NEAR_DUPLICATES:
        _show_pairs(evaluated, found.pairs)
    else:
        _show_selected(evaluated)


def _choose(evaluated: EvaluatedRun) -> tuple[str, str]:
    """Let the user choose the colours and the patch whose like is sought."""
    sidebar = st.sidebar
    sidebar.subheader("View", anchor=False)
    known = [name for name in BY if name != "Class" or evaluated.run.confusion_matrices is not None]
    by = sidebar.segmented_control(
        "Colour by",
        known,
        default=BY[0],
        required=True,
        key="color-by",
        bind="query-params",
        help="**Class**: the most common one in a patch's mask. **Part**: what is trained on and what is held out.",
    )
    like = sidebar.text_input(
        "More like",
        key=LIKE,
        bind="query-params",
        placeholder=evaluated.patches["patch"].iloc[0],
        help="Name of a patch. *Similar* on a card writes it here. The link to this page holds it.",
    )
    return by, like.strip()


def _offer_embedding(evaluated: EvaluatedRun, by_what: str) -> None:
    """Say what has to be computed first, and compute it if the user wants it."""
    run = evaluated.run
    missing, scenes = scenes_to_embed(run, evaluated.dataset)
    patches = round(len(evaluated.patches) * missing / max(1, scenes))
    seconds = patches * run.patch_size**2 / 1e6 * SECONDS
    lasts = f"{seconds / 60:,.0f} min" if seconds > 90 else f"{max(1, seconds):,.0f} s"
    st.info(
        f"Each patch becomes one vector by {by_what}: for {missing:,} of {scenes:,} scenes that is still to be done, "
        f"some {patches:,} patches, which takes about {lasts} on two cores. It is kept for the next time. Cancelled, "
        "it goes on from there.",
        icon=":material/scatter_plot:",
    )
    asked = st.button(
        "Compute now",
        type="primary",
        key="embed",
        icon=":material/play_circle:",
        help="Reads every image once and keeps what it computes in the cache.",
    )
    if asked:
        # A click on it ends this run of the page at the next step of the bar.
        st.button("Cancel", icon=":material/cancel:", key="cancel-embed", help="What is computed so far is kept.")
        compute_embeddings(run, evaluated.dataset)
        st.rerun()


def _show_map(evaluated: EvaluatedRun, points: pd.DataFrame, shares: np.ndarray, by: str, like: str) -> None:
    """Draw the map, or a sample of it."""
    drawn = points.iloc[sample_points(points["part"] + "/" + points["tile"])]
    if like and like not in set(drawn["patch"]):
        drawn = pd.concat([drawn, points[points["patch"] == like]])
    groups, colors = None, None
    if by != BY[0]:
        drawn, groups, colors = _grouped(evaluated, drawn, by)
    names = {part: name for name, part in PARTS.items()}
    figure = patch_map(drawn.assign(part=drawn["part"].map(names)), shares, groups, colors, [like])
    st.plotly_chart(
        figure,
        key="patch-map",
        on_select=_follow_selection,
        selection_mode=("points", "box", "lasso"),
        config={"displaylogo": False, "modeBarButtonsToRemove": ["toImage", "autoScale2d"]},
    )
    if len(points) > MOST_POINTS:
        st.caption(
            f"Drawn are {len(drawn):,} of {len(points):,} patches: of each part and tile the same share, at random."
        )


def _grouped(
    evaluated: EvaluatedRun, points: pd.DataFrame, by: str
) -> tuple[pd.DataFrame, list[str], list[str] | None]:
    """Return points with the group of each, the groups that there are, in order, and their colours if they have any."""
    matrices = evaluated.run.confusion_matrices
    if by == "Class" and matrices is not None:
        names, colors = evaluated.palette.names, display_palette(evaluated.palette)
        pixels = matrices[evaluated.patches.index.get_indexer(points.index)].sum(2)
        group = np.where(pixels.any(1), np.array(names, object)[pixels.argmax(1)], NO_CLASS)
        there = [name for name in names if (group == name).any()]
        hexes = [colors.hex(names.index(name)) for name in there]
        if (group == NO_CLASS).any():
            there, hexes = [*there, NO_CLASS], [*hexes, "#000000"]
        return points.assign(group=group), there, hexes
    if by == "Part":
        labels = {part: name for name, part in PARTS.items()}
        group = points["part"].map(labels)
        return points.assign(group=group), [name for name in PARTS if group.eq(name).any()], None
    counts = points["tile"].value_counts()
    largest = set(counts.index[:MOST_TILES])
    group = points["tile"].where(points["tile"].isin(largest), OTHERS)
    return points.assign(group=group), sorted(set(group), key=lambda name: (name == OTHERS, name)), None


def _follow_selection() -> None:
    """Show what was selected in the map; a callback, before the widget that chooses what is shown is drawn."""
    if st.session_state["patch-map"]["selection"]["points"]:
        st.session_state[SHOWN] = SELECTED


def _show_selected(evaluated: EvaluatedRun) -> None:
    """Show the patches that are selected in the map, worst first."""
    points = st.session_state["patch-map"]["selection"]["points"]
    names = {html.unescape(point["customdata"]) for point in points if point.get("customdata")}
    chosen = evaluated.patches[evaluated.patches["patch"].isin(names)]
    if chosen.empty:
        st.info(
            "Draw a line around points in the map, or click one: their patches are listed here. Or choose "
            f"*{MORE}* or *{NEAR_DUPLICATES}*.",
            icon=":material/gesture_select:",
        )
        return
    chosen = chosen.sort_values("mean_iou", kind="stable")
    show_cards(evaluated, ALL, chosen, "Selected in the map, worst first.", ("similar", *sorted(names)))
    offer_actions(evaluated, chosen)


def _show_nearest(evaluated: EvaluatedRun, like: str) -> None:
    """Show the patches most similar to one, from every part."""
    from segmentation.evaluation.similar import nearest

    patches = evaluated.patches
    places = np.flatnonzero(patches["patch"].to_numpy() == like)
    if not places.size:
        said = f"No patch of this run is called {plain(like)}." if like else "No patch is chosen yet."
        example = code(patches["patch"].iloc[0])
        st.info(f"{said} Choose *Similar* on a card, or write a name such as {example} in the sidebar.")
        return
    embeddings = load_embeddings(evaluated.run, evaluated.dataset)
    if embeddings is None:  # the map is kept, and they had to make room in the cache
        _offer_embedding(evaluated, "the encoder again")
        return
    rows, distances = nearest(embeddings, int(places[0]))
    labels = {part: name for name, part in PARTS.items()}
    found = patches.iloc[rows].assign(distance=distances)

    def how_near(row: pd.Series) -> str:
        return f"Distance {row['distance']:.3f} · {labels[row['part']].lower()}"

    with st.columns(2)[0], st.container(border=True), show_errors():
        show_card(evaluated, ALL, patches.iloc[places[0]], set())
    caption = (
        f"The {len(found)} patches most similar to {code(like)}, of every part, by cosine distance: 0 is the same, 1 "
        "has nothing in common."
    )
    show_cards(evaluated, ALL, found, caption, ("like", like), ranked_by=how_near)
    offer_actions(evaluated, found)


def _show_pairs(evaluated: EvaluatedRun, pairs: "Pairs") -> None:
    """List pairs of patches in different parts that look almost the same; a click on a row shows both."""
    from segmentation.evaluation.similar import NEAR

    if not pairs.total:
        st.info(
            f"No two patches of different parts have a cosine similarity of {NEAR} or more.",
            icon=":material/check_circle:",
        )
        return
    labels = {part: name for name, part in PARTS.items()}
    one, other = (evaluated.patches.iloc[pairs.places[:, side]].reset_index(drop=True) for side in (0, 1))
    table = pd.DataFrame(
        {
            "patch": one["patch"],
            "part": one["part"].map(labels),
            "like": other["patch"],
            "like part": other["part"].map(labels),
            "similarity": pairs.similarities.round(4),
        }
    )
    listed = "" if pairs.total == len(table) else f"; the {len(table):,} nearest are listed"
    st.markdown(f"**{pairs.total:,}** pairs of patches in different parts look almost the same{listed}.")
    st.caption(
        f"Their cosine similarity is {NEAR} or more. Look at them before you trust a score: what is held out and also "
        "trained on is known to the model. Plain ground, such as sand or water, looks the same without being the same "
        "place."
    )
    event = st.dataframe(
        table,
        hide_index=True,
        key="near-duplicates",
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            "patch": st.column_config.TextColumn("Patch", help="Click a row to see both."),
            "part": "Part",
            "like": "Looks like",
            "like part": "Part of that",
            "similarity": st.column_config.NumberColumn("Cosine similarity", format="%.4f"),
        },
    )
    st.download_button(
        "Download the pairs",
        lambda: to_safe_csv(table),
        f"{evaluated.run.name}-near-duplicates.csv",
        "text/csv",
        key="download-pairs",
        icon=":material/download:",
        on_click="ignore",
        help="One row per pair, with both names, parts and the similarity.",
    )
    rows = [row for row in event.selection.rows if row < len(table)]
    broken: set[str] = set()
    for row, cell in zip([one, other] if rows else [], st.columns(2), strict=False):
        with cell, st.container(border=True), show_errors():
            show_card(evaluated, ALL, row.iloc[rows[0]], broken)
