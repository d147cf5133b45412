"""What verdicts on labels make of a run's scores, the regions as files, and scores against corrected masks."""

from pathlib import Path

import pandas as pd
import streamlit as st

from segmentation.data.locate import check_allowed
from segmentation.evaluation.audit_run import Audit
from segmentation.evaluation.gains import signed
from segmentation.evaluation.rescoring import TwoTruths
from segmentation.intervals import LEAST as LEAST_SCENES
from segmentation.intervals import Interval
from segmentation.runs.region_verdicts import RIGHT, UNSURE, WRONG
from segmentation.tables import to_safe_csv
from segmentation.ui.gallery.evaluated import EvaluatedRun
from segmentation.ui.loaders.label_audit import score_if_wrong, score_on_labels
from segmentation.ui.session import session
from segmentation.ui.shell.access import readable
from segmentation.ui.shell.faults import show_errors
from segmentation.ui.shell.words import INTERVAL_ALONE, between, plain, score

SHOWN = {"mean_iou": "Mean IoU", "accuracy": "Accuracy"}
"""Scores that are shown large, by their names."""


def show_if_right(evaluated: EvaluatedRun, audit: Audit, table: pd.DataFrame) -> None:
    """Say what the scores would be if the verdicts are right.

    Args:
        evaluated: The run.
        audit: Its regions.
        table: All of them, with verdicts.
    """
    st.subheader("If your verdicts are right", anchor=False)
    counts = table["verdict"].value_counts()
    wrong, right, unsure = (int(counts.get(verdict, 0)) for verdict in (WRONG, RIGHT, UNSURE))
    if not wrong:
        st.caption(
            f"Labels judged right: {right:,}; unsure: {unsure:,}; none wrong. Judge some, and the scores with these "
            "labels put right are here."
        )
        return
    st.caption(
        f"Labels judged wrong: {wrong:,}; right: {right:,}; unsure: {unsure:,}. With the class predicted in place of "
        "those that are wrong, the held-out part would score as below; labels in other parts change nothing there. "
        "Only labels that the model contradicts were looked at, so that accuracy can only rise: wrong labels that the "
        "model agrees with stay."
    )
    with show_errors():
        places = table[table["verdict"] == WRONG].groupby("scene", sort=False)["place"].apply(list).to_dict()
        _show_both(score_if_wrong(evaluated.run, evaluated.dataset, audit, places), "if")


def _show_both(truths: TwoTruths, key: str) -> None:
    """Show scores against two truths side by side, with their intervals.

    Args:
        truths: The scores.
        key: What tells the widgets of one such table from those of another.
    """
    rows = truths.scores.set_index("score")
    figures = st.grid(4, min_column_width=200)
    for name, title in SHOWN.items():
        row = rows.loc[name]
        for when, words in (("before", "labels as they are"), ("after", "labels put right")):
            spread = between(Interval(row[f"{when}_low"], row[f"{when}_high"]))
            figures.metric(
                f"{title}, {words}",
                score(row[when]),
                spread,
                "off",
                delta_arrow="off",
                help=f"Of {truths.patches:,} held-out patches, {truths.changed:,} of which have other labels."
                + (f" Below it is its {INTERVAL_ALONE}" if spread else ""),
            )
    told = [f"{title} {rows.loc[name, 'gain']:+.3f}{_interval(rows.loc[name])}" for name, title in SHOWN.items()]
    few = f" Fewer than {LEAST_SCENES} scenes tell no interval." if truths.intervals is None else ""
    st.markdown(f"Difference: {'; '.join(told)}.{few}")
    with st.expander("All scores and classes", key=f"{key}-scores", icon=":material/table_rows:"):
        number = st.column_config.NumberColumn(format="%.3f")
        shown = truths.scores.assign(score=[plain_name(name) for name in truths.scores["score"]])
        columns = {"score": "Score"} | dict.fromkeys(shown.columns[1:], number)
        st.dataframe(shown, hide_index=True, key=f"{key}-table", column_config=columns)


def _interval(row: pd.Series) -> str:
    interval = Interval(row["gain_low"], row["gain_high"])
    return f" ({signed(interval)})" if interval.low == interval.low else ""


