"""One class's scores over the confidence threshold; a threshold picked, seen on patches, and stored with the run."""

from functools import partial

import numpy as np
import pandas as pd
import streamlit as st

from segmentation import scores
from segmentation.data.images import png_bytes
from segmentation.data.locate import runs_folder
from segmentation.data.protocols import apply_void_policy
from segmentation.evaluation.ranking import WRONG, count_errors
from segmentation.runs.chosen_thresholds import keep_chosen
from segmentation.runs.run import Run
from segmentation.tables import to_safe_csv
from segmentation.thresholds import EDGES, ThresholdCurve, by_index, in_words
from segmentation.ui.address import link
from segmentation.ui.charts.thresholds import marks, precision_recall_figure, threshold_figure
from segmentation.ui.gallery.evaluated import EvaluatedRun, check_confusions, evaluate_command
from segmentation.ui.loaders.predictions import predict_by
from segmentation.ui.loaders.scenes import load_patch, load_patch_bands, place_of
from segmentation.ui.loaders.thresholds import (
    count_probabilities,
    load_chosen,
    load_curves,
    load_probabilities,
    part_matrix,
)
from segmentation.ui.pictures import in_a_row
from segmentation.ui.shell.faults import show_errors
from segmentation.ui.shell.frame import turn_pages
from segmentation.ui.shell.masks import display_palette
from segmentation.ui.shell.pages import EXPLORER, looking_at
from segmentation.ui.shell.words import code, plain, score

PATCHES_A_PAGE = 4

PARTS = {"validation": "the validation part", "test": "the held-out part"}


def thresholds(evaluated: EvaluatedRun) -> None:
    """Show what a class scores at each threshold, and what the one that is picked does to the patches."""
    run, names = evaluated.run, evaluated.palette.names
    if check_confusions(run) is None or not _check_counted(evaluated):
        return
    curves = {part: load_curves(run, evaluated.dataset, part) for part in PARTS}
    part = "validation" if curves["validation"] else "test"
    of_part, stored = curves[part], load_chosen(run)
    defaults = {name: stored.get(name, of_part[name].best or 0.5) for name in names}
    left, right = st.columns([1, 2], vertical_alignment="bottom")
    name = left.selectbox(
        "Class",
        names,
        key="threshold-of",
        bind="query-params",
        on_change=_begin_at_default,
        args=(defaults,),
        help="The class that pixels are to be of from a probability on.",
    )
    threshold = right.slider(
        "Threshold",
        0.01,
        1.0,
        defaults[name],
        step=0.01,
        key="threshold",
        bind="query-params",
        help="Pixels whose probability of the class is this or more are of the class, even if another is more "
        "probable; below it they are of the most probable other class.",
    )
    curve = of_part[name]
    if not curve.pixels:
        st.info(f"No pixel of {PARTS[part]} is {plain(name)}: choose another class.", icon=":material/search_off:")
        return
    _say_scores(evaluated, name, threshold, curves, part)
    _draw_curves(run, name, threshold, curve, part)
    _offer_actions(evaluated, name, threshold, stored, curves)
    _show_patches(evaluated, name, threshold, part)


def _begin_at_default(defaults: dict[str, float]) -> None:
    """Begin with another class at its own threshold; a callback, before the slider is drawn."""
    st.session_state["threshold"] = defaults[st.session_state["threshold-of"]]


def _check_counted(evaluated: EvaluatedRun) -> bool:
    """Tell whether a run's pixels were counted by probability; otherwise say what to do, and offer to do it."""
    run = evaluated.run
    if load_probabilities(run, evaluated.dataset):
        return True
    if run.model is None:
        st.info(
            f"{plain(run.name)} was added with the classes that it predicts, or before probabilities were counted: "
            "thresholds need the probability of every class. Add it again with probabilities, or choose a run with a "
            "model.",
            icon=":material/tune:",
        )
        return False
    st.info(
        f"{plain(run.name)} was evaluated before pixels were counted by probability. Count its held-out patches now, "
        f"for as long as this server runs; {evaluate_command(run)} keeps the counts.",
        icon=":material/tune:",
    )
    asked = st.button(
        "Count now",
        type="primary",
        key="count-probabilities",
        icon=":material/play_circle:",
        help="Predicts the held-out patches once: a few seconds for a few hundred.",
    )
    if asked:
        # A click on it ends this run of the page at the next step of the bar.
        st.button("Cancel", icon=":material/cancel:", key="cancel-counting")
        count_probabilities(run, evaluated.dataset)
        st.rerun()
    return False


