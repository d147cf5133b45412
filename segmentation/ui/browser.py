"""The parts of the dataset browser: filters, grids of scenes and patches, one scene, class shares, health."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd
import streamlit as st

from segmentation.data.health import FINDINGS, usable_patches
from segmentation.data.images import png_bytes
from segmentation.data.palette import VOID_NAME, Palette
from segmentation.data.patches import PATCH_SIZE, class_counts, crop, grid
from segmentation.data.protocols import DESCRIPTIONS, PROTOCOLS, Protocol, held_out, touching
from segmentation.data.scenes import Dataset, mosaic
from segmentation.errors import ImageFileError
from segmentation.tables import csv_text
from segmentation.ui.address import link
from segmentation.ui.figures import class_bars, light_figure, tile_shares
from segmentation.ui.layout import (
    EXPLORER,
    choose_mask_style,
    choose_opacity,
    drawn,
    looking_at,
    one_sentence,
    plain,
    refuse,
    say_unknown,
    turn_pages,
)
from segmentation.ui.loaders import (
    load_health,
    load_patch_thumbnail,
    load_scene,
    load_small,
    load_thumbnail,
    load_tile_table,
)
from segmentation.ui.pictures import draw_patch_grid, fit, in_place, nearest, outline, overlay
from segmentation.ui.viewer import LONGEST, Pane, Reading, viewer

SCENES_A_PAGE = (8, 12, 24, 48)
PATCHES_A_PAGE = (18, 30, 60, 120)
"""Choices; the second is the default."""

THUMBNAIL = 420
"""Longest side of a scene's thumbnail, in pixels."""

MOSAIC = 1380
"""Longest side of a tile's picture, in pixels."""

TILES_DRAWN = 40
"""More tiles than these are no chart to read."""

SEVERITY_ICONS = {"error": "⛔ error", "warning": "⚠️ warning", "note": "ℹ️ note"}


def choose_filters(dataset: Dataset, findings: pd.DataFrame) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Draw the filters; return what leaves the rows of scenes or patches (`Health`) that pass them.

    Args:
        dataset: The scenes.
        findings: `Health.findings`.
    """
    st.subheader("Filters", anchor=False)
    names = [*dataset.palette.names, VOID_NAME]
    tiles = st.multiselect(
        "Tiles",
        dataset.tiles,
        key="tile",
        bind="query-params",
        placeholder="All tiles",
        help="Only scenes of these folders.",
    )
    class_name = st.selectbox(
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
        share = st.slider(
            f"Least share of {plain(class_name)}, %",
            0,
            100,
            1,
            key="share",
            bind="query-params",
            help="Of the picture's pixels.",
        )
    kind = st.selectbox(
        "Health finding",
        list(dict.fromkeys(findings.loc[findings["scene"] != "", "kind"])),
        index=None,
        key="finding",
        bind="query-params",
        placeholder="With or without",
        help="Only scenes of which the health report says this, or patches of such scenes.",
    )

    def passing(table: pd.DataFrame) -> pd.DataFrame:
        if tiles:
            table = table[table["tile"].isin(tiles)]
        if class_name:
            held = table[class_name]
            table = table[(held > 0) & (100 * held >= share * table[names].sum(axis=1))]
        if kind:
            table = table[table["scene"].isin(findings.loc[findings["kind"] == kind, "scene"])]
        return table

    return passing


def choose_part(dataset: Dataset) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Draw the filter by part; return what leaves the patches (`Health`) of the part chosen."""
    splits = _splits(dataset)
    split = st.selectbox(
        "Split",
        list(splits),
        index=None,
        key="split",
        bind="query-params",
        placeholder="Any part",
        help="Only patches that this protocol holds out, or trains on.",
    )
    if split is None:
        return lambda patches: patches
    part = st.segmented_control(
        "Part",
        ["Held out", "Trained on"],
        default="Held out",
        required=True,
        key="part",
        bind="query-params",
        help="Held-out patches are those that a run is scored on.",
    )
    return lambda patches: patches[held_out(patches, *splits[split]) == (part == "Held out")]


def _splits(dataset: Dataset) -> dict[str, tuple[Protocol, str | None]]:
    """Return every way to split a data set: by patch, by scene, and the tiles, any of which can be held out.

    By the name in the list: a protocol and, for ``tile``, the tile. A tile with the name of a protocol says what it is.
    """
    splits: dict[str, tuple[Protocol, str | None]] = {"patch": ("patch", None)}
    if len(dataset.scenes) > 1:
        splits["scene"] = ("scene", None)
    if len(dataset.tiles) > 1:
        splits |= {f"{tile} (tile)" if tile in PROTOCOLS else tile: ("tile", tile) for tile in dataset.tiles}
    return splits


