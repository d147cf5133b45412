"""Uploads in a real Chromium: image and mask dropped together, and a palette of one's own mapped on the spot."""

import base64
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from segmentation.data.palette import VOID
from segmentation.data.scenes import Dataset, read_scene
from tests.browser.driver import choose

pytestmark = pytest.mark.browser

Open = Callable[..., Page]

Settle = Callable[[Page], None]

Metric = Callable[[Page, str], str]

COLORS = ((200, 30, 40), (150, 110, 80), (70, 70, 80), (20, 120, 30), (30, 160, 220), (240, 240, 240))
"""A colour for each class, none of them near to the legend's."""

DROP = """([names, contents]) => {
  const files = new DataTransfer();
  names.forEach((name, place) => {
    const bytes = Uint8Array.from(atob(contents[place]), letter => letter.charCodeAt(0));
    files.items.add(new File([bytes], name, {type: 'image/png'}));
  });
  return files;
}"""


def drop(page: Page, *files: Path) -> None:
    """Drop files onto the uploader of both."""
    contents = [base64.b64encode(file.read_bytes()).decode() for file in files]
    transfer = page.evaluate_handle(DROP, [[file.name for file in files], contents])
    zone = page.locator("[class*=st-key-upload-both] [data-testid=stFileUploaderDropzone]")
    for event in ("dragenter", "dragover", "drop"):
        zone.dispatch_event(event, {"dataTransfer": transfer})


@pytest.fixture
def files(demo: Dataset, tmp_path: Path) -> tuple[Path, Path, np.ndarray]:
    """A scene of the demo city as two files, its mask in colours of our own, and its classes; void is black."""
    image, truth = read_scene(demo.scenes[0], demo.palette)
    image, truth = image[:320, :320], truth[:320, :320]
    table = np.zeros((256, 3), np.uint8)
    table[: len(COLORS)] = COLORS
    Image.fromarray(image).save(tmp_path / "area.png")
    Image.fromarray(table[truth]).save(tmp_path / "area_mask.png")
    return tmp_path / "area.png", tmp_path / "area_mask.png", truth


def predicted(page: Page) -> np.ndarray:
    """The class indices that the page predicts, as it gives them to be downloaded."""
    with page.expect_download() as download:
        page.get_by_role("button", name="Index mask").click()
    return np.asarray(Image.open(download.value.path()))


def test_image_and_mask_are_dropped_together_mapped_and_swapped(
    demo_address: str,
    open_page: Open,
    settle: Settle,
    metric: Metric,
    files: tuple[Path, Path, np.ndarray],
) -> None:
    image, mask, truth = files
    page = open_page(f"{demo_address}/Prediction_explorer?source=Upload&overlap=0")
    drop(page, mask, image)
    expect(page.get_by_text("area.png, 320 × 320 px")).to_be_visible()
    expect(page.get_by_text("How area_mask.png is read: colours that nothing names")).to_be_visible()
    alert = page.locator("[data-testid=stMain] [data-testid=stAlert]")
    expect(alert).to_contain_text("say above which class each is")
    settle(page)

    held = [index for index in range(len(COLORS)) if (truth == index).any()]
    assert len(held) > 2
    said = np.full(truth.shape, VOID, np.uint8)
    names = ["Building", "Land", "Road", "Vegetation", "Water", "Unlabeled"]
    guess = None
    for number, index in enumerate(held):
        choose(page, f"Class of #{bytes(COLORS[index]).hex()}", names[index])
        said[truth == index] = index
        labelled = said != VOID
        expect(
            page.locator("[data-testid=stMetric]")
            .filter(has=page.get_by_text("Labelled pixels", exact=True))
            .locator("[data-testid=stMetricValue]")
        ).to_have_text(f"{labelled.sum():,}")
        settle(page)
        guess = predicted(page) if number == 0 else guess
        assert metric(page, "Accuracy") == score_of(said, guess)
    expect(alert).to_have_count(0)

    page.get_by_role("button", name="Swap image and mask").click()
    expect(page.get_by_text("In use: area_mask.png")).to_be_visible()
    expect(page.get_by_text("area_mask.png, 320 × 320 px")).to_be_visible()
    page.get_by_role("button", name="Swap image and mask").click()
    expect(page.get_by_text("area.png, 320 × 320 px", exact=True)).to_be_visible()
    settle(page)
    assert metric(page, "Accuracy") == score_of(said, guess)
    expect(page.locator("[data-testid=stException]")).to_have_count(0)


def score_of(said: np.ndarray, guess: np.ndarray) -> str:
    """The accuracy that the page shows under protocol `patch`, where void counts as Unlabeled."""
    return f"{(np.where(said == VOID, 5, said) == guess).mean():.3f}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [900, 1440])
def test_the_questions_about_a_mask_fit_the_page(
    demo_address: str,
    open_page: Open,
    settle: Settle,
    screenshots: Path,
    files: tuple[Path, Path, np.ndarray],
    width: int,
    scheme: str,
) -> None:
    page = open_page(f"{demo_address}/Prediction_explorer?source=Upload", width, scheme)
    drop(page, *files[:2])
    expect(page.get_by_text("How area_mask.png is read: colours that nothing names")).to_be_visible()
    settle(page)
    overflow = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0
    boxes = page.get_by_role("combobox", name="Class of")
    pictures = page.locator("[class*=st-key-pixels-of] img")
    expect(boxes).to_have_count(pictures.count())
    for number in range(boxes.count()):
        box, picture = (of.nth(number).bounding_box() for of in (boxes, pictures))
        assert box["x"] > picture["x"] + picture["width"]  # beside it
        assert box["width"] >= 80
    page.screenshot(path=screenshots / f"uploads-{width}-{scheme}.png")
