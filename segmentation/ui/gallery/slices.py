"""Slices: what the patches have in common on which a run does significantly worse, in words."""

from collections.abc import Sequence
from functools import partial

import pandas as pd
import streamlit as st

from segmentation.evaluation.gains import signed
from segmentation.evaluation.ranking import rank
from segmentation.evaluation.slice_features import say_conditions
from segmentation.evaluation.slices import LEAST_PATCHES, LEAST_SCENES, Slice, SliceSearch
from segmentation.runs.saved_slices import SavedSlice
from segmentation.tables import to_safe_csv
from segmentation.ui.gallery.actions import offer_actions
from segmentation.ui.gallery.cards import show_cards
from segmentation.ui.gallery.evaluated import EvaluatedRun, check_confusions
from segmentation.ui.gallery.filters import COUNTED, Filters, choose_patches
from segmentation.ui.gallery.saved_slices import known_slices, offer_removing, offer_saving, show_in_every_run
from segmentation.ui.loaders.caching import progress_bar
from segmentation.ui.loaders.slices import load_slices, score_saved, slice_members
from segmentation.ui.shell.faults import warn_if_unknown
from segmentation.ui.shell.words import PARTS, plain

SAVED = "Saved: "
"""Before a saved slice's name in the choice."""


def slices(evaluated: EvaluatedRun) -> None:
    """Show on which patches the run does worse than chance would have it, in words, and those patches."""
    run = evaluated.run
    table, filters = choose_patches(evaluated)
    if check_confusions(run) is None:
        return
    part, class_name = PARTS[filters.part], filters.class_name
    with progress_bar("Searching slices, scores …") as progress:
        search = load_slices(run, part, filters.tiles, progress)
    if search is None:
        return
    found = [one for one in search.found if class_name in (None, one.class_name)]
    _say_what_was_searched(search, found, class_name)
    saved = {f"{SAVED}{name}": one for name, one in known_slices().items() if class_name in (None, one.class_name)}
    options: dict[str, Slice | None] = {_title(one): one for one in found}
    options |= {title: score_saved(run, part, filters.tiles, one) for title, one in saved.items()}
    if not options:
        return
    _list(evaluated, options)
    warn_if_unknown("slice", "slice", options)
    title = st.selectbox(
        "Slice",
        list(options),
        key="slice",
        index=None,
        bind="query-params",
        placeholder="Choose a slice, or click its row, to see its patches",
        help="Its patches are shown below, worst first. The link to this page holds the choice.",
    )
    if title is not None:
        _show_slice(evaluated, filters, table, title, options[title], saved.get(title))


def _say_what_was_searched(search: SliceSearch, found: Sequence[Slice], class_name: str | None) -> None:
    """Say how much was looked at, and that chance is corrected for all of it."""
    of = f"looked at {search.looked_at:,} slices of {search.patches:,} patches from {search.scenes:,} scenes."
    if not search.looked_at:
        st.info(
            f"{search.patches:,} patches from {search.scenes:,} scenes are too few for slices, which take "
            f"{LEAST_SCENES} scenes and {2 * LEAST_PATCHES} patches: choose another part or all tiles in the sidebar.",
            icon=":material/filter_alt_off:",
        )
    elif not found:
        by = plain(f" by the IoU of {class_name}") if class_name else ""
        st.info(f"No slice is significantly worse{by}: {of}", icon=":material/check_circle:")
    else:
        count = "1 slice is" if len(found) == 1 else f"{len(found):,} slices are"
        st.markdown(f"**{count} significantly worse** than all other patches: {of}")
        st.caption(
            "What is said holds for all that was looked at: were scores unrelated to what is known of the patches, any "
            "slice at all would be named in one search of twenty at most (signs of whole scenes flipped, Westfall and "
            f"Young). A slice has at least {LEAST_PATCHES} patches in {LEAST_SCENES} scenes, and is left out where "
            "slices above it say the same. Class shares are those of the masks; a model's confidence is not used."
        )


