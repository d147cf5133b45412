"""Where scenes overlap on the ground, in m², whatever their coordinate systems."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from pyproj import Geod, Transformer
from rasterio.transform import from_origin

from segmentation.data.footprints import Footprint, footprint, ground_resolution, overlaps
from segmentation.data.health import examine
from segmentation.data.scenes import find_dataset

EAST, NORTH = 325_000.0, 2_780_000.0
"""A corner of Dubai in UTM zone 40 N."""


def write(path: Path, east: float, north: float, side: float = 0.5, system: str = "EPSG:32640") -> Path:
    """Write a GeoTIFF of 64 × 64 pixels with its top left there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng(0).integers(0, 256, (3, 64, 64), dtype=np.uint8)
    how = {"driver": "GTiff", "count": 3, "height": 64, "width": 64, "dtype": "uint8"}
    with rasterio.open(path, "w", crs=system, transform=from_origin(east, north, side, side), **how) as file:
        file.write(image)
    return path


def box(west: float, south: float, east: float, north: float) -> Footprint:
    return ((west, north), (east, north), (east, south), (west, south))


def test_half_a_scene_in_two_systems(tmp_path: Path) -> None:
    world = Transformer.from_crs("EPSG:32640", "EPSG:3857", always_xy=True)
    x, y = world.transform(EAST + 16, NORTH)
    stretch = np.subtract(world.transform(EAST + 48, NORTH), (x, y))[0] / 32  # Mercator's scale here
    paths = {
        "own": write(tmp_path / "own.tif", EAST, NORTH),
        "half": write(tmp_path / "half.tif", x, y, 0.5 * stretch, "EPSG:3857"),
        "beside": write(tmp_path / "beside.tif", EAST + 32, NORTH),
        "far": write(tmp_path / "far.tif", EAST + 9000, NORTH),
    }
    places = {name: footprint(path) for name, path in paths.items()}
    found = overlaps(places, ["own"], ["own", "half", "beside", "far"])
    assert found[["held_out", "trained_on"]].to_numpy().tolist() == [["own", "half"]]
    assert found["area"][0] == pytest.approx(16 * 32, rel=0.05)
    assert found["share"][0] == pytest.approx(0.5, rel=0.05)


def test_overlaps_are_measured_on_the_ellipsoid_and_over_the_date_line() -> None:
    places = {"one": box(179.9, 60, 180.1, 60.1), "other": box(-180, 60.05, -179.8, 60.2), "none": box(0, 0, 1, 1)}
    found = overlaps(places, ["one", "unplaced"], ["other", "none", "unplaced"])
    assert list(found["trained_on"]) == ["other"]
    area, _ = Geod(ellps="WGS84").polygon_area_perimeter([0, 0.1, 0.1, 0], [60.05, 60.05, 60.1, 60.1])
    assert found["area"][0] == pytest.approx(area, rel=1e-6)


def test_the_largest_overlap_comes_first_and_seams_do_not_count() -> None:
    places = {
        "held": box(0, 0, 1, 1),
        "seam": box(0.998, 0, 2, 1),
        "third": box(0.7, 0, 2, 1),
        "half": box(0, 0, 0.5, 1),
    }
    assert list(overlaps(places, ["held"], ["seam", "third", "half"])["trained_on"]) == ["half", "third"]


def test_turned_areas_share_what_lies_in_both() -> None:
    diamond = ((0.5, 1.5), (1.5, 0.5), (0.5, -0.5), (-0.5, 0.5))
    found = overlaps({"square": box(0, 0, 1, 1), "diamond": diamond}, ["diamond"], ["square"])
    assert found["share"][0] == pytest.approx(0.5, rel=1e-3)
    apart = ((2.05, 1.4), (1.4, 2.05), (2.0, 2.6), (2.6, 2.0))  # the boxes around them meet, they do not
    assert overlaps({"square": box(0, 0, 1.6, 1.6), "apart": apart}, ["apart"], ["square"]).empty


def test_a_data_set_keeps_where_its_scenes_lie(tmp_path: Path) -> None:
    for number, east in enumerate((EAST, EAST + 8)):
        write(tmp_path / "set" / "images" / f"{number}.tif", east, NORTH)
        mask = tmp_path / "set" / "masks" / f"{number}.png"
        mask.parent.mkdir(exist_ok=True)
        with rasterio.open(mask, "w", driver="PNG", count=1, height=64, width=64, dtype="uint8") as file:
            file.write(np.arange(64 * 64, dtype=np.uint8).reshape(1, 64, 64) // 200 % 3)
    dataset = find_dataset(tmp_path / "set")
    names = [scene.name for scene in dataset.scenes]
    places = examine(dataset, 32).footprints
    assert list(places) == names
    assert overlaps(places, names[:1], names[1:])["area"][0] == pytest.approx(24 * 32, rel=0.01)
    assert ground_resolution(dataset) == pytest.approx(0.5, rel=0.01)


def test_a_picture_that_does_not_say_where_it_lies_has_none(tmp_path: Path) -> None:
    (tmp_path / "broken.tif").write_bytes(b"II*\0" + bytes(60))
    assert footprint(tmp_path / "broken.tif") is None
    assert footprint(tmp_path / "photo.jpg") is None
