"""An orthophoto becomes a map that lies where it lies."""

import json
import tracemalloc
from collections.abc import Callable
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
from segmentation.errors import ImageFileError, StorageError
from segmentation.inference import maps
from segmentation.inference.maps import map_raster, write_polygons
from segmentation.inference.options import Inference
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
    classes = predictor.scene(image, Inference(overlap)).classes.copy()
    classes[:, :10] = 255
    return classes


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5])
def test_the_map_holds_the_prediction_where_the_orthophoto_lies(
    predictor: Predictor, image: np.ndarray, ortho: Path, tmp_path: Path, overlap: float
) -> None:
    target = tmp_path / "out" / "classes.tif"
    with Raster(ortho) as raster:
        table = map_raster(predictor, raster, PALETTE, target, Inference(overlap))
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
    with Raster(ortho) as raster:
        ground = raster.pixel_areas().within(slice(0, HEIGHT), slice(0, WIDTH))
    assert table["square_metres"].tolist() == pytest.approx([ground[expected == index].sum() for index in range(3)])
    assert ground == pytest.approx(0.25, rel=1e-3)  # half a metre a pixel, but for the scale of UTM
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
        map_raster(
            predictor, raster, PALETTE, tmp_path / "classes.tif", Inference(0.5), confidence=tmp_path / "confidence.tif"
        )
    expected = 100 * predictor.scene(image, Inference(0.5)).confidence
    with rasterio.open(tmp_path / "confidence.tif") as file:
        read = file.read(1)
        assert file.transform == TRANSFORM
    assert (read[:, :10] == 255).all()
    assert np.abs(read[:, 10:] - expected[:, 10:]).max() <= 0.5 + 1e-3


def test_polygons_cover_the_map_in_longitude_and_latitude(predictor: Predictor, ortho: Path, tmp_path: Path) -> None:
    with Raster(ortho) as raster:
        map_raster(predictor, raster, PALETTE, tmp_path / "classes.tif")
        steps = []
        write_polygons(
            tmp_path / "classes.tif",
            raster,
            PALETTE,
            tmp_path / "classes.geojson",
            lambda done, of: steps.append((done, of)),
        )
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
    assert steps[0] == (0, len(features))
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


def signed_area(ring: list) -> float:
    x, y = (np.array(ring) - ring[0]).T
    return (x[:-1] * y[1:] - x[1:] * y[:-1]).sum() / 2


@pytest.mark.parametrize("down", [-0.5, 0.5], ids=["north up", "south up"])
def test_exterior_rings_run_counter_clockwise_and_holes_clockwise(tmp_path: Path, down: float) -> None:
    classes = np.zeros((30, 40), np.uint8)
    classes[5:25, 5:35] = 1
    classes[10:20, 10:20] = 0
    layout = {"height": 30, "width": 40, "count": 1, "dtype": "uint8", "crs": "EPSG:32640", "nodata": 255}
    place = Affine(0.5, 0, 300_000, 0, down, 2_700_000)
    with rasterio.open(tmp_path / "map.tif", "w", driver="GTiff", transform=place, **layout) as file:
        file.write(classes, 1)
    with Raster(tmp_path / "map.tif") as raster:
        write_polygons(tmp_path / "map.tif", raster, PALETTE, tmp_path / "map.geojson")
    features = json.loads((tmp_path / "map.geojson").read_text())["features"]
    assert sorted(len(feature["geometry"]["coordinates"]) for feature in features) == [1, 2, 2]
    for feature in features:
        exterior, *holes = feature["geometry"]["coordinates"]
        assert signed_area(exterior) > 0
        assert all(signed_area(hole) < 0 for hole in holes)


