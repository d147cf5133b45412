"""Images predicted one by one, here or on many machines: each file once, a bad one never stops the others."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from segmentation.data.images import read_image, read_mask_colors, read_size
from segmentation.data.palette import Palette
from segmentation.data.scenes import check_same_size
from segmentation.errors import ConfigurationError, ImageFileError, SegmentationError
from segmentation.evaluation import scores
from segmentation.files import remove_unfinished, replacing, write_json
from segmentation.inference.predictor import Predictor
from segmentation.inference.windows import check_overlap

LONGEST_ENDING = "-classes.tif.aux.xml"
"""What is added at most to an image's name without its suffix."""

LONGEST_NAME = 255
"""Bytes in the name of a file, on every usual file system."""


@dataclass(frozen=True)
class Job:
    """What is to be predicted, how, and where to.

    Args:
        model: A run's ``best.keras``.
        palette: Its classes.
        output: The folder for predictions; a file NAME.json in it says how NAME was predicted.
        masks: Masks by the stem of their images' names; not for GeoTIFFs.
        nearest: Give pixels of masks whose colour is no class's the class of the nearest colour.
        overlap: What a window has in common with the next, as a share of a patch's side, 0 to 0.5.
        tta: Test-time augmentation.
        confidence: Of a GeoTIFF: also write its confidence.
        polygons: Of a GeoTIFF: also write polygons.
        bfloat16: As in `Predictor`.

    Raises:
        ConfigurationError: If the overlap is out of range.
    """

    model: Path
    palette: Palette
    output: Path
    masks: Mapping[str, Path] = field(default_factory=dict)
    nearest: bool = False
    overlap: float = 0.25
    tta: bool = False
    confidence: bool = False
    polygons: bool = False
    bfloat16: bool = False

    def __post_init__(self) -> None:
        check_overlap(self.overlap)

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the model's file."""
        return hashlib.sha256(self.model.read_bytes()).hexdigest()

    def settings(self, image: Path) -> dict:
        """Return what the prediction of an image depends on: as long as it is the same, the prediction is."""
        mask = self.masks.get(image.stem)
        return {
            "image": _mark(image),
            "mask": [*_mark(mask), self.nearest] if mask else None,
            "model": self.digest,
            "overlap": self.overlap,
            "tta": self.tta,
            "confidence": self.confidence,
            "polygons": self.polygons,
            "bfloat16": self.bfloat16,
        }


def _mark(path: Path) -> list:
    """A file's name, size and time of change."""
    try:
        status = path.stat()
    except OSError as error:
        raise ImageFileError(f"{path.name} is not there any more: look whether it was moved or renamed.") from error
    return [path.name, status.st_size, status.st_mtime_ns]


