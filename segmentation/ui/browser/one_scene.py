"""One scene, or one tile as its scenes lie, with the masks."""

import numpy as np
import streamlit as st

from segmentation.data.images import png_bytes
from segmentation.data.palette import Palette
from segmentation.data.patches import class_counts, crop, grid
from segmentation.data.scenes import Dataset, mosaic
from segmentation.errors import ImageFileError
from segmentation.ui.browser.filters import begin_view, choose_patch_size
from segmentation.ui.browser.health import SEVERITY_ICONS
from segmentation.ui.charts.classes import class_bars
from segmentation.ui.loaders.health import load_health
from segmentation.ui.loaders.scenes import load_scene, load_small
from segmentation.ui.pictures import draw_patch_grid, fit, in_place, nearest, outline, overlay
from segmentation.ui.shell.faults import refuse, show_errors, warn_if_unknown
from segmentation.ui.shell.masks import choose_mask_style, choose_opacity, display_palette
from segmentation.ui.shell.words import plain
from segmentation.ui.viewer import LONGEST, Pane, Reading, viewer

MOSAIC = 1380
"""Longest side of a tile's picture, in pixels."""


def show_one_scene(dataset: Dataset) -> None:
    """Show one scene large, its mask laid over, with its patches, its classes and what was found in it."""
    names = [scene.name for scene in dataset.scenes]
    warn_if_unknown("scene", "scene", names)
    name = st.selectbox("Scene", names, key="scene", bind="query-params", help="Type to search.")
    with st.sidebar:
        begin_view()
        size, opacity = choose_patch_size(), choose_opacity(50)
        with_grid = st.toggle(
            "Patch grid",
            key="grid",
            bind="query-params",
            help=f"Patches of {size} px; the strips that cropping drops are faded.",
        )
        outlined, indices = choose_mask_style(dataset.palette)
    health = load_health(dataset)  # before a large scene is held: each is read for it
    try:
        image, mask = load_scene(dataset.scene(name), dataset.palette, dataset.stretch)
    except ImageFileError as error:
        refuse(error)
        return
    # No larger than it is shown: of a large scene each picture in full would take a gigabyte.
    height, width = mask.shape
    small, classes = fit(image, LONGEST, smooth=True), mask[np.ix_(*nearest(height, width, LONGEST))]
    if outlined:
        picture = outline(small, classes, display_palette(dataset.palette), indices)
    else:
        picture = overlay(small, classes, display_palette(dataset.palette), opacity, indices)
    if with_grid:
        picture = draw_patch_grid(picture, size * len(small) / len(image))
    left, right = st.container(key="one-scene").columns([5, 2], gap="medium")
    with left:
        # Half laid over is a photograph; the bare mask must keep hard edges.
        pane = Pane(name, picture, smooth=outlined or opacity < 1)
        viewer(name, [pane], [Reading("Class", classes, dataset.palette)], key="scene-viewer", size=(height, width))
    with right:
        rows, columns = grid(height, width, size)
        dropped = 1 - rows * columns * size**2 / mask.size
        st.markdown(
            f"**{width} × {height} px** · {columns} × {rows} patches of {size} px · "
            f"cropping drops {100 * dropped:.1f} %"
        )
        for row in health.scenes[health.scenes["scene"] == name].itertuples():
            st.caption(
                f"Brightness {row.brightness:.2f} · contrast {row.contrast:.2f} (mean and deviation of grey, 0–1)"
            )
        shares = class_counts(mask[None], len(dataset.palette))[0, :-1] / mask.size
        st.plotly_chart(
            class_bars(shares, display_palette(dataset.palette), "Share of the scene, %", share=True),
            key="scene-shares",
            config={"displayModeBar": False},
        )
        st.caption(plain(f"Lost to cropping: {_lost(mask, size, dataset.palette)}."))
        for finding in health.findings[health.findings["scene"] == name].itertuples():
            st.caption(f"{SEVERITY_ICONS[finding.severity]}: {plain(finding.file)} {plain(finding.detail)}")


def _lost(mask: np.ndarray, size: int, palette: Palette) -> str:
    """Say how much of each class lies in the strips that cropping drops."""
    whole, kept = (class_counts(array[None], len(palette))[0] for array in (mask, crop(mask, size)))
    lost = [f"{name} {100 * (1 - k / w):.1f} %" for name, w, k in zip(palette.names, whole, kept, strict=False) if w]
    return ", ".join(lost) or "nothing that has a class"


def show_tile(dataset: Dataset) -> None:
    """Show a tile's scenes in their places, as the one area that they are."""
    tile = st.selectbox("Tile", dataset.tiles, key="tile-shown", bind="query-params", help="Type to search.")
    with st.sidebar:
        begin_view()
        opacity = choose_opacity(50)
    places = mosaic(dataset, tile)
    if not places:
        st.info(f"The scenes of {plain(tile)} are not numbered as parts of one square area: look at them one by one.")
        return
    stretch, colors = dataset.stretch, display_palette(dataset.palette)
    with show_errors():
        rows = []
        for row in places:
            thumbnails = [
                overlay(*load_small(scene, dataset.palette, stretch, MOSAIC // len(places)), colors, opacity)
                for scene in row
            ]
            rows.append(thumbnails)
        st.container(key="pixels-mosaic").image(
            png_bytes(in_place(rows)),
            caption=f"{plain(tile)}: {len(places)} × {len(places)} scenes in their places",
            alt=f"All scenes of {tile} in their places, with their masks",
            width="stretch",
            output_format="PNG",
        )
        st.caption("Neighbouring scenes meet at their seams: what is held out by scene still has neighbours beside it.")
