"""The choice of the data set."""

from pathlib import Path

import streamlit as st

from segmentation.data.demo import make_demo
from segmentation.data.locate import DEMO_FOLDER, default_folder
from segmentation.data.scenes import Dataset, find_dataset
from segmentation.errors import SegmentationError
from segmentation.log import event
from segmentation.ui.loaders.caching import progress_bar
from segmentation.ui.session import session
from segmentation.ui.shell.access import readable
from segmentation.ui.shell.address_bar import follow_choice, resolve_choice
from segmentation.ui.shell.words import plain


def dataset_folders() -> dict[str, Path]:
    """Return the folders that can be chosen, by label; the first is the default on this machine."""
    if not session().folders:
        add_folder(default_folder())
        add_folder(DEMO_FOLDER)
    return session().folders


def add_folder(folder: Path) -> str:
    """Make `folder` one that can be chosen, and return its label: its name, with a number if two share it."""
    folders = session().folders
    folder = folder.expanduser().resolve()
    for label, known in folders.items():
        if known == folder:
            return label
    name = "Demo city" if folder == DEMO_FOLDER else folder.name
    label, number = name, 2
    while label in folders:
        label, number = f"{name} ({number})", number + 1
    folders[label] = folder
    return label


def choose_folder() -> Path:
    """Let the user choose the folder of a data set in the sidebar."""
    folders = dataset_folders()
    wanted, session().next_dataset = session().next_dataset, None
    if wanted:
        _forget_run()
    resolve_choice("data set", "data", folders, lambda: next(iter(folders)), wanted)
    label = st.sidebar.selectbox(
        "Data set",
        list(folders),
        key="data",
        on_change=_follow_dataset,
        help="Labelled scenes. Add a folder of your own on the home page.",
    )
    return folders[label]


def choose_dataset() -> Dataset | None:
    """Let the user choose a data set in the sidebar; make the demo set if it is chosen and not there yet.

    Returns:
        The data set, or None after a sentence that says why there is none.
    """
    folder = choose_folder()
    try:
        if folder == DEMO_FOLDER:
            _make_demo()
        dataset = find_dataset(folder, readable())
    except SegmentationError as error:
        st.warning(f"{plain(error)} Or choose another data set in the sidebar.", icon=":material/folder_off:")
        return None
    if session().opened != dataset.root:
        session().opened = dataset.root
        event("data set opened", folder=dataset.root, scenes=len(dataset.scenes))
    return dataset


def _make_demo() -> None:
    """Make the demo set, with progress if it is not there yet."""
    with progress_bar("First start: making the demo set, scenes …") as progress:
        make_demo(DEMO_FOLDER, progress)


def _follow_dataset() -> None:
    """Let the address name the data set that was chosen."""
    follow_choice("data")
    _forget_run()


def _forget_run() -> None:
    """Another data set: its own run is the better default than the last one chosen, and pages begin anew."""
    st.query_params.pop("run", None)
    session().settled.pop("run", None)
    session().left.clear()
