"""GeoTIFFs, small."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from segmentation.data.stretch import Stretch
from segmentation.errors import ImageFileError
from segmentation.ui.loaders.caching import MEGABYTE, remembered

OVERVIEW = 1400
"""Longest side of what is shown of an orthophoto, in pixels."""

PATIENCE = 45
"""Seconds that a GeoTIFF may take to be shown small."""


class Orthophoto(NamedTuple):
    """What there is to know of a GeoTIFF that says where it lies.

    Args:
        height: In pixels.
        width: In pixels.
        system: Name of its coordinate reference system.
        transform: From (column, row) to coordinates, (a, b, c, d, e, f).
        geographic: Whether its coordinates are degrees.
        corners: Longitude and latitude of its corners, (4, 2) clockwise from the top left; None if there are none.
        square_metres: What it covers on the ground; None if that is not known.
    """

    height: int
    width: int
    system: str
    transform: tuple[float, ...]
    geographic: bool
    corners: np.ndarray | None
    square_metres: float | None


@remembered(256, key=lambda path, mark: mark)
def _orthophoto(path: Path, mark: tuple) -> Orthophoto:
    from segmentation.data.raster import Raster

    with Raster(path, patience=PATIENCE) as raster:
        if raster.system is None or raster.place is None:
            raise ImageFileError(f"{path.name} {raster.unplaced}: choose Upload to predict it as a picture.")
        areas = raster.pixel_areas()
        return Orthophoto(
            raster.height,
            raster.width,
            raster.system,
            raster.place,
            raster.is_geographic,
            raster.corners(),
            areas.total if areas else None,
        )


def load_orthophoto(path: Path) -> Orthophoto:
    """Return what there is to know of a GeoTIFF.

    Raises:
        ImageFileError: If it cannot be read, or does not say where it lies.
    """
    return _orthophoto(path, file_mark(path))


def file_mark(path: Path) -> tuple:
    """Return a mark of a file that changes when it does.

    Raises:
        ImageFileError: If it is not there.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise ImageFileError(f"{path.name} cannot be opened ({error.strerror}): check the path.") from error
    return path, status.st_ino, status.st_size, status.st_mtime_ns


@remembered(
    64 * MEGABYTE,
    key=lambda path, mark, band, stretch: (mark, band, stretch),
    size=lambda picture: picture.nbytes,
)
def _overview(path: Path, mark: tuple, band: bool, stretch: Stretch | None) -> np.ndarray:
    from segmentation.data.raster import Raster

    with Raster(path, stretch=stretch, patience=PATIENCE) as raster:
        picture = raster.indices(OVERVIEW) if band else raster.overview(OVERVIEW)
    picture.flags.writeable = False
    return picture


def load_overview(path: Path, band: bool = False, stretch: Stretch | None = None) -> np.ndarray:
    """Return a GeoTIFF shrunk to `OVERVIEW` pixels a side, read-only: (rows, columns, 3) uint8.

    Args:
        path: The file.
        band: Return the nearest values of its only band instead, (rows, columns) uint8.
        stretch: For bands of more than 8 bits; by default their own.

    Raises:
        ImageFileError: If it cannot be read.
    """
    return _overview(path, file_mark(path), band, stretch)
