"""GeoTIFF and JPEG 2000 orthophotos of any size, read by rows, and where they lie on the ground."""

import contextlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from dataclasses import astuple
from multiprocessing import Pipe
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self, cast

import numpy as np

from segmentation.data.locate import PROJECT
from segmentation.errors import ImageFileError, NotRasterError

if TYPE_CHECKING:
    from rasterio import Affine
    from rasterio.crs import CRS
from segmentation.data.pixel_areas import PixelAreas
from segmentation.data.stretch import Stretch

RASTER_SUFFIXES = (".tif", ".tiff", ".jp2")
"""Endings of the formats that may say where they lie, in lower case."""

PIXELS_A_BYTE = 2000
"""A large image of more pixels a byte is refused: Deflate packs fewer, only lies and bombs have more."""

LARGE = 16_000_000
"""Pixels from which on that is asked."""

WORLD_SUFFIXES = (".tfw", ".tifw", ".tiffw", ".wld")
"""Endings of a world file: six numbers that say where a picture lies."""

SIDE_FILE = 1 << 16
"""Bytes: a longer world file or ``.prj`` is neither."""

OTHER_FILES = re.compile(r"(PARAMETERFILE|EXTENSION)\s*[\[(]|(grids|file|model|init|catalog)=", re.IGNORECASE)
"""What in a coordinate system makes PROJ open a file: no other process than the reader's is told such a system."""


