"""Points drawn on a map, their files, and what labelled ones say of it."""

import csv
import io
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyproj
import pytest
from PIL import Image
from rasterio import Affine

from segmentation.areas import class_map as module
from segmentation.areas.assessment import Assessment, assess
from segmentation.areas.class_map import ClassMap
from segmentation.areas.points import Points, locate, read_points, read_system, write_points
from segmentation.areas.sampling import DrawnPoints, draw_points
from segmentation.errors import ConfigurationError, ImageFileError
from tests.areas.conftest import CLASSES, HEIGHT, NAMES, WIDTH, WriteMap

ALLOCATION = np.array([20, 40, 15])


@pytest.fixture
def path(classes: np.ndarray, write_map: WriteMap) -> Path:
    return write_map(classes, nodata=255)


def test_points_are_drawn_within_each_class_and_none_twice(
    classes: np.ndarray, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WINDOW", (16, 32))
    with ClassMap(path, CLASSES) as opened:
        drawn, again, other = (draw_points(opened, ALLOCATION, seed) for seed in (5, 5, 6))
    assert np.bincount(drawn.classes, minlength=3).tolist() == ALLOCATION.tolist()
    assert np.array_equal(classes[drawn.rows, drawn.columns], drawn.classes)
    assert len(set(zip(drawn.rows, drawn.columns, strict=True))) == ALLOCATION.sum()
    assert np.array_equal(drawn.rows, again.rows)
    assert not np.array_equal(drawn.rows, other.rows)
    assert len(set(drawn.classes[:20])) > 1  # in no order


def test_every_pixel_of_a_class_can_be_drawn(classes: np.ndarray, path: Path) -> None:
    everything = np.bincount(classes.ravel(), minlength=256)[:3]
    with ClassMap(path, CLASSES) as opened:
        drawn = draw_points(opened, everything, 0)
    assert np.array_equal(np.sort(drawn.rows * WIDTH + drawn.columns), np.flatnonzero(classes.ravel() != 255))


def test_pixels_are_drawn_as_often_as_they_cover_ground(write_map: WriteMap) -> None:
    """In Mercator's projection the upper half of this map covers a fraction of what the lower half does."""
    place = Affine(1000, 0, 0, 0, -40_000, 8_000_000)
    path = write_map(np.zeros((200, 100), np.uint8), crs="EPSG:3857", transform=place)
    with ClassMap(path, CLASSES) as opened:
        ground = opened.ground(slice(0, 200), slice(0, 100))
        rows = np.concatenate([draw_points(opened, np.array([200, 0, 0]), seed).rows for seed in range(20)])
    expected = ground[:100].sum() / ground.sum()
    assert expected < 0.4
    assert (rows < 100).mean() == pytest.approx(expected, abs=0.03)


def drawn_file(opened: ClassMap, **how: bool) -> tuple[DrawnPoints, str]:
    drawn = draw_points(opened, ALLOCATION, 0)
    return drawn, write_points(opened, drawn, opened.mark(opened.coverage()), **how)


def test_points_are_written_in_longitude_and_latitude_without_their_class(path: Path) -> None:
    with ClassMap(path, CLASSES) as opened:
        drawn, text = drawn_file(opened)
    content = json.loads(text)
    assert set(content) == {"type", "features"}
    assert [feature["properties"]["id"] for feature in content["features"]] == list(range(1, 76))
    assert {feature["properties"]["label"] for feature in content["features"]} == {""}
    assert not any(name in text for name in NAMES)
    degrees = np.array([feature["geometry"]["coordinates"] for feature in content["features"]])
    x, y = pyproj.Transformer.from_crs(4326, 32640, always_xy=True).transform(*degrees.T)
    assert np.array_equal((x - 300_000) // 2, drawn.columns)
    assert np.array_equal((2_700_000 - y) // 2, drawn.rows)


def test_the_maps_class_is_told_when_asked(path: Path) -> None:
    with ClassMap(path, CLASSES) as opened:
        _, text = drawn_file(opened, reveal=True)
    told = Counter(feature["properties"]["map_class"] for feature in json.loads(text)["features"])
    assert told == dict(zip(NAMES, ALLOCATION.tolist(), strict=True))


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"crs": "EPSG:4326", "transform": Affine(1e-6, 0, 55.2, 0, -1e-6, 25.1)},
        {"crs": "EPSG:3857", "transform": Affine(4e5, 0, -1.8e7, 0, -4e5, 1.2e7)},
        {"crs": "+proj=geos +h=35785831 +ellps=GRS80", "transform": Affine(1.5e5, 0, -6.75e6, 0, -1.5e5, 4.5e6)},
        {"crs": 'LOCAL_CS["site",UNIT["metre",1]]', "transform": Affine(2, 0.5, 100, 0.5, -2, 50)},
        {"crs": None, "transform": Affine.identity()},
    ],
    ids=["UTM", "degrees", "Mercator", "a disc partly off the earth", "a site's own", "no place"],
)
@pytest.mark.parametrize("as_csv", [False, True])
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_points_are_found_again_in_their_pixels(
    classes: np.ndarray, write_map: WriteMap, how: dict, as_csv: bool
) -> None:
    with ClassMap(write_map(classes, **how), CLASSES) as opened:
        drawn, text = drawn_file(opened, as_csv=as_csv)
        points = read_points(text.encode(), "points.csv" if as_csv else "points.geojson")
        found = locate(opened, points.x, points.y, points.system)
    assert np.array_equal(found, [drawn.rows, drawn.columns])