def _current(run: Run, part: str, index: int) -> tuple[float, float, float]:
    """Return IoU, precision and recall of a class where pixels are of their most probable one."""
    matrix = part_matrix(run, part)
    if matrix is None:
        return np.nan, np.nan, np.nan
    iou, precision, recall = (float(of(matrix)[index]) for of in (scores.iou, scores.precision, scores.recall))
    return iou, precision, recall


def _say_scores(
    evaluated: EvaluatedRun, name: str, threshold: float, curves: dict[str, dict[str, ThresholdCurve]], part: str
) -> None:
    """Say what the class scores at the threshold, and without it, on the part that it is chosen on and held out."""
    index = evaluated.palette.names.index(name)

    def told(of: str) -> str:
        curve = curves[of][name]
        at = curve.place(threshold)
        before = _current(evaluated.run, of, index)[0]
        return (
            f"IoU **{score(curve.iou[at])}** instead of {score(before)} (precision {score(curve.precision[at])}, "
            f"recall {score(curve.recall[at])}, F1 {score(curve.f1[at])}) on {PARTS[of]}"
        )

    sentence = f"At {threshold:.2f} **{plain(name)}** has {told(part)}"
    if part == "validation" and curves["test"]:
        sentence += f"; {told('test')}"
    st.markdown(f"{sentence}.")
    if part == "test":
        st.caption(
            f":material/info: {plain(evaluated.run.name)} has no counts of a validation part: a threshold that is "
            "chosen here is chosen on the very patches that it is scored on, so that its score is flattered."
        )


def _draw_curves(run: Run, name: str, threshold: float, curve: ThresholdCurve, part: str) -> None:
    """Draw both curves with the thresholds that matter."""
    iou, precision, recall = _current(run, part, run.palette.names.index(name) if run.palette else 0)
    points = marks(curve, threshold)
    halves = st.grid(2, min_column_width=380, gap="medium")
    bare = {"displayModeBar": False}
    halves.plotly_chart(
        precision_recall_figure(curve, points, (recall, precision)), key="precision-recall", config=bare
    )
    halves.plotly_chart(threshold_figure(curve, points, iou), key="over-threshold", config=bare)
    st.caption(
        f"Of the {curve.pixels:,} pixels of {plain(name)} in {PARTS[part]}, and all others there. Average precision, "
        f"the area under the left curve: **{score(curve.average_precision)}**."
    )


def _offer_actions(
    evaluated: EvaluatedRun,
    name: str,
    threshold: float,
    stored: dict[str, float],
    curves: dict[str, dict[str, ThresholdCurve]],
) -> None:
    """Offer to store the threshold, to remove a stored one, to jump to the best ones, and the curves as a file."""
    run = evaluated.run
    best = (curves["validation"] or curves["test"])[name].best
    with st.container(horizontal=True):
        st.button(
            "Use this threshold",
            type="primary",
            key="use-threshold",
            icon=":material/check:",
            disabled=run.model is None or stored.get(name) == threshold,
            on_click=_store,
            args=(run, name, threshold),
            help="Store it with the run: the explorer then applies it, as its switch says, and "
            "`predict --stored-thresholds` does.",
        )
        if name in stored:
            st.button(
                f"Remove the stored {stored[name]:g}",
                key="remove-threshold",
                icon=":material/delete:",
                on_click=_store,
                args=(run, name, None),
                help="Pixels are of their most probable class again.",
            )
        if best is not None:
            st.button(
                f"Best: {best:.2f}",
                key="go-best",
                icon=":material/star:",
                on_click=_go_to,
                args=(best,),
                help="Move the slider to where IoU is highest. F1 is then, too: each rises with the other.",
            )
        st.download_button(
            "Download the curves",
            lambda: to_safe_csv(_table(name, curves)),
            f"{run.name}-thresholds.csv",
            "text/csv",
            key="download-thresholds",
            icon=":material/download:",
            on_click="ignore",
            help="One row per threshold: precision, recall, F1 and IoU of the class, on each part that was counted.",
        )
    if stored:
        st.caption(
            f"Stored with {plain(run.name)}: {plain(in_words(stored))}. The scores above and in the other views are "
            "those of the most probable class."
        )


