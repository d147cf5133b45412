"""What takes a while in the explorer is done when asked for, and can be cancelled, in a real Chromium."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
from PIL import Image
from playwright.sync_api import Page, expect

from segmentation.data.palette import DUBAI
from segmentation.data.raster import LARGE
from segmentation.data.scenes import Dataset

pytestmark = pytest.mark.browser

SIDE = 700
PLACE = rasterio.Affine(0.5, 0, 325_000, 0, -0.5, 2_785_000)

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, demo: Dataset) -> Path:
    """Two copies of an orthophoto, and a labelled scene that is too large to be predicted unasked."""
    folder = tmp_path_factory.mktemp("work")
    image, mask = (np.asarray(Image.open(file).convert("RGB")) for file in (demo.scenes[0].image, demo.scenes[0].mask))
    with rasterio.open(
        folder / "one.tif",
        "w",
        driver="GTiff",
        height=SIDE,
        width=SIDE,
        count=3,
        dtype="uint8",
        crs="EPSG:32640",
        transform=PLACE,
    ) as file:
        file.write(np.tile(image, (3, 3, 1))[:SIDE, :SIDE].transpose(2, 0, 1))
    shutil.copy(folder / "one.tif", folder / "two.tif")
    repeats = (LARGE // image[..., 0].size + 1) // 3 + 1
    for kind, ending, pixels in (("images", "jpg", image), ("masks", "png", mask)):
        (folder / "Large" / kind).mkdir(parents=True)
        Image.fromarray(np.tile(pixels, (3, repeats, 1))).save(folder / "Large" / kind / f"city.{ending}")
    return folder


@pytest.fixture(scope="module")
def address(serve: Callable[..., str], folder: Path) -> str:
    return serve(
        SEGMENTATION_DATA=str(folder / "Large"),
        SEGMENTATION_RUNS=str(folder / "runs"),
        SEGMENTATION_ALLOWED=str(folder),
    )


def predicted(page: Page, folder: Path, name: str) -> Path:
    """Predict an orthophoto in the page, and return its map."""
    page.get_by_role("button", name="Predict it").click()
    expect(page.get_by_role("button", name="Make polygons")).to_be_visible()
    return next((folder / "runs" / "maps").rglob(f"{name}-classes.tif"))


def test_polygons_are_made_when_asked_for_and_downloaded(
    address: str, folder: Path, open_page: Open, settle: Callable[[Page], None], tmp_path: Path
) -> None:
    page = open_page(f"{address}/Prediction_explorer?source=Orthophoto&run=demo-unet&orthophoto={folder}/one.tif")
    made = predicted(page, folder, "one")
    settle(page)
    assert not list(made.parent.glob("*.geojson"))
    page.get_by_role("button", name="Make polygons").click()
    button = page.get_by_role("button", name="Polygons", exact=True)
    expect(button).to_be_visible()
    expect(page.get_by_role("button", name="Make polygons")).to_have_count(0)
    settle(page)
    with page.expect_download() as download:
        button.click()
    download.value.save_as(tmp_path / "polygons.geojson")
    polygons = json.loads((tmp_path / "polygons.geojson").read_text())
    with rasterio.open(made) as file:
        classes = file.read(1)
    for label, name in (
        ("Classes", "one-classes.tif"),
        ("Confidence", "one-confidence.tif"),
        ("Areas", "one-areas.csv"),
    ):
        with page.expect_download() as download:
            page.get_by_role("button", name=label, exact=True).click()
        assert download.value.suggested_filename == name
        download.value.save_as(tmp_path / name)
    with rasterio.open(tmp_path / "one-classes.tif") as file:
        assert np.array_equal(file.read(1), classes)
        assert file.transform == PLACE
    with rasterio.open(tmp_path / "one-confidence.tif") as file:
        assert 0 < file.read(1).max() <= 100
    areas = pd.read_csv(tmp_path / "one-areas.csv").iloc[0]
    assert areas[[f"pixels_{name}" for name in DUBAI.names]].sum() == classes.size
    assert {feature["properties"]["class"] for feature in polygons["features"]} == {
        DUBAI.names[index] for index in np.unique(classes)
    }


def test_points_are_drawn_downloaded_and_come_back_labelled(
    address: str, folder: Path, open_page: Open, settle: Callable[[Page], None], tmp_path: Path
) -> None:
    link = f"{address}/Prediction_explorer?source=Orthophoto&run=demo-unet&orthophoto={folder}/one.tif"
    page = open_page(f"{link}&publish=true&points=200&allocation=Equal")
    predict, draw = (page.get_by_role("button", name=name) for name in ("Predict it", "Draw points"))
    expect(predict.or_(draw)).to_be_visible()
    if predict.is_visible():
        predict.click()
    expect(draw).to_be_visible()
    settle(page)
    draw.click()
    button = page.get_by_role("button", name="200 points (GeoJSON)")
    expect(button).to_be_visible()
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    settle(page)
    with page.expect_download() as download:
        button.click()
    assert download.value.suggested_filename == "one-points.geojson"
    points = json.loads(Path(download.value.path()).read_text())
    assert len(points["features"]) == 200
    for number, feature in enumerate(points["features"]):
        feature["properties"]["label"] = ("Land", "Road")[number % 2]
    (tmp_path / "labelled.geojson").write_text(json.dumps(points))
    page.locator(".st-key-labelled-points input[type=file]").set_input_files(tmp_path / "labelled.geojson")
    expect(page.get_by_text("200 labelled points")).to_be_visible()
    expect(page.locator(".st-key-area-bars")).to_contain_text("Estimated, with 95 % interval")
    with page.expect_download() as download:
        page.get_by_role("button", name="Estimates (CSV)").click()
    table = pd.read_csv(download.value.path()).set_index("class")
    assert table["points_labelled"].to_dict() == {name: 100 * (name in ("Land", "Road")) for name in DUBAI.names}
    assert table["square_metres"].sum() == pytest.approx(SIDE**2 / 4, rel=2e-3)


def test_polygons_that_are_cancelled_leave_nothing(
    address: str, folder: Path, open_page: Open, settle: Callable[[Page], None]
) -> None:
    page = open_page(f"{address}/Prediction_explorer?source=Orthophoto&run=demo-unet&orthophoto={folder}/two.tif")
    made = predicted(page, folder, "two")
    settle(page)
    side = 1_000  # most of a million polygons: the click comes long before they are written
    noise = np.random.default_rng(3).integers(0, 6, (side, side), np.uint8)
    with rasterio.open(made) as file:
        layout = {**file.profile, "height": side, "width": side}
    made.unlink()
    with rasterio.open(made, "w", **layout) as file:
        file.write(noise, 1)
    page.get_by_role("button", name="Make polygons").click()
    expect(page.get_by_text("Making polygons …")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    settle(page)
    expect(page.get_by_role("button", name="Make polygons")).to_be_visible()
    expect(page.get_by_role("button", name="Polygons", exact=True)).to_have_count(0)
    assert [path.name for path in made.parent.iterdir() if "geojson" in path.name or "writing" in path.name] == []


def test_a_large_scene_is_predicted_when_asked_for_and_may_be_cancelled(
    address: str, open_page: Open, settle: Callable[[Page], None], metric: Callable[[Page, str], str]
) -> None:
    page = open_page(f"{address}/Prediction_explorer?run=demo-unet")
    expect(page.get_by_text(re.compile(r"This picture has \d\d megapixels"))).to_be_visible()
    expect(page.locator("[data-testid=stMetric]")).to_have_count(0)
    page.get_by_role("button", name="Run prediction").click()
    expect(page.get_by_role("progressbar")).to_be_visible()
    page.get_by_role("button", name="Show it without prediction").click()
    expect(page.get_by_role("button", name="Run prediction")).to_be_visible()
    settle(page)
    expect(page.locator("[data-testid=stMetric]")).to_have_count(0)
    page.get_by_role("button", name="Run prediction").click()
    expect(page.locator("[data-testid=stMetric]").first).to_be_visible(timeout=240_000)  # of tens of megapixels
    settle(page)
    assert 0 < float(metric(page, "Accuracy").rstrip("%")) <= 100
    expect(page.get_by_role("button", name="Show it without prediction")).to_be_visible()
