"""A folder of predictions, made by anything, as a run."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segmentation.data.array_files import ARRAY_SUFFIXES, read_array
from segmentation.data.encodings import PALETTE_COLORS, Encoding
from segmentation.data.images import is_deep, is_palette_file, read_sample, read_size
from segmentation.data.mask_contents import MaskLook, looks
from segmentation.data.palette import VOID, Palette
from segmentation.data.patches import PATCH_SIZE, Progress
from segmentation.data.protocols import Protocol
from segmentation.data.raster import RASTER_SUFFIXES, Raster
from segmentation.data.scenes import Dataset, Scene
from segmentation.errors import ImageFileError, RunError
from segmentation.evaluation.predicted_files import Matched, PredictedFile, match_files
from segmentation.runs.predicted_pixels import predicted_classes
from segmentation.runs.recording import Recording
from segmentation.runs.run import Run

MOST_NUMBERS = 1 << 26
"""Probabilities in the bands of a TIFF: they take half a gigabyte while they are read."""

SPOKEN = {"color": "colours", "value": "values"}


def add_predictions(
    name: str,
    folder: Path,
    dataset: Dataset,
    runs: Path | None = None,
    protocol: Protocol = "all",
    held_out_tile: str | None = None,
    patch_size: int = PATCH_SIZE,
    progress: Progress | None = None,
    tell: Callable[[str], None] = print,
    within: Sequence[Path] | None = None,
) -> Run:
    """Score a folder of predictions into a run of its own.

    What does not fit is left out, and said in the run's metrics: ``dataset.skipped`` and ``findings``.

    Args:
        name: Of the run.
        folder: A file for each scene; `segmentation.evaluation.predicted_files` says how they are called.
        dataset: The scenes, whose classes the predictions are in.
        runs: As for `Recording`.
        protocol: Likewise.
        held_out_tile: Likewise.
        patch_size: Likewise.
        progress: Called after every scene.
        tell: Called with a sentence for how the files are read.
        within: Folders that all files must lie in; by default they may lie anywhere.

    Raises:
        NotAllowedError: If something leads out of `within`.
        RunError: If the name is taken, or no file fits a scene.
        ConfigurationError: If the protocol does not suit the data set.
        StorageError: If the run cannot be written.
    """
    with Recording(name, dataset, runs, protocol, held_out_tile, patch_size) as recording:
        matched = match_files(folder, dataset, within)
        for finding in matched.findings:
            recording.note(finding)
        readings = find_readings(matched, dataset)
        for remark in readings.remarks:
            tell(remark)
        problem = ""
        scenes = [scene for scene in dataset.scenes if scene.name in recording.scenes]
        for done, scene in enumerate(scenes, 1):
            if file := matched.files.get(scene.name):
                try:
                    recording.record(scene, _read(file, scene, dataset.palette, readings.encodings))
                except (ImageFileError, RunError) as error:
                    problem = problem or str(error)
                    recording.leave_out(scene.name, str(error))
            if progress:
                progress(done, len(scenes))
        if problem and not recording.recorded:
            raise RunError(f"No prediction in {folder.name} can be used; the first: {problem}")
        return recording.finish()


def _read(file: PredictedFile, scene: Scene, palette: Palette, encodings: dict[PredictedFile, Encoding]) -> np.ndarray:
    """Return what a file predicts of a scene, as `Recording.record` takes it.

    Raises:
        ImageFileError: If it cannot be read, or does not fit the scene.
    """
    path, size, classes = file.path, read_size(scene.image), len(palette)
    if path.suffix.lower() in ARRAY_SUFFIXES:
        values, names = read_array(path, (size, (*size, classes), (classes, *size)))
        return _in_order(values, names, palette, path.name)
    if path.suffix.lower() in RASTER_SUFFIXES and classes > 1 and is_deep(path):
        probabilities = _read_bands(path, size, classes)
        if probabilities is not None:
            return probabilities
    predicted = encodings[file].read(path, palette)
    if {path.suffix.lower(), scene.image.suffix.lower()} <= set(RASTER_SUFFIXES):
        predicted = _in_place(predicted, path, scene.image)
    if predicted.shape != size:
        raise ImageFileError(
            f"{path.name} has {predicted.shape[1]} × {predicted.shape[0]} pixels, the image {scene.image.name} "
            f"{size[1]} × {size[0]}: write it in the image's size, each pixel the nearest one's."
        )
    if (predicted == VOID).all():
        raise ImageFileError(
            f"No pixel of {path.name} is a class: write indices from 0 to {classes - 1}, or the classes' colours."
        )
    return predicted


def _in_order(values: np.ndarray, names: tuple[str, ...], palette: Palette, file: str) -> np.ndarray:
    """Return an archive's probabilities in the order of the data set's classes, if it names its own."""
    if not names or names == palette.names or values.ndim == 2:
        return values
    if sorted(names) != sorted(palette.names):
        raise ImageFileError(
            f"{file} has probabilities of {', '.join(names)}; the data set has {', '.join(palette.names)}: name the "
            "same, or none."
        )
    axis = -1 if values.shape[-1] == len(palette) else 0
    return np.take(values, [names.index(name) for name in palette.names], axis)


def _read_bands(path: Path, size: tuple[int, int], classes: int) -> np.ndarray | None:
    """Return probabilities that are the bands of a TIFF, (height, width, classes); None if it has not so many bands."""
    if read_size(path) != size:
        return None
    if size[0] * size[1] * classes > MOST_NUMBERS:
        raise ImageFileError(f"{path.name} holds too many probabilities to be read at once: save them as .npy.")
    try:
        bands = read_sample(path, max(size), tuple(range(1, classes + 1)))
    except ImageFileError:  # one band, of class indices
        return None
    return np.moveaxis(bands, 0, -1)


def _in_place(predicted: np.ndarray, path: Path, image: Path) -> np.ndarray:
    """Return class indices on the grid of the scene's image, where both files say where they lie."""
    with Raster(path) as source, Raster(image) as target:
        if source.unplaced or target.unplaced:
            return predicted
        if source.system == target.system and np.allclose(source.place or (), target.place or ()):
            return predicted
        from rasterio.errors import RasterioError  # GDAL: only where it is needed
        from rasterio.warp import Resampling, reproject

        here = np.full((target.height, target.width), VOID, np.uint8)
        try:
            reproject(
                predicted,
                here,
                src_transform=source.transform,
                src_crs=source.crs,
                dst_transform=target.transform,
                dst_crs=target.crs,
                dst_nodata=VOID,
                resampling=Resampling.nearest,
            )
        except RasterioError as error:
            raise ImageFileError(f"{path.name} cannot be laid over {image.name}: export it on its grid.") from error
        if (here == VOID).all():
            raise ImageFileError(f"{path.name} lies beside {image.name} on the ground: look which scene it is of.")
        return here


