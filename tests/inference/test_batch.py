"""A folder of images: each is predicted once, a bad one stops nothing, and many machines give what one gives."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
from distributed import Client, LocalCluster
from PIL import Image
from rasterio import Affine

from segmentation.data.palette import Palette
from segmentation.errors import ConfigurationError
from segmentation.inference.batch import Job, predict_files
from segmentation.inference.options import SEAMLESS, Inference
from segmentation.inference.predictor import Predictor

PALETTE = Palette(("Roof", "Tree", "Soil"), ((200, 30, 40), (20, 120, 30), (150, 200, 90)))


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """Twelve images of several sizes; one is no image."""
    return write_images(tmp_path / "images", 12)


def write_images(folder: Path, count: int) -> list[Path]:
    rng = np.random.default_rng(6)
    folder.mkdir()
    for number in range(count):
        height, width = rng.integers(10, 60, 2)
        down, right = np.sin(np.arange(height) / (3 + number)), np.cos(np.arange(width) / 5)
        noisy = 120 + 100 * np.outer(down, right)[..., None] + rng.integers(-20, 20, (height, width, 3))
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(folder / f"image {number:02d}.png")
    (folder / "image 05.png").write_bytes(b"Dear Sir or Madam")
    return sorted(folder.iterdir())


def pixels(folder: Path) -> dict[str, np.ndarray]:
    return {path.name: np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))}


def written(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_every_image_gets_what_the_predictor_says(small_model: Path, images: list[Path], tmp_path: Path) -> None:
    rows = list(predict_files(Job(small_model, PALETTE, tmp_path / "out", inference=Inference(overlap=0.5)), images))
    assert [row["image"] for row in rows] == [image.name for image in images]
    predictor = Predictor(small_model)
    for row, image in zip(rows, images, strict=True):
        if image.name == "image 05.png":
            assert "image 05.png is not an image that can be read" in row["problem"]
            continue
        expected = predictor.scene(np.asarray(Image.open(image)), Inference(overlap=0.5)).classes
        assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / f"{image.stem}-indices.png")), expected)
        assert row["problem"] is None
        assert (row["height"], row["width"]) == expected.shape
        assert row["pixels"] == {name: (expected == index).sum() for index, name in enumerate(PALETTE.names)}


def test_what_is_done_is_not_done_again(small_model: Path, images: list[Path], tmp_path: Path) -> None:
    job = Job(small_model, PALETTE, tmp_path / "out")
    first = list(predict_files(job, images))
    before = written(tmp_path / "out")
    again = list(predict_files(job, images))
    assert sorted(again, key=lambda row: row["image"]) == first
    assert written(tmp_path / "out") == before


@pytest.mark.usefixtures("bfloat16")
def test_what_was_done_exactly_is_done_again_in_bfloat16(small_model: Path, images: list[Path], tmp_path: Path) -> None:
    for bfloat16 in (False, True):
        job = Job(small_model, PALETTE, tmp_path / "out", inference=Inference(0.25, bfloat16=bfloat16))
        (row,) = predict_files(job, images[:1])
        expected = Predictor(small_model, bfloat16).scene_classes(np.asarray(Image.open(images[0])), SEAMLESS)
        assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / "image 00-indices.png")), expected)
        settings = json.loads((tmp_path / "out" / "image 00.json").read_text())["settings"]
        assert settings["bfloat16"] is bfloat16
        assert row["problem"] is None


def change_overlap(job: Job, image: Path) -> Job:
    return Job(job.model, job.palette, job.output, inference=Inference(overlap=0.5))


def change_a_colour(job: Job, image: Path) -> Job:
    return Job(job.model, Palette(PALETTE.names, (PALETTE.colors[-1], *PALETTE.colors[:-1])), job.output)


def change_image(job: Job, image: Path) -> Job:
    Image.effect_noise((30, 40), 90).convert("RGB").save(image)
    return job


def lose_a_product(job: Job, image: Path) -> Job:
    (job.output / f"{image.stem}-colours.png").unlink()
    return job


def spoil_the_note(job: Job, image: Path) -> Job:
    (job.output / f"{image.stem}.json").write_text('{"settings": ')
    return job


@pytest.mark.parametrize("change", [change_overlap, change_a_colour, change_image, lose_a_product, spoil_the_note])
def test_what_is_done_otherwise_is_done_anew(
    small_model: Path, images: list[Path], tmp_path: Path, change: Callable[[Job, Path], Job]
) -> None:
    job = Job(small_model, PALETTE, tmp_path / "out")
    list(predict_files(job, images[:1]))
    before = written(tmp_path / "out")[f"{images[0].stem}-indices.png"]
    job = change(job, images[0])
    (again,) = predict_files(job, images[:1])
    assert again["problem"] is None
    assert written(tmp_path / "out")[f"{images[0].stem}-indices.png"] != before


def test_two_images_that_would_overwrite_each_other_are_refused(small_model: Path, tmp_path: Path) -> None:
    for name in ("same.png", "same.jpg"):
        Image.new("RGB", (20, 20)).save(tmp_path / name)
    with pytest.raises(ConfigurationError, match="More than one image is called same"):
        list(predict_files(Job(small_model, PALETTE, tmp_path / "out"), [tmp_path / "same.png", tmp_path / "same.jpg"]))


def test_nearest_colours_are_scored_where_smeared_ones_are_left_out(
    small_model: Path, images: list[Path], tmp_path: Path
) -> None:
    with Image.open(images[0]) as image:
        exact = np.random.default_rng(0).choice(np.array(PALETTE.colors, np.uint8), (image.height, image.width))
    smeared = np.array(exact)
    smeared[:, ::2] ^= 3
    Image.fromarray(smeared).save(tmp_path / "mask.png")
    rows = {}
    for nearest in (False, True):
        job = Job(small_model, PALETTE, tmp_path / "out", {images[0].stem: tmp_path / "mask.png"}, nearest)
        (rows[nearest],) = predict_files(job, images[:1])  # the second time anew, since the setting is another
        predicted = np.asarray(Image.open(tmp_path / "out" / f"{images[0].stem}-indices.png"))
        right = predicted == PALETTE.encode(exact)
        expected = right if nearest else right[:, 1::2]
        assert rows[nearest]["scores"]["accuracy"] == pytest.approx(expected.mean(), abs=1e-6)
        assert rows[nearest]["uncertain"] == (smeared != exact).any(-1).mean()


def test_an_image_that_goes_away_is_named(small_model: Path, images: list[Path], tmp_path: Path) -> None:
    images[3].unlink()
    rows = list(predict_files(Job(small_model, PALETTE, tmp_path / "out"), images))
    assert "image 03.png is not there any more" in rows[3]["problem"]
    assert sum(row["problem"] is None for row in rows) == 10


@pytest.mark.filterwarnings("error:Sending large graph")
def test_two_workers_one_killed_half_way_give_what_one_process_gives(small_model: Path, tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", 200)
    masks = {f"scene {number}": tmp_path / "masks" / f"scene {number}.png" for number in range(200_000)}
    masks[images[0].stem] = images[0]  # has none of the classes' colours
    alone, together = {}, {}
    for row in predict_files(Job(small_model, PALETTE, tmp_path / "alone", masks), images):
        alone[row["image"]] = row
    with LocalCluster(2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster:
        with Client(cluster) as client:
            processes = list(client.run(os.getpid).values())
        for row in predict_files(
            Job(small_model, PALETTE, tmp_path / "together", masks), images, cluster.scheduler_address
        ):
            together[row["image"]] = row
            if len(together) == len(images) // 2:
                os.kill(processes[0], signal.SIGKILL)
    assert len(together) == 200
    assert together == alone
    assert [name for name, row in together.items() if row.get("uncertain")] == [images[0].name]
    assert {path.name for path in (tmp_path / "together").iterdir()} == {
        path.name for path in (tmp_path / "alone").iterdir()
    }
    one, other = pixels(tmp_path / "alone"), pixels(tmp_path / "together")
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_another_picture_of_the_same_name_size_and_time_is_predicted(small_model: Path, tmp_path: Path) -> None:
    paths = []
    for place, seed in (("a", 1), ("b", 2)):
        paths.append(tmp_path / place / "city.png")
        paths[-1].parent.mkdir()
        pixels = np.random.default_rng(seed).integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(paths[-1], compress_level=0)
        os.utime(paths[-1], (1e9, 1e9))
    assert paths[0].stat().st_size == paths[1].stat().st_size
    job = Job(small_model, PALETTE, tmp_path / "out")
    rows = [next(iter(predict_files(job, [path]))) for path in paths]
    assert rows[0]["pixels"] != rows[1]["pixels"]


def test_the_same_picture_elsewhere_and_later_is_not_predicted_again(
    small_model: Path, images: list[Path], tmp_path: Path
) -> None:
    job = Job(small_model, PALETTE, tmp_path / "out")
    list(predict_files(job, images[:1]))
    before = written(tmp_path / "out")
    moved = tmp_path / "moved" / images[0].name
    moved.parent.mkdir()
    moved.write_bytes(images[0].read_bytes())
    os.utime(moved, (2e9, 2e9))
    list(predict_files(job, [moved]))
    assert written(tmp_path / "out") == before


def test_a_file_that_is_where_it_was_is_not_read_again(small_model: Path, images: list[Path], tmp_path: Path) -> None:
    job = Job(small_model, PALETTE, tmp_path / "out")
    before = job.settings(images[0])
    images[0].chmod(0)
    assert job.settings(images[0], before) == before


def deeply_nested(note: Path) -> None:
    note.write_text("[" * 100_000)


def a_folder(note: Path) -> None:
    note.mkdir()


@pytest.mark.parametrize("put", [deeply_nested, a_folder])
def test_what_lies_in_the_place_of_a_note_stops_nothing(
    small_model: Path, images: list[Path], tmp_path: Path, put: Callable[[Path], None]
) -> None:
    (tmp_path / "out").mkdir()
    put(tmp_path / "out" / "image 00.json")
    rows = {row["image"]: row["problem"] for row in predict_files(Job(small_model, PALETTE, tmp_path / "out"), images)}
    assert sum(problem is None for problem in rows.values()) >= 10


SITE = 'LOCAL_CS["site",UNIT["metre",1],AXIS["Easting",EAST],AXIS["Northing",NORTH]]'
MOON = "+proj=eqc +R=1737400 +units=m"
ENGINEERING = (
    'ENGCRS["a machine",EDATUM["its bed"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],LENGTHUNIT["metre",1]]'
)


@pytest.mark.parametrize(
    ("layout", "mapped"),
    [
        ({"crs": SITE}, True),
        ({"crs": ENGINEERING}, True),
        ({"crs": MOON}, True),
        (
            {"crs": "+proj=geos +h=35785831 +lon_0=0 +datum=WGS84", "transform": Affine(3e6, 0, -6e7, 0, -3e6, 5e7)},
            True,
        ),
        ({"crs": "EPSG:32640", "transform": Affine(1e9, 0, 9e12, 0, -1e9, 9e12)}, True),
        ({"crs": "EPSG:32640", "transform": Affine(np.nan, 0, 0, 0, np.nan, 0)}, False),
        ({"crs": None}, False),
        ({"crs": "EPSG:32640", "transform": Affine.identity()}, False),
    ],
    ids=["a site", "a machine", "the Moon", "off the planet", "far away", "not a number", "no system", "no place"],
)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_an_odd_place_gets_its_map_or_its_word_and_the_others_go_on(
    small_model: Path, tmp_path: Path, layout: dict, mapped: bool
) -> None:
    paths = [tmp_path / "images" / name for name in ("a.tif", "b.tif", "c.tif")]
    paths[0].parent.mkdir()
    usual = {"crs": "EPSG:32640", "transform": Affine(0.5, 0, 300_000, 0, -0.5, 2_700_000)}
    for path, place in zip(paths, (usual, usual | layout, usual), strict=True):
        pixels = np.random.default_rng(3).integers(0, 256, (3, 40, 30), dtype=np.uint8)
        kind = {"driver": "GTiff", "count": 3, "height": 40, "width": 30, "dtype": "uint8"}
        with rasterio.open(path, "w", **kind, **place) as file:
            file.write(pixels)
    rows = list(predict_files(Job(small_model, PALETTE, tmp_path / "out", confidence=True, polygons=True), paths))
    assert [row["problem"] for row in rows] == [None, None, None]
    assert [(tmp_path / "out" / f"{name}-classes.tif").exists() for name in "abc"] == [True, mapped, True]
    assert [(tmp_path / "out" / f"{name}-classes.geojson").exists() for name in "abc"] == [True, mapped, True]
    assert (tmp_path / "out" / "b-indices.png").exists() != mapped
    assert ("picture without a place" in rows[1].get("note", "")) != mapped


@pytest.mark.parametrize("latitude", [25, 60])
def test_areas_of_one_picture_agree_in_web_mercator_and_utm(small_model: Path, tmp_path: Path, latitude: int) -> None:
    (tmp_path / "images").mkdir()
    zone = "EPSG:32640"
    x, y = pyproj.Transformer.from_crs("EPSG:4326", zone, always_xy=True).transform(57, latitude)
    pixels = np.random.default_rng(3).integers(0, 256, (3, 96, 128), dtype=np.uint8)
    pixels = pixels // 2 + np.linspace(0, 120, 128).astype(np.uint8)
    utm, mercator = (tmp_path / "images" / name for name in ("utm.tif", "mercator.tif"))
    kind = {"driver": "GTiff", "count": 3, "dtype": "uint8"}
    with rasterio.open(utm, "w", height=96, width=128, crs=zone, transform=Affine(1, 0, x, 0, -1, y), **kind) as file:
        file.write(pixels)
    # The same pixels: only where their corners lie is told in the other system.
    corner, opposite = (
        pyproj.Transformer.from_crs(zone, "EPSG:3857", always_xy=True).transform(x + right, y - down)
        for right, down in ((0, 0), (128, 96))
    )
    place = Affine((opposite[0] - corner[0]) / 128, 0, corner[0], 0, (opposite[1] - corner[1]) / 96, corner[1])
    with rasterio.open(mercator, "w", height=96, width=128, crs="EPSG:3857", transform=place, **kind) as file:
        file.write(pixels)
    first, second = predict_files(Job(small_model, PALETTE, tmp_path / "out"), [utm, mercator])
    assert first["pixels"] == second["pixels"]
    for name, area in first["square_metres"].items():
        assert second["square_metres"][name] == pytest.approx(area, rel=0.005)


def test_a_full_disk_leaves_the_others_their_sentence(
    small_model: Path, images: list[Path], small_disk: Path, fill: Callable[[Path], None]
) -> None:
    fill(small_disk)
    rows = list(predict_files(Job(small_model, PALETTE, small_disk / "out"), images[:3]))
    assert all("make room" in row["problem"] for row in rows)
