"""What an address says, or else the default."""

from collections.abc import Callable, Collection

import streamlit as st

from segmentation.ui.session import session
from segmentation.ui.shell.faults import warn_of_unknown


def resolve_choice(
    kind: str, key: str, known: Collection[str], default: Callable[[], str], wanted: str | None = None
) -> str:
    """Decide on the data set or the run to use, and let the address name it.

    Args:
        kind: What it is, for people.
        key: The parameter, and the key of the widget that shows it.
        known: What can be chosen.
        default: Called for what to use where nothing was chosen yet.
        wanted: Use this, whatever the address says.
    """
    settled = session().settled
    name = wanted or st.query_params.get(key) or ""
    if name not in known:
        if name:
            warn_of_unknown(kind, name)
        name = settled[key] if settled.get(key) in known else default()
    if wanted:  # the rest follows when the page is drawn: see `address.leave`
        st.query_params[key] = name
    settled[key] = st.session_state[key] = name
    return name


def follow_choice(key: str) -> None:
    """Let the address name the data set or the run that was chosen in its widget, of which this is the callback."""
    st.query_params[key] = session().settled[key] = st.session_state[key]
