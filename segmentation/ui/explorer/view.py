"""How it is predicted and drawn."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import streamlit as st

from segmentation.inference.options import PLAIN, Inference
from segmentation.ui.explorer.model import Model
from segmentation.ui.explorer.sources import Subject
from segmentation.ui.explorer.thresholds import choose_thresholds
from segmentation.ui.shell.masks import choose_mask_style, choose_opacity
from segmentation.ui.shell.run import other_runs

IMAGE, TRUTH, PREDICTION, ERRORS = "Image", "Ground truth", "Prediction", "Errors"

FURTHER = ("Second run", "Third run", "Fourth run")
"""What further runs predict: whoever chooses one wants to see it."""

DIFFERENCES = ("Where they differ", "Where the third differs", "Where the fourth differs")
"""Where each differs from the run in use."""

FURTHER_ERRORS = ("Errors of the second", "Errors of the third", "Errors of the fourth")

KINDS_OF_ERROR = "Kinds of error"
"""Of the run in use: where its outlines are off, objects too small or too large, or missed or invented whole."""

CONFIDENCE, ENTROPY, PROBABILITY = "Confidence", "Entropy", "One class"


@dataclass(frozen=True)
class View:
    """How the pictures are to be drawn, as the sidebar says.

    Args:
        opacity: How much a mask covers of the image, 0–1.
        outlined: Draw the classes' borders only.
        classes: The class indices to draw; None for all.
        least_confidence: Below it, a prediction is drawn as void.
        inference: How to predict.
        others: Up to three other runs' models to compare with.
        thresholds: Of the run in use, by class: from which probability on pixels are of it.
    """

    opacity: float
    outlined: bool
    classes: list[int] | None
    least_confidence: float
    inference: Inference
    others: tuple[Model, ...]
    thresholds: Mapping[str, float] = field(default_factory=dict)


def choose_view(model: Model, subject: Subject) -> View:
    """Draw the sidebar's last part; the view is of pictures that `model` predicts of `subject`."""
    sidebar = st.sidebar
    sidebar.subheader("View", anchor=False)
    others = other_runs(model.run, lambda other: bool(other.model or (subject.place and other.predictions)))
    names = sidebar.multiselect(
        "Compare with",
        list(others),
        max_selections=len(FURTHER),
        key="with",
        bind="query-params",
        placeholder="No other run",
        help="Up to three further runs on the same picture, and where they differ from this one.",
    )
    with sidebar:
        opacity = choose_opacity(100)
        outlined, classes = choose_mask_style(model.palette)
    compared = tuple(filter(None, (Model.of(others[name]) for name in names)))
    if not any(of.path for of in (model, *compared)):  # recorded: without confidence, and not to be predicted
        return View(opacity, outlined, classes, 0, PLAIN, compared)
    least = sidebar.slider(
        "Least confidence, %",
        0,
        100,
        0,
        step=5,
        key="least",
        bind="query-params",
        help="Pixels that the model is less sure of are drawn as No class. Scores do not change.",
    )
    with sidebar:
        thresholds = choose_thresholds(model.run, model.palette) if model.path else {}
        inference = choose_windows()
    return View(opacity, outlined, classes, least / 100, inference, compared, thresholds)


def choose_windows() -> Inference:
    """Let the user choose how to predict: with test-time augmentation or not, and how far windows overlap."""
    tta = st.toggle(
        "Test-time augmentation",
        key="tta",
        bind="query-params",
        help="Predict the eight flips and rotations of every patch and average them: often better, eight times slower.",
    )
    overlap = st.select_slider(
        "Window overlap, %",
        [0, 25, 50],
        25,
        key="overlap",
        bind="query-params",
        help="Share of a patch's side. With 0 a large picture is cut into patches as in the article. Otherwise it is "
        "seen through windows twice as wide; where they overlap, predictions are averaged, so that no seams show. "
        "50 takes about twice as long.",
    )
    return Inference(overlap / 100, tta)
