"""Any number of runs are compared as a person does it: sorted, tagged, found again, and set against each other."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Locator, Page, expect

from segmentation.data.scenes import Dataset
from segmentation.runs.notes import read_notes
from segmentation.runs.run import SHIPPED
from segmentation.runs.speeds import read_speeds
from tests.browser.driver import choose, wait_until_still

pytestmark = pytest.mark.browser

COLUMNS = ("Compare", "Run", "Data set", "Protocol", "Mean IoU", "its interval", "Accuracy", "its interval", "Tags")
"""The table's first columns, from left to right."""

MEAN_IOU = {"better": 0.9, "demo-unet": 0.694408, "worse": 0.1, "worst": 0.05}
"""Runs of the demo city: copies of the shipped one that say they scored otherwise."""


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder of those runs that are not shipped."""
    for name in MEAN_IOU.keys() - {"demo-unet"}:
        shutil.copytree(SHIPPED / "demo-unet", tmp_path / "runs" / name)
        metrics = tmp_path / "runs" / name / "metrics.json"
        metrics.write_text(json.dumps(json.loads(metrics.read_text()) | {"mean_iou": MEAN_IOU[name]}))
    return tmp_path / "runs"


@pytest.fixture
def address(serve: Callable[..., str], demo: Dataset, runs: Path) -> str:
    """A dashboard that shows the demo city and these runs."""
    return serve(SEGMENTATION_DATA=str(demo.root), SEGMENTATION_RUNS=str(runs))


def shown(page: Page, row: int, column: str) -> Locator:
    """What a cell of the table says to those who do not see it: the table itself is a drawing."""
    return page.locator(f"#glide-cell-{COLUMNS.index(column)}-{row}")


def go_to(page: Page, row: int, column: str) -> None:
    """Select a cell of the table by the keyboard, from the first run's name on."""
    wait_until_still(page)
    page.locator("[data-testid=stDataFrame] .dvn-scroller").click(position={"x": 150, "y": 52})
    expect(shown(page, 0, "Run")).to_have_attribute("aria-selected", "true")
    for _ in range(row):
        page.keyboard.press("ArrowDown")
    steps = COLUMNS.index(column) - COLUMNS.index("Run")
    for _ in range(abs(steps)):
        page.keyboard.press("ArrowRight" if steps > 0 else "ArrowLeft")
    expect(shown(page, row, column)).to_have_attribute("aria-selected", "true")


def test_runs_are_sorted_tagged_found_again_and_compared(
    address: str, open_page: Callable[..., Page], runs: Path
) -> None:
    page = open_page(address)
    page.get_by_role("link", name="Compare all runs").click()
    expect(page.get_by_text("10 of 10 runs")).to_be_visible()
    choose(page, "Scored on", "demo-data")
    page.keyboard.press("Escape")
    expect(page.get_by_text("4 of 10 runs")).to_be_visible()
    falling = sorted(MEAN_IOU, key=lambda name: -MEAN_IOU[name])
    for row, name in enumerate(falling):
        expect(shown(page, row, "Run")).to_have_text(name)

    wait_until_still(page)
    page.locator("[data-testid=stDataFrame] .dvn-scroller").click(position={"x": 460, "y": 15})  # heading of Mean IoU
    for row, name in enumerate(reversed(falling)):
        expect(shown(page, row, "Run")).to_have_text(name)

    go_to(page, 2, "Tags")  # of the run that is third now, and is second where nothing is sorted
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.activeElement.tagName === 'INPUT'")
    page.keyboard.type("baseline")
    page.get_by_text('Create "baseline"').click()
    page.keyboard.press("Tab")
    expect(shown(page, 2, "Tags")).to_have_text("baseline")
    wait_until_still(page)
    assert {name: note.tags for name, note in read_notes(runs).items()} == {"demo-unet": ("baseline",)}

    page.reload()
    expect(shown(page, 1, "Run")).to_have_text("demo-unet")
    expect(shown(page, 1, "Tags")).to_have_text("baseline")
    for row, ticked in ((1, "demo-unet"), (2, "demo-unet, worse")):
        go_to(page, row, "Compare")
        page.keyboard.press("Space")
        expect(page.get_by_text(f"To compare: {ticked}.", exact=True)).to_be_visible()
    page.get_by_role("button", name="Measure the speed").click()
    one = r" \(\d+\.\d\d s per megapixel\)"
    expect(page.get_by_text(re.compile(f"^To compare: demo-unet{one}, worse{one}\\.$"))).to_be_visible()
    wait_until_still(page)
    with page.expect_download() as downloading:
        page.get_by_role("button", name="Download the table").click()
    table = pd.read_csv(downloading.value.path(), index_col="run")
    assert table["mean_iou"].to_dict() == MEAN_IOU
    ends = json.loads((SHIPPED / "demo-unet" / "metrics.json").read_text())["intervals"]["scores"]["accuracy"]
    assert table.loc["demo-unet", ["accuracy_low", "accuracy_high"]].tolist() == ends
    assert table["tags"].dropna().to_dict() == {"demo-unet": "baseline"}
    assert table["seconds"].dropna().to_dict() == read_speeds(runs)
    assert read_speeds(runs).keys() == {"demo-unet", "worse"}
    link = page.get_by_role("link", name="Two runs, patch by patch")
    expect(link).not_to_have_attribute("disabled", "")
    link.click()
    expect(page.get_by_role("heading", name="Worst-case gallery")).to_be_visible()
    expect(page.get_by_role("combobox", name="Other run")).to_have_value("worse")
    expect(page.get_by_text("worse is better on")).to_be_visible()
    expect(page.get_by_text("Both runs have the same accuracy")).to_be_visible()  # they are copies
    page.get_by_text("Gain by class").click()
    expect(page.get_by_test_id("stDataFrame").get_by_text("not shown").first).to_be_attached()
    page.go_back()
    expect(page.get_by_text("4 of 10 runs")).to_be_visible()


def test_up_to_four_runs_stand_side_by_side_linked_with_one_another(
    address: str, open_page: Callable[..., Page]
) -> None:
    page = open_page(f"{address}/Prediction_explorer?run=demo-unet&with=worse", width=900)
    for name in ("worst", "better"):
        choose(page, "Compare with", name)
        page.keyboard.press("Escape")
        wait_until_still(page)
    page.get_by_role("button", name="Errors", exact=True).click()
    names = ("demo-unet", "worse", "worst", "better")
    expected = ["Image", *(f"Prediction of {name}" for name in names), "Ground truth"]
    expected += [f"Errors of {name}: what wrong pixels are predicted as" for name in names]
    captions = page.locator(".viewer[data-state=shown] figcaption")
    expect(captions).to_have_text(expected)
    boxes = [canvas.bounding_box() for canvas in page.locator(".viewer canvas").all()]
    assert all(box["width"] >= 160 for box in boxes)
    assert len({round(box["y"]) for box in boxes}) == 4
    overflow = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0
    page.locator(".viewer canvas").nth(3).hover()
    reading = page.locator(".viewer .reading")
    for name in ("Prediction", *names[1:]):
        expect(reading).to_contain_text(f"{name}: ")
    shared = page.url
    assert [shared.count(f"with={name}") for name in names[1:]] == [1, 1, 1]
    other = open_page(shared)
    expect(other.locator(".viewer[data-state=shown] figcaption")).to_have_text(expected)
    scores = other.locator("[data-testid=stDataFrame]").first
    for row, name in enumerate(names):
        expect(scores.locator(f"#glide-cell-0-{row}")).to_have_text(name)
