"""Orthophotos: bands, stretch, no data, damage, and what a pixel covers on the ground."""

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
import rasterio.warp
from PIL import Image
from rasterio import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp

from segmentation.data.pixel_areas import PixelAreas
from segmentation.data.raster import HOST, Raster
from segmentation.errors import ImageFileError

HEIGHT, WIDTH = 40, 60
PLACE = {"crs": "EPSG:32640", "transform": Affine(0.5, 0, 300_000, 0, -0.5, 2_700_000)}

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A function that writes bands (bands, height, width) as a GeoTIFF in UTM zone 40, half a metre a pixel."""

    def write_(bands: np.ndarray, kinds: tuple = (), **how: object) -> Path:
        path = tmp_path / "ortho.tif"
        layout = PLACE | how
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


def every_area(areas: PixelAreas, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    return areas.within(slice(0, height), slice(0, width))


def geodesic_area(crs: str, transform: Affine, row: int, column: int, pixels: int = 1) -> float:
    """The area of a square of pixels on the ellipsoid, by GeographicLib."""
    edge = np.linspace(0, pixels, 9)
    ring = [*((x, 0) for x in edge), *((pixels, y) for y in edge), *((x, pixels) for x in edge[::-1])]
    x, y = zip(*(transform @ (column + a, row + b) for a, b in ring), strict=True)
    system = pyproj.CRS(crs)
    degrees = pyproj.Transformer.from_crs(system, system.geodetic_crs, always_xy=True).transform(x, y)
    return abs(system.get_geod().polygon_area_perimeter(*degrees)[0])


@pytest.mark.parametrize("latitude", [0, 25, 60])
@pytest.mark.parametrize("crs", ["EPSG:3857", "EPSG:4326", "EPSG:32631", "laea"])
def test_areas_are_those_on_the_ground_in_any_projection(
    write: Write, bands: np.ndarray, crs: str, latitude: int
) -> None:
    crs = f"+proj=laea +lat_0={latitude} +lon_0=3 +datum=WGS84" if crs == "laea" else crs
    x, y = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(4.0, latitude)
    pixel = 20 / 111_000 if crs == "EPSG:4326" else 20
    transform = Affine(pixel, 0, x, 0, -pixel, y)
    with Raster(write(bands[:3], crs=crs, transform=transform)) as raster:
        areas = raster.pixel_areas()
    for row, column in ((0, 0), (20, 30), (HEIGHT - 10, WIDTH - 10)):
        patch = every_area(areas)[row : row + 10, column : column + 10].sum()
        assert patch == pytest.approx(geodesic_area(crs, transform, row, column, 10), rel=1e-5)
    assert areas.total == pytest.approx(every_area(areas).sum())


def test_a_pixel_in_feet_is_told_in_metres(write: Write, bands: np.ndarray) -> None:
    place = Affine(0.5, 0, 990_000, 0, -0.5, 210_000)
    with Raster(write(bands, crs="EPSG:2263", transform=place)) as raster:  # New York, US survey feet
        assert every_area(raster.pixel_areas())[0] == pytest.approx((0.5 * 1200 / 3937) ** 2, rel=1e-4)


def test_degrees_add_up_to_the_ellipsoids_surface(write: Write) -> None:
    whole = Affine(1, 0, -180, 0, -0.5, 90)
    with Raster(write(np.zeros((1, 360, 360), np.uint8), crs="EPSG:4326", transform=whole)) as raster:
        assert raster.pixel_areas().total == pytest.approx(510_065_621.7e6, rel=1e-4)  # WGS 84, in m²


def test_a_sites_own_system_is_measured_in_its_own_units(write: Write, bands: np.ndarray) -> None:
    site = 'LOCAL_CS["site",UNIT["foot",0.3048],AXIS["Easting",EAST],AXIS["Northing",NORTH]]'
    with Raster(write(bands, crs=site, transform=Affine(2, 0, 0, 0, -2, 0))) as raster:
        assert (raster.unplaced, raster.system, raster.corners()) == (None, "site", None)
        assert every_area(raster.pixel_areas()) == pytest.approx((2 * 0.3048) ** 2)


def test_the_moon_has_the_moons_areas(write: Write, bands: np.ndarray) -> None:
    moon = "+proj=eqc +R=1737400 +units=m"
    with Raster(write(bands, crs=moon, transform=Affine(1000, 0, 0, 0, -1000, 0))) as raster:
        assert every_area(raster.pixel_areas())[0] == pytest.approx(1e6, rel=1e-3)


def test_pixels_off_the_planet_have_no_area(write: Write) -> None:
    disk = "+proj=geos +h=35785831 +lon_0=0 +datum=WGS84"
    step = 5_500_000 / 30
    place = Affine(step, 0, -5_500_000, 0, -step, 5_500_000)
    with Raster(write(np.zeros((1, 60, 60), np.uint8), crs=disk, transform=place)) as raster:
        areas = every_area(raster.pixel_areas(), 60, 60)
        assert raster.corners() is None
    assert areas[0, 0] == 0
    assert areas[30, 30] == pytest.approx(geodesic_area(disk, place, 30, 30), rel=1e-2)


@pytest.mark.parametrize(
    ("layout", "reason"),
    [
        ({"crs": None}, "has no coordinate system"),
        ({"transform": Affine.identity()}, "has a coordinate system but no place in it"),
        ({"transform": Affine(np.nan, 0, 0, 0, np.nan, 0)}, "has a place that is not a number"),
        ({"transform": Affine(0, 0, 5, 0, 0, 7)}, "has pixels without a size"),
        (
            {
                "crs": "EPSG:4326",
                "transform": None,
                "gcps": [GroundControlPoint(row, row, 5 + row, 50 - row, 0) for row in range(3)],
            },
            "has only control points: warp it first",
        ),
    ],
    ids=["no system", "no place", "not a number", "no size", "control points"],
)
def test_a_file_that_does_not_say_where_it_lies_says_why(
    write: Write, bands: np.ndarray, layout: dict, reason: str
) -> None:
    with Raster(write(bands[:3], **layout)) as raster:
        assert raster.unplaced == reason
        assert (raster.crs, raster.transform, raster.corners(), raster.pixel_areas()) == (None, None, None, None)
        assert np.array_equal(raster.read(0, HEIGHT), bands[:3].transpose(1, 2, 0))


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


def test_what_would_take_unbounded_time_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ortho.tif"
    layout = {"width": 60_000, "height": 60_000, "tiled": True, "blockxsize": 1024, "blockysize": 1024}
    with rasterio.open(path, "w", driver="GTiff", count=3, dtype="uint8", sparse_ok=True, **PLACE, **layout):
        pass
    with pytest.raises(ImageFileError, match="too few bytes"):
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
    with rasterio.open(path, "w", driver="GTiff", count=3, dtype="uint8", **PLACE, **layout):
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


@pytest.mark.parametrize("kind", ["palette", "white is zero", "1 bit", "2 bits", "4 bits"])
def test_colours_are_those_that_pillow_sees(tmp_path: Path, bands: np.ndarray, kind: str) -> None:
    path, layout = tmp_path / "ortho.tif", {"driver": "GTiff", "height": HEIGHT, "width": WIDTH, "count": 1}
    layout |= {"dtype": "uint8", "crs": "EPSG:32640", "transform": Affine(1, 0, 3e5, 0, -1, 2e6)}
    bits = int(kind[0]) if kind[0].isdigit() else 8
    layout |= {"photometric": "MINISWHITE"} if kind == "white is zero" else {}
    with rasterio.open(path, "w", **layout, **({"nbits": bits} if bits < 8 else {})) as file:
        if kind == "palette":
            file.write_colormap(1, {index: (index, 255 - index, 7 * index % 256, 255) for index in range(256)})
        file.write(bands[:1] >> (8 - bits))
    with Image.open(path) as image:
        expected = np.asarray(image.convert("RGB"))
    if kind == "2 bits":  # which Pillow takes as they are, from 0 to 3
        expected = expected if expected.max() > 3 else expected * 85
    with Raster(path) as raster:
        assert np.array_equal(raster.read(0, HEIGHT), expected)


def test_not_a_number_is_no_data_though_nothing_says_so(write: Write) -> None:
    values = np.ones((3, HEIGHT, WIDTH), np.float32)
    values[1, 5, 7] = np.nan
    with Raster(write(values)) as raster:
        valid = raster.valid(0, HEIGHT)
    assert not valid[5, 7]
    assert valid.sum() == HEIGHT * WIDTH - 1


def test_a_world_file_and_a_prj_beside_a_picture_say_where_it_lies(
    write: Write, bands: np.ndarray, tmp_path: Path
) -> None:
    path = write(bands[:3], crs=None, transform=Affine.identity())
    path.with_suffix(".tfw").write_text("0.5\n0\n0\n-0.5\n300000.25\n2699999.75\n")
    path.with_suffix(".prj").write_text(CRS.from_epsg(32640).to_wkt())
    with Raster(path) as raster:
        assert raster.system == "EPSG:32640"
        assert raster.transform == Affine(0.5, 0, 300_000, 0, -0.5, 2_700_000)


SECRET = b"the secret of this server " * 4000


def raw_vrt(path: Path) -> str:
    """An image whose pixels are the bytes of any file."""
    return (
        '<VRTDataset rasterXSize="30" rasterYSize="20"><VRTRasterBand dataType="Byte" band="1" '
        f'subClass="VRTRawRasterBand"><SourceFilename relativetoVRT="0">{path}</SourceFilename><ImageOffset>0'
        "</ImageOffset><PixelOffset>1</PixelOffset><LineOffset>30</LineOffset></VRTRasterBand></VRTDataset>"
    )


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret.txt"
    path.write_bytes(SECRET)
    return path


@pytest.mark.parametrize("how", ["inline", "file", "raw file"])
def test_what_the_tag_of_overviews_names_is_not_read(write: Write, secret: Path, tmp_path: Path, how: str) -> None:
    """GDAL alone shows the secret: that is what the reader's process is for."""
    (tmp_path / "overview.vrt").write_text(raw_vrt(secret))
    path = write(np.zeros((1, HEIGHT, WIDTH), np.uint8))
    with rasterio.open(path, "r+") as file:
        named = {"inline": raw_vrt(secret), "file": str(tmp_path / "overview.vrt"), "raw file": str(secret)}[how]
        file.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=named)
    if how != "raw file":
        with rasterio.open(path, driver="GTiff") as file:
            assert file.read(1, out_shape=(20, 30)).tobytes().startswith(SECRET[:30])
    with pytest.raises(ImageFileError, match="names another file as its overviews"):
        Raster(path)