def _title(one: Slice) -> str:
    return f"{one.of}: patches {say_conditions(one.conditions)}"


def _list(evaluated: EvaluatedRun, options: dict[str, Slice | None]) -> None:
    """List slices with their figures; a click on a row chooses it."""
    rows = pd.DataFrame(
        [
            {
                "Slice": title,
                "Score": one.score if one else None,
                "Elsewhere": one.rest if one else None,
                "Loss": one.loss if one else None,
                "95 % interval": signed(one.interval) if one else "no such patches here",
                "Patches": one.patches if one else 0,
                "Scenes": one.scenes if one else 0,
                "Wrong pixels, %": 100 * one.wrong if one else None,
                "Pixels, %": 100 * one.pixels if one else None,
            }
            for title, one in options.items()
        ]
    )
    number = partial(st.column_config.NumberColumn, format="%.3f")
    percent = partial(st.column_config.NumberColumn, format="%.1f")
    st.dataframe(
        rows,
        hide_index=True,
        key="slices",
        on_select=partial(_follow_row, list(options)),
        selection_mode="single-row",
        placeholder="–",
        column_config={
            "Slice": st.column_config.TextColumn(width="large", help="Click a row to see its patches."),
            "Score": number(help="Read off the sum of its patches' confusion matrices."),
            "Elsewhere": number(help="The same score of all other patches."),
            "Loss": number(help="How much lower its score is."),
            "95 % interval": st.column_config.TextColumn(help="Of the loss, by scenes drawn anew, of it alone."),
            "Wrong pixels, %": percent(help="Share of all wrong pixels (of the class) that lie in its patches."),
            "Pixels, %": percent(help="Share of all pixels (of the class, true or predicted) that lie in them."),
        },
    )
    st.download_button(
        "Download the slices",
        lambda: to_safe_csv(rows),
        f"{evaluated.run.name}-slices.csv",
        "text/csv",
        key="slices-csv",
        icon=":material/download:",
        on_click="ignore",
        help="A row for each slice, with these figures.",
    )


def _follow_row(titles: Sequence[str]) -> None:
    """Choose the slice of the row that was clicked; a callback, before the widget that shows it is drawn."""
    rows = st.session_state["slices"]["selection"]["rows"]
    if rows and rows[0] < len(titles):
        st.session_state["slice"] = titles[rows[0]]


def _show_slice(
    evaluated: EvaluatedRun,
    filters: Filters,
    table: pd.DataFrame,
    title: str,
    one: Slice | None,
    saved: SavedSlice | None,
) -> None:
    """Show a slice's sentence, what can be done with it, and its patches, worst first."""
    name = title.removeprefix(SAVED)
    if one is None:
        st.info(
            plain(f"No patch of this run and part is in the slice {name}, or all are: choose another part or run."),
            icon=":material/filter_alt_off:",
        )
    else:
        st.markdown(f"**{plain(one.sentence)}** The loss is {one.loss:.3f} ({signed(one.interval)}).")
    with st.container(horizontal=True):
        if saved is not None:
            offer_removing(name)
        elif one is not None:
            offer_saving(one)
    if saved is not None:
        show_in_every_run(evaluated.run, filters, saved)
    if one is None:
        return
    members = slice_members(evaluated.run, list(one.conditions))
    column = f"iou_{one.class_name}" if one.class_name else "accuracy"
    in_slice = table[pd.Series(members, evaluated.patches.index).loc[table.index]]
    ranked, _ = rank(in_slice, column, COUNTED if COUNTED in in_slice else None)

    def score(row: pd.Series) -> str:
        return f"{plain(one.of)} {row[column]:.3f}"

    caption = plain(f"Patches of the slice by their {one.of}, worst first.")
    show_cards(evaluated, filters, ranked, caption, ("slices", title), ranked_by=score)
    offer_actions(evaluated, ranked)
