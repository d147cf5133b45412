"""The frame of a page: title, links to the others, and pages of rows."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from segmentation.data.locate import runs_folder
from segmentation.log import event, start_log
from segmentation.ui import address
from segmentation.ui.session import session
from segmentation.ui.shell.faults import show_errors
from segmentation.ui.shell.pages import HOME, PAGES

Rows = TypeVar("Rows", pd.DataFrame, pd.Series)

STYLE = """
<style>
  /* Masks keep hard edges however the browser scales them. */
  [class*="st-key-pixels"] img { image-rendering: pixelated; border-radius: 4px; }
  .st-key-legend { position: sticky; top: 3.75rem; z-index: 90; background: var(--st-background-color); }
  .legend { display: flex; flex-wrap: wrap; gap: .25rem 1rem; padding: .35rem 0; font-size: .85rem; }
  .legend i { display: inline-block; width: .8rem; height: .8rem; margin-right: .4rem; border-radius: 2px;
              border: 1px solid rgba(128, 128, 128, .6); vertical-align: -1px; }
  .st-key-pages { gap: 0; padding-bottom: .5rem; border-bottom: 1px solid var(--st-border-color); }
  /* All views of a page in one row, also on a small screen. */
  @media (max-width: 1100px) { [data-testid="stButtonGroup"] button { padding-inline: .6rem; } }
  /* What is told of a scene stands below it where there is no room beside. */
  @media (max-width: 1100px) { .st-key-one-scene [data-testid="stHorizontalBlock"] { flex-direction: column; }
                               .st-key-one-scene [data-testid="stColumn"] { width: 100%; } }
  .block-container { padding: 4rem clamp(1rem, 4vw, 4rem) 3rem; }
</style>
"""


@contextmanager
def page(title: str, question: str) -> Iterator[None]:
    """Set a page up and write its title and the one line that says what it answers; the page itself is the block."""
    st.set_page_config(page_title=f"{title} · Aerial segmentation", page_icon=":material/satellite_alt:", layout="wide")
    file = next((file for file, name, _ in PAGES if name == title), HOME)
    if address.arrive(file):
        session().turned_with = None
        session().runs_shown = "", None, ()
    st.html(STYLE)
    # What happens outside of a page's block, such as an import that fails, Streamlit logs there.
    if start_log(runs_folder(), "streamlit.error_util"):
        event("server start", address=st.get_option("server.address"), streamlit=st.__version__)
    _keep_out_of_collections(file)
    with show_errors():
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.title(title, anchor=False)
            with st.container(width="content"):
                address.copy_button()
        st.caption(question)
    place = st.sidebar.container(key="pages").empty()
    links = _link_pages(place, {})
    try:
        with show_errors():
            yield
    finally:
        _link_pages(place, links)  # now that it is known which data set and run are in use
        address.leave(file)


@cache
def _keep_out_of_collections(file: str) -> None:
    """Have garbage collections pass over what a page has imported, once a process.

    Streamlit collects all garbage after each run of a page, which takes a tenth of a second where all modules count.
    """
    gc.collect()
    gc.freeze()


def _link_pages(place: DeltaGenerator, drawn: dict[str, address.Parameters]) -> dict[str, address.Parameters]:
    """Link all pages in the sidebar, as they were left, unless that is drawn already; return the links by file."""
    links = {file: address.link_to(file) for file, _, _ in PAGES}
    if links != drawn:
        with place.container():
            for file, name, icon in PAGES:
                st.page_link(file, label=name, icon=icon, query_params=links[file])
    return links


def turn_pages(table: Rows, size: int, total: int, unit: str, chosen: tuple[object, ...]) -> Rows:
    """Say how many rows match, let the user turn pages, and return the rows of the page in sight.

    Args:
        table: The rows that match.
        size: Rows per page.
        total: Rows before filtering.
        unit: What a row is, in the plural.
        chosen: What decides which rows there are, and in what order: another choice begins at their first page again.
    """
    pages = max(1, -(-len(table) // size))
    if session().turned_with not in (None, chosen):  # other rows than those whose pages were turned
        st.session_state["page"] = 1
    session().turned_with = chosen
    if st.session_state.get("page", 1) > pages:  # a link to more pages than there are
        st.session_state["page"] = pages
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.markdown(f"**{len(table):,}** of {total:,} {unit}")
        # As wide as its buttons: left to itself, it hides pages that would fit.
        page = st.pagination(pages, key="page", bind="query-params", width=44 * (min(pages, 8) + 2))
    if table.empty:
        st.info("Nothing matches: loosen the filters in the sidebar.", icon=":material/filter_alt_off:")
    return table.iloc[(page - 1) * size : page * size]
