"""Masks that come alone: what says their classes, and which of two files is the mask."""

import io

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.io import MemoryFile

from segmentation.data.encodings import Encoding, same_shape
from segmentation.data.mask_contents import MOST_COLORS, look_at
from segmentation.data.palette import DUBAI, VOID, Palette
from segmentation.data.recognition import ASKED, Reading, mask_by_content, mask_by_name, recognise

CLASSES = np.roll(np.kron(np.arange(30, dtype=np.uint8).reshape(5, 6) % 6, np.ones((8, 8), np.uint8)), 3, (0, 1))
"""(40, 48): all six classes."""

YES = (CLASSES > 2).astype(np.uint8)

PAIR = Palette(("Elsewhere", "House"), ((221, 221, 221), (204, 51, 17)))

STRANGE = ((10, 200, 30), (99, 1, 2), (4, 5, 200), (240, 240, 3), (1, 90, 3), (200, 0, 201))
"""Colours that are near to none of the legend's."""


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def paletted(values: np.ndarray, colors: tuple[tuple[int, ...], ...]) -> Image.Image:
    image = Image.fromarray(values)
    image.putpalette(np.array(colors, np.uint8).tobytes())
    return image


def geotiff(values: np.ndarray, colors: dict[int, tuple[int, ...]] | None = None, **options: object) -> bytes:
    """A GeoTIFF as GDAL writes it, with a colour table if there are colours."""
    with MemoryFile() as memory:
        photometric = {"photometric": "palette"} if colors else {}
        shape = {"height": values.shape[0], "width": values.shape[1], "count": 1, "dtype": values.dtype}
        place = {"crs": "EPSG:32640", "transform": rasterio.Affine(1, 0, 3e5, 0, -1, 2.7e6)}
        with memory.open(driver="GTiff", **shape, **place, **photometric, **options) as file:
            if colors:
                file.write_colormap(1, colors)
            file.write(values, 1)
        return memory.read()


def read(content: bytes, palette: Palette = DUBAI, **how: object) -> tuple[Reading, np.ndarray]:
    """How a mask is read, and what comes of it."""
    reading = recognise(look_at(content, "a.png"), palette, **({"encoding": None, "choices": {}} | how))
    return reading, reading.encoding().read(content, palette, "a.png")


def see_through(values: np.ndarray) -> np.ndarray:
    return np.dstack([DUBAI.decode(values), np.where(np.arange(48) < 9, 0, 255) + np.zeros((40, 1), np.uint8)])


SURE = {
    "colours": (saved(Image.fromarray(DUBAI.decode(CLASSES))), DUBAI, CLASSES),
    "colours in a palette file": (
        saved(paletted(5 - CLASSES, DUBAI.colors[::-1])),
        DUBAI,
        CLASSES,
    ),
    "colours in a GeoTIFF's table": (
        geotiff(5 - CLASSES, {place: (*color, 255) for place, color in enumerate(DUBAI.colors[::-1])}),
        DUBAI,
        CLASSES,
    ),
    "class indices": (saved(Image.fromarray(CLASSES)), DUBAI, CLASSES),
    "class indices of 16 bits": (saved(Image.fromarray(CLASSES.astype(np.uint16))), DUBAI, CLASSES),
    "class indices in a TIFF": (saved(Image.fromarray(CLASSES.astype(np.uint16)), "TIFF"), DUBAI, CLASSES),
    "class indices in a GeoTIFF": (geotiff(CLASSES.astype(np.int16), compress="deflate", tiled=True), DUBAI, CLASSES),
    "class indices as floats": (geotiff(CLASSES.astype(np.float32)), DUBAI, CLASSES),
    "class indices in three channels": (saved(Image.fromarray(np.repeat(CLASSES[..., None], 3, 2))), DUBAI, CLASSES),
    "class indices and 255": (
        saved(Image.fromarray(np.where(CLASSES == 2, 255, CLASSES).astype(np.uint8))),
        DUBAI,
        np.where(CLASSES == 2, VOID, CLASSES),
    ),
    "class indices from one on": (saved(Image.fromarray(CLASSES + np.uint8(1))), DUBAI, CLASSES),
    "numbers of one colour": (saved(paletted(CLASSES, ((7, 7, 7),) * 6)), DUBAI, CLASSES),
    "0 and 1": (saved(Image.fromarray(YES)), PAIR, YES),
    "0 and 255": (saved(Image.fromarray(255 * YES)), PAIR, YES),
    "0 and 255 in three channels": (saved(Image.fromarray(np.repeat(255 * YES[..., None], 3, 2))), PAIR, YES),
    "one bit": (saved(Image.fromarray(255 * YES).convert("1")), PAIR, YES),
    "transparent": (
        saved(Image.fromarray(see_through(CLASSES).astype(np.uint8))),
        DUBAI,
        np.where(np.arange(48) < 9, VOID, CLASSES),
    ),
}


