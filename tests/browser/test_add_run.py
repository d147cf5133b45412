"""A run is added on the home page, in a real Chromium: seen, corrected, cancelled, added, and compared with another."""

import io
import os
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import helper
from PIL import Image
from playwright.sync_api import Page, expect

from segmentation.data.scenes import Dataset
from segmentation.runs.run import SHIPPED, Run
from tests.brightness import LIMITS, THREE, brightness, write_convolution, write_onnx, write_set
from tests.browser.driver import choose, wait_until_still
from tests.conftest import COLORS

pytestmark = pytest.mark.browser

Open = Callable[..., Page]

PICTURES = re.compile("^Prediction of ")


@pytest.fixture
def address(serve: Callable[..., str], sets: dict[str, Dataset], models: Path, tmp_path: Path) -> str:
    """A dashboard on the set of three classes, which may read the models."""
    return serve(
        SEGMENTATION_DATA=str(sets[THREE].root),
        SEGMENTATION_RUNS=str(tmp_path / "runs"),
        SEGMENTATION_ALLOWED=os.pathsep.join(map(str, (models, tmp_path))),
    )


def open_view(page: Page) -> None:
    """Turn to the view by the keyboard alone."""
    page.get_by_role("link", name="Add a run").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Add a run")).to_be_visible()
    wait_until_still(page)


def name_run(page: Page, name: str, path: Path | str = "") -> None:
    """Type a name and a path."""
    for label, text in (("Name of the run", name), ("Path on this machine", str(path))):
        page.get_by_role("textbox", name=label).fill(text)
        page.keyboard.press("Enter")
        wait_until_still(page)


def pixels(page: Page, alternative: str) -> np.ndarray:
    """(height, width, 3): what the page shows under an alternative text."""
    source = page.get_by_alt_text(alternative, exact=True).get_attribute("src")
    content = page.request.get(f"{page.url.split('?')[0].rstrip('/')}{source}" if source[0] == "/" else source).body()
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def shown(page: Page) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Image, ground truth and prediction that the page shows, by the patch's name."""
    names = [
        picture.get_attribute("alt").removeprefix("Prediction of ") for picture in page.get_by_alt_text(PICTURES).all()
    ]
    kinds = ("Image", "Ground truth", "Prediction")
    return {name: tuple(pixels(page, f"{kind} of {name}") for kind in kinds) for name in names}


def add(page: Page, name: str) -> None:
    """Add the run, and wait until home shows it."""
    page.get_by_role("button", name="Add this run").click()
    expect(page.get_by_role("link", name="Its worst patches")).to_be_visible(timeout=240_000)  # of thousands of patches
    expect(page.get_by_role("combobox", name="Run", exact=True)).to_have_value(name)
    wait_until_still(page)


def test_a_model_is_tried_corrected_added_and_compared(
    address: str, open_page: Open, sets: dict[str, Dataset], models: Path, tmp_path: Path, screenshots: Path
) -> None:
    colors = np.array(sets[THREE].palette.colors)
    page = open_page(address)
    open_view(page)
    name_run(page, "wrong", models / "smp.onnx")
    expect(page.get_by_text("Input: 0–1 with ImageNet's mean and deviation, RGB: accuracy 1.00")).to_be_visible()
    expect(page.get_by_alt_text(PICTURES)).to_have_count(5)
    found = shown(page)
    for image, truth, predicted in found.values():
        grey, limits = brightness(image), LIMITS[THREE]
        sure = np.min([abs(grey - limit) for limit in limits], axis=0) > 1
        assert image.shape == (160, 160, 3)
        assert np.array_equal(predicted[sure], colors[np.digitize(grey, limits)][sure])
        assert np.array_equal(truth, colors[np.digitize(grey, limits)])
    page.screenshot(path=screenshots / "add-run-1440-light.png")

    choose(page, "Scale", "0–255")
    expect(page.get_by_text("Input: 0–255, RGB: accuracy")).to_be_visible()
    wait_until_still(page)
    changed = shown(page)
    assert changed.keys() == found.keys()
    for name, (image, truth, predicted) in changed.items():
        assert np.array_equal(image, found[name][0])
        assert np.array_equal(truth, found[name][1])
        assert (predicted != found[name][2]).any(-1).mean() > 0.3
    add(page, "wrong")
    open_view(page)
    name_run(page, "right", models / "smp.onnx")
    add(page, "right")
    runs = {name: Run(tmp_path / "runs" / name) for name in ("wrong", "right")}
    assert runs["wrong"].metrics.accuracy < 0.5 < 0.98 < runs["right"].metrics.accuracy

    page.get_by_role("link", name="Its worst patches").click()
    expect(page.get_by_role("heading", name="Worst-case gallery")).to_be_visible()
    wait_until_still(page)
    choose(page, "Run", "wrong")
    worst = runs["wrong"].patches.sort_values("mean_iou", kind="stable").iloc[0]
    main = page.locator("[data-testid=stMain]")
    expect(main).to_contain_text("prediction of wrong")
    expect(main.get_by_alt_text(re.compile("prediction")).first).to_have_attribute("alt", re.compile(worst["patch"]))
    expect(main).to_contain_text(f"{worst['mean_iou']:.3f}")

    page.get_by_role("radio", name="Two runs").or_(page.get_by_role("button", name="Two runs")).click()
    choose(page, "Other run", "right")
    gain = runs["right"].patches["mean_iou"] - runs["wrong"].patches["mean_iou"]
    expect(page.get_by_test_id("stMetric").filter(has_text="right is better on")).to_contain_text(f"{(gain > 0).sum()}")
    expect(page.get_by_test_id("stMetric").filter(has_text="Mean gain")).to_contain_text(f"{gain.mean():+.3f}")
    expect(page.get_by_test_id("stException")).to_have_count(0)


