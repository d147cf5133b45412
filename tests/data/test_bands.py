"""Images of any number of bands: which are read, which are shown, and what is said where they are not there."""

import struct
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin

from segmentation.data.description import write_declaration
from segmentation.data.images import is_deep, read_image, read_size
from segmentation.data.packed import pack, unpacked
from segmentation.data.patches import load_patches
from segmentation.data.raster import Raster
from segmentation.data.raster_header import band_count, read_header
from segmentation.data.scenes import Dataset, find_dataset, read_scene
from segmentation.data.stretch import Stretch, as_colors
from segmentation.errors import ImageFileError

HEIGHT, WIDTH = 40, 56

VALUES = np.random.default_rng(5).integers(100, 4000, (12, HEIGHT, WIDTH)).astype(np.uint16)

ALL_ALIKE = "bands = [2, 3, 4, 8]\nstretch = [[0, 1000], [0, 2000], [500, 3000], [0, 4000]]\n"


def write(path: Path, values: np.ndarray, driver: str = "GTiff", **options: object) -> Path:
    """Write (bands, height, width) where GDAL's driver puts it, in UTM zone 40, half a metre a pixel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = values.shape
    place = {"crs": "EPSG:32640", "transform": from_origin(320_000, 2_790_000, 0.5, 0.5)}
    layout = {"count": count, "height": height, "width": width, "dtype": values.dtype} | place | options
    with rasterio.open(path, "w", driver=driver, **layout) as file:
        file.write(values)
    return path


def write_jpeg_2000(path: Path, values: np.ndarray) -> Path:
    return write(path, values, "JP2OpenJPEG", QUALITY=100, REVERSIBLE="YES")


def stretched(values: np.ndarray, stretch: Stretch) -> np.ndarray:
    """(bands, …) between the limits of the stretch, as (…, bands) from 0 to 255."""
    low, high = (np.array(of)[:, None, None] for of in (stretch.low, stretch.high))
    return np.moveaxis(np.clip((values - low) / (high - low) * 255, 0, 255), 0, -1)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Three scenes of twelve bands of 16 bits, of which four are chosen."""
    for number in range(3):
        write(tmp_path / f"set/images/{number}.tif", np.roll(VALUES, number, axis=1))
        mask = np.kron([[0, 1], [2, 3]], np.ones((HEIGHT // 2, WIDTH // 2))).astype(np.uint8)
        (tmp_path / "set/masks").mkdir(exist_ok=True)
        Image.fromarray(mask).save(tmp_path / f"set/masks/{number}.png")
    (tmp_path / "set/dataset.toml").write_text(ALL_ALIKE)
    return find_dataset(tmp_path / "set")


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("bands", [(5,), (2, 1), (4, 3, 2), (1, 2, 3, 4), tuple(range(12, 0, -1))], ids=len)
def test_chosen_bands_are_read_in_their_order(tmp_path: Path, bands: tuple[int, ...], kind: type) -> None:
    values = (VALUES >> 4 if kind is np.uint8 else VALUES).astype(kind)
    limits = (0, 255) if kind is np.uint8 else (50, 3000)
    stretch = Stretch(*((limit,) * len(bands) for limit in limits), bands)
    path = write(tmp_path / "a.tif", values)
    expected = stretched(values[[band - 1 for band in bands]], stretch)
    for source in (path, path.read_bytes()):
        image = read_image(source, "a.tif", stretch)
        assert (image.shape, image.dtype) == ((HEIGHT, WIDTH, len(bands)), np.uint8)
        assert np.abs(image - expected).max() <= 0.5 + 1e-4


def test_a_data_set_is_read_and_stretched_band_by_band(dataset: Dataset) -> None:
    patches = load_patches(dataset, 16)
    assert patches.images.shape == (18, 16, 16, 4)
    expected = stretched(VALUES[[1, 2, 3, 7]], dataset.stretch)
    assert np.abs(patches.images[0] - expected[:16, :16]).max() <= 0.5 + 1e-9
    assert dataset.stretch.high == (1000, 2000, 3000, 4000)


def test_people_are_shown_the_first_three_bands_or_those_that_are_named_or_tagged(dataset: Dataset) -> None:
    image, _ = read_scene(dataset.scenes[0], dataset.palette, dataset.stretch)
    assert np.array_equal(as_colors(image, dataset.stretch), image[..., :3])
    (dataset.root / "dataset.toml").write_text(ALL_ALIKE + "show_bands = [8, 4, 3]\n")
    named = find_dataset(dataset.root).stretch
    assert np.array_equal(as_colors(image, named), image[..., [3, 2, 1]])
    with Raster(dataset.scenes[0].image, stretch=named) as raster:
        assert np.array_equal(raster.overview(WIDTH), image[..., [3, 2, 1]])
    for scene in dataset.scenes:
        with rasterio.open(scene.image, "r+") as file:
            kinds = (ColorInterp.undefined, ColorInterp.blue, ColorInterp.green, ColorInterp.red)
            file.colorinterp = [*kinds, *[ColorInterp.undefined] * 8]
    (dataset.root / "dataset.toml").write_text(ALL_ALIKE)
    assert find_dataset(dataset.root).stretch.shown == (4, 3, 2)
    (dataset.root / "dataset.toml").write_text("bands = [8, 2]")
    two = find_dataset(dataset.root).stretch
    image, _ = read_scene(dataset.scenes[0], dataset.palette, two)
    assert np.array_equal(as_colors(image, two), np.repeat(image[..., :1], 3, axis=2))


def test_a_network_of_three_bands_sees_of_a_set_of_more_those_that_are_shown(dataset: Dataset) -> None:
    (dataset.root / "dataset.toml").write_text(ALL_ALIKE + "show_bands = [8, 4, 3]\n")
    dataset = find_dataset(dataset.root)
    of_four, _ = read_scene(dataset.scenes[0], dataset.palette, dataset.stretch)
    of_three, _ = read_scene(dataset.scenes[0], dataset.palette, dataset.stretch_for(None))
    assert np.array_equal(of_three, of_four[..., [3, 2, 1]])
    own = Stretch((0,) * 3, (9,) * 3, (1, 2, 3))
    assert dataset.stretch_for(own) == own


def test_what_is_chosen_is_written_down_and_packed(dataset: Dataset, tmp_path: Path) -> None:
    path = dataset.root / "dataset.toml"
    path.write_text(ALL_ALIKE + "show_bands = [8, 4, 3]\n")
    chosen = find_dataset(dataset.root)
    pack(chosen, tmp_path / "packed.tar")
    with unpacked(tmp_path / "packed.tar") as folder:
        assert find_dataset(folder).stretch == chosen.stretch
    path.unlink()
    write_declaration(chosen)
    assert find_dataset(dataset.root).stretch == chosen.stretch
    assert Stretch.from_dict(chosen.stretch.to_dict()) == chosen.stretch


@pytest.mark.parametrize(
    ("values", "bands", "expected"),
    [
        (VALUES[:1] >> 4, (1, 2, 3), [0, 0, 0]),  # grey is red, green and blue alike
        (VALUES[:1] >> 4, (3,), [0]),
        (VALUES[:3] >> 4, (3, 1), [2, 0]),
    ],
)
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_picture_has_the_bands_of_its_colours(
    tmp_path: Path, values: np.ndarray, bands: tuple[int, ...], expected: list[int], suffix: str
) -> None:
    pixels = np.moveaxis(values.astype(np.uint8), 0, -1)
    Image.fromarray(pixels[..., 0] if len(values) == 1 else pixels).save(tmp_path / f"a{suffix}")
    stretch = Stretch((0,) * len(bands), (255,) * len(bands), bands)
    assert np.array_equal(read_image(tmp_path / f"a{suffix}", stretch=stretch), pixels[..., expected])


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".jp2"])
def test_a_band_that_is_not_there_is_said_in_one_sentence(tmp_path: Path, suffix: str) -> None:
    path, values = tmp_path / f"a{suffix}", (VALUES[:3] >> 4).astype(np.uint8)
    if suffix == ".jp2":
        write_jpeg_2000(path, values)
    else:
        Image.fromarray(np.moveaxis(values, 0, -1)).save(path)
    stretch = Stretch((0,) * 4, (255,) * 4, (1, 2, 3, 4))
    with pytest.raises(ImageFileError, match=f"^a{suffix} has 3 bands, but band 4 is needed: export it with all bands"):
        read_image(path, stretch=stretch)


def test_a_scene_without_all_bands_is_left_out(dataset: Dataset) -> None:
    write(dataset.scenes[1].image, VALUES[:3])
    patches = load_patches(dataset, 16)
    assert len(patches.images) == 12
    assert [sentence.split(":")[0] for sentence in patches.skipped] == ["set/1"]
    assert "has 3 bands, but band 8 is needed" in patches.skipped[0]


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("count", [1, 3, 4])
def test_jpeg_2000_is_read_as_a_tiff_of_the_same_values(tmp_path: Path, count: int, kind: type) -> None:
    values = (VALUES[:count] >> (4 if kind is np.uint8 else 0)).astype(kind)
    tiff, jpeg = write(tmp_path / "a.tif", values), write_jpeg_2000(tmp_path / "b.jp2", values)
    assert read_size(jpeg) == read_size(jpeg.read_bytes()) == (HEIGHT, WIDTH)
    assert is_deep(jpeg) == (kind is np.uint16)
    bands = tuple(range(count, 0, -1))
    for stretch in (None, Stretch((0,) * count, (3000,) * count, bands)):
        expected = read_image(tiff, stretch=stretch)
        assert np.array_equal(read_image(jpeg, stretch=stretch), expected)
        assert np.array_equal(read_image(jpeg.read_bytes(), "b.jp2", stretch), expected)
    with Raster(tiff) as one, Raster(jpeg) as other:
        assert (one.system, one.place) == (other.system, other.place)


def test_a_codestream_without_boxes_is_read_too(tmp_path: Path) -> None:
    jpeg = write_jpeg_2000(tmp_path / "a.jp2", VALUES[:3])
    content = jpeg.read_bytes()
    bare = content[content.index(b"\xff\x4f\xff\x51") :]
    assert read_size(bare) == (HEIGHT, WIDTH)
    assert np.array_equal(read_image(bare), read_image(jpeg))


def test_jpeg_2000_images_are_found_with_their_masks(tmp_path: Path) -> None:
    write_jpeg_2000(tmp_path / "images/a.jp2", VALUES[:4])
    (tmp_path / "masks").mkdir()
    Image.fromarray((VALUES[0] % 5).astype(np.uint8)).save(tmp_path / "masks/a.png")
    (tmp_path / "dataset.toml").write_text("bands = [4, 1]")
    dataset = find_dataset(tmp_path)
    image, mask = read_scene(dataset.scenes[0], dataset.palette, dataset.stretch)
    assert np.array_equal(mask, VALUES[0] % 5)
    assert np.abs(image - stretched(VALUES[[3, 0]], dataset.stretch)).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("kept", [0.01, 0.5, 0.9])
def test_a_jpeg_2000_file_that_is_cut_short_is_refused_or_read(tmp_path: Path, kept: float) -> None:
    content = write_jpeg_2000(tmp_path / "a.jp2", VALUES[:3]).read_bytes()
    path = tmp_path / "half.jp2"
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ImageFileError, match=r"^half\.jp2 is .*: \w+"):
        read_image(path)


