"""Which scenes or patches are shown, in what order, and how many at a time."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd
import streamlit as st

from segmentation.data.palette import VOID_NAME
from segmentation.data.patches import PATCH_SIZE
from segmentation.data.protocols import PROTOCOLS, Protocol, held_out
from segmentation.data.scenes import Dataset
from segmentation.ui.shell.words import plain

SCENES_A_PAGE = (8, 12, 24, 48)

PATCHES_A_PAGE = (18, 30, 60, 120)
"""Choices; the second is the default."""


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
    splits = known_splits(dataset)
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


def known_splits(dataset: Dataset) -> dict[str, tuple[Protocol, str | None]]:
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
    """Let the user choose how many images a page shows."""
    return st.select_slider(
        "Images per page", sizes, sizes[1], key="per-page", bind="query-params", help="More take longer to load."
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
