"""Objects in the gallery: found on request, counted, listed from the largest miss down, and written as files."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
from PIL import Image
from pyproj import Geod
from rasterio.transform import from_origin
from streamlit.testing.v1 import AppTest

import segmentation
from segmentation.data.locate import CACHE_VARIABLE
from segmentation.data.scenes import Dataset, find_dataset
from segmentation.evaluation.objects import find_objects, object_table
from segmentation.evaluation.outlines import to_geojson
from segmentation.ui.loaders import objects as loader

Open = Callable[..., AppTest]

SIZE = 64

BOXES = ((4, 4, 14, 14), (4, 30, 16, 50), (40, 4, 48, 12))
"""Buildings of every scene: the second is missed in all but one scene, the first found, the third merged with it."""


def mask(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    classes = np.zeros((SIZE, SIZE), np.uint8)
    for top, left, bottom, right in boxes:
        classes[top:bottom, left:right] = 1
    return classes


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Six scenes of half a metre to a pixel, and a seventh that does not say where it lies."""
    root = tmp_path_factory.mktemp("city")
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    shade = np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE), dtype=np.uint8)
    how = {"driver": "GTiff", "count": 3, "height": SIZE, "width": SIZE, "dtype": "uint8", "crs": "EPSG:32640"}
    for number in range(7):
        place = {} if number == 6 else {"transform": from_origin(330_000 + 100 * number, 2_780_000, 0.5, 0.5)}
        with rasterio.open(root / "images" / f"{number}.tif", "w", **how, **place) as file:
            file.write(shade)
        Image.fromarray(mask(*BOXES)).save(root / "masks" / f"{number}.png")
    (root / "classes.json").write_text(json.dumps([{"name": "Ground", "value": 0}, {"name": "Building", "value": 1}]))
    return find_dataset(root)


@pytest.fixture
def open_page(open_on: Open, city: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """A function that opens the view on a run that misses a building in six scenes and invents one in the other."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    loader._kept.cache_clear()
    loader._found.clear()
    recording = segmentation.Run.create("theirs", city, runs=tmp_path / "runs", patch_size=32)
    for number, scene in enumerate(city.scenes):
        seen = mask(BOXES[0], (50, 50, 60, 60), BOXES[1]) if number == 2 else mask(BOXES[0], BOXES[2])
        recording.record(scene, seen)
    recording.finish()
    return partial(open_on, city, tmp_path / "runs", "gallery", run="theirs", view="Objects")


def texts(at: AppTest) -> str:
    return "\n".join(element.value for element in [*at.caption, *at.markdown, *at.info]).replace("\\", "")


def test_objects_are_found_once_counted_and_listed(open_page: Open, city: Dataset) -> None:
    name = city.palette.names[1]
    at = open_page(**{"objects-of": name})
    assert "for 7 of the 7" in texts(at)
    at.button(key="find-objects").click().run()
    assert (list(at.exception), list(at.error)) == ([], [])
    assert f"**21 true** objects of {name}: 14 found, 0 merged, 0 split, 7 missed" in texts(at)
    assert "**15 predicted**: 14 found, 1 invented" in texts(at)
    scores = {metric.label: metric.value for metric in at.metric}
    assert (scores["Object recall"], scores["Object precision"]) == (f"{14 / 21:.3f}", f"{14 / 15:.3f}")
    table = at.dataframe(key="objects-table").value
    assert table["pixels"].tolist() == [240] * 6 + [64]

    loader._found.clear()  # as a server that has just started
    at = open_page(**{"objects-of": name, "outcome": "Invented"})
    assert at.dataframe(key="objects-table").value[["left", "top"]].to_numpy().tolist() == [[50, 50]]

    at = open_page(**{"objects-of": name, "least-size": "100"})
    assert f"**14 true** objects of {name}: 8 found" in texts(at)


def test_a_part_without_patches_says_so(open_page: Open) -> None:
    at = open_page(part="Validation")
    assert "is in this part: choose another" in texts(at)


def test_outlines_are_in_degrees_where_a_scene_says_where_it_lies(city: Dataset) -> None:
    diagonal = mask((4, 4, 10, 10), (10, 10, 20, 30))
    diagonal[12:16, 14:18] = 0
    found = {scene.name: find_objects(diagonal, mask(), 2) for scene in (city.scenes[0], city.scenes[6])}
    table = object_table(found, 1, "test")
    content = json.loads(to_geojson(table, city, 1, lambda scene: (diagonal, mask())))
    by_scene = {feature["properties"]["scene"]: feature for feature in content["features"]}
    geod = Geod(ellps="WGS84")
    placed, plain = (by_scene[scene.name] for scene in (city.scenes[0], city.scenes[6]))
    rings = [ring for polygon in placed["geometry"]["coordinates"] for ring in polygon]
    assert len(rings) == 3  # two squares that touch at a corner, one of them with a hole
    area = sum(geod.polygon_area_perimeter(*np.transpose(ring))[0] for ring in rings)
    assert area == pytest.approx((36 + 200 - 16) / 4, rel=0.002)  # holes run the other way round
    assert placed["properties"] | {"outcome": "missed", "class": city.palette.names[1]} == placed["properties"]
    assert plain["properties"]["coordinates"] == "pixels"
    assert [4, 4] in plain["geometry"]["coordinates"][0][0]


def test_parts_of_pixels_are_those_of_their_patches() -> None:
    patches = pd.DataFrame({"row": [0, 0], "column": [0, 1], "part": ["test", "train"]})
    parts = loader.parts_of_pixels(patches, (50, 80), 32)
    assert [parts[0, 0], parts[0, 32], parts[40, 0], parts[0, 70]] == [1, 3, 0, 0]
    assert (loader.parts_of_pixels(patches.iloc[:1], (50, 80), 32) == 1).all()
