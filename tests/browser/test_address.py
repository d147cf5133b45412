"""The address, the browser's history and the links between pages, in a real Chromium."""

import re
import shutil
from collections.abc import Callable, Iterator
from urllib.parse import parse_qs, urlsplit

import pandas as pd
import pytest
from playwright.sync_api import Page, expect

from segmentation.data.scenes import Dataset
from segmentation.runs.run import SHIPPED
from tests.browser.driver import choose

pytestmark = pytest.mark.browser

NAMES = ("Building", "Land", "Road", "Vegetation", "Water", "Unlabeled")

TITLES = {
    "Home": "Aerial segmentation",
    "Dataset browser": "Dataset browser",
    "Training monitor": "Training monitor",
    "Prediction explorer": "Prediction explorer",
    "Worst-case gallery": "Worst-case gallery",
}
"""What the sidebar calls each page, and the page's title."""

Open = Callable[..., Page]
Settle = Callable[[Page], None]


def asked(page: Page) -> dict[str, list[str]]:
    """The parameters in the address."""
    return parse_qs(urlsplit(page.url).query)


def cards(page: Page) -> list[str]:
    """The names of the patches in sight."""
    return page.locator("[data-testid=stMain] [data-testid=stVerticalBlock] code").all_inner_texts()


def go(page: Page, name: str, settle: Settle) -> None:
    """Follow the sidebar's link to a page."""
    page.locator(".st-key-pages").get_by_role("link", name=name, exact=True).click()
    expect(page.locator("h1")).to_have_text(TITLES[name])
    settle(page)


def back(page: Page, title: str, settle: Settle) -> None:
    page.go_back()
    expect(page.locator("h1")).to_have_text(title)
    settle(page)


def test_back_from_a_patch_shows_the_gallery_as_it_was_left(demo_address: str, open_page: Open, settle: Settle) -> None:
    page = open_page(f"{demo_address}/Worst-case_gallery?part=Trained+on")
    choose(page, "Class", "Road")
    expect(page).to_have_url(re.compile("class=Road"))
    expect(page.get_by_role("combobox", name="By", exact=True)).to_have_value("IoU of the class")
    settle(page)
    first = cards(page)
    page.get_by_role("button", name="Next page").click()
    expect(page).to_have_url(re.compile("page=2"))
    expect(page.get_by_text("9.", exact=True)).to_be_visible()
    settle(page)
    left, address = cards(page), page.url
    assert left != first
    page.get_by_role("link", name="Explore", exact=True).first.click()
    expect(page.locator("h1")).to_have_text("Prediction explorer")
    expect(page.get_by_text(f"{left[0]}, 160 × 160 px")).to_be_visible()
    settle(page)
    assert not {"class", "page", "part"} & set(asked(page))
    page.get_by_text("Errors", exact=True).click()  # a choice on the page makes no entry of its own
    expect(page).to_have_url(re.compile("show="))
    back(page, "Worst-case gallery", settle)
    assert page.url == address
    expect(page.get_by_role("combobox", name="Class", exact=True)).to_have_value("Road")
    expect(page.get_by_text("9.", exact=True)).to_be_visible()
    assert cards(page) == left
    page.go_forward()
    expect(page.get_by_text(f"{left[0]}, 160 × 160 px")).to_be_visible()


def test_back_after_filters_and_another_page_takes_one_step_for_each_page(
    demo_address: str, open_page: Open, settle: Settle
) -> None:
    page = open_page(f"{demo_address}/Dataset_browser?view=Patches")
    for label, option in (("Class", "Road"), ("Sort by", "Contrast"), ("Split", "scene")):
        choose(page, label, option)
        expect(page).to_have_url(re.compile(re.escape(option)))
        settle(page)
    address = page.url
    go(page, "Training monitor", settle)
    monitor = page.url
    assert set(asked(page)) == {"data", "run"}  # and nothing of the browser's
    go(page, "Dataset browser", settle)  # as it was left, too
    assert asked(page) == parse_qs(urlsplit(address).query)
    expect(page.get_by_role("combobox", name="Class", exact=True)).to_have_value("Road")
    back(page, "Training monitor", settle)
    assert page.url == monitor
    back(page, "Dataset browser", settle)
    assert parse_qs(urlsplit(page.url).query) == parse_qs(urlsplit(address).query)
    for label, value in (("Class", "Road"), ("Sort by", "Contrast"), ("Split", "scene")):
        expect(page.get_by_role("combobox", name=label, exact=True)).to_have_value(value)


