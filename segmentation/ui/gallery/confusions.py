"""Which class is predicted as which, and where."""

import html

import numpy as np
import streamlit as st

from segmentation.runs.patch_table import confusion_column
from segmentation.ui.charts.evaluation import confusion_figure
from segmentation.ui.gallery.actions import offer_actions
from segmentation.ui.gallery.cards import show_cards
from segmentation.ui.gallery.evaluated import EvaluatedRun, check_confusions
from segmentation.ui.gallery.filters import choose_patches
from segmentation.ui.shell.words import plain


def confusions(evaluated: EvaluatedRun) -> None:
    """Show which patches contribute to a cell of the confusion matrix, those with most of its pixels first."""
    table, filters = choose_patches(evaluated)
    matrices, names = check_confusions(evaluated.run), evaluated.palette.names
    if matrices is None:
        return
    matrix = matrices[table.index].sum(0)
    wrong = matrix - np.diag(np.diagonal(matrix))
    first = np.unravel_index(wrong.argmax(), wrong.shape)
    halves = st.grid(2, min_column_width=400, gap="medium")
    with halves.cell():
        st.plotly_chart(
            confusion_figure(matrix, evaluated.palette),
            key="confusions",
            on_select=_follow_cell,
            selection_mode="points",
            config={"displayModeBar": False},
        )
        st.caption("Click a cell to see the patches that contribute to it.")
    with halves.cell():
        true = st.selectbox("True class", names, int(first[0]), key="true", bind="query-params", help="What it is.")
        taken = st.selectbox(
            "Predicted as", names, int(first[1]), key="taken", bind="query-params", help="What the model says."
        )
        count = int(matrix[names.index(true), names.index(taken)])
        of_class = int(matrix[names.index(true)].sum())
        share = f", {100 * count / of_class:.1f} % of all {plain(true)}" if of_class else ""
        title = plain(f"{true} predicted as {taken}, pixels")
        st.metric(title, f"{count:,}", help="In the patches that pass the filters.")
        column = confusion_column(true, taken)
        making = table[table[column] > 0].sort_values(column, ascending=False, kind="stable")
        half = int((making[column].cumsum() < count / 2).sum()) + 1 if count else 0
        st.markdown(f"{len(making):,} patches contribute to this cell{share}; half of it is in {half:,} of them.")
    pixels = plain(f"pixels of {true} predicted as {taken}")
    caption, order = f"Sorted by {pixels}.", ("confusions", true, taken)
    show_cards(evaluated, filters, making, caption, order, ranked_by=lambda row: f"{row[column]:,} {pixels}")
    offer_actions(evaluated, making)


def _follow_cell() -> None:
    """Choose the classes of the cell that was clicked; a callback, before the widgets that show them are drawn."""
    points = st.session_state["confusions"]["selection"]["points"]
    if points:
        st.session_state["true"], st.session_state["taken"] = (html.unescape(points[0][axis]) for axis in "yx")
