"""Masks that do not fit, hold other colours, or had theirs smeared: said, and mended by the nearest colours."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from segmentation.data.palette import DUBAI, VOID

pytestmark = pytest.mark.corpus

CLASSES = np.roll(np.kron(np.arange(30, dtype=np.uint8).reshape(5, 6) % 6, np.ones((8, 8), np.uint8)), 3, (0, 1))
"""(40, 48): all classes, in squares that are not JPEG's."""

HEIGHTS = np.arange(1920).reshape(40, 48) * 30

MASK = Image.fromarray(DUBAI.decode(CLASSES))

USED, SMEARED = "", "have no colour of the legend"

OTHER_COLORS = "has a colour of the legend"


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def smoothed() -> bytes:
    """Drawn twice as large and shrunk as a drawing program does."""
    large = MASK.resize((2 * MASK.width + 1, 2 * MASK.height + 1), Image.Resampling.NEAREST)
    return saved(large.resize(MASK.size, Image.Resampling.BILINEAR))


def with_void(color: tuple[int, int, int]) -> bytes:
    pixels = DUBAI.decode(CLASSES)
    pixels[:4] = color
    return saved(Image.fromarray(pixels))


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(MASK, exif=exif)


IMAGE = saved(Image.effect_noise(MASK.size, 90).convert("RGB"))


def transparent(rows: int) -> bytes:
    """A mask of which so many rows are transparent, with their colours hidden in it."""
    pixels = np.dstack([DUBAI.decode(CLASSES), np.full(CLASSES.shape, 255, np.uint8)])
    pixels[:rows, :, 3] = 0
    return saved(Image.fromarray(pixels))


class Case(NamedTuple):
    """A mask, and what is to come of it: scores, a warning, or one sentence that holds these words.

    The page reads masks that the command refuses, since it can ask.
    """

    name: str
    content: Callable[[], bytes]
    expected: str = USED
    on_page: str | None = None


MASKS = {
    "exact": Case("a.png", lambda: saved(MASK)),
    "palette": Case("a.png", lambda: saved(MASK.quantize(6, dither=Image.Dither.NONE))),
    "transparent": Case("a.png", lambda: saved(MASK.convert("RGBA"))),
    "transparent everywhere": Case("a.png", lambda: transparent(len(CLASSES)), OTHER_COLORS),
    "lossless WebP": Case("a.webp", lambda: saved(MASK, "WEBP", lossless=True)),
    "TIFF": Case("a.tif", lambda: saved(MASK, "TIFF")),
    "black where there is no class": Case("a.png", lambda: with_void((0, 0, 0))),
    "turned by EXIF, which masks are not": Case("a.png", turned),
    "white where there is no class": Case("a.png", lambda: with_void((255, 255, 255)), SMEARED),
    "JPEG": Case("a.jpg", lambda: saved(MASK, "JPEG", quality=95), SMEARED),
    "JPEG of low quality": Case("a.jpg", lambda: saved(MASK, "JPEG", quality=40), OTHER_COLORS),
    "lossy WebP": Case("a.webp", lambda: saved(MASK, "WEBP", quality=80), SMEARED),
    "smoothed edges": Case("a.png", smoothed, SMEARED),
    "JPEG for print": Case("a.jpg", lambda: saved(MASK.convert("CMYK"), "JPEG", quality=95), SMEARED),
    "another size": Case("a.png", lambda: saved(MASK.resize((20, 20))), "has 20 × 20 pixels, the image a.png 48 × 40"),
    "turned": Case("a.png", lambda: saved(MASK.transpose(Image.Transpose.ROTATE_90)), "has 40 × 48 pixels"),
    "twice as large": Case(
        "a.png", lambda: saved(MASK.resize((96, 80), Image.Resampling.NEAREST)), "has 96 × 80 pixels", USED
    ),
    "of the image's shape, but 77 megapixels": Case(
        "a.png", lambda: saved(Image.new("RGB", (9_600, 8_000))), "has 9600 × 8000 pixels", "more than 64,000,000"
    ),
    "50 megapixels": Case("a.png", lambda: saved(Image.new("RGB", (10_000, 5_000))), "has 10000 × 5000 pixels"),
    "16 bits": Case("a.png", lambda: saved(Image.fromarray(CLASSES.astype(np.uint16))), "is no colour mask", USED),
    "floats": Case(
        "a.tif", lambda: saved(Image.fromarray(CLASSES.astype(np.float32)), "TIFF"), "is no colour mask", USED
    ),
    "heights, each its own": Case(
        "a.tif", lambda: saved(Image.fromarray(HEIGHTS.astype(np.uint16)), "TIFF"), "is no colour mask", OTHER_COLORS
    ),
    "nothing": Case("a.png", lambda: b"", "is not an image"),
    "text": Case("a.png", lambda: b"Dear Sir or Madam", "is not an image"),
    "half of it": Case("a.bmp", lambda: saved(MASK, "BMP")[:3000], "is damaged or cut short"),
    "class indices": Case("a.png", lambda: saved(Image.fromarray(CLASSES)), OTHER_COLORS, USED),
    "1 bit": Case("a.png", lambda: saved(MASK.convert("1")), OTHER_COLORS, USED),
    "blue for red": Case("a.png", lambda: saved(Image.fromarray(DUBAI.decode(CLASSES)[..., ::-1])), SMEARED),
    "one colour off": Case(
        "a.png", lambda: saved(Image.fromarray(DUBAI.decode(CLASSES) + np.uint8(1))), OTHER_COLORS, SMEARED
    ),
    "black": Case("a.png", lambda: saved(Image.new("RGB", MASK.size)), OTHER_COLORS),
}


