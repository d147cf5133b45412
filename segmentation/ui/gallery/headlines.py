"""What matters most about a run, in up to three sentences at the head of the gallery."""

import streamlit as st

from segmentation.evaluation.headlines import Headline, Subject
from segmentation.scores import SURE
from segmentation.ui.gallery.evaluated import EvaluatedRun
from segmentation.ui.gallery.filters import WRONG_PIXELS
from segmentation.ui.loaders.intervals import load_headlines
from segmentation.ui.shell.words import plain

TO_DO = {
    Subject.CONFUSION: "See whether the labels or the model err there; if it is the model, label more places where the "
    "two classes meet.",
    Subject.CONFIDENCE: "Its confidence does not warn of them: check their labels first, and trust no threshold on it.",
    Subject.PLACE: "Label more scenes like it, and train with them.",
    Subject.PARTS: "More scenes or stronger augmentation can close that gap, longer training only widens it.",
}
"""What to do about each subject."""


def headlines(evaluated: EvaluatedRun) -> None:
    """Show what the run's errors have most to do with, each sentence with its evidence a click away."""
    with st.spinner("Weighing what goes wrong …", show_time=True):
        found = load_headlines(evaluated.run)
    if not found:
        return
    with st.container(border=True, key="headlines"):
        st.markdown(
            "**What matters most**",
            help="Of the held-out part, from the confusion matrices of its patches, where most wrong pixels are at "
            "stake first. In brackets are 95 % intervals: scenes are drawn anew. What they do not show is not said. "
            "Objects, kinds of error and slices look further into the reasons.",
        )
        for number, headline in enumerate(found):
            said, way = st.columns([5, 1], vertical_alignment="center")
            said.markdown(f"{_sentence(headline)} {TO_DO[headline.subject]}")
            way.button(
                "Show",
                key=f"headline-{number}",
                type="tertiary",
                width="stretch",
                icon=":material/arrow_forward:",
                icon_position="right",
                help="Show the patches that this is about.",
                on_click=_show,
                args=(headline,),
            )


def _sentence(headline: Headline) -> str:
    """Say a headline in words, as Markdown."""
    low, high = headline.interval
    names = [plain(name) for name in headline.names]
    if headline.figures is None:
        what = {
            Subject.CONFUSION: lambda: f"are {names[0]} predicted as {names[1]}",
            Subject.CONFIDENCE: lambda: f"are predicted with a confidence of {SURE} or more",
        }[headline.subject]()
        share = f"**{100 * headline.value:.0f} %** of the wrong pixels ({100 * low:.0f}–{100 * high:.0f} %)"
        return f"{share} {what}."
    here, there = headline.figures
    less = f"**{-headline.value:.3f} less** ({-high:.3f} to {-low:.3f})"
    stake = f"{100 * headline.share:.0f} % of the wrong pixels"
    if headline.subject is Subject.PLACE:
        return f"In **{names[0]}** {here:.3f} of the pixels are right, in the other tiles {there:.3f}: {less}, {stake}."
    return f"Of what was held out {here:.3f} is right, of what it was trained on {there:.3f}: {less}, {stake}."


def _show(headline: Headline) -> None:
    """Show the patches that a headline is about; a callback, before the widgets that choose them are drawn."""
    chosen: dict[str, object] = {"part": "Held out", "tile": [], "class": None}
    if headline.subject is Subject.CONFUSION:
        true, predicted = headline.names
        chosen |= {"view": "Confusions", "true": true, "taken": predicted}
    elif headline.subject is Subject.CONFIDENCE:
        chosen |= {"view": "Suspect labels"}
    else:
        chosen |= {"rank": "Patches", "by": WRONG_PIXELS, "order": "Worst first"}
        chosen |= {"tile": list(headline.names)} if headline.names else {"part": "Trained on"}
    st.session_state.update(chosen)
