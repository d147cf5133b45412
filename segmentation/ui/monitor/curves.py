"""The curves, redrawn while a training writes its log."""

import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import streamlit as st

from segmentation.errors import RunError
from segmentation.runs.logs.columns import LEARNING_RATE, VALIDATION, direction, key
from segmentation.runs.logs.history import History, gap
from segmentation.runs.run import FOLDS, Run
from segmentation.ui.charts.curves import gap_figure, history_figure
from segmentation.ui.charts.style import title_of
from segmentation.ui.monitor.logs import Log, length_of, read_histories
from segmentation.ui.shell.faults import show_errors
from segmentation.ui.shell.words import plain

POLL_SECONDS = 3.0
"""How often a running training's log is read again."""

MOST_CHARTS = 16
"""So many metrics are drawn at once at most."""

GAPS = ("loss", "accuracy", "mean_iou")
"""The gap between training and validation is drawn for these."""

FIRST = ("loss", "accuracy", "jaccard", "mean_iou")
"""These metrics are drawn first."""


@dataclass(frozen=True)
class Drawing:
    """How curves are to be drawn, as the sidebar says: smoothing 0–1, and a logarithmic scale for losses."""

    smoothing: float
    logarithmic: bool


def choose_drawing() -> Drawing:
    """Draw the sidebar's last part."""
    st.sidebar.subheader("View", anchor=False)
    percent = st.sidebar.slider(
        "Smoothing, %",
        0,
        95,
        0,
        step=5,
        key="smoothing",
        bind="query-params",
        help="Exponential moving average; the curve itself stays visible behind it, and its best epoch is marked.",
    )
    logarithmic = st.sidebar.toggle(
        "Logarithmic losses", key="log", bind="query-params", help="Draw losses on a logarithmic scale."
    )
    return Drawing(percent / 100, logarithmic)


def curves(logs: list[Log], drawing: Drawing) -> None:
    """Draw the curves, again and again while one of the runs is being written, and anew when a log has grown."""
    chosen = _choose_metrics(logs)
    live = any(log.run and log.run.status.state == "running" for log in logs)
    st.fragment(_draw_curves, run_every=POLL_SECONDS if live else None)(logs, live, drawing, chosen)
    files = [log for log in logs if isinstance(log.source, Path)]
    if files and not live:
        st.fragment(_follow, run_every=POLL_SECONDS)(files)


def _follow(logs: list[Log]) -> None:
    """Draw the page anew if a file has changed since; until then nothing is read or drawn."""
    if any(log.stamp != log.seen for log in logs):
        st.rerun()


def _metrics(histories: Iterable[History]) -> list[str]:
    """Return the metrics of some logs, each once, the well known ones first and the learning rate last."""
    metrics = {key(metric): metric for history in reversed(list(histories)) for metric in reversed(history.metrics)}
    ordered = list(reversed(metrics.values()))
    ordered.sort(key=lambda metric: FIRST.index(key(metric)) if key(metric) in FIRST else len(FIRST))
    return ordered


def _choose_metrics(logs: list[Log]) -> set[str] | None:
    """Let the user choose what is drawn where there are more metrics than can be; None for all."""
    histories = []
    for log in logs:
        with suppress(RunError):  # is said where the curves would be
            histories.append(log.read())
    metrics = _metrics(histories)
    if len(metrics) <= MOST_CHARTS:
        return None
    chosen = st.multiselect(
        "Metrics",
        metrics,
        default=metrics[:MOST_CHARTS],
        max_selections=MOST_CHARTS,
        key="metrics",
        help=f"{len(metrics):,} metrics are in these logs; {MOST_CHARTS} at once are drawn.",
    )
    return {key(metric) for metric in chosen}


