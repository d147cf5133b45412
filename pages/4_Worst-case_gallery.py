"""Worst-case gallery: a run's patches ranked by their IoU, worst first."""

import streamlit as st

from segmentation.ui.gallery.report import offer_report
from segmentation.ui.gallery.summary import check_evaluated, summary
from segmentation.ui.gallery.views import VIEWS
from segmentation.ui.shell.dataset import choose_dataset
from segmentation.ui.shell.frame import page
from segmentation.ui.shell.masks import legend
from segmentation.ui.shell.run import choose_run

with page("Worst-case gallery", "Where does my model fail? Every patch of a run, ranked by its mean IoU, worst first."):
    dataset = choose_dataset()
    evaluated = check_evaluated(dataset, choose_run(dataset))
    if evaluated is None:
        st.stop()
    legend(evaluated.palette, void=True)
    summary(evaluated)
    bar = st.container(horizontal=True, horizontal_alignment="distribute")
    view = bar.segmented_control(
        "View",
        list(VIEWS),
        default="Ranking",
        required=True,
        key="view",
        bind="query-params",
        label_visibility="collapsed",
        wrap=True,
    )
    with bar:
        offer_report(evaluated, view)
    VIEWS[view](evaluated)
