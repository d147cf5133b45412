"""Prediction explorer: image, ground truth and prediction, linked, for the data set's scenes or an upload."""

import streamlit as st

from segmentation.ui.explorer.comparison import compare
from segmentation.ui.explorer.model import Model
from segmentation.ui.explorer.random_patches import random_patches
from segmentation.ui.explorer.sources import ORTHOPHOTO, RANDOM, choose_scene, choose_source
from segmentation.ui.explorer.uploads import choose_upload
from segmentation.ui.explorer.view import choose_view
from segmentation.ui.shell.dataset import choose_dataset
from segmentation.ui.shell.frame import page
from segmentation.ui.shell.masks import legend
from segmentation.ui.shell.pages import DATASET
from segmentation.ui.shell.run import choose_run

with page("Prediction explorer", "What does my model see? Image, ground truth and prediction side by side."):
    dataset = choose_dataset()
    model = Model.of(choose_run(dataset))
    if model is None:
        st.info(
            "This run has no model to predict with: choose another run in the sidebar.",
            icon=":material/model_training:",
        )
        st.stop()
    source = choose_source(dataset)
    legend(model.palette, void=True)
    if source == RANDOM:
        random_patches(dataset, model)
    elif source == ORTHOPHOTO:
        from segmentation.ui.explorer import orthophotos  # imports GDAL: only where it is needed

        orthophotos.show(model)
    elif subject := choose_scene(dataset, model) if source == DATASET else choose_upload(dataset, model):
        compare(subject, model, choose_view(model, subject))