class _Host:
    """The process that is forked for every file: started when it is first needed, and again if it has died."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._process: subprocess.Popen | None = None
        self._control: socket.socket | None = None

    def read(self, connection: int, file: int) -> None:
        """Have a new process read a file, and answer through a connection, both given by their descriptors."""
        with self._lock:
            if self._control is None or self._process is None or self._process.poll() is not None:
                self._control = self._start()
            socket.send_fds(self._control, [b"+"], [connection, file])

    def _start(self) -> socket.socket:
        if self._control:
            self._control.close()
        control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 (no user's text is in it)
                [sys.executable, "-m", "segmentation.data.raster_reader", str(theirs.fileno())],
                cwd=PROJECT,
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        return control


HOST = _Host()


class Raster:
    """A TIFF or JPEG 2000 file opened for reading by rows. To be used in a ``with`` block.

    The bands that are chosen are taken, else those tagged red, green and blue, else the first three; a file of one or
    two bands is grey; palettes are read by their colours. Bands of more than 8 bits are stretched: as given, else
    between their own `PERCENTILES`.

    A process of its own reads the file, one that can open nothing else: see `segmentation.data.raster_reader`. Beside
    a path a world file and a ``.prj`` are looked for, both of them numbers and names.

    Args:
        source: A path, or a file that the system knows, open for reading.
        name: What to call the file in an error; the path's own name by default.
        stretch: For values of more than 8 bits, and which bands; by default, and for another number of bands, the
            file's own.
        patience: Seconds that each answer may take, where somebody waits for it; by default it may take any time.

    Attributes:
        height: In pixels.
        width: In pixels.
        channels: Bands of what is read: as many as are chosen, or three.
        bands: Bands of the file.
        tagged: The numbers of the bands that tags say are red, green and blue; empty if they do not say all three.
        unplaced: Why the file does not say where it lies, as the rest of a sentence about it; None if it does.
        system: Name of its coordinate reference system, such as ``EPSG:32640``; None if it does not say where it lies.
        is_geographic: Whether its coordinates are angles.
        place: From (column, row) to coordinates: (a, b, c, d, e, f); None if it does not say where it lies.

    Raises:
        ImageFileError: If it is neither, is damaged, holds complex numbers, has not all the bands that are chosen, or
            takes too much memory or time to read.
    """

    def __init__(
        self,
        source: Path | BinaryIO,
        name: str | None = None,
        stretch: Stretch | None = None,
        patience: float | None = None,
    ) -> None:
        path = source if isinstance(source, Path) else None
        self.name = name or (path.name if path else "The file")
        descriptor = _open_file(source) if isinstance(source, Path) else os.dup(source.fileno())
        self._reader: int | None = None
        self._waiting, self._patience = True, patience
        self._connection, theirs = Pipe()
        try:
            with theirs:
                HOST.read(theirs.fileno(), descriptor)
            size = os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)
        try:
            beside = (_world_file(path), _read_side_file(path.with_suffix(".prj"))) if path else (None, None)
            self._connection.send((*beside, stretch and astuple(stretch)))
            self._reader = cast("dict", self._receive())["reader"]
            self._waiting = True
            about = cast("dict", self._receive())
            self.height: int = about["height"]
            self.width: int = about["width"]
            self.channels: int = about["channels"]
            self.bands: int = about["bands"]
            self.tagged: tuple[int, ...] = tuple(about["tagged"])
            self.unplaced: str | None = about["unplaced"]
            self.system: str | None = about["system"]
            self.is_geographic: bool = about["geographic"]
            self.place: tuple[float, ...] | None = about["transform"] and tuple(about["transform"])
            self._crs: str | None = about["crs"]
            if self._crs and OTHER_FILES.search(self._crs):
                self.unplaced = "has a coordinate system that takes other files"
                self.system = self.place = self._crs = None
            self._size = size
            if self.unplaced is None:  # a picture that lies nowhere may be read by other means
                self.check()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def check(self) -> None:
        """Refuse what a header may say, but what cannot be read in bounded memory and time.

        Done when a file that says where it lies is opened.

        Raises:
            ImageFileError: If so.
        """
        self._ask("check")
        pixels = self.height * self.width
        if pixels > LARGE and pixels > PIXELS_A_BYTE * self._size:
            raise ImageFileError(
                f"{self.name} has {self.width:,} × {self.height:,} pixels by its header, but far too few bytes for "
                "them: fetch or export the file again."
            )

    def close(self) -> None:
        """End the process that reads the file."""
        self._connection.close()
        if self._waiting and self._reader:  # for an answer that nobody wants any more
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._reader, signal.SIGKILL)

    @property
    def reader(self) -> int:
        """The id of the process that reads the file."""
        return cast("int", self._reader)

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
        """Return a part of the image, (rows, columns, bands) uint8: those that are chosen, or red, green, blue.

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

        Of the bands that are chosen those that are to be shown.

        Raises:
            ImageFileError: If the file is damaged.
        """
        return self._ask("overview", longest)

    def sample(self, longest: int) -> np.ndarray:
        """Return the bands' values, (bands, rows, columns) float64, of at most `longest` pixels a side.

        Not-a-number where there is no data.

        Raises:
            ImageFileError: If the file is damaged.
        """
        return self._ask("sample", longest)

    def indices(self, longest: int) -> np.ndarray:
        """Return the first band with at most `longest` pixels a side, (rows, columns): the nearest pixels, unchanged.

        Raises:
            ImageFileError: If the file is damaged.
        """
        return self._ask("indices", longest)

    def values(self, top: int, end: int, left: int = 0, right: int | None = None) -> np.ndarray:
        """Return the first band of a part, as in `read`, unchanged: (rows, columns) of the file's own type.

        Raises:
            ImageFileError: If the file is damaged there.
        """
        return self._ask("values", int(top), int(end), int(left), self.width if right is None else int(right))

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

    def from_longitude_latitude(self, longitude: np.ndarray, latitude: np.ndarray) -> np.ndarray | None:
        """Return points on WGS 84 in the file's coordinates, (2, points) float64: `to_longitude_latitude` turned."""
        if self.unplaced:
            return None
        moved = self._ask("to_longitude_latitude", longitude, latitude, True)
        return moved if moved.shape[1] == len(longitude) else None

    def corners(self) -> np.ndarray | None:
        """Return the corners' longitude and latitude, (4, 2) float64, clockwise from the top left; None if unknown."""
        transform = self.transform
        if transform is None:
            return None
        columns, rows = np.array([(0, 0), (self.width, 0), (self.width, self.height), (0, self.height)], float).T
        degrees = self.to_longitude_latitude(*(transform @ (columns, rows)))
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

    def _ask(self, method: str, *arguments: object) -> np.ndarray:
        self._waiting = True
        try:
            self._connection.send((method, *arguments))
        except OSError as error:
            raise self._damaged() from error
        return cast("np.ndarray", self._receive())

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
            array = np.empty(answer.get("shape", 0), answer.get("dtype"))
            if array.size:
                self._connection.recv_bytes_into(memoryview(array).cast("B"))
        except (EOFError, OSError) as error:  # it has died: of the file, or of its memory
            raise self._damaged() from error
        self._waiting = False
        if "refused" in answer:
            raise ImageFileError(f"{self.name} {answer['refused']}")
        if "shape" in answer:
            return array
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
