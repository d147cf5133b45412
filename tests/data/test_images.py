"""Image files in, arrays out: every mode that Pillow knows, and every way a file can be unusable."""

import io
import os
import re
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from segmentation.data.images import is_palette_file, png_bytes, read_image, read_mask, read_mask_colors, read_size
from segmentation.data.palette import DUBAI, VOID, Palette
from segmentation.data.stretch import Stretch
from segmentation.errors import ImageFileError

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
ORIENTATION = 0x0112


def save(path: Path, pixels: np.ndarray, mode: str | None = None, **options: object) -> Path:
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def assert_one_sentence(message: str, name: str) -> None:
    """A sentence that begins with the file's name, holds one full stop of its own and no line break."""
    assert message.startswith(name)
    rest = message.removeprefix(name)
    assert rest.endswith(".")
    assert re.search(r"[.!?]\s|\n", rest) is None


def test_red_green_and_blue_come_in_that_order(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.full((2, 2, 3), (255, 128, 0), np.uint8))
    assert read_image(path)[0, 0].tolist() == [255, 128, 0]


def test_an_rgb_file_is_read_as_it_was_saved(tmp_path: Path) -> None:
    assert np.array_equal(read_image(save(tmp_path / "a.png", PIXELS)), PIXELS)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".bmp", ".webp", ".jpg", ".jpeg"])
def test_every_format_is_read(tmp_path: Path, suffix: str) -> None:
    smooth = np.full((20, 30, 3), (200, 90, 40), np.uint8)
    path = save(tmp_path / f"a{suffix}", smooth, quality=95)
    assert np.abs(read_image(path).astype(int) - smooth).max() <= 3