def plain_name(name: str) -> str:
    """Return a score's name as people write it."""
    return SHOWN.get(name, name.replace("mean_iou", "mean IoU").replace("_", " "))


def offer_files(evaluated: EvaluatedRun, audit: Audit, listed: pd.DataFrame, table: pd.DataFrame) -> None:
    """Offer the regions that are listed as CSV, GeoJSON and COCO, and the masks with labels put right.

    Args:
        evaluated: The run.
        audit: Its regions.
        listed: Those that are listed, with verdicts.
        table: All of them.
    """
    dataset, name = evaluated.dataset, f"{evaluated.run.name}-label-audit"

    def geojson() -> str:
        from segmentation.evaluation.audit_files import regions_to_geojson

        return regions_to_geojson(listed, dataset, audit.scenes)

    def coco() -> str:
        from segmentation.evaluation.audit_files import regions_to_coco

        return regions_to_coco(listed, dataset, audit.scenes)

    def masks() -> bytes:
        from segmentation.evaluation.relabelling import zip_masks

        wrong = table[table["verdict"] == WRONG].groupby("scene", sort=False)["place"].apply(list).to_dict()
        return zip_masks(dataset, audit.scenes, wrong)

    some = bool(len(listed))
    offers = (
        ("List", lambda: to_safe_csv(listed.drop(columns="place")), "csv", "text/csv", some, "One row per region."),
        (
            "GeoJSON",
            geojson,
            "geojson",
            "application/geo+json",
            some,
            "Outlines for QGIS, up to 10,000: in longitude and latitude where the scene says where it lies, otherwise "
            "in its pixels.",
        ),
        ("COCO", coco, "json", "application/json", some, "Annotations of the class predicted, for CVAT and others."),
        (
            "Corrected masks",
            masks,
            "zip",
            "application/zip",
            bool((table["verdict"] == WRONG).any()),
            "The masks with every label that was judged wrong put right, in the colours or values of the data set.",
        ),
    )
    with st.container(horizontal=True, key="audit-files"):
        for label, make, suffix, kind, there, told in offers:
            st.download_button(
                label,
                make,
                f"{name}.{suffix}",
                kind,
                key=f"audit-{suffix}",
                icon=":material/download:",
                on_click="ignore",
                disabled=not there,
                help=told,
            )


def show_other_labels(evaluated: EvaluatedRun) -> None:
    """Let the user name a folder of corrected masks, and show what they change and both scores."""
    st.subheader("Corrected masks", anchor=False)
    with st.form("other-labels", border=False):
        path = st.text_input(
            "Folder of corrected masks",
            key="labels-folder",
            placeholder="/data/corrected",
            help="On the machine that serves this page: masks named and encoded as those of the data set. Scenes "
            "without one keep theirs; nothing is replaced.",
        )
        if st.form_submit_button("Compare", icon=":material/difference:", help="Predicts again what has other labels."):
            session().labels_compared = Path(path.strip()).expanduser() if path.strip() else None
    folder = session().labels_compared
    if folder is None:
        st.caption(
            "Masks that were corrected in another program come back by their folder: what changed is shown by class "
            "and scene, and this run is scored against the old and the new labels."
        )
        return
    with show_errors():
        check_allowed(folder, readable())
        found = score_on_labels(evaluated.run, evaluated.dataset, folder, readable())
        for sentence in found.findings:
            st.warning(plain(sentence), icon=":material/warning:")
        pixels = found.pixels
        scenes = pixels["scene"].nunique()
        st.markdown(f"**{int(pixels['pixels'].sum()):,} pixels** differ, in {scenes:,} of {found.masks:,} masks.")
        if pixels.empty:
            return
        st.dataframe(
            pixels.sort_values("pixels", ascending=False),
            hide_index=True,
            height=220,
            key="labels-changed",
            column_config={
                "scene": "Scene",
                "before": "Old label",
                "after": "New label",
                "pixels": st.column_config.NumberColumn("Pixels", format="localized"),
            },
        )
        _show_both(found.truths, "labels")
