"""Trainings in processes of their own, started and stopped from outside (no Keras)."""

import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from segmentation.backend import VARIABLE
from segmentation.configuration import Configuration
from segmentation.data.locate import PROJECT
from segmentation.errors import RunError
from segmentation.log import event
from segmentation.runs.run import GONE_SECONDS, Run, check_run_name, is_alive


def options(configuration: Configuration) -> list[str]:
    """Return the hyper-parameters as options of the train command, without those at their defaults."""
    default, words = Configuration(), []
    for field in dataclasses.fields(Configuration):
        value = getattr(configuration, field.name)
        if value == getattr(default, field.name):
            continue
        option = f"--{field.name.replace('_', '-')}"
        if value is True:
            words.append(option)
        elif isinstance(value, tuple):
            words += [option, *map(str, value)]
        else:
            words.append(f"{option}={value}")  # a tile may be called --resume
    return words


def command(name: str, configuration: Configuration, data: Path, runs: Path, patches: Path | None = None) -> list[str]:
    """Return the command line that trains this run, or goes on with it."""
    where = ["--data", str(data), "--runs", str(runs), *(["--patches", str(patches)] if patches else [])]
    return [sys.executable, "-m", "segmentation", "train", "--name", name, *options(configuration), *where, "--resume"]


def log_of(name: str, runs: Path) -> Path:
    """Return the file that takes what a training started from here prints."""
    return runs / f"{name}.log"


def start(
    name: str,
    configuration: Configuration,
    data: Path,
    runs: Path,
    patches: Path | None = None,
    backend: str | None = None,
) -> subprocess.Popen:
    """Start a training, or go on with one that was cut, in a process that outlives this one.

    Args:
        name: Of the run.
        configuration: Its hyper-parameters; for a run that was cut, the same ones.
        data: Folder of the data set.
        runs: Folder of the runs; NAME.log in it takes what the training prints.
        patches: A list of patches to train on, as the train command takes it.
        backend: What Keras trains with; by default what this process's environment says.

    Raises:
        RunError: If the name is no folder's name, or the folder of the runs cannot be written.
    """
    check_run_name(name)
    try:
        runs.mkdir(parents=True, exist_ok=True)
        with log_of(name, runs).open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 (our own command; every word is an argument of its own)
                command(name, configuration, data, runs, patches),
                cwd=PROJECT,
                env=os.environ | ({VARIABLE: backend} if backend else {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        raise RunError(f"The training could not be started in {runs.name}: {error.strerror}.") from error
    event("training started", run=name, pid=process.pid)
    # Who waits for it lets the system forget it when it ends: otherwise it would seem to live on.
    threading.Thread(target=process.wait, daemon=True).start()
    return process


def stop(run: Run) -> None:
    """Ask a running training to stop after the batch under way; it can be resumed.

    Raises:
        RunError: If it is not running on this machine, as far as can be told.
    """
    status = run.status
    if status.state != "running" or abs(time.time() - status.heartbeat) > GONE_SECONDS:
        raise RunError(f"{run.name} gives no sign of life: there is nothing to stop.")
    if not is_alive(status.pid):  # 0 and below would stop whole groups of processes
        raise RunError(f"{run.name} does not run on this machine: stop it where it does.")
    try:
        os.kill(status.pid, signal.SIGTERM)
    except (ProcessLookupError, PermissionError) as error:
        raise RunError(f"{run.name} does not run on this machine, or belongs to another user.") from error
    event("training stopped", run=run.name, pid=status.pid)
