"""What is odd about the data set."""

import streamlit as st

from segmentation.data.health import FINDINGS
from segmentation.data.scenes import Dataset
from segmentation.tables import to_safe_csv
from segmentation.ui.browser.open_scene import open_scene
from segmentation.ui.loaders.health import load_health

SEVERITY_ICONS = {"error": "⛔ error", "warning": "⚠️ warning", "note": "ℹ️ note"}


def show_health(dataset: Dataset) -> None:
    """Show the health report; a click on a row opens its scene."""
    health = load_health(dataset)
    findings = health.findings
    if findings.empty and not health.unread:
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
        st.button(
            "Open the scene",
            disabled=not scene,
            icon=":material/image:",
            help="Choose a row first.",
            on_click=open_scene,
            args=(scene,),
        )
        st.download_button(
            "Download the report",
            to_safe_csv(findings),
            "health.csv",
            "text/csv",
            key="health-csv",
            icon=":material/download:",
        )
    with st.expander("What the findings mean"):
        for kind, (severity, meaning) in FINDINGS.items():
            st.markdown(f"{SEVERITY_ICONS[severity]} **{kind}**: {meaning}.")
