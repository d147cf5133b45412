"""GeoTIFF orthophotos of any size, read by rows, and where they lie on the ground."""

import contextlib
import json
import os
import pickle
import re
import stat
import subprocess
import sys
from multiprocessing import Pipe
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from segmentation.data.images import LARGE, PIXELS_A_BYTE
from segmentation.data.locate import PROJECT
from segmentation.errors import ImageFileError, NotRasterError

if TYPE_CHECKING:
    from rasterio import Affine
    from rasterio.crs import CRS

WORLD_SUFFIXES = (".tfw", ".tifw", ".tiffw", ".wld")
"""Endings of a world file: six numbers that say where a picture lies."""

SIDE_FILE = 1 << 16
"""Bytes: a longer world file or ``.prj`` is neither."""


OTHER_FILES = re.compile(r"(PARAMETERFILE|EXTENSION)\s*[\[(]|(grids|file|model|init|catalog)=", re.IGNORECASE)
"""What in a coordinate system makes PROJ open a file: no other process than the reader's is told such a system."""

PIECE = 1 << 20
"""Pixels of a side for which numbers are held at once: a header may claim hundreds of millions."""


class PixelAreas:
    """What the pixels of an image cover on the ground, interpolated between the nodes of a grid.

    Args:
        height: Of the image, in pixels.
        width: Likewise.
        nodes: (rows, columns) m² at the middles of so many equal parts of the image.
    """

    def __init__(self, height: int, width: int, nodes: np.ndarray) -> None:
        self._lengths = height, width
        self._nodes = np.nan_to_num(nodes, posinf=0, neginf=0)  # off the planet there is no ground

    def within(self, rows: slice, columns: slice) -> np.ndarray:
        """Return the areas of the pixels in some rows and columns, (rows, columns) float64 in m²."""
        (above, below, share), (before, after, weight) = (
            _interpolation(part, length, count)
            for part, length, count in zip((rows, columns), self._lengths, self._nodes.shape, strict=True)
        )
        nodes = self._nodes[above] * (1 - share)[:, None] + self._nodes[below] * share[:, None]
        return nodes[:, before] * (1 - weight) + nodes[:, after] * weight

    @property
    def total(self) -> float:
        """The area of all pixels, in m²."""
        down, right = (
            _node_weights(length, count) for length, count in zip(self._lengths, self._nodes.shape, strict=True)
        )
        return float(down @ self._nodes @ right)


