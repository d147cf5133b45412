"""How a data set is read: what was found in its folder, seen and corrected, and saved as its ``dataset.toml``."""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import streamlit as st

from segmentation.data.class_table import ClassRow, classes_of, meaning_of_rows
from segmentation.data.declaration import DECLARATION, Declaration, declaration_file, read_declaration
from segmentation.data.description import OLD, described, save_declaration
from segmentation.data.encodings import Encoding
from segmentation.data.locate import check_allowed
from segmentation.data.scenes import Dataset, find_dataset
from segmentation.errors import (
    AmbiguousDatasetError,
    DatasetNotFoundError,
    DeclarationError,
    SegmentationError,
    printable,
)
from segmentation.log import event
from segmentation.ui.address import link
from segmentation.ui.home.class_editor import edit_classes, edited
from segmentation.ui.home.pairs import choose_bands, choose_masks, choose_patterns, show_pairs
from segmentation.ui.loaders.scenes import load_class_rows
from segmentation.ui.session import session
from segmentation.ui.shell.access import readable
from segmentation.ui.shell.dataset import add_folder
from segmentation.ui.shell.faults import refuse, show_errors
from segmentation.ui.shell.masks import legend
from segmentation.ui.shell.pages import HOME
from segmentation.ui.shell.words import code, plain

VIEW, SET_UP = "view", "set-up"
"""The home page's address says so that this is shown in place of the rest."""


def setting_up() -> bool:
    """Tell whether the address asks for this view."""
    return st.query_params.get(VIEW) == SET_UP


def open_set_up() -> None:
    """Show this view when the page runs next."""
    st.query_params[VIEW] = SET_UP


def link_to_set_up(label: str) -> None:
    """Link to this view of the data set in use."""
    st.page_link(HOME, label=label, icon=":material/tune:", query_params=link({VIEW: SET_UP}), width="content")


def set_up(folder: Path) -> None:
    """Show what was found in a folder, let it be corrected, and save it.

    Args:
        folder: Of the data set, which may hold none.
    """
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader(f"How {plain(folder.name)} is read", anchor=False)
        st.page_link(HOME, label="Back", icon=":material/arrow_back:", query_params=link({}), width="content")
    with show_errors():
        check_allowed(folder, readable())
        said = _starting_point(folder)
        with st.spinner("Looking into the folder …"):
            found, trouble = _find(folder, said)
        ambiguous = isinstance(trouble, AmbiguousDatasetError)
        chosen = choose_masks(folder, said, ambiguous)
        if chosen != said:
            found, trouble = _find(folder, chosen)
        if found is None and not ambiguous:
            st.info(plain(trouble), icon=":material/help:")
        place = st.container()
        asked = choose_patterns(folder, chosen, found.patterns if found else ("", ""), found is None and not ambiguous)
        if asked != chosen:
            found, trouble = _find(folder, asked)
            if trouble:
                st.warning(plain(trouble), icon=":material/help:")
        if found is None:
            return
        with st.spinner("Looking at a sample of the masks …"):
            rows = load_class_rows(found, asked)
        with place:
            start = sha256(repr((found.root, found.patterns, rows)).encode(errors="replace")).hexdigest()
            said, blocked = _correct(found, asked, rows, start)
        _offer_to_save(folder, said, blocked)


def _starting_point(folder: Path) -> Declaration:
    """Return what a data set's ``dataset.toml`` says; nothing, after a sentence, if that cannot be understood."""
    try:
        return read_declaration(folder)
    except DeclarationError as error:
        refuse(error)
        st.caption(f"What it says does not count here. Saving replaces it, and keeps it as {DECLARATION}{OLD}.")
        return Declaration()


def _find(folder: Path, said: Declaration) -> tuple[Dataset | None, SegmentationError | None]:
    """Return the scenes as they are found without the classes that are said, or why there are none."""
    try:
        return find_dataset(folder, readable(), replace(said, classes=(), nearest=False)), None
    except DatasetNotFoundError as error:
        return None, error


def _correct(found: Dataset, said: Declaration, rows: Sequence[ClassRow], key: str) -> tuple[Declaration, bool]:
    """Show a data set as it is read, with what can be changed.

    Args:
        found: The scenes, found without the classes that are said.
        said: Where to start from.
        rows: What the masks hold, likewise.
        key: Of the widgets: others begin anew.

    Returns:
        `said` with all that was changed, and whether it contradicts itself.
    """
    place = st.container()
    said = choose_bands(found, said, key)
    pictures, table = st.container(), st.container()
    if isinstance(found.scenes[0].encoding, Encoding):
        nearest = st.toggle(
            "Count other colours or values as the nearest class",
            said.nearest,
            key=f"nearest-{key}",
            help="For masks that JPEG or smoothed edges have mixed; otherwise they are void.",
        )
        said = replace(said, nearest=nearest)
    changed, trouble = edited(rows, f"classes-{key}"), None
    dataset = replace(found, bands=said.bands, shown=said.shown, limits=said.stretch)
    if said.classes or changed != rows:
        dataset = replace(dataset, guessed=False)
    try:
        said = replace(said, classes=classes_of(changed))
        meaning = meaning_of_rows(found, said)
    except DeclarationError as error:
        trouble, changed = error, tuple(rows)
        meaning = meaning_of_rows(found, replace(said, classes=classes_of(rows)))
    dataset = replace(dataset, palette=meaning.palette)
    place.code("\n".join(map(printable, described(dataset))), language=None, wrap_lines=True)
    with pictures:
        legend(dataset.palette, void=True)
        with st.spinner("Reading some scenes …"):
            show_pairs(dataset, meaning.encoding, changed)
    with table:
        edit_classes(rows, changed, meaning, f"classes-{key}")
        if trouble:
            st.error(plain(str(trouble).removeprefix(f"{DECLARATION}: ")), icon=":material/error:")
    return said, trouble is not None


def _offer_to_save(root: Path, said: Declaration, blocked: bool) -> None:
    """Offer to save, and say what that writes or replaces."""
    before, shown = declaration_file(root), code(printable(str(root)))
    if before and before.parent == root:
        then = f"Replaces {DECLARATION} in {shown}; the one that is there is kept as {DECLARATION}{OLD}."
    else:
        then = f"Writes {DECLARATION} into {shown}, or into the dashboard's cache if nothing may be written there."
    with st.container(horizontal=True, vertical_alignment="center"):
        clicked = st.button("Save and use", type="primary", icon=":material/save:", disabled=blocked)
        st.caption(then)
    if clicked:
        file = save_declaration(find_dataset(root, readable(), said), said)
        event("data set set up", folder=root, file=file)
        st.toast(f"Saved as {code(printable(str(file)))}", icon=":material/check:")
        session().next_dataset = add_folder(root)
        del st.query_params[VIEW]
        st.rerun()
