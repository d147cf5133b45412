"""The parts of the home page."""

import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from segmentation.data.download import HANDLE, MEGABYTES, PAGE
from segmentation.data.health import FINDINGS
from segmentation.data.images import png_bytes
from segmentation.data.locate import ALLOWED_VARIABLE, DATA_FOLDER, PROJECT, VARIABLE, check_allowed
from segmentation.data.patches import PATCH_SIZE, cut, grid
from segmentation.data.scenes import Dataset, find_dataset
from segmentation.errors import DONE, STOPPED, SegmentationError
from segmentation.runs.records import Metrics
from segmentation.runs.run import Run
from segmentation.ui.address import link_to
from segmentation.ui.charts.network import network_figure
from segmentation.ui.loaders.health import load_health
from segmentation.ui.loaders.scenes import load_scene, load_tile_table
from segmentation.ui.pictures import draw_patch_grid, fit, overlay
from segmentation.ui.session import session
from segmentation.ui.shell.access import readable
from segmentation.ui.shell.dataset import add_folder
from segmentation.ui.shell.faults import show_errors
from segmentation.ui.shell.masks import display_palette
from segmentation.ui.shell.pages import BROWSER, EXPLORER, GALLERY, MONITOR, PAGES
from segmentation.ui.shell.words import SCORED, code, plain, protocol_line, score

ALTERNATIVES = {
    "scene": "Scene",
    "grid": "Grid of patches over",
    "pixels-image": "Image of a patch of",
    "pixels-mask": "Mask of the same patch of",
}
"""What those who do not see the pictures are told, by the picture."""

QUESTIONS = {
    BROWSER: "Is my data right?",
    MONITOR: "Is my training going well?",
    EXPLORER: "What does my model see?",
    GALLERY: "Where does it fail?",
}
"""What each page answers."""

STATE_ICONS = {
    "running": ":material/sync:",
    "finished": ":material/check_circle:",
    "stopped": ":material/pause_circle:",
    "failed": ":material/error:",
    "stalled": ":material/warning:",
}


def dataset_card(dataset: Dataset | None) -> tuple[DeltaGenerator, DeltaGenerator] | None:
    """Show the data set in use and its size; return the places for its patches and for its health in one line."""
    st.subheader("Data set", anchor=False)
    if dataset is None:
        st.info("No labelled scenes are in use. Choose a data set in the sidebar, or add one below.")
        return None
    with st.container(border=True):
        figures = st.grid(4, min_column_width=88)
        figures.metric("Tiles", f"{len(dataset.tiles):,}")
        figures.metric("Scenes", f"{len(dataset.scenes):,}")
        patches = figures.cell().empty()
        _show_patches(patches, int(load_tile_table(dataset, PATCH_SIZE)["patches"].sum()))
        figures.metric("Classes", len(dataset.palette))
        health = st.container()
        st.caption(f"Folder {code(dataset.root.name)}")
    return patches, health


def _show_patches(place: DeltaGenerator, count: int) -> None:
    place.metric("Patches", f"{count:,}", help=f"Patches of {PATCH_SIZE} px, cut without overlap.")


def health_line(dataset: Dataset, patches: DeltaGenerator, place: DeltaGenerator) -> None:
    """Say in one line what the health report found; reading every scene may take seconds.

    Args:
        dataset: The scenes.
        patches: Where their patches are counted: those of scenes that cannot be read to the end are none.
        place: Where the line goes.
    """
    with place:
        health = load_health(dataset)
        if not health.unread:
            _show_patches(patches, len(health.patches))
        kinds = health.findings[health.findings["severity"] != "note"]["kind"].value_counts()
        if kinds.empty and health.unread:
            st.markdown(":material/hourglass: Health: nothing wrong was found so far")
        elif kinds.empty:
            st.markdown(":material/check_circle: Health: nothing wrong was found")
        else:
            found = ", ".join(f"{count} × {kind}" for kind, count in kinds.items())
            left_out = len(dataset.scenes) - len(health.unread) - health.patches["scene"].nunique()
            without = (
                f"{left_out:,} of {len(dataset.scenes):,} scenes give no patch of {PATCH_SIZE} px: " if left_out else ""
            )
            st.markdown(f":material/warning: Health: {without}{found}", help=_explain(kinds.index))


def _explain(kinds: Iterable[str]) -> str:
    return "\n".join(f"- {kind}: {FINDINGS[kind][1]}" for kind in kinds)


def run_card(run: Run | None, dataset: Dataset | None) -> None:
    """Show the run in use, its scores, and its health in one line."""
    st.subheader("Run", anchor=False)
    if run is None:
        st.info("No run is here yet. Train one: `python -m segmentation train --name first`")
        return
    with st.container(border=True):
        metrics = run.metrics
        figures = st.grid(4, min_column_width=88)
        for name in ("accuracy", "jaccard", "mean_iou"):
            kind = Metrics.kinds[name]
            figures.metric(kind.heading, score(getattr(metrics, name, None)), help=f"{kind.meaning} {SCORED}")
        figures.metric("Epochs", len(run.history.table) if run.history else "–")
        status = run.status
        reason = f": {plain(status.reason)}" if status.reason else ""
        problems = f" · {plain(', '.join(run.problems))}" if run.problems else ""
        left_out = f" · {plain(run.left_out)}" if run.left_out else ""
        st.markdown(f"{STATE_ICONS.get(status.state, '')} Health: {plain(status.state)}{reason}{left_out}{problems}")
        st.caption(f"{code(run.name)} · {protocol_line(metrics) if metrics else 'not evaluated yet'}")
    if dataset and run.palette and not run.knows(dataset.palette):
        st.warning("This run was trained on other classes than this data set has: its scores say nothing about it.")


