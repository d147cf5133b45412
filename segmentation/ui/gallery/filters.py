"""Which patches of a run are looked at, and in what order."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st

from segmentation import scores
from segmentation.evaluation.ranking import INVENTED, MISSED, WRONG, count_errors
from segmentation.runs.run import Run
from segmentation.ui.gallery.evaluated import EvaluatedRun
from segmentation.ui.shell.parts import choose_part_name
from segmentation.ui.shell.words import PARTS, plain

MEAN_IOU, CLASS_IOU, WRONG_PIXELS = "Mean IoU", "IoU of the class", "Wrong pixels"

ACCURACY, SURELY_WRONG = "Accuracy", "Confidently wrong"

RANKS = {
    CLASS_IOU: "IoU of the class chosen above",
    MEAN_IOU: "mean over the classes in mask or prediction",
    WRONG_PIXELS: "pixels whose class is wrong; with a class chosen, those of it that are missed or invented",
    ACCURACY: "share of scored pixels that are right",
    SURELY_WRONG: f"share of scored pixels that are wrong with a confidence of {scores.SURE} or more",
}
"""What patches can be ranked by, and what it means; with a class chosen, its IoU comes first."""

ERRORS = {"All": WRONG, "Missed": MISSED, "Invented": INVENTED}
"""Which wrong pixels of a class count."""

COUNTED = "counted"
"""The column of the wrong pixels that count."""


@dataclass(frozen=True)
class Filters:
    """Which patches are looked at.

    Args:
        part: One of `PARTS`.
        tiles: Those in these folders; all if there is none.
        class_name: Those that hold this class in mask or prediction.
        errors: One of `ERRORS`: of the class, only such pixels count, and only patches that have some are shown.
    """

    part: str
    tiles: tuple[str, ...]
    class_name: str | None
    errors: str


def choose_patches(evaluated: EvaluatedRun, second: Run | None = None) -> tuple[pd.DataFrame, Filters]:
    """Draw the sidebar's filters; return the patches that pass them, and what was chosen.

    Where the run's confusion matrices are known, the columns of `count_errors` are added, and `COUNTED`: of the class
    chosen, or of all; with a second run, of whichever of the two has more.
    """
    filters, matrices = _choose_filters(evaluated), evaluated.run.confusion_matrices
    table, class_name = evaluated.patches, filters.class_name
    if matrices is not None:
        index = evaluated.palette.names.index(class_name) if class_name else None
        table = _with_errors(table, matrices, second, index, filters.errors)
    table = table[table["part"] == PARTS[filters.part]]
    if not evaluated.patches["part"].eq(PARTS[filters.part]).any():
        st.info(
            f"No patch of {plain(evaluated.run.name)} is in this part ({filters.part}): choose another in the sidebar.",
            icon=":material/filter_alt_off:",
        )
    if filters.tiles:
        table = table[table["tile"].isin(filters.tiles)]
    if class_name:
        table = table[table[f"iou_{class_name}"].notna()]
    return table, filters


def _choose_filters(evaluated: EvaluatedRun) -> Filters:
    sidebar = st.sidebar
    sidebar.subheader("Filters", anchor=False)
    part = choose_part_name(
        sidebar,
        "**Held out**: scored once, at the end; they tell how the model does on what it has not seen. "
        "**Validation**: not trained on, but the epoch was chosen on them. The parts are never mixed.",
    )
    tiles = sidebar.multiselect(
        "Tiles",
        list(dict.fromkeys(evaluated.patches["tile"])),
        key="tile",
        bind="query-params",
        placeholder="All tiles",
        help="Only patches of these folders.",
    )
    class_name = sidebar.selectbox(
        "Class",
        evaluated.palette.names,
        index=None,
        key="class",
        bind="query-params",
        placeholder="Any class",
        on_change=_rank_by_class,
        help="Only patches that hold this class in mask or prediction; they are then ranked by its IoU.",
    )
    errors = "All"
    if class_name and evaluated.run.confusion_matrices is not None:
        errors = sidebar.segmented_control(
            "Errors",
            list(ERRORS),
            default="All",
            required=True,
            key="errors",
            bind="query-params",
            help=f"**Missed**: {plain(class_name)} in the mask that was not found. **Invented**: predicted where the "
            "mask has another class. Only such pixels count, and only patches that have some are shown.",
        )
    return Filters(part, tuple(tiles), class_name, errors)


def _with_errors(
    table: pd.DataFrame, matrices: np.ndarray, second: Run | None, index: int | None, errors: str
) -> pd.DataFrame:
    """Add the columns of wrong pixels; leave out patches without any of the kind that counts, if one is chosen.

    Args:
        table: A run's patches.
        matrices: Their confusion matrices.
        second: Another run, whose wrong pixels count where it has more.
        index: The class whose wrong pixels count; None for all.
        errors: One of `ERRORS`.
    """
    table = table.join(count_errors(matrices, index).set_axis(table.index))
    table = table.assign(**{COUNTED: table[ERRORS[errors]]})
    if second and second.patches is not None and second.confusion_matrices is not None:
        theirs = count_errors(second.confusion_matrices, index)[ERRORS[errors]].set_axis(second.patches["patch"])
        table[COUNTED] = np.fmax(table[COUNTED], table["patch"].map(theirs))
    return table if errors == "All" else table[table[COUNTED] > 0]


def _rank_by_class() -> None:
    """Whoever chooses a class wants to see where it fails; wrong pixels are then that class's already.

    A callback, since widgets' values can only be set before they are drawn.
    """
    if st.session_state.get("by") != WRONG_PIXELS:
        st.session_state["by"] = CLASS_IOU if st.session_state["class"] else MEAN_IOU


def choose_order() -> bool:
    """Let the user choose the order; true for worst first."""
    order = st.sidebar.segmented_control(
        "Order",
        ["Worst first", "Best first"],
        default="Worst first",
        required=True,
        key="order",
        bind="query-params",
        help="Which end of the ranking comes first.",
    )
    return order == "Worst first"


def choose_least(run: Run) -> float:
    """Let the user choose how many wrong pixels a patch has at the least to be among the worst; return that number."""
    percent = st.sidebar.number_input(
        "Minimum wrong pixels, % of the patch",
        0.0,
        100.0,
        1.0,
        step=0.5,
        format="%g",
        key="least-wrong",
        bind="query-params",
        help="A few stray pixels can give an IoU of 0. Patches with fewer wrong pixels are hidden where the worst come "
        "first; 0 hides none.",
    )
    return percent / 100 * run.patch_size**2


def hidden_line(hidden: int, least: float, run: Run, class_name: str | None) -> str:
    """Say how many patches the bound on wrong pixels, of a class if one is chosen, hides."""
    if not hidden:
        return ""
    what = plain(f"wrong pixels of {class_name}") if class_name else "wrong pixels"
    patches = "1 patch with fewer than" if hidden == 1 else f"{hidden:,} patches with fewer than"
    return f" {patches} {least:,.0f} {what} ({100 * least / run.patch_size**2:g} % of the patch) hidden."