def choose_order(dataset: Dataset) -> Callable[[pd.DataFrame], pd.Series]:
    """Let the user choose an order; return what tells the places of a table's rows, scenes or patches, in it.

    Places, not rows: of hundreds of thousands only a page is looked at.
    """
    names = list(dataset.palette.names)
    keys: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
        "Brightness": lambda table: table["brightness"],
        "Contrast": lambda table: table["contrast"],
        "Number of classes": lambda table: (table[names] > 0).sum(axis=1),
        **{f"Share of {name}": partial(_share, names, name) for name in names},
    }
    by = st.selectbox(
        "Sort by",
        ["Name", *keys],
        key="sort",
        bind="query-params",
        help="Brightness and contrast are mean and deviation of grey.",
    )
    if by == "Name":
        return lambda table: pd.Series(range(len(table)))
    falling = st.toggle("Highest first", True, key="falling", bind="query-params", help="Or lowest first.")
    sign = -1 if falling else 1
    return lambda table: pd.Series(np.argsort(sign * keys[by](table).to_numpy(), kind="stable"))


def _share(names: list[str], name: str, table: pd.DataFrame) -> pd.Series:
    return table[name] / table[[*names, VOID_NAME]].sum(axis=1)


def choose_page_size(sizes: Sequence[int]) -> int:
    """Let the user choose how many pictures a page shows."""
    return st.select_slider(
        "Pictures a page", sizes, sizes[1], key="per-page", bind="query-params", help="More take longer to load."
    )


def choose_patch_size() -> int:
    """Let the user choose the side of a patch, in pixels."""
    return st.number_input(
        "Patch size, px",
        16,
        1024,
        PATCH_SIZE,
        step=16,
        key="size",
        bind="query-params",
        help="Scenes are cropped and cut into patches of this side, from the top left, without overlap.",
    )


def begin_view() -> None:
    """Write the title of the sidebar's last part."""
    st.subheader("View", anchor=False)


def show_scenes(dataset: Dataset) -> None:
    """Show the scenes as thumbnails with paging."""
    health = load_health(dataset)
    with st.sidebar:
        passing = choose_filters(dataset, health.findings)
        begin_view()
        ordered, page_size, opacity = choose_order(dataset), choose_page_size(SCENES_A_PAGE), choose_opacity(50)
    found = passing(health.scenes)
    shown = turn_pages(ordered(found), page_size, len(health.scenes), "scenes")
    cards = st.grid(4, min_column_width=190)
    stretch, colors = dataset.stretch, drawn(dataset.palette)
    for row in found.iloc[shown].itertuples():
        with cards, st.container(border=True), one_sentence():
            scene = dataset.scene(row.scene)
            picture = load_thumbnail(scene, dataset.palette, stretch, colors, opacity, THUMBNAIL)
            st.container(key=f"pixels-{row.scene}").image(
                picture, width="stretch", output_format="PNG", alt=f"Scene {row.scene} with its mask"
            )
            if st.button(plain(f"{row.tile} · {scene.image.stem}"), key=f"open-{row.scene}", width="stretch"):
                st.session_state["open_scene"] = row.scene
                st.rerun()
            st.caption(f"{row.width} × {row.height} px")


def show_patches(dataset: Dataset) -> None:
    """Show the patches as thumbnails with paging."""
    filters, view = st.sidebar.container(), st.sidebar.container()
    with view:
        begin_view()
        size = choose_patch_size()
    health = load_health(dataset, size)
    with filters:
        passing, of_part = choose_filters(dataset, health.findings), choose_part(dataset)
    with view:
        ordered, page_size, opacity = choose_order(dataset), choose_page_size(PATCHES_A_PAGE), choose_opacity(50)
    patches = health.patches
    if patches.empty:
        st.info(f"No scene is as large as {size} px: choose a smaller patch size in the sidebar.")
        return
    found = passing(of_part(patches))
    shown = turn_pages(ordered(found), page_size, len(patches), f"patches of {size} px")
    cards = st.grid(6, min_column_width=130)
    stretch, colors = dataset.stretch, drawn(dataset.palette)
    for row in found.iloc[shown].itertuples():
        with cards.cell(), one_sentence():
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