@dataclass(frozen=True)
class Readings:
    """How the predictions in a folder are read.

    Args:
        encodings: How each picture says a class; arrays need none.
        remarks: A sentence for each kind of them.
    """

    encodings: dict[PredictedFile, Encoding]
    remarks: tuple[str, ...]

    def classes(self, file: PredictedFile, scene: Scene, palette: Palette) -> np.ndarray:
        """Return the class indices that a file predicts of a scene, (height, width) uint8, 255 for none.

        Raises:
            ImageFileError: If it cannot be read, or does not fit the scene.
            RunError: Likewise.
        """
        predicted = _read(file, scene, palette, self.encodings)
        return predicted_classes(predicted, read_size(scene.image), len(palette), scene.name)


def find_readings(matched: Matched, dataset: Dataset) -> Readings:
    """Find out how pictures say their classes: alike for all of a kind, since one alone may be read in two ways.

    Args:
        matched: The predictions of a folder.
        dataset: The scenes that they are of.
    """
    groups: dict[tuple[str, bool], list[PredictedFile]] = {}
    for file in matched.files.values():
        if file.path.suffix.lower() not in ARRAY_SUFFIXES:
            groups.setdefault((file.kind, _has_table(file.path)), []).append(file)
    own = next((scene.encoding for scene in dataset.scenes if isinstance(scene.encoding, Encoding)), None)
    encodings, remarks = {}, []
    for (kind, has_table), group in groups.items():
        readings = list(_readings(kind, has_table, own, dataset.palette))
        encoding, words = _settled(looks([file.path for file in group]), readings, dataset.palette)
        which = "1 prediction is" if len(group) == 1 else f"{len(group):,} predictions are"
        remarks.append(f"{which} read as {words}")
        encodings.update(dict.fromkeys(group, encoding))
    return Readings(encodings, tuple(remarks))


def _has_table(path: Path) -> bool:
    try:
        return is_palette_file(path)
    except ImageFileError:  # whoever reads it says so
        return False


def _readings(kind: str, has_table: bool, own: Encoding | None, palette: Palette) -> Iterator[tuple[Encoding, str]]:
    """Yield the ways in which a prediction may say a class; of two that fit as well the first is meant.

    A file of indices with a colour table shows the classes' colours, whatever its numbers, if it shows no other.
    """
    indices = Encoding("value", tuple(range(len(palette))), tuple(range(len(palette))), raw=has_table)
    if kind != "indices":
        if has_table:
            yield PALETTE_COLORS, "the classes' colours"
        if own:
            yield own, f"the {SPOKEN[own.kind]} of the data set's masks"
        yield PALETTE_COLORS, "the classes' colours"
    yield indices, "class indices"


def _settled(seen: list[MaskLook], readings: list[tuple[Encoding, str]], palette: Palette) -> tuple[Encoding, str]:
    """Return the reading by which most pixels of a sample have a class."""
    return max(readings, key=lambda reading: sum(_understood(look, reading[0], palette) for look in seen))


def _understood(look: MaskLook, encoding: Encoding, palette: Palette) -> int:
    """Return how many pixels have a class."""
    counts: Mapping[Any, int] = look.values or {}
    if encoding.kind == "color":
        counts = look.colors
    elif encoding.raw and look.indices:
        counts = look.indices
    return sum(counts.get(key, 0) for key in encoding.keys or palette.colors)
