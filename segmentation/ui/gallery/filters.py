"""Which patches of a run are looked at, and in what order."""

import numpy as np
import pandas as pd
import streamlit as st

from segmentation import scores
from segmentation.evaluation.ranking import INVENTED, MISSED, WRONG, count_errors
from segmentation.runs.run import Run
from segmentation.ui.shell.words import code, plain

PARTS = {"Held out": "test", "Trained on": "train"}

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


def choose_patches(run: Run, second: Run | None = None) -> pd.DataFrame:
    """Draw the sidebar's filters and return the patches that pass them.

    Where the run's confusion matrices are known, the columns of `count_errors` are added, and `COUNTED`: of the class
    chosen, or of all; with a second run, of whichever of the two has more.
    """
    table, sidebar = run.patches, st.sidebar
    sidebar.subheader("Filters", anchor=False)
    part = sidebar.segmented_control(
        "Part",
        list(PARTS),
        default="Held out",
        required=True,
        key="part",
        bind="query-params",
        help="Held-out patches tell how the model does on what it has not seen. The two are never mixed.",
    )
    tiles = sidebar.multiselect(
        "Tiles",
        list(dict.fromkeys(table["tile"])),
        key="tile",
        bind="query-params",
        placeholder="All tiles",
        help="Only patches of these folders.",
    )
    class_name = sidebar.selectbox(
        "Class",
        run.palette.names,
        index=None,
        key="class",
        bind="query-params",
        placeholder="Any class",
        on_change=_rank_by_class,
        help="Only patches that hold this class in mask or prediction; they are then ranked by its IoU.",
    )
    kind = "All"
    if class_name and run.confusion_matrices is not None:
        kind = sidebar.segmented_control(
            "Errors",
            list(ERRORS),
            default="All",
            required=True,
            key="errors",
            bind="query-params",
            help=f"**Missed**: {plain(class_name)} in the mask that was not found. **Invented**: predicted where the "
            "mask has another class. Only such pixels count, and only patches that have some are shown.",
        )
    if run.confusion_matrices is not None:
        table = _with_errors(table, run, second, class_name, kind)
    table = table[table["part"] == PARTS[part]]
    if tiles:
        table = table[table["tile"].isin(tiles)]
    if class_name:
        table = table[table[f"iou_{class_name}"].notna()]
    return table


def _with_errors(table: pd.DataFrame, run: Run, second: Run | None, class_name: str | None, kind: str) -> pd.DataFrame:
    """Add the columns of wrong pixels; leave out patches without any of the kind that counts, if one is chosen."""
    index = run.palette.names.index(class_name) if class_name else None
    table = table.join(count_errors(run.confusion_matrices, index).set_axis(table.index))
    table = table.assign(**{COUNTED: table[ERRORS[kind]]})
    if second and second.confusion_matrices is not None:
        theirs = count_errors(second.confusion_matrices, index)[ERRORS[kind]].set_axis(second.patches["patch"])
        table[COUNTED] = np.fmax(table[COUNTED], table["patch"].map(theirs))
    return table if kind == "All" else table[table[COUNTED] > 0]


def _rank_by_class() -> None:
    """Whoever chooses a class wants to see where it fails; wrong pixels are then that class's already."""
    if st.session_state.get("by") != WRONG_PIXELS:
        st.session_state["by"] = CLASS_IOU if st.session_state["class"] else MEAN_IOU


def evaluate_command(run: Run) -> str:
    """Say the command that evaluates a run."""
    return code(f"python -m segmentation evaluate --run {run.name} --save")


def has_confusions(run: Run) -> bool:
    """Tell whether each patch's confusion matrix is known; say what to do if not."""
    if run.confusion_matrices is not None:
        return True
    st.info(
        f"{plain(run.name)} was evaluated before confusion matrices were kept by patch: "
        f"{evaluate_command(run)} adds them.",
        icon=":material/query_stats:",
    )
    return False


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


def hidden_line(hidden: int, least: float, run: Run) -> str:
    """Say how many patches the bound on wrong pixels hides."""
    if not hidden:
        return ""
    class_name = st.session_state.get("class")
    what = plain(f"wrong pixels of {class_name}") if class_name else "wrong pixels"
    patches = "1 patch with fewer than" if hidden == 1 else f"{hidden:,} patches with fewer than"
    return f" {patches} {least:,.0f} {what} ({100 * least / run.patch_size**2:g} % of the patch) hidden."
