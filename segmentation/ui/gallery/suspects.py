"""Patches where the model is confident and the label says otherwise."""

import pandas as pd
import streamlit as st

from segmentation import scores
from segmentation.data.locate import check_allowed, runs_folder
from segmentation.evaluation.ranking import WRONG
from segmentation.runs.reviews import VERDICTS, Reviews
from segmentation.runs.run import Run
from segmentation.tables import to_safe_csv
from segmentation.ui.gallery.cards import show_cards
from segmentation.ui.gallery.evaluated import EvaluatedRun, evaluate_command
from segmentation.ui.gallery.filters import choose_patches
from segmentation.ui.loaders.scenes import load_fingerprint
from segmentation.ui.shell.access import readable
from segmentation.ui.shell.words import plain


def suspects(evaluated: EvaluatedRun) -> None:
    """Show patches where the model is sure and the mask disagrees, to be reviewed."""
    run, dataset = evaluated.run, evaluated.dataset
    table, filters = choose_patches(evaluated)
    if evaluated.is_unknown("surely_wrong") and WRONG in table:
        column, caption = WRONG, "Patches with the most wrong pixels, since nothing says how sure they were predicted: "
    elif "surely_wrong" in table:
        column, caption = "surely_wrong", "Patches where the model is sure and the mask disagrees: "
    else:
        st.info(
            f"{plain(run.name)} was evaluated before it was kept how sure it was where it was wrong: "
            f"{evaluate_command(run)} adds that.",
            icon=":material/query_stats:",
        )
        return
    reviews = Reviews(runs_folder(), load_fingerprint(dataset))
    check_allowed(reviews.path, readable())
    known = reviews.read().set_index("patch")
    which = _choose_reviewed()
    table = table[table[column] > 0].sort_values(column, ascending=False, kind="stable")
    if which != "All":
        table = table[table["patch"].isin(known.index) == (which == "Done")]
    show_cards(
        evaluated,
        filters,
        table,
        f"{caption}is the label wrong? The most such pixels first.",
        ("suspects", which),
        ranked_by=_why_suspected,
        below=lambda row: _review(reviews, known, row["patch"], run),
    )
    if not known.empty:
        st.download_button(
            "Download the reviews",
            to_safe_csv(known.reset_index()),
            f"{dataset.root.name}-reviews.csv",
            "text/csv",
            key="download-reviews",
            icon=":material/download:",
            on_click="ignore",
            help="One row per reviewed patch: verdict, note, run and time.",
        )


def _why_suspected(row: pd.Series) -> str:
    """Say how much of a patch is wrong, and how sure that was predicted where it is known."""
    if pd.isna(row["surely_wrong"]):
        return f"{row[WRONG]:,} pixels are wrong"
    return f"{100 * row['surely_wrong']:.1f} % of its pixels are wrong with a confidence of {scores.SURE} or more"


def _choose_reviewed() -> str:
    """Let the user choose between patches that were reviewed, those that were not, and all."""
    st.sidebar.subheader("View", anchor=False)
    return st.sidebar.segmented_control(
        "Reviews",
        ["All", "To do", "Done"],
        default="All",
        required=True,
        key="reviews",
        bind="query-params",
        help="Patches that were reviewed, that were not, or both.",
    )


def _review(reviews: Reviews, known: pd.DataFrame, patch: str, run: Run) -> None:
    """Let the user say what is wrong with a patch, and keep it.

    Args:
        reviews: Where it is kept.
        known: What is there, by patch.
        patch: Its name.
        run: Whose prediction is in sight.
    """
    of_patch = known.loc[patch] if patch in known.index else {"verdict": "", "note": ""}
    verdict = st.pills(
        "Verdict",
        list(VERDICTS),
        default=of_patch["verdict"] or None,
        key=f"verdict-{patch}",
        help="  \n".join(f"**{name}**: {meaning}" for name, meaning in VERDICTS.items()),
    )
    note = st.text_input("Note", of_patch["note"], key=f"note-{patch}", max_chars=300, help="Kept with the verdict.")
    if (verdict or "", note) != (of_patch["verdict"], of_patch["note"]):
        reviews.add(patch, verdict or "", note, run.name)
        st.rerun()
