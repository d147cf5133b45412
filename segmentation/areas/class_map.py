"""A map of classes read by windows: its classes, what each covers on the ground, and the class at a place."""

import hashlib
import html
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np

from segmentation.data.palette import VOID, Palette
from segmentation.data.patches import Progress
from segmentation.data.raster import Raster
from segmentation.errors import ConfigurationError, ImageFileError, SegmentationError

WINDOW = (512, 2048)
"""Rows and columns read at once: whole tiles of a map that `predict` has written, and 8 MB of areas."""

ENDINGS = ("-classes", "-indices", "-colours")
"""What `predict` adds to the name of what it predicts; NAME.json beside says the classes."""

SIDE_FILE = 1 << 20
"""Bytes: a longer file beside a map says nothing about it."""

OUT_OF_RANGE = 254
"""Stands for a value that is no byte: with 254 classes at most it is no class either."""


class Coverage(NamedTuple):
    """What the classes of a map cover.

    Args:
        pixels: (classes,) int64.
        areas: (classes,) float64: in m² where the map says where it lies, else in pixels.
        without_class: Pixels that hold no class.
    """

    pixels: np.ndarray
    areas: np.ndarray
    without_class: int


class ClassNames(NamedTuple):
    """The classes of a map.

    Args:
        names: By class index.
        palette: The same with the colours that a coloured map draws them in; None if they are not known.
    """

    names: tuple[str, ...]
    palette: Palette | None = None


def find_class_names(path: Path) -> ClassNames:
    """Return the classes of a map by what lies beside it.

    That is the NAME.json of what `predict` has written, or the names that GDAL keeps in an ``.aux.xml``.

    Raises:
        ConfigurationError: If nothing there tells them.
    """
    for ending in ENDINGS:
        if path.stem.endswith(ending):
            with suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError, SegmentationError):
                content = json.loads(_side_text(path.with_name(f"{path.stem.removesuffix(ending)}.json")))
                palette = Palette.from_dict(content["settings"]["palette"])
                return ClassNames(palette.names, palette)
    names = tuple(map(html.unescape, re.findall("<Category>([^<]*)</Category>", _side_text(_aux(path)))))
    if 0 < len(names) <= OUT_OF_RANGE and len(set(names)) == len(names):
        return ClassNames(names)
    raise ConfigurationError(
        f"{path.name} does not say what its classes are: name the run that predicted it with --run, or a file with "
        "columns name,r,g,b with --classes."
    )


def _aux(path: Path) -> Path:
    return path.with_name(f"{path.name}.aux.xml")


def _side_text(path: Path) -> str:
    with suppress(OSError, ValueError):
        if path.is_file() and path.stat().st_size <= SIDE_FILE:
            return path.read_text(encoding="utf-8")
    return ""


