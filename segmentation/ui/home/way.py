"""The way of the data in pictures, and the ways on to the other pages."""

import numpy as np
import streamlit as st

from segmentation.data.images import png_bytes
from segmentation.data.patches import PATCH_SIZE, cut, grid
from segmentation.data.scenes import Dataset
from segmentation.runs.run import Run
from segmentation.ui.address import link_to
from segmentation.ui.charts.network import network_figure
from segmentation.ui.loaders.scenes import load_scene
from segmentation.ui.pictures import draw_patch_grid, fit, overlay
from segmentation.ui.shell.faults import show_errors
from segmentation.ui.shell.masks import display_palette
from segmentation.ui.shell.pages import BROWSER, EXPLORER, GALLERY, MONITOR, PAGES
from segmentation.ui.shell.words import code, plain

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