def test_polygons_of_a_site_stay_in_its_own_system(tmp_path: Path) -> None:
    classes = np.repeat(np.arange(2, dtype=np.uint8), 10)[None].repeat(8, 0)
    layout = {"height": 8, "width": 20, "count": 1, "dtype": "uint8"}
    layout["crs"] = 'LOCAL_CS["site",UNIT["metre",1],AXIS["Easting",EAST],AXIS["Northing",NORTH]]'
    place = Affine(2, 0, 100, 0, -2, 50)
    with rasterio.open(tmp_path / "map.tif", "w", driver="GTiff", transform=place, **layout) as file:
        file.write(classes, 1)
    with Raster(tmp_path / "map.tif") as raster:
        write_polygons(tmp_path / "map.tif", raster, PALETTE, tmp_path / "map.geojson")
    content = json.loads((tmp_path / "map.geojson").read_text())
    assert content["coordinate_system"] == "site"
    rings = [feature["geometry"]["coordinates"][0] for feature in content["features"]]
    assert [(min(x for x, _ in ring), max(x for x, _ in ring)) for ring in rings] == [(100, 120), (120, 140)]


@pytest.mark.parametrize(
    ("system", "pixel"),
    [
        ("+proj=geos +h=35785831 +ellps=GRS80", 1.5e6),
        ("+proj=sinu +R=6371007", 6e6),
        ("EPSG:3857", 1e7),
        ("EPSG:3031", 2e6),
    ],
    ids=["a whole disc", "beyond the poles", "twice around", "around a pole"],
)
def test_polygons_that_do_not_fit_into_longitude_and_latitude_stay_in_the_maps_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str, pixel: float
) -> None:
    monkeypatch.setattr(maps, "POLYGONS", 1)  # most of them have longitudes and latitudes, those at the rim have not
    classes = np.indices((8, 8)).sum(0).astype(np.uint8) % 2
    layout = {"height": 8, "width": 8, "count": 1, "dtype": "uint8", "crs": system}
    place = Affine(pixel, 0, -4 * pixel, 0, -pixel, 4 * pixel)
    with rasterio.open(tmp_path / "map.tif", "w", driver="GTiff", transform=place, **layout) as file:
        file.write(classes, 1)
    with Raster(tmp_path / "map.tif") as raster:
        write_polygons(tmp_path / "map.tif", raster, PALETTE, tmp_path / "map.geojson")
    content = json.loads((tmp_path / "map.geojson").read_text())
    assert "coordinate_system" in content
    points = [point for feature in content["features"] for ring in feature["geometry"]["coordinates"] for point in ring]
    assert not np.mod(points, pixel).any()


@pytest.mark.parametrize(
    ("system", "place", "north"),
    [
        ("EPSG:4326", Affine(45, 0, -180, 0, -22.5, 90), 90),
        ("EPSG:3857", Affine(20037508.342789244 / 4, 0, -20037508.342789244, 0, -5e6, 2e7), 85.022),
    ],
)
def test_polygons_of_a_map_of_the_whole_earth_are_in_longitude_and_latitude(
    tmp_path: Path, system: str, place: Affine, north: float
) -> None:
    layout = {"height": 8, "width": 8, "count": 1, "dtype": "uint8", "crs": system}
    with rasterio.open(tmp_path / "map.tif", "w", driver="GTiff", transform=place, **layout) as file:
        file.write(np.eye(8, dtype=np.uint8), 1)
    with Raster(tmp_path / "map.tif") as raster:
        write_polygons(tmp_path / "map.tif", raster, PALETTE, tmp_path / "map.geojson")
    content = json.loads((tmp_path / "map.geojson").read_text())
    assert "coordinate_system" not in content
    points = [point for feature in content["features"] for ring in feature["geometry"]["coordinates"] for point in ring]
    assert np.abs(points).max(0) == pytest.approx([180, north], abs=1e-3)


