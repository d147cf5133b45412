"""A data set of many scenes: pages are there at once, and say how far its health is known."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from segmentation.data.scenes import Dataset
from tests.browser.driver import choose

COPIES = 10

READING = re.compile(r"Reading every scene once: [\d,]+ of 180")


@pytest.fixture(scope="module")
def address(serve: Callable[..., str], demo: Dataset, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A dashboard that shows the demo city's scenes many times."""
    root = tmp_path_factory.mktemp("many") / "Many cities"
    for scene in demo.scenes:
        for copy in range(1, COPIES + 1):
            for file in (scene.image, scene.mask):
                place = root / f"City {copy:02d}" / scene.tile / file.parent.name / file.name
                place.parent.mkdir(parents=True, exist_ok=True)
                place.hardlink_to(file)
    variables = {"SEGMENTATION_RUNS": str(root.parent / "no-runs"), "SEGMENTATION_CACHE": str(root.parent / "cache")}
    return serve(SEGMENTATION_DATA=str(root), **variables)


def test_pages_are_there_while_scenes_are_read_and_know_all_in_the_end(
    address: str, open_page: Callable[..., Page], screenshots: Path
) -> None:
    page = open_page(f"{address}/Dataset_browser")
    expect(page.get_by_text(READING)).to_be_visible()
    expect(page.get_by_text("180 of 180 scenes")).to_be_visible()
    expect(page.get_by_role("img", name="Scene city-01-tile-1/image_part_001 with its mask")).to_be_visible()
    page.screenshot(path=screenshots / "many-scenes-1440-light.png")

    home = open_page(address)
    expect(home.get_by_text(READING)).to_be_visible()
    expect(home.get_by_text("so far").first).to_be_visible()
    home.screenshot(path=screenshots / "many-scenes-home-1440-light.png")
    expect(home.get_by_text(READING)).to_have_count(0, timeout=240_000)
    expect(home.get_by_text(re.compile(r"Health: .*20 × void"))).to_be_visible()

    expect(page.get_by_text(READING)).to_have_count(0)
    choose(page, "Class", "Water")
    some = page.get_by_text(re.compile(r"^(?!180 )\d+ of 180 scenes$"))
    expect(some).to_be_visible()
    count = int(some.inner_text().split()[0])
    assert count > 0
    assert count % COPIES == 0