def pipeline(dataset: Dataset, run: Run | None) -> None:
    """Show the way of the data in pictures of the data set in use: scene, patches, image and mask, network."""
    with show_errors():
        scene = dataset.scenes[0]
        image, mask = load_scene(scene, dataset.palette, dataset.stretch)
        height, width = mask.shape
        rows, columns_ = grid(height, width, PATCH_SIZE)
        if not rows * columns_:
            return
        # The patch with the most classes shows best what a mask is.
        masks = cut(mask, PATCH_SIZE)
        best = int(np.argmax([len(np.unique(patch)) for patch in masks]))
        patch, patch_mask = cut(image, PATCH_SIZE)[best], masks[best]
        steps = (
            (fit(image, 700, smooth=True), f"**1 Scene** {width} × {height} px"),
            (
                fit(draw_patch_grid(image, PATCH_SIZE), 700, smooth=True),
                f"**2 Patches** cropped and cut to {columns_} × {rows} of {PATCH_SIZE} px",
            ),
            (patch, "**3 Image** rescaled to 0–1 inside the network"),
            (overlay(patch, patch_mask, display_palette(dataset.palette), 1.0), "**4 Mask** one class index a pixel"),
        )
        # Columns as wide as their pictures' shapes make all pictures equally high.
        columns = st.columns([picture.shape[1] / picture.shape[0] for picture, _ in steps])
        for column, key, (picture, caption) in zip(
            columns, ("scene", "grid", "pixels-image", "pixels-mask"), steps, strict=True
        ):
            column.container(key=key).image(
                png_bytes(picture),
                caption=caption,
                width="stretch",
                output_format="PNG",
                alt=f"{ALTERNATIVES[key]} {scene.name}",
            )
    if run and (description := run.architecture):
        st.markdown(
            f"**5 Network** {plain(description.name)} of {code(run.name)}, {description.parameters:,} "
            "parameters: each block with its output shape, skip connections dotted"
        )
        st.plotly_chart(network_figure(description), key="network", config={"displayModeBar": False})


def next_steps() -> None:
    """Link the four pages, each with its question."""
    cards = st.grid(4, min_column_width=180)
    for page, title, icon in PAGES:
        if page in QUESTIONS:
            with cards, st.container(border=True):
                st.page_link(page, label=f"**{title}**", icon=icon, query_params=link_to(page))
                st.caption(QUESTIONS[page])


def add_dataset() -> None:
    """Let the user name a folder of their own, or fetch the real set."""
    cards = st.grid(2, min_column_width=380, gap="medium")
    with cards, st.form("folder", border=True):
        typed = st.text_input(
            "Folder on this machine",
            placeholder="/data/my-city",
            help="It holds folders named images and masks side by side, with files of the same name in both; a "
            f"class_dict.csv (name,r,g,b) in it names the classes. {VARIABLE} sets the default, "
            f"{ALLOWED_VARIABLE} what else may be read.",
        )
        if st.form_submit_button("Use this folder", type="primary", icon=":material/folder_open:") and typed.strip():
            with show_errors():
                folder = check_allowed(Path(typed.strip()), readable())
                find_dataset(folder, readable())
                _use(folder)
    with cards, st.container(border=True):
        st.markdown(f"**MBRSC aerial imagery of Dubai** · 72 scenes, {MEGABYTES} MB, CC0, from `{HANDLE}`")
        target = DATA_FOLDER
        try:
            find_dataset(target, readable())
        except SegmentationError:
            if download := session().download:
                _watch_download(target, *download)
            elif st.button(
                "Download",
                icon=":material/download:",
                help=f"Fetched from {PAGE} into data/; no account is needed.",
            ):
                session().download_error = ""
                session().download = _start_download(target)
                st.rerun()
            if session().download_error:
                st.warning(session().download_error, icon=":material/cloud_off:")
        else:
            st.caption("It is here already.")
            if st.button("Use it", icon=":material/check:"):
                _use(target)


def _use(folder: Path) -> None:
    """Choose `folder` as the data set and draw the page again with it."""
    session().next_dataset = add_folder(folder)
    st.rerun()


def _start_download(folder: Path) -> tuple[subprocess.Popen, IO[bytes]]:
    """Run the download command in a process of its own, so that it can be watched and cancelled; with its log."""
    log = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
    command = [sys.executable, "-m", "segmentation", "download", "--folder", str(folder)]
    process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=log)  # noqa: S603 (no word is a user's)
    return process, log


@st.fragment(run_every=1.0)
@show_errors()
def _watch_download(folder: Path, process: subprocess.Popen, log: IO[bytes]) -> None:
    """Show how the download goes, and what came of it."""
    log.seek(0)
    lines = log.read().decode(errors="replace").replace("\r", "\n").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    if process.poll() is None:
        st.caption(f":material/downloading: {plain(last) or 'Connecting …'}")
        if st.button("Cancel", icon=":material/cancel:"):
            process.terminate()
        return
    session().download = None
    if process.returncode == DONE:
        _use(folder)
    session().download_error = "The download was cancelled." if process.returncode == STOPPED else last
    st.rerun()