def test_grey_becomes_three_equal_channels(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", PIXELS[..., 0])
    assert np.array_equal(read_image(path), np.repeat(PIXELS[..., :1], 3, axis=2))


def test_the_alpha_channel_of_grey_is_dropped(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", PIXELS[..., :2])
    with Image.open(path) as image:
        assert image.mode == "LA"
    assert np.array_equal(read_image(path), np.repeat(PIXELS[..., :1], 3, axis=2))


def test_the_alpha_channel_of_rgb_is_dropped(tmp_path: Path) -> None:
    with_alpha = np.dstack([PIXELS, np.zeros((20, 30), np.uint8)])
    assert np.array_equal(read_image(save(tmp_path / "a.png", with_alpha)), PIXELS)


def test_a_palette_file_is_read_by_its_colours(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8))
    image.putpalette(bytes([9, 8, 7, 50, 60, 70, 255, 0, 1]))
    image.save(tmp_path / "a.png", transparency=1)
    assert read_image(tmp_path / "a.png").tolist() == [[[9, 8, 7], [50, 60, 70], [255, 0, 1]]]


def test_a_cmyk_jpeg_shows_its_colours(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", np.full((16, 16, 3), (250, 20, 10), np.uint8), "CMYK", quality=95)
    with Image.open(path) as image:
        assert image.mode == "CMYK"
    assert np.abs(read_image(path).astype(int) - (250, 20, 10)).max() <= 3


def test_one_bit_becomes_black_and_white(tmp_path: Path) -> None:
    bits = PIXELS[..., 0] > 127
    Image.fromarray(bits).save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png"), np.repeat(bits[..., None] * np.uint8(255), 3, axis=2))


DEEP = np.random.default_rng(8).integers(300, 3361, (20, 30, 3)).astype(np.uint16)


def stretched(values: np.ndarray, of: np.ndarray | None = None) -> np.ndarray:
    """Values between the 2nd and 98th percentile of each band, as 0 to 255."""
    of = values if of is None else of
    low, high = np.percentile(of.reshape(-1, of.shape[-1]), (2, 98), axis=0)
    return np.clip((values - low) / (high - low) * 255, 0, 255)


def write_deep(path: Path, values: np.ndarray) -> Path:
    """Write (height, width, bands) of any type as a picture without a place."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        height, width, count = values.shape
        driver = "PNG" if path.suffix == ".png" else "GTiff"
        with rasterio.open(
            path, "w", driver=driver, height=height, width=width, count=count, dtype=values.dtype
        ) as file:
            file.write(np.moveaxis(values, -1, 0))
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("bands", [1, 3])
def test_more_than_eight_bits_are_stretched_by_the_pictures_own_percentiles(
    tmp_path: Path, suffix: str, bands: int
) -> None:
    values = DEEP[..., :bands]
    path = write_deep(tmp_path / f"a{suffix}", values)
    expected = np.broadcast_to(stretched(values), (20, 30, 3))
    for source in (path, path.read_bytes()):
        assert np.abs(read_image(source) - expected).max() <= 0.5 + 1e-9
    assert read_size(path) == (20, 30)


def test_a_stretch_that_is_given_counts(tmp_path: Path) -> None:
    path = write_deep(tmp_path / "a.tif", DEEP)
    stretch = Stretch((0, 1000, 2000), (4000, 2000, 4000))
    expected = np.clip((DEEP - np.array(stretch.low)) / np.subtract(stretch.high, stretch.low) * 255, 0, 255)
    assert np.abs(read_image(path, stretch=stretch) - expected).max() <= 0.5 + 1e-9


def test_floats_are_stretched_and_not_a_number_is_black(tmp_path: Path) -> None:
    values = DEEP.astype(np.float32) / 1000
    values[3, 4] = np.nan
    path = write_deep(tmp_path / "a.tif", values)
    read = read_image(path)
    assert read[3, 4].tolist() == [0, 0, 0]
    kept = np.isfinite(values).all(-1)
    assert np.abs(read[kept] - stretched(values[kept])).max() <= 0.5 + 1e-4


def test_a_deep_picture_held_sideways_is_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    grey = DEEP[..., 0]
    for suffix in (".png", ".tif"):
        Image.fromarray(grey).save(tmp_path / f"a{suffix}", exif=exif)
        upright = np.rot90(stretched(grey[..., None])[..., 0], -1)
        assert np.abs(read_image(tmp_path / f"a{suffix}")[..., 0] - upright).max() <= 0.5 + 1e-9


def test_of_seven_bands_the_first_three_are_read(tmp_path: Path) -> None:
    values = np.random.default_rng(1).integers(0, 256, (20, 30, 7), dtype=np.uint8)
    path = write_deep(tmp_path / "a.tif", values)
    assert np.array_equal(read_image(path), values[..., :3])
    assert read_size(path) == (20, 30)


def test_an_image_of_one_pixel_is_read(tmp_path: Path) -> None:
    assert read_image(save(tmp_path / "a.png", PIXELS[:1, :1])).tolist() == [[PIXELS[0, 0].tolist()]]


STORED = {
    1: PIXELS,
    2: PIXELS[:, ::-1],
    3: PIXELS[::-1, ::-1],
    4: PIXELS[::-1],
    5: PIXELS.swapaxes(0, 1),
    6: np.rot90(PIXELS),
    7: PIXELS[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90(PIXELS, -1),
}
"""How a camera that is held so stores what is `PIXELS` upright: 6 is to be turned clockwise, 8 the other way."""


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", STORED)
def test_an_image_is_turned_upright_and_its_size_says_so(tmp_path: Path, orientation: int, suffix: str) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = np.ascontiguousarray(STORED[orientation])
    path = save(tmp_path / f"a{suffix}", stored, exif=exif, **({"lossless": True} if suffix == ".webp" else {}))
    assert np.array_equal(read_image(path), PIXELS)
    assert read_size(path) == (20, 30)


def test_a_jpeg_held_upright_is_as_high_as_the_camera_was_wide(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    path = save(tmp_path / "a.jpg", PIXELS, exif=exif)
    assert (read_image(path).shape, read_size(path)) == ((30, 20, 3), (30, 20))


def test_the_size_as_stored_can_be_asked_for(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    assert read_size(save(tmp_path / "a.jpg", PIXELS, exif=exif), orient=False) == (20, 30)


def test_corrupt_exif_does_not_keep_an_image_from_being_read(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", PIXELS, exif=b"Exif\0\0this is no EXIF")
    assert np.array_equal(read_image(path), PIXELS)
    assert read_size(path) == (20, 30)


def test_exif_behind_the_pixels_is_passed_over_for_only_the_header_tells_the_size(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    content = save(tmp_path / "a.png", PIXELS).read_bytes()
    behind = a_chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    content = content[:-12] + behind + content[-12:]  # before the last chunk
    assert (read_size(content), read_image(content).shape) == ((20, 30), (20, 30, 3))


def test_bytes_and_open_files_are_read_like_paths(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", PIXELS)
    assert np.array_equal(read_image(path.read_bytes()), PIXELS)
    with path.open("rb") as file:
        assert np.array_equal(read_image(file), PIXELS)


def truncated_jpeg(path: Path) -> None:
    save(path, PIXELS, quality=95)
    path.write_bytes(path.read_bytes()[:-300])


def truncated_png(path: Path) -> None:
    save(path, PIXELS)
    path.write_bytes(path.read_bytes()[:900])


def text(path: Path) -> None:
    path.write_text("I am no picture. Really not!\n")


def nothing(path: Path) -> None:
    path.write_bytes(b"")


def complex_numbers(path: Path) -> None:
    write_deep(path, np.ones((4, 4, 1), np.complex64))


def missing(path: Path) -> None:
    assert not path.exists()


def folder(path: Path) -> None:
    path.mkdir()


def postscript(path: Path) -> None:
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n")


def a_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def huge(path: Path) -> None:
    """A PNG of a few bytes that says that it is 30,000 × 30,000."""
    header = a_chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + a_chunk(b"IDAT", zlib.compress(b"\0")) + a_chunk(b"IEND", b""))


def hollow(path: Path) -> None:
    """A JPEG of a few bytes that says that it is 12,000 × 12,000."""
    content = bytearray(save(path, PIXELS).read_bytes())
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 4] = struct.pack(">HH", 12_000, 12_000)
    path.write_bytes(content)


def long(path: Path) -> None:
    save(path, np.zeros((1, 100_001, 3), np.uint8))


def pipe(path: Path) -> None:
    os.mkfifo(path)


UNUSABLE = {
    "cut.jpg": (truncated_jpeg, "damaged or cut short"),
    "cut.png": (truncated_png, "damaged or cut short"),
    "text.png": (text, "is not an image"),
    "empty.jpg": (nothing, "is not an image"),
    "radar.tif": (complex_numbers, "complex numbers"),
    "gone.png": (missing, "is not there any more"),
    "folder.png": (folder, "is not there any more"),
    "page.png": (postscript, "is not an image"),
    "huge.png": (huge, "30,000 × 30,000 pixels"),
    "hollow.jpg": (hollow, "12,000 × 12,000 pixels by its header, but far too few bytes"),
    "long.png": (long, "100,001 × 1 pixels, more than"),
    "pipe.png": (pipe, "is not there any more"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_an_unusable_image_is_named_in_one_sentence(tmp_path: Path, name: str) -> None:
    make, reason = UNUSABLE[name]
    make(tmp_path / name)
    with pytest.raises(ImageFileError, match=reason) as caught:
        read_image(tmp_path / name)
    assert_one_sentence(str(caught.value), name)


@pytest.mark.parametrize("name", ["cut.jpg", "cut.png", "text.png", "empty.jpg", "gone.png", "page.png", "huge.png"])
def test_an_unusable_mask_is_named_in_one_sentence(tmp_path: Path, name: str) -> None:
    make, reason = UNUSABLE[name]
    make(tmp_path / name)
    with pytest.raises(ImageFileError, match=reason) as caught:
        read_mask(tmp_path / name, DUBAI)
    assert_one_sentence(str(caught.value), name)


def test_bytes_without_a_name_are_called_the_file() -> None:
    with pytest.raises(ImageFileError, match=r"^The file is not an image"):
        read_image(b"no picture")


def test_bytes_with_a_name_are_called_by_it() -> None:
    with pytest.raises(ImageFileError, match=r"^upload\.png is not an image"):
        read_image(b"no picture", "upload.png")


@pytest.mark.filterwarnings("ignore")  # Pillow's, about what it finds in the broken files
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".bmp", ".webp"])
def test_a_file_with_any_bytes_changed_is_read_or_refused(suffix: str) -> None:
    """Whatever is wrong inside a file, the reader says `ImageFileError`; any other error fails this test."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, {".jpg": "JPEG", ".tif": "TIFF"}.get(suffix, suffix[1:].upper()), exif=exif)
    whole = buffer.getvalue()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        broken = bytearray(whole)
        for place in rng.integers(0, min(len(whole), 250), 4):
            broken[place] = rng.integers(256)
        for read in (read_image, read_size):
            try:
                read(bytes(broken))
            except ImageFileError:
                refused += 1
    assert refused > 0


def test_the_size_is_height_then_width(tmp_path: Path) -> None:
    assert read_size(save(tmp_path / "a.png", PIXELS)) == (20, 30)


@pytest.mark.parametrize("make", [truncated_png, truncated_jpeg])
def test_the_size_is_read_from_the_header_alone(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / ("a.png" if make is truncated_png else "a.jpg")
    make(path)
    assert read_size(path) == (20, 30)


@pytest.mark.parametrize("name", ["text.png", "gone.png", "huge.png"])
def test_the_size_of_what_is_no_image_is_refused(tmp_path: Path, name: str) -> None:
    make, reason = UNUSABLE[name]
    make(tmp_path / name)
    with pytest.raises(ImageFileError, match=reason):
        read_size(tmp_path / name)


def test_a_mask_is_read_as_class_indices(tmp_path: Path) -> None:
    path = save(tmp_path / "m.png", np.array([[DUBAI.colors[4], DUBAI.colors[0], (0, 0, 0)]], np.uint8))
    assert read_mask(path, DUBAI).tolist() == [[4, 0, VOID]]


def test_a_palette_mask_is_read_by_its_colours_not_by_its_indices(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8))
    image.putpalette(bytes([*DUBAI.colors[5], *DUBAI.colors[3], 0, 0, 0]))
    image.save(tmp_path / "m.png")
    assert read_mask(tmp_path / "m.png", DUBAI).tolist() == [[5, 3, VOID]]


BLACK_IS_A_CLASS = Palette(("Sea", "Land"), ((0, 0, 0), (255, 255, 255)))


@pytest.mark.parametrize(("alpha", "expected"), [(0, VOID), (127, VOID), (128, 2), (255, 2)])
def test_transparent_pixels_of_a_mask_are_void_whatever_colour_they_hide(
    tmp_path: Path, alpha: int, expected: int
) -> None:
    path = save(tmp_path / "m.png", np.array([[(*DUBAI.colors[2], alpha), (*DUBAI.colors[1], 255)]], np.uint8))
    assert read_mask(path, DUBAI).tolist() == [[expected, 1]]


@pytest.mark.parametrize("name", ["m.png", "m.tif", "m.webp"])
def test_transparent_pixels_of_a_mask_are_void_also_where_black_is_a_class(tmp_path: Path, name: str) -> None:
    pixels = np.array([[(0, 0, 0, 0), (0, 0, 0, 255), (255, 255, 255, 0), (255, 255, 255, 255)]], np.uint8)
    path = save(tmp_path / name, pixels, **({"lossless": True, "exact": True} if name == "m.webp" else {}))
    assert read_mask(path, BLACK_IS_A_CLASS).tolist() == [[VOID, 0, VOID, 1]]
    assert read_mask_colors(path).encode(BLACK_IS_A_CLASS, nearest=True).tolist() == [[VOID, 0, VOID, 1]]


def test_a_transparent_colour_of_a_palette_or_grey_mask_is_void(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8))
    image.putpalette(bytes([*DUBAI.colors[5], *DUBAI.colors[3], *DUBAI.colors[1]]))
    image.save(tmp_path / "palette.png", transparency=bytes([255, 0, 255]))
    assert read_mask(tmp_path / "palette.png", DUBAI).tolist() == [[5, VOID, 1]]
    Image.fromarray(np.array([[0, 255]], np.uint8)).save(tmp_path / "grey.png", transparency=255)
    assert read_mask(tmp_path / "grey.png", BLACK_IS_A_CLASS).tolist() == [[0, VOID]]


@pytest.mark.parametrize(("bands", "mode"), [(2, "La"), (4, "RGBa")])
def test_multiplied_alpha_is_read_as_any_other(tmp_path: Path, bands: int, mode: str) -> None:
    pixels = np.zeros((bands, 1, 2), np.uint8)
    pixels[:, 0, 0], pixels[-1, 0, 0] = 200, 255
    layout = {"count": bands, "height": 1, "width": 2, "dtype": "uint8", "ALPHA": "PREMULTIPLIED"}
    layout |= {"photometric": "RGB"} if bands == 4 else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(tmp_path / "m.tif", "w", driver="GTiff", **layout) as file:
            file.write(pixels)
    with Image.open(tmp_path / "m.tif") as image:
        assert image.mode in (mode, "RGBA")  # Pillow takes the alpha of four channels back itself
    assert read_image(tmp_path / "m.tif")[0, 0].tolist() == [200, 200, 200]
    assert read_mask(tmp_path / "m.tif", Palette(("Grey",), ((200, 200, 200),))).tolist() == [[0, VOID]]


def test_hidden_colours_of_a_mask_are_no_strays(tmp_path: Path) -> None:
    mask = read_mask_colors(save(tmp_path / "m.png", np.array([[(9, 9, 9, 0), (8, 8, 8, 255)]], np.uint8)))
    assert (mask.strays(DUBAI).colors, mask.transparent_pixels) == (1, 1)


@pytest.mark.parametrize("values", [np.ones((4, 4), np.uint16), np.ones((4, 4), np.float32)], ids=["16 bits", "floats"])
def test_a_mask_without_colours_of_8_bits_is_refused(tmp_path: Path, values: np.ndarray) -> None:
    Image.fromarray(values).save(tmp_path / "m.tif")
    with pytest.raises(ImageFileError, match="no colour mask") as caught:
        read_mask(tmp_path / "m.tif", DUBAI)
    assert_one_sentence(str(caught.value), "m.tif")


@pytest.mark.parametrize(("mode", "expected"), [("P", True), ("RGB", False), ("L", False)])
def test_a_palette_file_is_told_from_others(tmp_path: Path, mode: str, expected: bool) -> None:
    assert is_palette_file(save(tmp_path / "a.png", PIXELS, mode)) is expected


@pytest.mark.parametrize("pixels", [PIXELS, PIXELS[..., 0]], ids=["colours", "grey"])
def test_png_keeps_every_pixel(pixels: np.ndarray) -> None:
    with Image.open(io.BytesIO(png_bytes(pixels))) as image:
        assert image.format == "PNG"
        assert np.array_equal(np.asarray(image), pixels)


def test_a_large_image_of_one_colour_is_no_bomb(tmp_path: Path) -> None:
    path = save(tmp_path / "m.png", np.full((4100, 4000), 3, np.uint8))
    assert read_size(path) == (4100, 4000)
    with path.open("rb") as file:
        assert read_image(file).shape == (4100, 4000, 3)


def test_of_several_pages_or_frames_the_first_is_read(tmp_path: Path) -> None:
    others = [Image.new("RGB", (30, 20), "red")] * 2
    for name in ("a.tif", "a.png"):
        path = save(tmp_path / name, PIXELS, save_all=True, append_images=others)
        assert np.array_equal(read_image(path), PIXELS)


def test_reading_leaves_no_file_open(tmp_path: Path) -> None:
    paths = [save(tmp_path / name, PIXELS) for name in ("a.png", "a.jpg", "a.tif")]
    paths.append(save(tmp_path / "pages.tif", PIXELS, save_all=True, append_images=[Image.fromarray(PIXELS)]))
    for path in paths:
        read_image(path)
        read_size(path)
    held_open = {link.resolve() for link in Path("/dev/fd").iterdir()}
    assert not held_open & {path.resolve() for path in paths}
