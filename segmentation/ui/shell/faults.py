"""What goes wrong, in one sentence and in the log."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

import streamlit as st

from segmentation.data.locate import runs_folder
from segmentation.errors import SegmentationError
from segmentation.log import LOG, event, incident
from segmentation.ui.session import session
from segmentation.ui.shell.words import code, plain


@contextmanager
def show_errors(kind: type[SegmentationError] = SegmentationError) -> Iterator[None]:
    """Show an error as one sentence, and go on with the rest of the page.

    An error of the user's is its own sentence; one that is not of this kind goes on. Any other is in the log with its
    traceback, and the sentence says where.
    """
    try:
        yield
    except kind as error:
        refuse(error)
    except SegmentationError:
        raise
    except Exception as error:
        reference, place = incident(error), code(f"{runs_folder().name}/{LOG}")
        st.error(
            f"Something went wrong (reference {reference}): reload the page, or look the reference up in {place}.",
            icon=":material/error:",
        )


def refuse(error: SegmentationError, about: str = "") -> None:
    """Show an error of the user's as its one sentence, and log it once a session.

    Args:
        error: What was raised.
        about: A name to put before the sentence.
    """
    sentence = f"{about}: {error}" if about else str(error)
    logged = session().refused
    if sentence not in logged:  # pages run again at every click
        logged.add(sentence)
        event("refused", kind=type(error).__name__, sentence=sentence)
    st.error(plain(sentence), icon=":material/error:")


def warn_if_unknown(kind: str, key: str, known: Collection[str]) -> None:
    """Say that a link names what is not here; to be called before the widget that is bound to it."""
    if key not in st.session_state:  # later, what the address holds comes from the widget
        for name in st.query_params.get_all(key):
            if name not in known:
                warn_of_unknown(kind, name)


def warn_of_unknown(kind: str, name: str) -> None:
    """Say that what an address names is not here."""
    st.warning(plain(f"There is no {kind} {name} here: choose another one."), icon=":material/link_off:")