@pytest.mark.parametrize(("content", "palette", "expected"), SURE.values(), ids=SURE)
def test_what_masks_hold_tells_their_classes(content: bytes, palette: Palette, expected: np.ndarray) -> None:
    reading, mask = read(content, palette)
    assert np.array_equal(mask, expected)
    assert not reading.doubtful
    assert reading.strays == 0


def test_the_data_set_tells_first() -> None:
    turned = Encoding("value", tuple(range(6)), tuple(range(5, -1, -1)))
    content = saved(Image.fromarray(CLASSES))
    assert np.array_equal(read(content, encoding=turned)[1], 5 - CLASSES)
    hundreds = Encoding("value", tuple(range(0, 600, 100)), tuple(range(6)))
    assert np.array_equal(read(saved(Image.fromarray(CLASSES.astype(np.uint16) * 100)), encoding=hundreds)[1], CLASSES)
    strange = Encoding("color", STRANGE, tuple(range(6)))
    drawn = saved(Image.fromarray(np.array(STRANGE, np.uint8)[CLASSES]))
    reading, mask = read(drawn, encoding=strange)
    assert np.array_equal(mask, CLASSES)
    assert not reading.doubtful
    # A mask of another kind is read by what it holds.
    assert np.array_equal(read(saved(Image.fromarray(DUBAI.decode(CLASSES))), encoding=turned)[1], CLASSES)
    assert np.array_equal(read(saved(Image.fromarray(CLASSES)), encoding=hundreds)[1], CLASSES)


def test_numbers_in_palette_files_are_the_data_sets() -> None:
    numbers = Encoding("value", tuple(range(6)), tuple(range(5, -1, -1)), raw=True)
    reading, mask = read(saved(paletted(CLASSES, STRANGE)), encoding=numbers)
    assert np.array_equal(mask, 5 - CLASSES)
    assert reading.way == "number"


def test_strange_colours_are_asked_for_and_the_answers_win() -> None:
    content = saved(Image.fromarray(np.array(STRANGE, np.uint8)[CLASSES]))
    reading, mask = read(content)
    assert reading.doubtful
    assert reading.strays == CLASSES.size
    assert (mask == VOID).all()
    assert set(reading.asked({})) == set(STRANGE)
    answers = {STRANGE[0]: 3, STRANGE[1]: 3, STRANGE[2]: VOID}
    reading, mask = read(content, choices={"color": answers})
    expected = np.select([CLASSES <= 1], [3], VOID)
    assert np.array_equal(mask, expected)
    assert reading.strays == np.count_nonzero(CLASSES > 2)
    assert set(reading.asked(answers)) == set(STRANGE)  # to be answered otherwise


def test_a_strange_colour_table_is_read_by_its_numbers_until_somebody_says_more() -> None:
    content = saved(paletted(CLASSES, STRANGE))
    reading, mask = read(content)
    assert np.array_equal(mask, CLASSES)
    assert reading.doubtful
    answers = {"color": {STRANGE[0]: 5}}
    assert np.array_equal(read(content, choices=answers)[1], np.where(CLASSES == 0, 5, CLASSES))
    # What is said of a colour holds for a table in another order.
    everything = {"color": {color: 5 - place for place, color in enumerate(STRANGE)}}
    reading, mask = read(saved(paletted(5 - CLASSES, STRANGE[::-1])), choices=everything)
    assert np.array_equal(mask, 5 - CLASSES)
    assert not reading.doubtful


