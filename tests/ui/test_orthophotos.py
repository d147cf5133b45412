"""The explorer's view of orthophotos: seen at once, predicted on request, in its place and with its areas."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.warp
from rasterio import Affine
from streamlit.testing.v1 import AppTest

from segmentation.data.raster import Raster
from segmentation.ui.charts.maps import map_figure
from segmentation.ui.explorer.orthophotos import area
from segmentation.ui.loaders.orthophotos import load_orthophoto
from segmentation.ui.viewer import Coordinates

HEIGHT, WIDTH = 70, 100
TRANSFORM = Affine(0.5, 0, 300_000, 0, -0.5, 2_700_000)

Open = Callable[..., AppTest]


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


@pytest.fixture
def ortho(trained: object, picture: np.ndarray) -> Path:
    """An orthophoto beside the data set, half a metre a pixel."""
    path = trained.dataset.root / "orthophotos" / "city.tif"
    path.parent.mkdir(exist_ok=True)
    layout = {"height": HEIGHT, "width": WIDTH, "count": 3, "dtype": "uint8", "crs": "EPSG:32640"}
    with rasterio.open(path, "w", driver="GTiff", transform=TRANSFORM, **layout) as file:
        file.write(picture.transpose(2, 0, 1))
    return path


def words(at: AppTest) -> str:
    return "\n".join(str(element.value) for kind in (at.caption, at.info, at.error) for element in kind)


def test_without_a_file_the_view_says_what_to_give(open_page: Open) -> None:
    at = open_page("explorer", source="Orthophoto")
    assert not at.exception
    assert "Name a GeoTIFF" in words(at)


def test_an_orthophoto_becomes_a_map_with_areas(
    open_page: Open, trained: object, ortho: Path, picture: np.ndarray
) -> None:
    import keras

    at = open_page("explorer", source="Orthophoto", orthophoto=str(ortho), overlap="0", map="true")
    assert not at.exception
    assert f"{WIDTH} × {HEIGHT} px · EPSG:32640 · 1,750 m²" in words(at).replace("\\", "")
    made = trained.run.folder.parent / "maps" / "tiny" / hashlib.sha256(os.fsencode(ortho)).hexdigest()[:12]
    (made / ".writing-abc").mkdir(parents=True)  # by a server that was killed
    at.button(key="predict-orthophoto").click().run()
    assert not at.exception
    model = keras.saving.load_model(trained.run.model, compile=False)
    mirrored = np.pad(picture, ((0, 96 - HEIGHT), (0, 128 - WIDTH), (0, 0)), "symmetric").astype("float32")
    predicted = np.empty((96, 128), int)
    for top in range(0, 96, 32):
        for left in range(0, 128, 32):
            window = mirrored[None, top : top + 32, left : left + 32]
            predicted[top : top + 32, left : left + 32] = np.asarray(model(window))[0].argmax(-1)
    counts = np.bincount(predicted[:HEIGHT, :WIDTH].ravel(), minlength=6)
    table = at.dataframe[0].value
    assert list(table["pixels"]) == list(counts)
    with Raster(ortho) as raster:
        ground = raster.pixel_areas().within(slice(0, HEIGHT), slice(0, WIDTH))
    areas = np.bincount(predicted[:HEIGHT, :WIDTH].ravel(), ground.ravel(), 6)
    assert list(table["square_metres"]) == [f"{square_metres:,.0f} m²" for square_metres in areas]
    assert {path.name for path in made.iterdir()} == {
        "city-classes.tif",
        "city-classes.tif.aux.xml",
        "city-confidence.tif",
        "city.json",
    }
    with rasterio.open(made / "city-classes.tif") as file:
        assert np.array_equal(file.read(1), predicted[:HEIGHT, :WIDTH])
        assert file.transform == TRANSFORM
    chart = next(chart for chart in at.get("plotly_chart") if chart.proto.id.endswith("-map-figure"))
    corners = json.loads(chart.proto.spec)["layout"]["map"]["layers"][0]["coordinates"]
    x, y = rasterio.warp.transform("EPSG:4326", "EPSG:32640", *zip(*corners, strict=True))
    assert np.allclose(x, [300_000, 300_050, 300_050, 300_000], atol=0.01)
    assert np.allclose(y, [2_700_000, 2_700_000, 2_699_965, 2_699_965], atol=0.01)


@pytest.mark.usefixtures("bfloat16")
def test_an_orthophoto_is_predicted_in_bfloat16(
    open_page: Open, trained: object, ortho: Path, picture: np.ndarray
) -> None:
    from segmentation.inference.predictor import Predictor

    at = open_page("explorer", source="Orthophoto", orthophoto=str(ortho), overlap="0")
    at.toggle(key="bfloat16").set_value(True).run()
    at.button(key="predict-orthophoto").click().run()
    assert not at.exception
    expected = Predictor(trained.run.model, bfloat16=True).scene_classes(picture)
    assert list(at.dataframe[0].value["pixels"]) == list(np.bincount(expected.ravel(), minlength=6))
    at.toggle(key="bfloat16").set_value(False).run()
    assert at.button(key="predict-orthophoto")  # another way, so it is offered anew


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_picture_without_coordinates_is_sent_to_the_uploads(
    open_page: Open, ortho: Path, picture: np.ndarray
) -> None:
    plain = ortho.with_name("plain.tif")
    with rasterio.open(plain, "w", driver="GTiff", height=HEIGHT, width=WIDTH, count=3, dtype="uint8") as file:
        file.write(picture.transpose(2, 0, 1))
    at = open_page("explorer", source="Orthophoto", orthophoto=str(plain))
    assert not at.exception
    assert "plain.tif has no coordinate system: choose Upload" in at.error[0].value.replace("\\", "")


def test_an_upload_is_mapped_and_leaves_nothing_among_the_runs(open_page: Open, trained: object, ortho: Path) -> None:
    at = open_page("explorer", source="Orthophoto")
    at.file_uploader(key="upload-orthophoto").upload("other.tif", ortho.read_bytes(), "image/tiff").run()
    at.button(key="predict-orthophoto").click().run()
    assert not at.exception
    assert at.dataframe[0].value["pixels"].sum() == HEIGHT * WIDTH
    assert not list((trained.run.folder.parent).rglob("upload*"))


def test_polygons_are_made_when_they_are_asked_for(open_page: Open, trained: object, ortho: Path) -> None:
    at = open_page("explorer", source="Orthophoto", orthophoto=str(ortho), overlap="50")
    at.button(key="predict-orthophoto").click().run()
    offered = {download.label for download in at.get("download_button")}
    assert {"Classes", "Confidence", "Areas"} <= offered
    assert "Polygons" not in offered
    at.button(key="make-polygons").click().run()
    assert not at.exception
    assert "Polygons" in {download.label for download in at.get("download_button")}
    (made,) = (trained.run.folder.parent / "maps").rglob("city-classes.geojson")
    assert json.loads(made.read_text())["features"]
    assert "make-polygons" not in {button.key for button in at.button}


def test_what_is_no_geotiff_gets_one_sentence(open_page: Open, trained: object) -> None:
    broken = trained.dataset.root / "orthophotos" / "broken.tif"
    broken.parent.mkdir(exist_ok=True)
    broken.write_bytes(b"II*\x00 and nothing else")
    at = open_page("explorer", source="Orthophoto", orthophoto=str(broken))
    assert not at.exception
    assert "broken.tif is not a TIFF image that can be read" in at.error[0].value.replace("\\", "")


def test_a_map_shows_the_streets_only_when_asked(picture: np.ndarray) -> None:
    corners = np.array([[55.0, 25.1], [55.1, 25.1], [55.1, 25.0], [55.0, 25.0]])
    alone, among = (map_figure(picture, corners, streets).layout.map for streets in (False, True))
    assert alone.style["sources"] == {}
    assert among.style == "open-street-map"
    assert (alone.center.lon, alone.center.lat) == pytest.approx((55.05, 25.05))


def test_the_cursor_reads_coordinates(ortho: Path) -> None:
    system, transform, decimals = Coordinates.of(load_orthophoto(ortho))
    a, b, c, d, e, f = transform
    assert (system, decimals) == ("EPSG:32640", 1)
    # In the middle of the picture.
    assert (a / 2 + b / 2 + c, d / 2 + e / 2 + f) == (300_025, 2_699_982.5)


@pytest.mark.parametrize(
    ("square_metres", "said"), [(950.4, "950 m²"), (25_000, "2.50 ha"), (3_400_000, "3.40 km²"), (0, "0 m²")]
)
def test_an_area_is_said_in_a_unit_that_fits(square_metres: float, said: str) -> None:
    assert area(square_metres) == said


def test_a_path_outside_the_allowed_folders_is_refused(
    open_page: Open, ortho: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGMENTATION_ALLOWED", "")
    elsewhere = tmp_path / "elsewhere.tif"
    elsewhere.write_bytes(ortho.read_bytes())
    (ortho.parent / "link.tif").symlink_to(elsewhere)
    for path in (elsewhere, ortho.parent / "link.tif", ortho.parent / ".." / ".." / tmp_path.name / "elsewhere.tif"):
        at = open_page("explorer", source="Orthophoto", orthophoto=str(path))
        assert not at.exception
        assert "pages may read" in at.error[0].value
        assert not at.get("button") or "predict-orthophoto" not in {button.key for button in at.button}
    (ortho.parent / "link.tif").unlink()
