"""Images predicted one by one, here or on many machines: each file once, a bad one never stops the others."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from segmentation import scores
from segmentation.data.images import read_image, read_mask_colors, read_size
from segmentation.data.palette import Palette
from segmentation.data.raster import RASTER_SUFFIXES, Raster
from segmentation.data.scenes import check_same_size
from segmentation.data.stretch import Stretch
from segmentation.errors import ConfigurationError, ImageFileError, NotRasterError, SegmentationError, printable
from segmentation.files import remove_unfinished, replacing, write_json
from segmentation.inference.model_file import sha256_of
from segmentation.inference.options import SEAMLESS, Inference
from segmentation.inference.predictor import Predictor, kept_predictor
from segmentation.inference.workers import compute_on

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
        inference: How to predict.
        confidence: Of a GeoTIFF: also write its confidence.
        polygons: Of a GeoTIFF: also write polygons.
        stretch: That of the run: which bands are read, and for images of more than 8 bits how; by default each is
            stretched by its own values.
    """

    model: Path
    palette: Palette
    output: Path
    masks: Mapping[str, Path] = field(default_factory=dict)
    nearest: bool = False
    inference: Inference = SEAMLESS
    confidence: bool = False
    polygons: bool = False
    stretch: Stretch | None = None

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the model's file."""
        return sha256_of(self.model)

    def settings(self, image: Path, before: dict | None = None) -> dict:
        """Return what the prediction of an image depends on: as long as it is the same, the prediction is.

        Args:
            image: The file.
            before: What this returned when the image was predicted: files that are where they were, as they were, are
                not read again.

        Raises:
            ImageFileError: If the image or its mask cannot be read.
        """
        mask, before = self.masks.get(image.stem), before or {}
        inference = asdict(self.inference)
        thresholds = [list(pair) for pair in inference.pop("thresholds")]  # as JSON gives them back
        return {
            "image": _content(image, before.get("image")),
            "mask": _content(mask, before.get("mask")) if mask else None,
            "nearest": self.nearest and mask is not None,
            "model": self.digest,
            "palette": self.palette.to_dict(),
            **inference,
            **({"thresholds": thresholds} if thresholds else {}),
            "confidence": self.confidence,
            "polygons": self.polygons,
            "stretch": self.stretch and self.stretch.to_dict(),
        }


def _content(path: Path, before: object = None) -> dict:
    """Return the SHA-256 of a file, and by what to tell that it is still the same file, unchanged.

    Args:
        path: The file.
        before: What this returned earlier, perhaps of another file.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            mark = [str(path.absolute()), status.st_ino, status.st_size, status.st_mtime_ns]
            if isinstance(before, dict) and before.get("file") == mark:
                return before
            return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "file": mark}
    except OSError as error:
        raise ImageFileError(f"{path.name} is not there any more: look whether it was moved or renamed.") from error


def _is_same(settings: dict, before: dict) -> bool:
    """Tell whether two settings give one prediction: a file's content counts, wherever it lies."""

    def counted(of: dict) -> dict:
        return {key: value["sha256"] if key in ("image", "mask") and value else value for key, value in of.items()}

    return counted(settings) == counted(before)


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
        ``image``, its name; ``problem``, a sentence if it could not be predicted, else None; ``note``, a sentence if
        something is to be known of it, such as a TIFF that does not say where it lies; ``height`` and ``width``;
        ``pixels``, ``square_metres`` and, with a mask, ``scores``, by name, and ``uncertain``, the share of the
        mask's pixels whose colour is neither a class's nor void's.

    Raises:
        ConfigurationError: If two images have the same stem, so that one would overwrite the other.
        RunError: If this process predicts and the model cannot be loaded.
        BackendError: If what computes the model cannot be loaded here, or the workers cannot be had or used.
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
    if scheduler is not None:
        yield from _predict_on(scheduler, job, waiting)
        remove_unfinished(job.output)  # of workers that died
    elif waiting:
        # A model that cannot be loaded is refused once, not for every image.
        kept_predictor(job.model, job.digest, job.inference.bfloat16).check_thresholds(job.inference)
        for image in waiting:
            yield _attempt(job, image, progress)


def _predict_on(scheduler: str, job: Job, images: list[Path]) -> Iterator[dict]:
    there = replace(job, model=job.model.absolute(), output=job.output.absolute())

    def only_for(image: Path) -> Job:
        """Return the job with no mask but this image's: a task that took all along would grow with their number."""
        return replace(there, masks={stem: job.masks[stem].absolute() for stem in {image.stem} & job.masks.keys()})

    # What a worker that dies had finished is on disk.
    work = {image.name: (only_for(image), image.absolute()) for image in images}
    for name, row, problem in compute_on(scheduler, _attempt_there, work):
        yield row or {"image": name, "problem": problem}


def _attempt_there(work: tuple[Job, Path]) -> dict:
    return _attempt(*work)


