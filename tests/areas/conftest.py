"""Small maps of classes on disk."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio import Affine

from segmentation.areas.class_map import ClassNames
from segmentation.data.palette import Palette

NAMES = ("Building", "Dense forest", "Water")
PALETTE = Palette(NAMES, ((200, 0, 0), (0, 200, 0), (0, 0, 200)))
CLASSES = ClassNames(NAMES, PALETTE)

HEIGHT, WIDTH = 60, 90

UTM = {"crs": "EPSG:32640", "transform": Affine(2, 0, 300_000, 0, -2, 2_700_000)}

WriteMap = Callable[..., Path]


@pytest.fixture
def classes() -> np.ndarray:
    """Class indices in blocks, with a corner of no class: (HEIGHT, WIDTH) uint8."""
    blocks = np.random.default_rng(1).choice(3, (HEIGHT // 3, WIDTH // 3), p=[0.2, 0.7, 0.1]).astype(np.uint8)
    found = np.kron(blocks, np.ones((3, 3), np.uint8))
    found[:6, :6] = 255
    return found


@pytest.fixture
def write_map(tmp_path: Path) -> WriteMap:
    """A function that writes one band, or bands first, as a GeoTIFF: in UTM zone 40, unless it is told otherwise."""

    def write(bands: np.ndarray, name: str = "map.tif", **how: object) -> Path:
        bands = bands if bands.ndim == 3 else bands[None]
        count, height, width = bands.shape
        layout = {"driver": "GTiff", "height": height, "width": width, "count": count, "dtype": bands.dtype, **UTM}
        with rasterio.open(tmp_path / name, "w", **{**layout, **how}) as file:
            file.write(bands)
        return tmp_path / name

    return write
