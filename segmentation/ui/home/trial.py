"""What a model or predictions make of a few patches or scenes, before they are added as a run."""

import numpy as np
import streamlit as st

from segmentation.data.images import png_bytes
from segmentation.data.palette import VOID
from segmentation.errors import ImageFileError
from segmentation.ui.loaders.trials import Trial
from segmentation.ui.pictures import overlay
from segmentation.ui.shell.faults import refuse
from segmentation.ui.shell.masks import display_palette, legend
from segmentation.ui.shell.words import plain

TITLES = ("Image", "Ground truth", "Prediction")

MOST_SAID = 6
"""Sentences that are shown."""


def say_found(trial: Trial) -> None:
    """Say what was found out, a line for each sentence."""
    st.markdown("**What was found out**")
    st.markdown("\n".join(f"- {plain(sentence)}" for sentence in trial.remarks[:MOST_SAID]))
    if len(trial.remarks) > MOST_SAID:
        st.caption(f"{len(trial.remarks) - MOST_SAID:,} more are in the gallery under Findings once it is added.")


def show_samples(trial: Trial) -> None:
    """Show image, ground truth and prediction of each sample in a row, in register."""
    colors = display_palette(trial.palette)
    legend(trial.palette, void=True)
    for column, title in zip(st.columns(3), TITLES, strict=True):
        column.markdown(f"**{title}**")
    for place, sample in enumerate(trial.samples):
        if sample.pixels is None:
            refuse(ImageFileError(sample.trouble))
            continue
        image, truth, predicted = sample.pixels
        pictures = image, overlay(image, truth, colors, 1), overlay(image, predicted, colors, 1)
        for column, title, picture in zip(st.columns(3), TITLES, pictures, strict=True):
            kind = "smooth" if title == TITLES[0] else "pixels"
            column.container(key=f"{kind}-{title}-{place}").image(
                png_bytes(picture), width="stretch", output_format="PNG", alt=f"{title} of {sample.name}"
            )
        st.caption(f"{plain(sample.name)} · {_agreement(truth, predicted)}")


def _agreement(truth: np.ndarray, predicted: np.ndarray) -> str:
    scored = (truth != VOID) & (predicted != VOID)
    if not scored.any():
        return "nothing to compare"
    return f"{100 * (truth == predicted)[scored].mean():.1f} % of the labelled pixels are right"