def kept_row(job: Job, image: Path) -> dict | None:
    """Return the row of an image that was predicted before with the same settings; None if it was not."""
    try:
        content = json.loads((job.output / f"{image.stem}.json").read_text(encoding="utf-8"))
        complete = all((job.output / name).is_file() for name in content["files"])
        before = content["settings"]
        return content["row"] if complete and _is_same(job.settings(image, before), before) else None
    # Not there, or not ours: whatever somebody has put there.
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, SegmentationError):
        return None


def _attempt(job: Job, image: Path, progress: Callable[[int, int], None] | None = None) -> dict:
    try:
        return predict_file(job, image, progress)
    except SegmentationError as error:
        problem = str(error)
    # Whatever a library raises for one file is that file's sentence: the others are predicted.
    except Exception as error:
        problem = printable(f"{image.name} cannot be predicted ({type(error).__name__}: {error}): export it again.")
    return {"image": image.name, "problem": problem}


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
        StorageError: If what is predicted cannot be written.
    """
    if len(os.fsencode(image.stem + LONGEST_ENDING)) > LONGEST_NAME:
        raise ImageFileError(f"{image.name} has too long a name for {LONGEST_ENDING} to be added: shorten it.")
    settings = job.settings(image)
    bfloat16 = job.inference.bfloat16
    predictor = load(job.model, bfloat16) if load else kept_predictor(job.model, job.digest, bfloat16)
    row, files = _write_prediction(job, image, predictor, progress)
    row = {"image": image.name, "problem": None, **row}
    # Written last: it says that everything before is complete.
    write_json(job.output / f"{image.stem}.json", {"settings": settings, "files": files, "row": row})
    return row


def _write_prediction(
    job: Job, image: Path, predictor: "Predictor", progress: Callable[[int, int], None] | None
) -> tuple[dict, list[str]]:
    """Predict an image: a map if it says where it lies, else masks, with a word on what it lacks."""
    if image.suffix.lower() not in RASTER_SUFFIXES:
        return _write_masks(job, image, predictor, progress)
    try:
        raster = Raster(image, stretch=job.stretch)
    except NotRasterError as error:  # perhaps Pillow can read it; if not, it says so
        note = str(error)
    else:
        with raster:
            if raster.unplaced is None:
                return _write_map(job, image, raster, predictor, progress)
            note = f"{image.name} {raster.unplaced}"
    row, files = _write_masks(job, image, predictor, progress)
    return row | {"note": f"{note.rstrip('.')}; it was predicted as a picture without a place."}, files


def _write_masks(
    job: Job, path: Path, predictor: "Predictor", progress: Callable[[int, int], None] | None
) -> tuple[dict, list[str]]:
    """Predict an image that fits into memory: a coloured mask and an index mask."""
    image, mask = read_image(path, stretch=job.stretch), job.masks.get(path.stem)
    if mask:
        check_same_size(image.shape[:2], read_size(mask, orient=False), path.name, mask.name)
        truth, uncertain = _read_truth(job, mask)
    classes = predictor.scene_classes(image, job.inference, progress)
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
    drawn = read_mask_colors(mask)
    return drawn.encode(job.palette, job.nearest), drawn.strays(job.palette).share


def map_files(job: Job, image: Path) -> list[str]:
    """Return the names of the files that a GeoTIFF becomes: its map, and if asked for confidence and polygons."""
    asked = {"classes.tif": True, "confidence.tif": job.confidence, "classes.geojson": job.polygons}
    return [f"{image.stem}-{name}" for name, wanted in asked.items() if wanted]


def _write_map(
    job: Job, path: Path, raster: Raster, predictor: "Predictor", progress: Callable[[int, int], None] | None
) -> tuple[dict, list[str]]:
    """Predict an orthophoto: a map, and if asked for its confidence and its polygons."""
    from segmentation.inference.maps import map_raster, write_polygons  # GDAL: only where it is needed

    classes, *further = files = map_files(job, path)
    confidence = job.output / further[0] if job.confidence else None
    table = map_raster(predictor, raster, job.palette, job.output / classes, job.inference, confidence, progress)
    if job.polygons:
        write_polygons(job.output / classes, raster, job.palette, job.output / further[-1])
    row = {"height": raster.height, "width": raster.width, "pixels": _by_class(job.palette, table["pixels"])}
    if table["square_metres"].notna().all():
        row["square_metres"] = _by_class(job.palette, table["square_metres"])
    return row, files


def _by_class(palette: Palette, values: ArrayLike) -> dict[str, float]:
    return {name: value.item() for name, value in zip(palette.names, np.asarray(values), strict=True)}


def _scores(truth: np.ndarray, classes: np.ndarray, palette: Palette) -> dict[str, float | None]:
    """Return one image's scores, void left out; None where a score does not exist."""
    matrix = scores.confusion_matrices(truth[None], classes[None], len(palette))[0]
    values = {"accuracy": scores.accuracy(matrix), "mean_iou": scores.mean_iou(matrix)}
    values |= {f"iou_{name}": value for name, value in zip(palette.names, scores.iou(matrix), strict=True)}
    return {key: round(float(value), 6) if np.isfinite(value) else None for key, value in values.items()}
