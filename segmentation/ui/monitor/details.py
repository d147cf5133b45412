"""Tables of what is drawn, gaps between training and validation, and the network."""

import pandas as pd
import streamlit as st

from segmentation.configuration import Configuration
from segmentation.runs.run import Run
from segmentation.tables import to_safe_csv
from segmentation.ui.charts.network import network_figure
from segmentation.ui.monitor.logs import Log
from segmentation.ui.shell.faults import show_errors
from segmentation.ui.shell.words import plain


def details(logs: list[Log]) -> None:
    """Show the runs' hyper-parameters side by side, each log's epochs as a table, and its network."""
    table = side_by_side([log.run for log in logs if log.run])
    if not table.empty:
        st.subheader("Hyper-parameters", anchor=False)
        differing = (
            st.toggle("Only what differs", key="differing", bind="query-params", help="Hide what all runs share.")
            if table.shape[1] > 3
            else False
        )
        st.dataframe(
            table[table["differs"]] if differing else table,
            hide_index=True,
            key="hyper-parameters",
            placeholder="–",
            column_config={"name": "Hyper-parameter", "differs": "Differs" if table.shape[1] > 3 else None},
        )
        st.download_button(
            "Download the hyper-parameters",
            to_safe_csv(table),
            "hyper-parameters.csv",
            "text/csv",
            key="download-hyper-parameters",
            icon=":material/download:",
            on_click="ignore",
        )
    for log in logs:
        if log.run and log.run.folds:  # which have the epochs
            continue
        more = st.expander(
            f"{plain(log.name)}: epochs and network",
            key=f"details-{log.key}",
            on_change="rerun",
            icon=":material/table_rows:",
        )
        if not more.open:
            continue
        with more, show_errors():
            table = log.read().table
            st.dataframe(table, hide_index=True, key=f"epochs-{log.key}")
            st.download_button(
                "Download the epochs",
                to_safe_csv(table),
                f"{log.name}-epochs.csv",
                "text/csv",
                key=f"download-{log.key}",
                icon=":material/download:",
                on_click="ignore",
            )
            network = log.run.architecture if log.run else None
            if network:
                st.plotly_chart(network_figure(network), key=f"network-{log.key}", config={"displayModeBar": False})


def side_by_side(runs: list[Run]) -> pd.DataFrame:
    """Return the runs' hyper-parameters, data and versions, what differs first: ``name``, a column a run, ``differs``.

    A hyper-parameter that is younger than a run had its default then.
    """
    columns = {}
    for run in runs:
        if run.config:
            of_run = {**Configuration().to_dict(), **run.config.configuration, **run.config.dataset.to_dict()}
            columns[run.name] = {name: str(value) for name, value in {**of_run, **run.config.versions}.items()}
    if not columns:
        return pd.DataFrame()
    table = pd.DataFrame(columns)
    differs = table.nunique(axis=1, dropna=False) > 1
    table = table.assign(differs=differs).rename_axis("name").reset_index()
    return table.sort_values("differs", ascending=False, kind="stable", ignore_index=True)
