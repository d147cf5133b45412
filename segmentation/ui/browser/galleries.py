"""Scenes and patches as thumbnails, page by page."""

import pandas as pd
import streamlit as st

from segmentation.data.health import Health
from segmentation.data.images import read_size
from segmentation.data.scenes import Dataset
from segmentation.ui.address import link
from segmentation.ui.browser.filters import (
    PATCHES_A_PAGE,
    SCENES_A_PAGE,
    begin_view,
    choose_filters,
    choose_order,
    choose_page_size,
    choose_part,
    choose_patch_size,
)
from segmentation.ui.browser.open_scene import open_scene
from segmentation.ui.loaders.health import load_health
from segmentation.ui.loaders.scenes import load_patch_thumbnail, load_thumbnail
from segmentation.ui.shell.faults import show_errors
from segmentation.ui.shell.frame import turn_pages
from segmentation.ui.shell.masks import choose_opacity, display_palette
from segmentation.ui.shell.pages import EXPLORER, looking_at
from segmentation.ui.shell.words import plain

THUMBNAIL = 420
"""Longest side of a scene's thumbnail, in pixels."""


def show_scenes(dataset: Dataset) -> None:
    """Show the scenes as thumbnails with paging."""
    health = load_health(dataset)
    with st.sidebar:
        filters = choose_filters(dataset, health.findings)
        begin_view()
        order, page_size, opacity = choose_order(dataset), choose_page_size(SCENES_A_PAGE), choose_opacity(50)
    scenes = _with_unread(health, dataset)
    found = filters.passing(scenes, health.findings, dataset.palette)
    chosen = ("scenes", dataset.root, filters, order, page_size)
    shown = turn_pages(order.places(found, dataset.palette), page_size, len(scenes), "scenes", chosen)
    cards = st.grid(4, min_column_width=190)
    stretch, colors = dataset.stretch, display_palette(dataset.palette)
    for row in found.iloc[shown].itertuples():
        with cards, st.container(border=True), show_errors():
            scene = dataset.scene(row.scene)
            picture = load_thumbnail(scene, dataset.palette, stretch, colors, opacity, THUMBNAIL)
            st.container(key=f"pixels-{row.scene}").image(
                picture, width="stretch", output_format="PNG", alt=f"Scene {row.scene} with its mask"
            )
            st.button(
                plain(f"{row.tile} · {scene.image.stem}"),
                key=f"open-{row.scene}",
                width="stretch",
                on_click=open_scene,
                args=(row.scene,),
            )
            height, width = read_size(scene.image)
            st.caption(f"{width} × {height} px")


def _with_unread(health: Health, dataset: Dataset) -> pd.DataFrame:
    """Return the scenes' rows, and one with a name and a tile only for each that is not read yet, in their order."""
    if not health.unread:
        return health.scenes
    tiles = {scene.name: scene.tile for scene in dataset.scenes}
    unread = pd.DataFrame({"scene": health.unread, "tile": [tiles[name] for name in health.unread]})
    return pd.concat([health.scenes, unread], ignore_index=True)


def show_patches(dataset: Dataset) -> None:
    """Show the patches as thumbnails with paging."""
    first, view = st.sidebar.container(), st.sidebar.container()
    with view:
        begin_view()
        size = choose_patch_size()
    health = load_health(dataset, size)
    with first:
        filters, part = choose_filters(dataset, health.findings), choose_part(dataset)
    with view:
        order, page_size, opacity = choose_order(dataset), choose_page_size(PATCHES_A_PAGE), choose_opacity(50)
    patches = health.patches
    if patches.empty and not health.unread:
        st.info(f"No scene is as large as {size} px: choose a smaller patch size in the sidebar.")
        return
    found = filters.passing(part.of(patches) if part else patches, health.findings, dataset.palette)
    chosen = ("patches", dataset.root, size, filters, part, order, page_size)
    shown = turn_pages(order.places(found, dataset.palette), page_size, len(patches), f"patches of {size} px", chosen)
    cards = st.grid(6, min_column_width=130)
    stretch, colors = dataset.stretch, display_palette(dataset.palette)
    for row in found.iloc[shown].itertuples():
        with cards.cell(), show_errors():
            scene = dataset.scene(row.scene)
            picture = load_patch_thumbnail(scene, dataset.palette, stretch, colors, opacity, row.row, row.column, size)
            st.container(key=f"pixels-{row.patch}").image(
                picture, width="stretch", output_format="PNG", alt=f"Patch {row.patch} with its mask"
            )
            place = row.patch.rsplit("/", 1)[1]
            st.page_link(
                EXPLORER,
                label=f"{row.scene.split('/')[-1]} {place}",
                help=f"{row.patch}: look at it in the prediction explorer.",
                query_params=link(looking_at(row.scene, place)),
            )
