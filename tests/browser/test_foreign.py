"""A model from elsewhere on the pages: in the gallery, and its worst patch in the explorer."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from segmentation.evaluation.foreign import add_model
from segmentation.runs.run import Run
from tests.brightness import write_convolution, write_set
from tests.browser.driver import wait_until_still


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of an ONNX file that goes by the brightness of pixels, on a data set whose classes go by their red."""
    root = tmp_path_factory.mktemp("foreign")
    dataset = write_set(root / "Reds", "dark, middle, light", channel=0)
    return add_model(root / "runs" / "theirs", write_convolution(root / "theirs.onnx"), dataset, tell=len)


def test_a_model_from_elsewhere_is_looked_at_as_ours_are(
    foreign: Run, serve: Callable[..., str], open_page: Callable[..., Page], screenshots: Path
) -> None:
    root = foreign.folder.parents[1]
    address = serve(SEGMENTATION_DATA=str(root / "Reds"), SEGMENTATION_RUNS=str(root / "runs"))
    home = open_page(f"{address}/?run=theirs")
    expect(home.get_by_text("theirs").first).to_be_visible()
    expect(home.get_by_text("is missing")).to_have_count(0)

    page = open_page(f"{address}/Worst-case_gallery?run=theirs")
    worst = foreign.patches.sort_values("mean_iou", kind="stable").iloc[0]
    expect(page.locator("[data-testid=stMain]")).to_contain_text("prediction of theirs")
    card = page.get_by_role("img", name=re.compile("prediction", re.IGNORECASE)).first
    expect(card).to_be_visible()
    expect(page.locator("[data-testid=stMain]")).to_contain_text(f"{worst['mean_iou']:.3f}")
    page.screenshot(path=screenshots / "foreign-gallery-1440-light.png")

    page.get_by_role("link", name="Explore", exact=True).first.click()
    expect(page.get_by_text(f"{worst['patch']}, 160 × 160 px")).to_be_visible()
    wait_until_still(page)
    expect(page.locator(".viewer[data-state=shown] canvas").first).to_be_visible()
    # The patch has the score that the gallery ranks it by.
    expect(page.locator("[data-testid=stMain]")).to_contain_text(f"{worst['mean_iou']:.3f}")
    expect(page.get_by_test_id("stException")).to_have_count(0)
    page.screenshot(path=screenshots / "foreign-explorer-1440-light.png")
