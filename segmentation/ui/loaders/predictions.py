"""Models, and what they predict."""

import hashlib
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from segmentation.data.raster import LARGE
from segmentation.errors import RunError, SegmentationError
from segmentation.inference.options import PLAIN, Inference
from segmentation.inference.prediction import Prediction
from segmentation.log import event
from segmentation.runs.recording import kept_path, read_recorded
from segmentation.runs.run import Run
from segmentation.ui.loaders.caching import MEGABYTE, remembered, taking_turns
from segmentation.ui.loaders.scenes import Place

if TYPE_CHECKING:
    from segmentation.inference.predictor import Predictor

PREDICTION = 48 * MEGABYTE
"""What a prediction takes at most of the memory for them: that of a scene of 2.9 megapixels and six classes."""

TIMES = 3
"""How often a model predicts to be measured."""


@remembered(4, key=lambda path, modified_ns, bfloat16: (path, modified_ns, bfloat16))
def _predictor(path: Path, modified_ns: int, bfloat16: bool) -> "Predictor":
    from segmentation.inference.predictor import Predictor  # half a second, only where needed

    begun = time.monotonic()
    predictor = Predictor(path, bfloat16)
    event("model loaded", run=path.parent.name, seconds=round(time.monotonic() - begun, 3))
    return predictor


def load_predictor(path: Path, bfloat16: bool = False) -> "Predictor":
    """Return the model at `path`, loaded once for all sessions.

    Raises:
        RunError: If it cannot be loaded.
        BackendError: If what computes it cannot be loaded.
    """
    with st.spinner("Loading the model …"):
        return _predictor(path, path.stat().st_mtime_ns, bfloat16)


def measure_speed(path: Path) -> float:
    """Return how many seconds the model at `path` takes for a megapixel: the best of `TIMES`, once it is warm.

    Raises:
        RunError: If the model cannot be loaded.
        BackendError: If what computes it cannot be loaded.
        BusyError: If too many predictions are under way.
    """
    predictor = load_predictor(path)
    image = np.random.default_rng(0).integers(0, 256, (1000, 1000, predictor.bands), np.uint8)
    seconds = []
    with taking_turns(f"Measuring {path.parent.name}, predictions …") as progress:
        for done in range(TIMES + 1):
            begun = time.monotonic()
            predictor.scene(image)
            seconds.append(time.monotonic() - begun)
            progress(done + 1, TIMES + 1)
    return min(seconds[1:])


def prepare_predictor(path: Path) -> None:
    """Begin to load the model at `path` while the user looks for a picture; what goes wrong shows when it is needed."""

    def load() -> None:
        with suppress(SegmentationError, OSError):
            _predictor(path, path.stat().st_mtime_ns, bfloat16=False)

    Thread(target=load, daemon=True).start()


@remembered(
    4 * PREDICTION,
    key=lambda path, modified_ns, digest, inference, full, image: (path, modified_ns, digest, inference, full),
    # Those of four runs are always kept, however large: a page that shows them would make them at every click.
    size=lambda prediction: min(prediction.nbytes, PREDICTION),
)
def _predict(
    path: Path, modified_ns: int, digest: str, inference: Inference, full: bool, image: np.ndarray
) -> Prediction:
    predictor = load_predictor(path)
    begun = time.monotonic()
    with taking_turns("Predicting, windows …") as progress:
        prediction = predictor.scene(image, inference, progress, full)
    seconds = round(time.monotonic() - begun, 3)
    event("prediction made", run=path.parent.name, pixels=prediction.classes.size, seconds=seconds)
    for array in (prediction.classes, prediction.confidence, prediction.probabilities):
        if array is not None:
            array.flags.writeable = False
    return prediction


def predict(path: Path, image: np.ndarray, inference: Inference = PLAIN, full: bool = True) -> Prediction:
    """Predict an image (height, width, bands) uint8 with the model at `path`, with a bar, by turns with other sessions.

    Of one of more than `LARGE` pixels the classes' probabilities are not kept.

    Args:
        path: A run's model.
        image: As the run's stretch has it read.
        inference: How; not in bfloat16.
        full: Keep the probabilities of all classes, if it is not too large for that.

    Raises:
        RunError: If the model cannot be loaded, or sees another number of bands.
        BusyError: If too many predictions are under way.
    """
    digest = hashlib.sha256(np.ascontiguousarray(image).data).hexdigest() + str(image.shape)
    full = full and image.shape[0] * image.shape[1] <= LARGE
    return _predict(path, path.stat().st_mtime_ns, digest, inference, full, image)


def predict_by(
    run: Run, image: Callable[[], np.ndarray], place: Place | None, inference: Inference = PLAIN, full: bool = True
) -> Prediction:
    """Return what a run sees in a picture: its model predicts it, or else it was recorded.

    Args:
        run: With a model, or with predictions of the data set's scenes.
        image: Returns the picture as the run's stretch has it read, (height, width, bands) uint8.
        place: Where it is from; None for an upload.
        inference: How a model predicts; not in bfloat16.
        full: Keep the probabilities of all classes, if it is not too large for that.

    Raises:
        RunError: If it is an upload and the run has no model, or the model cannot be loaded.
        ImageFileError: If there is no prediction of it that fits.
        BusyError: If too many predictions are under way.
    """
    if run.model:
        return predict(run.model, image(), inference, full)
    if place is None or run.predictions is None:
        raise RunError(no_model(run))
    height, width = image().shape[:2]
    path = kept_path(run.folder, place.scene)
    changed = path.stat().st_mtime_ns if path.is_file() else 0
    classes = _recorded(run, place.scene, changed, place.size)
    here = classes[place.top : place.top + height, place.left : place.left + width]
    return Prediction(here, confidence=None, probabilities=None)


@remembered(
    PREDICTION,
    key=lambda run, scene, modified_ns, size: (run.folder, scene, modified_ns, size),
    size=lambda classes: classes.nbytes,
)
def _recorded(run: Run, scene: str, modified_ns: int, size: tuple[int, int]) -> np.ndarray:
    classes = read_recorded(run, scene, size)
    classes.flags.writeable = False
    return classes


def no_model(run: Run) -> str:
    """Say why a run cannot predict what it was not added with."""
    return f"{run.name} is a run of predictions and has no model: choose a run that has one."
