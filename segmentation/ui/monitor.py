"""The parts of the training monitor: which logs, live curves, the details behind them, and trainings from here."""

import hashlib
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import streamlit as st

from segmentation.backend import BACKENDS, installed_backends
from segmentation.configuration import ARCHITECTURES, Configuration
from segmentation.data.locate import check_allowed, runs_folder
from segmentation.data.protocols import PROTOCOLS
from segmentation.data.scenes import Dataset
from segmentation.errors import DONE, RunError
from segmentation.runs.columns import LEARNING_RATE, VALIDATION, direction, key
from segmentation.runs.history import MOST_BYTES, History, gap, read_history
from segmentation.runs.run import HISTORY, Run, check_run_allowed, find_runs
from segmentation.tables import csv_text
from segmentation.training import launch
from segmentation.ui.figures import gap_figure, history_figure, network_figure, title_of
from segmentation.ui.layout import CHOSEN_RUN, known_runs, one_sentence, plain, readable, refuse, say_unknown
from segmentation.ui.loaders import MEGABYTE, remembered

POLL_SECONDS = 3.0
"""How often a running training's log is read again."""

UPLOADS = "uploaded_logs"
"""Session state: uploaded logs' names and bytes by file id, since an uploader forgets them on a change of page."""

IN_UPLOADER = "logs_in_uploader"
"""Session state: ids of the files that the uploader held when it was last drawn."""

UPLOADER = "log_uploader"
"""Session state: how many uploaders were cleared: each has a key of its own, since none gives its files back."""

MOST_LOGS = 12
"""So many logs are drawn at most."""

MOST_CHARTS = 16
"""So many metrics are drawn at once at most."""

DATA = "data_to_train_on"
"""Session state: folder of the data set in use."""

GAPS = ("loss", "accuracy", "mean_iou")
"""The gap between training and validation is drawn for these."""

STARTED = "started_training"
"""Session state: (name, process) of a training that was started from the page and has not shown up yet."""

FIRST = ("loss", "accuracy", "jaccard", "mean_iou")
"""These metrics are drawn first."""


@dataclass(frozen=True)
class Log:
    """One training's log and where it comes from: a run, a file, or an upload's bytes.

    Args:
        name: What it is called; two logs of one name get numbers.
        key: Tells it from all others by its place or its content; fit for a widget's key.
        source: The file, or an upload's bytes.
        run: The run that it belongs to.
        seen: The stamp of the file when the page began to draw.
        training: The one of its trainings that is looked at, counted from 1; 0 for the last.
    """

    name: str
    key: str
    source: Path | bytes
    run: Run | None = None
    seen: tuple | None = None
    training: int = 0

    @property
    def stamp(self) -> tuple | None:
        """A mark of the log that changes when it does; None for a file that is gone."""
        if isinstance(self.source, bytes):
            return ("upload", self.key)
        try:
            status = self.source.stat()
        except OSError:
            return None
        return str(self.source), status.st_ino, status.st_mtime_ns, status.st_size

    def read(self) -> History:
        """Read the log as it is now.

        Raises:
            RunError: If it cannot be read.
        """
        history = _history(self.source, self.stamp)
        return history.of_training(self.training) if 0 < self.training <= len(history.trainings) else history


@remembered(
    64 * MEGABYTE,
    key=lambda source, stamp: stamp,
    size=lambda history: 4096 + sum(one.table.memory_usage().sum() for one in history.trainings),
)
def _history(source: Path | bytes, stamp: tuple | None) -> History:
    return read_history(source)


