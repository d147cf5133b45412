"""Every click on a chart or a table that a page promises, made in a real Chromium: the page must change."""

import re
from collections.abc import Callable

import pandas as pd
import pytest
from playwright.sync_api import Locator, Page, expect

from segmentation.runs.run import SHIPPED

pytestmark = pytest.mark.browser

NAMES = ("Building", "Land", "Road", "Vegetation", "Water", "Unlabeled")

Open = Callable[..., Page]
Settle = Callable[[Page], None]


@pytest.fixture(scope="session")
def held_out() -> pd.DataFrame:
    """What the shipped demo run scored on the patches that it held out."""
    scores = pd.read_csv(SHIPPED / "demo-unet" / "patches.csv")
    return scores[scores["part"] == "test"]


def click(page: Page, point: Locator) -> None:
    """Click on the middle of a mark, as a hand does: what lies over it gets the click."""
    point.scroll_into_view_if_needed()
    box = point.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def choose_row(page: Page, key: str, row: int) -> None:
    """Click on the box before a table's row; the cells are drawn on a canvas, 35 px a row."""
    table = page.locator(f".st-key-{key} [data-testid=stDataFrame] canvas").first
    table.scroll_into_view_if_needed()
    box = table.bounding_box()
    page.mouse.click(box["x"] + 15, box["y"] + 35 * (row + 1) + 17)


@pytest.mark.parametrize(("true", "taken"), [("Road", "Building"), ("Unlabeled", "Land"), ("Building", "Building")])
def test_a_click_on_a_cell_of_the_confusion_matrix_shows_the_patches_that_make_it(
    demo_address: str, open_page: Open, settle: Settle, held_out: pd.DataFrame, true: str, taken: str
) -> None:
    page = open_page(f"{demo_address}/Worst-case_gallery?view=Confusions")
    cells = page.locator(".st-key-confusions .scatterlayer path.point")
    expect(cells).to_have_count(36)
    click(page, cells.nth(6 * NAMES.index(true) + NAMES.index(taken)))
    expect(page.get_by_role("combobox", name="True class")).to_have_value(true)
    expect(page.get_by_role("combobox", name="Predicted as")).to_have_value(taken)
    making = held_out[held_out[f"{true} as {taken}"] > 0]
    making = making.sort_values(f"{true} as {taken}", ascending=False, kind="stable")
    expect(page.get_by_text(f"{len(making)} patches contribute to this cell")).to_be_visible()
    settle(page)
    cards = page.locator("[data-testid=stMain] [data-testid=stVerticalBlock] code").all_inner_texts()
    assert cards == list(making["patch"][:8])


def test_a_cell_can_be_clicked_again_after_another_was_chosen_by_name(demo_address: str, open_page: Open) -> None:
    page = open_page(f"{demo_address}/Worst-case_gallery?view=Confusions")
    cells = page.locator(".st-key-confusions .scatterlayer path.point")
    taken = page.get_by_role("combobox", name="Predicted as")
    for place, name in ((6 * 2 + 0, "Building"), (6 * 2 + 3, "Vegetation"), (6 * 2 + 0, "Building")):
        click(page, cells.nth(place))
        expect(taken).to_have_value(name)


def test_the_pointer_on_a_cell_says_its_classes_and_pixels(
    demo_address: str, open_page: Open, held_out: pd.DataFrame
) -> None:
    page = open_page(f"{demo_address}/Worst-case_gallery?view=Confusions")
    cell = page.locator(".st-key-confusions .scatterlayer path.point").nth(6 * 2 + 1)
    cell.scroll_into_view_if_needed()
    box = cell.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    hover = page.locator(".st-key-confusions .hoverlayer")
    expect(hover).to_contain_text(f"{held_out['Road as Land'].sum():,} pixels")
    expect(hover).to_contain_text(re.compile(r"Road.*Land"))


def test_a_click_on_a_point_of_the_causes_shows_its_patch(
    demo_address: str, open_page: Open, held_out: pd.DataFrame
) -> None:
    page = open_page(f"{demo_address}/Worst-case_gallery?view=Causes&against=Contrast")
    expect(page.get_by_text("Click a point to see its patch.")).to_be_visible()
    scored = held_out.dropna(subset="mean_iou")
    points = page.locator(".st-key-causes .scatterlayer path.point")
    expect(points).to_have_count(len(scored))
    lowest = scored["mean_iou"].argmin()  # nothing lies over the worst
    click(page, points.nth(lowest))
    expect(page.locator("[data-testid=stMain] code").filter(has_text=scored.iloc[lowest]["patch"])).to_be_visible()
    expect(page.get_by_text("Click a point to see its patch.")).to_have_count(0)