def predict_files(
    job: Job,
    images: Sequence[Path],
    scheduler: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[dict]:
    """Predict images, and yield a row for each as it is done; those that were predicted before are not again.

    Args:
        job: How.
        images: The files, of different stems.
        scheduler: Address of a Dask scheduler whose workers see the same folders; by default this process predicts.
        progress: Called with (windows done, windows) of the image under way, if this process predicts.

    Yields:
        ``image``, its name; ``problem``, a sentence if it could not be predicted, else None; ``height`` and ``width``;
        ``pixels``, ``square_metres`` and, with a mask, ``scores``, by name, and ``uncertain``, the share of the
        mask's pixels whose colour is neither a class's nor void's.

    Raises:
        ConfigurationError: If two images have the same stem, so that one would overwrite the other.
        RunError: If this process predicts and the model cannot be loaded.
        BackendError: If this process predicts and what computes the model cannot be loaded.
    """
    for stem, count in Counter(image.stem for image in images).most_common(1):
        if count > 1:
            raise ConfigurationError(f"More than one image is called {stem}: predict them into different folders.")
    remove_unfinished(job.output)
    waiting = []
    for image in images:
        row = kept_row(job, image)
        if row:
            yield row
        else:
            waiting.append(image)
    if scheduler:
        yield from _predict_on(scheduler, job, waiting)
        remove_unfinished(job.output)  # of workers that died
    elif waiting:
        _predictor(job.model, job.bfloat16)  # a model that cannot be loaded is refused once, not for every image
        for image in waiting:
            yield _attempt(job, image, progress)


def _predict_on(scheduler: str, job: Job, images: list[Path]) -> Iterator[dict]:
    from distributed import Client, as_completed  # takes a second to import

    def only_for(image: Path) -> Job:
        """Return the job with no mask but this image's: a task that took all along would grow with their number."""
        return replace(job, masks={stem: job.masks[stem] for stem in {image.stem} & job.masks.keys()})

    with Client(scheduler) as client:
        # A worker that dies is replaced by another: what it had finished is on disk, what it had begun is begun anew.
        futures = {client.submit(_attempt, only_for(image), image, pure=False): image for image in images}
        for future in as_completed(futures):
            error = future.exception()
            yield {"image": futures[future].name, "problem": str(error)} if error else future.result()
            future.release()


def kept_row(job: Job, image: Path) -> dict | None:
    """Return the row of an image that was predicted before with the same settings; None if it was not."""
    try:
        content = json.loads((job.output / f"{image.stem}.json").read_text(encoding="utf-8"))
        complete = all((job.output / name).is_file() for name in content["files"])
        return content["row"] if complete and content["settings"] == job.settings(image) else None
    except (OSError, ValueError, KeyError, TypeError, SegmentationError):  # not there, or not ours
        return None


def _attempt(job: Job, image: Path, progress: Callable[[int, int], None] | None = None) -> dict:
    try:
        return predict_file(job, image, progress)
    except SegmentationError as error:
        return {"image": image.name, "problem": str(error)}


def predict_file(
    job: Job,
    image: Path,
    progress: Callable[[int, int], None] | None = None,
    load: "Callable[[Path, bool], Predictor] | None" = None,
) -> dict:
    """Predict one image into the job's folder, and return its row, as `predict_files` yields it.

    Args:
        job: How.
        image: The file.
        progress: Called with (windows done, windows).
        load: Gives the model at a path, in bfloat16 or not; by default this process keeps the last one.

    Raises:
        ImageFileError: If the image or its mask cannot be used.
    """
    if len(os.fsencode(image.stem + LONGEST_ENDING)) > LONGEST_NAME:
        raise ImageFileError(f"{image.name} has too long a name for {LONGEST_ENDING} to be added: shorten it.")
    settings = job.settings(image)
    write = _write_map if _is_georeferenced(image) else _write_masks
    row, files = write(job, image, (load or _predictor)(job.model, job.bfloat16), progress)
    row = {"image": image.name, "problem": None, **row}
    # Written last: it says that everything before is complete.
    write_json(job.output / f"{image.stem}.json", {"settings": settings, "files": files, "row": row})
    return row


@lru_cache(1)
def _predictor(model: Path, bfloat16: bool) -> Predictor:
    return Predictor(model, bfloat16)


def _write_masks(
    job: Job, path: Path, predictor: "Predictor", progress: Callable[[int, int], None] | None
) -> tuple[dict, list[str]]:
    """Predict an image that fits into memory: a coloured mask and an index mask."""
    image, mask = read_image(path), job.masks.get(path.stem)
    if mask:
        check_same_size(image.shape[:2], read_size(mask, orient=False), path.name, mask.name)
        truth, uncertain = _read_truth(job, mask)
    classes = predictor.scene_classes(image, progress, job.tta, job.overlap)
    files = [f"{path.stem}-colours.png", f"{path.stem}-indices.png"]
    for name, pixels in zip(files, (job.palette.decode(classes), classes), strict=True):
        with replacing(job.output / name) as temporary:
            Image.fromarray(pixels).save(temporary)
    counts = np.bincount(classes.ravel(), minlength=len(job.palette))
    row = {"height": classes.shape[0], "width": classes.shape[1], "pixels": _by_class(job.palette, counts)}
    if mask:
        row |= {"uncertain": uncertain, "scores": _scores(truth, classes, job.palette)}
    return row, files


def _read_truth(job: Job, mask: Path) -> tuple[np.ndarray, float]:
    """Return a mask's class indices, and the share of its pixels whose colour is neither a class's nor void's."""
    colors = read_mask_colors(mask)
    encode = job.palette.encode_nearest if job.nearest else job.palette.encode
    return encode(colors), job.palette.strays(colors).share


def map_files(job: Job, image: Path) -> list[str]:
    """Return the names of the files that a GeoTIFF becomes: its map, and if asked for confidence and polygons."""
    asked = {"classes.tif": True, "confidence.tif": job.confidence, "classes.geojson": job.polygons}
    return [f"{image.stem}-{name}" for name, wanted in asked.items() if wanted]


def _is_georeferenced(image: Path) -> bool:
    """Tell whether an image is a TIFF that says where it lies: GDAL, which knows, is imported for such files only."""
    if image.suffix.lower() not in (".tif", ".tiff"):
        return False
    try:
        from segmentation.data.raster import is_georeferenced
    except ImportError as error:
        raise ImageFileError(f"{image.name} needs a package that is not installed: pip install rasterio") from error
    return is_georeferenced(image)


def _write_map(
    job: Job, path: Path, predictor: "Predictor", progress: Callable[[int, int], None] | None
) -> tuple[dict, list[str]]:
    """Predict an orthophoto: a map, and if asked for its confidence and its polygons."""
    files = map_files(job, path)
    further = iter(job.output / name for name in files[1:])
    from segmentation.data.raster import Raster
    from segmentation.inference.maps import map_raster

    with Raster(path) as raster:
        table = map_raster(
            predictor,
            raster,
            job.palette,
            job.output / files[0],
            job.overlap,
            job.tta,
            next(further) if job.confidence else None,
            next(further) if job.polygons else None,
            progress,
        )
        row = {"height": raster.height, "width": raster.width, "pixels": _by_class(job.palette, table["pixels"])}
    if table["square_metres"].notna().all():
        row["square_metres"] = _by_class(job.palette, table["square_metres"])
    return row, files


def _by_class(palette: Palette, values: Sequence[float]) -> dict[str, float]:
    return {name: value.item() for name, value in zip(palette.names, np.asarray(values), strict=True)}


def _scores(truth: np.ndarray, classes: np.ndarray, palette: Palette) -> dict[str, float | None]:
    """Return one image's scores, void left out; None where a score does not exist."""
    matrix = scores.confusion_matrices(truth[None], classes[None], len(palette))[0]
    values = {"accuracy": scores.accuracy(matrix), "mean_iou": scores.mean_iou(matrix)}
    values |= {f"iou_{name}": value for name, value in zip(palette.names, scores.iou(matrix), strict=True)}
    return {key: round(float(value), 6) if np.isfinite(value) else None for key, value in values.items()}
