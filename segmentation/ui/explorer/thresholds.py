"""Which confidence thresholds are in force."""

import streamlit as st

from segmentation.data.palette import Palette
from segmentation.runs.run import Run
from segmentation.thresholds import in_words
from segmentation.ui.loaders.thresholds import load_chosen
from segmentation.ui.shell.faults import show_errors, warn_if_unknown
from segmentation.ui.shell.words import plain


def choose_thresholds(run: Run, palette: Palette) -> dict[str, float]:
    """Let the user try a class's threshold, and leave out those that are stored with the run; return them by class."""
    in_force: dict[str, float] = {}
    with show_errors():
        stored = load_chosen(run)
        if stored and st.toggle(
            "Stored thresholds",
            True,
            key="stored-thresholds",
            bind="query-params",
            help=f"{plain(in_words(stored))}, as somebody chose in the gallery. Without them pixels are of their most "
            "probable class, as scores on the other pages count them.",
        ):
            in_force |= stored
    warn_if_unknown("class", "threshold-of", palette.names)
    name = st.selectbox(
        "Try a threshold for",
        palette.names,
        index=None,
        key="threshold-of",
        bind="query-params",
        placeholder="No class",
        help="From a probability on, pixels are of this class even if another is more probable; below it they are of "
        "the most probable other class. The gallery's view Thresholds shows what the class scores at each.",
    )
    if name:
        in_force[name] = st.slider(
            "Threshold",
            0.01,
            1.0,
            in_force.get(name, 0.5),
            step=0.01,
            key="threshold",
            bind="query-params",
            help=f"The probability from which on pixels are {plain(name)}.",
        )
    return {name: in_force[name] for name in palette.names if name in in_force}
