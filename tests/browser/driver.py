"""The dashboard as a person meets it: a server of its own, and a real Chromium."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from playwright.sync_api import Browser, Page, Playwright

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

READY = "[data-testid=stApp][data-test-connection-state=CONNECTED][data-test-script-state=notRunning]"
"""The page's script has run to its end."""


WATCH = """() => {
  const app = document.querySelector('[data-testid=stApp]');
  window.answer = {};
  const begin = () => { window.answer = {from: performance.now()}; };
  addEventListener('pointerdown', begin, true);
  addEventListener('keydown', begin, true);
  const drawn = () => app.dataset.testScriptState === 'notRunning'
    && !document.querySelector('[data-testid=stSkeleton]')
    && !document.querySelector('.viewer:not([data-state=shown])')
    && [...document.images].every(image => image.complete);
  const finish = answer => requestAnimationFrame(() => {
    if (answer !== window.answer) return;
    if (drawn()) answer.milliseconds = performance.now() - answer.from;
    else finish(answer);
  });
  new MutationObserver(() => {
    const answer = window.answer;
    if (app.dataset.testScriptState !== 'notRunning') answer.ran = true;
    else if (answer.ran) finish(answer);
  }).observe(app, {attributes: true, attributeFilter: ['data-test-script-state']});
}"""
"""Keeps in ``window.answer`` how many milliseconds lie between the last click and the moment when all is drawn."""


def find_chromium() -> str | None:
    """Return the path of Chromium as the system's packages install it."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def launch_chromium(playwright: Playwright) -> Browser:
    """Start Chromium.

    Raises:
        FileNotFoundError: If it is not installed.
    """
    path = find_chromium()
    if path is None:
        raise FileNotFoundError("Chromium is not installed: apt-get install chromium")
    return playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def serve(variables: Mapping[str, str], log: Path, project: Path = PROJECT) -> Iterator[str]:
    """Run the dashboard with environment variables, and yield its address.

    Args:
        variables: Added to the environment, such as SEGMENTATION_DATA.
        log: Where the server's output goes.
        project: The folder that holds the project, or a copy of it.

    Raises:
        RuntimeError: If it does not answer within a minute.
    """
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless=true"]
    command += [f"--server.port={port}", "--server.address=127.0.0.1", "--server.fileWatcherType=none"]
    with serving(command, port, variables, log, project) as address:
        yield address


@contextmanager
def serving(command: Sequence[str], port: int, variables: Mapping[str, str], log: Path, folder: Path) -> Iterator[str]:
    """Run a command that serves the dashboard on a port of this machine, as `serve` does."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **variables}, stdout=output, stderr=subprocess.STDOUT
        )
    address = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 60
        while not _answers(address):
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.02)
            if process.returncode is not None or time.monotonic() > until:
                raise RuntimeError(f"the server did not start: {log.read_text(errors='replace')[-2000:]}")
        yield address
    finally:
        process.terminate()
        process.wait(timeout=20)


def _answers(address: str) -> bool:
    try:
        urllib.request.urlopen(f"{address}/_stcore/health", timeout=1)  # noqa: S310 (our own server)
    except OSError:
        return False
    return True


def wait_until_still(page: Page) -> None:
    """Wait until the page's script has run to its end and everything is drawn."""
    page.wait_for_selector("h1")  # before the script begins, nothing moves either
    page.wait_for_selector(READY)
    page.wait_for_function("() => !document.querySelector('[data-testid=stSkeleton]')")
    page.wait_for_function("() => [...document.images].every(image => image.complete)")
    page.wait_for_selector(READY)


def choose(page: Page, label: str, option: str) -> None:
    """Choose an option of a select box as a person does: type it, and press Enter."""
    box = page.get_by_role("combobox", name=label, exact=True)
    box.click()
    box.fill(option)
    page.keyboard.press("Enter")


def watch_clicks(page: Page) -> None:
    """Begin to measure how long the page takes to answer clicks and keys."""
    page.evaluate(WATCH)


def wait_for_answer(page: Page) -> float:
    """Wait until the page has run for the last click or key and all is drawn; return how many seconds that took."""
    page.wait_for_function("() => window.answer.milliseconds")
    return page.evaluate("() => window.answer.milliseconds") / 1000
