"""A trained network, loaded once, for patches and for scenes of any size."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path

import numpy as np

from segmentation.data.stretch import COLORS
from segmentation.errors import RunError
from segmentation.inference.engine import CORES, Engine, bfloat16_engine, load_engine
from segmentation.inference.foreign.computing import foreign_engine
from segmentation.inference.model_file import check_probabilities, loading, refusal, sha256_of
from segmentation.inference.options import PLAIN, Inference
from segmentation.inference.prediction import Prediction, choose_classes
from segmentation.inference.windows import mirrored, windows_along
from segmentation.runs.run import ADAPTER, CONFIG, Run

BATCH = 4
"""Patches in a batch: larger ones are no faster on a CPU, and take more memory."""

WIDE = 2
"""Overlapping windows are so many times as wide as a patch: as exact as narrow ones that overlap more, and faster."""


class Predictor:
    """A network ready to predict.

    Args:
        path: A run's model: a ``.keras`` file of ours, or the ``model.toml`` of one from elsewhere.
        bfloat16: Compute with numbers of 16 bits: faster and less exact, as `bfloat16_engine` says.

    Attributes:
        patch_size: Side of its patches, in pixels.
        bands: Of the images that it sees, as the run's stretch has them read.
        classes: How many it knows.
        gives_probabilities: Whether it tells how probable each class is, as a model that only names classes does not.

    Raises:
        RunError: If the file cannot be loaded as a model that maps square patches to class probabilities, or is not
            the one that the run's config.json beside it describes.
        BackendError: If what computes it is not installed, or cannot on this machine.
    """

    def __init__(self, path: Path, bfloat16: bool = False) -> None:
        with loading(path):
            engine = _engine(path, bfloat16)
        self.patch_size, _, self.bands = engine.input_shape
        self.classes = engine.output_shape[-1]
        self.gives_probabilities = engine.gives_probabilities
        self._forward = engine.forward
        self._wide = WIDE * self.patch_size if engine.any_size else engine.window
        # One for all who predict: more batches at once would only take more memory.
        self._pool = ThreadPoolExecutor(CORES)

    def batches(
        self, images: Iterable[np.ndarray], tta: bool = False, of_scenes: Iterable[int] | None = None
    ) -> Iterator[np.ndarray]:
        """Yield class probabilities (batch, size, size, classes) float32, for one batch after the other.

        Args:
            images: Patches, (size, size, bands) uint8.
            tta: Test-time augmentation: predict each patch in its eight flips and rotations and average. Eight times
                the time.
            of_scenes: How many of them each scene has. No batch then has patches of two scenes: probabilities depend in
                their last digit on the number of images in a batch, and so are the same whichever scenes are predicted.

        Raises:
            RunError: If they have another number of bands.
        """
        images = iter(images)
        scenes = (islice(images, count) for count in of_scenes) if of_scenes is not None else (images,)
        return self._compute(self._forward, (batch for scene in scenes for batch in _batched(scene, BATCH)), tta)

    def check_thresholds(self, inference: Inference) -> None:
        """Refuse thresholds where the model only names classes.

        Raises:
            RunError: If so.
        """
        if inference.thresholds and not self.gives_probabilities:
            raise RunError("The model names classes and gives no probabilities: predict without thresholds.")

    def _compute(
        self, forward: Callable[[np.ndarray], np.ndarray], batches: Iterable[list[np.ndarray]], tta: bool
    ) -> Iterator[np.ndarray]:
        """Yield what the network makes of batches of images, in their order, on all cores."""
        compute = partial(self._all_ways_up, forward) if tta else forward
        under_way: deque[Future[np.ndarray]] = deque()
        try:
            for batch in batches:
                under_way.append(self._pool.submit(compute, np.stack([self._seen(image) for image in batch])))
                if len(under_way) > CORES:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            for future in under_way:  # whoever asked has gone
                future.cancel()

    def _seen(self, image: np.ndarray) -> np.ndarray:
        """Return (size, size, bands) as the network sees it: those of early runs saw one band three times."""
        bands = image.shape[-1]
        if bands != self.bands and (bands, self.bands) != (1, COLORS):
            raise RunError(f"The network sees images of {self.bands} bands, not {bands}: choose a run for such images.")
        return np.broadcast_to(image, (*image.shape[:-1], self.bands))

    def _all_ways_up(self, forward: Callable[[np.ndarray], np.ndarray], images: np.ndarray) -> np.ndarray:
        """Return the mean of what is predicted for each flip and rotation, turned back."""
        total = np.zeros((*images.shape[:3], self.classes), np.float32)
        for turns in range(4):
            turned = np.rot90(images, turns, axes=(1, 2))
            total += np.rot90(forward(turned), -turns, axes=(1, 2))
            total += np.rot90(forward(turned[:, :, ::-1])[:, :, ::-1], -turns, axes=(1, 2))
        return total / 8

    def strips(
        self,
        read: Callable[[int, int], np.ndarray],
        height: int,
        width: int,
        inference: Inference = PLAIN,
        offset: tuple[int, int] = (0, 0),
        progress: Callable[[int, int], None] | None = None,
    ) -> Iterator[np.ndarray]:
        """Yield class probabilities of an image of any size, strip by strip from its top.

        Where windows overlap, predictions are averaged, each the less the nearer the pixel is to the window's edge;
        beyond the image they see its mirror image. Without overlap, and in an image no larger than a patch, they are
        patches, else `WIDE` times as wide if the network allows, or what a model from elsewhere wants.

        Args:
            read: From the first row and the row after the last to those rows of the image, (rows, width, bands) uint8.
            height: Of the image, in pixels.
            width: Of the image, in pixels.
            inference: The overlap of the windows, and whether to predict with test-time augmentation; thresholds are
                for those who choose classes.
            offset: Pixels by which the windows begin further up and left than necessary.
            progress: Called with (windows done, windows) after every batch.

        Yields:
            (rows, width, classes) float32; the rows of all strips are those of the image.

        Raises:
            RunError: If the image has another number of bands, or thresholds are given for what is not known.
        """
        self.check_thresholds(inference)
        size, overlap, forward, count = self._windows(height, width, inference.overlap)
        down = windows_along(height, size, overlap, offset[0])
        right = windows_along(width, size, overlap, offset[1])
        lefts = right.starts - right.starts[0]
        columns = mirrored(right.starts[:, None] + np.arange(size), width)
        weights = down.weights[:, None, None] * right.weights[:, None]

        def windows() -> Iterator[np.ndarray]:
            for top in down.starts:
                rows = mirrored(np.arange(top, top + size), height)
                first = rows.min()
                strip = read(first, rows.max() + 1)[rows - first]
                yield from (strip[:, across] for across in columns)

        done = 0
        # What the windows of a row add up to, and those of the row before where the two overlap.
        sums = np.zeros((size, lefts[-1] + size, self.classes), np.float32)
        for batch in self._compute(forward, _batched(windows(), count), inference.tta):
            for probabilities in batch:
                row, column = divmod(done, len(lefts))
                sums[:, lefts[column] : lefts[column] + size] += probabilities * weights
                done += 1
                if column == len(lefts) - 1:
                    top = down.starts[row]
                    ready = slice(max(0, -top), min(down.stride, height - top))  # no later window reaches these rows
                    if ready.start < ready.stop:
                        yield sums[ready, -right.starts[0] : width - right.starts[0]].copy()
                    sums[: down.overlap] = sums[down.stride :]
                    sums[down.overlap :] = 0
            if progress:
                progress(done, len(down.starts) * len(lefts))

    def _windows(
        self, height: int, width: int, overlap: float
    ) -> tuple[int, float, Callable[[np.ndarray], np.ndarray], int]:
        """Return a window's side, its share in common with the next, what computes it, and how many at a time."""
        if overlap and max(height, width) > self.patch_size and self._wide:
            larger = self._wide / self.patch_size
            return self._wide, overlap / larger, self._forward, max(1, int(BATCH / larger**2))
        return self.patch_size, overlap, self._forward, BATCH

    def window(self, height: int, width: int, overlap: float) -> tuple[int, int]:
        """Return the side of the windows over an image, and how far it is from one to the next, in pixels.

        Args:
            height: Of the image, in pixels.
            width: Likewise.
            overlap: As in `strips`.
        """
        size, overlap, *_ = self._windows(height, width, overlap)
        return size, windows_along(width, size, overlap).stride

    def scene_classes(
        self,
        image: np.ndarray,
        inference: Inference = PLAIN,
        progress: Callable[[int, int], None] | None = None,
    ) -> np.ndarray:
        """Return class indices (height, width) uint8: what `scene` does, without the memory for probabilities.

        Args:
            image: (height, width, bands) uint8.
            inference: As in `strips`.
            progress: As in `strips`.
        """
        height, width = image.shape[:2]
        strips = self.strips(lambda top, end: image[top:end], height, width, inference, progress=progress)
        return np.concatenate([choose_classes(strip, inference.thresholds)[0] for strip in strips])

    def scene(
        self,
        image: np.ndarray,
        inference: Inference = PLAIN,
        progress: Callable[[int, int], None] | None = None,
        with_probabilities: bool = True,
    ) -> Prediction:
        """Predict an image of any size that fits into memory, as `strips` does.

        Args:
            image: (height, width, bands) uint8.
            inference: As in `strips`.
            progress: Called with (windows done, windows) after every batch.
            with_probabilities: Keep those of every class. Without them a pixel takes three bytes, not five and two per
                class.
        """
        height, width = image.shape[:2]
        classes = np.empty((height, width), np.uint8)
        confidence = of_classes = None
        if self.gives_probabilities:
            confidence = np.empty((height, width), np.float32 if with_probabilities else np.float16)
            of_classes = np.empty((height, width, self.classes), np.float16) if with_probabilities else None
        done = 0
        for strip in self.strips(lambda top, end: image[top:end], height, width, inference, progress=progress):
            here = slice(done, done + len(strip))
            classes[here], sure = choose_classes(strip, inference.thresholds)
            if confidence is not None:
                confidence[here] = sure
            if of_classes is not None:
                # Half precision has slow numbers below its smallest normal one: those are 0 here.
                of_classes[here] = np.where(strip < np.finfo(np.float16).tiny, 0, strip)
            done += len(strip)
        return Prediction(classes, confidence, of_classes)


