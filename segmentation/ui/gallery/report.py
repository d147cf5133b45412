"""The run in use as a report to send: one file."""

import streamlit as st

from segmentation.data.locate import check_allowed, runs_folder
from segmentation.report.build import report_name
from segmentation.runs.reviews import Reviews
from segmentation.runs.run import Run
from segmentation.ui.gallery.evaluated import EvaluatedRun
from segmentation.ui.loaders.reports import load_report, report_mark
from segmentation.ui.loaders.scenes import load_fingerprint
from segmentation.ui.session import session
from segmentation.ui.shell.access import readable
from segmentation.ui.shell.faults import show_errors
from segmentation.ui.shell.masks import display_palette
from segmentation.ui.shell.run import other_runs
from segmentation.ui.shell.words import code, plain


def offer_report(evaluated: EvaluatedRun, view: str) -> None:
    """Offer the run's report as a file; in the view of two runs, that of both."""
    run, other = evaluated.run, _compared(evaluated.run, view)
    with st.popover("Report", icon=":material/description:", help="One file to send, to print and to keep."):
        of = plain(f"{run.name} and {other.name}, compared" if other else run.name)
        st.caption(
            f"Of {of}: one HTML file that opens anywhere without a network and prints on A4. Scores with intervals, "
            "the worst patches with pictures, suspect labels, curves, data, model, and the commands that repeat it."
        )
        with show_errors():
            _make(evaluated, other)
        compare = f" --compare {other.name}" if other else ""
        st.caption(f"Without this page: {code(f'python -m segmentation report --run {run.name}{compare}')}")


def _make(evaluated: EvaluatedRun, other: Run | None) -> None:
    """Make the report when that is asked for, and offer it until what it shows changes."""
    run, dataset = evaluated.run, evaluated.dataset
    reviews = Reviews(runs_folder(), load_fingerprint(dataset))
    check_allowed(reviews.path, readable())
    safe = display_palette(evaluated.palette) != evaluated.palette
    mark = report_mark(run, other, dataset, reviews, safe)
    help_text = "Takes some seconds: the patches that it shows are predicted."
    if st.button("Make the report", type="primary", icon=":material/description:", key="make-report", help=help_text):
        session().report = mark
    if session().report == mark:
        st.download_button(
            "Download the report",
            load_report(mark, run, other, dataset, reviews, safe),
            report_name(run, other),
            "text/html",
            key="download-report",
            icon=":material/download:",
            on_click="ignore",
            help="HTML: open it in any browser, and print it from there.",
        )


def _compared(run: Run, view: str) -> Run | None:
    """Return the run that is compared in the view of two runs; what the address says counts before it is drawn."""
    name = st.session_state.get("with") or st.query_params.get("with")
    if view != "Two runs" or not name:
        return None
    return other_runs(run, lambda other: other.patches is not None).get(name)