@pytest.mark.parametrize("offset", [4, 8, 12, 16])
def test_sizes_that_no_jpeg_2000_file_has_are_refused_before_anything_is_decoded(tmp_path: Path, offset: int) -> None:
    content = bytearray(write_jpeg_2000(tmp_path / "a.jp2", VALUES[:3]).read_bytes())
    at = content.index(b"\xff\x4f\xff\x51") + 4 + offset
    content[at : at + 4] = struct.pack(">I", 0xFFFFFFF0)
    path = tmp_path / "lie.jp2"
    path.write_bytes(content)
    with pytest.raises(ImageFileError, match=r"^lie\.jp2 "):
        read_size(path)
    with pytest.raises(ImageFileError, match=r"^lie\.jp2 "):
        read_image(path)


@pytest.mark.parametrize(
    "content", [b"", b"\0\0\0\x0cjP  \r\n\x87\n", b"\0\0\0\0jp2h" * 99, b"\0\0\0\x08jp2h" * 99, b"\xff\x4f\xff\x51" * 3]
)
def test_a_header_that_leads_nowhere_says_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.jp2").write_bytes(content)
    with (tmp_path / "a.jp2").open("rb") as file:
        assert read_header(file) is None
    with pytest.raises(ImageFileError, match=r"^a\.jp2 is not an image that can be read"):
        read_image(tmp_path / "a.jp2")