def _batched(images: Iterable[np.ndarray], count: int) -> Iterator[list[np.ndarray]]:
    """Yield so many images at a time."""
    images = iter(images)
    while batch := list(islice(images, count)):
        yield batch


@lru_cache(1)
def kept_predictor(path: Path, digest: str, bfloat16: bool) -> Predictor:
    """Return a network as `Predictor` does, the last one without loading it again.

    Args:
        path: As for `Predictor`.
        digest: The file's SHA-256: another content is another network.
        bfloat16: As for `Predictor`.

    Raises:
        RunError: If the file's content is another here, as it may be on another machine; or as `Predictor` does.
        BackendError: As `Predictor` does.
    """
    if sha256_of(path) != digest:
        raise RunError(f"{path} is another file on this machine: let all machines see the same folder of runs.")
    return Predictor(path, bfloat16)


def _engine(path: Path, bfloat16: bool) -> Engine:
    """Return what computes a run's model, once it has been looked at."""
    if path.name == ADAPTER:
        if bfloat16:
            raise RunError(f"The model of {path.parent.name} cannot be computed in bfloat16: predict without it.")
        return foreign_engine(path)
    check = partial(_check, path, tolerance=0.05 if bfloat16 else 0.01)
    return bfloat16_engine(path, check) if bfloat16 else load_engine(path, check)