@show_errors()
def _draw_curves(logs: list[Log], live: bool, drawing: Drawing, chosen: set[str] | None) -> None:
    """One drawing of all curves from what the files hold now."""
    if live and not any(Run(log.run.folder).status.state == "running" for log in logs if log.run):
        st.rerun()  # it has ended: the whole page follows once, and the polling stops
    for log in logs:
        if log.run and log.run.folder.parent.name != FOLDS:  # of which the whole says how far it is
            _state(Run(log.run.folder))
    histories, runs = read_histories(logs), {log.name for log in logs if log.run}
    for name, history in histories.items():
        for warning in history.warnings:
            st.warning(plain(f"{name}: {warning}"), icon=":material/warning:")
        if name not in runs:  # whose log is known
            st.caption(f":material/description: {plain(name)}: {plain(_kind_of(history))}")
        for note in history.notes:
            st.caption(f":material/build: {plain(name)}: {plain(note)}")
    drawn = {name: history for name, history in histories.items() if len(history.table)}
    if not drawn:
        return
    _best_row(drawn)
    metrics = [metric for metric in _metrics(drawn.values()) if chosen is None or key(metric) in chosen][:MOST_CHARTS]
    rate = [LEARNING_RATE] if any(history.curves(LEARNING_RATE) for history in drawn.values()) else []
    charts = st.grid(2, min_column_width=400, gap="medium")
    for metric in metrics + rate:
        logarithmic = drawing.logarithmic and direction(metric) < 0
        figure = history_figure(drawn, metric, drawing.smoothing, logarithmic)
        charts.plotly_chart(figure, key=f"curve-{key(metric)}")
    st.caption(
        "Validation solid, training dotted. A full star marks the best in validation, an open one the best in training."
    )
    paired = [metric for metric in metrics if any(gap(history, metric) is not None for history in drawn.values())]
    paired = [metric for metric in paired if key(metric) in GAPS] or paired[: len(GAPS)]
    if paired:
        st.subheader("Gap between training and validation", anchor=False)
        charts = st.grid(2, min_column_width=400, gap="medium")
        for metric in paired:
            charts.plotly_chart(gap_figure(drawn, metric), key=f"gap-{key(metric)}")
        st.caption(
            "Above zero the run does better on what it trains on. A gap that widens while validation gains no more is "
            "overfitting; below zero, augmentation or dropout make training the harder part. It is said to widen from "
            "the epoch up to which it falls or is level and from which it rises along a line, if it rises by more than "
            "four times its scatter."
        )


def _kind_of(history: History) -> str:
    """Say what a log was taken for, and what it counts."""
    if not history.format:
        return "nothing in it yet"
    counts = "counted by epochs" if history.axis == "epoch" else "counted by steps, not by epochs"
    return ", ".join(filter(None, (f"read as {history.format}", history.name and f"run {history.name}", counts)))


def _state(run: Run) -> None:
    """Say how a run stands: state, epoch, time an epoch, when it will end."""
    status = run.status
    parts = [f"**{plain(run.name)}** is {plain(status.state)}"]
    if status.reason:
        parts.append(plain(status.reason))
    if run.left_out:
        parts.append(plain(run.left_out))
    if status.state != "running":
        st.markdown(" · ".join(parts))
        return
    progress = status.progress or 0.0
    if status.fold is not None and status.folds is not None:
        parts.append(f"fold {status.fold} of {status.folds}")
    counted = status.epoch is not None and status.epochs is not None
    parts.append(f"epoch {status.epoch} of {status.epochs}" if counted else plain(status.phase or ""))
    parts.append(f"{100 * progress:.0f} % done")
    if status.seconds_left is not None and status.seconds_an_epoch is not None:
        parts.append(f"{duration(status.seconds_an_epoch)} an epoch")
        end = time.localtime(status.heartbeat + status.seconds_left)
        parts.append(f"{duration(status.seconds_left)} left, until {time.strftime('%H:%M', end)}")
    parts.append(f"last sign of life {max(0, time.time() - status.heartbeat):.0f} s ago")
    st.progress(progress, " · ".join(parts))


def duration(seconds: float) -> str:
    """Say a time as a person would: 45 s, 3 min 20 s, 2 h 5 min."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s" if minutes < 10 else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def _best_row(histories: dict[str, History]) -> None:
    """Show each log's best epoch, by validation accuracy, as the checkpoint keeps it, or what comes next to it."""
    for name, history in histories.items():
        table, axis = history.table, history.axis
        if history.best is None:
            st.markdown(f"**{plain(name)}**: {length_of(history)}")
            continue
        monitor, position = history.best
        row = table.iloc[position]
        st.markdown(f"**{plain(name)}**: {length_of(history)}, best is {axis} {int(row[axis])} by {plain(monitor)}")
        known = {key(chart.name): chart.curve(VALIDATION) for chart in history.charts if direction(chart.name)}
        shown = [(metric, curve) for metric in _metrics([history]) if (curve := known.get(key(metric)))]
        figures = st.grid(4, min_column_width=220)
        for metric, curve in shown[: len(FIRST)]:
            value = row[curve.column]
            figures.metric(f"{plain(title_of(metric))}, validation", "–" if pd.isna(value) else f"{value:.3f}")
