"""Predictions of orthophotos as maps: cloud-optimised GeoTIFFs, polygons, areas."""

import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import pandas as pd
import rasterio
import rasterio.features
import rasterio.shutil
import rasterio.warp
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

from segmentation.data.palette import VOID, Palette
from segmentation.data.raster import LONGITUDE_LATITUDE, Raster
from segmentation.files import replacing, scratch_folder
from segmentation.inference.prediction import most_probable
from segmentation.inference.predictor import Predictor


def map_raster(
    predictor: Predictor,
    raster: Raster,
    palette: Palette,
    target: Path,
    overlap: float = 0.25,
    tta: bool = False,
    confidence: Path | None = None,
    polygons: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Predict an orthophoto and write the classes as a map that lies where the orthophoto lies.

    Memory is bounded by a row of windows, however large the image.

    Args:
        predictor: The model.
        raster: The orthophoto.
        palette: The model's classes: the map's colour table and category names.
        target: The map: a cloud-optimised GeoTIFF of class indices, 255 where the orthophoto has no data.
        overlap: What a window has in common with the next, as a share of a patch's side, 0 to 0.5.
        tta: Test-time augmentation.
        confidence: Where to write the confidence in per cent, likewise.
        polygons: Where to write the map's polygons as GeoJSON, in longitude and latitude where the place is known.
        progress: Called with (windows done, windows).

    Returns:
        A row a class: ``class``, ``pixels`` and ``square_metres``, NaN where the place is not known.

    Raises:
        ImageFileError: If the orthophoto is damaged.
    """
    areas = raster.pixel_areas()
    pixels, square_metres = np.zeros(len(palette), np.int64), np.zeros(len(palette))
    with ExitStack() as stack:
        classes_file = stack.enter_context(_optimised(raster, target, palette))
        confidence_file = stack.enter_context(_optimised(raster, confidence)) if confidence else None
        top = 0
        for strip in predictor.strips(raster.read, raster.height, raster.width, overlap, tta, progress=progress):
            rows = Window(0, top, raster.width, len(strip))
            valid = raster.valid(top, top + len(strip))
            best, probability = most_probable(strip)
            classes = np.where(valid, best, np.uint8(VOID))
            classes_file.write(classes, 1, window=rows)
            if confidence_file:
                percent = np.where(valid, np.rint(100 * probability), VOID)
                confidence_file.write(percent.astype(np.uint8), 1, window=rows)
            by_row = np.stack([(classes == index).sum(1) for index in range(len(palette))], axis=1)
            pixels += by_row.sum(0)
            square_metres += areas[top : top + len(strip)] @ by_row if areas is not None else np.nan
            top += len(strip)
    if polygons:
        _write_polygons(target, palette, polygons)
    return pd.DataFrame({"class": palette.names, "pixels": pixels, "square_metres": square_metres})


@contextmanager
def _optimised(raster: Raster, target: Path, palette: Palette | None = None) -> Iterator[rasterio.io.DatasetWriter]:
    """Yield a file to write rows of one byte a pixel to, which becomes a cloud-optimised GeoTIFF at the end."""
    layout = {"height": raster.height, "width": raster.width, "crs": raster.crs, "transform": raster.transform}
    with scratch_folder(target.parent) as scratch:
        plain = scratch / "plain.tif"
        kind = {"driver": "GTiff", "count": 1, "dtype": "uint8", "nodata": VOID, "bigtiff": "if_safer"}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # then the orthophoto does not lie anywhere either
            written = rasterio.open(plain, "w", **kind, **layout)
        with written as file:
            if palette:
                file.write_colormap(1, {index: (*color, 255) for index, color in enumerate(palette.colors)})
                file.set_band_description(1, "class")
            else:
                file.set_band_description(1, "confidence, per cent")
            yield file
        with replacing(target) as temporary:
            # Classes have no average: overviews take the nearest pixel.
            rasterio.shutil.copy(plain, temporary, driver="COG", compress="deflate", overview_resampling="nearest")
        if palette:
            with replacing(target.with_name(f"{target.name}.aux.xml")) as temporary:
                temporary.write_text(_categories(palette), encoding="utf-8")


def _categories(palette: Palette) -> str:
    """Return the classes' names as GDAL keeps them beside a file."""
    names = "".join(f"<Category>{escape(name)}</Category>" for name in palette.names)
    return f'<PAMDataset><PAMRasterBand band="1"><CategoryNames>{names}</CategoryNames></PAMRasterBand></PAMDataset>\n'


def _write_polygons(source: Path, palette: Palette, target: Path) -> None:
    """Write the areas of one class of a map, one feature each."""
    with rasterio.open(source) as file, replacing(target) as temporary, temporary.open("w", encoding="utf-8") as out:
        out.write('{"type": "FeatureCollection", "features": [')
        between = "\n"
        for shape, index in rasterio.features.shapes(rasterio.band(file, 1)):
            if index == VOID:
                continue
            if file.crs:
                shape = rasterio.warp.transform_geom(file.crs, LONGITUDE_LATITUDE, shape, precision=8)
            feature = {"type": "Feature", "properties": {"class": palette.names[int(index)]}, "geometry": shape}
            out.write(between + json.dumps(feature, ensure_ascii=False))
            between = ",\n"
        out.write("\n]}\n")