def test_a_point_that_a_filter_removes_is_forgotten(
    demo_address: str, open_page: Open, settle: Settle, held_out: pd.DataFrame
) -> None:
    page = open_page(f"{demo_address}/Worst-case_gallery?view=Causes&against=Contrast")
    scored = held_out.dropna(subset="mean_iou")
    lowest = scored["mean_iou"].argmin()
    click(page, page.locator(".st-key-causes .scatterlayer path.point").nth(lowest))
    expect(page.locator("[data-testid=stMain] code").filter(has_text=scored.iloc[lowest]["patch"])).to_be_visible()
    page.get_by_role("radio", name="Trained on").click()
    expect(page.get_by_text(re.compile(r"over all \d+ patches"))).not_to_contain_text(f"over all {len(scored)} patches")
    settle(page)
    expect(page.locator("[data-testid=stAlertContentError]")).to_have_count(0)


@pytest.mark.parametrize(("unit", "row"), [("Scenes", 1), ("Tiles", 1)])
def test_a_click_on_a_row_of_scenes_or_tiles_leads_to_it(
    demo_address: str, open_page: Open, held_out: pd.DataFrame, unit: str, row: int
) -> None:
    page = open_page(f"{demo_address}/Worst-case_gallery?rank={unit}")
    by = unit.lower().removesuffix("s")
    scored = {}
    for name, rows in held_out.groupby(by):
        ious = []
        for one in NAMES:
            true = rows[[f"{one} as {other}" for other in NAMES]].sum().sum()
            predicted = rows[[f"{other} as {one}" for other in NAMES]].sum().sum()
            both = rows[f"{one} as {one}"].sum()
            if true + predicted:
                ious.append(both / (true + predicted - both))
        scored[name] = sum(ious) / len(ious)
    choose_row(page, "groups", row)
    label = {"Scenes": "Explore the scene", "Tiles": "See the tile"}[unit]
    link = page.get_by_role("link", name=label)
    expect(link).not_to_have_attribute("disabled", "")
    expect(link).to_have_attribute("href", re.compile(r"scene=tile|tile-shown=Tile"))
    link.click()
    chosen = page.get_by_role("combobox", name={"Scenes": "Scene", "Tiles": "Tile"}[unit], exact=True)
    expect(chosen).to_have_value(sorted(scored, key=scored.get)[row])


def test_a_click_on_a_finding_opens_its_scene(demo_address: str, open_page: Open, settle: Settle) -> None:
    page = open_page(f"{demo_address}/Dataset_browser?view=Health")
    button = page.get_by_role("button", name="Open the scene")
    expect(button).to_be_disabled()
    choose_row(page, "findings", 0)
    expect(button).to_be_enabled()
    button.click()
    expect(page.get_by_role("combobox", name="Scene", exact=True)).to_have_value(re.compile(r"tile-\d/image_part_\d+"))
    expect(page.locator(".viewer[data-state=shown] canvas")).to_have_count(1)


def test_a_click_on_a_scenes_name_opens_it_large(demo_address: str, open_page: Open) -> None:
    page = open_page(f"{demo_address}/Dataset_browser")
    page.locator(".st-key-open-tile-1-image_part_002 button").click()
    expect(page.get_by_role("combobox", name="Scene", exact=True)).to_have_value("tile-1/image_part_002")


def test_the_shares_stay_readable_after_a_click(demo_address: str, open_page: Open) -> None:
    page = open_page(f"{demo_address}/Worst-case_gallery?view=Confusions")
    shares = page.locator(".st-key-confusions .annotation-text")
    expect(shares).to_have_count(36)
    look = "all => all.map(text => [text.textContent, getComputedStyle(text).fill, getComputedStyle(text).fillOpacity])"
    before = shares.evaluate_all(look)
    click(page, page.locator(".st-key-confusions .scatterlayer path.point").nth(6 * 2 + 0))
    expect(page.get_by_role("combobox", name="Predicted as")).to_have_value("Building")
    assert shares.evaluate_all(look) == before
    assert {opacity for _, _, opacity in before} == {"1"}
    assert before[7][0] == "95"  # of Land that is Land


@pytest.mark.parametrize("width", [390, 900, 1440])
def test_the_drawing_of_the_network_is_whole_on_screens_of_any_width(
    demo_address: str, open_page: Open, width: int
) -> None:
    page = open_page(demo_address, width)
    chart = page.locator(".st-key-network")
    chart.scroll_into_view_if_needed()
    labels = chart.locator(".scatterlayer .textpoint")
    expect(labels).to_have_count(9)
    frame = chart.locator("svg.main-svg").first.bounding_box()
    for label in labels.all():
        box = label.bounding_box()
        assert frame["x"] <= box["x"]
        assert box["x"] + box["width"] <= frame["x"] + frame["width"]
