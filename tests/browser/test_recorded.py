"""A run of predictions alone in a real Chromium: its pictures are those that were recorded."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

import segmentation
from segmentation.data.scenes import Dataset
from segmentation.evaluation.recorded import add_predictions

pytestmark = pytest.mark.browser

COLORS = np.array(((60, 16, 152), (132, 41, 246), (110, 193, 228), (254, 221, 58), (226, 169, 41), (155, 155, 155)))

SCENE, TURNED = "tile-1/image_part_002", np.s_[160:320, 320:480]
"""One patch of this scene is predicted as another class throughout."""

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def address(demo: Dataset, serve: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A dashboard on the demo city, with a folder of its masks added as predictions, one patch of them turned."""
    folder = tmp_path_factory.mktemp("predictions")
    for scene in demo.scenes:
        pixels = np.array(Image.open(scene.mask).convert("RGB"))
        if scene.name == SCENE:
            pixels[TURNED] = COLORS[4]
        path = folder / f"{scene.name.replace('/', '-')}.png"
        Image.fromarray(pixels).save(path)
    runs = tmp_path_factory.mktemp("runs")
    run = add_predictions("theirs", folder, demo, runs, tell=lambda _: None)
    assert isinstance(run, segmentation.Run)
    return serve(SEGMENTATION_DATA=str(demo.root), SEGMENTATION_RUNS=str(runs))


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (900, "dark")])
def test_gallery_and_explorer_show_what_was_recorded(
    address: str,
    open_page: Open,
    settle: Callable[[Page], None],
    metric: Callable[[Page, str], str],
    screenshots: Path,
    width: int,
    scheme: str,
) -> None:
    page = open_page(f"{address}/Worst-case_gallery?run=theirs", width, scheme)
    patch = f"{SCENE}/r01c02"
    first = page.locator("[data-testid=stMain] [data-testid=stVerticalBlock] code").first
    expect(first).to_have_text(patch)
    expect(page.get_by_alt_text(f"Patch {patch}: image, ground truth and prediction")).to_be_visible()
    expect(page.get_by_text("Confidence")).to_have_count(0)
    expect(page.get_by_text("Jaccard", exact=True)).to_have_count(0)
    card = page.get_by_alt_text(f"Patch {patch}: image, ground truth and prediction")
    shown = np.array(
        card.evaluate(
            """image => {
              const canvas = document.createElement('canvas');
              [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
              const context = canvas.getContext('2d');
              context.drawImage(image, 0, 0);
              return [...context.getImageData(canvas.width - 80, 80, 1, 1).data];
            }"""
        )
    )
    assert shown[:3].tolist() == COLORS[4].tolist()
    page.screenshot(path=screenshots / f"recorded-gallery-{width}-{scheme}.png")

    page.locator("[data-testid=stMain]").get_by_role("link", name="Explore").click()
    page.wait_for_url("**/Prediction_explorer*")
    settle(page)
    expect(page.locator(".viewer[data-state=shown] canvas")).to_have_count(3)
    expect(page.get_by_text("Prediction of theirs")).to_be_visible()
    expect(page.get_by_text(f"{patch}, 160 × 160 px")).to_be_visible()
    assert metric(page, "Accuracy") == "0.000"
    expect(page.get_by_role("button", name="Errors")).to_be_visible()
    expect(page.get_by_role("button", name="Confidence")).to_have_count(0)
    expect(page.locator("[data-testid=stAlertContentError]")).to_have_count(0)
    page.screenshot(path=screenshots / f"recorded-explorer-{width}-{scheme}.png")
