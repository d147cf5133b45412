"""Masks drawn from outlines: COCO's objects, and polygons in GeoJSON, GeoPackages and shapefiles."""

import json
import sqlite3
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
from PIL import Image
from rasterio.transform import from_origin

from segmentation.data.coco import decode_runs, read_coco
from segmentation.data.locate import cache_folder
from segmentation.data.palette import VOID
from segmentation.data.scenes import find_dataset, read_scene
from segmentation.data.vectors import read_vectors
from segmentation.errors import DatasetNotFoundError, ImageFileError

HEIGHT, WIDTH, LEFT, TOP = 20, 30, 500_000, 5_000_000

SQUARES = {"field": (0, 0, 12, 20), "house": (3, 4, 9, 10), "far": (400, 400, 500, 500)}
"""Left, top, right and bottom in pixels, by class; the house has a courtyard."""

COURTYARD = (5, 6, 7, 8)

EXPECTED = np.full((HEIGHT, WIDTH), VOID, np.uint8)
EXPECTED[:, :12] = 1
EXPECTED[4:10, 3:9] = 2
EXPECTED[6:8, 5:7] = 1


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of the test's own."""
    monkeypatch.setenv("SEGMENTATION_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with one georeferenced image."""
    path = tmp_path / "set" / "images" / "a.tif"
    path.parent.mkdir(parents=True)
    place = {"crs": "EPSG:32633", "transform": from_origin(LEFT, TOP, 2, 2)}
    with rasterio.open(path, "w", driver="GTiff", height=HEIGHT, width=WIDTH, count=3, dtype="uint8", **place) as file:
        file.write(np.random.default_rng(0).integers(0, 255, (3, HEIGHT, WIDTH), np.uint8))
    return tmp_path / "set"


def ring(box: tuple[int, int, int, int]) -> list[list[float]]:
    left, top, right, bottom = box
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    return [[LEFT + 2.0 * x, TOP - 2.0 * y] for x, y in corners]


RINGS = {name: [ring(box), *([ring(COURTYARD)[::-1]] if name == "house" else [])] for name, box in SQUARES.items()}


OWN = "urn:ogc:def:crs:EPSG::32633"


def geojson(folder: Path, move: Callable = lambda x, y: (x, y), crs: str | None = OWN) -> None:
    def feature(name: str) -> dict:
        rings = [[list(move(*point)) for point in one] for one in RINGS[name]]
        return {"type": "Feature", "properties": {"label": name}, "geometry": {"type": "Polygon", "coordinates": rings}}

    content = {"type": "FeatureCollection", "features": [feature(name) for name in RINGS]}
    if crs:
        content["crs"] = {"type": "name", "properties": {"name": crs}}
    (folder / "labels.geojson").write_text(json.dumps(content))


def well_known(rings: list, order: str) -> bytes:
    packed = struct.pack(order + "BII", order == "<", 3, len(rings))
    for one in rings:
        packed += struct.pack(order + "I", len(one)) + b"".join(struct.pack(order + "2d", *point) for point in one)
    return packed


TABLES = """
CREATE TABLE gpkg_geometry_columns (table_name TEXT, column_name TEXT, srs_id INTEGER);
CREATE TABLE gpkg_spatial_ref_sys (srs_id INTEGER, organization TEXT, organization_coordsys_id INTEGER);
"""
"""What every GeoPackage has."""


def geopackage(folder: Path) -> None:
    with sqlite3.connect(folder / "labels.gpkg") as database:
        database.executescript(TABLES)
        database.executescript(
            """
            INSERT INTO gpkg_geometry_columns VALUES ('the "parcels"', 'geom', 7);
            INSERT INTO gpkg_spatial_ref_sys VALUES (7, 'epsg', 32633);
            CREATE TABLE [the "parcels"] (fid INTEGER PRIMARY KEY, geom BLOB, label TEXT);
            """
        )
        for number, (name, rings) in enumerate(RINGS.items()):
            order = "<>"[number % 2]
            several = struct.pack(order + "BII", order == "<", 6, 1) + well_known(rings, order)
            envelope = struct.pack("<4d", 0, 1, 0, 1) if number else b""
            blob = b"GP\0" + bytes([1 | (1 << 1 if number else 0)]) + struct.pack("<i", 7) + envelope + several
            database.execute('INSERT INTO [the "parcels"] (geom, label) VALUES (?, ?)', (blob, name))


def shapefile(folder: Path) -> None:
    records = b""
    for number, rings in enumerate(RINGS.values(), 1):
        points = [point for one in rings for point in one]
        starts = [sum(len(one) for one in rings[:place]) for place in range(len(rings))]
        body = struct.pack("<I4d2I", 5, 0, 0, 1, 1, len(rings), len(points)) + struct.pack(f"<{len(starts)}I", *starts)
        body += b"".join(struct.pack("<2d", *point) for point in points)
        records += struct.pack(">2I", number, len(body) // 2) + body
    (folder / "labels.shp").write_bytes(bytes(100) + records)
    fields = b"label".ljust(11, b"\0") + b"C" + bytes(4) + bytes([10]) + bytes(15)
    header = struct.pack("<B3BIHH", 3, 124, 1, 1, len(RINGS), 32 + 32 + 1, 11) + bytes(20) + fields + b"\r"
    (folder / "labels.dbf").write_bytes(header + b"".join(b" " + name.encode().ljust(10) for name in RINGS))
    (folder / "labels.prj").write_text(pyproj.CRS("EPSG:32633").to_wkt("WKT1_ESRI"))


@pytest.mark.parametrize("write", [geojson, geopackage, shapefile])
def test_polygons_become_a_mask(root: Path, write: Callable[[Path], None]) -> None:
    write(root)
    dataset = find_dataset(root)
    assert dataset.palette.names == ("far", "field", "house")
    assert np.array_equal(read_scene(dataset.scenes[0], dataset.palette)[1], EXPECTED)


def test_longitude_and_latitude_are_found_on_the_image(root: Path) -> None:
    to_world = pyproj.Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True).transform
    geojson(root, to_world, crs=None)
    dataset = find_dataset(root)
    assert np.array_equal(read_scene(dataset.scenes[0], dataset.palette)[1], EXPECTED)


def test_polygons_of_one_class_lie_on_a_background(root: Path) -> None:
    feature = {"properties": {}, "geometry": {"type": "Polygon", "coordinates": RINGS["house"]}}
    crs = {"properties": {"name": "EPSG:32633"}}
    (root / "houses.geojson").write_text(json.dumps({"features": [feature], "crs": crs}))
    dataset = find_dataset(root)
    assert dataset.palette.names == ("Background", "Labelled")
    assert np.array_equal(read_scene(dataset.scenes[0], dataset.palette)[1], (EXPECTED == 2).astype(np.uint8))


def test_a_mask_is_drawn_once_and_anew_when_the_outlines_change(root: Path) -> None:
    geojson(root)
    scene = find_dataset(root).scenes[0]
    read_scene(scene, find_dataset(root).palette)
    (kept,) = (cache_folder() / "masks").glob("*.png")
    Image.fromarray(np.full((HEIGHT, WIDTH), 1, np.uint8)).save(kept)
    assert (read_scene(scene, find_dataset(root).palette)[1] == 1).all()  # what is kept is what is read
    kept.write_bytes(b"damaged")
    assert np.array_equal(read_scene(scene, find_dataset(root).palette)[1], EXPECTED)
    geojson(root, lambda x, y: (x + 20, y))
    dataset = find_dataset(root)
    moved = np.full_like(EXPECTED, VOID)
    moved[:, 10:] = EXPECTED[:, :-10]
    assert np.array_equal(read_scene(dataset.scenes[0], dataset.palette)[1], moved)


def test_an_image_that_lies_nowhere_is_named(tmp_path: Path) -> None:
    (tmp_path / "set/images").mkdir(parents=True)
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "set/images/b.tif")
    geojson(tmp_path / "set")
    dataset = find_dataset(tmp_path / "set")
    with pytest.raises(ImageFileError, match=r"b\.tif does not say where it lies"):
        read_scene(dataset.scenes[0], dataset.palette)


