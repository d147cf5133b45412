"""What a session remembers, and who may touch Streamlit's own session state."""

import ast
from collections.abc import Callable, Iterator

import pytest
from streamlit.testing.v1 import AppTest

from segmentation.data.locate import PROJECT
from segmentation.ui.session import KEY, Session

UI = PROJECT / "segmentation" / "ui"

PLACES = {
    # Our own state, all of it.
    ("session.py", "session"),
    # A widget's value can only be set before the widget is drawn.
    ("browser/open_scene.py", "open_scene"),
    ("explorer/random_patches.py", "_set_seed"),
    ("gallery/cards.py", "_seek_similar"),
    ("gallery/confusions.py", "_follow_cell"),
    ("gallery/filters.py", "_rank_by_class"),
    ("gallery/headlines.py", "_show"),
    ("gallery/saved_slices.py", "_remove"),
    ("gallery/similar.py", "_show_selected"),
    ("gallery/slices.py", "_follow_row"),
    ("gallery/thresholds.py", "_begin_at_default"),
    ("gallery/thresholds.py", "_go_to"),
    ("shell/address_bar.py", "resolve_choice"),
    ("shell/frame.py", "turn_pages"),
    # What was typed into a table is drawn above it, too.
    ("home/class_editor.py", "edited"),
    # The second run is chosen in a view, and named in the report above it.
    ("gallery/report.py", "_compared"),
    # A callback learns of its widget's value nowhere else.
    ("gallery/label_audit.py", "_pick"),
    ("gallery/similar.py", "_follow_selection"),
    ("monitor/logs.py", "_drop_removed"),
    ("shell/address_bar.py", "follow_choice"),
    # Whether a widget was drawn before; the switch of the colours, which all pages have.
    ("shell/faults.py", "warn_if_unknown"),
    ("shell/masks.py", "display_palette"),
}
"""The functions that touch Streamlit's session state, by their file."""

Open = Callable[..., AppTest]


def touching(tree: ast.Module) -> Iterator[str]:
    """The outermost function, or class, around each mention of `st.session_state`."""
    for outer in tree.body:
        for node in ast.walk(outer):
            if isinstance(node, ast.Attribute) and ast.unparse(node) == "st.session_state":
                yield getattr(outer, "name", "")


def test_only_the_accessor_and_named_places_touch_the_session_state() -> None:
    found = {
        (path.relative_to(UI).as_posix(), name)
        for path in UI.rglob("*.py")
        for name in touching(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert found == PLACES


def test_a_session_that_an_earlier_version_of_the_code_left_begins_anew(open_page: Open) -> None:
    at = open_page("home")
    earlier, at.session_state[KEY] = at.session_state[KEY], object()
    at.run()
    assert not at.exception
    assert isinstance(at.session_state[KEY], Session)
    assert at.session_state[KEY] == earlier


@pytest.mark.parametrize(
    ("page", "query", "choose"),
    [
        ("browser", {}, lambda at: at.selectbox(key="sort").set_value("Contrast")),
        ("browser", {"sort": "Contrast"}, lambda at: at.toggle(key="falling").set_value(False)),
        ("browser", {"split": "patch", "part": "Trained on"}, lambda at: at.selectbox(key="split").set_value("scene")),
        ("browser", {}, lambda at: at.number_input(key="size").set_value(16)),
        ("gallery", {}, lambda at: at.segmented_control(key="order").set_value("Best first")),
        ("gallery", {}, lambda at: at.selectbox(key="by").set_value("Accuracy")),
        ("gallery", {}, lambda at: at.selectbox(key="class").set_value("Land")),
        ("gallery", {}, lambda at: at.segmented_control(key="view").set_value("Confusions")),
    ],
)
def test_another_choice_of_rows_begins_at_their_first_page_and_no_other_does(
    open_page: Open, page: str, query: dict[str, str], choose: Callable[[AppTest], object]
) -> None:
    rows = {
        "browser": {"view": "Patches", "size": "32", "per-page": "18"},
        "gallery": {"part": "Trained on", "least-wrong": "0"},
    }
    at = open_page(page, **rows[page], **query)
    at.pagination(key="page").set_value(2).run()
    assert at.session_state["page"] == 2
    at.toggle(key="safe-colours").set_value(True).run()
    assert at.session_state["page"] == 2
    choose(at)
    at.run()
    assert not at.exception
    assert at.session_state["page"] == 1