def test_pages_that_share_a_parameter_keep_their_own(demo_address: str, open_page: Open, settle: Settle) -> None:
    page = open_page(f"{demo_address}/Dataset_browser?view=Patches&class=Water&page=2")
    go(page, "Worst-case gallery", settle)
    assert set(asked(page)) == {"data", "run"}
    expect(page.get_by_role("combobox", name="Class", exact=True)).to_have_value("")
    choose(page, "Class", "Building")
    expect(page).to_have_url(re.compile("class=Building"))
    settle(page)
    back(page, "Dataset browser", settle)
    assert asked(page)["class"] == ["Water"]
    assert asked(page)["page"] == ["2"]
    expect(page.get_by_role("combobox", name="Class", exact=True)).to_have_value("Water")
    page.go_forward()
    expect(page.locator("h1")).to_have_text("Worst-case gallery")
    settle(page)
    expect(page.get_by_role("combobox", name="Class", exact=True)).to_have_value("Building")


def test_back_from_a_random_patch_shows_the_same_random_patches(
    demo_address: str, open_page: Open, settle: Settle
) -> None:
    page = open_page(f"{demo_address}/Prediction_explorer?source=Random+patches&n=4&seed=7")
    shown = cards(page)
    page.get_by_role("link", name="Explore", exact=True).first.click()
    expect(page.get_by_text(f"{shown[0]}, 160 × 160 px")).to_be_visible()
    settle(page)
    page.go_back()
    expect(page.get_by_text("4 of 44 held-out patches, seed 7")).to_be_visible()
    settle(page)
    assert cards(page) == shown


@pytest.mark.parametrize("path", ["/", "/Dataset_browser", "/Training_monitor", "/Prediction_explorer"])
def test_data_set_and_run_are_always_in_the_address(demo_address: str, open_page: Open, path: str) -> None:
    page = open_page(demo_address + path)
    expect(page).to_have_url(re.compile("run=demo-unet"))
    assert asked(page) == {"data": ["Demo city"], "run": ["demo-unet"]}
    for link in page.locator(".st-key-pages a").all():
        assert parse_qs(urlsplit(link.get_attribute("href")).query) == {"data": ["Demo city"], "run": ["demo-unet"]}


@pytest.fixture(scope="module")
def two_machines(
    serve: Callable[..., str], demo: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """Two dashboards of the same runs, of which another is the newest on the second."""
    addresses = []
    for newest in ("mine", "yours"):
        runs = tmp_path_factory.mktemp(newest)
        for name in ("mine", "yours"):
            shutil.copytree(SHIPPED / "demo-unet", runs / name)
            status = f'{{"state": "finished", "heartbeat": {2 if name == newest else 1}}}'
            (runs / name / "status.json").write_text(status)
        addresses.append(serve(SEGMENTATION_DATA=str(demo.root), SEGMENTATION_RUNS=str(runs)))
    return addresses[0], addresses[1]


def test_a_link_that_is_copied_shows_the_same_run_on_another_machine(
    two_machines: tuple[str, str], open_page: Open, settle: Settle
) -> None:
    mine, yours = two_machines
    page = open_page(f"{mine}/Worst-case_gallery")
    expect(page.get_by_role("combobox", name="Run", exact=True)).to_have_value("mine")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("button", name="Link copied")).to_be_visible()
    copied = page.evaluate("() => navigator.clipboard.readText()")
    assert copied == page.url
    theirs = open_page(copied.replace(mine, yours))
    expect(theirs.get_by_role("combobox", name="Run", exact=True)).to_have_value("mine")
    assert open_page(yours).get_by_role("combobox", name="Run", exact=True).input_value() == "yours"


def test_a_link_is_copied_where_the_browser_keeps_its_clipboard_for_https(
    demo_address: str, open_page: Open, settle: Settle
) -> None:
    page = open_page(f"{demo_address}/Worst-case_gallery")
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('http')); }")
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("button", name="Link copied")).to_be_visible()
    go(page, "Prediction explorer", settle)
    left = page.url
    page.evaluate("() => { const field = document.createElement('textarea'); document.body.append(field); }")
    field = page.locator("body > textarea").last
    field.focus()
    page.keyboard.press("Control+V")
    assert field.input_value().endswith("/Worst-case_gallery?data=Demo+city&run=demo-unet")
    assert field.input_value() != left


