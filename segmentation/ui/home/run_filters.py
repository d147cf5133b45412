"""Which runs the table shows, and in what order."""

import pandas as pd
import streamlit as st

from segmentation.runs.summary import HIGHER

ORDERS = {
    "Data set and protocol": ["dataset", "protocol", "mean_iou"],
    "Mean IoU": ["mean_iou"],
    "mIoU without Unlabeled": ["mean_iou_without_unlabeled"],
    "Accuracy": ["accuracy"],
    "Jaccard": ["jaccard"],
    "Name": ["run"],
    "Parameters": ["parameters"],
    "Size of the model": ["model_bytes"],
    "Time a megapixel": ["seconds"],
    "Epochs": ["epochs"],
    "Date": ["created"],
}
"""The columns to sort by: scores and dates from the highest down, others from the lowest up."""

FALLING = {*HIGHER, "created"}


def choose_rows(table: pd.DataFrame, noted: bool) -> pd.DataFrame:
    """Draw the sidebar's filters; return the runs that pass them.

    Args:
        table: All runs, as `summary_table` returns them, with the columns ``tags``, ``note`` and ``hidden``.
        noted: Whether anything is known of what people say about them.
    """
    sidebar = st.sidebar
    sidebar.subheader("Filters", anchor=False)
    text = sidebar.text_input(
        "Search", key="search", bind="query-params", help="In names, notes and tags.", placeholder="Any run"
    )
    for column, key, label in (("dataset", "scored-on", "Scored on"), ("protocol", "protocol", "Protocol")):
        known = sorted(table[column].dropna().unique())
        chosen = sidebar.multiselect(label, known, key=key, bind="query-params", placeholder="Any")
        if chosen:
            table = table[table[column].isin(chosen)]
    if noted:
        known = sorted({tag for tags in table["tags"] for tag in tags})
        chosen = sidebar.multiselect("Tags", known, key="tag", bind="query-params", placeholder="Any")
        table = table[[set(chosen) <= set(tags) for tags in table["tags"]]]
        if not sidebar.toggle("Hidden runs too", key="hidden", bind="query-params"):
            table = table[~table["hidden"]]
    words = text.casefold().split()
    found = table["run"] + " " + table["note"] + " " + table["tags"].str.join(" ")
    return table[[all(word in of.casefold() for word in words) for of in found]]


def choose_order(table: pd.DataFrame) -> pd.DataFrame:
    """Let the user choose an order, and return the runs in it."""
    st.sidebar.subheader("View", anchor=False)
    columns = ORDERS[
        st.sidebar.selectbox(
            "Sort by",
            list(ORDERS),
            key="sort",
            bind="query-params",
            help="A click on a column's heading sorts by it, too.",
        )
    ]
    return table.sort_values([*columns, "run"], ascending=[column not in FALLING for column in [*columns, "run"]])
