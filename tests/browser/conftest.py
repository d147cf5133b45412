"""A real server and a real Chromium."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from segmentation.data.demo import make_demo
from segmentation.data.locate import PROJECT
from segmentation.data.scenes import Dataset, find_dataset
from tests.browser import driver
from tests.browser.driver import find_chromium, launch_chromium, wait_until_still

# A page that predicts for the first time loads TensorFlow, which a busy machine may take its time for.
expect.set_options(timeout=60_000)

Serve = Callable[..., str]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, as the system's packages install it."""
    if find_chromium() is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("Chromium is not installed: apt-get install chromium")
    with sync_playwright() as playwright, launch_chromium(playwright) as chromium:
        yield chromium


@contextmanager
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Yield a function that starts the dashboard with environment variables and returns its address.

    All stop at the end; by then, none may have logged a traceback or a warning.
    """
    logs = []
    with ExitStack() as running:

        def start(project: Path = PROJECT, **variables: str) -> str:
            logs.append(tmp_path_factory.mktemp("server") / "log")
            return running.enter_context(driver.serve(variables, logs[-1], project))

        yield start
    complaints = [
        line
        for log in logs
        for line in log.read_text(errors="replace").splitlines()
        if re.search(r"Traceback|Uncaught|Exception|[Dd]eprecat|Warning:|\bWARN(ING)?\b", line)
        and "before absl::InitializeLog()" not in line  # TensorFlow's greeting
    ]
    assert complaints == [], "\n".join(log.read_text(errors="replace")[-5000:] for log in logs)


@pytest.fixture(scope="session")
def serve_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """A function as `servers` gives it, for dashboards that tests of many files look at."""
    with servers(tmp_path_factory) as start:
        yield start


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """A function as `servers` gives it, for the dashboards of a file: kept, all would take memory and a core's time."""
    with servers(tmp_path_factory) as start:
        yield start


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The demo city."""
    return find_dataset(make_demo(tmp_path_factory.mktemp("demo") / "Demo city"))


@pytest.fixture(scope="session")
def demo_address(serve_all: Serve, demo: Dataset, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A dashboard that shows the demo city."""
    return serve_all(SEGMENTATION_DATA=str(demo.root), SEGMENTATION_RUNS=str(tmp_path_factory.mktemp("no-runs")))


@pytest.fixture(scope="session")
def real_address(serve_all: Serve, real_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A dashboard that shows the real set."""
    return serve_all(
        SEGMENTATION_DATA=str(real_dataset.root), SEGMENTATION_RUNS=str(tmp_path_factory.mktemp("no-runs"))
    )


@pytest.fixture(scope="session")
def contexts(browser: Browser) -> Callable[[int, str], BrowserContext]:
    """A function that returns the browser context of a width and colour scheme, which keeps the dashboard's code.

    Its user wishes for little motion: to draw, without a graphics card, what shimmers and slides while a page comes is
    a third of a page's time.
    """

    @cache
    def context(width: int, scheme: str) -> BrowserContext:
        viewport = {"width": width, "height": 1000}
        return browser.new_context(viewport=viewport, color_scheme=scheme, reduced_motion="reduce")

    return context


@pytest.fixture
def open_page(contexts: Callable[[int, str], BrowserContext]) -> Iterator[Callable[..., Page]]:
    """A function that opens an address at a given width and in a colour scheme, in a browser that remembers nothing."""
    opened = []

    def open_(address: str, width: int = 1440, scheme: str = "light") -> Page:
        page = contexts(width, scheme).new_page()
        opened.append(page)
        page.set_default_timeout(120_000)
        page.goto(address)
        wait_until_still(page)
        return page

    yield open_
    for page in opened:
        page.evaluate("() => { localStorage.clear(); sessionStorage.clear(); }")
        page.close()
        page.context.clear_cookies()
        page.context.clear_permissions()


@pytest.fixture
def settle() -> Callable[[Page], None]:
    """A function that waits until a page stands still."""
    return wait_until_still


@pytest.fixture
def metric() -> Callable[[Page, str], str]:
    """A function that returns the value of the first metric with a label."""

    def value(page: Page, label: str) -> str:
        box = page.locator("[data-testid=stMetric]").filter(has=page.get_by_text(label, exact=True)).first
        return box.locator("[data-testid=stMetricValue]").inner_text().strip()

    return value
