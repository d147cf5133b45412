"""What a visitor's session keeps from one run of a page to the next, on all pages, beside the widgets' own values."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen
from typing import IO

import streamlit as st

from segmentation.data.encodings import Key
from segmentation.data.recognition import Way
from segmentation.runs.notes import RunNote
from segmentation.runs.region_verdicts import Region

KEY = "session"
"""Where Streamlit's session state holds the `Session`."""

Upload = tuple[str, bytes]
"""The name and the content of an uploaded file: an uploader forgets its own on a change of page."""


@dataclass
class Session:
    """All that is kept, with what it is at first."""

    page: str | None = None
    """File of the page that was shown last."""
    left: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    """How each page was left, as its parameters by its file."""
    settled: dict[str, str] = field(default_factory=dict)
    """The data set and the run in use, by their parameter."""
    turned_with: tuple[object, ...] | None = None
    """What was chosen when a page of rows was turned last."""
    refused: set[str] = field(default_factory=set)
    """The sentences on errors that are in the log already."""

    folders: dict[str, Path] = field(default_factory=dict)
    """The data sets' folders that can be chosen, by their label."""
    next_dataset: str | None = None
    """Label of a data set to choose at the next run of the page."""
    opened: Path | None = None
    """Folder of the data set that was opened last."""
    next_run: str | None = None
    """Name of a run to choose at the next run of the page."""
    download: tuple[Popen, IO[bytes]] | None = None
    """The process that downloads the real set, and its log, while it runs."""
    download_error: str = ""
    """One sentence that says why the last download failed."""

    runs_shown: tuple[str, dict[str, RunNote] | None, tuple[str, ...]] = ("", None, ())
    """Key of the table of runs, and what it was given at first: what is said about them, if that could be read, and
    the names that were ticked."""
    runs_noted: dict[str, RunNote] = field(default_factory=dict)
    """What this visit has since made of what is said about them."""
    runs_ticked: list[str] = field(default_factory=list)
    """Names of the runs that are ticked there, to be compared, in the order in which they were."""

    started: tuple[str, Popen] | None = None
    """Name and process of a training that was started from a page and has not shown up yet."""
    logs: dict[str, Upload] = field(default_factory=dict)
    """The monitor's uploads by their file id."""
    logs_in_uploader: set[str] = field(default_factory=set)
    """Ids of the files that the monitor's uploader held when it was last drawn."""
    uploaders_cleared: int = 0
    """How many of the monitor's uploaders were cleared: each has a key of its own, since none gives its files back."""

    report: Hashable = None
    """The mark of the report that was made last."""

    region: Region | None = None
    """The region of a label audit that is looked at."""
    labels_compared: Path | None = None
    """The folder of corrected masks that the gallery compares."""

    pictures: dict[str, Upload] = field(default_factory=dict)
    """The explorer's uploads by their role, image or mask."""
    taken: dict[str, str] = field(default_factory=dict)
    """Id of the file that was last taken from each of the explorer's uploaders, by its role."""
    pairs_taken: int = 0
    """How often image and mask were taken together: each time the uploader is emptied by another key."""
    mask_classes: dict[tuple[tuple[str, ...], Way], dict[Key, int]] = field(default_factory=dict)
    """What the user said of colours and values in masks: their class indices, by the names of the classes."""
    asked_about: str = ""
    """SHA-256 of the uploaded mask that raised questions last."""
    requested: tuple[object, ...] | None = None
    """The large scene that the explorer is to predict, and how."""
    points_drawn: tuple[object, ...] | None = None
    """The map on which points to label were drawn last, and how."""


def session() -> Session:
    """Return the session of the visitor whose page runs here."""
    kept = st.session_state.get(KEY)
    if not isinstance(kept, Session):  # a new session, or one that began before this module was loaded anew
        kept = st.session_state[KEY] = Session()
    return kept
