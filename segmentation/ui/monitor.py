"""The parts of the training monitor: which logs, live curves, and the details behind them."""

import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import streamlit as st

from segmentation.errors import RunError
from segmentation.runs.folder import Run
from segmentation.runs.history import History, read_history
from segmentation.ui.figures import best_epoch, history_figure, network_figure, title_of
from segmentation.ui.layout import known_runs, one_sentence

POLL_SECONDS = 3.0
"""How often a running training's log is read again."""

UPLOADS = "uploaded_logs"
"""Session state: uploaded logs' bytes by file name, since an uploader forgets them on a change of page."""

FIRST = ("loss", "accuracy", "jaccard", "mean_iou")
"""These metrics are drawn first."""


@dataclass(frozen=True)
class Log:
    """One training's log and where it comes from: a run, a file, or an upload's bytes."""

    name: str
    source: Path | bytes
    run: Run | None = None

    def read(self) -> History:
        """Read the log as it is now.

        Raises:
            RunError: If it cannot be read.
        """
        return read_history(self.source)


def choose_logs(run: Run | None) -> list[Log]:
    """Let the user choose runs, name a file, or upload files; the sidebar's run is there from the start.

    Args:
        run: The run in use.
    """
    runs = {known.name: known for known in reversed(known_runs()) if (known.folder / "history.csv").exists()}
    names = list(reversed(runs))
    chosen = st.multiselect(
        "Runs",
        names,
        default=[run.name] if run and run.name in runs else names[:1],
        key=f"runs-{run.name if run else ''}",
        help="Runs are drawn over one another, a colour each.",
    )
    logs = [Log(name, runs[name].folder / "history.csv", runs[name]) for name in chosen]
    with st.expander("Another log: a path or an upload", icon=":material/upload_file:"):
        path = st.text_input(
            "Path of a CSVLogger file", key="log-path", persist_state="session", placeholder="/home/me/run/log.csv"
        )
        uploads = st.file_uploader(
            "CSVLogger files", type=["csv", "log", "txt"], accept_multiple_files=True, key="logs"
        )
        kept = st.session_state.setdefault(UPLOADS, {})
        kept |= {upload.name: upload.getvalue() for upload in uploads}
        if kept and st.button("Forget the uploads", icon=":material/delete:"):
            kept.clear()
    logs += [Log(name, content) for name, content in kept.items()]
    if path.strip():
        logs.append(Log(Path(path.strip()).name, Path(path.strip()).expanduser()))
    return logs


def curves(logs: list[Log]) -> None:
    """Draw the curves, again and again while one of the runs is being written."""
    live = any(log.run and log.run.status.get("state") == "running" for log in logs)
    st.fragment(_draw_curves, run_every=POLL_SECONDS if live else None)(logs, live)


def _draw_curves(logs: list[Log], live: bool) -> None:
    """One drawing of all curves from what the files hold now."""
    states = [_state_line(Run(log.run.folder)) for log in logs if log.run]
    for line in states:
        st.markdown(line)
    if live and not any(Run(log.run.folder).status.get("state") == "running" for log in logs if log.run):
        st.rerun()  # it has ended: the whole page follows once, and the polling stops
    histories = _read(logs)
    for name, history in histories.items():
        for note in history.notes:
            st.caption(f":material/build: {name}: {note}")
    metrics = list(dict.fromkeys(metric for history in histories.values() for metric in history.metrics))
    metrics.sort(key=lambda metric: FIRST.index(metric) if metric in FIRST else len(FIRST))
    if any("learning_rate" in history.table for history in histories.values()):
        metrics.append("learning_rate")
    drawn = {name: history for name, history in histories.items() if len(history.table)}
    if not drawn:
        return
    _best_row(drawn)
    charts = st.grid(2, min_column_width=400, gap="medium")
    for metric in metrics:
        charts.plotly_chart(history_figure(drawn, metric), key=f"curve-{metric}")
    st.caption("Validation solid, training dotted; a star marks the best validation value.")


def _read(logs: list[Log]) -> dict[str, History]:
    histories = {}
    for log in logs:
        try:
            histories[log.name] = log.read()
        except RunError as error:
            st.error(f"{log.name}: {error}", icon=":material/error:")
    return histories


def _state_line(run: Run) -> str:
    """Say in one line how a run stands: state, epoch, time an epoch, and the time it will end."""
    status = run.status
    parts = [f"**{run.name}** is {status.get('state')}"]
    if status.get("reason"):
        parts.append(status["reason"])
    if status.get("state") == "running":
        parts.append(f"{status.get('phase', '')}, {100 * status.get('progress', 0):.0f} % done")
        parts.append(f"last sign of life {time.time() - status['heartbeat']:.0f} s ago")
    if status.get("state") in ("stopped", "failed", "stalled"):
        parts.append(f"go on with `python -m segmentation train --name {run.name} --resume` and its other options")
    return " · ".join(parts)


def _best_row(histories: dict[str, History]) -> None:
    """Show each log's best epoch by validation accuracy, as the checkpoint keeps it, or by its first metric."""
    for name, history in histories.items():
        table = history.table
        monitor = next((m for m in ("val_accuracy", "val_loss", *table.columns[1:]) if m in table), None)
        best = best_epoch(table[monitor], monitor) if monitor else None
        if best is None:
            continue
        row = table.iloc[best]
        count = "1 epoch" if len(table) == 1 else f"{len(table)} epochs"
        st.markdown(f"**{name}**: {count}, best is epoch {int(row['epoch']) + 1} by {monitor}")
        shown = [m for m in FIRST if f"val_{m}" in table]
        figures = st.grid(4, min_column_width=220)
        for metric in shown:
            figures.metric(f"{title_of(metric)}, validation", f"{row[f'val_{metric}']:.3f}")


def details(logs: list[Log]) -> None:
    """Show each log's epochs as a table, its hyper-parameters, its network, and downloads."""
    for log in logs:
        with st.expander(f"{log.name}: epochs, hyper-parameters, network", icon=":material/table_rows:"):
            with one_sentence():
                table = log.read().table
                st.dataframe(table.assign(epoch=table["epoch"] + 1), hide_index=True, key=f"epochs-{log.name}")
                st.download_button(
                    "Download the epochs",
                    table.to_csv(index=False),
                    f"{log.name}-epochs.csv",
                    "text/csv",
                    key=f"download-{log.name}",
                    icon=":material/download:",
                )
            config = (log.run.config if log.run else None) or {}
            if "configuration" in config:
                values = {**config["configuration"], **config.get("dataset", {}), **config.get("versions", {})}
                st.dataframe(
                    pd.DataFrame({"hyper-parameter": values.keys(), "value": [str(v) for v in values.values()]}),
                    hide_index=True,
                    key=f"config-{log.name}",
                )
            if "architecture" in config:
                st.plotly_chart(
                    network_figure(config["architecture"]), key=f"network-{log.name}", config={"displayModeBar": False}
                )