def _interpolation(part: slice, length: int, nodes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for each pixel of a part of a side the node before it, the one after it, and the second one's share."""
    place = np.clip((np.arange(part.start, part.stop) + 0.5) * nodes / length - 0.5, 0, nodes - 1)
    before = place.astype(np.intp)
    return before, np.minimum(before + 1, nodes - 1), place - before


def _node_weights(length: int, nodes: int) -> np.ndarray:
    """Return how many pixels of a side each node stands for, (nodes,) float64; long sides piece by piece."""
    weights = np.zeros(nodes)
    for start in range(0, length, PIECE):
        before, after, share = _interpolation(slice(start, min(start + PIECE, length)), length, nodes)
        weights += np.bincount(before, 1 - share, nodes) + np.bincount(after, share, nodes)
    return weights


class Raster:
    """A TIFF file opened for reading by rows. To be used in a ``with`` block.

    Bands tagged red, green and blue are taken, else the first three; a file of one or two bands is grey; palettes are
    read by their colours. Bands of more than 8 bits are stretched linearly between their 2nd and 98th percentile.

    A process of its own reads the file, one that can open nothing else: see `segmentation.data.raster_reader`. Beside
    the file a world file and a ``.prj`` are looked for, both of them numbers and names.

    Args:
        path: The file.
        patience: Seconds that each answer may take, where somebody waits for it; by default it may take any time.

    Attributes:
        height: In pixels.
        width: In pixels.
        unplaced: Why the file does not say where it lies, as the rest of a sentence about it; None if it does.
        system: Name of its coordinate reference system, such as ``EPSG:32640``; None if it does not say where it lies.
        is_geographic: Whether its coordinates are angles.
        place: From (column, row) to coordinates: (a, b, c, d, e, f); None if it does not say where it lies.

    Raises:
        ImageFileError: If it is no TIFF, is damaged, holds complex numbers, or takes too much memory or time to read.
    """

    def __init__(self, path: Path, patience: float | None = None) -> None:
        self.name, self._patience = path.name, patience
        descriptor = _open_file(path)
        try:
            size = os.fstat(descriptor).st_size
            self._connection, theirs = Pipe()
            with theirs:
                command = [sys.executable, "-m", "segmentation.data.raster_reader", str(theirs.fileno())]
                self._process = subprocess.Popen(  # noqa: S603 (no user's text is in it)
                    [*command, str(descriptor)],
                    cwd=PROJECT,
                    pass_fds=(theirs.fileno(), descriptor),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
        finally:
            os.close(descriptor)
        try:
            self._connection.send((_world_file(path), _read_side_file(path.with_suffix(".prj"))))
            about = self._receive()
            self.height: int = about["height"]
            self.width: int = about["width"]
            self.unplaced: str | None = about["unplaced"]
            self.system: str | None = about["system"]
            self.is_geographic: bool = about["geographic"]
            self.place: tuple[float, ...] | None = about["transform"] and tuple(about["transform"])
            self._crs: str | None = about["crs"]
            if self._crs and OTHER_FILES.search(self._crs):
                self.unplaced = "has a coordinate system that takes other files"
                self.system = self.place = self._crs = None
            try:
                self._ask("check")
                self._check_bytes(size)
            except ImageFileError as error:  # a picture that lies nowhere may be read by other means
                raise (error if self.unplaced is None else NotRasterError(str(error))) from error.__cause__
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process that reads the file."""
        self._connection.close()
        self._process.kill()
        self._process.wait()

    @property
    def reader_id(self) -> int:
        """The id of the process that reads the file."""
        return self._process.pid

    @property
    def crs(self) -> "CRS | None":
        """The coordinate reference system; None if the file does not say where it lies."""
        from rasterio.crs import CRS  # GDAL: only where it is needed

        return CRS.from_wkt(self._crs) if self._crs else None

    @property
    def transform(self) -> "Affine | None":
        """From (column, row) to coordinates; None if the file does not say where it lies."""
        from rasterio import Affine

        return Affine(*self.place) if self.place else None

    def read(self, top: int, end: int, left: int = 0, right: int | None = None) -> np.ndarray:
        """Return a part of the image, (rows, columns, 3) uint8, red, green, blue.

        Args:
            top: The first row.
            end: The row after the last.
            left: The first column.
            right: The column after the last; by default the image's width.

        Raises:
            ImageFileError: If the file is damaged there.
        """
        return self._ask("read", int(top), int(end), left, self.width if right is None else right)

    def overview(self, longest: int) -> np.ndarray:
        """Return the image with at most `longest` pixels a side, (rows, columns, 3) uint8: averages of its pixels.

        Raises:
            ImageFileError: If the file is damaged.
        """
        return self._ask("overview", longest)

    def indices(self, longest: int) -> np.ndarray:
        """Return the first band with at most `longest` pixels a side, (rows, columns): the nearest pixels, unchanged.

        Raises:
            ImageFileError: If the file is damaged.
        """
        return self._ask("indices", longest)

    def valid(self, top: int, end: int, left: int = 0, right: int | None = None) -> np.ndarray:
        """Return where a part, as in `read`, holds a picture, (rows, columns) bool: false is no data or not-a-number.

        Raises:
            ImageFileError: If the file is damaged there.
        """
        return self._ask("valid", int(top), int(end), left, self.width if right is None else right)

    def to_longitude_latitude(self, x: np.ndarray, y: np.ndarray) -> np.ndarray | None:
        """Return longitudes and latitudes on WGS 84, (2, points) float64, not-a-number where there are none.

        None if the file does not say where it lies, or there is no way from its coordinates to WGS 84.

        Args:
            x: (points,) float64, in the file's coordinates.
            y: Likewise.
        """
        if self.unplaced:
            return None
        degrees = self._ask("to_longitude_latitude", x, y)
        return degrees if degrees.shape[1] == len(x) else None

    def corners(self) -> np.ndarray | None:
        """Return the corners' longitude and latitude, (4, 2) float64, clockwise from the top left; None if unknown."""
        if self.unplaced:
            return None
        pixels = [(0, 0), (self.width, 0), (self.width, self.height), (0, self.height)]
        x, y = np.array([self.transform @ pixel for pixel in pixels]).T
        degrees = self.to_longitude_latitude(x, y)
        return degrees.T if degrees is not None and np.isfinite(degrees).all() else None

    def pixel_areas(self) -> PixelAreas | None:
        """Return what the pixels cover on the ground; None if the file does not say where it lies."""
        if self.unplaced:
            return None
        nodes = self._ask("pixel_areas")
        if not (nodes.size and np.isfinite(nodes).any()):
            return None
        areas = PixelAreas(self.height, self.width, nodes)
        return areas if np.isfinite(areas.total) else None

    def _check_bytes(self, size: int) -> None:
        """Refuse a file of so many bytes that cannot hold the pixels that its header says."""
        pixels = self.height * self.width
        if pixels > LARGE and pixels > PIXELS_A_BYTE * size:
            raise ImageFileError(
                f"{self.name} has {self.width:,} × {self.height:,} pixels by its header, but far too few bytes for "
                "them: fetch or export the file again."
            )

    def _ask(self, method: str, *arguments: object) -> dict | np.ndarray:
        try:
            self._connection.send_bytes(pickle.dumps((method, *arguments)))
        except OSError as error:
            raise self._damaged() from error
        return self._receive()

    def _receive(self) -> dict | np.ndarray:
        """Return the reader's answer: its own words first, then an array's bytes. Nothing is unpickled."""
        try:
            if not self._connection.poll(self._patience):
                self.close()  # its answer would be taken for the next one's
                raise ImageFileError(
                    f"{self.name} takes longer than {self._patience:.0f} seconds to read: export it in tiles and with "
                    "overviews."
                )
            answer = json.loads(self._connection.recv_bytes())
            if "refused" in answer:
                raise ImageFileError(f"{self.name} {answer['refused']}")
            if "shape" in answer:
                array = np.empty(answer["shape"], answer["dtype"])
                if array.size:
                    self._connection.recv_bytes_into(memoryview(array).cast("B"))
                else:
                    self._connection.recv_bytes()
                return array
        except (EOFError, OSError) as error:  # it has died: of the file, or of its memory
            raise self._damaged() from error
        if "value" in answer:
            return answer["value"]
        raise self._damaged() from RuntimeError(answer["error"])

    def _damaged(self) -> ImageFileError:
        if hasattr(self, "height"):
            return ImageFileError(f"{self.name} is damaged or cut short: fetch or export the file again.")
        return NotRasterError(f"{self.name} is not a TIFF image that can be read: export it again.")


def _open_file(path: Path) -> int:
    """Return a descriptor of a regular file.

    Raises:
        ImageFileError: If it is something else, is not there or may not be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe would be waited for
    except OSError as error:
        raise ImageFileError(f"{path.name} cannot be opened ({error.strerror}): check the path.") from error
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise ImageFileError(f"{path.name} is not a file: check the path.")


def _read_side_file(path: Path) -> str | None:
    """Return the text of a small file beside an image; None if there is none."""
    with contextlib.suppress(ImageFileError, OSError, ValueError):
        with os.fdopen(_open_file(path), encoding="utf-8") as file:
            text = file.read(SIDE_FILE + 1)
        return text if len(text) <= SIDE_FILE else None
    return None


def _world_file(path: Path) -> tuple[float, ...] | None:
    """Return (a, b, c, d, e, f) of the world file beside an image; None if there is none."""
    for suffix in WORLD_SUFFIXES:
        try:
            a, d, b, e, x, y = map(float, (_read_side_file(path.with_suffix(suffix)) or "").split())
        except ValueError:
            continue
        # It names the middle of the first pixel.
        return a, b, x - (a + b) / 2, d, e, y - (d + e) / 2
    return None
