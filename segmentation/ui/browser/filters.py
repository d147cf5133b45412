"""Which scenes or patches are shown, in what order, and how many at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import streamlit as st

from segmentation.data.layouts.names import SPLITS
from segmentation.data.palette import VOID_NAME, Palette
from segmentation.data.patches import PATCH_SIZE
from segmentation.data.protocols import PROTOCOLS, Protocol, assign_parts
from segmentation.data.scenes import Dataset
from segmentation.ui.shell.parts import choose_part_name
from segmentation.ui.shell.words import PARTS, plain

SCENES_A_PAGE = (8, 12, 24, 48)

PATCHES_A_PAGE = (18, 30, 60, 120)
"""Choices; the second is the default."""


@dataclass(frozen=True)
class Filters:
    """Which scenes or patches are shown.

    Args:
        tiles: Those in these folders; all if there is none.
        class_name: Those that hold this class.
        share: Those of which it has this share at least, in per cent.
        finding: Those of whose scene the health report says this.
    """

    tiles: tuple[str, ...]
    class_name: str | None
    share: int
    finding: str | None

    def passing(self, table: pd.DataFrame, findings: pd.DataFrame, palette: Palette) -> pd.DataFrame:
        """Return the rows that pass.

        Args:
            table: `Health.scenes` or `Health.patches`.
            findings: `Health.findings`.
            palette: The data set's classes.
        """
        if self.tiles:
            table = table[table["tile"].isin(self.tiles)]
        if self.class_name:
            held, pixels = table[self.class_name], table[[*palette.names, VOID_NAME]].sum(axis=1)
            table = table[(held > 0) & (100 * held >= self.share * pixels)]
        if self.finding:
            table = table[table["scene"].isin(findings.loc[findings["kind"] == self.finding, "scene"])]
        return table


@dataclass(frozen=True)
class Part:
    """The patches of one part that a protocol makes.

    Args:
        protocol: One of `PROTOCOLS`.
        tile: The tile held out, for ``tile``.
        part: One of `segmentation.data.protocols.PARTS`.
    """

    protocol: Protocol
    tile: str | None
    part: str

    def of(self, patches: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of `Health.patches` that belong to it."""
        return patches[assign_parts(patches, self.protocol, self.tile) == self.part]


@dataclass(frozen=True)
class GivenPart:
    """The patches of a split that the data set brings.

    Args:
        split: In the data set's own word.
        scenes: Those of it.
    """

    split: str
    scenes: frozenset[str]

    def of(self, patches: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of `Health.patches` that belong to it."""
        return patches[patches["scene"].isin(self.scenes)]


@dataclass(frozen=True)
class Order:
    """The order of scenes or patches.

    Args:
        by: What decides: ``Name`` or one of `measures`.
        falling: The highest come first; names always rise.
    """

    by: str
    falling: bool = True

    def places(self, table: pd.DataFrame, palette: Palette) -> pd.Series:
        """Return the places of a table's rows, scenes or patches, in this order.

        Places, not rows: of hundreds of thousands only a page is looked at.
        """
        if self.by == "Name":
            return pd.Series(range(len(table)))
        values = measures(palette)[self.by](table).to_numpy()
        return pd.Series(np.argsort(-values if self.falling else values, kind="stable"))


def choose_filters(dataset: Dataset, findings: pd.DataFrame) -> Filters:
    """Draw the filters.

    Args:
        dataset: The scenes.
        findings: `Health.findings`.
    """
    st.subheader("Filters", anchor=False)
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
        [*dataset.palette.names, VOID_NAME],
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
    finding = st.selectbox(
        "Health finding",
        list(dict.fromkeys(findings.loc[findings["scene"] != "", "kind"])),
        index=None,
        key="finding",
        bind="query-params",
        placeholder="With or without",
        help="Only scenes of which the health report says this, or patches of such scenes.",
    )
    return Filters(tuple(tiles), class_name, share, finding)


def choose_part(dataset: Dataset) -> Part | GivenPart | None:
    """Draw the filter by part; return the part chosen, None for all patches."""
    splits = known_splits(dataset)
    split = st.selectbox(
        "Split",
        list(splits),
        index=None,
        key="split",
        bind="query-params",
        placeholder="Any part",
        help="Only patches that this protocol holds out, validates on or trains on; **given** is what the data set "
        "brings.",
    )
    if split is None:
        return None
    if splits[split][0] == "given":
        return _choose_given(dataset)
    part = choose_part_name(
        st.container(), "A run is scored on held-out patches; its epoch is chosen on those for validation."
    )
    return Part(*splits[split], PARTS[part])


def _choose_given(dataset: Dataset) -> GivenPart:
    """Let the user choose one of the splits that the data set brings."""
    kinds = ("train", "validation", "test", None)
    words = sorted(dataset.splits, key=lambda word: kinds.index(SPLITS.get(word.lower())))
    word = st.segmented_control(
        "Part",
        words,
        default=words[0],
        required=True,
        key="given",
        bind="query-params",
        help="As the data set calls it: by folders, lists of scenes or dataset.toml.",
    )
    return GivenPart(word, frozenset(scene.name for scene in dataset.scenes if scene.split == word))


def known_splits(dataset: Dataset) -> dict[str, tuple[Protocol, str | None]]:
    """Return every way to split a data set: by patch, by scene, as it says itself, and by each tile.

    By the name in the list: a protocol and, for ``tile``, the tile. A tile with the name of a protocol says what it is.
    """
    splits: dict[str, tuple[Protocol, str | None]] = {"patch": ("patch", None)}
    if len(dataset.scenes) > 1:
        splits["scene"] = ("scene", None)
    if dataset.splits:
        splits["given"] = ("given", None)
    if len(dataset.tiles) > 1:
        splits |= {f"{tile} (tile)" if tile in PROTOCOLS else tile: ("tile", tile) for tile in dataset.tiles}
    return splits


def with_splits(patches: pd.DataFrame, dataset: Dataset) -> pd.DataFrame:
    """Return the rows of `Health.patches` with the splits that the data set brings."""
    return patches.assign(split=patches["scene"].map({scene.name: scene.split for scene in dataset.scenes}))


def measures(palette: Palette) -> dict[str, Callable[[pd.DataFrame], pd.Series]]:
    """Return what scenes or patches can be ordered by: from the rows of a table to numbers, by their name."""
    names = list(palette.names)
    return {
        "Brightness": lambda table: table["brightness"],
        "Contrast": lambda table: table["contrast"],
        "Number of classes": lambda table: (table[names] > 0).sum(axis=1),
        **{f"Share of {name}": partial(_share, names, name) for name in names},
    }


def _share(names: list[str], name: str, table: pd.DataFrame) -> pd.Series:
    return table[name] / table[[*names, VOID_NAME]].sum(axis=1)


def choose_order(dataset: Dataset) -> Order:
    """Let the user choose an order."""
    by = st.selectbox(
        "Sort by",
        ["Name", *measures(dataset.palette)],
        key="sort",
        bind="query-params",
        help="Brightness and contrast are mean and deviation of grey.",
    )
    if by == "Name":
        return Order(by)
    return Order(by, st.toggle("Highest first", True, key="falling", bind="query-params", help="Or lowest first."))


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
