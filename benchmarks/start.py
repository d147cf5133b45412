"""How long a fresh server takes to its first pages and to its first prediction, as measured in Chromium.

From the start of the server's process, which has nothing of the data set in its cache; median and slowest of some
servers. The larger set is made of links to the scenes, and servers of both sets take turns.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tyro
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.clicks import link_scenes
from benchmarks.measuring import print_header, print_row
from segmentation.data.images import png_bytes
from segmentation.data.locate import default_folder
from segmentation.data.scenes import find_dataset, read_scene
from tests.browser.driver import launch_chromium, serve

PATCH = np.s_[:160, :160]


def first_page(page: Page, address: str) -> None:
    """Open the home page and wait for all of it but the health line, for which every scene is read."""
    page.goto(address)
    page.wait_for_selector("h1")  # to look for roles all the time would take the page's own
    page.get_by_role("heading", name="Another data set").wait_for()
    page.wait_for_function("() => [...document.images].every(image => image.complete)")


def first_scenes(page: Page, address: str) -> None:
    """Open the dataset browser and wait for its first pictures."""
    page.goto(f"{address}/Dataset_browser")
    page.locator("[data-testid=stMain] img").first.wait_for()
    page.wait_for_function("() => [...document.images].every(image => image.complete)")


def first_prediction(patch: bytes, run: str) -> Callable[[Page, str], None]:
    """Return what uploads a patch to the explorer and waits for the prediction and its scores."""

    def predict(page: Page, address: str) -> None:
        page.goto(f"{address}/Prediction_explorer?source=Upload&run={run}")
        upload = {"name": "patch.png", "mimeType": "image/png", "buffer": patch}
        page.locator(".st-key-upload-image input[type=file]").set_input_files([upload])
        page.locator(".viewer[data-state=shown] figcaption", has_text="Prediction of").wait_for()

    return predict


def seconds_to(reach: Callable[[Page, str], None], browser: Browser, root: Path) -> float:
    """Start a server of a data set, and return how long it takes until what is to be reached is there."""
    page = browser.new_page(viewport={"width": 1440, "height": 1000})
    with tempfile.TemporaryDirectory() as scratch:
        variables = {"SEGMENTATION_DATA": str(root), "SEGMENTATION_CACHE": scratch, "SEGMENTATION_ALLOWED": "/"}
        begun = time.monotonic()
        with serve(variables, Path(scratch) / "log") as address:
            reach(page, address)
            seconds = time.monotonic() - begun
            page.close()
    return seconds


def main(run: str = "dubai-best", data: Path | None = None, times: int = 5, links: int = 140) -> None:
    """Print the median and the slowest of some starts, in seconds.

    Args:
        run: The run that predicts.
        data: The data set's folder; by default that in data/.
        times: How many servers to start for each figure.
        links: How many links to each scene the larger set has.
    """
    root = data or default_folder()
    dataset = find_dataset(root)
    patch = png_bytes(read_scene(dataset.scenes[0], dataset.palette)[0][PATCH])
    print_header(["from the start of the server", "scenes", "median, s", "slowest, s"])
    with (
        sync_playwright() as playwright,
        launch_chromium(playwright) as browser,
        tempfile.TemporaryDirectory() as linked,
    ):
        larger = link_scenes(root, Path(linked), links)
        scenes = {root: len(dataset.scenes), larger: len(dataset.scenes) * links}
        for what, reach, roots in (
            ("to the first page", first_page, (root, larger)),
            ("to the browser's first scenes", first_scenes, (root, larger)),
            ("to the first prediction of an uploaded patch", first_prediction(patch, run), (root,)),
        ):
            seconds = {root: [] for root in roots}
            for _ in range(times):
                for each in roots:
                    seconds[each].append(seconds_to(reach, browser, each))
            for each in roots:
                taken = seconds[each]
                print_row(what, f"{scenes[each]:,}", f"{statistics.median(taken):.2f}", f"{max(taken):.2f}")


if __name__ == "__main__":
    tyro.cli(main)
