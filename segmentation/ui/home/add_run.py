"""What was made elsewhere as a run: a model or predictions, tried on a few scenes, corrected, and added."""

import hashlib
import os
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, get_args

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from segmentation.data.locate import check_allowed, runs_folder
from segmentation.data.patches import PATCH_SIZE, Progress
from segmentation.data.protocols import DESCRIPTIONS, Protocol
from segmentation.data.scenes import Dataset
from segmentation.errors import RunError
from segmentation.evaluation.zipped import MOST_BYTES, unpack_predictions
from segmentation.files import VanishingFolder, remove_unfinished
from segmentation.inference.foreign.saved_model import SAVED_MODEL
from segmentation.log import event
from segmentation.runs.records import LARGEST_PATCH
from segmentation.runs.run import Run, check_run_name
from segmentation.ui.address import link
from segmentation.ui.home.adapter_controls import choose_adapter
from segmentation.ui.home.set_up import VIEW
from segmentation.ui.home.trial import say_found, show_samples
from segmentation.ui.loaders.caching import taking_turns
from segmentation.ui.loaders.trials import Trial, try_model, try_predictions
from segmentation.ui.session import session
from segmentation.ui.shell.access import readable
from segmentation.ui.shell.faults import show_errors
from segmentation.ui.shell.pages import HOME
from segmentation.ui.shell.run import known_runs
from segmentation.ui.shell.words import code, plain

ADD_RUN = "add-run"
"""The home page's address says so that this is shown in place of the rest."""

NAME = "my-model"
"""A name for whoever has not named the run."""


class Source(NamedTuple):
    """What is to be added.

    Args:
        path: Of a model's file, or of a folder of predictions.
        uploaded: Whether it was unpacked here.
    """

    path: Path
    uploaded: bool = False

    @property
    def within(self) -> tuple[Path, ...]:
        """Folders that all of it must lie in."""
        return (self.path,) if self.uploaded else readable()


class Scoring(NamedTuple):
    """How a run is scored.

    Args:
        protocol: What is held out.
        held_out_tile: The tile of the tile protocol.
        patch_size: Side of the patches, in pixels.
    """

    protocol: Protocol
    held_out_tile: str | None
    patch_size: int


Make = Callable[[Progress], Run]
"""Makes the run, and says how far it is."""


def adding_run() -> bool:
    """Tell whether the address asks for this view."""
    return st.query_params.get(VIEW) == ADD_RUN


def link_to_add_run() -> None:
    """Link to this view."""
    st.page_link(
        HOME,
        label="Add a run",
        icon=":material/add_circle:",
        query_params=link({VIEW: ADD_RUN}),
        width="content",
        help="A model, or predictions, made by any program: scored, and shown as runs of your own are.",
    )


def add_run(dataset: Dataset | None) -> None:
    """Let the user add a model or predictions as a run.

    Args:
        dataset: What it is scored on; None if there is none.
    """
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader("Add a run", anchor=False)
        st.page_link(HOME, label="Back", icon=":material/arrow_back:", query_params=link({}), width="content")
    if dataset is None:
        st.info("A run is scored on labelled scenes, and none are in use: choose a data set in the sidebar.")
        return
    with show_errors():
        name, source = _choose_source()
        if source is None:
            st.info(
                "Name a model's file, or a folder of predictions, to see what it predicts of "
                f"{plain(dataset.root.name)} before it is added.",
                icon=":material/search:",
            )
            return
        if (source.path / SAVED_MODEL).is_file():
            command = ["python", "-m", "segmentation", "add", name or NAME, "--model", str(source.path)]
            st.info(
                f"This is a SavedModel, which is translated to ONNX by the command line: {code(shlex.join(command))}",
                icon=":material/terminal:",
            )
            return
        halves = st.grid(2, min_column_width=380, gap="medium")
        controls, pictures = halves.cell(), halves.cell()
        with controls, show_errors():
            trial, make = (_try_predictions if source.path.is_dir() else _try_model)(name, source, dataset)
            with pictures:
                show_samples(trial)
            _offer_to_add(name, source, make)


def _choose_source() -> tuple[str, Source | None]:
    """Let the user name a run, and say what it is made of."""
    cells = st.grid(3, min_column_width=260, gap="medium")
    name = cells.text_input(
        "Name of the run",
        key="add-name",
        placeholder=NAME,
        max_chars=100,
        help="Letters, digits, hyphens and underscores. Also the name of the run's folder.",
    )
    typed = cells.text_input(
        "Path on this machine",
        key="add-path",
        placeholder="/data/model.onnx, or a folder of predictions",
        help="On the machine that serves this page: a model is an .onnx or .keras file; a folder of predictions holds "
        "an image of classes or an array for each scene, called as the scene is.",
    )
    with cells.cell():
        upload = st.file_uploader(
            "Or predictions as a zip",
            type=["zip"],
            key="add-upload",
            help=f"An image of classes or an array for each scene, called as the scene is; up to {MOST_BYTES >> 30} GB "
            "unpacked. It counts before a path, and is forgotten when this page is closed.",
        )
        st.caption("Models are not uploaded, since their files may run code: give the path of one on this machine.")
    if upload:
        return name.strip(), _unpacked(upload)
    if not typed.strip():
        return name.strip(), None
    path = check_allowed(Path(typed.strip()), readable())
    if not path.exists():
        raise RunError(f"There is no file or folder {path}: check the path.")
    return name.strip(), Source(path)


