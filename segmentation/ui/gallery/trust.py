"""Whether a run's confidence can be trusted: over all pixels, by class and by place, as it is or at a temperature."""

import pandas as pd
import streamlit as st

from segmentation.calibration import calibration_error
from segmentation.runs.records import Calibration, Metrics, Tempered
from segmentation.runs.run import Run
from segmentation.tables import to_safe_csv
from segmentation.ui.charts.evaluation import calibration_gaps_figure, reliability_figure
from segmentation.ui.gallery.evaluated import evaluate_command
from segmentation.ui.shell.words import code, score

ALL, BY_CLASS, BY_PLACE = "All pixels", "By class", "By place"

COLUMNS = {
    "Pixels": "Scored pixels of the held-out part.",
    "Confidence": "Mean confidence: how often the model believes itself right.",
    "Accuracy": "How often it is right.",
    "Overconfidence": "Confidence less accuracy: above zero the model is overconfident, below zero underconfident.",
    "ECE": "Expected calibration error: how far apart accuracy and confidence are, averaged over bins of confidence.",
}
"""The table's columns of numbers, and what they are."""


def show_trust(run: Run, metrics: Metrics) -> None:
    """Show how often pixels are right that a run is so sure of, if its probabilities are known."""
    if not metrics.calibration:
        return
    more = st.expander("Can its confidence be trusted?", key="trust", bind="query-params", icon=":material/verified:")
    if not more.open:
        return
    with more:
        with st.container(horizontal=True, vertical_alignment="bottom"):
            shown = _choose_pixels(metrics)
            at_temperature = _choose_temperature(metrics)
        chosen = metrics.tempered if at_temperature and metrics.tempered else metrics
        if shown == ALL or not _tables(chosen, shown):
            if chosen.calibration:
                st.plotly_chart(reliability_figure(chosen.calibration), key="reliability")
        else:
            _show_each(run, shown, _tables(chosen, shown), at_temperature)
        st.caption(_summary(chosen, metrics if at_temperature else None))
        st.caption(_about_temperature(run, metrics))


def _choose_pixels(metrics: Metrics) -> str:
    """Let the user choose which pixels are looked at together."""
    options = [ALL] + [BY_CLASS] * bool(metrics.calibration_by_class) + [BY_PLACE] * bool(metrics.calibration_by_place)
    chosen = st.segmented_control(
        "Calibration",
        options,
        default=ALL,
        required=True,
        key="trust-of",
        bind="query-params",
        help="All pixels together; those predicted as each class; those of each tile, or scene if there is one tile.",
    )
    return chosen or ALL


def _choose_temperature(metrics: Metrics) -> bool:
    """Let the user look at probabilities as they are, or at the run's temperature."""
    return st.toggle(
        "With temperature",
        key="tempered",
        bind="query-params",
        disabled=metrics.tempered is None,
        help="Softens or sharpens all probabilities by one number, fitted on the validation part, so that confidence "
        "tells how often the model is right (temperature scaling, Guo et al., 2017). No pixel changes its class.",
    )


def _tables(of: Metrics | Tempered, shown: str) -> dict[str, Calibration]:
    """Return the bins by class or place; none of those without pixels."""
    tables = of.calibration_by_class if shown == BY_CLASS else of.calibration_by_place
    return {name: bins for name, bins in (tables or {}).items() if any(bins.pixels)}


def _show_each(run: Run, shown: str, tables: dict[str, Calibration], at_temperature: bool) -> None:
    """Show confidence and accuracy of each class or place, as a chart and as a table with the error of each."""
    name = "Predicted as" if shown == BY_CLASS else "Place"
    table = calibration_table(tables, name)
    halves = st.grid(2, min_column_width=380, gap="medium")
    halves.plotly_chart(calibration_gaps_figure(table, name), key="calibration-gaps")
    with halves.cell():
        st.dataframe(
            table,
            hide_index=True,
            key="calibration-table",
            column_config={
                column: st.column_config.NumberColumn(
                    column,
                    help=text,
                    format={"Pixels": "localized", "Overconfidence": "%+.3f"}.get(column, "%.3f"),
                )
                for column, text in COLUMNS.items()
            },
        )
        st.download_button(
            "Download the table",
            lambda: to_safe_csv(table),
            f"{run.name}-calibration{'-tempered' if at_temperature else ''}.csv",
            "text/csv",
            key="download-calibration",
            icon=":material/download:",
            on_click="ignore",
            help="One row per class or place, as shown.",
        )


def calibration_table(tables: dict[str, Calibration], name: str) -> pd.DataFrame:
    """Return a row for each class or place, those of the largest error first.

    Args:
        tables: The bins of each; each has pixels.
        name: What the first column is called.
    """
    rows = []
    for of, bins in tables.items():
        pixels, confidence, right = bins.table.sum(0)
        error = calibration_error(bins.table)
        rows.append((of, int(pixels), confidence / pixels, right / pixels, (confidence - right) / pixels, error))
    return pd.DataFrame(rows, columns=[name, *COLUMNS]).sort_values("ECE", ascending=False, kind="stable")


def _summary(chosen: Metrics | Tempered, before: Metrics | None) -> str:
    """Say the scores of all pixels together; what they were before, too, if they are at a temperature."""
    error = f"Expected calibration error **{score(chosen.calibration_error)}**"
    error += f" (without temperature {score(before.calibration_error)})" if before else ""
    brier = f" Brier score **{score(chosen.brier)}**" if chosen.brier is not None else ""
    brier += f" (without temperature {score(before.brier)})" if brier and before else ""
    return (
        f"{error}: how far apart accuracy and confidence are, averaged over the held-out pixels in bins of equal "
        "width. Where accuracy is below confidence, the model is overconfident."
        + (f"{brier}: the mean squared error of all probabilities, from 0 to 2; lower is better." if brier else "")
    )


def _about_temperature(run: Run, metrics: Metrics) -> str:
    """Say the temperature and what it does, or what to do to have one."""
    if metrics.temperature is not None:
        kind = "softens" if metrics.temperature > 1 else "sharpens"
        return (
            f"Temperature **{metrics.temperature:.2f}**, fitted on the validation part: it {kind} the probabilities. "
            "It changes neither classes nor the other scores."
        )
    if run.folds:
        return "The whole has no temperature: each fold has its own, fitted on its own validation part."
    if run.predictions:
        return "Predictions alone have no temperature: it is fitted on probabilities of a validation part."
    if run.is_foreign or metrics.model_of:
        return (
            "No temperature: it is fitted on the validation part of the data that a model was trained on, and what "
            "this one was validated on is not known here."
        )
    if run.is_flattered:
        return (
            "No temperature: it is fitted on a validation part, and this run was trained without one. Train anew under "
            f"any protocol but {code('article')}."
        )
    return f"No temperature yet: {evaluate_command(run)} fits it on the validation part."