def test_near_colours_are_guessed_and_counted_as_strays() -> None:
    reading, mask = read(saved(Image.fromarray(DUBAI.decode(CLASSES) + np.uint8(1))))
    assert np.array_equal(mask, CLASSES)
    assert reading.doubtful
    assert reading.strays == CLASSES.size


def test_no_and_yes_of_many_classes_are_asked_for() -> None:
    reading, mask = read(saved(Image.fromarray(255 * YES)))
    assert (mask == VOID).all()
    assert set(reading.asked({})) == {0, 255}
    reading, mask = read(saved(Image.fromarray(255 * YES)), choices={"value": {255: 0, 0: 1}})
    assert np.array_equal(mask, 1 - YES)
    assert read(saved(Image.fromarray(YES)))[0].doubtful


@pytest.mark.parametrize(
    "pixels",
    [
        np.arange(1 << 16, dtype=np.uint16).reshape(256, 256),
        np.random.default_rng(1).integers(0, 256, (300, 300, 3), np.uint8),
        np.zeros((40, 48), np.uint8),
    ],
)
def test_what_is_no_mask_has_no_class(pixels: np.ndarray) -> None:
    reading, mask = read(saved(Image.fromarray(pixels)))
    assert (mask != VOID).mean() < 0.001
    assert len(reading.asked({})) <= ASKED


def test_very_many_colours_are_counted_in_bounded_memory() -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (600, 600, 3), np.uint8)
    pixels[:100] = DUBAI.colors[0]
    look = look_at(saved(Image.fromarray(pixels)), "a.png")
    assert look.many
    assert len(look.colors) == MOST_COLORS
    assert look.colors[DUBAI.colors[0]] >= 60_000


def test_the_nearest_class_is_that_of_the_encoding() -> None:
    pixels = DUBAI.decode(CLASSES).astype(int)
    smeared = (pixels + np.random.default_rng(3).integers(-9, 9, pixels.shape)).clip(0, 255).astype(np.uint8)
    content = saved(Image.fromarray(smeared))
    reading, mask = read(content)
    assert (mask == VOID).mean() > 0.9
    nearest = reading.encoding(nearest=True).read(content, DUBAI, "a.png")
    assert np.array_equal(nearest, CLASSES)
    assert [reading.class_of(key, nearest=True) for key in reading.asked({})] == [
        int(DUBAI.encode_nearest(np.array([[key]], np.uint8))[0, 0]) for key in reading.asked({})
    ]


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("a.jpg", "a.png"),
        ("a.png", "a_mask.png"),
        ("a_sat.tif", "a_label.tif"),
        ("image_1.png", "mask_1.png"),
        ("image.png", "mask.png"),
        ("a_0000.png", "a.png"),
        ("other.png", "labels of it.png"),
    ],
)
def test_names_tell_which_of_two_files_is_the_mask(image: str, mask: str) -> None:
    expected = None if "_0000" in image else 1
    assert mask_by_name([image, mask]) == expected
    assert mask_by_name([mask, image]) == (None if expected is None else 0)


def test_content_tells_which_of_two_files_is_the_mask() -> None:
    photograph = look_at(saved(Image.effect_noise((48, 40), 90).convert("RGB")), "a.png")
    mask = look_at(saved(Image.fromarray(DUBAI.decode(CLASSES))), "b.png")
    assert mask_by_name(["a.png", "b.png"]) is None
    assert mask_by_name(["a.png", "a.png"]) is None
    assert mask_by_content([photograph, mask]) == 1
    assert mask_by_content([mask, photograph]) == 0
    assert mask_by_content([mask, None]) == 0


@pytest.mark.parametrize(
    ("mask", "fits"),
    [((80, 96), True), ((20, 24), True), ((41, 48), False), ((79, 95), True), ((79, 96), False), ((48, 40), False)],
)
def test_a_mask_is_of_its_images_shape_within_a_pixel(mask: tuple[int, int], fits: bool) -> None:
    assert same_shape((40, 48), mask) == fits
