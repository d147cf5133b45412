"""Orthophotos: bands, stretch, no data, damage, and what a pixel covers on the ground."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.warp
from rasterio import Affine
from rasterio.enums import ColorInterp

from segmentation.data.raster import Raster, is_georeferenced
from segmentation.errors import ImageFileError

HEIGHT, WIDTH = 40, 60

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A function that writes bands (bands, height, width) as a GeoTIFF in UTM zone 40, half a metre a pixel."""

    def write_(bands: np.ndarray, kinds: tuple = (), **how: object) -> Path:
        path = tmp_path / "ortho.tif"
        layout = {"crs": "EPSG:32640", "transform": Affine(0.5, 0, 300_000, 0, -0.5, 2_700_000)} | how
        count, height, width = bands.shape
        with rasterio.open(
            path, "w", driver="GTiff", height=height, width=width, count=count, dtype=bands.dtype, **layout
        ) as file:
            file.write(bands)
            if kinds:
                file.colorinterp = kinds
        return path

    return write_


@pytest.fixture
def bands() -> np.ndarray:
    return np.random.default_rng(4).integers(0, 256, (4, HEIGHT, WIDTH), dtype=np.uint8)


def test_rows_are_red_green_and_blue(write: Write, bands: np.ndarray) -> None:
    with Raster(write(bands[:3])) as raster:
        assert (raster.height, raster.width) == (HEIGHT, WIDTH)
        assert np.array_equal(raster.read(10, 25), bands[:3].transpose(1, 2, 0)[10:25])


def test_bands_are_taken_by_their_tags(write: Write, bands: np.ndarray) -> None:
    kinds = (ColorInterp.undefined, ColorInterp.blue, ColorInterp.green, ColorInterp.red)
    with Raster(write(bands, kinds)) as raster:
        assert np.array_equal(raster.read(0, HEIGHT), bands[[3, 2, 1]].transpose(1, 2, 0))


def test_one_band_is_grey(write: Write, bands: np.ndarray) -> None:
    with Raster(write(bands[:1])) as raster:
        assert np.array_equal(raster.read(0, 5), np.repeat(bands[0, :5, :, None], 3, axis=2))


def test_sixteen_bits_are_stretched_between_percentiles_band_by_band(write: Write) -> None:
    values = np.random.default_rng(5).integers(100, 4000, (3, HEIGHT, WIDTH)).astype(np.uint16)
    values[1] *= 5
    with Raster(write(values)) as raster:
        read = raster.read(0, HEIGHT)
    for band in range(3):
        low, high = np.percentile(values[band], (2, 98))
        expected = np.clip((values[band] - low) / (high - low) * 255, 0, 255)
        assert np.abs(read[..., band] - expected).max() <= 0.5 + 1e-9


def test_a_stretch_leaves_no_data_out(write: Write) -> None:
    values = np.full((3, HEIGHT, WIDTH), 1000.0, np.float32)
    values[:, :, ::2] = 2000
    values[:, :20] = -9999
    with Raster(write(values, nodata=-9999)) as raster:
        assert set(np.unique(raster.read(20, 40))) == {0, 255}
        assert not raster.valid(0, 20).any()
        assert raster.valid(20, 40).all()


def test_one_value_everywhere_can_be_stretched(write: Write) -> None:
    with Raster(write(np.full((3, 8, 8), 700, np.uint16))) as raster:
        assert np.isfinite(raster.read(0, 8)).all()


def test_an_alpha_band_says_where_there_is_no_picture(write: Write, bands: np.ndarray) -> None:
    bands[3] = 255
    bands[3, :, :7] = 0
    kinds = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
    with Raster(write(bands, kinds)) as raster:
        assert np.array_equal(raster.valid(0, HEIGHT), bands[3] > 0)


def test_a_pixel_in_projected_coordinates_has_one_area(write: Write, bands: np.ndarray) -> None:
    with Raster(write(bands)) as raster:
        assert raster.pixel_areas().tolist() == [0.25] * HEIGHT


def test_a_pixel_in_feet_is_told_in_metres(write: Write, bands: np.ndarray) -> None:
    with Raster(write(bands, crs="EPSG:2263")) as raster:  # New York, US survey feet
        assert raster.pixel_areas()[0] == pytest.approx((0.5 * 1200 / 3937) ** 2)


def test_degrees_add_up_to_the_ellipsoids_surface(write: Write) -> None:
    whole = Affine(1, 0, -180, 0, -0.5, 90)
    with Raster(write(np.zeros((1, 360, 360), np.uint8), crs="EPSG:4326", transform=whole)) as raster:
        assert 360 * raster.pixel_areas().sum() == pytest.approx(510_065_621.7e6, rel=1e-4)  # WGS 84, in m²


def test_without_coordinates_there_is_no_area(write: Write, bands: np.ndarray) -> None:
    path = write(bands, crs=None)
    with Raster(path) as raster:
        assert raster.pixel_areas() is None
    assert not is_georeferenced(path)


