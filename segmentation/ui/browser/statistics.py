"""How a split and the classes share the area."""

import numpy as np
import pandas as pd
import streamlit as st

from segmentation.data.health import usable_patches
from segmentation.data.palette import VOID_NAME
from segmentation.data.protocols import DESCRIPTIONS, TEST, TRAIN, VALIDATION, assign_parts, touching
from segmentation.data.scenes import Dataset
from segmentation.tables import to_safe_csv
from segmentation.ui.browser.filters import begin_view, choose_patch_size, known_splits, with_splits
from segmentation.ui.browser.split_findings import show_split_findings
from segmentation.ui.charts.classes import class_bars, light_figure, tile_shares
from segmentation.ui.loaders.health import load_health, load_split_health
from segmentation.ui.loaders.scenes import load_tile_table
from segmentation.ui.shell.faults import show_errors
from segmentation.ui.shell.masks import display_palette
from segmentation.ui.shell.words import PARTS

TILES_DRAWN = 40
"""More tiles than these are no chart to read."""


def show_split(dataset: Dataset) -> None:
    """Show what a protocol holds out: how different the parts are, and where they touch."""
    with st.sidebar:
        begin_view()
        size = choose_patch_size()
    splits = known_splits(dataset)
    split = st.selectbox(
        "Split",
        list(splits),
        key="split-shown",
        bind="query-params",
        help="What the protocol holds out: a tenth of the patches, whole scenes, what the data set says, or one tile. "
        "Type to search.",
    )
    health = load_health(dataset, size)
    patches = health.patches
    if len(patches) < 2 and health.unread:
        return
    if len(patches) < 2:
        st.info(f"There are too few patches of {size} px to split: choose a smaller patch size in the sidebar.")
        return
    with show_errors():
        protocol, tile = splits[split]
        patches = with_splits(patches, dataset)
        assigned = assign_parts(patches, protocol, tile)
        test, train = assigned == TEST, assigned == TRAIN
        names = list(dataset.palette.names)
        named = {part: name for name, part in PARTS.items()}
        parts = patches.assign(tile=[named[part] for part in assigned])
        pixels = parts.groupby("tile")[names].sum()
        shares = pixels.div(pixels.sum(axis=1), axis=0)
        distance = 0.5 * np.abs(shares.loc["Held out"] - shares.loc["Trained on"]).sum()
        leaking = touching(patches, test, train)
        figures = st.grid(5, min_column_width=150)
        figures.metric("Held-out patches", f"{test.sum():,}", help=f"Of {len(test):,}; a run is scored on them once.")
        figures.metric(
            "Validation patches",
            f"{(assigned == VALIDATION).sum():,}",
            help="Cut from the training part: a run's epoch is chosen on them.",
        )
        figures.metric("Touch a training patch", f"{leaking.sum():,}", help="In their scene, at a side or a corner.")
        figures.metric(
            "Share that touches", f"{100 * leaking.sum() / test.sum():.1f} %", help="Of the held-out patches."
        )
        figures.metric(
            "Class shares differ by",
            f"{100 * distance:.1f} %",
            help="Of held out and trained on. Total variation: the share of pixels that would have to change class "
            "to make both parts alike.",
        )
        st.caption(f"Protocol {protocol}: {DESCRIPTIONS[protocol]}.")
        st.plotly_chart(
            tile_shares(parts, display_palette(dataset.palette), "Share of the part's labelled pixels, %"), key="parts"
        )
        names_of = patches["patch"]
        with st.spinner("Comparing what is held out with what is trained on …"):
            found = load_split_health(dataset, size, (protocol, tile), health, names_of[test], names_of[train])
        show_split_findings(dataset, health, size, split, found)


def show_shares(dataset: Dataset) -> None:
    """Show how the classes share the area, over the set and tile by tile, and the article's table of tiles."""
    with st.sidebar:
        begin_view()
        size = choose_patch_size()
    health = load_health(dataset, size)
    names = list(dataset.palette.names)
    pixels = health.scenes[[*names, VOID_NAME]].to_numpy(float)
    if not pixels.sum() and health.unread:
        return
    if not pixels.sum():
        st.info("No scene could be read: look at the health report.")
        return
    halves = st.grid(2, min_column_width=380, gap="medium")
    with halves.cell():
        st.subheader("Whole set", anchor=False)
        shares = pixels.sum(0) / pixels.sum()
        st.plotly_chart(
            class_bars(shares[:-1], display_palette(dataset.palette), "Share of all pixels, %", share=True),
            key="set-shares",
        )
        st.caption(f"{int(pixels.sum()):,} pixels; {100 * shares[-1]:.2f} % have no class.")
    with halves.cell():
        st.subheader("Tile by tile", anchor=False)
        tiles = _most_different_tiles(health.scenes, names)
        shown = health.scenes[health.scenes["tile"].isin(tiles)]
        st.plotly_chart(tile_shares(shown, display_palette(dataset.palette)), key="tile-shares")
        if len(tiles) < len(dataset.tiles):
            st.caption(f"The {len(tiles)} of {len(dataset.tiles):,} tiles that differ most from the whole set.")
    st.subheader("Brightness and contrast by class", anchor=False)
    st.plotly_chart(light_figure(health.light, display_palette(dataset.palette)), key="light")
    st.subheader("Tiles", anchor=False)
    table = usable_patches(load_tile_table(dataset, size), health)
    st.dataframe(
        table,
        hide_index=True,
        key="tiles",
        column_order=["tile", "scenes", "width", "height", "patches"],
        column_config={
            "tile": "Tile",
            "scenes": "Scenes",
            "width": "Width, px",
            "height": "Height, px",
            "patches": st.column_config.NumberColumn(f"Patches of {size} px", format="localized"),
        },
    )
    st.caption(f"{table['patches'].sum():,} patches in all. A range means that the tile's scenes differ in size.")
    st.download_button(
        "Download the table",
        to_safe_csv(table),
        "tiles.csv",
        "text/csv",
        key="tiles-csv",
        icon=":material/download:",
    )


def _most_different_tiles(scenes: pd.DataFrame, names: list[str]) -> pd.Index:
    """Return the tiles, `TILES_DRAWN` at most, whose class shares differ most from all scenes' together."""
    pixels = scenes.groupby("tile", sort=False)[names].sum()
    whole = pixels.sum() / pixels.to_numpy().sum()
    distance = pixels.div(pixels.sum(axis=1), axis=0).sub(whole).abs().sum(axis=1)
    return distance.nlargest(TILES_DRAWN).index
