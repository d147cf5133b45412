"""A shipped run, scored by the command line on a city of other colours, and looked at in the gallery."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from segmentation.data.scenes import Dataset
from tests.in_process import run_in_process
from tests.recoloring import COLORS, NAMES, classes_of, recolor

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (900, "dark")])
def test_the_gallery_of_a_run_scored_elsewhere_compares_by_the_runs_classes(
    serve: Callable[..., str],
    open_page: Callable[..., Page],
    metric: Callable[[Page, str], str],
    demo: Dataset,
    tmp_path: Path,
    screenshots: Path,
    width: int,
    scheme: str,
) -> None:
    city, runs = recolor(demo, tmp_path / "Far city", "Green spaces", values=width == 900, every=9), tmp_path / "runs"
    command = ["evaluate", "--run", "dubai-best", "--data", city.root, "--runs", runs, "--protocol", "all"]
    done = run_in_process(*command, "--save-as", "far", "--map", "Green spaces=Vegetation")
    assert done.returncode == 0, done.stderr[-2000:]

    address = serve(SEGMENTATION_DATA=str(city.root), SEGMENTATION_RUNS=str(runs), SEGMENTATION_ALLOWED=str(tmp_path))
    page = open_page(f"{address}/Worst-case_gallery", width, scheme)
    page.screenshot(path=screenshots / f"elsewhere-{width}-{scheme}.png")
    expect(page.get_by_text("model of dubai-best · on Far city · Green spaces counts as Vegetation")).to_be_visible()
    assert page.locator(".legend span").all_inner_texts() == [*NAMES, "No class"]
    with (runs / "far" / "patches.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    counts = np.array([[[int(row[f"{true} as {seen}"]) for seen in NAMES] for true in NAMES] for row in rows]).sum(0)
    assert metric(page, "Accuracy") == f"{np.trace(counts) / counts.sum():.3f}"

    picture = page.locator("[data-testid=stMain] [class*=st-key-pixels] img").first
    scene, place = picture.get_attribute("alt").split()[1].removesuffix(":").rsplit("/", 1)
    shown = Image.open(io.BytesIO(page.request.get(picture.evaluate("image => image.src")).body())).convert("RGB")
    top, left = 160 * int(place[1:3]), 160 * int(place[4:6])
    truth = np.array([*COLORS, (0, 0, 0)], np.uint8)[classes_of(demo.scene(scene).mask)]
    gap = (shown.width - 3 * 160) // 2
    drawn = np.asarray(shown)[:, 160 + gap : 320 + gap]
    assert np.array_equal(drawn, truth[top : top + 160, left : left + 160])
