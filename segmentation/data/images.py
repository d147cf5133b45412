"""Image files in, arrays out: the one place that decodes what users hand us, and says clearly why it cannot."""

import io
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self

import numpy as np
from PIL import Image, ImageFile, TiffImagePlugin

from segmentation.data.palette import VOID, VOID_COLOR, OffPaletteStats, Palette
from segmentation.data.raster import LARGE, PIXELS_A_BYTE, Raster
from segmentation.data.raster_header import RasterHeader, read_header
from segmentation.data.stretch import COLORS, Stretch, lacks_bands
from segmentation.errors import ImageFileError, NotRasterError

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".jp2", ".bmp", ".webp")
"""The formats read, by file name ending in lower case."""

_FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP")
"""Those of Pillow, whatever the file is called; others (EPS) would start programs on what a user uploads."""

MAX_PIXELS = 400_000_000
"""Larger images are refused before they are decoded: 400 megapixels are 1.2 GB as 8-bit RGB."""

MAX_SIDE = 100_000
"""As are longer ones: prediction holds a row of windows, and pictures are drawn across."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What puts a picture of each EXIF orientation upright; 1 is upright."""

OPAQUE = 128
"""Alpha from which on a pixel of a mask shows its colour; below it is more transparent than not."""

DEEP_SUFFIXES = (".png", ".tif", ".tiff", ".jp2")
"""Endings of the formats that hold more than 8 bits."""

STRIP = 1 << 22
"""Pixels of an image that are converted at once."""

Source = Path | bytes | BinaryIO


class _NoImageError(ImageFileError):
    """A file that Pillow cannot open."""


# The limit above is ours and gives a sentence; Pillow's own is lower and would give a warning first.
Image.MAX_IMAGE_PIXELS = None


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep to ourselves what Pillow warns of: odd metadata, and transparency that is dropped."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _open(source: Source, name: str) -> Image.Image:
    """Open without decoding the pixels, and refuse what is too large to decode."""
    if isinstance(source, Path) and not source.is_file():  # a pipe would be waited for
        raise ImageFileError(f"{name} is not there any more: look whether it was moved or renamed.")
    try:
        with _quietly():
            image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=_FORMATS)
    # Pillow's readers raise whatever a broken header makes them trip over: to the user all mean the same.
    except Exception as error:
        raise _NoImageError(f"{name} is not an image that can be read: save it again as PNG or JPEG.") from error
    try:
        _check_size(name, image.height, image.width, _bytes_in(source))
    except ImageFileError:
        image.close()
        raise
    return image


def _check_size(name: str, height: int, width: int, size: int, channels: int = COLORS) -> None:
    """Refuse an image in so many bytes that cannot be decoded in bounded memory."""
    pixels = height * width
    if pixels * max(channels, COLORS) > MAX_PIXELS * COLORS or max(height, width) > MAX_SIDE:
        limits = f"{MAX_PIXELS:,}, or {MAX_SIDE:,} a side,"
        problem = f", more than the {limits} that are read at once: cut it into smaller scenes."
    elif pixels > LARGE and pixels > PIXELS_A_BYTE * size:
        problem = " by its header, but far too few bytes for them: fetch or export the file again."
    else:
        return
    raise ImageFileError(f"{name} has {width:,} × {height:,} pixels{problem}")


def _bytes_in(source: Source) -> int:
    if isinstance(source, Path):
        return source.stat().st_size
    if isinstance(source, bytes):
        return len(source)
    place = source.tell()
    size = source.seek(0, io.SEEK_END)
    source.seek(place)
    return size