@st.cache_resource(scope="session", on_release=VanishingFolder.close, show_spinner=False)
def _upload_folder() -> VanishingFolder:
    """Return this session's folder for the predictions that were uploaded last: gone when the page is closed."""
    return VanishingFolder("predictions-")


def _unpacked(upload: UploadedFile) -> Source:
    """Return the folder that an upload is unpacked into; the one before goes."""
    folder = _upload_folder().path.resolve()
    target = folder / upload.file_id / "upload"  # its own name says nothing about where it may be written
    if not target.exists():
        for earlier in folder.iterdir():
            shutil.rmtree(earlier)
        with st.spinner("Unpacking …"):
            unpack_predictions(upload, upload.name, target)
    return Source(target, uploaded=True)


def _choose_scoring(dataset: Dataset) -> Scoring:
    """Let the user choose how a run is scored."""
    cells = st.grid(3, min_column_width=150)
    protocols: list[Protocol] = [name for name in get_args(Protocol) if name != "given" or dataset.splits]
    protocol = cells.selectbox(
        "Protocol",
        protocols,
        protocols.index("all"),
        key="add-protocol",
        help="What is scored; all the rest counts as trained on.\n"
        + "".join(f"\n- `{name}`: {DESCRIPTIONS[name]}" for name in protocols),
    )
    tile = None
    if protocol == "tile":
        tile = cells.selectbox("Tile held out", dataset.tiles, key="add-tile", help="The tile that is scored.")
    size = cells.number_input(
        "Patch size, px",
        16,
        LARGEST_PATCH,
        PATCH_SIZE,
        step=16,
        key="add-size",
        help="Side of the patches that are scored and ranked. A model that takes one square size up to 512 px is "
        "scored by patches of that size.",
    )
    return Scoring(protocol, tile, size)


def _try_model(name: str, source: Source, dataset: Dataset) -> tuple[Trial, Make]:
    """Show how a model is applied, with what can be changed; return what it predicts then, and what adds it."""
    found = st.container()
    scoring = _choose_scoring(dataset)
    st.markdown("**How the model wants its images**")
    settings = choose_adapter(hashlib.sha256(os.fsencode(source.path)).hexdigest()[:12])
    trial = try_model(source.path, dataset, settings, scoring.patch_size)
    with found:
        say_found(trial)

    def make(progress: Progress) -> Run:
        from segmentation.evaluation.foreign import add_model  # ONNX Runtime: only where needed

        # What is seen is what is added: nothing is found out anew.
        return add_model(runs_folder() / name, source.path, dataset, trial.settings, *scoring, progress, _say_nothing)

    return trial, make


def _try_predictions(name: str, source: Source, dataset: Dataset) -> tuple[Trial, Make]:
    """Show how predictions are read; return some of them, and what adds them."""
    trial = try_predictions(source.path, dataset, source.within)
    say_found(trial)
    scoring = _choose_scoring(dataset)

    def make(progress: Progress) -> Run:
        from segmentation.evaluation.recorded import add_predictions

        return add_predictions(
            name, source.path, dataset, runs_folder(), *scoring, progress, _say_nothing, source.within
        )

    return trial, make


def _say_nothing(remark: str) -> None:
    """Pass over what is seen above already, or kept in the run's metrics."""


def _offer_to_add(name: str, source: Source, make: Make) -> None:
    """Add the run when asked for, with a bar and a way to cancel; then choose it, and go home."""
    with show_errors():
        trouble = ""
        if not name:
            trouble = "Give the run a name to add it."
        elif any(run.name == name for run in known_runs()):
            trouble = f"There is a run {name} already: choose another name."
        else:
            check_run_name(name)
        if not st.button(
            "Add this run",
            type="primary",
            icon=":material/add_circle:",
            disabled=bool(trouble),
            help="Every scene is predicted or read, and scored.",
        ):
            st.caption(plain(trouble))
            return
        place = st.empty()
        try:
            with place.container():
                # A click on it ends this run of the page at the next step of the bar; what was begun is removed.
                st.button("Cancel", icon=":material/cancel:", key="cancel-add")
                with taking_turns("Adding the run, step …") as progress:
                    remove_unfinished(runs_folder())  # of a server that was killed
                    run = make(progress)
        except Exception:
            place.empty()
            raise
        event("run added", run=run.name)
        st.toast(f"Added {code(run.name)}", icon=":material/check:")
        if source.uploaded:
            shutil.rmtree(source.path)
        session().next_run = run.name
        del st.query_params[VIEW]
        st.rerun()
