"""What makes up a run's error: outlines that are off, objects too small or too large, objects missed or invented."""

from functools import partial

import numpy as np
import pandas as pd
import streamlit as st

from segmentation.data.locate import runs_folder
from segmentation.evaluation.error_kinds import DISTANCE, KINDS, SIDES
from segmentation.runs.speeds import read_speeds
from segmentation.tables import to_safe_csv
from segmentation.ui.charts.error_kinds import kinds_figure
from segmentation.ui.gallery.actions import offer_actions
from segmentation.ui.gallery.cards import show_cards
from segmentation.ui.gallery.evaluated import EvaluatedRun
from segmentation.ui.gallery.filters import Filters, choose_patches
from segmentation.ui.loaders.kinds import count_part, load_kinds
from segmentation.ui.shell.words import PARTS, plain

MEANINGS = {
    "Boundary": f"the outline is off: a narrow strip along it, found within {DISTANCE} px",
    "Extent": "the object was found, but is too small or too large",
    "Segment": "the object is missed or invented whole",
}
"""The kinds by the name in a switch, in the order of `KINDS`, and what they mean."""

VERDICTS = (
    f"lie at boundaries, within {DISTANCE} px of the outline: the objects are found, and their outlines are off. Look "
    "first at how exactly the masks are drawn.",
    "are errors of extent: the objects are found, but too small or too large.",
    "are whole segments: objects missed altogether, or invented where there are none.",
)
"""What is said of the kind that most pixels are of."""

SECONDS = 0.6
"""To sort the wrong pixels of a megapixel, on one core."""

ASSUMED = 4.0
"""Seconds that a model takes for a megapixel, if that was not measured on this machine."""


def kinds(evaluated: EvaluatedRun) -> None:
    """Show what makes up the error, by class, and the patches with most of a kind."""
    table, filters = choose_patches(evaluated)
    part = PARTS[filters.part]
    of_part = evaluated.patches[evaluated.patches["part"] == part]
    if of_part.empty:
        return
    everything = _load_counted(evaluated, part, of_part)
    if everything is None:
        return
    counts, names = everything[of_part.index.get_indexer(table.index)], evaluated.palette.names
    if not counts.any():
        st.info("Not one wrong pixel in these patches: loosen the filters in the sidebar.", icon=":material/check:")
        return
    total = counts.sum(0)
    index = names.index(filters.class_name) if filters.class_name else None
    _say_most(table, counts, index, filters.class_name)
    rows = np.concatenate([total.sum(1, keepdims=True), total], axis=1)
    figure = kinds_figure(rows, ["All classes", *names])
    st.plotly_chart(figure, key="error-kinds", config={"displayModeBar": False})
    st.caption(
        "A wrong pixel is missed for its true class and invented for the class that it is predicted as. "
        + " ".join(f"**{name}**: {meaning}." for name, meaning in MEANINGS.items())
        + " Each patch is judged by itself, without void. After Bernhard et al. (2024)."
    )
    _show_table(evaluated, kinds_table(total, names))
    _show_patches(evaluated, filters, table, counts)


def kinds_table(counts: np.ndarray, names: tuple[str, ...]) -> pd.DataFrame:
    """Return a row for each class and side: its wrong pixels, those of each kind, and their shares in per cent.

    Args:
        counts: (2, classes, 3) pixels: missed and invented, by class and kind.
        names: Of the classes.
    """
    rows = []
    for of_class, name in zip(np.moveaxis(counts, 1, 0), names, strict=True):
        for side, pixels in zip(SIDES, of_class, strict=True):
            shares = 100 * pixels / pixels.sum() if pixels.any() else np.full(len(KINDS), np.nan)
            rows.append((name, side, pixels.sum(), *pixels, *shares.round(1)))
    columns = ["class", "side", "pixels", *(f"{kind}_pixels" for kind in KINDS), *(f"{kind}_percent" for kind in KINDS)]
    return pd.DataFrame(rows, columns=columns)


def _load_counted(evaluated: EvaluatedRun, part: str, table: pd.DataFrame) -> np.ndarray | None:
    """Return the counts of a part's patches; None after what to do, if they were not counted."""
    run, dataset = evaluated.run, evaluated.dataset
    if not (run.model or run.predictions):
        st.info(
            f"{plain(run.name)} has neither a model nor predictions here: its kinds of error cannot be counted. Choose "
            "another run in the sidebar.",
            icon=":material/category:",
        )
        return None
    counts = load_kinds(run, dataset, part, table)
    if counts is not None:
        return counts
    what = "Reads the predictions of" if run.predictions else "Predicts"
    st.info(
        f"Kinds of error are counted once for this part and then kept: {what.lower()} {len(table):,} patches and sorts "
        f"every wrong pixel, which takes about {_duration(evaluated, len(table))} here. Cancelled, it goes on from "
        "there the next time.",
        icon=":material/category:",
    )
    asked = st.button(
        "Count now",
        type="primary",
        key="count-kinds",
        icon=":material/play_circle:",
        help=f"{what} the patches of this part once and keeps what it counts in the cache.",
    )
    if asked:
        # A click on it ends this run of the page at the next step of the bar.
        st.button("Cancel", icon=":material/cancel:", key="cancel-kinds", help="What is counted so far is kept.")
        count_part(run, dataset, part, table)
        st.rerun()
    return None


