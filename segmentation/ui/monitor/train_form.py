"""A form that starts a training."""

from pathlib import Path
from subprocess import Popen
from typing import Any, get_args

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from segmentation.backend import BACKENDS, installed_backends
from segmentation.configuration import ARCHITECTURES, Configuration, Folds, Schedule, descriptions
from segmentation.data.locate import check_allowed, runs_folder
from segmentation.data.protocols import TRAINING_PROTOCOLS
from segmentation.data.scenes import Dataset
from segmentation.errors import DONE, RunError
from segmentation.runs.run import Run
from segmentation.training import launch
from segmentation.ui.session import session
from segmentation.ui.shell.access import readable
from segmentation.ui.shell.faults import show_errors
from segmentation.ui.shell.run import known_runs
from segmentation.ui.shell.words import plain

DEFAULT, SCHEDULES = Configuration(), get_args(Schedule)


def train_form(dataset: Dataset | None) -> None:
    """Let the user start a training of the data set in use, as the train command would."""
    if started := session().started:
        _await_start(*started)
    if dataset is None:
        return
    with st.expander("Train a run", icon=":material/model_training:"), st.form("train", border=False):
        cells = st.grid(4, min_column_width=160)
        name = cells.text_input(
            "Name", key="train-name", placeholder="first-try", help="The run's folder is called so."
        )
        chosen = _data_fields(cells, dataset) | _optimisation_fields(cells)
        backend = cells.selectbox(
            "Backend",
            installed_backends(),
            format_func=BACKENDS.__getitem__,
            key="train-backend",
            help="What Keras trains with: those that are installed here.",
        )
        chosen |= _switches()
        if st.form_submit_button("Start the training", type="primary", icon=":material/play_circle:"):
            with show_errors():
                if any(run.name == name for run in known_runs()):
                    raise RunError(f"There is a run {name} already: choose another name.")
                launch_and_redraw(name, Configuration(**chosen), dataset.root, backend)


def _data_fields(cells: DeltaGenerator, dataset: Dataset) -> dict[str, Any]:
    """Let the user choose the network and what it is trained on; return these hyper-parameters."""
    about = descriptions()
    architecture = cells.selectbox(
        "Network",
        ARCHITECTURES,
        ARCHITECTURES.index(DEFAULT.architecture),
        key="train-architecture",
        help="lite0-unet starts from weights trained on ImageNet; lite0-unet-large looks at patches enlarged.",
    )
    protocol = cells.selectbox(
        "Protocol",
        TRAINING_PROTOCOLS,
        TRAINING_PROTOCOLS.index(DEFAULT.protocol),
        key="train-protocol",
        help=about["protocol"],
    )
    folds = cells.selectbox(
        "Folds",
        get_args(Folds),
        index=None,
        key="train-folds",
        placeholder="One training",
        help=f"{about['folds']} The protocol then follows.",
    )
    tile = cells.selectbox("Tile held out", dataset.tiles, key="train-tile", help=about["held_out_tile"])
    size = cells.number_input(
        "Patch size, px", 16, 1024, DEFAULT.patch_size, step=16, key="train-size", help=about["patch_size"]
    )
    start_from = cells.selectbox(
        "Start from",
        [run.name for run in known_runs() if run.trained_model],
        index=None,
        key="train-from",
        placeholder="Fresh weights",
        help=about["start_from"],
    )
    return {
        "architecture": architecture,
        "protocol": "k-fold" if folds else protocol,
        "folds": folds,
        "held_out_tile": tile if protocol == "tile" and not folds else None,
        "patch_size": size,
        "start_from": start_from,
    }


def _optimisation_fields(cells: DeltaGenerator) -> dict[str, Any]:
    """Let the user choose how long and how fast it learns, and what from; return these hyper-parameters."""
    about = descriptions()
    return {
        "epochs": cells.number_input("Epochs", 1, 10_000, DEFAULT.epochs, key="train-epochs", help=about["epochs"]),
        "batch_size": cells.number_input(
            "Batch size", 1, 1024, DEFAULT.batch_size, key="train-batch", help=about["batch_size"]
        ),
        "learning_rate": cells.number_input(
            "Learning rate",
            1e-6,
            1.0,
            DEFAULT.learning_rate,
            format="%g",
            step=1e-4,
            key="train-rate",
            help=about["learning_rate"],
        ),
        "schedule": cells.selectbox(
            "Schedule", SCHEDULES, SCHEDULES.index(DEFAULT.schedule), key="train-schedule", help=about["schedule"]
        ),
        "loss": cells.text_input("Loss", DEFAULT.loss, key="train-loss", help=about["loss"]),
    }


def _switches() -> dict[str, bool]:
    """Let the user choose augmentation and mixed precision; return these hyper-parameters."""
    about, switches = descriptions(), st.grid(3, min_column_width=160)
    return {
        name: switches.toggle(label, getattr(DEFAULT, name), key=key, help=about[name])
        for label, name, key in (
            ("Flips and rotations", "flips_and_rotations", "train-turns"),
            ("Random windows", "random_windows", "train-windows"),
            ("Mixed precision", "mixed_precision", "train-mixed"),
        )
    }


def launch_and_redraw(name: str, configuration: Configuration, data: Path, backend: str | None) -> None:
    """Start a training in a process of its own, and draw the page again."""
    session().started = name, launch.start(name, configuration, data, runs_folder(), backend=backend)
    st.rerun()


@st.fragment(run_every=1.0)
@show_errors()
def _await_start(name: str, process: Popen) -> None:
    """Say that a training is starting, until its run shows up or its process has ended."""
    run = Run(runs_folder() / name)
    running = run.status.state == "running" and run.status.pid == process.pid  # not somebody else's
    if run.config and (running or process.poll() == DONE):
        session().started, session().next_run = None, name
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
        session().started = None
        st.rerun()