@pytest.mark.parametrize("suffix", [".ovr", ".aux.xml", ".msk", ".msk.ovr"])
def test_side_files_that_hold_pictures_are_not_read(write: Write, secret: Path, suffix: str) -> None:
    path = write(np.full((1, HEIGHT, WIDTH), 7, np.uint8))
    tag = f'<PAMDataset><Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">{secret}</MDI></Metadata></PAMDataset>'
    beside = path.with_name(path.name + suffix)
    if suffix == ".aux.xml":
        beside.write_text(tag)
    else:
        with rasterio.open(
            beside, "w", driver="GTiff", height=HEIGHT // 2, width=WIDTH // 2, count=1, dtype="uint8"
        ) as file:
            file.write(np.full((1, HEIGHT // 2, WIDTH // 2), 99, np.uint8))
    with Raster(path) as raster:
        assert (raster.overview(WIDTH // 2) == 7).all()
        assert raster.valid(0, HEIGHT).all()


@pytest.mark.parametrize("beside", ["", ".tfw", ".prj"])
def test_nothing_waits_for_a_pipe(write: Write, bands: np.ndarray, beside: str) -> None:
    path = write(bands[:3], crs=None, transform=Affine.identity())
    pipe = path.with_suffix(beside) if beside else path.with_name("pipe.tif")
    os.mkfifo(pipe)
    if beside:
        with Raster(path) as raster:
            assert raster.unplaced
        return
    with pytest.raises(ImageFileError, match=r"pipe\.tif is not a file"):
        Raster(pipe)


GRID = (
    'PROJCS["odd",GEOGCS["odd",DATUM["odd",SPHEROID["Airy",6377563.396,299.3249646],EXTENSION["PROJ4_GRIDS","{}"]],'
    'PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]],PROJECTION["Transverse_Mercator"],'
    'PARAMETER["central_meridian",-2],PARAMETER["scale_factor",1],UNIT["metre",1]]'
)
"""A coordinate system whose way to WGS 84 is a file."""

DERIVED = (
    'GEOGCRS["odd",BASEGEOGCRS["WGS 84",DATUM["World Geodetic System 1984",ELLIPSOID["WGS 84",6378137,298.257]]],'
    'DERIVINGCONVERSION["by a grid",METHOD["NTv2",ID["EPSG",9615]],PARAMETERFILE["grid","{}"]],CS[ellipsoidal,2],'
    'AXIS["latitude",north],AXIS["longitude",east],ANGLEUNIT["degree",0.0174532925199433]]'
)
"""A coordinate system that is nothing without a file."""


def test_a_coordinate_system_is_used_without_the_file_that_it_names(
    write: Write, bands: np.ndarray, secret: Path
) -> None:
    path = write(bands[:3], crs=None)
    path.with_suffix(".prj").write_text(GRID.format(secret))
    with Raster(path) as raster:
        assert (raster.unplaced, raster.system) == (None, "odd")
        assert "secret" not in raster.crs.to_wkt()
        assert raster.pixel_areas().total == pytest.approx(HEIGHT * WIDTH / 4, rel=0.01)


@pytest.mark.parametrize("kind", ["a file", "a pipe"])
def test_a_coordinate_system_that_is_nothing_without_a_file_is_told_to_nobody(
    write: Write, bands: np.ndarray, secret: Path, kind: str
) -> None:
    if kind == "a pipe":
        secret.unlink()
        os.mkfifo(secret)
    path = write(bands[:3], crs=None)
    path.with_suffix(".prj").write_text(DERIVED.format(secret))
    with Raster(path) as raster:
        assert raster.unplaced == "has a coordinate system that takes other files"
        assert (raster.crs, raster.transform, raster.system, raster.corners()) == (None, None, None, None)


@pytest.mark.parametrize("words", ["http://127.0.0.1/grid", "+init=/etc/passwd:1", "PROJCS[" * 5000, "no system"])
def test_a_prj_of_anything_else_is_as_if_it_were_not_there(write: Write, bands: np.ndarray, words: str) -> None:
    path = write(bands[:3], crs=None)
    path.with_suffix(".prj").write_text(words)
    with Raster(path) as raster:
        assert raster.unplaced == "has no coordinate system"


@pytest.mark.parametrize("pixel", [1e16, 1e150, 1e200, 1e300])
def test_areas_beyond_all_numbers_are_not_told(write: Write, bands: np.ndarray, pixel: float) -> None:
    for system in ("EPSG:32640", 'LOCAL_CS["site",UNIT["metre",1]]'):
        with Raster(write(bands[:3], crs=system, transform=Affine(pixel, 0, 0, 0, -pixel, 0))) as raster:
            areas = raster.pixel_areas()
            assert areas is None or np.isfinite(areas.total)


def test_a_place_whose_end_is_beyond_all_numbers_is_none(write: Write, bands: np.ndarray) -> None:
    with Raster(write(bands[:3], transform=Affine(1e307, 0, 0, 0, -1e307, 0))) as raster:
        assert raster.unplaced == "has a place that is not a number"


@pytest.mark.parametrize("bits", [1, 2, 3, 5, 6, 7])
def test_the_brightest_value_of_few_bits_is_white(write: Write, bands: np.ndarray, bits: int) -> None:
    with Raster(write(bands[:1] >> (8 - bits), nbits=bits)) as raster:
        assert raster.read(0, HEIGHT).max() == 255


def test_a_wide_image_of_floats_is_read_in_bounded_memory(tmp_path: Path) -> None:
    """As numbers of 64 bits, a row of windows of it would take more than the reader may have."""
    path, (rows, columns) = tmp_path / "wide.tif", (400, 100_000)
    layout = {"crs": "EPSG:32640", "transform": Affine(1, 0, 3e5, 0, -1, 2e6), "tiled": True, "compress": "zstd"}
    with rasterio.open(path, "w", "GTiff", columns, rows, 3, dtype="float32", **layout) as file:
        file.write(np.full((3, rows, columns), 2, np.float32))
    with Raster(path) as raster:
        assert raster.read(0, rows).shape == (rows, columns, 3)
        assert raster.valid(0, rows).all()


def test_whoever_waits_is_told_that_a_file_takes_too_long(write: Write, bands: np.ndarray) -> None:
    with Raster(write(bands[:3]), patience=60) as raster:
        os.kill(raster.reader, signal.SIGSTOP)  # as if it were busy
        raster._patience = 0.05
        with pytest.raises(ImageFileError, match="takes longer than"):
            raster.read(0, HEIGHT)
        with pytest.raises(ImageFileError, match="damaged"):
            raster.read(0, HEIGHT)


LIMITED = ("Max open files", "Max address space")


def test_the_reader_can_open_nothing(write: Write, bands: np.ndarray, secret: Path) -> None:
    """Neither files nor sockets nor programs, whatever it is made to try; nor take more than 1.5 GB."""
    with Raster(write(bands[:3])) as raster:
        limits = Path(f"/proc/{raster.reader}/limits")
        if not limits.exists():
            pytest.skip("the limits of another process can be seen on Linux only")
        lines = limits.read_text().splitlines()
        found = {name: line.split()[3:5] for line in lines if (name := line[:18].strip()) in LIMITED}
        assert found["Max open files"] == ["0", "0"]
        assert all(int(limit) <= 1.5 * 2**30 for limit in found["Max address space"])


def test_a_reader_that_dies_is_a_sentence(write: Write, bands: np.ndarray) -> None:
    with Raster(write(bands[:3])) as raster:
        os.kill(raster.reader, signal.SIGKILL)
        with pytest.raises(ImageFileError, match="is damaged or cut short"):
            raster.read(0, HEIGHT)


def test_no_reader_is_left(write: Write, bands: np.ndarray) -> None:
    with Raster(write(bands[:3])) as raster:
        reader = raster.reader
    end = time.monotonic() + 30
    with pytest.raises(ProcessLookupError):
        while time.monotonic() < end:
            os.kill(reader, 0)


def test_a_host_that_was_killed_is_started_again(write: Write, bands: np.ndarray) -> None:
    path = write(bands[:3])
    with Raster(path):
        pass
    HOST._process.kill()
    HOST._process.wait()
    with Raster(path) as raster:
        assert np.array_equal(raster.read(0, HEIGHT), bands[:3].transpose(1, 2, 0))


def test_many_files_are_read_at_once(write: Write, bands: np.ndarray) -> None:
    path = write(bands[:3])

    def read(number: int) -> bool:
        with Raster(path) as raster:
            return np.array_equal(raster.read(number, HEIGHT), bands[:3].transpose(1, 2, 0)[number:])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(24)))


def test_an_open_file_is_read_as_its_path_is(write: Write, bands: np.ndarray) -> None:
    with write(bands[:3]).open("rb") as file, Raster(file, "upload.tif") as raster:
        assert np.array_equal(raster.read(0, HEIGHT), bands[:3].transpose(1, 2, 0))