def test_what_says_where_it_lies_is_told_apart(write: Write, bands: np.ndarray, tmp_path: Path) -> None:
    assert is_georeferenced(write(bands))
    (tmp_path / "text.tif").write_bytes(b"Dear Sir or Madam")
    assert not is_georeferenced(tmp_path / "text.tif")
    assert not is_georeferenced(tmp_path / "missing.tif")


def test_what_is_no_tiff_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "text.tif").write_bytes(b"Dear Sir or Madam")
    with pytest.raises(ImageFileError, match=r"text\.tif is not a TIFF image that can be read"):
        Raster(tmp_path / "text.tif")


def test_a_virtual_raster_that_names_other_files_is_refused(write: Write, bands: np.ndarray, tmp_path: Path) -> None:
    inner = write(bands)
    (tmp_path / "virtual.tif").write_text(
        f'<VRTDataset rasterXSize="{WIDTH}" rasterYSize="{HEIGHT}"><VRTRasterBand dataType="Byte" band="1">'
        f"<SimpleSource><SourceFilename>{inner}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    with pytest.raises(ImageFileError, match=r"virtual\.tif is not a TIFF"):
        Raster(tmp_path / "virtual.tif")


def test_complex_numbers_are_refused(write: Write) -> None:
    with pytest.raises(ImageFileError, match="complex numbers"):
        Raster(write(np.zeros((1, 8, 8), np.complex64)))


def test_not_a_number_is_black(write: Write) -> None:
    values = np.full((3, HEIGHT, WIDTH), 5, np.float32)
    values[:, :, 1::2] = 9
    values[:, 0] = np.nan
    with Raster(write(values)) as raster:
        read = raster.read(0, HEIGHT)
    assert not read[0].any()
    assert set(np.unique(read[1:])) == {0, 255}


@pytest.mark.parametrize(
    ("layout", "reason"),
    [
        ({"width": 500_001, "height": 10}, "more than the 500,000 that are read across: cut it into sheets"),
        ({"width": 60_000, "height": 60_000, "tiled": True, "blockxsize": 1024, "blockysize": 1024}, "too few bytes"),
    ],
    ids=["too wide", "nothing in it"],
)
def test_what_would_take_unbounded_memory_or_time_is_refused(tmp_path: Path, layout: dict, reason: str) -> None:
    path = tmp_path / "ortho.tif"
    with rasterio.open(path, "w", driver="GTiff", count=3, dtype="uint8", crs="EPSG:32640", sparse_ok=True, **layout):
        pass
    with pytest.raises(ImageFileError, match=reason):
        Raster(path)


def test_a_file_that_is_one_large_block_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ortho.tif"
    layout = {
        "width": 14_000,
        "height": 14_000,
        "blockysize": 14_000,
        "blockxsize": 14_000,
        "tiled": True,
        "sparse_ok": True,
    }
    with rasterio.open(path, "w", driver="GTiff", count=3, dtype="uint8", crs="EPSG:32640", **layout):
        pass
    with path.open("ab") as file:
        file.write(bytes(1 << 20))
    with pytest.raises(ImageFileError, match="in pieces of 14,000 × 14,000 pixels, more than 512 MB each"):
        Raster(path)


def test_half_a_file_is_refused_where_it_ends(write: Write, bands: np.ndarray, tmp_path: Path) -> None:
    whole = write(bands, compress="deflate", blockysize=8).read_bytes()
    (tmp_path / "half.tif").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageFileError, match=r"half\.tif is"), Raster(tmp_path / "half.tif") as raster:
        raster.read(0, HEIGHT)


def test_an_overview_averages_and_indices_stay(write: Write, bands: np.ndarray) -> None:
    path = write(bands[:3])
    with Raster(path) as raster:
        small, nearest = raster.overview(WIDTH // 2), raster.indices(WIDTH // 2)
        whole = raster.overview(WIDTH)
    assert np.array_equal(whole, bands[:3].transpose(1, 2, 0))
    blocks = bands[:3].reshape(3, HEIGHT // 2, 2, WIDTH // 2, 2).mean((2, 4)).transpose(1, 2, 0)
    assert np.abs(small - blocks).max() <= 0.5
    assert nearest.shape == (HEIGHT // 2, WIDTH // 2)
    assert set(np.unique(nearest)) <= set(np.unique(bands[0]))


def test_the_corners_are_told_in_longitude_and_latitude(write: Write, bands: np.ndarray) -> None:
    with Raster(write(bands[:3])) as raster:
        corners = raster.corners()
    x, y = rasterio.warp.transform("EPSG:4326", "EPSG:32640", *corners.T)
    assert np.allclose(x, [300_000, 300_030, 300_030, 300_000], atol=0.01)
    assert np.allclose(y, [2_700_000, 2_700_000, 2_699_980, 2_699_980], atol=0.01)


def test_without_coordinates_there_are_no_corners(write: Write, bands: np.ndarray) -> None:
    with Raster(write(bands[:3], crs=None, transform=Affine.identity())) as raster:
        assert raster.corners() is None
