"""Files that are no images, broken ones, bombs, and images of every odd kind, as they are uploaded and predicted."""

import io
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import rasterio
from PIL import Image

from tests.corpus.tiffs import BANDS, HEIGHT, PIXELS, WIDTH, by_rasterio, flipped, tiff

pytestmark = pytest.mark.corpus

PHOTO = Image.fromarray(PIXELS)

USED, EITHER = "", "?"
"""What may come of a file: a prediction; or that or a sentence; or, in words, a sentence that holds these."""

NO_IMAGE = "is not an image that can be read: save it again as PNG or JPEG."
DAMAGED = "is damaged or cut short: fetch or export the file again."
TOO_LARGE = "that are read at once: cut it into smaller scenes."
HOLLOW = "by its header, but far too few bytes for them: fetch or export the file again."


class Case(NamedTuple):
    """A file and what is to come of it.

    Args:
        name: Of the file.
        content: What makes its bytes.
        page: What comes of it in the page.
        command: The same on the command line; as in the page by default.
        size: Height and width as used.
    """

    name: str
    content: Callable[[], bytes]
    page: str = USED
    command: str | None = None
    size: tuple[int, int] = (HEIGHT, WIDTH)


def saved(image: Image.Image = PHOTO, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, data: bytes | None, *between: bytes, depth: int = 8, color: int = 2) -> bytes:
    """A PNG put together by hand: its header may lie. `data` is what is deflated, None for none."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    pixels = b"" if data is None else chunk(b"IDAT", zlib.compress(data, 9))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(between) + pixels + chunk(b"IEND", b"")


def inside_png(*chunks: bytes) -> bytes:
    """A good PNG with more chunks before its pixels."""
    content = saved()
    return content[:33] + b"".join(chunks) + content[33:]


def zeros(megabytes: int) -> bytes:
    """So many megabytes of zeros, deflated."""
    packer = zlib.compressobj()
    first, again = (packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + again * (megabytes - 1) + packer.flush()


def hollow_map(side: int, **layout: object) -> bytes:
    """The header of a huge GeoTIFF without a single pixel."""
    return by_rasterio(np.zeros((3, 1, 1), np.uint8), False, height=side, width=side, SPARSE_OK=True, **layout)


def one_block_map() -> bytes:
    """A GeoTIFF of 20,000 × 20,000 pixels that has to be unpacked as a whole."""
    return hollow_map(20_000, TILED=True, BLOCKXSIZE=20_000, BLOCKYSIZE=20_000) + bytes(1 << 20)


def sideways(kind: str) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(PHOTO, kind, exif=exif)


def much_exif() -> bytes:
    exif = Image.Exif()
    exif[0x010E] = "x" * 65_000
    return saved(PHOTO, "JPEG", exif=exif)


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("config.json", "{}")
    return buffer.getvalue()


def stills(count: int) -> list[Image.Image]:
    return [Image.new("RGB", (WIDTH, HEIGHT), (40 * place, 0, 0)) for place in range(count)]


def palette_with_transparency() -> bytes:
    return saved(PHOTO.quantize(16), transparency=bytes(range(0, 256, 16)))


def sixteen_bit_colours() -> bytes:
    rows = np.insert(np.repeat(PIXELS, 2, axis=2).reshape(HEIGHT, -1), 0, 0, axis=1)
    return png(WIDTH, HEIGHT, rows.tobytes(), depth=16)


def lying_webp() -> bytes:
    """An animation on a canvas of 16,384 × 16,384 pixels, in a hundred bytes."""
    side = (16_383).to_bytes(3, "little")
    canvas = b"VP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + side + side
    animation = b"ANIM" + struct.pack("<I", 6) + bytes(6)
    still = saved(Image.new("RGB", (2, 2)), "WEBP", lossless=True)[12:]
    frame = bytes(6) + b"\x01\0\0" * 2 + b"\x64\0\0\0" + still
    body = b"WEBP" + canvas + animation + b"ANMF" + struct.pack("<I", len(frame)) + frame
    return b"RIFF" + struct.pack("<I", len(body)) + body


def lying_jpeg() -> bytes:
    """A good JPEG whose header says that it is 60,000 × 60,000."""
    content = bytearray(saved(PHOTO, "JPEG"))
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 4] = struct.pack(">HH", 60_000, 60_000)
    return bytes(content)


def lying_bmp(width: int, height: int) -> bytes:
    content = bytearray(saved(PHOTO, "BMP"))
    content[18:26] = struct.pack("<ii", width, height)
    return bytes(content)


SCRIPT = b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><svg>&e;</svg>"

IMAGES = {
    # No images, whatever they are called.
    "nothing": Case("a.png", lambda: b"", NO_IMAGE),
    "one byte": Case("a.png", lambda: b"\x89", NO_IMAGE),
    "a signature": Case("a.png", lambda: b"\x89PNG\r\n\x1a\n", NO_IMAGE),
    "zeros": Case("a.tif", lambda: bytes(5000), NO_IMAGE),
    "noise": Case("a.jpg", lambda: np.random.default_rng(0).bytes(5000), NO_IMAGE),
    "text": Case("a.bmp", lambda: b"Dear Sir or Madam", NO_IMAGE),
    "a page": Case("a.webp", lambda: b"<html><script>alert(1)</script></html>", NO_IMAGE),
    "SVG": Case("a.png", lambda: SCRIPT, NO_IMAGE),
    "PDF": Case("a.png", lambda: saved(PHOTO, "PDF"), NO_IMAGE),
    "PostScript": Case("a.jpg", lambda: saved(PHOTO, "EPS"), NO_IMAGE),
    "a GIF": Case("a.png", lambda: saved(PHOTO, "GIF"), NO_IMAGE),
    "a GIF that is a script": Case("a.png", lambda: b"GIF89a/*" + bytes(9) + b"*/=1;alert(1)", NO_IMAGE),
    "AVIF": Case("a.jpg", lambda: b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miafMA1B" + bytes(300), NO_IMAGE),
    "JPEG 2000": Case("a.jpg", lambda: saved(PHOTO, "JPEG2000")),
    "PSD": Case("a.png", lambda: b"8BPS\0\1" + bytes(20), NO_IMAGE),
    "an archive": Case("a.png", archive, NO_IMAGE),
    "a pickle": Case("a.png", lambda: pickle.dumps(print), NO_IMAGE),
    "a program": Case("a.png", lambda: b"\x7fELF\2\1\1" + bytes(200), NO_IMAGE),
    "a virtual raster": Case("a.tif", lambda: b"<VRTDataset rasterXSize='1' rasterYSize='1'/>", NO_IMAGE),
    # Cut short or with holes.
    **{
        f"half a {kind}": Case(f"a.{kind}", lambda kind=kind: (whole := saved(PHOTO, kind))[: len(whole) // 2], reason)
        for kind, reason in (("png", DAMAGED), ("jpeg", DAMAGED), ("bmp", DAMAGED), ("webp", NO_IMAGE))
    },
    "half a TIFF": Case("a.tif", lambda: (whole := saved(PHOTO, "TIFF"))[: len(whole) // 2], DAMAGED),
    "PNG without pixels": Case("a.png", lambda: png(WIDTH, HEIGHT, None), DAMAGED),
    "PNG with too few pixels": Case("a.png", lambda: png(WIDTH, HEIGHT, bytes(100)), DAMAGED),
    "PNG of a wrong checksum": Case("a.png", lambda: saved()[:-20] + bytes(4) + saved()[-16:], DAMAGED),
    "PNG without its end": Case("a.png", lambda: saved()[:-12], USED),
    "PNG of a mode that there is not": Case("a.png", lambda: png(9, 9, bytes(300), depth=3, color=5), NO_IMAGE),
    "TIFF without entries": Case("a.tif", lambda: b"II*\0\x08\0\0\0\0\0\0\0\0\0", NO_IMAGE),
    "TIFF of 65,535 entries": Case("a.tif", lambda: b"II*\0\x08\0\0\0\xff\xff" + bytes(90), NO_IMAGE),
    "TIFF whose pixels lie elsewhere": Case("a.tif", lambda: tiff(9, 9, (273, 4, 1, 1 << 31)), DAMAGED),
    "TIFF whose entry lies elsewhere": Case(
        "a.tif", lambda: tiff(9, 9, (270, 2, 1 << 30, 1 << 30), data=bytes(243)), EITHER
    ),
    "TIFF that follows itself": Case(
        "a.tif", lambda: tiff(9, 9, following=8 + 243, data=bytes(243)), USED, size=(9, 9)
    ),
    # Bits turned over.
    **{
        f"bits of {kind} turned over {seed}": Case(
            f"a.{kind}", lambda kind=kind, seed=seed: flipped(saved(PHOTO, kind), seed), EITHER
        )
        for kind in ("png", "jpeg", "tiff", "bmp", "webp")
        for seed in range(3)
    },
    # Bombs: little that says it is much, or is.
    "PNG of 60,000 × 60,000": Case("a.png", lambda: png(60_000, 60_000, bytes(1000)), TOO_LARGE),
    "PNG of 20,000 × 20,000": Case("a.png", lambda: png(20_000, 20_000, bytes(1000)), HOLLOW),
    "PNG of 2,000,000 × 1": Case("a.png", lambda: png(2_000_000, 1, bytes(6_000_001)), TOO_LARGE),
    "PNG of the most there can be": Case("a.png", lambda: png((1 << 31) - 1, (1 << 31) - 1, b"\0"), TOO_LARGE),
    "PNG of too many pixels in itself": Case("a.png", lambda: png(WIDTH, HEIGHT, None, chunk(b"IDAT", zeros(1000)))),
    "PNG with a bomb for a text": Case("a.png", lambda: inside_png(chunk(b"zTXt", b"a\0\0" + zeros(1000))), NO_IMAGE),
    "PNG with a bomb for a comment": Case(
        "a.png", lambda: inside_png(chunk(b"iTXt", b"a\0\1\0\0\0" + zeros(1000))), NO_IMAGE
    ),
    "PNG with a bomb for a profile": Case(
        "a.png", lambda: inside_png(chunk(b"iCCP", b"a\0\0" + zeros(1000))), NO_IMAGE
    ),
    "PNG with a thousand bombs": Case(
        "a.png", lambda: inside_png(*[chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 20)))] * 1000), NO_IMAGE
    ),
    "BMP of 60,000 × 60,000": Case("a.bmp", lambda: lying_bmp(60_000, 60_000), TOO_LARGE),
    "JPEG of 60,000 × 60,000": Case("a.jpg", lying_jpeg, TOO_LARGE),
    "WebP of 16,384 × 16,384": Case("a.webp", lying_webp, HOLLOW),
    "TIFF of 60,000 × 60,000": Case("a.tif", lambda: tiff(60_000, 60_000), TOO_LARGE),
    "TIFF of 16,000 × 16,000": Case("a.tif", lambda: tiff(16_000, 16_000), HOLLOW),
    "TIFF of a tile of 2³¹": Case(
        "a.tif",
        lambda: tiff(9, 9, (322, 4, 1, 1 << 30), (323, 4, 1, 1 << 30), (324, 4, 1, 8), (325, 4, 1, 9)),
        DAMAGED,
    ),
    "TIFF of 16,000 channels": Case("a.tif", lambda: tiff(99, 99, (277, 3, 1, 16_000)), DAMAGED),
    # Without extent.
    "PNG without width": Case("a.png", lambda: png(0, 40, bytes(40)), NO_IMAGE),
    "PNG without height": Case("a.png", lambda: png(40, 0, b""), NO_IMAGE),
    "BMP without width": Case("a.bmp", lambda: lying_bmp(0, 40), NO_IMAGE),
    "TIFF without width": Case("a.tif", lambda: tiff(0, 40), NO_IMAGE),
    # Two things at once.
    "PNG and archive": Case("a.png", lambda: saved() + archive()),
    "PNG and page": Case("a.png", lambda: inside_png(chunk(b"tEXt", b"a\0<script>alert(1)</script>"))),
    "JPEG and program": Case("a.jpg", lambda: saved(PHOTO, "JPEG", comment=b"<?php system('id') ?>") + b"\x7fELF"),
    "two JPEGs": Case("a.jpg", lambda: saved(PHOTO, "MPO", save_all=True, append_images=stills(1))),
    "BMP and script": Case("a.bmp", lambda: saved(PHOTO, "BMP") + b"*/=1;alert(1)"),
    # By another's name.
    "PNG called JPEG": Case("a.jpg", saved),
    "JPEG called TIFF": Case("a.tif", lambda: saved(PHOTO, "JPEG")),
    "TIFF called PNG": Case("a.png", lambda: saved(PHOTO, "TIFF")),
    "WebP called BMP": Case("a.BMP", lambda: saved(PHOTO, "WEBP")),
    # Rightful, if odd.
    "CMYK": Case("a.jpg", lambda: saved(PHOTO.convert("CMYK"), "JPEG")),
    "L*a*b*": Case("a.tif", lambda: saved(Image.new("LAB", (WIDTH, HEIGHT)), "TIFF")),
    "YCbCr": Case("a.jpg", lambda: saved(PHOTO.convert("YCbCr"), "JPEG")),
    "1 bit": Case("a.png", lambda: saved(PHOTO.convert("1"))),
    "1 bit as faxes": Case("a.tif", lambda: saved(PHOTO.convert("1"), "TIFF", compression="group4")),
    "palette": Case("a.png", lambda: saved(PHOTO.quantize(16))),
    "palette with transparency": Case("a.png", palette_with_transparency),
    "palette with a clear colour": Case("a.png", lambda: saved(PHOTO.quantize(16), transparency=3)),
    "grey with transparency": Case("a.png", lambda: saved(PHOTO.convert("LA"))),
    "transparent": Case("a.png", lambda: saved(PHOTO.convert("RGBA"))),
    "16-bit grey": Case("a.png", lambda: saved(Image.fromarray(PIXELS[..., 0].astype(np.uint16) << 8))),
    "16-bit colours": Case("a.png", sixteen_bit_colours),
    "16-bit grey TIFF": Case("a.tif", lambda: saved(Image.fromarray(PIXELS[..., 0].astype(np.uint16)), "TIFF")),
    "16-bit colours TIFF": Case("a.tif", lambda: by_rasterio(BANDS.astype(np.uint16), crs=None, transform=None), USED),
    "32-bit grey TIFF": Case("a.tif", lambda: saved(Image.fromarray(PIXELS[..., 0].astype(np.int32)), "TIFF")),
    "float TIFF": Case("a.tif", lambda: saved(Image.fromarray(PIXELS[..., 0].astype(np.float32)), "TIFF"), USED),
    "planes apart": Case("a.tif", lambda: by_rasterio(BANDS, crs=None, transform=None, INTERLEAVE="BAND")),
    "TIFF of three pages": Case("a.tif", lambda: saved(PHOTO, "TIFF", save_all=True, append_images=stills(2))),
    "LZW": Case("a.tif", lambda: saved(PHOTO, "TIFF", compression="tiff_lzw")),
    "JPEG in TIFF": Case("a.tif", lambda: saved(PHOTO, "TIFF", compression="jpeg")),
    "BigTIFF": Case("a.tif", lambda: saved(PHOTO, "TIFF", big_tiff=True)),
    "animated PNG": Case("a.png", lambda: saved(PHOTO, "PNG", save_all=True, append_images=stills(3))),
    "animated WebP": Case("a.webp", lambda: saved(PHOTO, "WEBP", save_all=True, append_images=stills(3))),
    "progressive": Case("a.jpeg", lambda: saved(PHOTO, "JPEG", progressive=True)),
    **{
        f"{kind} held upright": Case(f"a.{kind}", lambda kind=kind: sideways(kind), size=(WIDTH, HEIGHT))
        for kind in ("jpeg", "png", "webp", "tiff")
    },
    "much EXIF": Case("a.jpg", much_exif),
    "EXIF of eight megabytes": Case("a.png", lambda: inside_png(chunk(b"eXIf", b"II*\0\x08\0\0\0" + bytes(8 << 20)))),
    "EXIF that is none": Case("a.jpg", lambda: saved(PHOTO, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")),
    "a profile that is none": Case("a.png", lambda: saved(PHOTO, icc_profile=b"no profile")),
    "one pixel": Case("a.png", lambda: saved(Image.new("RGB", (1, 1))), size=(1, 1)),
    "a line across": Case("a.png", lambda: saved(Image.new("RGB", (3000, 1))), size=(1, 3000)),
    "a line down": Case("a.png", lambda: saved(Image.new("RGB", (1, 3000))), size=(3000, 1)),
    # GeoTIFFs: the command makes maps of them, the page reads them like any TIFF.
    "a map": Case("a.tif", lambda: by_rasterio(BANDS)),
    "a map of 16 bits": Case("a.tif", lambda: by_rasterio(BANDS.astype(np.uint16)), EITHER, USED),
    "a map of floats": Case("a.tif", lambda: by_rasterio(BANDS[:1].astype(np.float32)), USED),
    "a map of nothing but NaN": Case(
        "a.tif", lambda: by_rasterio(np.full((1, HEIGHT, WIDTH), np.nan, np.float32)), USED
    ),
    "a map of infinities": Case("a.tif", lambda: by_rasterio(np.full((1, HEIGHT, WIDTH), np.inf, np.float32)), USED),
    "a map of complex numbers": Case("a.tif", lambda: by_rasterio(BANDS.astype(np.complex64)), "export it as RGB."),
    "a map of seven bands": Case("a.tif", lambda: by_rasterio(np.tile(BANDS, (3, 1, 1))[:7]), EITHER, USED),
    "a map that lies nowhere": Case(
        "a.tif", lambda: by_rasterio(BANDS, transform=rasterio.Affine(0, 0, 0, 0, 0, 0)), USED
    ),
    "a map beyond the poles": Case(
        "a.tif", lambda: by_rasterio(BANDS, crs="EPSG:4326", transform=rasterio.Affine(90, 0, 9e9, 0, 90, 1e12)), USED
    ),
    "a map of not-a-number": Case(
        "a.tif", lambda: by_rasterio(BANDS, transform=rasterio.Affine(np.nan, 0, 0, 0, np.nan, 0)), USED
    ),
    "half a map": Case("a.tif", lambda: (whole := by_rasterio(BANDS, COMPRESS="DEFLATE"))[: len(whole) - 900], DAMAGED),
    **{
        f"bits of a map turned over {seed}": Case(
            "a.tif", lambda seed=seed: flipped(by_rasterio(BANDS, COMPRESS="LZW"), seed), EITHER
        )
        for seed in range(5)
    },
    "a map of 60,000 × 60,000 without pixels": Case(
        "a.tif", lambda: hollow_map(60_000, TILED=True, BLOCKXSIZE=512, BLOCKYSIZE=512), TOO_LARGE, HOLLOW
    ),
    "a map of one block of 20,000 × 20,000": Case(
        "a.tif", one_block_map, "that this page predicts", "export it in tiles."
    ),
}


@pytest.mark.parametrize("case", IMAGES.values(), ids=IMAGES)
def test_an_image_is_predicted_or_refused_in_one_sentence(case: Case, upload: Callable, predict: Callable) -> None:
    content = case.content()
    height, width = case.size

    shown = upload((case.name, content))
    assert shown.exceptions == []
    if case.page == EITHER:
        assert len(shown.errors) <= 1
    elif case.page == USED:
        assert shown.errors == []
        assert f"{case.name}, {width:,} × {height:,} px" in shown.words
    else:
        assert len(shown.errors) == 1
        assert case.page in shown.errors[0]
    for sentence in shown.errors:
        assert_one_sentence(sentence, case.name)

    expected = case.page if case.command is None else case.command
    done = predict({case.name: content})
    assert len(done.table) == 1
    if expected == EITHER:
        assert done.code in (0, 3)
    else:
        assert done.code == (0 if expected == USED else 3)
    if done.code == 0:
        assert done.err == []
        masks, maps = {"a-colours.png", "a-indices.png"}, {"a-classes.tif", "a-classes.tif.aux.xml"}
        assert done.files - {"a.json"} in (masks, maps)
        if expected == USED:
            assert done.table[["height", "width"]].iloc[0].tolist() == [height, width]
    else:
        assert len(done.err) == 1
        assert_one_sentence(done.err[0], case.name)
        assert expected == EITHER or expected in done.err[0]
        assert done.files == set()


def assert_one_sentence(sentence: str, name: str) -> None:
    assert sentence.startswith(name)
    assert sentence.endswith(".")
    assert "\n" not in sentence
