"""Image, ground truth and prediction side by side, linked with one another."""

from collections.abc import Callable

import numpy as np
import streamlit as st

from segmentation.data.palette import VOID
from segmentation.data.protocols import apply_void_policy
from segmentation.data.raster import LARGE
from segmentation.inference.prediction import Prediction
from segmentation.runs.run import Run
from segmentation.ui.explorer.downloads import downloads
from segmentation.ui.explorer.scores import show_scores, show_shares
from segmentation.ui.explorer.sources import Subject
from segmentation.ui.explorer.view import (
    ALWAYS,
    CONFIDENCE,
    DIFFERENCE,
    ENTROPY,
    ERRORS,
    IMAGE,
    PREDICTION,
    PROBABILITY,
    SECOND,
    TRUTH,
    View,
)
from segmentation.ui.loaders.predictions import predict
from segmentation.ui.pictures import error_map, fit, heat, nearest, outline, overlay
from segmentation.ui.shell.masks import display_palette
from segmentation.ui.shell.words import plain
from segmentation.ui.viewer import LONGEST, Pane, Reading, viewer

ASKED = "explorer_asked_for"
"""Session state: the large scene that is to be predicted, and how."""


def compare(subject: Subject, run: Run, view: View) -> None:
    """Show the pictures linked with one another, the scores, and the downloads."""
    height, width = subject.image.shape[:2]
    st.caption(" · ".join(filter(None, [f"{plain(subject.name)}, {width:,} × {height:,} px", plain(subject.remark)])))

    truth = None if subject.mask is None else apply_void_policy(subject.mask, run.protocol, run.palette)
    # No larger than they are shown: of a large scene each picture in full would take a gigabyte.
    rows, columns = nearest(height, width, LONGEST)
    image = fit(subject.image, LONGEST, smooth=True)
    classes = None if truth is None else truth[np.ix_(rows, columns)]
    if height * width > LARGE and not _is_asked_for(subject, run, view):
        panes = [Pane(IMAGE, image, smooth=True)]
        if classes is not None:
            panes.append(
                Pane(TRUTH, overlay(image, classes, display_palette(run.palette), view.opacity), view.opacity < 1)
            )
        viewer(subject.name, panes, [], key="viewer", size=(height, width))
        return
    prediction = predict(run.model, subject.image, view.inference)
    second = predict(view.second.model, subject.image, view.inference) if view.second else None
    small, small_second = prediction.at(rows, columns), second and second.at(rows, columns)

    pictures = _pictures(image, classes, small, small_second, run, view)
    shown, wipe = _choose_pictures(pictures)
    panes = [pictures[name]() for name in shown]
    readings = [Reading(PREDICTION, small.classes, run.palette)]
    if classes is not None:
        readings.insert(0, Reading(TRUTH, classes, run.palette))
    if second:
        readings.append(Reading(view.second.name, small_second.classes, run.palette))
    readings.append(Reading(CONFIDENCE, (small.confidence.astype(np.float32) * 255).astype(np.uint8)))
    viewer(subject.name, panes, readings, key="viewer", wipe=wipe, size=(height, width))

    predictions = {run.name: prediction} | ({view.second.name: second} if second else {})
    table = show_shares(predictions, run) if truth is None else show_scores(subject.mask, truth, predictions, run)
    downloads(subject, panes, prediction, table, run)


def _is_asked_for(subject: Subject, run: Run, view: View) -> bool:
    """Offer to predict a large scene, which takes long; tell whether that was asked for, now or earlier."""
    wanted = (subject.name, run.name, view.second and view.second.name, view.inference)
    if st.session_state.get(ASKED) == wanted:
        # A click on it ends this run of the page at the next step of the bar.
        if not st.button("Show it without prediction", icon=":material/cancel:", key="cancel-scene", type="tertiary"):
            return True
        del st.session_state[ASKED]
        st.rerun()
    megapixels = subject.image.shape[0] * subject.image.shape[1] / 1e6
    st.info(
        f"This picture has {megapixels:.0f} megapixels and takes a while; a single patch of a scene is there at once.",
        icon=":material/hourglass_empty:",
    )
    if st.button("Run prediction", type="primary", icon=":material/play_circle:", key="predict-scene"):
        st.session_state[ASKED] = wanted
        st.rerun()
    return False