class ClassMap:
    """A map opened for reading by windows. To be used in a ``with`` block.

    A map of one band holds class indices, 255 and no data for no class; a map of three bands holds the classes'
    colours. Any TIFF or PNG is read, wherever it lies or if it does not say where.

    Args:
        path: The file.
        classes: Its classes.
        patience: Seconds that each window may take, where somebody waits for it.

    Attributes:
        name: The file's.
        names: The classes' names.
        height: In pixels.
        width: In pixels.
        raster: The file.
        in_square_metres: Whether it is known what its pixels cover on the ground.

    Raises:
        ImageFileError: If it cannot be read.
        ConfigurationError: If it holds colours, but those of its classes are not known.
    """

    def __init__(self, path: Path, classes: ClassNames, patience: float | None = None) -> None:
        self.name, self.names = path.name, classes.names
        self._palette = classes.palette
        self.raster = _open(path, patience)
        try:
            self.raster.check()
            self.height, self.width = self.raster.height, self.raster.width
            if len(self.names) > OUT_OF_RANGE:
                raise ConfigurationError(f"Expected at most {OUT_OF_RANGE} classes. Received: {len(self.names)}")
            if self.raster.bands >= 3 and self._palette is None:
                raise ConfigurationError(
                    f"{self.name} holds colours: say whose they are with --classes FILE, of columns name,r,g,b."
                )
            self._ground = self.raster.pixel_areas()
        except BaseException:
            self.raster.close()
            raise
        self.in_square_metres = self._ground is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.raster.close()

    def windows(self, progress: Progress | None = None) -> Iterator[tuple[slice, slice]]:
        """Yield the rows and columns of the windows that make up the map, always in the same order.

        Args:
            progress: Called with (windows done, windows).
        """
        across = -(-self.width // WINDOW[1])
        count = -(-self.height // WINDOW[0]) * across
        for number in range(count):
            top, left = number // across * WINDOW[0], number % across * WINDOW[1]
            yield slice(top, min(top + WINDOW[0], self.height)), slice(left, min(left + WINDOW[1], self.width))
            if progress:
                progress(number + 1, count)

    def classes(self, rows: slice, columns: slice) -> np.ndarray:
        """Return the class indices of a window, (rows, columns) uint8, 255 where there is none.

        Raises:
            ImageFileError: If the file is damaged there, or holds what is no class index.
        """
        window = rows.start, rows.stop, columns.start, columns.stop
        if self._palette is not None and self.raster.bands >= 3:
            found = self._palette.encode(self.raster.read(*window))
        else:
            found = _as_bytes(self.raster.values(*window))
        found = np.where(self.raster.valid(*window), found, np.uint8(VOID))
        if ((found >= len(self.names)) & (found != VOID)).any():
            raise ImageFileError(
                f"{self.name} holds other values than 0 to {len(self.names) - 1}, the numbers of its "
                f"{len(self.names)} classes, and {VOID} for none: is it a map of classes, and are these its classes?"
            )
        return found

    def ground(self, rows: slice, columns: slice) -> np.ndarray:
        """Return what the pixels of a window cover, (rows, columns) float64: m², or one each where that is unknown."""
        if self._ground is None:
            return np.ones((rows.stop - rows.start, columns.stop - columns.start))
        return self._ground.within(rows, columns)

    def coverage(self, progress: Progress | None = None) -> Coverage:
        """Return what the classes cover.

        Args:
            progress: Called with (windows done, windows).

        Raises:
            ImageFileError: If the file is damaged or no map, or no pixel of it has a class.
        """
        pixels, areas = np.zeros(VOID + 1, np.int64), np.zeros(VOID + 1)
        for rows, columns in self.windows(progress):
            found = self.classes(rows, columns).ravel()
            pixels += np.bincount(found, minlength=VOID + 1)
            areas += np.bincount(found, self.ground(rows, columns).ravel(), VOID + 1)
        count = len(self.names)
        if not areas[:count].sum() > 0:
            raise ImageFileError(f"{self.name} holds no pixel of any class: is it a map of classes?")
        return Coverage(pixels[:count], areas[:count], int(pixels[VOID]))

    def classes_at(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return the class indices of some pixels, (points,) uint8; they are read one by one, in the file's order."""
        found = np.full(len(rows), VOID, np.uint8)
        for index in np.lexsort((columns, rows // WINDOW[0], columns // WINDOW[1])):
            row, column = int(rows[index]), int(columns[index])
            found[index] = self.classes(slice(row, row + 1), slice(column, column + 1))[0, 0]
        return found

    def mark(self, coverage: Coverage) -> str:
        """Return eight letters that tell this map from others: points drawn on another one do not fit it."""
        what = (self.height, self.width, self.raster.place, self.names, coverage.pixels.tolist())
        return hashlib.sha256(repr(what).encode()).hexdigest()[:8]


def _open(path: Path, patience: float | None) -> Raster:
    """Open a map.

    Raises:
        ImageFileError: If it cannot be read, or what reads it is not installed.
    """
    try:
        import rasterio  # noqa: F401 (in a process of its own, where its absence would look like a damaged file)
    except ImportError as error:
        raise ImageFileError('Maps take a package that is missing: pip install "aerial-segmentation[geo]".') from error
    return Raster(path, patience=patience)


def _as_bytes(values: np.ndarray) -> np.ndarray:
    """Return values as class indices, (rows, columns) uint8: what is no whole number of a byte as `OUT_OF_RANGE`."""
    if values.dtype == np.uint8:
        return values
    numbers = np.nan_to_num(values.astype(np.float64), nan=VOID)
    fits = (numbers >= 0) & (numbers <= VOID) & (numbers == np.rint(numbers))
    return np.where(fits, numbers, OUT_OF_RANGE).astype(np.uint8)