def coco(folder: Path, outlines: list, size: tuple[int, int] = (HEIGHT, WIDTH)) -> None:
    (folder / "images").mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((*size, 3), np.uint8)).save(folder / "images" / "a.png")
    content = {
        "images": [{"id": 5, "file_name": "a.png", "height": size[0], "width": size[1]}],
        "categories": [{"id": 3, "name": "tree"}, {"id": 1, "name": "pool"}],
        "annotations": [
            {"id": number, "image_id": 5, "category_id": category, "segmentation": outline}
            for number, (category, outline) in enumerate(outlines)
        ],
    }
    (folder / "_annotations.coco.json").write_text(json.dumps(content))


def test_later_objects_lie_over_earlier_ones(tmp_path: Path) -> None:
    inside = np.zeros((HEIGHT, WIDTH), bool)
    inside[5:15, 10:20] = True
    flat = inside.T.ravel()
    edges = np.flatnonzero(np.diff(flat.astype(int), prepend=0, append=0)).tolist()
    runs = np.diff([0, *edges, flat.size]).tolist()
    coco(
        tmp_path,
        [
            (1, [[0, 0, 15, 0, 15, 20, 0, 20]]),
            (3, {"size": [HEIGHT, WIDTH], "counts": runs}),
            (1, [[18, 0, 22, 0, 22, 20, 18, 20]]),
        ],
    )
    dataset = find_dataset(tmp_path)
    expected = np.full((HEIGHT, WIDTH), VOID, np.uint8)
    expected[:, :15] = 0
    expected[inside] = 1
    expected[:, 18:22] = 0
    assert dataset.palette.names == ("pool", "tree")
    assert np.array_equal(read_scene(dataset.scenes[0], dataset.palette)[1], expected)


