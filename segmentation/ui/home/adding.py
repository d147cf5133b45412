"""Another data set: a folder of the user's own, or the real set."""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

import streamlit as st

from segmentation.data.download import HANDLE, MEGABYTES, PAGE
from segmentation.data.locate import ALLOWED_VARIABLE, DATA_FOLDER, PROJECT, VARIABLE, check_allowed
from segmentation.data.scenes import find_dataset
from segmentation.errors import DONE, STOPPED, AmbiguousDatasetError, DatasetNotFoundError, SegmentationError
from segmentation.ui.home.set_up import open_set_up
from segmentation.ui.session import session
from segmentation.ui.shell.access import readable
from segmentation.ui.shell.dataset import add_folder
from segmentation.ui.shell.faults import show_errors
from segmentation.ui.shell.words import plain


def add_dataset() -> None:
    """Let the user name a folder of their own, or fetch the real set."""
    cards = st.grid(2, min_column_width=380, gap="medium")
    with cards, st.form("folder", border=True):
        typed = st.text_input(
            "Folder on this machine",
            placeholder="/data/my-city",
            help="It holds images and masks, or outlines, as people have them: names tell which belong together, a "
            f"sample of the masks which classes there are. {VARIABLE} sets the default, {ALLOWED_VARIABLE} what else "
            "may be read.",
        )
        with st.container(horizontal=True):
            use = st.form_submit_button("Use this folder", type="primary", icon=":material/folder_open:")
            look = st.form_submit_button(
                "Set it up first",
                icon=":material/tune:",
                help="See what was found in it, name the classes, and choose how it is read.",
            )
        if (use or look) and typed.strip():
            with show_errors():
                _add(Path(typed.strip()), look)
    with cards, st.container(border=True):
        st.markdown(f"**MBRSC aerial imagery of Dubai** · 72 scenes, {MEGABYTES} MB, CC0, from `{HANDLE}`")
        target = DATA_FOLDER
        try:
            find_dataset(target, readable())
        except SegmentationError:
            if download := session().download:
                _watch_download(target, *download)
            elif st.button(
                "Download",
                icon=":material/download:",
                help=f"Fetched from {PAGE} into data/; no account is needed.",
            ):
                session().download_error = ""
                session().download = _start_download(target)
                st.rerun()
            if session().download_error:
                st.warning(session().download_error, icon=":material/cloud_off:")
        else:
            st.caption("It is here already.")
            if st.button("Use it", icon=":material/check:"):
                _use(target)


def _add(folder: Path, look: bool) -> None:
    """Use a folder that somebody has named, or turn to how it is read: asked to, or if that cannot be guessed."""
    folder = check_allowed(folder, readable())
    if not look:
        try:
            find_dataset(folder, readable())
        except AmbiguousDatasetError:
            look = True
    elif not folder.is_dir():
        raise DatasetNotFoundError(f"There is no folder {folder}: check the path.")
    if look:
        open_set_up()
    _use(folder)


def _use(folder: Path) -> None:
    """Choose `folder` as the data set and draw the page again with it."""
    session().next_dataset = add_folder(folder)
    st.rerun()


def _start_download(folder: Path) -> tuple[subprocess.Popen, IO[bytes]]:
    """Run the download command in a process of its own, so that it can be watched and cancelled; with its log."""
    log = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
    command = [sys.executable, "-m", "segmentation", "download", "--folder", str(folder)]
    process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=log)  # noqa: S603 (no word is a user's)
    return process, log


@st.fragment(run_every=1.0)
@show_errors()
def _watch_download(folder: Path, process: subprocess.Popen, log: IO[bytes]) -> None:
    """Show how the download goes, and what came of it."""
    log.seek(0)
    lines = log.read().decode(errors="replace").replace("\r", "\n").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    if process.poll() is None:
        st.caption(f":material/downloading: {plain(last) or 'Connecting …'}")
        if st.button("Cancel", icon=":material/cancel:"):
            process.terminate()
        return
    session().download = None
    if process.returncode == DONE:
        _use(folder)
    session().download_error = "The download was cancelled." if process.returncode == STOPPED else last
    st.rerun()
