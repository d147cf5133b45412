"""Names that files and people give are shown as they are, whatever they mean in Markdown."""

import re

import pytest

from segmentation.ui.shell.words import code, plain

ACTIVE = r"[\\`*_\[\]<>$~|#!]"


@pytest.mark.parametrize(
    "name",
    [
        "plain.png",
        "image_part_001.jpg",
        "**bold** _slant_ ~~gone~~.png",
        "![](http://127.0.0.1/a.png).png",
        "[link](http://127.0.0.1).png",
        "<img src=x onerror=alert(1)>.png",
        "$x^2$ `code` |.png",
        ":red[x] :material/check:.png",
        "# heading",
        "\\*",
    ],
)
def test_no_sign_of_markdown_stays_active(name: str) -> None:
    shown = plain(name)
    assert re.sub(r"\\(.)", r"\1", shown) == name
    assert not re.search(ACTIVE, re.sub(r"\\.", "", shown))
    assert not re.search(r":\w", re.sub(r"\\.", "", shown))


@pytest.mark.parametrize(
    ("name", "shown"), [("1. a", "1\\. a"), ("- a", "\\- a"), ("+ a", "\\+ a"), ("12) a", "12\\) a")]
)
def test_a_name_begins_no_list(name: str, shown: str) -> None:
    assert plain(name) == shown


def test_a_line_break_ends_no_paragraph() -> None:
    assert plain("a\n\n# b\tc") == "a \\# b c"


def test_a_sentence_stays_readable() -> None:
    assert plain("The mask has 3 × 4 px: export it (again).") == "The mask has 3 × 4 px: export it (again)."


def test_code_cannot_be_left() -> None:
    assert code("a`b\nc") == "`a'b c`"