def show_one_scene(dataset: Dataset) -> None:
    """Show one scene large, its mask laid over, with its patches, its classes and what was found in it."""
    names = [scene.name for scene in dataset.scenes]
    say_unknown("scene", "scene", names)
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
    small, classes = fit(image, LONGEST, smooth=True), mask[np.ix_(*nearest(*mask.shape, LONGEST))]
    if outlined:
        picture = outline(small, classes, drawn(dataset.palette), indices)
    else:
        picture = overlay(small, classes, drawn(dataset.palette), opacity, indices)
    if with_grid:
        picture = draw_patch_grid(picture, size * len(small) / len(image))
    left, right = st.container(key="one-scene").columns([5, 2], gap="medium")
    with left:
        # Half laid over is a photograph; the bare mask must keep hard edges.
        pane = Pane(name, picture, smooth=outlined or opacity < 1)
        viewer(name, [pane], [Reading("Class", classes, dataset.palette)], key="scene-viewer", size=mask.shape)
    with right:
        row = health.scenes[health.scenes["scene"] == name].iloc[0]
        rows, columns = grid(*mask.shape, size)
        dropped = 1 - rows * columns * size**2 / mask.size
        st.markdown(
            f"**{mask.shape[1]} × {mask.shape[0]} px** · {columns} × {rows} patches of {size} px · "
            f"cropping drops {100 * dropped:.1f} %"
        )
        st.caption(
            f"Brightness {row['brightness']:.2f} · contrast {row['contrast']:.2f} (mean and deviation of grey, 0–1)"
        )
        shares = row[list(dataset.palette.names)].to_numpy(float) / mask.size
        st.plotly_chart(
            class_bars(shares, drawn(dataset.palette), "Share of the scene, %", share=True),
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
    stretch, colors = dataset.stretch, drawn(dataset.palette)
    with one_sentence():
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


def show_split(dataset: Dataset) -> None:
    """Show what a protocol holds out: how different the parts are, and where they touch."""
    with st.sidebar:
        begin_view()
        size = choose_patch_size()
    splits = _splits(dataset)
    split = st.selectbox(
        "Split",
        list(splits),
        key="split-shown",
        bind="query-params",
        help="What the protocol holds out: a tenth of the patches, whole scenes, or one tile. Type to search.",
    )
    patches = load_health(dataset, size).patches
    if len(patches) < 2:
        st.info(f"There are too few patches of {size} px to split: choose a smaller patch size in the sidebar.")
        return
    with one_sentence():
        protocol, tile = splits[split]
        test = held_out(patches, protocol, tile)
        names = list(dataset.palette.names)
        parts = patches.assign(tile=np.where(test, "Held out", "Trained on"))
        pixels = parts.groupby("tile")[names].sum()
        shares = pixels.div(pixels.sum(axis=1), axis=0)
        distance = 0.5 * np.abs(shares.loc["Held out"] - shares.loc["Trained on"]).sum()
        leaking = touching(patches, test)
        figures = st.grid(4, min_column_width=170)
        figures.metric("Held-out patches", f"{test.sum():,}", help=f"Of {len(test):,}.")
        figures.metric("Touch a training patch", f"{leaking.sum():,}", help="In their scene, at a side or a corner.")
        figures.metric(
            "Share that touches", f"{100 * leaking.sum() / test.sum():.1f} %", help="Of the held-out patches."
        )
        figures.metric(
            "Class shares differ by",
            f"{100 * distance:.1f} %",
            help="Total variation: the share of pixels that would have to change class to make both parts alike.",
        )
        st.caption(f"Protocol {protocol}: {DESCRIPTIONS[protocol]}.")
        st.plotly_chart(
            tile_shares(parts, drawn(dataset.palette), "Share of the part's labelled pixels, %"), key="parts"
        )


def show_shares(dataset: Dataset) -> None:
    """Show how the classes share the area, over the set and tile by tile, and the article's table of tiles."""
    with st.sidebar:
        begin_view()
        size = choose_patch_size()
    health = load_health(dataset, size)
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
            class_bars(shares[:-1], drawn(dataset.palette), "Share of all pixels, %", share=True), key="set-shares"
        )
        st.caption(f"{int(pixels.sum()):,} pixels; {100 * shares[-1]:.2f} % have no class.")
    with halves.cell():
        st.subheader("Tile by tile", anchor=False)
        tiles = _most_different_tiles(health.scenes, names)
        shown = health.scenes[health.scenes["tile"].isin(tiles)]
        st.plotly_chart(tile_shares(shown, drawn(dataset.palette)), key="tile-shares")
        if len(tiles) < len(dataset.tiles):
            st.caption(f"The {len(tiles)} of {len(dataset.tiles):,} tiles that differ most from the whole set.")
    st.subheader("Brightness and contrast by class", anchor=False)
    st.plotly_chart(light_figure(health.light, drawn(dataset.palette)), key="light")
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
        csv_text(table),
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
        table[["severity", "kind", "scene", "detail", "file"]],
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
            csv_text(findings),
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
    "One tile": show_tile,
    "Class shares": show_shares,
    "Split": show_split,
    "Health": show_health,
}
"""The browser's views by the name in its switch."""


def follow_open_scene() -> None:
    """Turn to a scene that was clicked in another view; before the widgets that say so are drawn."""
    if "open_scene" in st.session_state:
        st.session_state["scene"] = st.session_state.pop("open_scene")
        st.session_state["view"] = "One scene"
