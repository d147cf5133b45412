"""GeoTIFF orthophotos of any size, read by rows, and where they lie on the ground."""

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import rasterio
import rasterio.warp
from rasterio import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from segmentation.data.images import LARGE, PIXELS_A_BYTE
from segmentation.errors import ImageFileError

STRETCH = (2, 98)
"""Percentiles of each band that become 0 and 255 where a file has more than 8 bits."""

CACHE = 64
"""Megabytes that GDAL may keep of the files it reads and writes; its own default is a twentieth of the memory."""

LONGITUDE_LATITUDE = "EPSG:4326"
"""Longitude and latitude on the ellipsoid of WGS 84: what GeoJSON's coordinates are in (RFC 7946)."""

OVERVIEW = 1024
"""The percentiles are those of the image shrunk to this many pixels a side."""

MAX_WIDTH = 500_000
"""Pixels: wider files are refused, since prediction holds a row of windows (two gigabytes at this width)."""

BLOCK = 512
"""Megabytes: files are refused that have to be read in larger pieces."""

_SEMI_MAJOR, _FLATTENING = 6378137.0, 1 / 298.257223563
"""The ellipsoid of WGS 84: semi-major axis in metres, flattening."""


class Raster:
    """A TIFF file opened for reading by rows. To be used in a ``with`` block.

    Bands tagged red, green and blue are taken, else the first three; a file of one or two bands is grey. Bands of more
    than 8 bits are stretched linearly between the percentiles of `STRETCH`, each by itself.

    Args:
        path: The file.

    Raises:
        ImageFileError: If it is no TIFF, is damaged, holds complex numbers, or cannot be read in bounded memory.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.name
        with ExitStack() as stack:
            self._file = stack.enter_context(_opened(path))
            if any(kind.startswith("complex") for kind in self._file.dtypes):
                raise ImageFileError(f"{path.name} holds complex numbers, not colours: export it as RGB.")
            self._check_size(path)
            self._bands = _color_bands(self._file)
            self._open = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    @property
    def height(self) -> int:
        """In pixels."""
        return self._file.height

    @property
    def width(self) -> int:
        """In pixels."""
        return self._file.width

    @property
    def crs(self) -> CRS | None:
        """The coordinate reference system; None if the file has none."""
        return self._file.crs

    @property
    def transform(self) -> Affine:
        """From (column, row) to coordinates."""
        return self._file.transform

    def read(self, top: int, end: int) -> np.ndarray:
        """Return rows `top` to `end` − 1, (rows, width, 3) uint8, red, green, blue.

        Raises:
            ImageFileError: If the file is damaged there.
        """
        return self._colors(self._read(self._bands, window=Window(0, top, self.width, end - top)))

    def overview(self, longest: int) -> np.ndarray:
        """Return the image with at most `longest` pixels a side, (rows, columns, 3) uint8: averages of its pixels.

        Raises:
            ImageFileError: If the file is damaged.
        """
        shape = small_shape(self.height, self.width, longest)
        return self._colors(self._read(self._bands, out_shape=(3, *shape), resampling=Resampling.average))

    def indices(self, longest: int) -> np.ndarray:
        """Return the first band with at most `longest` pixels a side, (rows, columns): the nearest pixels, unchanged.

        Raises:
            ImageFileError: If the file is damaged.
        """
        return self._read([1], out_shape=(1, *small_shape(self.height, self.width, longest)))[0]

    def corners(self) -> np.ndarray | None:
        """Return the corners' longitude and latitude, (4, 2) float64, clockwise from the top left; None if unknown."""
        if self.crs is None:
            return None
        pixels = [(0, 0), (self.width, 0), (self.width, self.height), (0, self.height)]
        x, y = zip(*(self.transform @ pixel for pixel in pixels), strict=True)
        try:
            return np.array(rasterio.warp.transform(self.crs, LONGITUDE_LATITUDE, x, y)[:2]).T
        except RasterioError:  # a system of its own, such as a building site's
            return None

    def valid(self, top: int, end: int) -> np.ndarray:
        """Return where rows `top` to `end` − 1 hold a picture, (rows, width) bool; false is no data.

        Raises:
            ImageFileError: If the file is damaged there.
        """
        try:
            return self._file.dataset_mask(window=Window(0, top, self.width, end - top)) > 0
        except RasterioError as error:
            raise self._damaged() from error

    def pixel_areas(self) -> np.ndarray | None:
        """Return the area of a pixel of each row, (height,) in m²; None if the file does not say where it lies.

        In projected coordinates all are the same; in degrees they are those of the ellipsoid of WGS 84.
        """
        if self.crs is None or not (self.crs.is_projected or self.crs.is_geographic):
            return None
        pixel = abs(self.transform.determinant)
        if self.crs.is_projected:
            return np.full(self.height, pixel * self.crs.linear_units_factor[1] ** 2)
        latitude = np.radians(self.transform.f + self.transform.e * (np.arange(self.height) + 0.5))
        squeeze = _FLATTENING * (2 - _FLATTENING)
        bulge = 1 - squeeze * np.sin(latitude) ** 2
        along_meridian, along_parallel = _SEMI_MAJOR * (1 - squeeze) / bulge**1.5, _SEMI_MAJOR / bulge**0.5
        return pixel * np.radians(1) ** 2 * along_meridian * along_parallel * np.cos(latitude)

    def _colors(self, values: np.ndarray) -> np.ndarray:
        """Return bands (3, rows, columns) as (rows, columns, 3) uint8, stretched if they have more than 8 bits."""
        if any(kind != "uint8" for kind in self._file.dtypes):
            low, high = self._limits
            scaled = np.clip((values - low) * (255 / (high - low)), 0, 255)
            values = np.nan_to_num(scaled).round().astype(np.uint8)  # not-a-number is no data, and black
        return np.ascontiguousarray(np.moveaxis(values, 0, -1))

    def _read(self, bands: list[int], **how: object) -> np.ndarray:
        try:
            return self._file.read(bands, **how)
        except RasterioError as error:
            raise self._damaged() from error

    def _damaged(self) -> ImageFileError:
        return ImageFileError(f"{self.name} is damaged or cut short: fetch or export the file again.")

    def _check_size(self, path: Path) -> None:
        """Refuse what a header may say, but what cannot be read in bounded memory."""
        says = f"{self.name} has {self.width:,} × {self.height:,} pixels"
        if self.width > MAX_WIDTH:
            raise ImageFileError(f"{says}, more than the {MAX_WIDTH:,} that are read across: cut it into sheets.")
        pixels = self.width * self.height
        if pixels > LARGE and pixels > PIXELS_A_BYTE * path.stat().st_size:
            raise ImageFileError(
                f"{says} by its header, but far too few bytes for them: fetch or export the file again."
            )
        rows, columns = self._file.block_shapes[0]
        if rows * columns * self._file.count * np.dtype(self._file.dtypes[0]).itemsize > BLOCK << 20:
            raise ImageFileError(
                f"{self.name} has to be read in pieces of {columns:,} × {rows:,} pixels, more than {BLOCK} MB each: "
                "export it in tiles."
            )

    @cached_property
    def _limits(self) -> tuple[np.ndarray, np.ndarray]:
        """What becomes 0 and what becomes 255 in each band, (3, 1, 1) float64."""
        shape = small_shape(self.height, self.width, OVERVIEW)
        small = self._read(self._bands, out_shape=(3, *shape), masked=True).astype(np.float64)
        values = np.ma.masked_invalid(small).reshape(3, -1)
        limits = [np.percentile(band.compressed(), STRETCH) if band.count() else (0.0, 1.0) for band in values]
        low, high = np.array(limits).T[..., None, None]
        return low, np.maximum(high, low + np.finfo(float).eps * np.maximum(1, np.abs(low)))