def test_bands_are_counted_by_the_header(tmp_path: Path) -> None:
    """Transparency is none of them; what says nothing has three."""
    colors = VALUES[:4].astype(np.uint8)
    assert band_count(write(tmp_path / "twelve.tif", VALUES)) == 12
    assert band_count(write(tmp_path / "one.tif", VALUES[:1])) == 1
    assert band_count(write(tmp_path / "big.tif", VALUES[:7], BIGTIFF="YES")) == 7
    assert band_count(write(tmp_path / "alpha.tif", colors, ALPHA="YES", PHOTOMETRIC="RGB")) == 3
    assert band_count(write_jpeg_2000(tmp_path / "five.jp2", VALUES[:5])) == 5
    Image.fromarray(np.moveaxis(colors, 0, -1)).save(tmp_path / "a.png")
    assert band_count(tmp_path / "a.png") == 3
    (tmp_path / "broken.tif").write_bytes((tmp_path / "twelve.tif").read_bytes()[:20])
    assert band_count(tmp_path / "broken.tif") == 3


def test_jpeg_2000_names_no_other_file(tmp_path: Path) -> None:
    """A world file of JPEG 2000, which GDAL would read, is not: its place is in the file, or it has none."""
    jpeg = write(tmp_path / "a.jp2", VALUES[:3], "JP2OpenJPEG", QUALITY=100, REVERSIBLE="YES", GMLJP2="NO", GeoJP2="NO")
    (tmp_path / "a.jp2.aux.xml").unlink(missing_ok=True)
    (tmp_path / "a.j2w").write_text("1\n0\n0\n-1\n300000\n2000000\n")
    with Raster(jpeg) as raster:
        assert raster.place is None
        assert np.array_equal(raster.read(0, HEIGHT), read_image(jpeg))
