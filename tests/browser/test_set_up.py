"""A folder of somebody's own is set up on the home page, in a real Chromium: seen, corrected, saved, trained on."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from segmentation.data.locate import PROJECT
from segmentation.data.palette import VOID
from segmentation.data.scenes import find_dataset, read_scene
from segmentation.runs.run import Run
from tests.browser.driver import wait_until_still

pytestmark = pytest.mark.browser

Settle = Callable[[Page], None]

COLUMNS = ("Drawn", "In masks", "Share, %", "Class", "Colour", "Part of", "Ignore")
"""The table's columns, from left to right."""

VALUES = np.kron(np.arange(6, dtype=np.uint8).reshape(2, 3), np.ones((32, 32), np.uint8))
"""(64, 96): six values in squares."""


def write(root: Path, **folders: np.ndarray) -> Path:
    """Write seven files with the same pixels into each folder."""
    for folder, pixels in folders.items():
        (root / folder).mkdir(parents=True)
        for number in range(7):
            Image.fromarray(pixels).save(root / folder / f"area_{number}.png")
    return root


PHOTO = np.repeat(VALUES[..., None] * 40, 3, axis=-1)


@pytest.fixture
def address(serve: Callable[..., str], tmp_path: Path) -> str:
    """A dashboard that may read the test's folder."""
    return serve(
        SEGMENTATION_ALLOWED=str(tmp_path),
        SEGMENTATION_RUNS=str(tmp_path / "runs"),
        SEGMENTATION_CACHE=str(tmp_path / "cache"),
    )


def add(page: Page, folder: Path, button: str = "Set it up first") -> None:
    """Name a folder on the home page."""
    page.get_by_role("textbox", name="Folder on this machine").fill(str(folder))
    page.get_by_role("button", name=button).click()
    expect(page.get_by_role("heading", name=f"How {folder.name} is read")).to_be_visible()


def cell(page: Page, row: int, column: str) -> None:
    """Select a cell of the table by the keyboard, from the first one on, once the page stands still."""
    wait_until_still(page)
    table = page.locator("[data-testid=stDataFrame] .dvn-scroller")  # lies over the canvas
    table.click(position={"x": 20, "y": 52})
    expect(page.locator("#glide-cell-0-0")).to_have_attribute("aria-selected", "true")
    for _ in range(row):
        page.keyboard.press("ArrowDown")
    for _ in range(COLUMNS.index(column)):
        page.keyboard.press("ArrowRight")
    expect(page.locator(f"#glide-cell-{COLUMNS.index(column)}-{row}")).to_have_attribute("aria-selected", "true")


def type_into(page: Page, row: int, column: str, text: str, seen: Callable[[float], None]) -> None:
    """Write into a cell by the keyboard, and see what comes of it.

    Where the page is redrawn in that moment Streamlit's table may drop the text, and a person types again.

    Args:
        page: The page.
        row: Of the cell.
        column: Likewise.
        text: What to write.
        seen: Expects what comes of it, within so many milliseconds.
    """
    for patience in (*[8_000] * 7, 60_000):
        cell(page, row, column)
        page.keyboard.press("Enter")
        # Letters typed before the editor is there go nowhere.
        page.wait_for_function("() => ['INPUT', 'TEXTAREA'].includes(document.activeElement.tagName)")
        page.keyboard.press("ControlOrMeta+a")
        page.keyboard.type(text, delay=80)  # the table drops letters faster than a person types
        try:
            expect(page.locator(":focus")).to_have_value(text, timeout=patience)  # the cell takes what it shows
            page.keyboard.press("Enter")
            return seen(patience)
        except AssertionError:
            if patience == 60_000:
                raise


def has_text(place: Locator, text: str | list[str], patience: float) -> None:
    """Expect a text somewhere, within so many milliseconds."""
    expect(place).to_have_text(text, timeout=patience)


def chips(page: Page) -> Locator:
    return page.locator(".legend span")


