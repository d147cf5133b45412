"""Which training logs are drawn: a run's, those at a path, and uploads."""

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import streamlit as st

from segmentation.data.locate import check_allowed
from segmentation.errors import RunError
from segmentation.runs.logs.formats import find_logs
from segmentation.runs.logs.history import History, read_history
from segmentation.runs.logs.reading import MOST_BYTES
from segmentation.runs.run import HISTORY, Run, check_run_allowed, find_runs
from segmentation.ui.loaders.caching import MEGABYTE, remembered
from segmentation.ui.session import session
from segmentation.ui.shell.access import readable
from segmentation.ui.shell.faults import refuse, show_errors, warn_if_unknown
from segmentation.ui.shell.run import known_runs
from segmentation.ui.shell.words import plain

MOST_LOGS = 12
"""So many logs are drawn at most."""


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
    warn_if_unknown("run", "with", runs)
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
    if run and run.name not in runs and (run.status.state == "running" or run.folds):
        logs.insert(0, Log(run.name, run.name, run.folder / HISTORY, run))
    if run:
        folds = [fold for fold in run.folds if (fold.folder / HISTORY).exists()]
        logs[1:1] = [Log(fold.name, fold.name, fold.folder / HISTORY, fold) for fold in folds]
    with st.expander("Another log: a path or an upload", icon=":material/upload_file:"):
        path = st.text_input(
            "Path of a training log, or of a folder that holds some",
            key="log-path",
            persist_state="session",
            placeholder="/home/me/lightning_logs/version_0",
            help="It is followed as it grows. In a folder, runs are found by their history.csv; where there is none, "
            "other logs by the names that trainers give them: metrics.csv, trainer_state.json, events.out.tfevents …",
        )
        logs += _uploads()
    if path.strip():
        with show_errors():
            logs += _logs_at(Path(path.strip()))
    return [_choose_training(log) for log in _told_apart(logs)]


def _uploads() -> list[Log]:
    """Let the user upload logs, and forget them."""
    kept, number = session().logs, session().uploaders_cleared
    widget = f"logs-{number}" if number else "logs"
    uploads = st.file_uploader(
        "Training logs",
        accept_multiple_files=True,
        max_upload_size=MOST_BYTES >> 20,
        key=widget,
        help="Of Keras, TensorBoard, Lightning, Hugging Face, Ultralytics, fastai, mmengine, nnU-Net, Keras Tuner or "
        "W&B, or any table with a line of column names.",
        on_change=_drop_removed,
        args=(widget,),
    )
    for upload in uploads:
        if upload.size > MOST_BYTES:
            refuse(RunError(f"The log is larger than {MOST_BYTES >> 20} MB: cut it down."), upload.name)
        elif upload.file_id not in kept:
            kept[upload.file_id] = upload.name, upload.getvalue()
    session().logs_in_uploader = {upload.file_id for upload in uploads}
    if kept:
        st.button("Clear uploads", icon=":material/delete:", on_click=_clear_uploads)
    return [Log(name, log_key(name, content), content) for name, content in kept.values()]


def _drop_removed(widget: str) -> None:
    """Forget the uploads that the user has taken out of the uploader."""
    held = {upload.file_id for upload in st.session_state[widget]}
    for gone in session().logs_in_uploader - held:
        session().logs.pop(gone, None)


def _clear_uploads() -> None:
    session().logs.clear()
    session().uploaders_cleared += 1


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
            sizes = [", ".join(filter(None, (plain(one.name), length_of(one)))) for one in trainings]
            number = st.selectbox(
                f"Training of {plain(log.name)}",
                range(len(trainings) + 1),
                format_func=lambda number: f"{number}: {sizes[number - 1]}" if number else f"Latest: {sizes[-1]}",
                key=f"training-{log.key}",
                help="The log holds several trainings.",
            )
            return replace(log, training=number)
    return log


def _logs_at(path: Path) -> list[Log]:
    """Return the logs at a path: of the file, of the run, of all runs in the folder, or else all that lie below it.

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
    for log in [] if found else find_logs(path):
        check_allowed(log, folders)
        name = log.parent.relative_to(path).as_posix() if log.parent != path else log.name
        found.append(Log(name, log_key(log.name, bytes(log)), log))
    if not found:
        raise RunError(
            f"There is no run with a {HISTORY} in {path.name}, nor a log of a known name: give the file's path."
        )
    return found


def read_histories(logs: list[Log]) -> dict[str, History]:
    """Return what each log holds now, by its label; one that cannot be read is named in a sentence."""
    histories = {}
    for log in logs:
        try:
            histories[log.name] = log.read()
        except RunError as error:
            if log.run and (log.run.status.state == "running" or log.run.folds):
                continue  # its first epoch has not ended yet: the state says so; or its folds have the logs
            refuse(error, log.name)
    return histories


def length_of(history: History) -> str:
    """Say how many epochs, or steps, a log has."""
    count = len(history.table)
    return f"1 {history.axis}" if count == 1 else f"{count:,} {history.axis}s"
