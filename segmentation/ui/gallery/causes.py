"""What the patches have in common on which a run does badly."""

import html

import pandas as pd
import streamlit as st

from segmentation.evaluation import diagnosis
from segmentation.ui.charts.evaluation import scatter_figure
from segmentation.ui.gallery.cards import show_card
from segmentation.ui.gallery.evaluated import EvaluatedRun, check_confusions
from segmentation.ui.gallery.filters import choose_patches
from segmentation.ui.shell.faults import show_errors


def causes(evaluated: EvaluatedRun) -> None:
    """Show what the patches' scores go with, and test the article's claim that very bright patches fail."""
    table, filters = choose_patches(evaluated)
    table, matrices = table.dropna(subset="mean_iou"), check_confusions(evaluated.run)
    if matrices is None:
        return
    if len(table) < 3:
        st.info("Too few patches to tell: loosen the filters in the sidebar.")
        return
    values = diagnosis.circumstances(evaluated.patches, matrices, evaluated.palette.names).loc[table.index]
    correlations = pd.DataFrame(
        {
            "goes with": values.columns,
            "rank correlation": [diagnosis.rank_correlation(values[name], table["mean_iou"]) for name in values],
        }
    ).sort_values("rank correlation", key=abs, ascending=False, na_position="last")
    limit, bright, others = diagnosis.brightness_claim(table)
    of_brightness = correlations.set_index("goes with")["rank correlation"]["Brightness"]
    st.markdown(
        f"The article says that very bright images fail. Here the brightest tenth (brightness {limit:.2f} and more) "
        f"has a mean IoU of **{bright:.3f}**, all other patches **{others:.3f}**; over all {len(table):,} patches "
        f"brightness and mean IoU have a rank correlation of **{of_brightness:+.2f}**."
    )
    halves = st.grid(2, min_column_width=400, gap="medium")
    with halves.cell():
        name = st.selectbox(
            "Mean IoU against", values.columns, key="against", bind="query-params", help="What it may depend on."
        )
        event = st.plotly_chart(
            scatter_figure(values[name], table["mean_iou"], table["patch"], name, "Mean IoU of the patch"),
            key="causes",
            on_select="rerun",
            selection_mode="points",
            config={"displayModeBar": False},
        )
    halves.dataframe(
        correlations,
        hide_index=True,
        height="content",
        key="correlations",
        placeholder="–",
        column_config={
            "goes with": "Mean IoU goes with",
            "rank correlation": st.column_config.NumberColumn(
                "Rank correlation",
                format="%+.2f",
                help="Spearman's: +1 if one always rises with the other, −1 if it falls, 0 if they are unrelated.",
            ),
        },
    )
    clicked = [html.unescape(point["customdata"][0]) for point in event.selection.points]
    found = table[table["patch"].isin(clicked)]  # a filter may have removed it
    if found.empty:
        st.caption("Click a point to see its patch.")
        return
    with st.container(border=True), show_errors():
        show_card(evaluated, filters, found.iloc[0], set())
