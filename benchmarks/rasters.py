"""GeoTIFFs before and after each is read by a process of its own: an overview, and polygons.

The overview is of 4096 × 4096 pixels of three bands of 16 bits, shrunk to 1400, opened anew each time. Before, GDAL's
cache was 64 bytes where megabytes were meant. The polygons are those of a map of 5,041 areas in EPSG:27700, written as
GeoJSON in longitude and latitude. Before, a transformation was built for each; since that takes minutes, that way has a
map of 484 areas, and its time is multiplied. Both ways run one after the other, in processes of their own; each time is
the median of several.
"""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import rasterio
import tyro

from benchmarks.measuring import print_header, print_row
from segmentation.data.locate import PROJECT

BEFORE = "c427d41"
"""The last commit that read GeoTIFFs in the dashboard's own process."""

SIDE = 4096

CELLS, CELLS_BEFORE = 71, 22
"""Areas a side of the map of polygons; of the map for the way that takes so long."""

TIMER = """
import json, sys, time
from pathlib import Path
from segmentation.data.raster import Raster

def seconds(action, times):
    for _ in range(times):
        start = time.perf_counter()
        action()
        yield time.perf_counter() - start

path, target, times = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
"""
"""Begins what is run in the folder of either version."""

OVERVIEW = """
def action():
    with Raster(path) as raster:
        raster.overview(1400)
"""

POLYGONS_BEFORE = """
from segmentation.data.palette import DUBAI
from segmentation.inference.maps import _write_polygons

def action():
    _write_polygons(path, DUBAI, target)
"""

POLYGONS_AFTER = """
from segmentation.data.palette import DUBAI
from segmentation.inference.maps import write_polygons

def action():
    with Raster(path) as raster:
        write_polygons(path, raster, DUBAI, target)
"""

PRINT = """
print(json.dumps(list(seconds(action, times))))
"""


@contextmanager
def version(commit: str) -> Iterator[Path]:
    """Yield a folder with the project as it was at a commit."""
    git = shutil.which("git")
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "before"
        subprocess.run([git, "worktree", "add", "--detach", "-q", folder, commit], cwd=PROJECT, check=True)  # noqa: S603
        try:
            yield folder
        finally:
            subprocess.run([git, "worktree", "remove", "--force", folder], cwd=PROJECT, check=True)  # noqa: S603


def median(project: Path, action: str, path: Path, times: int) -> float:
    """Return the median of how many seconds an action took in the given version of the project."""
    command = [sys.executable, "-c", TIMER + action + PRINT, str(path), str(path.with_suffix(".geojson")), str(times)]
    run = subprocess.run(command, cwd=project, stdout=subprocess.PIPE, check=True, text=True)  # noqa: S603 (our own)
    return statistics.median(json.loads(run.stdout))


def write_picture(path: Path) -> None:
    """Write a map of 16 bits."""
    values = np.random.default_rng(0).integers(0, 4000, (3, SIDE, SIDE), dtype=np.uint16)
    _write(path, values, crs="EPSG:32640", transform=rasterio.Affine(0.3, 0, 3e5, 0, -0.3, 2.7e6), tiled=True)


def write_classes(path: Path, cells: int) -> None:
    """Write a map of so many square areas a side, each of another class than its neighbours."""
    rows, columns = np.indices((cells, cells)).repeat(8, axis=1).repeat(8, axis=2)
    classes = (rows % 2 * 2 + columns % 2).astype(np.uint8)[None]
    _write(path, classes, crs="EPSG:27700", transform=rasterio.Affine(1, 0, 4e5, 0, -1, 3e5))


def _write(path: Path, bands: np.ndarray, **layout: object) -> None:
    count, height, width = bands.shape
    with rasterio.open(path, "w", "GTiff", width, height, count, dtype=bands.dtype, **layout) as file:
        file.write(bands)


def main(times: int = 5, times_before: int = 3) -> None:
    """Print a row for each.

    Args:
        times: How often each is measured.
        times_before: How often it is measured as it was.
    """
    print_header(["", "before, s", "after, s", "ratio"])
    with tempfile.TemporaryDirectory() as name, version(BEFORE) as before:
        folder = Path(name)
        picture, few, many = (folder / f"{kind}.tif" for kind in ("picture", "few", "many"))
        write_picture(picture)
        write_classes(few, CELLS_BEFORE)
        write_classes(many, CELLS)
        then, now = median(before, OVERVIEW, picture, times_before), median(PROJECT, OVERVIEW, picture, times)
        print_row(f"overview of {SIDE} × {SIDE} pixels of 16 bits", f"{then:.2f}", f"{now:.2f}", f"{then / now:.1f}")
        then = median(before, POLYGONS_BEFORE, few, times_before) * CELLS**2 / CELLS_BEFORE**2
        now = median(PROJECT, POLYGONS_AFTER, many, times)
        print_row(f"{CELLS**2:,} polygons in EPSG:27700", f"{then:.1f}", f"{now:.2f}", f"{then / now:.0f}")


if __name__ == "__main__":
    tyro.cli(main)
