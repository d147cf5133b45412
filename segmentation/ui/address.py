"""The address of a page: what was chosen on it, so that a link shows it again, and Back returns to it as it was left.

Widgets are bound to it. Streamlit 1.67 drops a bound widget's default from the address and, on a change of page, every
parameter that a widget of the page left behind was bound to, whatever the link says. Hence the data set and the run are
no bound widgets, and pages are changed as Back and Forward change them: see ``address.js``.
"""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qs, urlencode

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from segmentation.ui.session import session

SAFE = "safe-colours"
"""Parameter: whether to draw in colours that colour-blind eyes tell apart."""

COMMON = ("data", "run", SAFE)
"""Parameters that all pages have in common."""

SAID_BEFORE = {("by", "Surely wrong"): "Confidently wrong"}
"""What a value is called now, by its parameter and what earlier versions called it: old links still open."""

Parameters = dict[str, list[str]]

_HERE = Path(__file__).parent

_copy_button = st.components.v2.component(
    "segmentation_address",
    html="<button type='button' aria-live='polite' title='With all that is chosen on this page'>Copy link</button>",
    css=(_HERE / "address.css").read_text(encoding="utf-8"),
    js=(_HERE / "address.js").read_text(encoding="utf-8"),
)


def parameters() -> Parameters:
    """Return what the address says."""
    return {key: st.query_params.get_all(key) for key in st.query_params}


def copy_button() -> None:
    """Offer to copy the address; the same script keeps the browser's history in order."""
    _copy_button(key="copy-link")


def arrive(page: str) -> bool:
    """Take what the address says, if this run of a page is its first since a link, Back or Forward led to it.

    Args:
        page: Its file.

    Returns:
        Whether it is.
    """
    context, last = get_script_run_ctx(), session().page
    session().page = page
    followed = bool(context and context.is_history_navigation)
    arrived = followed or last != page
    if arrived and context:
        said = parse_qs(context.query_string, keep_blank_values=True)
        current = {key: [SAID_BEFORE.get((key, value), value) for value in values] for key, values in said.items()}
        # On Back and Forward Streamlit has dropped what the page left behind has parameters for, too: it is told once
        # more, as it is of values that have another name now.
        if (followed and last != page) or current != said:
            with context.session_state.query_params() as address:
                query = urlencode(current, doseq=True)
                address.set_initial_query_params(query)
                address.populate_from_query_string(query)
            st.query_params.from_dict(parameters())
    return arrived


def leave(page: str) -> None:
    """Keep how a page looks now, for links back to it; let its address name the data set and the run.

    Only now: on a visitor's first page, what is added to the address before ``address.js`` is there makes an entry.
    """
    for key, name in session().settled.items():
        if st.query_params.get(key) != name:
            st.query_params[key] = name
    session().left[page] = {key: values for key, values in parameters().items() if key not in COMMON}


def link_to(page: str) -> Parameters:
    """Return the parameters of a page as it was left; of the page in sight, of a fresh one."""
    return link({} if page == session().page else session().left.get(page, {}))


def link(chosen: Mapping[str, str | list[str]]) -> Parameters:
    """Return the parameters of a link that chooses something on a page, on the data set and the run in use."""
    common = {key: values for key, values in parameters().items() if key in COMMON}
    common |= {key: [name] for key, name in session().settled.items()}
    return common | {key: [value] if isinstance(value, str) else value for key, value in chosen.items()}