def labelled(path: Path, truth: np.ndarray, **changed: str) -> tuple[Assessment, DrawnPoints]:
    """Points with their true classes, some with other labels by their id."""
    with ClassMap(path, CLASSES) as opened:
        drawn, text = drawn_file(opened)
        content = json.loads(text)
        for feature, row, column in zip(content["features"], drawn.rows, drawn.columns, strict=True):
            number = str(feature["properties"]["id"])
            feature["properties"]["label"] = changed.get(f"id{number}", NAMES[truth[row, column]])
        found = assess(opened, opened.coverage(), read_points(json.dumps(content).encode(), "points.geojson"))
    return found, drawn


@pytest.fixture
def truth(classes: np.ndarray) -> np.ndarray:
    """What is there: the map is wrong in every fifth pixel or so."""
    rng = np.random.default_rng(8)
    return np.where(rng.random(classes.shape) < 0.3, rng.integers(0, 3, classes.shape), classes % 255).astype(np.uint8)


def test_areas_come_from_map_and_labels(classes: np.ndarray, truth: np.ndarray, path: Path) -> None:
    found, drawn = labelled(path, truth)
    counts = np.zeros((3, 3), int)
    np.add.at(counts, (drawn.classes, truth[drawn.rows, drawn.columns]), 1)
    assert found.counts.tolist() == counts.tolist()
    assert (found.left_out, found.notes) == (0, ())
    table = found.table().set_index("class")
    weights = np.bincount(classes.ravel(), minlength=256)[:3] / (classes != 255).sum()
    assert table["mapped_share"].tolist() == pytest.approx(weights, rel=1e-4)
    assert table["share"].tolist() == pytest.approx(weights @ (counts / counts.sum(1, keepdims=True)), rel=1e-3)
    assert table["square_metres"].sum() == pytest.approx(4 * (classes != 255).sum(), rel=1e-3)
    assert table["square_metres_high"].tolist() == pytest.approx(
        (table["square_metres"] + 1.96 * table["square_metres_standard_error"]).tolist()
    )
    assert (table["points_mapped"].tolist(), table["points_labelled"].tolist()) == (
        counts.sum(1).tolist(),
        counts.sum(0).tolist(),
    )


@pytest.mark.slow
def test_drawing_labelling_and_estimating_hold_the_true_areas(
    classes: np.ndarray, truth: np.ndarray, path: Path
) -> None:
    """The whole way, with other points each time; 95 % intervals, so that 86 % are left with a thousandth's chance."""
    inside = classes != 255
    true_shares = np.bincount(truth[inside], minlength=3) / inside.sum()
    held = []
    with ClassMap(path, CLASSES) as opened:
        coverage = opened.coverage()
        for seed in range(60):
            drawn = draw_points(opened, np.array([60, 120, 60]), seed)
            labels = tuple(NAMES[index] for index in truth[drawn.rows, drawn.columns])
            x, y = drawn.columns + 0.5, drawn.rows + 0.5
            ids = tuple(map(str, range(len(labels))))
            points = Points("p", ids, labels, 300_000 + 2 * x, 2_700_000 - 2 * y, "map")
            shares = assess(opened, coverage, points).estimates.shares
            held += (np.abs(shares.value - true_shares) <= shares.margin).tolist()
    assert 0.86 < np.mean(held) <= 1