def _check(path: Path, engine: Engine, tolerance: float) -> None:
    """Refuse a network that does not map square patches to the probabilities of the classes that its run has.

    Args:
        path: Its ``.keras`` file.
        engine: What computes it.
        tolerance: As in `check_probabilities`.

    Raises:
        RunError: If so.
    """
    height, width, bands = engine.input_shape
    *size, classes = engine.output_shape
    run = Run(path.parent)
    read = run.stretch.channels if run.stretch else COLORS
    fits = bands == read or (read, bands) == (1, COLORS)  # early runs saw one band three times
    if not (fits and height and classes and [height, height] == [height, width] == size):
        patches = "RGB patches" if read == COLORS else f"patches of {read} bands"
        raise refusal(
            path,
            f"it maps {_shape(engine.input_shape)} to {_shape(engine.output_shape)}, not square {patches} to "
            "probabilities of the same size",
        )
    noise = np.random.default_rng(0).integers(0, 256, (1, height, height, bands), dtype=np.uint8)
    check_probabilities(path, engine.forward(noise), tolerance)
    if run.palette and (height, classes) != (run.patch_size, len(run.palette)):
        raise RunError(
            f"{path.name} of {run.name} has {classes} classes and patches of {height} px, its {CONFIG} says "
            f"{len(run.palette)} and {run.patch_size}: put the file there that belongs to it."
        )


def _shape(lengths: tuple[int, ...]) -> str:
    """Write a shape out, width before height; what may be any is named so."""
    height, width, *channels = lengths if len(lengths) == 3 else (None, *lengths)
    return " × ".join(str(length or "any") for length in (width, height, *channels))
