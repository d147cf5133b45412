"""GeoTIFF orthophotos to maps: how time and memory grow with the image.

Real scenes, repeated until the orthophoto is full, become a cloud-optimised GeoTIFF of class indices by `dubai-best`
with an overlap of a quarter; the largest does once more with `--bfloat16`. Memory is the most that was resident,
interpreter and imports included. The map's coordinates are compared with the orthophoto's, by `rasterio` and, where it
is installed, by `gdalinfo`.
"""

import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
import tyro
from rasterio.windows import Window

from benchmarks.measuring import alone, megabytes, print_header, print_row
from segmentation.data.locate import default_folder
from segmentation.data.scenes import find_dataset, read_scene
from segmentation.runs.run import SHIPPED, Run

MEGAPIXELS = (1, 4, 16, 64, 100)
STRIP = 500
PLACE = {"crs": "EPSG:32640", "transform": rasterio.Affine(0.3, 0, 325_000.7, 0, -0.3, 2_788_000.2)}
"""Dubai, 30 cm a pixel."""


def write_orthophoto(path: Path, side: int, scene: np.ndarray) -> None:
    """Write a square GeoTIFF by repeating a scene."""
    with rasterio.open(
        path, "w", "GTiff", side, side, 3, dtype="uint8", tiled=True, compress="deflate", photometric="RGB", **PLACE
    ) as file:
        columns = np.arange(side) % scene.shape[1]
        for top in range(0, side, STRIP):
            rows = np.arange(top, min(top + STRIP, side)) % scene.shape[0]
            strip = scene[rows][:, columns]
            file.write(np.moveaxis(strip, -1, 0), window=Window(0, top, side, len(rows)))


def predict(run: str, source: Path, target: Path, bfloat16: bool) -> tuple[float, float]:
    """Map an orthophoto; return seconds and megabytes."""
    from segmentation.data.raster import Raster
    from segmentation.inference.maps import map_raster
    from segmentation.inference.predictor import Predictor

    shipped = Run(SHIPPED / run)
    predictor = Predictor(shipped.model, bfloat16)
    begun = time.perf_counter()
    with Raster(source) as raster:
        map_raster(predictor, raster, shipped.palette, target)
    return time.perf_counter() - begun, megabytes()


def place_by_rasterio(path: Path) -> tuple:
    """Return CRS, transform and size."""
    with rasterio.open(path) as file:
        return file.crs, file.transform, file.shape


def place_by_gdalinfo(path: Path) -> tuple:
    """Return the same in the words of GDAL's own program."""
    command = [shutil.which("gdalinfo"), "-json", str(path)]
    told = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)  # noqa: S603
    return told["coordinateSystem"]["wkt"], told["geoTransform"], told["size"], told["cornerCoordinates"]


def main(run: str = "dubai-best", data: Path | None = None) -> None:
    """Print a row for each size.

    Args:
        run: A shipped run.
        data: The data set's folder; by default that in data/.
    """
    dataset = find_dataset(data or default_folder())
    scene, _ = read_scene(dataset.scenes[-1], dataset.palette)
    ways = [place_by_rasterio, *([place_by_gdalinfo] if shutil.which("gdalinfo") else [])]
    print_header(["megapixels", "seconds", "megapixels a second", "memory, MB", "same place by"])
    with tempfile.TemporaryDirectory() as folder:
        for size, bfloat16 in [*((size, False) for size in MEGAPIXELS), (MEGAPIXELS[-1], True)]:
            source, target = Path(folder) / f"{size}.tif", Path(folder) / f"{size}-classes.tif"
            write_orthophoto(source, round((size * 1e6) ** 0.5), scene)
            duration, memory = alone(predict, run, source, target, bfloat16)
            same = [way.__name__.removeprefix("place_by_") for way in ways if way(source) == way(target)]
            way = f"{size}, `--bfloat16`" if bfloat16 else size
            print_row(way, f"{duration:.1f}", f"{size / duration:.2f}", f"{memory:,.0f}", ", ".join(same) or "none")


if __name__ == "__main__":
    tyro.cli(main)
