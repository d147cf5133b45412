"""The parts of the dataset browser: filters, grids of scenes and patches, one scene, class shares, health."""

from collections.abc import Callable

import pandas as pd
import streamlit as st

from segmentation.data.health import FINDINGS
from segmentation.data.images import png_bytes
from segmentation.data.palette import VOID_NAME
from segmentation.data.patches import PATCH_SIZE, grid
from segmentation.data.scenes import Dataset
from segmentation.errors import ImageFileError
from segmentation.ui.figures import class_bars, tile_shares
from segmentation.ui.layout import EXPLORER, one_sentence, turn_pages
from segmentation.ui.loaders import load_health, load_patch, load_scene, load_thumbnail, load_tile_table
from segmentation.ui.pictures import draw_patch_grid, fit, overlay

SCENES_A_PAGE = 12
PATCHES_A_PAGE = 30
THUMBNAIL = 420
"""Longest side of a scene's thumbnail, in pixels."""

SEVERITY_ICONS = {"error": "⛔ error", "warning": "⚠️ warning", "note": "ℹ️ note"}


def choose_filters(dataset: Dataset) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Draw the sidebar's filters; return what leaves the rows of scenes or patches (`Health`) that pass them."""
    st.sidebar.subheader("Filters", anchor=False)
    names = [*dataset.palette.names, VOID_NAME]
    tiles = st.sidebar.multiselect(
        "Tiles",
        dataset.tiles,
        key="tile",
        bind="query-params",
        placeholder="All tiles",
        help="Only scenes of these folders.",
    )
    class_name = st.sidebar.selectbox(
        "Class",
        names,
        index=None,
        key="class",
        bind="query-params",
        placeholder="Any class",
        help="Only pictures that hold this class.",
    )
    share = 0
    if class_name:
        share = st.sidebar.slider(
            f"Least share of {class_name}, %",
            0,
            100,
            1,
            key="share",
            bind="query-params",
            help="Of the picture's pixels.",
        )

    def passing(table: pd.DataFrame) -> pd.DataFrame:
        if tiles:
            table = table[table["tile"].isin(tiles)]
        if class_name:
            held = table[class_name]
            table = table[(held > 0) & (100 * held >= share * table[names].sum(axis=1))]
        return table

    return passing


def choose_patch_size() -> int:
    """Let the user choose the side of a patch, in pixels."""
    return st.sidebar.number_input(
        "Patch size, px",
        16,
        1024,
        PATCH_SIZE,
        step=16,
        key="size",
        bind="query-params",
        help="Scenes are cropped and cut into patches of this side, from the top left, without overlap.",
    )


def choose_opacity() -> float:
    """Let the user choose how much the mask covers, 0–1."""
    percent = st.sidebar.slider(
        "Mask opacity, %",
        0,
        100,
        50,
        step=5,
        key="opacity",
        bind="query-params",
        help="0 shows the image, 100 the mask.",
    )
    return percent / 100


def begin_view() -> None:
    """Begin the sidebar's last part."""
    st.sidebar.subheader("View", anchor=False)


def show_scenes(dataset: Dataset) -> None:
    """Show the scenes as thumbnails with paging."""
    passing = choose_filters(dataset)
    begin_view()
    opacity = choose_opacity()
    scenes = load_health(dataset).scenes
    shown = turn_pages(passing(scenes), SCENES_A_PAGE, len(scenes), "scenes")
    cards = st.grid(4, min_column_width=190)
    for row in shown.itertuples():
        with cards, st.container(border=True), one_sentence():
            scene = dataset.scene(row.scene)
            picture = load_thumbnail(scene, dataset.palette, opacity, THUMBNAIL)
            st.container(key=f"pixels-{row.scene}").image(picture, width="stretch", output_format="PNG")
            if st.button(f"{row.tile} · {scene.image.stem}", key=f"open-{row.scene}", width="stretch"):
                st.session_state["open_scene"] = row.scene
                st.rerun()
            st.caption(f"{row.height} × {row.width} px")


def show_patches(dataset: Dataset) -> None:
    """Show the patches as thumbnails with paging."""
    passing = choose_filters(dataset)
    begin_view()
    size, opacity = choose_patch_size(), choose_opacity()
    patches = load_health(dataset, size).patches
    if patches.empty:
        st.info(f"No scene is as large as {size} px: choose a smaller patch size in the sidebar.")
        return
    shown = turn_pages(passing(patches), PATCHES_A_PAGE, len(patches), f"patches of {size} px")
    cards = st.grid(6, min_column_width=130)
    for row in shown.itertuples():
        with cards.cell(), one_sentence():
            image, mask = load_patch(dataset, row.scene, row.row, row.column, size)
            picture = png_bytes(overlay(image, mask, dataset.palette, opacity))
            st.container(key=f"pixels-{row.patch}").image(picture, width="stretch", output_format="PNG")
            place = row.patch.rsplit("/", 1)[1]
            st.page_link(
                EXPLORER,
                label=f"{row.scene.split('/')[-1]} {place}",
                help=f"{row.patch}: look at it in the prediction explorer.",
                query_params={"scene": row.scene, "patch": place},
            )


