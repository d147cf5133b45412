"""A form that starts a training."""

from pathlib import Path

import streamlit as st

from segmentation.backend import BACKENDS, installed_backends
from segmentation.configuration import ARCHITECTURES, Configuration
from segmentation.data.locate import check_allowed, runs_folder
from segmentation.data.protocols import PROTOCOLS
from segmentation.data.scenes import Dataset
from segmentation.errors import DONE, RunError
from segmentation.runs.run import Run
from segmentation.training import launch
from segmentation.ui.shell.access import readable
from segmentation.ui.shell.faults import show_errors
from segmentation.ui.shell.run import CHOSEN_RUN, known_runs
from segmentation.ui.shell.words import plain

DATA = "data_to_train_on"
"""Session state: folder of the data set in use."""


STARTED = "started_training"
"""Session state: (name, process) of a training that was started from the page and has not shown up yet."""


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
            with show_errors():
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
                launch_and_redraw(name, configuration, dataset.root, backend)


def launch_and_redraw(name: str, configuration: Configuration, data: Path, backend: str | None) -> None:
    """Start a training in a process of its own, and draw the page again."""
    process = launch.start(name, configuration, data, runs_folder(), backend=backend)
    st.session_state[STARTED] = name, process
    st.rerun()


@st.fragment(run_every=1.0)
@show_errors()
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