def test_a_run_that_is_chosen_stays_over_a_change_of_page(
    two_machines: tuple[str, str], open_page: Open, settle: Settle
) -> None:
    page = open_page(two_machines[0])
    choose(page, "Run", "dubai-lite0")
    expect(page).to_have_url(re.compile("run=dubai-lite0"))
    settle(page)
    go(page, "Training monitor", settle)
    expect(page.get_by_role("combobox", name="Run", exact=True)).to_have_value("dubai-lite0")
    choose(page, "Run", "yours")
    expect(page).to_have_url(re.compile("run=yours"))
    settle(page)
    back(page, "Aerial segmentation", settle)
    expect(page.get_by_role("combobox", name="Run", exact=True)).to_have_value("dubai-lite0")


def test_every_page_offers_its_link_and_is_named_to_screen_readers(
    demo_address: str, open_page: Open, settle: Settle
) -> None:
    page = open_page(demo_address)
    links = page.locator(".st-key-pages").get_by_role("link")
    for name in TITLES:
        expect(page.locator(".st-key-pages").get_by_role("link", name=name, exact=True)).to_have_count(1)
        go(page, name, settle)
        expect(page.get_by_role("button", name="Copy link")).to_be_visible()
    expect(links).to_have_count(5)
    expect(page.get_by_role("link", name="app", exact=True)).to_have_count(0)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/Dataset_browser",
        "/Dataset_browser?view=Patches",
        "/Dataset_browser?view=One+scene",
        "/Dataset_browser?view=One+tile",
        "/Prediction_explorer?scene=tile-1%2Fimage_part_005&patch=r01c01",
        "/Prediction_explorer?source=Random+patches&n=2",
        "/Worst-case_gallery",
    ],
)
def test_every_picture_says_what_it_shows(demo_address: str, open_page: Open, path: str) -> None:
    page = open_page(demo_address + path)
    expect(page.locator(".viewer:not([data-state=shown])")).to_have_count(0)
    images = page.locator("[data-testid=stImage] img").evaluate_all("images => images.map(i => i.alt)")
    canvases = page.locator(".viewer canvas")
    drawn = canvases.evaluate_all("all => all.map(c => c.getAttribute('role') === 'img' && c.ariaLabel)")
    assert images or drawn
    assert all(re.search(r"[Tt]ile|image_part", str(text)) for text in images + drawn)


def test_another_filter_begins_at_the_first_page(demo_address: str, open_page: Open, settle: Settle) -> None:
    scores = pd.read_csv(SHIPPED / "demo-unet" / "patches.csv")
    train = scores[(scores["part"] == "train") & scores["mean_iou"].notna()]
    page = open_page(f"{demo_address}/Worst-case_gallery?part=Trained+on&order=Best+first&page=3")
    expect(page.get_by_text("17.", exact=True)).to_be_visible()  # a link to a page opens it
    page.get_by_text("Colour-blind colours").click()  # the same rows in other colours
    expect(page).to_have_url(re.compile("safe-colours=true"))
    settle(page)
    expect(page.get_by_text("17.", exact=True)).to_be_visible()
    choose(page, "Tiles", "Tile 2")
    page.keyboard.press("Escape")  # closes the list
    expect(page.get_by_text("1.", exact=True)).to_be_visible()
    settle(page)
    assert "page" not in asked(page)
    wrong = sum(train[f"{one} as {other}"] for one in NAMES for other in NAMES if one != other)
    train = train.assign(wrong=wrong).sort_values("wrong", kind="stable")
    best = train[train["tile"] == "Tile 2"].sort_values("mean_iou", ascending=False, kind="stable")
    assert cards(page) == list(best["patch"][:8])
    page.get_by_role("button", name="Next page").click()
    expect(page.get_by_text("9.", exact=True)).to_be_visible()
    page.get_by_text("Worst first", exact=True).click()
    expect(page.get_by_text("1.", exact=True)).to_be_visible()
