"""A raster file as GDAL and PROJ read it, in a process that can open no other."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from io import RawIOBase
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.ma
import pyproj
import rasterio
from pyproj import Transformer
from pyproj.crs import Ellipsoid
from pyproj.exceptions import ProjError
from rasterio import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import CRSError
from rasterio.windows import Window

from segmentation.data.stretch import COLORS, Stretch, as_colors, lacks_bands

if TYPE_CHECKING:
    from typing_extensions import Buffer  # collections.abc has it from Python 3.12 on

CACHE = 64 << 20
"""Bytes that GDAL may keep of what it has decoded; its own default is a twentieth of the machine's memory."""

SAMPLE = 1024
"""A file's own stretch is that of its image shrunk to this many pixels a side."""

BLOCK = 512 << 20
"""Bytes: files are refused that have to be read in larger pieces."""

ROWS = 8 << 20
"""Values of one band, as many rows as hold them, that are computed at once: numbers take eight times their bytes."""

NODES = (512, 32)
"""At most so many rows and columns at which the size of a pixel is computed; between them it is interpolated."""

STEP = 50
"""Pixels to either side at the most, over which that size is taken."""

LONGITUDE_LATITUDE = "EPSG:4326"
"""Longitude and latitude on the ellipsoid of WGS 84: what GeoJSON's coordinates are in (RFC 7946)."""

GRID = "PARAMETERFILE"
"""So WKT begins to name a file by which coordinates are shifted."""

DRIVERS = {
    b"\x89PNG": "PNG",
    b"\0\0\0\x0cjP  \r\n\x87\n": "JP2OpenJPEG",
    b"\xff\x4f\xff\x51": "JP2OpenJPEG",  # without the boxes around its codestream
}
"""What reads a file that begins so; any other is read as a TIFF, and by no other driver: some start programs."""

NAME = "image"
"""What GDAL is told that the file is called: it learns nothing of the real name."""


class Refused(Exception):  # noqa: N818 (it is no error of this process)
    """What is wrong with the file, as the rest of a sentence that begins with its name."""


