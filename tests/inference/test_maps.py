"""An orthophoto becomes a map that lies where it lies."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.features
import rasterio.warp
from rasterio import Affine
from rasterio.enums import ColorInterp

from segmentation.data.palette import Palette
from segmentation.data.raster import Raster
from segmentation.errors import ImageFileError
from segmentation.inference.maps import map_raster
from segmentation.inference.predictor import Predictor

HEIGHT, WIDTH = 75, 90
TRANSFORM = Affine(0.5, 0, 300_000, 0, -0.5, 2_700_000)
PALETTE = Palette(("Roof & wall", "Tree", "Soil <bare>"), ((200, 30, 40), (20, 120, 30), (150, 200, 90)))


@pytest.fixture(scope="module")
def predictor(small_model: Path) -> Predictor:
    return Predictor(small_model)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    """Broad bands and noise, so that all classes are predicted somewhere."""
    rng = np.random.default_rng(2)
    bands = 120 + 110 * np.sin(np.arange(HEIGHT) / 6)[:, None, None] * np.cos(np.arange(WIDTH) / 9)[None, :, None]
    return np.clip(bands + rng.integers(-30, 30, (HEIGHT, WIDTH, 3)), 0, 255).astype(np.uint8)


@pytest.fixture
def ortho(tmp_path: Path, image: np.ndarray) -> Path:
    """An orthophoto in UTM zone 40, half a metre a pixel, without data in its first ten columns."""
    path = tmp_path / "ortho.tif"
    layout = {"height": HEIGHT, "width": WIDTH, "count": 4, "dtype": "uint8", "crs": "EPSG:32640"}
    with rasterio.open(path, "w", driver="GTiff", transform=TRANSFORM, **layout) as file:
        file.write(image.transpose(2, 0, 1), (1, 2, 3))
        file.write(np.where(np.arange(WIDTH) < 10, 0, 255)[None].repeat(HEIGHT, 0).astype(np.uint8), 4)
        file.colorinterp = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
    return path


def expected_classes(predictor: Predictor, image: np.ndarray, overlap: float) -> np.ndarray:
    classes = predictor.scene(image, overlap=overlap).classes.copy()
    classes[:, :10] = 255
    return classes


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5])
def test_the_map_holds_the_prediction_where_the_orthophoto_lies(
    predictor: Predictor, image: np.ndarray, ortho: Path, tmp_path: Path, overlap: float
) -> None:
    target = tmp_path / "out" / "classes.tif"
    with Raster(ortho) as raster:
        table = map_raster(predictor, raster, PALETTE, target, overlap)
    expected = expected_classes(predictor, image, overlap)
    with rasterio.open(target) as file:
        assert np.array_equal(file.read(1), expected)
        assert file.crs.to_epsg() == 32640
        assert file.transform == TRANSFORM
        assert file.nodata == 255
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        colors = file.colormap(1)
    assert [colors[index][:3] for index in range(3)] == list(PALETTE.colors)
    assert table["pixels"].tolist() == [(expected == index).sum() for index in range(3)]
    assert table["square_metres"].tolist() == [0.25 * (expected == index).sum() for index in range(3)]
    assert (table["pixels"] > 0).sum() > 1
    assert sorted(path.name for path in target.parent.iterdir()) == ["classes.tif", "classes.tif.aux.xml"]


def test_the_classes_names_are_told_as_gdal_reads_them(predictor: Predictor, ortho: Path, tmp_path: Path) -> None:
    with Raster(ortho) as raster:
        map_raster(predictor, raster, PALETTE, tmp_path / "classes.tif")
    beside = (tmp_path / "classes.tif.aux.xml").read_text()
    assert (
        "<Category>Roof &amp; wall</Category><Category>Tree</Category><Category>Soil &lt;bare&gt;</Category>" in beside
    )


def test_confidence_is_in_per_cent(predictor: Predictor, image: np.ndarray, ortho: Path, tmp_path: Path) -> None:
    with Raster(ortho) as raster:
        map_raster(predictor, raster, PALETTE, tmp_path / "classes.tif", 0.5, confidence=tmp_path / "confidence.tif")
    expected = 100 * predictor.scene(image, overlap=0.5).confidence
    with rasterio.open(tmp_path / "confidence.tif") as file:
        read = file.read(1)
        assert file.transform == TRANSFORM
    assert (read[:, :10] == 255).all()
    assert np.abs(read[:, 10:] - expected[:, 10:]).max() <= 0.5 + 1e-3


def test_polygons_cover_the_map_in_longitude_and_latitude(predictor: Predictor, ortho: Path, tmp_path: Path) -> None:
    with Raster(ortho) as raster:
        map_raster(predictor, raster, PALETTE, tmp_path / "classes.tif", polygons=tmp_path / "classes.geojson")
    features = json.loads((tmp_path / "classes.geojson").read_text())["features"]
    with rasterio.open(tmp_path / "classes.tif") as file:
        classes, transform = file.read(1), file.transform
    shapes = [
        (
            rasterio.warp.transform_geom("EPSG:4326", "EPSG:32640", feature["geometry"]),
            PALETTE.names.index(feature["properties"]["class"]),
        )
        for feature in features
    ]
    drawn = rasterio.features.rasterize(shapes, classes.shape, fill=255, transform=transform, dtype="uint8")
    assert np.array_equal(drawn, classes)
    longitude, latitude = features[0]["geometry"]["coordinates"][0][0]
    assert 54 < longitude < 56
    assert 24 < latitude < 25


def test_without_coordinates_areas_are_unknown(predictor: Predictor, image: np.ndarray, tmp_path: Path) -> None:
    layout = {"height": HEIGHT, "width": WIDTH, "count": 3, "dtype": "uint8"}
    with rasterio.open(tmp_path / "plain.tif", "w", driver="GTiff", **layout) as file:
        file.write(image.transpose(2, 0, 1))
    with Raster(tmp_path / "plain.tif") as raster:
        table = map_raster(predictor, raster, PALETTE, tmp_path / "classes.tif")
    assert table["pixels"].sum() == HEIGHT * WIDTH
    assert table["square_metres"].isna().all()


def test_a_damaged_orthophoto_leaves_nothing_behind(predictor: Predictor, image: np.ndarray, tmp_path: Path) -> None:
    layout = {"height": HEIGHT, "width": WIDTH, "count": 3, "dtype": "uint8", "compress": "deflate", "blockysize": 8}
    with rasterio.open(tmp_path / "whole.tif", "w", driver="GTiff", **layout) as file:
        file.write(image.transpose(2, 0, 1))
    content = bytearray((tmp_path / "whole.tif").read_bytes())
    content[len(content) // 2 : len(content) // 2 + 2000] = bytes(2000)
    (tmp_path / "hurt.tif").write_bytes(content)
    with pytest.raises(ImageFileError, match="damaged"), Raster(tmp_path / "hurt.tif") as raster:
        map_raster(predictor, raster, PALETTE, tmp_path / "out" / "classes.tif")
    assert list((tmp_path / "out").iterdir()) == []