def choose_logs(run: Run | None) -> list[Log]:
    """Let the user choose further runs, name a file, or upload files; the sidebar's run is always there.

    Args:
        run: The run in use.
    """
    runs = {known.name: known for known in reversed(known_runs()) if (known.folder / HISTORY).exists()}
    others = [name for name in reversed(runs) if run is None or name != run.name]
    say_unknown("run", "with", runs)
    chosen = st.multiselect(
        "Compare with",
        others,
        key="with",
        bind="query-params",
        placeholder="No other run",
        help="Runs are drawn over one another, a colour each.",
    )
    names = ([run.name] if run and run.name in runs else []) + chosen
    logs = [Log(name, name, runs[name].folder / HISTORY, runs[name]) for name in names]
    if run and run.name not in runs and run.status.get("state") == "running":
        logs.insert(0, Log(run.name, run.name, run.folder / HISTORY, run))
    with st.expander("Another log: a path or an upload", icon=":material/upload_file:"):
        path = st.text_input(
            "Path of a training log, or of a folder of runs",
            key="log-path",
            persist_state="session",
            placeholder="/home/me/run/log.csv",
            help="It is followed while it grows. A folder may be a run or hold some: all that have a history.csv are "
            "drawn.",
        )
        logs += _uploads()
    if path.strip():
        with one_sentence():
            logs += _logs_at(Path(path.strip()))
    return [_choose_training(log) for log in _told_apart(logs)]


def _uploads() -> list[Log]:
    """Let the user upload logs, and forget them."""
    number = st.session_state.setdefault(UPLOADER, 0)
    widget = f"logs-{number}" if number else "logs"
    kept: dict[str, tuple[str, bytes]] = st.session_state.setdefault(UPLOADS, {})
    uploads = st.file_uploader(
        "Training logs",
        type=["csv", "tsv", "log", "txt"],
        accept_multiple_files=True,
        max_upload_size=MOST_BYTES >> 20,
        key=widget,
        on_change=_drop_removed,
        args=(widget,),
    )
    for upload in uploads:
        if upload.size > MOST_BYTES:
            refuse(RunError(f"The log is larger than {MOST_BYTES >> 20} MB: cut it down."), upload.name)
        elif upload.file_id not in kept:
            kept[upload.file_id] = upload.name, upload.getvalue()
    st.session_state[IN_UPLOADER] = {upload.file_id for upload in uploads}
    if kept:
        st.button("Clear uploads", icon=":material/delete:", on_click=_clear_uploads)
    return [Log(name, log_key(name, content), content) for name, content in kept.values()]


def _drop_removed(widget: str) -> None:
    """Forget the uploads that the user has taken out of the uploader."""
    held = {upload.file_id for upload in st.session_state[widget]}
    for gone in st.session_state.get(IN_UPLOADER, set()) - held:
        st.session_state[UPLOADS].pop(gone, None)


def _clear_uploads() -> None:
    st.session_state[UPLOADS].clear()
    st.session_state[UPLOADER] += 1


def log_key(name: str, content: bytes) -> str:
    """Return what tells a log from others: its name, and a hash of its content or of its place."""
    return f"{name}-{hashlib.sha256(content).hexdigest()[:16]}"


def _told_apart(logs: Iterable[Log]) -> list[Log]:
    """Return the logs, each once and under a name of its own, with the stamps that their files have now."""
    found: dict[object, Log] = {}
    for log in logs:
        place = log.key if isinstance(log.source, bytes) else log.source.resolve()
        found.setdefault(place, log)
    if len(found) > MOST_LOGS:
        st.info(f"The first {MOST_LOGS} of {len(found):,} logs are drawn.", icon=":material/stacked_line_chart:")
    names: set[str] = set()
    told: list[Log] = []
    for log in list(found.values())[:MOST_LOGS]:
        name, number = log.name, 2
        while name in names:
            name, number = f"{log.name} ({number})", number + 1
        names.add(name)
        told.append(replace(log, name=name, seen=log.stamp))
    return told


def _choose_training(log: Log) -> Log:
    """Let the user choose which training of a log is looked at, where it holds several."""
    with suppress(RunError):  # is said where the curves would be
        trainings = log.read().trainings
        if len(trainings) > 1:
            sizes = [_length(one) for one in trainings]
            number = st.selectbox(
                f"Training of {plain(log.name)}",
                range(len(trainings) + 1),
                format_func=lambda number: f"{number}: {sizes[number - 1]}" if number else f"Latest: {sizes[-1]}",
                key=f"training-{log.key}",
                help="The log begins anew: it holds several trainings.",
            )
            return replace(log, training=number)
    return log