def _orientation(image: Image.Image, applied: bool = True) -> int:
    """Return the EXIF orientation that the header gives: 1 if there is none, or if Pillow itself has `applied` it."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return 1 if applied else image.tag_v2.get(0x0112, 1)
    try:
        # A PNG's own method would decode all pixels to look for EXIF behind them.
        return Image.Image.getexif(image).get(0x0112, 1)
    except Exception:  # corrupt EXIF is no reason to bother the user: the pixels count
        return 1


def decode(source: Source, name: str, orient: bool) -> Image.Image:
    """Return the decoded picture, upright if `orient`, in one of Pillow's modes.

    Raises:
        ImageFileError: If it is no image, is damaged or too large.
    """
    image = _open(source, name)
    try:
        # Of several frames or pages the first is read; the others would keep the file open.
        with image, _quietly():
            turn = _UPRIGHT.get(_orientation(image)) if orient else None
            image.load()
            return image if turn is None else image.transpose(turn)
    except Exception as error:  # as in `_open`
        raise ImageFileError(f"{name} is damaged or cut short: fetch or export the file again.") from error


def _name_of(source: Source, name: str | None) -> str:
    return name or (source.name if isinstance(source, Path) else "The file")


def read_image(source: Source, name: str | None = None, stretch: Stretch | None = None) -> np.ndarray:
    """Read an aerial image, upright as its EXIF orientation says.

    Where nobody has chosen bands, grey and palette images become RGB, an alpha channel is dropped, CMYK is converted,
    and of more than three bands the first three are read. Values of more than 8 bits are stretched: `Raster` says how.

    Args:
        source: A path, the file's bytes, or a binary file.
        name: What to call the file in an error; the path's own name by default.
        stretch: Of the set that the image is from, with the bands that are chosen; by default it is stretched by its
            own values.

    Returns:
        (height, width, bands) uint8: the bands that are chosen, or red, green, blue.

    Raises:
        ImageFileError: If the file is no image, is damaged, is too large, or has not all the bands that are chosen.
    """
    name = _name_of(source, name)
    turn = None
    try:
        with _open(source, name) as image:
            if not _is_deep(image) and not (stretch and stretch.bands and image.format == "TIFF"):
                return _chosen_of(rgb_of(decode(source, name, orient=True)), name, stretch)
            turn = _UPRIGHT.get(_orientation(image, applied=False))
    except _NoImageError as error:
        # Pillow reads neither 16 bits in several planes nor seven bands. What it refuses of other formats is a bomb.
        if _header(source) is not None:
            with suppress(NotRasterError):
                return _read_raster(source, name, stretch)
        raise ImageFileError(str(error)) from error.__cause__
    pixels = _read_raster(source, name, stretch)
    return pixels if turn is None else _transposed(pixels, turn)


def _chosen_of(colors: np.ndarray, name: str, stretch: Stretch | None) -> np.ndarray:
    """Return the chosen bands, (height, width, bands), of a picture that has red, green and blue."""
    if stretch is None or stretch.bands in ((), (1, 2, 3)):
        return colors
    if max(stretch.bands) > COLORS:
        raise ImageFileError(f"{name} {lacks_bands(COLORS, stretch.bands)}")
    return np.ascontiguousarray(colors[..., [band - 1 for band in stretch.bands]])


def _transposed(pixels: np.ndarray, turn: Image.Transpose) -> np.ndarray:
    """Turn (height, width, bands) uint8 as Pillow turns a picture."""
    bands = [np.asarray(Image.fromarray(band).transpose(turn)) for band in np.moveaxis(pixels, -1, 0)]
    return np.stack(bands, axis=-1)


def is_deep(path: Path) -> bool:
    """Tell whether an image file holds values of more than 8 bits, which are stretched; by its header alone."""
    if path.suffix.lower() not in DEEP_SUFFIXES:
        return False
    try:
        with _open(path, path.name) as image:
            return _is_deep(image)
    except _NoImageError:
        header = _header(path)
        return header is None or header.is_deep
    except ImageFileError:
        return False


def read_sample(path: Path, longest: int, bands: tuple[int, ...] = ()) -> np.ndarray:
    """Return values of a deep image, (bands, rows, columns) float64, as `Raster.sample` does.

    Args:
        path: Of the image.
        longest: At most so many pixels a side.
        bands: Their numbers, counted from 1; by default those that are red, green and blue.

    Raises:
        ImageFileError: If it cannot be read.
    """
    with Raster(path, stretch=Stretch((0.0,) * len(bands), (1.0,) * len(bands), bands)) as raster:
        return raster.sample(longest)


def _is_deep(image: Image.Image) -> bool:
    """Tell whether an opened image holds values of more than 8 bits, also where Pillow would keep but 8 of them."""
    tiles = image.tile if isinstance(image, ImageFile.ImageFile) else []
    return image.mode.startswith(("I", "F")) or any(";16" in repr(tile[3]) for tile in tiles)


def _read_raster(source: Source, name: str, stretch: Stretch | None) -> np.ndarray:
    """Read an image by GDAL, strip by strip, so that its values never lie in memory all at once."""
    with ExitStack() as stack:
        if isinstance(source, bytes | io.BytesIO):
            file = stack.enter_context(tempfile.TemporaryFile())
            file.write(source if isinstance(source, bytes) else source.getbuffer())
            file.flush()
            source = file
        raster = stack.enter_context(Raster(source, name, stretch))
        raster.check()
        _check_size(name, raster.height, raster.width, _bytes_in(source), raster.channels)
        pixels = np.empty((raster.height, raster.width, raster.channels), np.uint8)
        rows = max(1, STRIP // raster.width)
        for top in range(0, raster.height, rows):
            pixels[top : top + rows] = raster.read(top, min(top + rows, raster.height))
        return pixels


def rgb_of(image: Image.Image) -> np.ndarray:
    """Return the colours of a picture, (height, width, 3) uint8; of a large one strip by strip.

    Pillow takes four bytes a pixel for colours: a second picture of that size beside the array would be too much.
    """
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for rows, strip in strips(image):
        # Pillow undoes multiplied alpha only on the way to the same mode without it.
        plain = strip.convert({"La": "LA", "RGBa": "RGBA"}.get(strip.mode, strip.mode))
        pixels[rows] = np.asarray(plain.convert("RGB"))
    return pixels


def strips(image: Image.Image) -> Iterator[tuple[slice, Image.Image]]:
    """Yield a picture in strips of about `STRIP` pixels, each with its rows; a small one as it is."""
    rows = max(1, STRIP // max(1, image.width))
    with _quietly():
        for top in range(0, image.height, rows):
            end = min(top + rows, image.height)
            whole = end - top == image.height
            yield slice(top, end), image if whole else image.crop((0, top, image.width, end))


class ColourMask(NamedTuple):
    """A colour mask as it is drawn.

    Args:
        colors: (height, width, 3) uint8, red, green, blue; black where it is transparent.
        transparent: (height, width) bool, where it shows nothing, whatever colour is hidden there; None where it shows
            something everywhere.
    """

    colors: np.ndarray
    transparent: np.ndarray | None = None

    @classmethod
    def of(cls, image: Image.Image, transparent: np.ndarray | None) -> Self:
        """Return what a decoded mask shows, given where it is transparent."""
        colors = rgb_of(image)
        if transparent is not None:
            colors[transparent] = VOID_COLOR
        return cls(colors, transparent)

    def encode(self, palette: Palette, nearest: bool = False) -> np.ndarray:
        """Return class indices (height, width) uint8, `VOID` where the colour is in no palette or nothing shows.

        Args:
            palette: The classes and their colours.
            nearest: Give colours of no class the class of the nearest colour.
        """
        classes = (palette.encode_nearest if nearest else palette.encode)(self.colors)
        if self.transparent is not None:  # black may be a class
            classes[self.transparent] = VOID
        return classes

    def strays(self, palette: Palette) -> OffPaletteStats:
        """Tell how much of it shows a colour that is neither a class's nor void's."""
        return palette.strays(self.colors)

    @property
    def transparent_pixels(self) -> int:
        """Number of pixels that show nothing."""
        return 0 if self.transparent is None else int(np.count_nonzero(self.transparent))


def read_mask_colors(source: Source, name: str | None = None) -> ColourMask:
    """Read a colour mask as it is drawn. Palette files are read by their colours, never by their indices.

    Args:
        source: A path, the file's bytes, or a binary file.
        name: What to call the file in an error; the path's own name by default.

    Raises:
        ImageFileError: If the file is no image, is damaged, is too large, or has no 8-bit colours.
    """
    name = _name_of(source, name)
    image = decode(source, name, orient=False)
    if image.mode.startswith("I") or image.mode == "F":
        raise ImageFileError(f"{name} is no colour mask: export the classes as 8-bit RGB colours.")
    return ColourMask.of(image, transparency(image))


def transparency(image: Image.Image) -> np.ndarray | None:
    """Return where a picture is more transparent than not, (height, width) bool; None if it is so nowhere."""
    if not image.has_transparency_data:
        return None
    transparent = np.empty((image.height, image.width), bool)
    for rows, strip in strips(image):
        with_alpha = strip.convert({"La": "LA"}.get(strip.mode, "RGBA"))
        transparent[rows] = np.asarray(with_alpha.getchannel("A")) < OPAQUE
    return transparent if transparent.any() else None


def read_mask(source: Source, palette: Palette, name: str | None = None) -> np.ndarray:
    """Read a colour mask as class indices.

    Args:
        source: A path, the file's bytes, or a binary file.
        palette: The classes and their colours.
        name: What to call the file in an error; the path's own name by default.

    Returns:
        (height, width) uint8: class indices, `VOID` where the colour is in no palette or the mask transparent.

    Raises:
        ImageFileError: As `read_mask_colors`.
    """
    return read_mask_colors(source, name).encode(palette)


def read_size(source: Source, name: str | None = None, orient: bool = True) -> tuple[int, int]:
    """Return (height, width) in pixels from the file's header, without decoding it; upright if `orient`.

    Raises:
        ImageFileError: If the file is no image or is too large.
    """
    name = _name_of(source, name)
    try:
        with _open(source, name) as image:
            sideways = orient and _orientation(image) in (5, 6, 7, 8)
            return (image.width, image.height) if sideways else (image.height, image.width)
    except _NoImageError as error:
        header = _header(source)
        if header is None:
            raise ImageFileError(str(error)) from error.__cause__
        _check_size(name, header.height, header.width, _bytes_in(source))
        return header.height, header.width


def _header(source: Source) -> RasterHeader | None:
    """Return what the header of a file says that Pillow does not decode; None if it is none of GDAL's either."""
    with ExitStack() as stack:
        if isinstance(source, Path):
            try:
                source = stack.enter_context(source.open("rb"))
            except OSError:
                return None
        return read_header(io.BytesIO(source) if isinstance(source, bytes) else source)


def is_palette_file(source: Source) -> bool:
    """Tell whether the file stores indices into a colour table of its own (Pillow's mode ``P``)."""
    with _open(source, _name_of(source, None)) as image:
        return image.mode == "P"


def png_bytes(pixels: np.ndarray) -> bytes:
    """Encode (height, width[, 3]) uint8 as PNG: lossless, so that a mask's edges stay hard."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
