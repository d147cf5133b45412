"""The label audit in a real Chromium: regions judged by keys alone."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

import segmentation
from segmentation.data.scenes import find_dataset
from tests.conftest import COLORS

pytestmark = pytest.mark.browser


def test_regions_are_judged_by_keys(serve: Callable[..., str], open_page: Callable[..., Page], tmp_path: Path) -> None:
    root, colors = tmp_path / "city", np.array(COLORS, np.uint8)
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    land = np.ones((64, 64), np.uint8)
    roof = land.copy()
    roof[8:40, 8:40] = 0
    for number in range(3):
        Image.fromarray(np.full((64, 64, 3), 40 * number, np.uint8)).save(root / "images" / f"{number}.png")
        Image.fromarray(colors[roof if number == 2 else land]).save(root / "masks" / f"{number}.png")
    dataset = find_dataset(root)
    with segmentation.Run.create("theirs", dataset, runs=tmp_path / "runs", patch_size=32) as recording:
        for scene in dataset.scenes:
            recording.record(scene, roof)
        recording.finish()
    address = serve(
        SEGMENTATION_DATA=str(root),
        SEGMENTATION_RUNS=str(tmp_path / "runs"),
        SEGMENTATION_CACHE=str(tmp_path / "cache"),
    )
    page = open_page(f"{address}/Worst-case_gallery?run=theirs&view=Label+audit")
    page.get_by_role("button", name="Audit labels").click()
    expect(page.get_by_text("Region 1 of 2")).to_be_visible()
    page.keyboard.press("n")
    expect(page.get_by_text("Region 2 of 2")).to_be_visible()
    page.keyboard.press("p")
    expect(page.get_by_text("Region 1 of 2")).to_be_visible()
    page.keyboard.press("1")
    expect(page.get_by_text("Region 2 of 2")).to_be_visible()
    expect(page.get_by_text("Labels judged wrong: 1; right: 0")).to_be_visible()
    page.keyboard.press("2")
    expect(page.get_by_text("Labels judged wrong: 1; right: 1")).to_be_visible()
    expect(page.locator("[data-testid=stException]")).to_have_count(0)
