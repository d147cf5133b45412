"""The size, depth and bands of a TIFF or JPEG 2000 image that GDAL will decode, read from its header without GDAL."""

import struct
import warnings
from pathlib import Path
from typing import BinaryIO, NamedTuple

from PIL import TiffImagePlugin

from segmentation.data.remembered import until_changed
from segmentation.data.stretch import COLORS

MOST_BOXES = 64
"""Boxes of a JPEG 2000 file that are passed over in the search for its codestream: usual ones have four."""

CODESTREAM = b"\xff\x4f\xff\x51"
"""Markers that a codestream of JPEG 2000 begins with: its start, and that of its sizes."""


EXTRA_SAMPLES, ALPHA = 338, (1, 2)
"""TIFF tag that says what the samples beyond a pixel's colours are, and its values for transparency."""


class RasterHeader(NamedTuple):
    """What a header says of an image.

    Args:
        height: In pixels.
        width: In pixels.
        is_deep: Whether values have more than 8 bits.
        bands: How many bands it has, those of a TIFF without transparency.
    """

    height: int
    width: int
    is_deep: bool
    bands: int


def read_header(file: BinaryIO) -> RasterHeader | None:
    """Return what the header of a TIFF or JPEG 2000 file says of its image; None if it is neither, or damaged."""
    try:
        file.seek(0)
        begin = file.read(16)
        header = _of_tiff(file, begin) if begin[:2] in (b"II", b"MM") else _of_jpeg_2000(file)
    except Exception:  # Pillow's and struct's: whatever a broken header makes them trip over
        return None
    return header if header.height > 0 and header.width > 0 else None


@until_changed(256)
def band_count(path: Path) -> int:
    """Return how many bands of an image can be chosen from: 3 where its header does not say.

    Raises:
        ImageFileError: If it is not there.
    """
    try:
        with path.open("rb") as file:
            header = read_header(file)
    except OSError:  # reading the image says so
        return COLORS
    return header.bands if header else COLORS


def _of_tiff(file: BinaryIO, begin: bytes) -> RasterHeader:
    """Return what a TIFF says of its first image."""
    is_big = b"+" in begin[2:4]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata
        directory = TiffImagePlugin.ImageFileDirectory_v2(begin if is_big else begin[:8])
        file.seek(directory.next)
        directory.load(file)
        extra = directory.get(EXTRA_SAMPLES, ())
        alpha = sum(kind in ALPHA for kind in (extra if isinstance(extra, tuple) else (extra,)))
        bands = max(1, int(directory.get(277, 1)) - alpha)
        return RasterHeader(int(directory[257]), int(directory[256]), max(directory.get(258, (1,))) > 8, bands)


def _of_jpeg_2000(file: BinaryIO) -> RasterHeader:
    """Return what the codestream in a JPEG 2000 file begins with says of it (ISO/IEC 15444-1, A.5.1, I.4)."""
    file.seek(_codestream(file))
    if file.read(4) != CODESTREAM:
        raise ValueError("Expected a codestream of JPEG 2000.")
    right, bottom, left, top = struct.unpack(">4I", file.read(20)[4:])
    (count,) = struct.unpack(">16xH", file.read(18))
    depths = file.read(3 * count)[::3]
    return RasterHeader(bottom - top, right - left, any((depth & 127) + 1 > 8 for depth in depths), count)


def _codestream(file: BinaryIO) -> int:
    """Return where the codestream of a JPEG 2000 file begins: at once, or in one of its boxes."""
    at = 0
    file.seek(at)
    if file.read(4) == CODESTREAM:
        return at
    for _ in range(MOST_BOXES):
        file.seek(at)
        length, kind = struct.unpack(">I4s", file.read(8))
        inside = 8
        if length == 1:  # it follows in 64 bits
            (length,) = struct.unpack(">Q", file.read(8))
            inside = 16
        if kind == b"jp2c":
            return at + inside
        if length < inside:
            raise ValueError("Expected a box that holds itself.")
        at += length
    raise ValueError("Expected a codestream among the first boxes.")