def test_classes_are_named_merged_and_ignored_then_browsed_and_trained_on(
    address: str, open_page: Callable[..., Page], settle: Settle, tmp_path: Path
) -> None:
    root = write(tmp_path / "my city", images=PHOTO, masks=VALUES)
    page = open_page(address)
    add(page, root)
    expect(page.get_by_text("Found: 7 scenes in")).to_be_visible()
    expect(page.get_by_alt_text(re.compile("^Mask of"))).to_have_count(5)
    expect(page.get_by_alt_text(re.compile("^Overlay of"))).to_have_count(5)
    settle(page)
    for row, name in enumerate(("Road", "House", "Tree")):
        type_into(page, row, "Class", name, partial(has_text, chips(page).nth(row), name))
    mask = page.get_by_alt_text(re.compile("^Mask of")).first
    before = mask.get_attribute("src")
    square = expect(chips(page).first.locator("i"))
    type_into(
        *(page, 0, "Colour", "#123456"),
        lambda patience: square.to_have_css("background-color", "rgb(18, 52, 86)", timeout=patience),
    )
    expect(mask).not_to_have_attribute("src", before)  # the pictures change with the table
    merged = ["Road", "House", "Tree", "Class 4", "Class 5", "No class"]
    type_into(page, 3, "Part of", "House", partial(has_text, chips(page), merged))
    del merged[3]
    type_into(page, 4, "Class", "Tree", partial(has_text, chips(page), merged))
    cell(page, 5, "Ignore")
    page.keyboard.press("Space")
    expect(chips(page)).to_have_text(["Road", "House", "Tree", "No class"])
    page.get_by_role("button", name="Save and use").click()
    expect(page.get_by_text("read as dataset.toml says")).to_be_visible()

    dataset = find_dataset(root)
    assert dataset.palette.names == ("Road", "House", "Tree")
    assert dataset.palette.hex(0) == "#123456"
    expected = np.array([0, 1, 2, 1, 2, VOID], np.uint8)[VALUES]
    assert np.array_equal(read_scene(dataset.scenes[0], dataset.palette)[1], expected)

    settle(page)
    page.get_by_role("link", name="Dataset browser").first.click()
    expect(page.get_by_role("heading", name="Dataset browser")).to_be_visible()
    expect(chips(page)).to_have_text(["Road", "House", "Tree", "No class"])

    command = [sys.executable, "-m", "segmentation", "train", "--name", "tiny", "--data", str(root), "--epochs", "1"]
    command += ["--patch-size", "32", "--batch-size", "4", "--protocol", "scene"]
    environment = {**os.environ, "SEGMENTATION_RUNS": str(tmp_path / "runs")}
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    run = Run(tmp_path / "runs" / "tiny")
    assert run.status.state == "finished"
    assert run.palette == dataset.palette


def test_a_set_in_use_is_set_up_again_by_a_link_that_can_be_shared(
    serve: Callable[..., str], open_page: Callable[..., Page], settle: Settle, tmp_path: Path
) -> None:
    root = write(tmp_path / "city", images=PHOTO, masks=VALUES)
    address = serve(SEGMENTATION_DATA=str(root), SEGMENTATION_RUNS=str(tmp_path / "runs"))
    page = open_page(address)
    page.get_by_role("link", name="Change how it is read").click()
    expect(page.get_by_role("heading", name="How city is read")).to_be_visible()
    settle(page)
    link = page.url
    page.get_by_role("link", name="Back").click()
    expect(page.get_by_role("heading", name="From scene to score")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="How city is read")).to_be_visible()
    other = open_page(link)
    expect(other.get_by_role("heading", name="How city is read")).to_be_visible()
    expect(other.get_by_alt_text(re.compile("^Mask of"))).to_have_count(5)


@pytest.mark.parametrize(
    ("folders", "sentence"),
    [
        ({}, "it holds 1 TXT in ./, but no image"),
        ({"images": PHOTO}, "it holds 7 PNG in images/, and nothing that is named as masks are"),
        ({"masks": VALUES}, "it holds 7 PNG in masks/, which are masks without their images"),
    ],
)
def test_what_is_no_data_set_gets_a_sentence_that_says_what_was_seen(
    address: str, open_page: Callable[..., Page], tmp_path: Path, folders: dict[str, np.ndarray], sentence: str
) -> None:
    root = write(tmp_path / "odd", **folders)
    root.mkdir(exist_ok=True)
    if not folders:
        (root / "notes.txt").write_text("nothing")
    page = open_page(address)
    add(page, root)
    expect(page.get_by_text(sentence)).to_be_visible()
    expect(page.get_by_role("textbox", name="Masks")).to_be_visible()
    expect(page.get_by_role("button", name="Save and use")).to_have_count(0)


def test_two_kinds_of_masks_are_a_question_whose_answer_is_saved(
    address: str, open_page: Callable[..., Page], settle: Settle, tmp_path: Path
) -> None:
    colors = np.stack([VALUES * 40, 255 - VALUES * 40, VALUES * 0 + 9], axis=-1)
    root = write(tmp_path / "drone", original_images=PHOTO, label_images=VALUES, RGB_color_image_masks=colors)
    page = open_page(address)
    add(page, root, "Use this folder")  # which cannot be used as it is
    expect(page.get_by_text("There are 2 kinds of masks for the same images.")).to_be_visible()
    settle(page)
    page.get_by_role("combobox", name="Which masks are to be used?").click()
    options = page.get_by_role("option")
    expect(options).to_have_count(2)
    options.filter(has_text="RGB_color_image_masks").click()
    expect(page.get_by_alt_text(re.compile("^Mask of"))).to_have_count(5)
    settle(page)
    page.get_by_role("button", name="Save and use").click()
    expect(page.get_by_text("read as dataset.toml says")).to_be_visible()
    assert 'masks = "RGB_color_image_masks/{stem}.png"' in (root / "dataset.toml").read_text()
    assert {scene.mask.parent.name for scene in find_dataset(root).scenes} == {"RGB_color_image_masks"}
