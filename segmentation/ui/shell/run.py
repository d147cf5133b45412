"""The choice of the run, which fits the data set."""

from collections.abc import Callable
from contextlib import suppress

import streamlit as st

from segmentation.data.class_mapping import same_classes
from segmentation.data.locate import runs_folder
from segmentation.data.scenes import Dataset
from segmentation.errors import NotAllowedError, RunError
from segmentation.runs.run import SHIPPED, Run, check_run_allowed, find_runs
from segmentation.ui.loaders.scenes import load_fingerprint
from segmentation.ui.session import session
from segmentation.ui.shell.access import readable
from segmentation.ui.shell.address_bar import follow_choice, resolve_choice
from segmentation.ui.shell.faults import show_errors
from segmentation.ui.shell.words import plain


def known_runs() -> list[Run]:
    """Return the runs of this machine, then the shipped ones; without those that may not or cannot be read."""
    folders, runs = readable(), []
    for run in find_runs(runs_folder(), SHIPPED):
        with suppress(NotAllowedError, RunError):
            check_run_allowed(run, folders)
            runs.append(run)
    return runs


def other_runs(run: Run, fits: Callable[[Run], bool]) -> dict[str, Run]:
    """Return the other runs of a run's classes, in their order, that fit, by name; this machine's come first."""
    found: dict[str, Run] = {}
    for other in known_runs():
        if other.name != run.name and _names(other) == _names(run) and fits(other):
            found.setdefault(other.name, other)
    return found


def _names(run: Run) -> tuple[str, ...] | None:
    return run.palette.names if run.palette else None


def default_run(dataset: Dataset | None, runs: list[Run]) -> Run:
    """Return the finished run that fits a data set best: scored on it, else of its classes, else of one of them.

    Of equals it is this machine's newest, then the first of those shipped: their names put `dubai-best` first. Only
    where no run at all is finished, it is one that is not.
    """
    finished = [run for run in runs if run.status.state == "finished"] or runs
    shipped = [run for run in finished if run.folder.parent == SHIPPED]
    ours = [run for run in finished if run.folder.parent != SHIPPED]
    fitting = sorted(ours, key=lambda run: run.status.heartbeat, reverse=True) + shipped
    if dataset is None:
        return fitting[0]
    known = [run for run in fitting if (run.model or run.predictions) and run.knows(dataset.palette)]
    # A run scored elsewhere may know a part of the classes; any other was not trained on these.
    alike = [run for run in known if run.model and run.palette and same_classes(run.palette, dataset.palette)]
    fit = [run for run in known if run in alike or run.predictions or run.model_of != run.name]
    sized = [run for run in fit if run.dataset and run.dataset.scenes == len(dataset.scenes)]
    if sized:  # only then: every file is read for the fingerprint
        fingerprint = load_fingerprint(dataset)
        alike = [run for run in sized if run.fingerprint == fingerprint] + alike
    return (alike or known or fitting)[0]


def say_other_files(run: Run, dataset: Dataset, therefore: str) -> None:
    """Say what follows if a run was evaluated on other files than a data set of the same scenes holds now."""
    if run.fingerprint != load_fingerprint(dataset):
        st.warning(
            f"{plain(run.name)} was evaluated on other files than these, or they have changed since: {therefore}. "
            "Choose its data set, or evaluate it on this one.",
            icon=":material/difference:",
        )


def choose_run(dataset: Dataset | None) -> Run | None:
    """Let the user choose a run in the sidebar; None after a sentence if there is none."""
    for found in find_runs(runs_folder()):
        with show_errors():
            check_run_allowed(found, readable())
    runs = settle_run(dataset)
    if not runs:
        st.sidebar.info("No run yet: train one with `python -m segmentation train --name first`.")
        return None
    name = st.sidebar.selectbox(
        "Run",
        list(runs),
        key="run",
        on_change=follow_choice,
        args=("run",),
        help="A training run: its model predicts, its held-out part is scored. Yours come first.",
    )
    # Not in the list itself: the browser names its choice by what it reads there, and a training's state changes.
    unfinished = [f"{run.name} ({run.status.state})" for run in runs.values() if run.status.state != "finished"]
    if unfinished:
        st.sidebar.caption(plain(f"Not finished: {', '.join(unfinished)}."))
    return runs[name]


def settle_run(dataset: Dataset | None) -> dict[str, Run]:
    """Let the address name the run in use, or else the default; return the runs to choose from, by name."""
    runs = {run.name: run for run in reversed(known_runs())}  # of two of one name this machine's
    runs = dict(reversed(runs.items()))
    if runs:
        wanted = session().next_run if session().next_run in runs else None
        if wanted:
            session().next_run = None
        resolve_choice("run", "run", runs, lambda: default_run(dataset, list(runs.values())).name, wanted)
    return runs
