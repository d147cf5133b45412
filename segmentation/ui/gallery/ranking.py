"""Patches, scenes or tiles, worst first."""

import pandas as pd
import streamlit as st

from segmentation.evaluation import diagnosis
from segmentation.evaluation.out_of_fold import mean_and_deviation
from segmentation.evaluation.ranking import INVENTED, MISSED, WRONG, rank
from segmentation.runs.records import Metrics
from segmentation.tables import to_safe_csv
from segmentation.ui.address import link
from segmentation.ui.gallery.actions import offer_actions
from segmentation.ui.gallery.cards import show_cards
from segmentation.ui.gallery.evaluated import EvaluatedRun, check_confusions
from segmentation.ui.gallery.filters import (
    ACCURACY,
    CLASS_IOU,
    COUNTED,
    ERRORS,
    MEAN_IOU,
    RANKS,
    SURELY_WRONG,
    WRONG_PIXELS,
    Filters,
    choose_least,
    choose_order,
    choose_patches,
    hidden_line,
)
from segmentation.ui.gallery.headlines import headlines
from segmentation.ui.shell.pages import BROWSER, EXPLORER, looking_at
from segmentation.ui.shell.words import plain


def ranking(evaluated: EvaluatedRun) -> None:
    """Show what matters most, then patches, scenes or tiles in the order of a score."""
    run = evaluated.run
    headlines(evaluated)
    table, filters = choose_patches(evaluated)
    st.sidebar.subheader("View", anchor=False)
    unit = st.sidebar.segmented_control(
        "Rank",
        ["Patches", "Scenes", "Tiles"],
        default="Patches",
        required=True,
        key="rank",
        bind="query-params",
        help="Scenes and tiles are scored by the sum of their patches' confusion matrices.",
    )
    column = {
        CLASS_IOU: f"iou_{filters.class_name}",
        MEAN_IOU: "mean_iou",
        WRONG_PIXELS: COUNTED,
        ACCURACY: "accuracy",
        SURELY_WRONG: "surely_wrong",
    }
    by = st.sidebar.selectbox(
        "By",
        [name for name in RANKS if column[name] in table and not evaluated.is_unknown(column[name])],
        key="by",
        bind="query-params",
        help="  \n".join(f"**{name}**: {RANKS[name]}." for name in RANKS),
    )
    worst_first = choose_order()
    if unit != "Patches":
        _rank_groups(evaluated, filters, table, unit, column[by], worst_first)
        return
    count, least = None, 0.0
    if COUNTED in table:
        count, least = COUNTED, choose_least(run)
    ranked, hidden = rank(table, column[by], count, worst_first, least if worst_first else 0)
    caption = f"Ranked by {by}: {RANKS[by]}.{hidden_line(hidden, least, run, filters.class_name)}"
    order = ("ranking", by, worst_first, least)
    show_cards(evaluated, filters, ranked, caption, order, ranked_by=column[by])
    offer_actions(evaluated, ranked)


def _rank_groups(
    evaluated: EvaluatedRun, filters: Filters, table: pd.DataFrame, unit: str, column: str, worst_first: bool
) -> None:
    """Show scenes or tiles in the order of a score, as a table."""
    matrices, names = check_confusions(evaluated.run), evaluated.palette.names
    if matrices is None:
        return
    by, class_name = unit.lower().removesuffix("s"), filters.class_name
    groups = diagnosis.grouped_scores(table, matrices[table.index], by, names, class_name)
    if groups.empty or column not in {*groups, COUNTED}:
        st.info("Nothing to rank: loosen the filters, or rank by another score, in the sidebar.")
        return
    count = ERRORS[filters.errors]
    groups, _ = rank(groups, count if column == COUNTED else column, count, worst_first)
    st.markdown(f"**{len(groups):,}** {unit.lower()} of {len(table):,} patches")
    of_class = plain(f" of {class_name}") if class_name else ""
    event = st.dataframe(
        groups,
        hide_index=True,
        key="groups",
        placeholder="–",
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            by: unit.removesuffix("s"),
            "patches": st.column_config.NumberColumn("Patches", format="localized"),
            "pixels": st.column_config.NumberColumn("Pixels", format="localized"),
            "mean_iou": st.column_config.ProgressColumn("Mean IoU", format="%.3f", min_value=0, max_value=1),
            "accuracy": st.column_config.NumberColumn("Accuracy", format="%.3f"),
            **{f"iou_{name}": st.column_config.NumberColumn(f"IoU {name}", format="%.3f") for name in names},
            WRONG: st.column_config.NumberColumn(f"Wrong pixels{of_class}", format="localized"),
            MISSED: st.column_config.NumberColumn("Missed", format="localized") if class_name else None,
            INVENTED: st.column_config.NumberColumn("Invented", format="localized") if class_name else None,
        },
    )
    if len(groups) > 1:
        spread = mean_and_deviation(groups).items()
        shown = [f"{Metrics.kinds[name].title} **{mean:.3f} ± {sd:.3f}**" for name, (mean, sd) in spread]
        st.caption(f"Mean ± standard deviation over these {unit.lower()}, all alike: {' · '.join(shown)}")
    with st.container(horizontal=True):
        rows = [row for row in event.selection.rows if row < len(groups)]  # a filter may have left fewer
        chosen = groups.iloc[rows[0]][by] if rows else ""
        st.page_link(
            EXPLORER if by == "scene" else BROWSER,
            label="Explore the scene" if by == "scene" else "See the tile",
            icon=":material/compare:" if by == "scene" else ":material/grid_view:",
            disabled=not rows,
            help="Choose a row first.",
            query_params=link(looking_at(chosen) if by == "scene" else {"view": "One tile", "tile-shown": chosen}),
        )
        st.download_button(
            "Download the table",
            to_safe_csv(groups),
            f"{evaluated.run.name}-{unit.lower()}.csv",
            "text/csv",
            key="download-groups",
            icon=":material/download:",
            on_click="ignore",
        )
