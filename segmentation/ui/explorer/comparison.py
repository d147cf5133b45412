"""Image, ground truth and prediction side by side, linked with one another."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import streamlit as st

from segmentation.data.palette import VOID, Palette
from segmentation.data.protocols import apply_void_policy
from segmentation.data.raster import LARGE
from segmentation.inference.prediction import Prediction
from segmentation.thresholds import by_index, in_words
from segmentation.ui.explorer.downloads import downloads
from segmentation.ui.explorer.error_kinds import draw_kinds, kinds_at
from segmentation.ui.explorer.model import Model
from segmentation.ui.explorer.scores import show_scores, show_shares
from segmentation.ui.explorer.sources import Subject
from segmentation.ui.explorer.view import (
    CONFIDENCE,
    DIFFERENCES,
    ENTROPY,
    ERRORS,
    FURTHER,
    FURTHER_ERRORS,
    IMAGE,
    KINDS_OF_ERROR,
    PREDICTION,
    PROBABILITY,
    TRUTH,
    View,
)
from segmentation.ui.loaders.predictions import predict_by
from segmentation.ui.pictures import error_map, fit, heat, nearest, outline, overlay
from segmentation.ui.session import session
from segmentation.ui.shell.masks import display_palette
from segmentation.ui.shell.words import plain
from segmentation.ui.viewer import LONGEST, Pane, Reading, viewer


def compare(subject: Subject, model: Model, view: View) -> None:
    """Show the pictures linked with one another, the scores, and the downloads."""
    mask, palette = subject.mask, model.palette
    height, width = subject.image.shape[:2]
    st.caption(" · ".join(filter(None, [f"{plain(subject.name)}, {width:,} × {height:,} px", plain(subject.remark)])))

    truth = None if mask is None else apply_void_policy(mask, model.run.protocol, palette)
    # No larger than they are shown: of a large scene each picture in full would take a gigabyte.
    rows, columns = nearest(height, width, LONGEST)
    image = fit(subject.image, LONGEST, smooth=True)
    classes = None if truth is None else truth[np.ix_(rows, columns)]
    models = [model, *view.others]
    limits = by_index(view.thresholds, palette)
    if height * width > LARGE:  # whose probabilities are not kept
        view = replace(view, inference=replace(view.inference, thresholds=limits))
    if height * width > LARGE and any(of.path for of in models) and not _is_requested(subject, model, view):
        panes = [Pane(IMAGE, image, smooth=True)]
        if classes is not None:
            panes.append(Pane(TRUTH, overlay(image, classes, display_palette(palette), view.opacity), view.opacity < 1))
        viewer(subject.name, panes, [], key="viewer", size=(height, width))
        return
    # Probabilities are drawn of the run in use alone: of four runs they are kept where they take no more than of two.
    full = height * width * len(models) <= 2 * LARGE
    predictions = {}
    for of in models:
        inference = view.inference if of is model else replace(view.inference, thresholds=())
        seen = partial(subject.seen_by, of.run)
        predictions[of.run.name] = predict_by(of.run, seen, subject.place, inference, full or of is model)
    if limits:
        predictions[model.run.name] = _at_thresholds(predictions[model.run.name], view, palette)
    small = {name: prediction.at(rows, columns) for name, prediction in predictions.items()}
    pictures = _pictures(image, classes, small, palette, view)
    if truth is not None and classes is not None:
        kinds = partial(kinds_at, truth, predictions[model.run.name].classes, rows, columns)
        shown_classes = classes, small[model.run.name].classes
        pictures[KINDS_OF_ERROR] = partial(draw_kinds, image, kinds, shown_classes, palette, model.run.name)
    shown, wipe = _choose_pictures(pictures)
    panes = [pictures[name]() for name in shown]
    viewer(subject.name, panes, _readings(classes, small, palette), key="viewer", wipe=wipe, size=(height, width))

    if mask is None or truth is None:
        table = show_shares(predictions, palette)
    else:
        table = show_scores(mask, truth, predictions, model)
    downloads(subject, panes, predictions[model.run.name], table, palette)


def _at_thresholds(prediction: Prediction, view: View, palette: Palette) -> Prediction:
    """Return the prediction with the view's thresholds in force, and say so."""
    words = f":material/tune: Thresholds in force: **{plain(in_words(view.thresholds))}**"
    if view.inference.thresholds:
        st.caption(f"{words}. Pictures, scores and downloads are with them.")
        return prediction
    if prediction.probabilities is None:
        st.caption(":material/tune: This model names classes and gives no probabilities: thresholds change nothing.")
        return prediction
    changed = prediction.at_thresholds(by_index(view.thresholds, palette))
    count = np.count_nonzero(changed.classes != prediction.classes)
    share = 100 * count / changed.classes.size
    st.caption(f"{words}: {count:,} pixels ({share:.1f} %) change. Pictures, scores and downloads are with them.")
    return changed


def _is_requested(subject: Subject, model: Model, view: View) -> bool:
    """Offer to predict a large scene, which takes long; tell whether that was asked for, now or earlier."""
    wanted = (subject.name, model.run.name, *(of.run.name for of in view.others), view.inference)
    if session().requested == wanted:
        # A click on it ends this run of the page at the next step of the bar.
        if not st.button("Show it without prediction", icon=":material/cancel:", key="cancel-scene", type="tertiary"):
            return True
        session().requested = None
        st.rerun()
    megapixels = subject.image.shape[0] * subject.image.shape[1] / 1e6
    st.info(
        f"This picture has {megapixels:.0f} megapixels and takes a while; a single patch of a scene is there at once.",
        icon=":material/hourglass_empty:",
    )
    if st.button("Run prediction", type="primary", icon=":material/play_circle:", key="predict-scene"):
        session().requested = wanted
        st.rerun()
    return False