def _duration(evaluated: EvaluatedRun, patches: int) -> str:
    """Say about how long counting takes."""
    run = evaluated.run
    speed = 0.0 if run.predictions else read_speeds(runs_folder()).get(run.name, ASSUMED)
    seconds = patches * run.patch_size**2 / 1e6 * (speed + SECONDS)
    if seconds > 90 * 60:
        return f"{seconds / 3600:,.0f} h"
    return f"{seconds / 60:,.0f} min" if seconds > 90 else f"{max(1, seconds):,.0f} s"


def _say_most(table: pd.DataFrame, counts: np.ndarray, index: int | None, class_name: str | None) -> None:
    """Say which kind most wrong pixels are of, with its interval; of a class, of what is missed and invented."""
    from segmentation.evaluation.kind_counts import kind_shares  # opens engines: only where needed

    sides = (0,) if index is None else (0, 1)  # of all classes every wrong pixel is missed once, for its true class
    for side in sides:
        found = kind_shares(table, counts[:, side] if index is None else counts[:, side, index : index + 1])
        if not found.pixels.any():
            continue
        most = int(found.pixels.argmax())
        between = found.intervals[most] if found.intervals else None
        interval = ""
        if between and between.low == between.low:
            interval = f" (95 % interval {100 * between.low:.0f}–{100 * between.high:.0f} %, {found.basis})"
        what = "all wrong pixels" if index is None else f"the {SIDES[side]} pixels of {plain(class_name)}"
        share = f"**{100 * found.shares[most]:.0f} %**{interval}"
        st.markdown(f"{share} of {what} {VERDICTS[most]}")


def _show_table(evaluated: EvaluatedRun, table: pd.DataFrame) -> None:
    with st.expander("Pixels and shares by class", icon=":material/table:"):
        st.dataframe(
            table,
            hide_index=True,
            height="content",
            key="kinds-table",
            placeholder="–",
            column_config={
                "class": "Class",
                "side": st.column_config.TextColumn(
                    "Missed or invented", help="Of the class in the mask and not found, or predicted and not there."
                ),
                "pixels": st.column_config.NumberColumn("Wrong pixels", format="localized"),
                **{
                    f"{kind}_pixels": st.column_config.NumberColumn(kind.capitalize(), format="localized", help=help_)
                    for kind, help_ in zip(KINDS, MEANINGS.values(), strict=True)
                },
                **{
                    f"{kind}_percent": st.column_config.NumberColumn(f"{kind.capitalize()}, %", format="%.1f")
                    for kind in KINDS
                },
            },
        )
        st.download_button(
            "Download the table",
            partial(to_safe_csv, table),
            f"{evaluated.run.name}-error-kinds.csv",
            "text/csv",
            key="download-kinds",
            icon=":material/download:",
            on_click="ignore",
            help="One row per class, missed and invented: pixels and per cent of each kind, in the patches shown.",
        )


def _show_patches(evaluated: EvaluatedRun, filters: Filters, table: pd.DataFrame, counts: np.ndarray) -> None:
    """Show the patches with most pixels of a kind, of the class chosen or of all, most first."""
    kind, side = _choose_kind()
    of_side, of_class = counts[:, SIDES.index(side.lower())], ""
    if filters.class_name:
        of_side = of_side[:, [evaluated.palette.names.index(filters.class_name)]]
        of_class = f" of {plain(filters.class_name)}"
    of_side = of_side.sum(1)
    ranked = table.assign(of_kind=of_side[:, list(MEANINGS).index(kind)], of_side=of_side.sum(1))
    ranked = ranked[ranked["of_kind"] > 0].sort_values("of_kind", ascending=False, kind="stable")

    def why(row: pd.Series) -> str:
        share = 100 * row["of_kind"] / row["of_side"]
        return f"{row['of_kind']:,} {side.lower()} pixels{of_class} of kind {kind.lower()}, {share:.0f} % of those"

    caption = f"Sorted by {side.lower()} pixels{of_class} of kind {kind.lower()}: {MEANINGS[kind]}."
    show_cards(evaluated, filters, ranked, caption, ("kinds", kind, side), ranked_by=why)
    offer_actions(evaluated, ranked.drop(columns="of_side"))


def _choose_kind() -> tuple[str, str]:
    """Let the user choose of which kind patches are to have most, and whether missed or invented."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kind = st.segmented_control(
            "Kind",
            list(MEANINGS),
            default="Segment",
            required=True,
            key="kind",
            bind="query-params",
            help="  \n".join(f"**{name}**: {meaning}." for name, meaning in MEANINGS.items()),
        )
        side = st.segmented_control(
            "Pixels that are",
            [name.capitalize() for name in SIDES],
            default="Missed",
            required=True,
            key="kind-side",
            bind="query-params",
            help="**Missed**: by the class that is true. **Invented**: by the class that is predicted. Of all classes "
            "together these are the same pixels, but the kind may differ.",
        )
    return kind, side
