"""Dataset browser: scenes and patches with their masks, class shares, and the health report."""

import streamlit as st

from segmentation.ui.browser.views import VIEWS
from segmentation.ui.shell.dataset import choose_dataset
from segmentation.ui.shell.frame import page
from segmentation.ui.shell.masks import legend
from segmentation.ui.shell.run import settle_run

with page(
    "Dataset browser", "Is my data right? Every scene with its mask, how the classes share the area, and what is odd."
):
    dataset = choose_dataset()
    settle_run(dataset)  # for links from here
    if dataset is None:
        st.stop()
    view = st.segmented_control(
        "View",
        list(VIEWS),
        default="Scenes",
        required=True,
        key="view",
        bind="query-params",
        label_visibility="collapsed",
    )
    legend(dataset.palette, void=True)
    VIEWS[view](dataset)