def _logs_at(path: Path) -> list[Log]:
    """Return the log at a path: of the file, of the run, or of all runs in the folder.

    Raises:
        NotAllowedError: If it leads out of the folders that may be read.
        RunError: If there is nothing that could be read.
    """
    folders = readable()
    path = check_allowed(path, folders)
    if path.is_file():
        return [Log(path.name, log_key(path.name, bytes(path)), path)]
    if not path.is_dir():
        raise RunError(f"There is no file or folder {path}: check the path.")
    runs = [Run(path)] if (path / HISTORY).exists() else find_runs(path)
    for run in runs:
        check_run_allowed(run, folders)
    found = [
        Log(run.name, log_key(run.name, bytes(run.folder)), run.folder / HISTORY, run)
        for run in runs
        if (run.folder / HISTORY).exists()
    ]
    if not found:
        st.error(f"There is no run with a {HISTORY} in {plain(path.name)}: check the path.", icon=":material/error:")
    return found


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
    live = any(log.run and log.run.status.get("state") == "running" for log in logs)
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


@one_sentence()
def _draw_curves(logs: list[Log], live: bool, drawing: Drawing, chosen: set[str] | None) -> None:
    """One drawing of all curves from what the files hold now."""
    if live and not any(Run(log.run.folder).status.get("state") == "running" for log in logs if log.run):
        st.rerun()  # it has ended: the whole page follows once, and the polling stops
    for log in logs:
        if log.run:
            _state(Run(log.run.folder))
    histories = _read(logs)
    for name, history in histories.items():
        for warning in history.warnings:
            st.warning(plain(f"{name}: {warning}"), icon=":material/warning:")
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


def _read(logs: list[Log]) -> dict[str, History]:
    histories = {}
    for log in logs:
        try:
            histories[log.name] = log.read()
        except RunError as error:
            if log.run and log.run.status.get("state") == "running":
                continue  # its first epoch has not ended yet: the state says so
            refuse(error, log.name)
    return histories


def _state(run: Run) -> None:
    """Say how a run stands: state, epoch, time an epoch, when it will end."""
    status = run.status
    parts = [f"**{plain(run.name)}** is {plain(status.get('state'))}"]
    if status.get("reason"):
        parts.append(plain(status["reason"]))
    if run.left_out:
        parts.append(plain(run.left_out))
    if status.get("state") != "running":
        st.markdown(" · ".join(parts))
        return
    progress = min(status.get("progress", 0.0), 1.0)
    counted = status.keys() >= {"epoch", "epochs"}
    parts.append(f"epoch {status['epoch']} of {status['epochs']}" if counted else plain(status.get("phase", "")))
    parts.append(f"{100 * progress:.0f} % done")
    if status.keys() >= {"seconds_left", "seconds_an_epoch"}:
        parts.append(f"{duration(status['seconds_an_epoch'])} an epoch")
        end = time.localtime(status["heartbeat"] + status["seconds_left"])
        parts.append(f"{duration(status['seconds_left'])} left, until {time.strftime('%H:%M', end)}")
    parts.append(f"last sign of life {max(0, time.time() - status['heartbeat']):.0f} s ago")
    st.progress(progress, " · ".join(parts))