def _pictures(
    image: np.ndarray,
    truth: np.ndarray | None,
    prediction: Prediction,
    second: Prediction | None,
    run: Run,
    view: View,
) -> dict[str, Callable[[], Pane]]:
    """Return what draws each picture that can be had, by its name in the choice."""
    palette, colors = run.palette, display_palette(run.palette)

    def masked(title: str, classes: np.ndarray) -> Pane:
        if view.outlined:
            return Pane(title, outline(image, classes, colors, view.classes), smooth=True)
        # Half laid over is a photograph; the bare mask must keep hard edges.
        return Pane(title, overlay(image, classes, colors, view.opacity, view.classes), smooth=view.opacity < 1)

    def predicted(name: str, of: Prediction) -> Pane:
        return masked(
            f"Prediction of {name}", np.where(of.confidence >= view.least_confidence, of.classes, np.uint8(VOID))
        )

    def one_class() -> Pane:
        name = st.selectbox(
            "Probability of", palette.names, key="probability", bind="query-params", help="The class to draw."
        )
        probability = prediction.probabilities[..., palette.names.index(name)]
        return Pane(f"Probability of {name}: blue 0, yellow 1", heat(probability))

    pictures = {IMAGE: lambda: Pane(IMAGE, image, smooth=True)}
    if truth is not None:
        pictures[TRUTH] = lambda: masked(TRUTH, truth)
    pictures[PREDICTION] = lambda: predicted(run.name, prediction)
    if second:
        pictures[SECOND] = lambda: predicted(view.second.name, second)
        pictures[DIFFERENCE] = lambda: Pane(
            f"Where {view.second.name} differs: what it says",
            error_map(image, prediction.classes, second.classes, colors),
        )
    if truth is not None:
        pictures[ERRORS] = lambda: Pane(
            f"Errors of {run.name}: what wrong pixels are predicted as",
            error_map(image, truth, prediction.classes, colors),
        )
    pictures[CONFIDENCE] = lambda: Pane("Confidence: blue 0, yellow 1", heat(prediction.confidence))
    if prediction.probabilities is not None:
        pictures[ENTROPY] = lambda: Pane("Entropy: blue certain, yellow uncertain", heat(prediction.entropy))
        pictures[PROBABILITY] = one_class
    return pictures


def _choose_pictures(pictures: dict[str, Callable[[], Pane]]) -> tuple[list[str], bool]:
    """Let the user choose which pictures to see; return their names and whether to wipe between two of them."""
    names = list(pictures)
    if st.sidebar.toggle(
        "Wipe", key="wipe", bind="query-params", help="Two pictures in one place, with a slider between them."
    ):
        left, right = st.columns(2)
        compared = [name for name in (PREDICTION, SECOND if SECOND in names else TRUTH, IMAGE) if name in names]
        one = left.selectbox("Left of the slider", names, names.index(compared[1]), key="left", bind="query-params")
        other = right.selectbox("Right of the slider", names, names.index(PREDICTION), key="right", bind="query-params")
        return [one, other], True
    chosen = st.pills(
        "Pictures",
        [IMAGE, TRUTH, PREDICTION, ERRORS, CONFIDENCE, ENTROPY, PROBABILITY],
        selection_mode="multi",
        default=[IMAGE, TRUTH, PREDICTION],
        key="show",
        bind="query-params",
        help="What to see; ground truth and errors need a mask. The cursor reads classes and confidence in all.",
    )
    return [name for name in names if name in chosen or name in ALWAYS] or [IMAGE], False
