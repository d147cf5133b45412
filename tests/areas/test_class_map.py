"""Maps of classes: how they are read, what their classes are called, and what they cover."""

import json
from pathlib import Path

import numpy as np
import pyproj
import pytest
from PIL import Image
from rasterio import Affine

from segmentation.areas import class_map as module
from segmentation.areas.class_map import ClassMap, ClassNames, find_class_names
from segmentation.errors import ConfigurationError, ImageFileError
from tests.areas.conftest import CLASSES, HEIGHT, NAMES, PALETTE, WIDTH, WriteMap


def test_coverage_is_what_the_pixels_cover_on_the_ground(
    classes: np.ndarray, write_map: WriteMap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WINDOW", (16, 32))
    steps = []
    with ClassMap(write_map(classes, nodata=255), CLASSES) as opened:
        found = opened.coverage(lambda *step: steps.append(step))
        assert opened.in_square_metres
    assert found.pixels.tolist() == [(classes == index).sum() for index in range(3)]
    assert found.without_class == 36
    assert found.areas == pytest.approx(4 * found.pixels, rel=1e-3)  # but for the scale of UTM
    assert steps == [(number, 12) for number in range(1, 13)]


def test_areas_are_right_where_the_projection_stretches(write_map: WriteMap) -> None:
    bands = np.repeat(np.array([0, 2], np.uint8), 100)[:, None].repeat(8, axis=1)
    place = Affine(10_000, 0, 0, 0, -40_000, 8_000_000)
    with ClassMap(write_map(bands, crs="EPSG:3857", transform=place), CLASSES) as opened:
        north, _, south = opened.coverage().areas
    way, ellipsoid = pyproj.Transformer.from_crs(3857, 4326, always_xy=True), pyproj.Geod(ellps="WGS84")
    for area, top in ((north, 8e6), (south, 4e6)):
        x, y = [0, 8e4, 8e4, 0], [top, top, top - 4e6, top - 4e6]
        assert area == pytest.approx(abs(ellipsoid.polygon_area_perimeter(*way.transform(x, y))[0]), rel=2e-3)
    assert south > 1.5 * north  # alike in Mercator's projection


def test_a_map_without_a_place_is_counted_in_pixels(classes: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(classes).save(tmp_path / "scene-indices.png")
    with ClassMap(tmp_path / "scene-indices.png", CLASSES) as opened:
        found = opened.coverage()
        assert not opened.in_square_metres
    assert found.areas.tolist() == found.pixels.tolist()


def test_a_map_of_colours_and_one_of_indices_say_the_same(classes: np.ndarray, write_map: WriteMap) -> None:
    colors = PALETTE.decode(classes).transpose(2, 0, 1)
    rows, columns = np.indices((HEIGHT, WIDTH)).reshape(2, -1)[:, ::7]
    for path in (write_map(classes, "indices.tif"), write_map(colors, "colours.tif")):
        with ClassMap(path, CLASSES) as opened:
            assert opened.coverage().without_class == 36
            assert np.array_equal(opened.classes(slice(0, HEIGHT), slice(0, WIDTH)), classes)
            assert np.array_equal(opened.classes_at(rows, columns), classes[rows, columns])


def test_a_map_of_colours_needs_to_know_them(classes: np.ndarray, write_map: WriteMap) -> None:
    path = write_map(PALETTE.decode(classes).transpose(2, 0, 1))
    with pytest.raises(ConfigurationError, match="holds colours: say whose"):
        ClassMap(path, ClassNames(NAMES))


@pytest.mark.parametrize("kind", [np.uint16, np.float32])
def test_indices_of_any_type_are_read(classes: np.ndarray, write_map: WriteMap, kind: type) -> None:
    values = classes.astype(kind)
    if kind is np.float32:
        values[classes == 255] = np.nan
    with ClassMap(write_map(values), CLASSES) as opened:
        assert np.array_equal(opened.classes(slice(0, HEIGHT), slice(0, WIDTH)), classes)


@pytest.mark.parametrize("value", [3, 254, 300, -1, 0.5])
def test_what_is_no_class_index_is_refused(classes: np.ndarray, write_map: WriteMap, value: float) -> None:
    values = classes.astype(np.float32)
    values[30, 40] = value
    with (
        ClassMap(write_map(values), CLASSES) as opened,
        pytest.raises(ImageFileError, match="other values than 0 to 2"),
    ):
        opened.coverage()


def test_a_map_without_any_class_is_refused(write_map: WriteMap) -> None:
    path = write_map(np.full((9, 9), 255, np.uint8))
    with ClassMap(path, CLASSES) as opened, pytest.raises(ImageFileError, match="holds no pixel of any class"):
        opened.coverage()


def test_names_are_found_beside_what_predict_wrote(tmp_path: Path) -> None:
    beside = {"settings": {"palette": PALETTE.to_dict()}}
    (tmp_path / "a.json").write_text(json.dumps(beside))
    for name in ("a-classes.tif", "a-indices.png", "a-colours.png"):
        assert find_class_names(tmp_path / name) == CLASSES
    (tmp_path / "b.tif.aux.xml").write_text("<CategoryNames><Category>Roof &amp; wall</Category><Category>Tree")
    with pytest.raises(ConfigurationError, match=r"c\.tif does not say what its classes are: .*--run"):
        find_class_names(tmp_path / "c.tif")
    assert find_class_names(tmp_path / "b.tif") == (("Roof & wall",), None)


@pytest.mark.parametrize("content", ["[]", "{", '{"settings": {"palette": {"classes": 3}}}', "[" * 100_000])
def test_a_broken_file_beside_a_map_is_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(ConfigurationError, match="does not say what its classes are"):
        find_class_names(tmp_path / "a-classes.tif")


def test_the_mark_tells_maps_apart(classes: np.ndarray, write_map: WriteMap) -> None:
    other = classes.copy()
    other[40, 40] = (other[40, 40] + 1) % 3
    marks = set()
    for bands in (classes, other, classes):
        with ClassMap(write_map(bands), CLASSES) as opened:
            marks.add(opened.mark(opened.coverage()))
    assert len(marks) == 2