class OneFile(RawIOBase):
    """A file descriptor as a file with a position of its own.

    Args:
        descriptor: Open for reading.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._at, self._size = descriptor, 0, os.fstat(descriptor).st_size

    def readable(self) -> bool:  # noqa: D102
        return True

    def seekable(self) -> bool:  # noqa: D102
        return True

    def tell(self) -> int:  # noqa: D102
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:  # noqa: D102
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: "Buffer") -> int:  # noqa: D102
        count = os.preadv(self._descriptor, [buffer], self._at)
        self._at += count
        return count


class Reader:
    """A TIFF, JPEG 2000 or PNG file, opened by GDAL for good.

    Args:
        descriptor: Of the file.
        world: (a, b, c, d, e, f) of a world file beside it; None if there is none.
        projection: The text of a ``.prj`` beside it; None if there is none.
        stretch: The fields of a `Stretch`; None for what the file's own values and tags say.

    Raises:
        Refused: If the file has not all the bands that the stretch names.
    """

    def __init__(
        self,
        descriptor: int,
        world: tuple[float, ...] | None,
        projection: str | None,
        stretch: tuple[tuple[float, ...], ...] | None,
    ) -> None:
        def only_this(path: str, mode: str = "rb", **how: object) -> OneFile:
            if path != NAME:
                raise FileNotFoundError(path)
            return OneFile(descriptor)

        begin = os.pread(descriptor, 12, 0)
        driver = next((driver for mark, driver in DRIVERS.items() if begin.startswith(mark)), "GTiff")
        self._file = rasterio.open(NAME, driver=driver, opener=only_this)
        self.height, self.width = self._file.shape
        self._tagged = _tagged_bands(self._file)  # now: of a system that PROJ refuses, GDAL would say so here
        self._chosen = Stretch(*cast("tuple", stretch)) if stretch else None
        self.channels = self._chosen.channels if self._chosen else COLORS
        self._bands, self._of_colors = self._bands_to_read(self._chosen.bands if self._chosen else ())
        self._stretch = self._chosen if self._chosen and len(self._chosen.low) == len(self._bands) else None
        self._transform, self._crs = self._file.transform, self._file.crs
        if self._transform.is_identity and world:
            self._transform = Affine(*world)
        if self._crs is None and projection:
            with suppress(CRSError):  # no text that PROJ understands: as if it were not there
                self._crs = CRS.from_wkt(projection, morph_from_esri_dialect=True)

    def _bands_to_read(self, chosen: Sequence[int]) -> tuple[list[int], slice | list[int] | None]:
        """Return the numbers of the bands to read, and which of the three colours that they give, if not all bands.

        A file that is grey, or whose values are indices of colours, has red, green and blue all the same.
        """
        colors = self._tagged or ([1, 2, 3] if self._file.count >= 3 else [1])
        if not chosen:
            return colors, slice(None)
        if max(chosen) <= self._file.count and self._palette is None:
            return list(chosen), None
        if len(colors) == 1 and max(chosen) <= COLORS:
            return colors, [band - 1 for band in chosen]
        raise Refused(lacks_bands(self._file.count, chosen))

    def check(self) -> dict:
        """Return nothing, if the file can be read in bounded memory.

        Raises:
            Refused: If it cannot.
        """
        if "OVERVIEW_FILE" in self._file.tags(ns="OVERVIEWS"):  # could not be opened, but is no honest file
            raise Refused("names another file as its overviews: export it again with its overviews inside.")
        if any(kind.startswith("complex") for kind in self._file.dtypes):
            raise Refused("holds complex numbers, not colours: export it as RGB.")
        rows, columns = self._file.block_shapes[0]
        if rows * columns * self._file.count * np.dtype(self._file.dtypes[0]).itemsize > BLOCK:
            raise Refused(
                f"has to be read in pieces of {columns:,} × {rows:,} pixels, more than {BLOCK >> 20} MB each: export "
                "it in tiles."
            )
        return {}

    def about(self) -> dict:
        """Return the image's size and where it lies: ``unplaced`` is why it does not say that, or None."""
        about = {"height": self.height, "width": self.width, "unplaced": self._why_unplaced()}
        about |= {"channels": self.channels, "tagged": self._tagged, "bands": self._file.count}
        if about["unplaced"]:
            return about | {"crs": None, "transform": None, "system": None, "geographic": False}
        code = self._crs.to_epsg()
        return about | {
            "crs": self._system.to_wkt(),
            "transform": list(self._transform)[:6],
            "system": f"EPSG:{code}" if code else self._system.name,
            "geographic": self._system.is_geographic,
        }

    def _why_unplaced(self) -> str | None:
        """Say why the file does not tell where it lies; None if it does."""
        if self._crs is None:
            return "has only control points: warp it first" if self._file.gcps[0] else "has no coordinate system"
        numbers = list(self._transform)[:6]
        far = self._transform @ (self.width, self.height)
        if not np.isfinite([*numbers, *far]).all():
            return "has a place that is not a number"
        if self._transform.is_identity:
            return "has a coordinate system but no place in it"
        if not self._transform.determinant:
            return "has pixels without a size"
        return None

    def read(self, top: int, end: int, left: int, right: int) -> np.ndarray:
        """Return a part of the image, (rows, columns, bands) uint8: those chosen, or red, green and blue."""
        image = np.empty((end - top, right - left, self.channels), np.uint8)
        for rows, window in _pieces(top, end, left, right):
            image[rows] = self._as_bytes(self._read(self._bands, window=window))
        return image

    def overview(self, longest: int) -> np.ndarray:
        """Return the image with at most `longest` pixels a side, (rows, columns, 3) uint8: averages of its pixels."""
        averaged = Resampling.nearest if self._palette is not None else Resampling.average  # indices have no average
        image = self._as_bytes(self._read(self._bands, out_shape=self._small(longest), resampling=averaged))
        return as_colors(image, self._chosen)

    def sample(self, longest: int) -> np.ndarray:
        """Return the bands' values, (bands, rows, columns) float64; not-a-number where there is no data."""
        values = self._read(self._bands, out_shape=self._small(longest), masked=True)
        return numpy.ma.filled(values.astype(np.float64), np.nan)

    def indices(self, longest: int) -> np.ndarray:
        """Return the first band with at most `longest` pixels a side, (rows, columns): nearest pixels, unchanged."""
        return self._read([1], out_shape=self._small(longest))[0]

    def values(self, top: int, end: int, left: int, right: int) -> np.ndarray:
        """Return the first band of a part, (rows, columns), unchanged."""
        return self._read([1], window=Window(left, top, right - left, end - top))[0]

    def valid(self, top: int, end: int, left: int, right: int) -> np.ndarray:
        """Return where a part holds a picture, (rows, columns) bool; false is no data."""
        valid = np.empty((end - top, right - left), bool)
        for rows, window in _pieces(top, end, left, right):
            valid[rows] = self._file.dataset_mask(window=window) > 0
            if any(np.dtype(kind).kind == "f" for kind in self._file.dtypes):  # not-a-number is no data, told or not
                valid[rows] &= np.isfinite(self._read(self._bands, window=window)).all(axis=0)
        return valid

    def to_longitude_latitude(self, x: np.ndarray, y: np.ndarray, back: bool = False) -> np.ndarray:
        """Return longitudes and latitudes on WGS 84, (2, points) float64, not-a-number where there are none.

        With `back` the other way round. Empty if there is no way between the file's coordinates and WGS 84: a site's
        own system, another planet's.
        """
        if self._to_world is None:
            return np.empty((2, 0))
        moved = np.array(self._to_world.transform(x, y, direction="INVERSE" if back else "FORWARD"))
        return np.where(np.isfinite(moved).all(axis=0), moved, np.nan)

    def pixel_areas(self) -> np.ndarray:
        """Return the size of pixels in m² at the nodes of a grid over the image, (rows, columns) float64.

        It is what a small step to the right and one down cover on the ellipsoid of the file's own system, so that the
        projection's scale is taken out, whatever projection it is. Not-a-number where a pixel lies off the planet. In
        a site's own plane system it is the pixel as the system measures it. Empty if no unit of length is known.
        """
        lengths = self.height, self.width
        shape = [min(length, most) for length, most in zip(lengths, NODES, strict=True)]
        nodes = [(np.arange(count) + 0.5) * length / count for count, length in zip(shape, lengths, strict=True)]
        system = self._system
        own = system.geodetic_crs
        if own is None or own.ellipsoid is None:
            axis = system.axis_info[0]
            unit = axis.unit_conversion_factor if axis.unit_name != "unknown" else np.nan
            return np.full(shape if unit > 0 else (0, 0), abs(self._transform.determinant) * unit**2)
        row, column = (grid.ravel() for grid in np.meshgrid(*nodes, indexing="ij"))
        step = max(0.5, min(STEP, *(length / count / 2 for length, count in zip(lengths, shape, strict=True))))
        steps = ((step, 0), (-step, 0), (0, step), (0, -step))  # to the right, left, down, up
        x, y = zip(*(self._transform @ (column + across, row + down) for across, down in steps), strict=True)
        degrees = Transformer.from_crs(system, own, always_xy=True).transform(np.concatenate(x), np.concatenate(y))
        angles = np.reshape(degrees, (2, 4, -1)) * own.axis_info[0].unit_conversion_factor
        angles[~np.isfinite(angles)] = np.nan
        (east, west, south, north), latitudes = angles
        longitude_across, longitude_down = (
            np.remainder(difference + np.pi, 2 * np.pi) - np.pi for difference in (east - west, south - north)
        )
        latitude_across, latitude_down = latitudes[0] - latitudes[1], latitudes[2] - latitudes[3]
        covered = np.abs(longitude_across * latitude_down - longitude_down * latitude_across) / (2 * step) ** 2
        latitude = latitudes.mean(axis=0)
        latitude[np.abs(latitude) > np.pi / 2] = np.nan
        return (covered * _square_metres(latitude, own.ellipsoid)).reshape(shape)

    @cached_property
    def _told_system(self) -> pyproj.CRS:
        return pyproj.CRS.from_wkt(self._crs.to_wkt(version="WKT2_2019"))

    @cached_property
    def _system(self) -> pyproj.CRS:
        """The file's coordinate system, without a way to WGS 84 that takes another file: here there is none."""
        told = self._told_system
        if GRID in told.to_wkt():
            with suppress(pyproj.exceptions.CRSError):  # it is nothing without the file
                return pyproj.CRS.from_json_dict(cast("dict", _without_grids(told.to_json_dict())))
        return told

    @cached_property
    def _to_world(self) -> Transformer | None:
        """The way to WGS 84, found once: it takes PROJ up to a sixth of a second."""
        for system in (self._told_system, self._system):
            with suppress(ProjError):
                return Transformer.from_crs(system, LONGITUDE_LATITUDE, always_xy=True)
        return None

    def _small(self, longest: int) -> tuple[int, int, int]:
        return (len(self._bands), *small_shape(self.height, self.width, longest))

    def _read(self, bands: list[int], out_shape: tuple[int, int, int] | None = None, **how: object) -> np.ndarray:
        if out_shape:
            how["out_shape"] = (len(bands), *out_shape[1:])
        return self._file.read(bands, **how)

    def _as_bytes(self, values: np.ndarray) -> np.ndarray:
        """Return bands (bands, rows, columns) as (rows, columns, bands) uint8, as Pillow would show them."""
        if self._palette is not None:
            colors = self._palette[np.minimum(values[0], len(self._palette) - 1)]
        else:
            colors = np.empty((*values.shape[1:], len(values)), np.uint8)
            for band, of_band in enumerate(values):  # one by one: as numbers, they take eight times their bytes
                colors[..., band] = self._as_grey(of_band, band)
        if self._of_colors is None:
            return colors
        colors = np.broadcast_to(colors, (*colors.shape[:-1], COLORS))
        return np.ascontiguousarray(colors[..., self._of_colors])

    def _as_grey(self, values: np.ndarray, band: int) -> np.ndarray:
        """Return the values of one of the bands that are read as bytes."""
        if self._bits < 8:
            values = (values * (255 / (2**self._bits - 1))).round()
        elif any(kind != "uint8" for kind in self._file.dtypes):
            low, high = self._limits[band]
            values = np.nan_to_num(np.clip((values - low) * (255 / (high - low)), 0, 255)).round()  # no data is black
        values = values.astype(np.uint8)
        if self._file.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES":
            values = 255 - values
        return values

    @cached_property
    def _palette(self) -> np.ndarray | None:
        """The colours of the file's indices, (indices, 3) uint8; None if it holds colours."""
        if self._file.colorinterp[0] != ColorInterp.palette or np.dtype(self._file.dtypes[0]).kind != "u":
            return None
        colors = self._file.colormap(1)
        table = np.zeros((max(colors) + 1, 3), np.uint8)
        for index, color in colors.items():
            table[index] = color[:3]
        return table

    @cached_property
    def _bits(self) -> int:
        """Of a value of the first band, as the file stores them."""
        return int(self._file.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", 8 * np.dtype(self._file.dtypes[0]).itemsize))

    @cached_property
    def _limits(self) -> np.ndarray:
        """What becomes 0 and what becomes 255 in each band, (bands, 2) float64."""
        stretch = self._stretch or Stretch.of([self.sample(SAMPLE)])
        return np.stack([stretch.low, stretch.high], axis=-1)


def small_shape(height: int, width: int, longest: int) -> tuple[int, int]:
    """Return (height, width) shrunk to at most `longest` pixels a side, at least one; small ones as they are."""
    scale = min(1.0, longest / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _pieces(top: int, end: int, left: int, right: int) -> Iterator[tuple[slice, Window]]:
    """Yield the parts, of some rows each, in which a part of an image is read: as rows of it and as a window."""
    step = max(1, ROWS // (right - left))
    for start in range(top, end, step):
        stop = min(start + step, end)
        yield slice(start - top, stop - top), Window(left, start, right - left, stop - start)


def _without_grids(part: object) -> object:
    """Return a part of PROJ's JSON, its systems that are bound to others by a file as they are without that."""
    if isinstance(part, list):
        return [_without_grids(item) for item in part]
    if not isinstance(part, dict):
        return part
    if part.get("type") == "BoundCRS":
        parameters = part["transformation"].get("parameters", [])
        if any(isinstance(parameter.get("value"), str) for parameter in parameters):
            return _without_grids(part["source_crs"])
    return {key: _without_grids(item) for key, item in part.items() if key != "remarks"}


def _tagged_bands(file: rasterio.DatasetReader) -> list[int]:
    """Return the numbers of the bands that tags say are red, green and blue; empty if they do not say all three."""
    tagged = {kind: band for band, kind in reversed(list(enumerate(file.colorinterp, 1)))}
    wanted = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    return [tagged[kind] for kind in wanted] if all(kind in tagged for kind in wanted) else []


def _square_metres(latitude: np.ndarray, ellipsoid: Ellipsoid) -> np.ndarray:
    """Return the area of a square of a radian a side, of longitude and latitude, at latitudes in radians, in m²."""
    squeeze = 1 - (ellipsoid.semi_minor_metre / ellipsoid.semi_major_metre) ** 2
    bulge = 1 - squeeze * np.sin(latitude) ** 2
    along_meridian, along_parallel = (1 - squeeze) / bulge**1.5, bulge**-0.5
    return ellipsoid.semi_major_metre**2 * along_meridian * along_parallel * np.cos(latitude)