@pytest.mark.filterwarnings("error")
def test_polygons_of_coordinates_beyond_measure_are_written_without_a_warning(tmp_path: Path) -> None:
    layout = {"height": 8, "width": 8, "count": 1, "dtype": "uint8", "crs": "EPSG:32640"}
    with rasterio.open(
        tmp_path / "m.tif", "w", driver="GTiff", transform=Affine(1e300, 0, 0, 0, -1e300, 0), **layout
    ) as f:
        f.write(np.eye(8, dtype=np.uint8), 1)
    with Raster(tmp_path / "m.tif") as raster:
        write_polygons(tmp_path / "m.tif", raster, PALETTE, tmp_path / "m.geojson")
    features = json.loads((tmp_path / "m.geojson").read_text())["features"]
    assert {feature["properties"]["class"] for feature in features} == set(PALETTE.names[:2])


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5])
def test_a_wide_image_is_predicted_in_blocks_as_it_is_in_one(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overlap: float
) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (3, 40, 700), dtype=np.uint8)
    layout = {"height": 40, "width": 700, "count": 3, "dtype": "uint8", "crs": "EPSG:32640", "transform": TRANSFORM}
    with rasterio.open(tmp_path / "wide.tif", "w", driver="GTiff", **layout) as file:
        file.write(pixels)
    tables, read, steps = [], [], []
    for name, across in (("whole", 100_000), ("blocks", 200)):
        monkeypatch.setattr(maps, "ACROSS", across)
        with Raster(tmp_path / "wide.tif") as raster:
            target = tmp_path / f"{name}.tif"
            tables.append(
                map_raster(
                    predictor, raster, PALETTE, target, Inference(overlap), progress=lambda *step: steps.append(step)
                )
            )
        with rasterio.open(target) as file:
            read.append(file.read(1))
    assert np.array_equal(*read)
    assert tables[0]["pixels"].equals(tables[1]["pixels"])
    assert tables[0]["square_metres"].tolist() == pytest.approx(tables[1]["square_metres"].tolist())
    assert steps[-1][0] == steps[-1][1]


def test_a_full_disk_is_one_sentence(
    predictor: Predictor, ortho: Path, small_disk: Path, fill: Callable[[Path], None]
) -> None:
    fill(small_disk)
    with pytest.raises(StorageError, match="make room for it"), Raster(ortho) as raster:
        map_raster(predictor, raster, PALETTE, small_disk / "classes.tif")


def test_not_a_number_gets_neither_class_nor_area(predictor: Predictor, image: np.ndarray, tmp_path: Path) -> None:
    values = image.transpose(2, 0, 1).astype(np.float32)
    values[:, 10:20, 10:20] = np.nan
    layout = {"height": HEIGHT, "width": WIDTH, "count": 3, "dtype": "float32", "crs": "EPSG:32640"}
    with rasterio.open(tmp_path / "nan.tif", "w", driver="GTiff", transform=TRANSFORM, **layout) as file:
        file.write(values)
    with Raster(tmp_path / "nan.tif") as raster:
        table = map_raster(predictor, raster, PALETTE, tmp_path / "classes.tif")
    with rasterio.open(tmp_path / "classes.tif") as file:
        assert (file.read(1) == 255).sum() == 100
    assert table["pixels"].sum() == HEIGHT * WIDTH - 100


def test_polygons_are_not_held_at_once(tmp_path: Path) -> None:
    """As lists of Python's numbers, those of this map take 100 MB."""
    path, side = tmp_path / "map.tif", 330
    rows, columns = np.indices((side, side))
    layout = {"crs": "EPSG:32640", "transform": Affine(1, 0, 3e5, 0, -1, 2e6)}
    with rasterio.open(path, "w", "GTiff", side, side, 1, dtype="uint8", **layout) as file:
        file.write(((rows % 2 * 2 + columns % 2) % 3).astype(np.uint8)[None])
    most = 0

    def watch(done: int, count: int) -> None:
        nonlocal most
        most = max(most, tracemalloc.get_traced_memory()[0])
        assert done < count

    tracemalloc.start()
    with Raster(path) as raster:
        write_polygons(path, raster, PALETTE, tmp_path / "map.geojson", watch)
    tracemalloc.stop()
    polygons = json.loads((tmp_path / "map.geojson").read_text())["features"]
    assert len(polygons) > 50_000
    assert most < 20_000_000