@pytest.mark.parametrize("case", MASKS.values(), ids=MASKS)
def test_a_mask_gives_scores_a_warning_or_one_sentence(case: Case, upload: Callable, predict: Callable) -> None:
    content = case.content()
    shown = upload(("a.png", IMAGE), (case.name, content))
    done = predict({"a.png": IMAGE}, {case.name: content})
    assert shown.exceptions == []
    assert "a.png, 48 × 40 px" in shown.words  # whatever the mask is, the image is predicted
    on_page = case.expected if case.on_page is None else case.on_page
    if on_page in (USED, SMEARED):
        assert shown.errors == []
        assert "Mean IoU over the classes" in shown.words
    else:
        (sentence,) = shown.errors
        assert on_page in sentence
        assert case.name in sentence
        assert "Upload a mask to get scores." in shown.words
    if on_page == USED:
        assert shown.warnings == []
    elif on_page == SMEARED:
        share = f"{100 * done.table['uncertain'][0]:.2f} %"
        assert shown.warnings[0].startswith(f"{share} of the pixels of {case.name} have no colour of the legend")
    if case.expected in (USED, SMEARED):
        assert done.code == 0
        assert done.table["accuracy"][0] != ""
    if case.expected == USED:
        assert done.err == []
        assert done.table["uncertain"][0] == 0
    elif case.expected == SMEARED:
        assert done.err == [
            f"a.png: {share} of its mask's pixels have no class's colour and are left out: "
            "give --nearest-colours to take the nearest class's, or save the mask as PNG."
        ]
    elif case.expected != OTHER_COLORS:  # that a mask has no class anywhere is no reason to stop a whole folder
        assert done.code == 3
        assert done.err == [done.table["problem"][0]]
        assert done.files == set()


@pytest.mark.parametrize("name", ["JPEG", "JPEG of low quality", "lossy WebP", "smoothed edges", "one colour off"])
def test_nearest_colours_give_every_pixel_a_class(
    name: str, upload: Callable, predict: Callable, tmp_path: Path
) -> None:
    case = MASKS[name]
    content = case.content()
    shown = upload(("a.png", IMAGE), (case.name, content), nearest=True)
    done = predict({"a.png": IMAGE}, {case.name: content}, "--nearest-colours")
    assert (shown.exceptions, shown.errors) == ([], [])
    assert "took the nearest" in shown.warnings[0]
    assert len(done.err) == 1
    assert "took the nearest" in done.err[0]
    truth = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    nearest = DUBAI.encode_nearest(truth)
    predicted = np.asarray(Image.open(tmp_path / "out" / "a-indices.png"))
    labelled = nearest != VOID
    assert labelled.mean() > 0.99
    assert done.table["accuracy"][0] == pytest.approx((nearest == predicted)[labelled].mean(), abs=1e-6)


def test_transparent_pixels_of_an_uploaded_mask_count_as_void_and_the_page_says_so(
    upload: Callable, predict: Callable, tmp_path: Path
) -> None:
    shown = upload(("a.png", IMAGE), ("a.png", transparent(4)))
    done = predict({"a.png": IMAGE}, {"a.png": transparent(4)})
    assert shown.warnings == [
        "10.00 % of the pixels of a.png are transparent and count as void: fill them with their class's colour if "
        "they belong to one."
    ]
    predicted = np.asarray(Image.open(tmp_path / "out" / "a-indices.png"))
    assert done.table["accuracy"][0] == pytest.approx((predicted == CLASSES)[4:].mean(), abs=1e-6)
    assert done.table["uncertain"][0] == 0
