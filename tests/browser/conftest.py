"""A real server and a real Chromium."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from segmentation.data.locate import PROJECT

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)

# A page that predicts for the first time loads TensorFlow, which a busy machine may take its time for.
expect.set_options(timeout=60_000)

READY = "[data-testid=stApp][data-test-connection-state=CONNECTED][data-test-script-state=notRunning]"
"""The page's script has run to its end."""

Serve = Callable[..., str]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, as the system's packages install it."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("Chromium is not installed: apt-get install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """A function that starts the dashboard with environment variables and returns its address; all stop at the end."""
    processes = []

    def start(**variables: str) -> str:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        log = (tmp_path_factory.mktemp("server") / "log").open("wb")
        command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless=true"]
        command += [f"--server.port={port}", "--server.address=127.0.0.1", "--server.fileWatcherType=none"]
        process = subprocess.Popen(
            command, cwd=PROJECT, env={**os.environ, **variables}, stdout=log, stderr=subprocess.STDOUT
        )
        processes.append(process)
        address = f"http://127.0.0.1:{port}"
        until = time.monotonic() + 60
        while time.monotonic() < until and process.poll() is None:
            try:
                urllib.request.urlopen(f"{address}/_stcore/health", timeout=1)  # noqa: S310 (our own server)
            except OSError:
                continue
            return address
        raise AssertionError(f"the server did not start: {Path(log.name).read_text()[-2000:]}")

    yield start
    for process in processes:
        process.terminate()
        process.wait(timeout=20)


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """A function that opens an address in a fresh browser context of a given width and colour scheme."""
    contexts = []

    def open_(address: str, width: int = 1440, scheme: str = "light") -> Page:
        context = browser.new_context(viewport={"width": width, "height": 1000}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.goto(address)
        wait_until_still(page)
        return page

    yield open_
    for context in contexts:
        context.close()


@pytest.fixture
def settle() -> Callable[[Page], None]:
    """A function that waits until a page stands still."""
    return wait_until_still


def wait_until_still(page: Page) -> None:
    """Wait until the page's script has run to its end and everything is drawn."""
    page.wait_for_selector(READY)
    page.wait_for_function("() => !document.querySelector('[data-testid=stSkeleton]')")
    page.wait_for_function("() => [...document.images].every(image => image.complete)")
    page.wait_for_selector(READY)
