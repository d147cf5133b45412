"""Prediction explorer: image, ground truth and prediction, linked, for the data set's scenes or an upload."""

import streamlit as st

from segmentation.ui import explorer
from segmentation.ui.layout import DATASET, choose_dataset, choose_run, legend, page

with page("Prediction explorer", "What does my model see? Image, ground truth and prediction side by side."):
    dataset = choose_dataset()
    run = choose_run(dataset)
    if run is None or run.model is None or run.palette is None:
        st.info(
            "This run has no model to predict with: choose another run in the sidebar.",
            icon=":material/model_training:",
        )
        st.stop()
    source = explorer.choose_source(dataset)
    legend(run.palette, void=True)
    if source == explorer.RANDOM:
        explorer.random_patches(dataset, run)
    elif source == explorer.ORTHOPHOTO:
        from segmentation.ui import orthophotos  # imports GDAL: only where it is needed

        orthophotos.show(run)
    elif subject := explorer.choose_scene(dataset, run) if source == DATASET else explorer.choose_upload(run):
        explorer.compare(subject, run, explorer.choose_view(run))
