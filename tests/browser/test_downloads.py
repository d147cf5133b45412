"""Every file that a page offers is downloaded by a click and opened, in a real Chromium."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from segmentation.data.scenes import Dataset
from segmentation.runs.run import SHIPPED

pytestmark = pytest.mark.browser

SCENE = "tile-1/image_part_005"

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def address(serve: Callable[..., str], demo: Dataset, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A dashboard of the demo city in which one patch was reviewed."""
    runs = tmp_path_factory.mktemp("runs")
    (runs / "reviews").mkdir()
    patch = pd.read_csv(SHIPPED / "demo-unet" / "patches.csv")["patch"].iloc[0]
    shutil.copytree(SHIPPED / "demo-unet", runs / "another")
    (runs / "reviews" / f"{demo.fingerprint()[:16]}.csv").write_text(
        f"patch,verdict,note,run,reviewed\n{patch},hard,,demo-unet,2026-11-27T00:00:00Z\n"
    )
    return serve(SEGMENTATION_DATA=str(demo.root), SEGMENTATION_RUNS=str(runs))


def saved(page: Page, button: str) -> tuple[str, bytes]:
    """Click a button; return the name and the content of what it downloads."""
    with page.expect_download() as download:
        page.get_by_role("button", name=button, exact=True).click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def rows(content: bytes) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(content))


@pytest.mark.parametrize(
    ("link", "button", "name", "column", "count"),
    [
        ("Dataset_browser?view=Class+shares", "Download the table", "tiles.csv", "tile", 2),
        ("Dataset_browser?view=Health", "Download the report", "health.csv", "kind", None),
        ("Worst-case_gallery?least-wrong=0", "Download the ranking", "demo-unet-ranking.csv", "rank", 44),
        ("Worst-case_gallery?rank=Scenes", "Download the table", "demo-unet-scenes.csv", "scene", None),
        ("Worst-case_gallery?rank=Tiles", "Download the table", "demo-unet-tiles.csv", "tile", 2),
        ("Worst-case_gallery?view=Suspect+labels", "Download the reviews", "Demo city-reviews.csv", "patch", 1),
    ],
)
def test_a_table_is_downloaded(
    address: str, open_page: Open, link: str, button: str, name: str, column: str, count: int | None
) -> None:
    page = open_page(f"{address}/{link}&run=demo-unet")
    given, content = saved(page, button)
    table = rows(content)
    assert given == name
    assert column in table
    assert len(table) > 0 if count is None else len(table) == count


def test_what_the_monitor_shows_is_downloaded(address: str, open_page: Open) -> None:
    page = open_page(f"{address}/Training_monitor?run=demo-unet&with=another")
    given, content = saved(page, "Download the hyper-parameters")
    assert given == "hyper-parameters.csv"
    assert "epochs" in content.decode()
    page.get_by_text("demo-unet: epochs and network").click()
    expect(page.get_by_role("button", name="Download the epochs")).to_be_visible()
    given, content = saved(page, "Download the epochs")
    assert given == "demo-unet-epochs.csv"
    assert len(rows(content)) == len(pd.read_csv(SHIPPED / "demo-unet" / "history.csv"))


def test_what_the_explorer_shows_is_downloaded(address: str, open_page: Open, demo: Dataset) -> None:
    page = open_page(f"{address}/Prediction_explorer?run=demo-unet&scene={SCENE}")
    expect(page.get_by_role("button", name="Index mask")).to_be_visible()
    with Image.open(demo.scene(SCENE).image) as file:
        width, height = file.size
    classes = np.asarray(Image.open(io.BytesIO(saved(page, "Index mask")[1])))
    assert classes.shape == (height, width)
    archive = np.load(io.BytesIO(saved(page, "Probabilities")[1]))
    assert archive["probabilities"].shape == (height, width, 6)
    assert (archive["probabilities"].argmax(-1) == classes).mean() > 0.999
    table = rows(saved(page, "Scores")[1])
    assert table["class"].tolist() == list(demo.palette.names)
    assert table["pixels predicted"].tolist() == np.bincount(classes.ravel(), minlength=6).tolist()
    assert Image.open(io.BytesIO(saved(page, "All in one picture")[1])).width > 600
