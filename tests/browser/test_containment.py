"""In a real browser: whoever sits at the machine may read their home folder, and names are drawn as they are."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

Serve = Callable[..., str]


def test_home_is_open_at_the_machine_and_what_lies_outside_is_not(
    serve: Serve, open_page: Callable[..., Page], write_dataset: Callable[[Path], Path], tmp_path: Path
) -> None:
    write_dataset(tmp_path / "home" / "city")
    write_dataset(tmp_path / "outside")
    address = serve(HOME=str(tmp_path / "home"), SEGMENTATION_RUNS=str(tmp_path / "runs"))
    page = open_page(address)
    folder = page.get_by_role("textbox", name="Folder on this machine")
    folder.fill(str(tmp_path / "home" / ".." / "outside"))
    page.get_by_role("button", name="Use this folder").click()
    expect(page.get_by_text("does not lie in a folder that pages may read")).to_be_visible()
    folder.fill("~/city")
    page.get_by_role("button", name="Use this folder").click()
    expect(page.get_by_text("Folder city")).to_be_visible()
    log = [json.loads(line) for line in (tmp_path / "runs" / "log" / "dashboard.log").read_text().splitlines()]
    assert log[0]["event"] == "server start"
    assert {"refused", "data set opened"} <= {line["event"] for line in log}


def test_plotly_draws_class_names_as_they_are(
    serve: Serve, open_page: Callable[..., Page], write_dataset: Callable[[Path], Path], tmp_path: Path
) -> None:
    root = write_dataset(tmp_path / "city")
    names = ["<b>bold</b>", '<a href="https://192.0.2.1">x</a>', "%{x} &lt;", "two<br>lines", "Water", "Unlabeled"]
    rows = [f'"{name.replace(chr(34), chr(34) * 2)}",{place},0,0' for place, name in enumerate(names)]
    (root / "class_dict.csv").write_text("\n".join(["name,r,g,b", *rows]) + "\n")
    page = open_page(f"{serve(SEGMENTATION_DATA=str(root), SEGMENTATION_RUNS=str(tmp_path))}/Dataset_browser")
    page.get_by_text("Class shares", exact=True).click()
    ticks = page.locator(".js-plotly-plot").first.locator(".ytick text")
    expect(ticks).to_have_count(len(names))
    shown = [re.sub(r"\s", " ", text) for text in ticks.all_text_contents()]
    assert sorted(shown) == sorted(names)
    assert page.locator(".js-plotly-plot a").count() == 0
    chips = page.locator(".legend span").all_text_contents()
    assert chips[: len(names)] == names