def test_a_model_of_the_real_set_is_added_and_compared_with_the_best_that_is_shipped(
    serve: Callable[..., str], open_page: Open, real_dataset: Dataset, tmp_path: Path
) -> None:
    weights = np.random.default_rng(1).normal(size=(6, 3)).astype(np.float32)
    node = helper.make_node("Conv", ["x", "kernel"], ["y"])
    model = write_onnx(tmp_path / "six.onnx", [node], {"kernel": weights[..., None, None]})
    address = serve(
        SEGMENTATION_DATA=str(real_dataset.root),
        SEGMENTATION_RUNS=str(tmp_path / "runs"),
        SEGMENTATION_ALLOWED=str(tmp_path),
    )
    page = open_page(f"{address}/?view=add-run")
    name_run(page, "six", model)
    choose(page, "Protocol", "patch")
    choose(page, "Scale", "0–255")
    choose(page, "Channel order", "RGB")
    expect(page.get_by_text("Input: 0–255, RGB")).to_be_visible()
    expect(page.get_by_alt_text(PICTURES)).to_have_count(5)
    wait_until_still(page)
    for image, _, predicted in shown(page).values():
        logits = image.astype(np.float32) @ weights.T
        second, first = np.sort(logits, axis=-1)[..., -2:].transpose(2, 0, 1)
        sure = first - second > 1e-2
        assert sure.mean() > 0.9
        assert np.array_equal(predicted[sure], np.array(COLORS)[logits.argmax(-1)][sure])
    add(page, "six")

    six, best = Run(tmp_path / "runs" / "six").patches, Run(SHIPPED / "dubai-best").patches
    page.get_by_role("link", name="Its worst patches").click()
    expect(page.get_by_role("heading", name="Worst-case gallery")).to_be_visible()
    main = page.locator("[data-testid=stMain]")
    expect(main).to_contain_text("prediction of six")
    scored = six[six["part"] == "test"].set_index("patch")["mean_iou"]
    assert len(scored) == 349
    expect(main).to_contain_text(f"{scored.min():.3f}")
    page.get_by_role("radio", name="Two runs").or_(page.get_by_role("button", name="Two runs")).click()
    choose(page, "Other run", "dubai-best")
    gain = best[best["part"] == "test"].set_index("patch")["mean_iou"] - scored
    better = page.get_by_test_id("stMetric").filter(has_text="dubai-best is better on")
    expect(better).to_contain_text(f"{(gain > 0).sum()}")
    expect(main.get_by_text(re.compile("dubai-best is better by .* of accuracy .*: real"))).to_be_visible()
    expect(page.get_by_test_id("stException")).to_have_count(0)


def test_what_is_cancelled_leaves_nothing_and_may_be_added_again(
    serve: Callable[..., str], open_page: Open, tmp_path: Path
) -> None:
    root = write_set(tmp_path / "Many", THREE, scenes=1).root
    for number in range(1, 400):
        for kind in ("images", "masks"):
            shutil.copy(root / kind / "0.png", root / kind / f"{number}.png")
    runs = tmp_path / "runs"
    address = serve(SEGMENTATION_DATA=str(root), SEGMENTATION_RUNS=str(runs), SEGMENTATION_ALLOWED=str(tmp_path))
    page = open_page(f"{address}/?view=add-run")
    name_run(page, "mine", write_convolution(tmp_path / "model.onnx"))
    for path in (tmp_path / "model.onnx", root / "masks"):
        name_run(page, "mine", path)
        expect(page.get_by_alt_text(PICTURES)).to_have_count(5)
        page.get_by_role("button", name="Add this run").click()
        expect(page.get_by_text(re.compile(r"Adding the run, step … \d+ of 400"))).to_be_visible()
        assert len(list(runs.glob(".writing-*"))) == 1
        page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
        wait_until_still(page)
        assert [path.name for path in runs.iterdir()] == ["log"]
        expect(page.get_by_role("button", name="Add this run")).to_be_enabled()


def test_a_zip_of_predictions_is_looked_at_and_added(
    address: str, open_page: Open, sets: dict[str, Dataset], tmp_path: Path, screenshots: Path
) -> None:
    page = open_page(f"{address}/?view=add-run", 900, "dark")
    hostile, good = tmp_path / "hostile.zip", tmp_path / "good.zip"
    for path in (hostile, good):
        with zipfile.ZipFile(path, "w") as archive:
            for scene in sets[THREE].scenes:
                turned = Image.fromarray(2 - np.asarray(Image.open(scene.mask)))
                content = io.BytesIO()
                turned.save(content, "PNG")
                archive.writestr(f"{'../' if path is hostile else ''}{scene.mask.name}", content.getvalue())
    uploader = page.get_by_test_id("stFileUploaderDropzoneInput")
    uploader.set_input_files(hostile)
    expect(page.get_by_text("hostile.zip cannot be unpacked: ../0.png would lie outside its folder.")).to_be_visible()
    wait_until_still(page)
    uploader.set_input_files(good)
    expect(page.get_by_text("3 of 3 scenes have a prediction")).to_be_visible()
    name_run(page, "turned")
    colors = [tuple(color) for color in sets[THREE].palette.colors]
    for image, truth, predicted in shown(page).values():
        assert image.shape == truth.shape == predicted.shape
        places = [np.all(truth == color, -1) for color in colors]
        assert [np.unique(predicted[place], axis=0).tolist() for place in places] == [[list(c)] for c in colors[::-1]]
    page.screenshot(path=screenshots / "add-run-900-dark.png")
    add(page, "turned")
    assert Run(tmp_path / "runs" / "turned").predictions is not None