def _readings(truth: np.ndarray | None, predictions: dict[str, Prediction], palette: Palette) -> list[Reading]:
    """Return what the cursor reads: the classes, and the first prediction's confidence if known; runs have names."""
    (_, first), *others = predictions.items()
    readings = [
        *([] if truth is None else [Reading(TRUTH, truth, palette)]),
        Reading(PREDICTION, first.classes, palette),
        *(Reading(name, other.classes, palette) for name, other in others),
    ]
    if first.confidence is not None:
        readings.append(Reading(CONFIDENCE, (first.confidence.astype(np.float32) * 255).astype(np.uint8)))
    return readings


def _pictures(
    image: np.ndarray, truth: np.ndarray | None, predictions: dict[str, Prediction], palette: Palette, view: View
) -> dict[str, Callable[[], Pane]]:
    """Return what draws each picture that can be had, by its name in the choice.

    Args:
        image: (height, width, 3) uint8.
        truth: (height, width) uint8 class indices, if there is ground truth.
        predictions: That of the run in use by its name, and those of further runs.
        palette: The classes.
        view: How the pictures are to be drawn.
    """
    (_, prediction), *others = predictions.items()
    colors = display_palette(palette)

    def masked(title: str, classes: np.ndarray) -> Pane:
        if view.outlined:
            return Pane(title, outline(image, classes, colors, view.classes), smooth=True)
        # Half laid over is a photograph; the bare mask must keep hard edges.
        return Pane(title, overlay(image, classes, colors, view.opacity, view.classes), smooth=view.opacity < 1)

    def predicted(name: str, of: Prediction) -> Pane:
        sure = True if of.confidence is None else of.confidence >= view.least_confidence
        return masked(f"Prediction of {name}", np.where(sure, of.classes, np.uint8(VOID)))

    def one_class(probabilities: np.ndarray) -> Pane:
        name = st.selectbox(
            "Probability of", palette.names, key="probability", bind="query-params", help="The class to draw."
        )
        probability = probabilities[..., palette.names.index(name)]
        return Pane(f"Probability of {name}: blue 0, yellow 1", heat(probability))

    def wrong(name: str, of: Prediction, truth: np.ndarray) -> Pane:
        errors = error_map(image, truth, of.classes, colors)
        return Pane(f"Errors of {name}: what wrong pixels are predicted as", errors)

    def different(name: str, of: Prediction) -> Pane:
        return Pane(f"Where {name} differs: what it says", error_map(image, prediction.classes, of.classes, colors))

    pictures: dict[str, Callable[[], Pane]] = {IMAGE: lambda: Pane(IMAGE, image, smooth=True)}
    ground_truth = {} if truth is None else {TRUTH: partial(masked, TRUTH, truth)}
    if len(others) < 2:
        pictures |= ground_truth
    for key, name, of in zip((PREDICTION, *FURTHER), predictions, predictions.values(), strict=False):
        pictures[key] = partial(predicted, name, of)
    pictures |= ground_truth  # with several runs it begins a row, in which errors stand below their predictions
    pictures |= {key: partial(different, *other) for key, other in zip(DIFFERENCES, others, strict=False)}
    if truth is not None:
        for key, name, of in zip((ERRORS, *FURTHER_ERRORS), predictions, predictions.values(), strict=False):
            pictures[key] = partial(wrong, name, of, truth)
    confidence = prediction.confidence
    if confidence is not None:
        pictures[CONFIDENCE] = lambda: Pane("Confidence: blue 0, yellow 1", heat(confidence))
    probabilities = prediction.probabilities
    if probabilities is not None:
        pictures[ENTROPY] = lambda: Pane("Entropy: blue certain, yellow uncertain", heat(prediction.entropy))
        pictures[PROBABILITY] = lambda: one_class(probabilities)
    return pictures


def _choose_pictures(pictures: dict[str, Callable[[], Pane]]) -> tuple[list[str], bool]:
    """Let the user choose which pictures to see; return their names and whether to wipe between two of them."""
    names = list(pictures)
    if st.sidebar.toggle(
        "Wipe", key="wipe", bind="query-params", help="Two pictures in one place, with a slider between them."
    ):
        left, right = st.columns(2)
        compared = [name for name in (PREDICTION, FURTHER[0] if FURTHER[0] in names else TRUTH, IMAGE) if name in names]
        one = left.selectbox("Left of the slider", names, names.index(compared[1]), key="left", bind="query-params")
        other = right.selectbox("Right of the slider", names, names.index(PREDICTION), key="right", bind="query-params")
        return [one, other], True
    sure = [CONFIDENCE, ENTROPY, PROBABILITY] if CONFIDENCE in names else []
    several = FURTHER[1] in names
    chosen = st.pills(
        "Pictures",
        [IMAGE, TRUTH, PREDICTION, ERRORS, KINDS_OF_ERROR, *DIFFERENCES[: int(several)], *sure],
        selection_mode="multi",
        default=[IMAGE, TRUTH, PREDICTION],
        key="show",
        bind="query-params",
        help="What to see; ground truth, errors and their kinds need a mask. The cursor reads them in all.",
    )
    shown = {*chosen, *FURTHER}
    if ERRORS in chosen:
        shown.update(FURTHER_ERRORS)
    if not several or DIFFERENCES[0] in chosen:  # of one further run the difference is what one looks for
        shown.update(DIFFERENCES)
    return [name for name in names if name in shown] or [IMAGE], False
