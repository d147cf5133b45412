"""How long a page takes to answer a click, as measured in Chromium at 1440 × 1000 px: until all is drawn.

Median and slowest of 20 clicks, everything warm.
"""

import os
import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

import tyro
from playwright.sync_api import Page, sync_playwright

from benchmarks.measuring import print_header, print_row
from segmentation.data.locate import ALLOWED_VARIABLE, VARIABLE, default_folder
from segmentation.data.scenes import find_dataset
from tests.browser.driver import choose, launch_chromium, serve, wait_for_answer, wait_until_still, watch_clicks

CLICKS = 20


class Clicks(NamedTuple):
    """One kind of click.

    Args:
        what: The page and what is clicked.
        link: Where.
        each: From the page to one function a click, each of which makes the page run once.
    """

    what: str
    link: str
    each: Callable[[Page], Iterable[Callable[[], object]]]


def _button(name: str, other: str) -> Callable[[Page], Iterator[Callable[[], object]]]:
    """Press a button five times, then another five times, and so on: there must be a page to turn to."""

    def each(page: Page) -> Iterator[Callable[[], object]]:
        for turn in range(CLICKS):
            yield page.get_by_role("button", name=other if turn // 5 % 2 else name).click

    return each


def _options(label: str, options: list[str]) -> Callable[[Page], Iterator[Callable[[], object]]]:
    """Choose the options of a select box by turns; the page opens on none of them, or on the last."""

    def each(page: Page) -> Iterator[Callable[[], object]]:
        for _, option in zip(range(CLICKS), cycle(options), strict=False):
            yield lambda option=option: choose(page, label, option)

    return each


def _texts(*texts: str) -> Callable[[Page], Iterator[Callable[[], object]]]:
    """Click words by turns."""

    def each(page: Page) -> Iterator[Callable[[], object]]:
        for _, text in zip(range(CLICKS), cycle(texts), strict=False):
            yield page.get_by_text(text, exact=True).first.click

    return each


def browsing(scenes: list[str]) -> list[Clicks]:
    """The dataset browser's clicks."""
    return [
        Clicks("browser: next page of scenes", "/Dataset_browser", _button("Next page", "Previous page")),
        Clicks("browser: filter by class", "/Dataset_browser", _options("Class", ["Water", "Road", "Building"])),
        Clicks("browser: sort", "/Dataset_browser", _options("Sort by", ["Brightness", "Contrast", "Share of Land"])),
        Clicks("browser: next page of patches", "/Dataset_browser?view=Patches", _button("Next page", "Previous page")),
        Clicks(
            "browser: sort patches", "/Dataset_browser?view=Patches", _options("Sort by", ["Brightness", "Contrast"])
        ),
        Clicks("browser: next scene", "/Dataset_browser?view=One+scene", _options("Scene", scenes)),
        Clicks(
            "browser: another view",
            "/Dataset_browser?view=Split",
            _texts("Health", "Class shares", "Split", "One tile"),
        ),
    ]


def judging(run: str, scenes: list[str]) -> list[Clicks]:
    """The other pages' clicks."""
    patches = [f"r{row:02d}c{column:02d}" for row in range(3) for column in range(4)]
    gallery, explorer = f"/Worst-case_gallery?run={run}", f"/Prediction_explorer?run={run}"
    return [
        Clicks("monitor: logarithmic losses", f"/Training_monitor?run={run}", _texts("Logarithmic losses")),
        Clicks("explorer: next patch", f"{explorer}&scene={scenes[-1]}", _options("Patch", patches)),
        Clicks("explorer: next scene", explorer, _options("Scene", scenes)),
        Clicks("explorer: another picture", f"{explorer}&scene={scenes[-1]}", _texts("Errors", "Entropy")),
        Clicks("gallery: next page", gallery, _button("Next page", "Previous page")),
        Clicks("gallery: order", gallery, _texts("Best first", "Worst first")),
        Clicks("gallery: filter by class", gallery, _options("Class", ["Water", "Road", "Building"])),
        Clicks("gallery: another view", gallery, _texts("Confusions", "Causes", "Suspect labels", "Ranking")),
    ]


def measure(page: Page, clicks: Clicks) -> list[float]:
    """Return what each click took, in seconds; the page is opened before, and nothing of it is counted."""
    seconds = []
    watch_clicks(page)
    for click in clicks.each(page):
        click()
        seconds.append(wait_for_answer(page))
    return seconds


def link_scenes(root: Path, folder: Path, times: int) -> Path:
    """Make a data set of links, `times` to each scene, and return its folder."""
    for scene in find_dataset(root).scenes:
        for copy in range(1, times + 1):
            for file in (scene.image, scene.mask):
                link = folder / f"City {copy:03d}" / scene.tile / file.parent.name / file.name
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(file.resolve())
    return folder


def main(run: str | None = "dubai-best", times: int = 1, data: Path | None = None, address: str | None = None) -> None:
    """Print the median and the slowest of 20 clicks of each kind, in seconds.

    Args:
        run: The run whose gallery and predictions are shown; None measures the dataset browser alone, as does `times`.
        times: Browse so many links to each scene instead.
        data: The data set's folder; by default that in data/.
        address: Measure a dashboard that is running already, with this data set and all of it read.
    """
    root = targets = data or default_folder()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if times > 1:
            root = link_scenes(root, scratch / "links", times)
        scenes = [scene.name for scene in find_dataset(root).scenes]
        turns = scenes[1:CLICKS] + scenes[:1]
        kinds = browsing(turns) + (judging(run, turns) if run and times == 1 else [])
        address = address or stack.enter_context(
            serve({VARIABLE: str(root), ALLOWED_VARIABLE: str(targets)}, scratch / "log")
        )
        browser = stack.enter_context(launch_chromium(stack.enter_context(sync_playwright())))
        print_header([f"click, {len(scenes):,} scenes", "median, s", "slowest, s"])
        for kind in kinds:
            page = browser.new_context(viewport={"width": 1440, "height": 1000}).new_page()
            page.set_default_timeout(3_600_000)  # a large set is read once, on the first page
            page.goto(address + kind.link)
            wait_until_still(page)
            measure(page, kind)  # warm
            seconds = measure(page, kind)
            print_row(kind.what, f"{statistics.median(seconds):.2f}", f"{max(seconds):.2f}")
            page.context.close()


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    tyro.cli(main)
