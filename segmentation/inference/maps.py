"""Predictions of orthophotos as maps: cloud-optimised GeoTIFFs, polygons, areas."""

import itertools
import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import pandas as pd
import rasterio
import rasterio.features
import rasterio.shutil
from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from segmentation.data.palette import VOID, Palette
from segmentation.data.raster import Raster
from segmentation.errors import StorageError
from segmentation.files import replacing, scratch_folder
from segmentation.inference.options import SEAMLESS, Inference
from segmentation.inference.prediction import choose_classes
from segmentation.inference.predictor import Predictor

ACROSS = 100_000
"""Pixels: wider images are predicted in blocks of columns, since a row of windows is held in memory."""

POLYGONS = 500
"""Polygons whose coordinates are computed at once: PROJ takes long to begin, and little for a point more."""


def map_raster(
    predictor: Predictor,
    raster: Raster,
    palette: Palette,
    target: Path,
    inference: Inference = SEAMLESS,
    confidence: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Predict an orthophoto and write the classes as a map that lies where the orthophoto lies.

    Memory is bounded by a row of windows over `ACROSS` pixels, however large the image.

    Args:
        predictor: The model.
        raster: The orthophoto.
        palette: The model's classes: the map's colour table and category names.
        target: The map: a cloud-optimised GeoTIFF of class indices, 255 where the orthophoto has no data.
        inference: How to predict.
        confidence: Where to write the confidence in per cent, likewise.
        progress: Called with (windows done, windows).

    Returns:
        One row per class: ``class``, ``pixels`` and ``square_metres`` on the ground, NaN where the place is not known.

    Raises:
        ImageFileError: If the orthophoto is damaged.
        StorageError: If the map cannot be written.
    """
    areas = raster.pixel_areas()
    pixels, square_metres = np.zeros(len(palette), np.int64), np.zeros(len(palette))
    with ExitStack() as stack:
        classes_file = stack.enter_context(_optimised(raster, target, palette))
        confidence_file = stack.enter_context(_optimised(raster, confidence)) if confidence else None
        for columns, strips in _blocks(predictor, raster, inference, progress):
            top = 0
            for strip in strips:
                rows = slice(top, top := top + len(strip))
                here = Window.from_slices(rows, columns)
                valid = raster.valid(rows.start, rows.stop, columns.start, columns.stop)
                best, probability = choose_classes(strip, inference.thresholds)
                classes = np.where(valid, best, np.uint8(VOID))
                classes_file.write(classes, 1, window=here)
                if confidence_file:
                    percent = np.where(valid, np.rint(100 * probability), VOID)
                    confidence_file.write(percent.astype(np.uint8), 1, window=here)
                pixels += np.bincount(classes.ravel(), minlength=VOID + 1)[: len(palette)]
                if areas:
                    ground = areas.within(rows, columns)
                    square_metres += np.bincount(classes.ravel(), ground.ravel(), VOID + 1)[: len(palette)]
    return pd.DataFrame({"class": palette.names, "pixels": pixels, "square_metres": square_metres if areas else np.nan})


def _blocks(
    predictor: Predictor,
    raster: Raster,
    inference: Inference,
    progress: Callable[[int, int], None] | None,
) -> Iterator[tuple[slice, Iterator[np.ndarray]]]:
    """Yield slices of columns, one for an image of usual width, each with the probabilities of its strips.

    All blocks are seen through the windows that the whole image would be seen through: each begins and ends whole
    strides beyond its columns, so that those at its edges, which see a mirror image, are cut off.
    """
    size, stride = predictor.window(raster.height, raster.width, inference.overlap)
    beyond = -(-2 * size // stride) * stride
    step = max(1, ACROSS // stride) * stride
    starts = range(0, raster.width, step)
    for number, start in enumerate(starts):
        stop = min(start + step, raster.width)
        left, right = max(0, start - beyond), min(raster.width, stop + beyond)

        def done(windows: int, of: int, before: int = number) -> None:
            if progress:
                progress(before * of + windows, len(starts) * of)

        strips = predictor.strips(
            partial(raster.read, left=left, right=right),
            raster.height,
            right - left,
            inference,
            progress=done,
        )
        kept = np.s_[start - left : stop - left]
        yield np.s_[start:stop], (strip[:, kept] for strip in strips)


@contextmanager
def _optimised(raster: Raster, target: Path, palette: Palette | None = None) -> Iterator[rasterio.io.DatasetWriter]:
    """Yield a file to write rows of one byte a pixel to, which becomes a cloud-optimised GeoTIFF at the end."""
    layout = {"height": raster.height, "width": raster.width, "crs": raster.crs, "transform": raster.transform}
    with _told_by_gdal(target), scratch_folder(target.parent) as scratch:
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


@contextmanager
def _told_by_gdal(target: Path) -> Iterator[None]:
    """Say in one sentence that GDAL could not write a file, whatever it calls that: a full disk, most of the time."""
    try:
        yield
    except (RasterioError, CPLE_BaseError) as error:
        raise StorageError(f"{target} cannot be written ({error}): make room for it, then try again.") from error


def _categories(palette: Palette) -> str:
    """Return the classes' names as GDAL keeps them beside a file."""
    names = "".join(f"<Category>{escape(name)}</Category>" for name in palette.names)
    return f'<PAMDataset><PAMRasterBand band="1"><CategoryNames>{names}</CategoryNames></PAMRasterBand></PAMDataset>\n'


def write_polygons(
    source: Path,
    raster: Raster,
    palette: Palette,
    target: Path,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the areas of one class of a map as GeoJSON, one feature each.

    In longitude and latitude, exterior rings counter-clockwise (RFC 7946); where part of the map has none, all in the
    map's own coordinates, whose system the file names.

    Args:
        source: The map.
        raster: What it is a map of.
        palette: The map's classes.
        target: The new file.
        progress: Called with (polygons done, polygons), before the first as well.

    Raises:
        StorageError: If the file cannot be written.
    """
    with rasterio.open(source) as file, replacing(target) as temporary, temporary.open("w", encoding="utf-8") as out:
        # Found twice, since as Python's numbers all of them at once would take a gigabyte for half a million.
        count = sum(1 for _ in _shapes(file)) if progress else 0
        shapes, done = _shapes(file), 0
        in_degrees = is_in_degrees(raster)
        named = raster.system and not in_degrees
        system = f'"coordinate_system": {json.dumps(raster.system, ensure_ascii=False)}, ' if named else ""
        out.write(f'{{"type": "FeatureCollection", {system}"features": [')
        between = "\n"
        while some := list(itertools.islice(shapes, POLYGONS)):
            if progress:
                progress(done, count)
            done += len(some)
            areas = to_world(raster, [shape for shape, _ in some], in_degrees)
            for (_, index), rings in zip(some, areas, strict=True):
                geometry = {"type": "Polygon", "coordinates": rings}
                feature = {"type": "Feature", "properties": {"class": palette.names[int(index)]}, "geometry": geometry}
                out.write(between + json.dumps(feature, ensure_ascii=False))
                between = ",\n"
        out.write("\n]}\n")


def _shapes(file: rasterio.DatasetReader) -> Iterator[tuple[dict, float]]:
    """Yield the areas of one class of a map, each with its class, one by one."""
    return (shape for shape in rasterio.features.shapes(rasterio.band(file, 1)) if shape[1] != VOID)


def is_in_degrees(raster: Raster) -> bool:
    """Tell whether a map has longitudes and latitudes everywhere that go on from pixel to pixel.

    A picture of the whole earth has corners beyond it, for some of which PROJ gives numbers all the same: latitudes
    past the poles, or longitudes that begin anew. A polygon over the date line or a pole would be drawn around the
    earth.
    """
    corners, middles = _degrees_within(raster, 0), _degrees_within(raster, 0.5)
    if corners is None or middles is None or not (np.isfinite(corners).all() and (np.abs(corners[1]) <= 90).all()):
        return False
    # Of the pixels' middles: the outermost corners of a map of the whole earth may lie on either side.
    return all((np.abs(np.diff(middles[0], axis=axis)) < 180).all() for axis in (0, 1))


def _degrees_within(raster: Raster, inset: float) -> np.ndarray | None:
    """Return longitudes and latitudes of a grid over a map, (2, 33, 33); `inset` pixels within its border."""
    transform = raster.transform
    if transform is None:
        return None
    columns, rows = np.meshgrid(*(np.linspace(inset, side - inset, 33) for side in (raster.width, raster.height)))
    degrees = raster.to_longitude_latitude(*(transform @ (columns.ravel(), rows.ravel())))
    return None if degrees is None else degrees.reshape(2, 33, 33)


def to_world(raster: Raster, shapes: list[dict], in_degrees: bool) -> Iterator[list[list[tuple[float, float]]]]:
    """Yield the rings of each polygon in longitude and latitude, or as they are; the exterior counter-clockwise."""
    rings = [np.array(ring) for shape in shapes for ring in shape["coordinates"]]
    points = np.concatenate(rings)
    if in_degrees:
        degrees = raster.to_longitude_latitude(*points.T)
        if degrees is None or not np.isfinite(degrees).all():
            raise StorageError("No polygons can be written: part of the map has no longitude and latitude.")
        points = degrees.T.round(8)
    turned = iter(np.split(points, np.cumsum([len(ring) for ring in rings])[:-1]))
    for shape in shapes:
        of_shape = itertools.islice(turned, len(shape["coordinates"]))
        yield [_wound(ring, exterior=number == 0).tolist() for number, ring in enumerate(of_shape)]


def _wound(ring: np.ndarray, exterior: bool) -> np.ndarray:
    """Return a closed ring (points, 2) counter-clockwise if it is an exterior one, clockwise if it is a hole."""
    x, y = ((ring - ring[0]) / (np.abs(ring - ring[0]).max() or 1)).T  # coordinates may be so large that areas are not
    counter_clockwise = (x[:-1] * y[1:] - x[1:] * y[:-1]).sum() > 0
    return ring if counter_clockwise == exterior else ring[::-1]
