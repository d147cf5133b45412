"""Worst-case gallery: a run's patches ranked by their IoU, worst first."""

import streamlit as st

from segmentation.ui import gallery
from segmentation.ui.layout import choose_dataset, choose_run, legend, page

with page("Worst-case gallery", "Where does my model fail? Every patch of a run, ranked by its mean IoU, worst first."):
    dataset = choose_dataset()
    run = choose_run(dataset)
    if not gallery.can_show(dataset, run):
        st.stop()
    legend(run.palette, void=True)
    gallery.summary(run)
    view = st.segmented_control(
        "View",
        list(gallery.VIEWS),
        default="Ranking",
        required=True,
        key="view",
        bind="query-params",
        label_visibility="collapsed",
    )
    gallery.VIEWS[view](dataset, run)