def test_names_of_labels_are_matched_in_any_spelling(truth: np.ndarray, path: Path) -> None:
    found, drawn = labelled(path, truth, id1="dense_FOREST", id2=" water ")
    assert found.counts.sum() == 75
    assert found.counts[drawn.classes[1], 2] >= 1


def test_points_without_a_label_are_left_out_with_a_note(truth: np.ndarray, path: Path) -> None:
    found, _ = labelled(path, truth, id3="", id9="")
    assert (found.counts.sum(), found.left_out) == (73, 2)
    assert found.notes == ("2 points of points.geojson have no label and are left out: the others stand for them.",)


def csv_of(rows: list[tuple]) -> Points:
    buffer = io.StringIO()
    csv.writer(buffer).writerows([("id", "x", "y", "label"), *rows])
    return read_points(buffer.getvalue().encode(), "mine.csv")


def center(row: int, column: int) -> tuple[float, float]:
    return 300_000 + 2 * (column + 0.5), 2_700_000 - 2 * (row + 0.5)


@pytest.fixture
def enough(classes: np.ndarray) -> list[tuple]:
    """Three points in each class, the last of each called by another name."""
    rows = []
    for index in range(3):
        places = np.argwhere(classes == index)[5:8].tolist()
        labels = (NAMES[index], NAMES[index], NAMES[index - 1])
        rows += [(f"{index}{i}", *center(*at), label) for i, (at, label) in enumerate(zip(places, labels, strict=True))]
    return rows


def read(path: Path, points: Points, system: str | None = None) -> Assessment:
    with ClassMap(path, CLASSES) as opened:
        return assess(opened, opened.coverage(), points, system)


def test_odd_points_are_left_out_one_by_one(path: Path, enough: list[tuple]) -> None:
    again = ("again", *enough[0][1:])
    odd = [("far", 0, 0, "Water"), ("nan", "nan", 5, "Water"), ("corner", *center(2, 2), "Water"), again]
    found = read(path, csv_of(enough + odd))
    assert (found.counts.sum(), found.left_out) == (9, 4)
    assert found.notes == (
        "2 points of mine.csv lie outside the map and are left out.",
        "1 point of mine.csv lies where the map has no class and is left out.",
        "1 point of mine.csv repeats another and is left out.",
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: [*rows, ("x1", *rows[0][1:3], "Water")], "Points 00 and x1 of mine.csv lie in one pixel"),
        (lambda rows: [*rows, ("x1", *rows[0][1:3], "Tree")], r"1 point labelled Tree \(id x1\), which is no class"),
        (lambda rows: rows[:7], "Water, .* % of the map, has 1 point with a label, too few"),
        (lambda rows: rows[:6], "Water, .* % of the map, has 0 points with a label"),
        (lambda rows: [(*row[:3], "") for row in rows], "No point of mine.csv has a label"),
        (lambda rows: [(row[0], row[1] - 1e6, *row[2:]) for row in rows], "All points of mine.csv lie outside map.tif"),
    ],
    ids=["contradiction", "unknown class", "one point", "no point", "no label", "elsewhere"],
)
def test_points_that_say_nothing_sound_are_refused(path: Path, enough: list, change: object, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        read(path, csv_of(change(enough)))


def test_a_class_without_spread_is_remarked(path: Path, enough: list[tuple]) -> None:
    agreed = [(*row[:3], NAMES[int(row[0][0])]) for row in enough]
    (note,) = read(path, csv_of(agreed)).notes
    assert note.startswith("All points mapped as Building, Dense forest, Water have the same label")


def test_points_drawn_on_another_map_are_refused(
    classes: np.ndarray, truth: np.ndarray, path: Path, write_map: WriteMap
) -> None:
    with ClassMap(path, CLASSES) as opened:
        _, text = drawn_file(opened)
    points = read_points(text.replace('"label": ""', '"label": "Water"').encode(), "points.geojson")
    other = write_map(np.where(classes == 2, 1, classes).astype(np.uint8), "other.tif")
    with pytest.raises(ConfigurationError, match=r"drawn on another map than other\.tif"):
        read(other, points)


def test_a_coordinate_system_can_be_named(path: Path, enough: list[tuple]) -> None:
    way = pyproj.Transformer.from_crs(32640, 3857, always_xy=True)
    moved = [(row[0], *way.transform(*row[1:3]), row[3]) for row in enough]
    expected = read(path, csv_of(enough)).counts
    assert np.array_equal(read(path, csv_of(moved), "EPSG:3857").counts, expected)
    degrees = [(row[0], *way.transform(*row[1:3]), row[3]) for row in enough]
    features = [
        {"type": "Feature", "properties": {"class": row[3]}, "geometry": {"type": "Point", "coordinates": row[1:3]}}
        for row in degrees
    ]
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3857"}}
    text = json.dumps({"type": "FeatureCollection", "crs": crs, "features": features})
    assert np.array_equal(read(path, read_points(text.encode(), "qgis.geojson")).counts, expected)
    with pytest.raises(ConfigurationError, match="EPSG:999999 is no coordinate system"):
        read(path, csv_of(enough), "EPSG:999999")


@pytest.mark.parametrize(
    ("text", "system"),
    [("epsg:32640", "EPSG:32640"), ("urn:ogc:def:crs:OGC:1.3:CRS84", "EPSG:4326"), ("Map", "map")],
)
def test_coordinate_systems_are_read(text: str, system: str) -> None:
    assert read_system(text) == system


@pytest.mark.parametrize("text", ["", "UTM 40", "+init=/etc/passwd", "EPSG:1", "grid.gsb"])
def test_what_names_no_coordinate_system_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="Expected a coordinate system such as"):
        read_system(text)


