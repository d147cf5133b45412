"""What is wrong between the parts of a split: copies that are trained on, and ground that both parts show."""

import pandas as pd
import streamlit as st

from segmentation.data.health import Health
from segmentation.data.scenes import Dataset
from segmentation.data.split_health import SplitHealth
from segmentation.tables import to_safe_csv
from segmentation.ui.loaders.scenes import load_patch_thumbnail, load_thumbnail
from segmentation.ui.shell.faults import show_errors
from segmentation.ui.shell.frame import turn_pages
from segmentation.ui.shell.masks import display_palette
from segmentation.ui.shell.words import plain

THUMBNAIL = 420
"""Longest side of a picture, in pixels."""

PAIRS_A_PAGE = 4


def show_split_findings(dataset: Dataset, health: Health, size: int, split: str, found: SplitHealth) -> None:
    """Show the copies of held-out pictures that are trained on, side by side, and overlaps on the ground.

    Args:
        dataset: The scenes.
        health: Its health report.
        size: Side of a patch, in pixels.
        split: What the split is called.
        found: What was found between its parts.
    """
    st.subheader("Copies across the parts", anchor=False)
    _say_copies(health, found)
    if not found.copies.empty:
        _show_copies(dataset, health, size, split, found.copies)
    st.subheader("Overlaps on the ground", anchor=False)
    _show_overlaps(dataset, found)


def _say_copies(health: Health, found: SplitHealth) -> None:
    """Say how many held-out patches have a copy, and what was compared."""
    so_far = " so far" if health.unread else ""
    compared = (
        f"{found.compared:,} held-out patches and their scenes were compared{so_far} with all that is trained on, "
        "turned and mirrored in eight ways, whatever their brightness and contrast."
    )
    if found.plain:
        compared += f" {found.plain:,} patches show too little to tell, such as open water."
    if found.left_out:
        compared += f" {found.left_out:,} were left out, since there are so many: every so many-th was taken."
    if found.copies.empty:
        st.success(f"No copy of a held-out picture is trained on. {compared}", icon=":material/check_circle:")
        return
    st.warning(
        f"**{found.copied_patches:,} held-out patches have a copy or near-duplicate that is trained on**: scores on "
        "them say what the model remembers. Keep copies of a scene in one part: put them into one folder and hold that "
        f"out (protocol tile), or leave them out. {compared}",
        icon=":material/content_copy:",
    )


def _show_copies(dataset: Dataset, health: Health, size: int, split: str, copies: pd.DataFrame) -> None:
    """Show pairs of pictures page by page, and offer them as a table."""
    places = health.patches.set_index("patch")[["scene", "row", "column"]]
    shown = turn_pages(copies, PAIRS_A_PAGE, len(copies), "pairs", ("copies", dataset.root, split, size))
    for pair in shown.itertuples():
        with st.container(border=True), show_errors():
            parts = ("Held out", pair.held_out), ("Trained on", pair.trained_on)
            for half, (part, name) in zip(st.columns(2), parts, strict=True):
                picture = _picture(dataset, places, name, size)
                half.image(picture, width="stretch", output_format="PNG", alt=f"{part}: {name}")
                half.caption(f"{part}: {plain(name)}")
            patches = "1 held-out patch" if pair.patches == 1 else f"{pair.patches:,} held-out patches"
            st.caption(f"Copied: {pair.turn} · correlation {pair.similarity:.3f} · {patches}")
    st.download_button(
        "Download the pairs",
        to_safe_csv(copies),
        "copies.csv",
        "text/csv",
        key="copies-csv",
        icon=":material/download:",
        help="A row for each held-out scene or patch with a copy that is trained on.",
    )


def _picture(dataset: Dataset, places: pd.DataFrame, name: str, size: int) -> bytes:
    """Return the picture of a scene or of a patch, without its mask, as PNG."""
    colors = display_palette(dataset.palette)
    if name not in places.index:
        return load_thumbnail(dataset.scene(name), dataset.palette, dataset.stretch, colors, 0, THUMBNAIL)
    scene, row, column = places.loc[name]
    return load_patch_thumbnail(
        dataset.scene(scene), dataset.palette, dataset.stretch, colors, 0, int(row), int(column), size
    )


def _show_overlaps(dataset: Dataset, found: SplitHealth) -> None:
    """Show which scenes of different parts lie on the same ground."""
    if not found.placed:
        st.info(
            "No scene says where it lies, so that overlaps cannot be told: GeoTIFF and JPEG 2000 with a coordinate "
            "system do.",
            icon=":material/public_off:",
        )
        return
    if found.overlaps.empty:
        st.success(
            f"No two scenes of different parts overlap on the ground. {found.placed:,} of {len(dataset.scenes):,} "
            "scenes say where they lie.",
            icon=":material/check_circle:",
        )
        return
    st.warning(
        f"**{len(found.overlaps):,} pairs of scenes of different parts overlap on the ground**: what is held out there "
        "is trained on too. Put overlapping scenes into one part.",
        icon=":material/layers:",
    )
    table = found.overlaps.assign(share=100 * found.overlaps["share"])
    st.dataframe(
        table,
        hide_index=True,
        key="overlaps",
        column_config={
            "held_out": "Held out",
            "trained_on": "Trained on",
            "area": st.column_config.NumberColumn("Overlap, m²", format="localized"),
            "share": st.column_config.NumberColumn(
                "Share, %", format="%.1f", help="Of the held-out scene's own ground, in per cent."
            ),
        },
    )
    st.download_button(
        "Download the overlaps",
        to_safe_csv(found.overlaps),
        "overlaps.csv",
        "text/csv",
        key="overlaps-csv",
        icon=":material/download:",
        help="A row for each pair, with areas on the ellipsoid in m².",
    )
