"""The data set and the run in use, and whether they are healthy."""

from collections.abc import Iterable

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from segmentation.data.declaration import DECLARATION, declaration_file
from segmentation.data.health import FINDINGS
from segmentation.data.patches import PATCH_SIZE
from segmentation.data.scenes import Dataset
from segmentation.errors import printable
from segmentation.runs.records import Metrics
from segmentation.runs.run import Run
from segmentation.ui.address import link_to
from segmentation.ui.home.add_run import link_to_add_run
from segmentation.ui.home.runs import link_to_runs
from segmentation.ui.home.set_up import link_to_set_up
from segmentation.ui.loaders.health import load_health
from segmentation.ui.loaders.scenes import load_tile_table
from segmentation.ui.shell.pages import GALLERY
from segmentation.ui.shell.words import FLATTERED, INTERVAL, SCORED, between, code, plain, protocol_line, score

STATE_ICONS = {
    "running": ":material/sync:",
    "finished": ":material/check_circle:",
    "stopped": ":material/pause_circle:",
    "failed": ":material/error:",
    "stalled": ":material/warning:",
}


WORST = ":material/crisis_alert:"


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
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            read_as = declaration_file(dataset.root)
            st.caption(
                f"Folder {code(dataset.root.name)}" + (f", read as {DECLARATION} says" if read_as else ""),
                help=code(printable(str(read_as))) if read_as else None,
                width="content",
            )
            link_to_set_up("Change how it is read")
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
        st.info("No run is here yet. Train one: `python -m segmentation train --name first`, or add what you have.")
        link_to_add_run()
        return
    with st.container(border=True):
        metrics = run.metrics
        figures = st.grid(4, min_column_width=88)
        by_name = metrics.intervals.by_name if metrics and metrics.intervals else {}
        for name in ("accuracy", "jaccard", "mean_iou"):
            kind, spread = Metrics.kinds[name], between(by_name.get(name))
            meaning = f"{kind.meaning} {SCORED}" + (f" {INTERVAL}" if spread else "")
            figures.metric(
                kind.heading, score(getattr(metrics, name, None)), spread, "off", delta_arrow="off", help=meaning
            )
        figures.metric("Epochs", len(run.history.table) if run.history else "–")
        status = run.status
        reason = f": {plain(status.reason)}" if status.reason else ""
        problems = f" · {plain(', '.join(run.problems))}" if run.problems else ""
        left_out = f" · {plain(run.left_out)}" if run.left_out else ""
        st.markdown(f"{STATE_ICONS.get(status.state, '')} Health: {plain(status.state)}{reason}{left_out}{problems}")
        scored = [protocol_line(metrics) if metrics else "not evaluated yet", *[FLATTERED] * run.is_flattered]
        st.caption(" · ".join([code(run.name), *scored]))
        with st.container(horizontal=True, horizontal_alignment="distribute"):
            if metrics:
                worst = link_to(GALLERY)
                st.page_link(GALLERY, label="Its worst patches", icon=WORST, query_params=worst, width="content")
            link_to_runs("Compare all runs")
            link_to_add_run()
    if dataset and run.palette and not run.knows(dataset.palette):
        st.warning("This run was trained on other classes than this data set has: its scores say nothing about it.")