def test_csv_of_a_spreadsheet_is_read() -> None:
    points = read_points("\ufeffLongitude; Latitude; Label\r\n55.5;25.1;Water\r\n55.6;25.2;\r\n".encode(), "a.csv")
    assert (points.labels, points.system, points.ids) == (("Water", ""), "EPSG:4326", ("1", "2"))
    assert points.x.tolist() == [55.5, 55.6]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.geojson", b"{"),
        ("a.geojson", b"[]"),
        ("a.geojson", b'{"features": [{"geometry": {"type": "Point", "coordinates": [1]}}]}'),
        ("a.geojson", b'{"features": [{"geometry": {"type": "Point", "coordinates": ["a", {}]}}]}'),
        ("a.geojson", b'{"features": [{"geometry": null}]}'),
        ("a.geojson", b'{"features": [{"geometry": {"type": "Polygon", "coordinates": []}}]}'),
        ("a.geojson", b'{"features": []}'),
        ("a.geojson", b'{"features": [1]}'),
        ("a.geojson", b'{"features":' + b"[" * 100_000),
        ("a.geojson", b'{"features": [{"geometry": {"type": ["Point"], "coordinates": [1, 2]}}]}'),
        ("a.csv", b""),
        ("a.csv", b"x,y\n1,2\n"),
        ("a.csv", b"x,label\n1,Water\n"),
        ("a.csv", b"x,y,label\n1,two,Water\n"),
        ("a.csv", b"x,y,label\n1\n"),
        ("a.csv", b"\xff\xfe\x00"),
        ("a.csv", b"x,y,label\n" + b'"' + b"1" * 200_000),
    ],
)
def test_a_file_that_holds_no_points_is_one_sentence(name: str, content: bytes) -> None:
    with pytest.raises(ImageFileError) as error:
        read_points(content, name)
    assert str(error.value).startswith(name)
    assert str(error.value).endswith(".")


def test_a_picture_is_sampled_and_estimated_in_shares(classes: np.ndarray, truth: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(classes).save(tmp_path / "scene-indices.png")
    found, _ = labelled(tmp_path / "scene-indices.png", truth)
    table = found.table()
    assert "square_metres" not in table
    assert table["share"].sum() == pytest.approx(1)
    assert found.to_dict()["total_square_metres"] is None
    assert json.loads(json.dumps(found.to_dict()))["points"] == found.counts.tolist()
    assert found.total == HEIGHT * WIDTH - 36
