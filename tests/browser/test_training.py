"""A training that is started, killed and resumed from the page, in a real Chromium."""

import csv
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from segmentation.data.scenes import Dataset
from segmentation.runs.run import Run

pytestmark = pytest.mark.browser

EPOCHS = 40


def test_a_training_that_is_killed_shows_as_stopped_and_resumes_to_one_history(
    serve: Callable[..., str], open_page: Callable[..., Page], small_dataset: Dataset, tmp_path: Path
) -> None:
    address = serve(SEGMENTATION_DATA=str(small_dataset.root), SEGMENTATION_RUNS=str(tmp_path))
    page = open_page(f"{address}/Training_monitor")
    page.get_by_text("Train a run").click()
    page.get_by_label("Name", exact=True).fill("mine")
    page.get_by_label("Epochs", exact=True).fill(str(EPOCHS))
    page.get_by_label("Batch size", exact=True).fill("4")
    page.get_by_label("Patch size, px", exact=True).fill("32")
    page.get_by_role("button", name="Start the training").click()
    expect(page.get_by_text("mine is starting")).to_be_visible()
    expect(page.get_by_text("mine is running")).to_have_count(1, timeout=120_000)
    expect(page.get_by_text(re.compile(r"mine: \d+ epochs"))).to_have_count(1, timeout=120_000)

    os.kill(Run(tmp_path / "mine").status.pid, signal.SIGKILL)
    expect(page.get_by_text("mine is stopped")).to_have_count(1, timeout=30_000)
    with (tmp_path / "mine" / "history.csv").open() as file:
        before_the_kill = list(csv.DictReader(file))
    assert 0 < len(before_the_kill) < EPOCHS

    page.get_by_role("button", name="Resume mine").click()
    # Once: what the page had is there for a moment more while it is drawn anew.
    expect(page.get_by_text("mine is finished")).to_have_count(1, timeout=240_000)
    expect(page.get_by_text(f"mine: {EPOCHS} epochs")).to_have_count(1)
    with (tmp_path / "mine" / "history.csv").open() as file:
        history = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in history] == list(range(EPOCHS))
    whole = len(before_the_kill) - 1  # the epoch that ended at the moment of the kill may have been trained again
    assert history[:whole] == before_the_kill[:whole]
    expect(page.locator("[data-testid=stException]")).to_have_count(0)