def show_one_scene(dataset: Dataset) -> None:
    """Show one scene large, its mask laid over, with its patches, its classes and what was found in it."""
    names = [scene.name for scene in dataset.scenes]
    name = st.selectbox("Scene", names, key="scene", bind="query-params", help="Type to search.")
    begin_view()
    size, opacity = choose_patch_size(), choose_opacity()
    with_grid = st.sidebar.toggle(
        "Patch grid",
        key="grid",
        bind="query-params",
        help=f"Patches of {size} px; the strips that cropping drops are faded.",
    )
    shown_classes = st.sidebar.multiselect(
        "Classes shown",
        dataset.palette.names,
        key="only",
        bind="query-params",
        placeholder="All classes",
        help="Lay only these classes over the image.",
    )
    try:
        image, mask = load_scene(dataset.scene(name), dataset.palette)
    except ImageFileError as error:
        st.error(str(error), icon=":material/error:")
        return
    indices = [dataset.palette.names.index(class_name) for class_name in shown_classes] or None
    drawn = overlay(image, mask, dataset.palette, opacity, indices)
    if with_grid:
        drawn = draw_patch_grid(drawn, size)
    left, right = st.columns([5, 2], gap="medium")
    # Half laid over is a photograph; the bare mask must keep hard edges.
    picture = png_bytes(fit(drawn, smooth=opacity < 1))
    left.container(key="pixels-scene").image(picture, width="stretch", output_format="PNG")
    with right:
        health = load_health(dataset)
        row = health.scenes[health.scenes["scene"] == name].iloc[0]
        rows, columns = grid(*mask.shape, size)
        dropped = 1 - rows * columns * size**2 / mask.size
        st.markdown(
            f"**{mask.shape[0]} × {mask.shape[1]} px** · {rows} × {columns} patches of {size} px · "
            f"cropping drops {100 * dropped:.1f} %"
        )
        st.caption(
            f"Brightness {row['brightness']:.2f} · contrast {row['contrast']:.2f} (mean and deviation of grey, 0–1)"
        )
        shares = row[list(dataset.palette.names)].to_numpy(float) / mask.size
        st.plotly_chart(
            class_bars(shares, dataset.palette, "Share of the scene, %", share=True),
            key="scene-shares",
            config={"displayModeBar": False},
        )
        for finding in health.findings[health.findings["scene"] == name].itertuples():
            st.caption(f"{SEVERITY_ICONS[finding.severity]}: {finding.file} {finding.detail}")


def show_shares(dataset: Dataset) -> None:
    """Show how the classes share the area, over the set and tile by tile, and the article's table of tiles."""
    begin_view()
    size = choose_patch_size()
    health = load_health(dataset)
    names = list(dataset.palette.names)
    pixels = health.scenes[[*names, VOID_NAME]].to_numpy(float)
    if not pixels.sum():
        st.info("No scene could be read: look at the health report.")
        return
    halves = st.grid(2, min_column_width=380, gap="medium")
    with halves.cell():
        st.subheader("Whole set", anchor=False)
        shares = pixels.sum(0) / pixels.sum()
        st.plotly_chart(
            class_bars(shares[:-1], dataset.palette, "Share of all pixels, %", share=True), key="set-shares"
        )
        st.caption(f"{int(pixels.sum()):,} pixels; {100 * shares[-1]:.2f} % have no class.")
    with halves.cell():
        st.subheader("Tile by tile", anchor=False)
        st.plotly_chart(tile_shares(health.scenes, dataset.palette), key="tile-shares")
    st.subheader("Tiles", anchor=False)
    table = load_tile_table(dataset, size)
    st.dataframe(
        table,
        hide_index=True,
        key="tiles",
        column_config={
            "tile": "Tile",
            "scenes": "Scenes",
            "height": "Height, px",
            "width": "Width, px",
            "patches": st.column_config.NumberColumn(f"Patches of {size} px", format="localized"),
        },
    )
    st.caption(f"{table['patches'].sum():,} patches in all. A range means that the tile's scenes differ in size.")
    st.download_button(
        "Download the table",
        table.to_csv(index=False),
        "tiles.csv",
        "text/csv",
        key="tiles-csv",
        icon=":material/download:",
    )


def show_health(dataset: Dataset) -> None:
    """Show the health report; a click on a row opens its scene."""
    findings = load_health(dataset).findings
    if findings.empty:
        st.success("Nothing wrong was found in any file.", icon=":material/check_circle:")
        return
    counts = findings["severity"].value_counts()
    st.markdown(" · ".join(f"{SEVERITY_ICONS[kind]} {counts[kind]}" for kind in SEVERITY_ICONS if kind in counts))
    table = findings.assign(severity=findings["severity"].map(SEVERITY_ICONS))
    event = st.dataframe(
        table[["severity", "kind", "scene", "file", "detail"]],
        hide_index=True,
        key="findings",
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            "severity": st.column_config.TextColumn("Severity", width="small"),
            "kind": st.column_config.TextColumn("Finding", width="small"),
            "scene": "Scene",
            "file": "File",
            "detail": st.column_config.TextColumn("What is wrong", width="large"),
        },
    )
    rows = event.selection.rows
    scene = findings.iloc[rows[0]]["scene"] if rows else ""
    with st.container(horizontal=True):
        if st.button("Open the scene", disabled=not scene, icon=":material/image:", help="Choose a row first."):
            st.session_state["open_scene"] = scene
            st.rerun()
        st.download_button(
            "Download the report",
            findings.to_csv(index=False),
            "health.csv",
            "text/csv",
            key="health-csv",
            icon=":material/download:",
        )
    with st.expander("What the findings mean"):
        for kind, (severity, meaning) in FINDINGS.items():
            st.markdown(f"{SEVERITY_ICONS[severity]} **{kind}**: {meaning}.")


VIEWS: dict[str, Callable[[Dataset], None]] = {
    "Scenes": show_scenes,
    "Patches": show_patches,
    "One scene": show_one_scene,
    "Class shares": show_shares,
    "Health": show_health,
}
"""The browser's views by the name in its switch."""


def follow_open_scene() -> None:
    """Turn to a scene that was clicked in another view; before the widgets that say so are drawn."""
    if "open_scene" in st.session_state:
        st.session_state["scene"] = st.session_state.pop("open_scene")
        st.session_state["view"] = "One scene"
