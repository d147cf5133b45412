"""Stop and resume the trainings in sight."""

import streamlit as st

from segmentation.backend import installed_backends
from segmentation.data.locate import runs_folder
from segmentation.data.scenes import Dataset
from segmentation.runs.run import FOLDS
from segmentation.training import launch
from segmentation.ui.monitor.logs import Log
from segmentation.ui.monitor.train_form import launch_and_redraw
from segmentation.ui.shell.faults import show_errors
from segmentation.ui.shell.words import plain


def controls(logs: list[Log], dataset: Dataset | None) -> None:
    """Offer to stop what is running, and to go on with what was cut, on the data set in use.

    The buttons are not where the curves are: those are drawn anew every few seconds, under the pointer.
    """
    for log in logs:
        if log.run is None or log.run.folder.parent.name == FOLDS:  # which is stopped with the whole
            continue
        run, state = log.run, log.run.status.state
        if state == "running" and st.button(
            f"Stop {plain(run.name)}",
            key=f"stop-{log.key}",
            icon=":material/stop_circle:",
            help="After the batch under way; it can be resumed.",
        ):
            with show_errors():
                launch.stop(run)
                st.toast(f"{plain(run.name)} stops after the batch under way.")
        if state in ("stopped", "failed", "stalled") and run.config and run.folder.parent == runs_folder():
            pressed = st.button(
                f"Resume {plain(run.name)}",
                key=f"resume-{log.key}",
                icon=":material/play_circle:",
                disabled=dataset is None,
                help="Go on where it was cut, on the data set in use.",
            )
            if pressed and dataset:
                with show_errors():
                    backend = run.config.backend
                    known = backend if backend in installed_backends() else None
                    launch_and_redraw(run.name, run.config.hyper_parameters, dataset.root, known)
