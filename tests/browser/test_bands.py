"""A run of four bands on every page, in a real Chromium: its scenes are shown as people see them, and predicted."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import rasterio
from playwright.sync_api import Page, expect
from rasterio.transform import from_origin

from segmentation.configuration import Configuration
from segmentation.data.scenes import Dataset
from segmentation.runs.run import Run

pytestmark = pytest.mark.browser

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def run(four_bands: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of four bands, trained for an epoch."""
    from segmentation.training.fit import train

    configuration = Configuration(patch_size=96, protocol="scene", epochs=1, batch_size=8)
    return train(four_bands, configuration, tmp_path_factory.mktemp("runs") / "four", verbose=0)


@pytest.fixture(scope="module")
def address(serve: Callable[..., str], four_bands: Dataset, run: Run) -> str:
    return serve(
        SEGMENTATION_DATA=str(four_bands.root),
        SEGMENTATION_RUNS=str(run.folder.parent),
        SEGMENTATION_ALLOWED=str(four_bands.root.parents[1]),
    )


@pytest.mark.parametrize("width", [1440, 900])
@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("", "Near infrared"),
        ("Dataset_browser?view=One+scene", "near-infrared/area0"),
        ("Prediction_explorer?run=four", "near-infrared/area0, 480 × 480 px"),
        ("Prediction_explorer?run=four&source=Random+patches", "held-out patches, seed 0"),
        ("Worst-case_gallery?run=four", "prediction of four"),
    ],
)
def test_a_run_of_four_bands_opens_and_shows(
    address: str, open_page: Open, screenshots: Path, path: str, shown: str, width: int
) -> None:
    page = open_page(f"{address}/{path}", width, "dark" if width == 900 else "light")
    expect(page.get_by_text(shown).first).to_be_visible()
    expect(page.locator("[data-testid=stException]")).to_have_count(0)
    expect(page.locator("[data-testid=stAlertContentError]")).to_have_count(0)
    page.screenshot(path=screenshots / f"four-bands-{re.sub('[^A-Za-z]+', '-', path) or 'home'}-{width}.png")


def test_a_file_of_three_bands_is_refused_in_one_sentence_and_one_of_four_is_predicted(
    address: str, open_page: Open, four_bands: Dataset, tmp_path: Path
) -> None:
    with rasterio.open(four_bands.scenes[0].image) as file:
        bands = file.read()
    for name, count in (("three.tif", 3), ("four.jp2", 4)):
        how = {"driver": "JP2OpenJPEG", "QUALITY": 100, "REVERSIBLE": "YES"} if count == 4 else {"driver": "GTiff"}
        layout = {"count": count, "height": 480, "width": 480, "dtype": bands.dtype, "crs": "EPSG:32640"}
        place = from_origin(320_000, 2_790_000, 0.5, 0.5)
        with rasterio.open(tmp_path / name, "w", transform=place, **layout, **how) as file:
            file.write(bands[:count])
    page = open_page(f"{address}/Prediction_explorer?run=four&source=Upload")
    upload = page.locator(".st-key-upload-image input[type=file]")
    upload.set_input_files(tmp_path / "three.tif")
    expect(page.get_by_text("three.tif has 3 bands, but band 4 is needed")).to_be_visible()
    upload.set_input_files(tmp_path / "four.jp2")
    expect(page.get_by_text("four.jp2, 480 × 480 px")).to_be_visible()
    expect(page.locator(".viewer[data-state=shown]")).to_be_visible()
    expect(page.get_by_text("band 4 is needed")).to_have_count(0)