def _store(run: Run, name: str, threshold: float | None) -> None:
    """Store or remove a threshold; a callback, so that the page shows it at once."""
    with show_errors():
        keep_chosen(run, runs_folder(), name, threshold)


def _go_to(threshold: float) -> None:
    """Move the slider; a callback, since a widget's value can only be set before it is drawn."""
    st.session_state["threshold"] = threshold


def _table(name: str, curves: dict[str, dict[str, ThresholdCurve]]) -> pd.DataFrame:
    """Return a class's curves: a row for each threshold."""
    table = pd.DataFrame({"class": name, "threshold": EDGES.astype(float).round(3)})
    for part, of_part in curves.items():
        if of_part:
            for column in ("precision", "recall", "f1", "iou"):
                table[f"{column}_{part}"] = getattr(of_part[name], column)
    return table


def _show_patches(evaluated: EvaluatedRun, name: str, threshold: float, part: str) -> None:
    """Show patches of the part with and without the threshold, those first in which most of the class is wrong."""
    run, palette = evaluated.run, evaluated.palette
    index = palette.names.index(name)
    if run.model is None or run.confusion_matrices is None:
        return
    wrong = count_errors(run.confusion_matrices, index)[WRONG].to_numpy()
    table = evaluated.patches.assign(wrong=wrong)[(evaluated.patches["part"] == part) & (wrong > 0)]
    table = table.sort_values("wrong", ascending=False, kind="stable")
    st.subheader("What changes", anchor=False)
    shown = turn_pages(table, PATCHES_A_PAGE, len(evaluated.patches), "patches", ("thresholds", run.folder, part, name))
    if shown.empty:
        return
    st.caption(
        f"Sorted by wrong pixels of {plain(name)}. Each patch: image, ground truth, prediction of {plain(run.name)}, "
        f"and the same with {plain(name)} from {threshold:.2f}."
    )
    cards = st.grid(2, min_column_width=400)
    limits = by_index({name: threshold}, palette)
    for row in shown.itertuples():
        with cards, st.container(border=True), show_errors():
            where = (evaluated.dataset, row.scene, row.row, row.column, run.patch_size, run.stretch)
            image, mask = load_patch(*where)
            truth = apply_void_policy(mask, run.protocol, palette)
            before = predict_by(run, partial(load_patch_bands, *where), place_of(*where))
            after = before.at_thresholds(limits)
            with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
                st.markdown(code(row.patch))
                chosen = {"threshold-of": name, "threshold": f"{threshold:g}"}
                st.page_link(
                    EXPLORER,
                    label="Explore",
                    icon=":material/compare:",
                    help="Open it in the prediction explorer, with this threshold.",
                    query_params=link(looking_at(row.scene, row.patch.rsplit("/", 1)[1]) | chosen),
                )
            colors = display_palette(palette)
            pictures = [image, *(colors.decode(classes) for classes in (truth, before.classes, after.classes))]
            with st.container(key=f"pixels-{row.patch}"):
                alt = f"Patch {row.patch}: image, ground truth, prediction, and prediction with the threshold"
                st.image(png_bytes(in_a_row(pictures)), width="stretch", output_format="PNG", alt=alt)
            matrices = [
                scores.confusion_matrices(truth[None], of.classes[None], len(palette))[0] for of in (before, after)
            ]
            old, new = (score(float(scores.iou(matrix)[index])) for matrix in matrices)
            changed = int((before.classes != after.classes).sum())
            st.markdown(f"IoU of {plain(name)} **{new}** instead of {old} · {changed:,} pixels change")