@contextmanager
def _opened(path: Path) -> Iterator[rasterio.DatasetReader]:
    """Open a TIFF file and close it again.

    Raises:
        ImageFileError: If it is none.
    """
    with rasterio.Env(GDAL_CACHEMAX=CACHE):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)  # `crs` says it
                # No other driver: some read further files that a file names, or start programs.
                # Nor a relative path, which might begin like the name of a part of another file.
                file = rasterio.open(path.absolute(), driver="GTiff")
        except (RasterioError, UnicodeError) as error:  # GDAL takes no names that are not UTF-8
            raise ImageFileError(f"{path.name} is not a TIFF image that can be read: export it again.") from error
        with file:
            yield file


def small_shape(height: int, width: int, longest: int) -> tuple[int, int]:
    """Return (height, width) shrunk to at most `longest` pixels a side, at least one; small ones as they are."""
    scale = min(1.0, longest / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _color_bands(file: rasterio.DatasetReader) -> list[int]:
    """Return the numbers of the bands that are red, green and blue, counted from 1."""
    tagged = {kind: band for band, kind in reversed(list(enumerate(file.colorinterp, 1)))}
    wanted = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    if all(kind in tagged for kind in wanted):
        return [tagged[kind] for kind in wanted]
    return [1, 2, 3] if file.count >= 3 else [1, 1, 1]


def is_georeferenced(path: Path) -> bool:
    """Tell whether a file is a TIFF that says where it lies."""
    if path.suffix.lower() not in (".tif", ".tiff"):
        return False
    try:
        with _opened(path) as file:
            return file.crs is not None
    except ImageFileError:
        return False
