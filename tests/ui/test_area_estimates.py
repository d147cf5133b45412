"""Areas to publish in the explorer: points drawn on a map, and what they say once they are labelled."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
from rasterio import Affine
from streamlit.testing.v1 import AppTest

from segmentation.areas.class_map import ClassMap, ClassNames
from segmentation.areas.estimates import estimate
from segmentation.areas.points import locate, read_points
from segmentation.data.palette import DUBAI
from segmentation.ui.charts.areas import area_bars
from segmentation.ui.loaders.areas import Plan, load_points

HEIGHT, WIDTH = 70, 100

Open = Callable[..., AppTest]


@pytest.fixture
def ortho(trained: object) -> Path:
    """An orthophoto beside the data set, two metres a pixel."""
    path = trained.dataset.root / "orthophotos" / "areas.tif"
    path.parent.mkdir(exist_ok=True)
    layout = {"height": HEIGHT, "width": WIDTH, "count": 3, "dtype": "uint8", "crs": "EPSG:32640"}
    ramp = np.linspace(10, 240, WIDTH)[None, None].repeat(HEIGHT, 1).repeat(3, 0)
    with rasterio.open(path, "w", driver="GTiff", transform=Affine(2, 0, 3e5, 0, -2, 2.7e6), **layout) as file:
        file.write(ramp.astype(np.uint8))
    return path


@pytest.fixture
def at(open_page: Open, ortho: Path) -> AppTest:
    """The page with a map of it."""
    at = open_page("explorer", source="Orthophoto", orthophoto=str(ortho), overlap="0", publish="true")
    if "predict-orthophoto" in {button.key for button in at.button}:
        at.button(key="predict-orthophoto").click().run()
    assert not at.exception
    return at


def upload(at: AppTest, name: str, content: str) -> AppTest:
    at.file_uploader(key="labelled-points").upload(name, content.encode(), "application/json").run()
    assert not at.exception
    return at


def test_points_are_drawn_labelled_and_give_areas(at: AppTest, trained: object) -> None:
    at.number_input(key="points").set_value(60).run()
    assert "download-points" not in {button.key for button in at.get("download_button")}
    at.button(key="draw-points").click().run()
    assert not at.exception
    assert "60 points (GeoJSON)" in {button.label for button in at.get("download_button")}

    (path,) = trained.run.folder.parent.rglob("areas-classes.tif")
    plan = Plan(60, "proportional", (0.85,) * 6, False, 0)
    content = json.loads(load_points(path, DUBAI, plan, lambda done, count: None))
    for number, feature in enumerate(content["features"]):
        feature["properties"]["label"] = DUBAI.names[0 if number % 3 else 4]
    text = json.dumps(content)
    at = upload(at, "points.geojson", text)

    points = read_points(text.encode(), "points.geojson")
    with ClassMap(path, ClassNames(DUBAI.names, DUBAI)) as opened:
        coverage = opened.coverage()
        mapped = opened.classes_at(*locate(opened, points.x, points.y, points.system))
    counts = np.zeros((6, 6), int)
    np.add.at(counts, (mapped, [DUBAI.names.index(label) for label in points.labels]), 1)
    expected = estimate(counts, coverage.areas)
    shown = next(table.value for table in at.dataframe if "estimated" in table.value).set_index("class")
    total = coverage.areas.sum()  # m²: the map covers less than ten hectares
    for name in ("Building", "Water"):
        index = DUBAI.names.index(name)
        assert shown.loc[name, "estimated"] == pytest.approx(expected.shares.value[index] * total)
        assert shown.loc[name, "margin"] == pytest.approx(expected.shares.margin[index] * total)
    assert any("60 labelled points" in element.value for element in at.markdown)
    assert any("random sample of this map" in element.value for element in at.caption)
    offered = {button.label for button in at.get("download_button")}
    assert {"Estimates (CSV)", "Estimates (JSON)"} <= offered


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("mine.csv", "x,y,label\n1,2,Water\n", "All points of mine.csv lie outside"),
        ("mine.csv", "x,y,label\n300001,2699999,Tree\n", "1 point labelled Tree"),
        ("mine.geojson", "{", "mine.geojson cannot be read as GeoJSON of points"),
    ],
)
def test_points_that_do_not_fit_are_one_sentence(at: AppTest, name: str, content: str, said: str) -> None:
    at = upload(at, name, content)
    (error,) = at.error
    assert said in error.value.replace("\\", "")
    assert not any("estimated" in table.value for table in at.dataframe)


def test_more_points_than_pixels_are_refused(at: AppTest) -> None:
    at.number_input(key="points").set_value(HEIGHT * WIDTH + 1)
    at.button(key="draw-points").click().run()
    assert not at.exception
    assert "Expected at most 7,000 points" in at.error[0].value


def test_the_bars_show_intervals_and_the_maps_own_areas() -> None:
    table = pd.DataFrame(
        {
            "class": ["Road", "Land"],
            "mapped": [3.0, 7.0],
            "estimated": [4.0, 6.0],
            "low": [3.5, 5.0],
            "high": [4.5, 7.0],
        }
    )
    bars, marks = area_bars(table, DUBAI, "ha").data
    assert (list(bars.x), list(bars.error_x.array), list(bars.error_x.arrayminus)) == ([4, 6], [0.5, 1], [0.5, 1])
    assert list(bars.marker.color) == [DUBAI.hex(2), DUBAI.hex(1)]
    assert list(marks.x) == [3, 7]