def controls(logs: list[Log]) -> None:
    """Offer to stop what is running, and to go on with what was cut.

    The buttons are not where the curves are: those are drawn anew every few seconds, under the pointer.
    """
    for log in logs:
        if log.run is None:
            continue
        run, state = log.run, log.run.status.get("state")
        if state == "running" and st.button(
            f"Stop {plain(run.name)}",
            key=f"stop-{log.key}",
            icon=":material/stop_circle:",
            help="After the batch under way; it can be resumed.",
        ):
            with one_sentence():
                launch.stop(run)
                st.toast(f"{plain(run.name)} stops after the batch under way.")
        if state in ("stopped", "failed", "stalled") and run.config and run.folder.parent == runs_folder():
            data = st.session_state[DATA]
            if st.button(
                f"Resume {plain(run.name)}",
                key=f"resume-{log.key}",
                icon=":material/play_circle:",
                disabled=data is None,
                help="Go on where it was cut, on the data set in use.",
            ):
                with one_sentence():
                    backend = run.config.get("backend")
                    known = backend if backend in installed_backends() else None
                    _launch(run.name, Configuration.from_dict(run.config["configuration"]), data, known)


def duration(seconds: float) -> str:
    """Say a time as a person would: 45 s, 3 min 20 s, 2 h 5 min."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s" if minutes < 10 else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def _length(history: History) -> str:
    count = len(history.table)
    return f"1 {history.axis}" if count == 1 else f"{count:,} {history.axis}s"


def _best_row(histories: dict[str, History]) -> None:
    """Show each log's best epoch, by validation accuracy, as the checkpoint keeps it, or what comes next to it."""
    for name, history in histories.items():
        table, axis = history.table, history.axis
        if history.best is None:
            st.markdown(f"**{plain(name)}**: {_length(history)}")
            continue
        monitor, position = history.best
        row = table.iloc[position]
        st.markdown(f"**{plain(name)}**: {_length(history)}, best is {axis} {int(row[axis])} by {plain(monitor)}")
        known = {key(chart.name): chart.curve(VALIDATION) for chart in history.charts if direction(chart.name)}
        shown = [(metric, curve) for metric in _metrics([history]) if (curve := known.get(key(metric)))]
        figures = st.grid(4, min_column_width=220)
        for metric, curve in shown[: len(FIRST)]:
            value = row[curve.column]
            figures.metric(f"{plain(title_of(metric))}, validation", "–" if pd.isna(value) else f"{value:.3f}")


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
            csv_text(table),
            "hyper-parameters.csv",
            "text/csv",
            key="download-hyper-parameters",
            icon=":material/download:",
            on_click="ignore",
        )
    for log in logs:
        more = st.expander(
            f"{plain(log.name)}: epochs and network",
            key=f"details-{log.key}",
            on_change="rerun",
            icon=":material/table_rows:",
        )
        if not more.open:
            continue
        with more, one_sentence():
            table = log.read().table
            st.dataframe(table, hide_index=True, key=f"epochs-{log.key}")
            st.download_button(
                "Download the epochs",
                csv_text(table),
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
            of_run = {**Configuration().to_dict(), **run.config["configuration"], **run.config["dataset"]}
            columns[run.name] = {
                name: str(value) for name, value in {**of_run, **run.config.get("versions", {})}.items()
            }
    if not columns:
        return pd.DataFrame()
    table = pd.DataFrame(columns)
    differs = table.nunique(axis=1, dropna=False) > 1
    table = table.assign(differs=differs).rename_axis("name").reset_index()
    return table.sort_values("differs", ascending=False, kind="stable", ignore_index=True)


def train_form(dataset: Dataset | None) -> None:
    """Let the user start a training of the data set in use, as the train command would."""
    st.session_state[DATA] = dataset.root if dataset else None
    if STARTED in st.session_state:
        _await_start()
    if dataset is None:
        return
    with st.expander("Train a run", icon=":material/model_training:"), st.form("train", border=False):
        cells = st.grid(4, min_column_width=160)
        name = cells.text_input(
            "Name", key="train-name", placeholder="first-try", help="The run's folder is called so."
        )
        architecture = cells.selectbox(
            "Network",
            ARCHITECTURES,
            key="train-architecture",
            help="lite0-unet starts from weights trained on ImageNet; lite0-unet-large looks at patches enlarged.",
        )
        protocol = cells.selectbox("Protocol", PROTOCOLS, key="train-protocol", help="What is held out to be scored.")
        tile = cells.selectbox(
            "Tile held out", dataset.tiles, key="train-tile", help="Under the tile protocol: the place never seen."
        )
        epochs = cells.number_input("Epochs", 1, 10_000, 20, key="train-epochs", help="Passes over the patches.")
        batch = cells.number_input("Patches a step", 1, 1024, 16, key="train-batch", help="Batch size.")
        rate = cells.number_input(
            "Learning rate", 1e-6, 1.0, 1e-3, format="%g", step=1e-4, key="train-rate", help="In the first epoch."
        )
        schedule = cells.selectbox(
            "Schedule", ["cosine", "constant"], key="train-schedule", help="How the learning rate goes on."
        )
        loss = cells.text_input(
            "Loss", "cross_entropy", key="train-loss", help='Or a sum such as "cross_entropy+0.5*jaccard".'
        )
        backend = cells.selectbox(
            "Backend",
            installed_backends(),
            format_func=BACKENDS.get,
            key="train-backend",
            help="What Keras trains with: those that are installed here.",
        )
        size = cells.number_input("Patch size, px", 16, 1024, 160, step=16, key="train-size", help="Side of a patch.")
        start_from = cells.selectbox(
            "Start from",
            [run.name for run in known_runs() if run.model],
            index=None,
            key="train-from",
            placeholder="Fresh weights",
            help="A run of the same network whose weights to begin with.",
        )
        switches = st.grid(3, min_column_width=160)
        turns = switches.toggle("Flips and rotations", key="train-turns", help="Show patches in their eight ways up.")
        windows = switches.toggle(
            "Random windows", key="train-windows", help="Cut patches off their grid, anew each epoch."
        )
        mixed = switches.toggle(
            "Mixed precision",
            key="train-mixed",
            help="Convolve in bfloat16 where the processor can: unet then trains half as fast again, as well.",
        )
        if st.form_submit_button("Start the training", type="primary", icon=":material/play_circle:"):
            with one_sentence():
                if any(run.name == name for run in known_runs()):
                    raise RunError(f"There is a run {name} already: choose another name.")
                configuration = Configuration(
                    architecture=architecture,
                    patch_size=size,
                    protocol=protocol,
                    held_out_tile=tile if protocol == "tile" else None,
                    start_from=start_from,
                    epochs=epochs,
                    batch_size=batch,
                    learning_rate=rate,
                    schedule=schedule,
                    flips_and_rotations=turns,
                    random_windows=windows,
                    loss=loss,
                    mixed_precision=mixed,
                )
                _launch(name, configuration, dataset.root, backend)


def _launch(name: str, configuration: Configuration, data: Path, backend: str | None) -> None:
    """Start a training in a process of its own, and draw the page again."""
    process = launch.start(name, configuration, data, runs_folder(), backend=backend)
    st.session_state[STARTED] = name, process
    st.rerun()


@st.fragment(run_every=1.0)
@one_sentence()
def _await_start() -> None:
    """Say that a training is starting, until its run shows up or its process has ended."""
    name, process = st.session_state[STARTED]
    run = Run(runs_folder() / name)
    running = run.status["state"] == "running" and run.status.get("pid") == process.pid  # not somebody else's
    if run.config and (running or process.poll() == DONE):
        del st.session_state[STARTED]
        st.session_state[CHOSEN_RUN] = name
        st.rerun()
    if process.poll() is None:
        st.info(
            f"{plain(name)} is starting: its backend is loaded and the patches are prepared …",
            icon=":material/hourglass_top:",
        )
        return
    log = check_allowed(launch.log_of(name, runs_folder()), readable()).read_text(encoding="utf-8", errors="replace")
    last = next((line.strip() for line in reversed(log.splitlines()) if line.strip()), "it said nothing")
    st.error(f"{plain(name)} did not start: {plain(last)}", icon=":material/error:")
    if st.button("All right", key="dismiss-start"):
        del st.session_state[STARTED]
        st.rerun()