def test_packed_run_lengths_are_those_of_the_format() -> None:
    """Worked by hand: 6, 1, 40 and, as differences to the last but one, 4 − 1 and 49 − 40."""
    found = decode_runs({"size": [10, 10], "counts": "61X139"}, (10, 10)).T.ravel()
    assert np.flatnonzero(np.diff(found.astype(int), prepend=0)).tolist() == [6, 7, 47, 51]


@pytest.mark.parametrize("counts", ["", "0", "~~~~~~~~~~~~~~~~~~~~", [-1, 101], [1e30], ["x"], [[1], [2, 3]], None, {}])
def test_run_lengths_that_make_no_image_get_a_sentence(counts: object) -> None:
    with pytest.raises(ImageFileError, match="run lengths do not make an image"):
        decode_runs({"size": [10, 10], "counts": counts}, (10, 10))


@pytest.mark.parametrize(
    "outline", [[[1, 2]], [["a", "b"]], [[0, 0, 1e300, 0, 1, 1]], [[]], "text", 7, [[0, 0, None, 1, 1, 1]]]
)
def test_outlines_that_are_none_are_passed_over(tmp_path: Path, outline: object) -> None:
    coco(tmp_path, [(1, outline), (3, [[0, 0, 30, 0, 30, 20, 0, 20]])])
    dataset = find_dataset(tmp_path)
    assert (read_scene(dataset.scenes[0], dataset.palette)[1] == 1).all()


@pytest.mark.parametrize("name", ["labels.geojson", "labels.gpkg", "labels.shp"])
@pytest.mark.parametrize(
    "content", [b"", b"{", b"[" * 100_000, b'{"features": [3]}', b"SQLite format 3\0" + bytes(200), bytes(150)]
)
def test_a_broken_file_of_polygons_gets_a_sentence(root: Path, name: str, content: bytes) -> None:
    (root / name).write_bytes(content)
    with pytest.raises((ImageFileError, DatasetNotFoundError)) as caught:
        find_dataset(root)
    assert str(caught.value).startswith(name)


@pytest.mark.parametrize("content", [b"", b"{}", b"[" * 100_000, b'{"images": 3}'])
def test_a_broken_file_of_annotations_gets_a_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "instances.json").write_bytes(content)
    with pytest.raises(ImageFileError, match=r"instances\.json is no file of COCO annotations"):
        read_coco(tmp_path / "instances.json")


def test_a_geopackages_views_are_not_run(root: Path) -> None:
    with sqlite3.connect(root / "labels.gpkg") as database:
        database.executescript(TABLES)
        database.executescript(
            """
            INSERT INTO gpkg_geometry_columns VALUES ('endless', 'geom', 7);
            CREATE VIEW endless AS
                WITH RECURSIVE n(geom) AS (SELECT 1 UNION ALL SELECT geom + 1 FROM n) SELECT * FROM n;
            """
        )
    with pytest.raises(ImageFileError, match=r"labels\.gpkg holds no polygons"):
        read_vectors(root / "labels.gpkg")
