"""What a model from elsewhere makes of images of any size, by its adapter: bytes in, probabilities out."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from segmentation.data.locate import allowed_folders, check_allowed
from segmentation.errors import RunError
from segmentation.inference.engine import Engine
from segmentation.inference.foreign.adapter import Adapter, read_adapter
from segmentation.inference.foreign.files import sha256_of_model, unusable
from segmentation.inference.foreign.opened import Opened, open_model
from segmentation.inference.model_file import LARGEST_OUTPUT
from segmentation.inference.windows import mirrored, windows_along
from segmentation.runs.run import Run

OVERLAP = 0.25
"""What the windows of a model of one size have in common within a larger image."""

AT_ONCE = 4
"""Images that a model computes at once, unless it takes another number."""

LARGEST_FIXED = 512
"""Pixels: a model of one square size gets patches of it up to here."""

Forward = Callable[[np.ndarray], np.ndarray]
"""From (batch, height, width, bands) uint8 to (batch, height, width, classes) float32."""


def patch_size_for(shape_height: int, shape_width: int, default: int) -> int:
    """Return the side of the patches by which a model is scored, in pixels.

    Args:
        shape_height: Of the images that it takes; 0 for any.
        shape_width: Likewise.
        default: The side where the model does not say.
    """
    return shape_height if 0 < shape_height == shape_width <= LARGEST_FIXED else default


def as_input(images: np.ndarray, adapter: Adapter, dtype: np.dtype) -> np.ndarray:
    """Return images as a model wants them.

    Args:
        images: (batch, height, width, bands) uint8.
        adapter: How it wants them.
        dtype: Of its images.
    """
    if adapter.order == "bgr":
        images = images[..., ::-1]
    if dtype.kind in "iu":
        values = images.astype(dtype)
    else:
        scaled = images.astype(np.float32)
        if adapter.scale != "0-255":
            scaled *= 1 / 255 if adapter.scale == "0-1" else 2 / 255
        if adapter.scale == "-1-1":
            scaled -= 1
        if adapter.mean:
            scaled -= np.array(adapter.mean, np.float32)
        if adapter.deviation:
            scaled /= np.array(adapter.deviation, np.float32)
        values = scaled.astype(dtype, copy=False)
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2) if adapter.layout == "nchw" else values)


def channels_last(output: np.ndarray, adapter: Adapter, height: int, width: int) -> np.ndarray | None:
    """Return what a model gives as (batch, rows, columns, channels); None if it is no map of its classes.

    Args:
        output: For a batch of images; the map may be smaller than these by a whole factor.
        adapter: Its classes, and where the bands stand in its images, as the channels then do in its output.
        height: Of the images, in pixels.
        width: Likewise.
    """
    if output.ndim == 3:
        output = output[..., None]
        turns = [output]
    elif output.ndim == 4:
        turns = [output, output.transpose(0, 2, 3, 1)]
        turns = turns[::-1] if adapter.layout == "nchw" else turns
    else:
        return None
    channels = (1,) if output.ndim == 3 or output.dtype.kind in "iu" else (len(adapter.classes), 1)
    for turned in turns:
        _, rows, columns, depth = turned.shape
        sized = 0 < rows <= height and rows * width == columns * height and height % rows == 0
        if sized and depth in channels:
            return turned
    return None


def as_probabilities(output: np.ndarray, adapter: Adapter) -> np.ndarray:
    """Return class probabilities (batch, rows, columns, classes) float32.

    Args:
        output: (batch, rows, columns, channels) as `channels_last` returns it: one channel is the class's index, or
            says of two classes how probable the second is.
        adapter: What it means.
    """
    count = len(adapter.classes)
    if adapter.output == "classes":
        return (output == np.arange(count)).astype(np.float32)
    values = output.astype(np.float32)
    if values.shape[-1] == 1 and count > 1:
        second = values if adapter.output == "probabilities" else _sigmoid(values)
        return np.concatenate([1 - second, second], -1)
    if adapter.output == "probabilities":
        total = values.sum(-1, keepdims=True)  # other than 1 where each class has a sigmoid of its own
        return np.divide(values, total, out=np.full_like(values, 1 / count), where=total > 0)
    values -= values.max(-1, keepdims=True)
    np.exp(values, out=values)
    return values / values.sum(-1, keepdims=True)


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return np.where(values < 0, np.exp(np.minimum(values, 0)), 1) / (1 + np.exp(-np.abs(values)))


def enlarged(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return (batch, rows, columns, channels) float32 enlarged to a height and width, bilinearly between pixels."""
    for axis, length in ((1, height), (2, width)):
        had = values.shape[axis]
        if had != length:
            places = np.clip((np.arange(length) + 0.5) * had / length - 0.5, 0, had - 1)
            low = places.astype(int)
            share = (places - low).astype(np.float32).reshape((-1,) + (1,) * (3 - axis))
            above = values.take(np.minimum(low + 1, had - 1), axis)
            values = values.take(low, axis) * (1 - share) + above * share
    return values


def forward_of(opened: Opened, adapter: Adapter) -> Forward:
    """Return what a model makes of images of any size: those that it does not take are windowed, blended and filled up.

    Raises:
        RunError: When it is called, if the model does not give a map of its classes.
    """

    def fitting(images: np.ndarray) -> np.ndarray:
        height, width = images.shape[1:3]
        output = compute(opened, as_input(images, adapter, opened.dtype))
        turned = channels_last(output, adapter, height, width)
        if turned is None or not np.isfinite(output).all():
            raise no_map(opened, adapter, output)
        if adapter.output == "classes":
            turned = turned.repeat(height // turned.shape[1], 1).repeat(width // turned.shape[2], 2)
            return as_probabilities(turned, adapter)
        # Logits are enlarged, as their makers do, and probabilities made of them then.
        return as_probabilities(enlarged(turned.astype(np.float32), height, width), adapter)

    def forward(images: np.ndarray) -> np.ndarray:
        return _in_windows(fitting, images, *window_of(adapter, *images.shape[1:3]), len(adapter.classes))

    return forward


def window_of(adapter: Adapter, height: int, width: int) -> tuple[int, int]:
    """Return the size (height, width) of the windows by which a model sees an image of a size."""
    if adapter.height:
        return adapter.height, adapter.width
    return -(-height // adapter.divisor) * adapter.divisor, -(-width // adapter.divisor) * adapter.divisor


def no_map(opened: Opened, adapter: Adapter, output: np.ndarray) -> RunError:
    """Return the error that says what a model gives in place of a map of its classes."""
    if output.dtype.kind == "f" and not np.isfinite(output).all():
        return unusable(opened.file, "it gives values that are no numbers")
    shape = " × ".join(map(str, output.shape))
    return unusable(
        opened.file,
        f"it gives {shape} values, no map of the {len(adapter.classes)} classes {', '.join(adapter.classes)}: name its "
        "own classes, in its order (on the command line by --adapter classes=…)",
    )


def compute(opened: Opened, batch: np.ndarray) -> np.ndarray:
    """Return what a model gives for a batch of any number of its images, as many at once as it takes.

    Raises:
        RunError: If it gives more than any map of classes has.
    """
    count = opened.shape[0] or min(AT_ONCE, len(batch))
    outputs = []
    for begin in range(0, len(batch), count):
        piece = batch[begin : begin + count]
        if len(piece) < opened.shape[0]:
            piece = np.concatenate([piece, np.repeat(piece[-1:], count - len(piece), 0)])
        output = opened.run(piece)
        if not isinstance(output, np.ndarray) or output.size > LARGEST_OUTPUT * count or len(output) != len(piece):
            raise unusable(opened.file, "it does not give a map of classes for each image")
        outputs.append(output)
    return np.concatenate(outputs)[: len(batch)]


def _in_windows(fitting: Forward, images: np.ndarray, height: int, width: int, classes: int) -> np.ndarray:
    """Return the probabilities of images out of windows of one size over each, blended where they overlap."""
    count, rows, columns = images.shape[:3]
    if (rows, columns) == (height, width):
        return fitting(images)
    down, right = windows_along(rows, height, OVERLAP), windows_along(columns, width, OVERLAP)
    weights = (down.weights[:, None, None] * right.weights[:, None]).astype(np.float32)
    total = np.zeros((count, rows, columns, classes), np.float32)
    for top in down.starts:
        for left in right.starts:
            y, x = mirrored(top + np.arange(height), rows), mirrored(left + np.arange(width), columns)
            probabilities = fitting(images[:, y[:, None], x]) * weights
            at_y, at_x = (slice(max(0, at), at + side) for at, side in ((top, height), (left, width)))
            there = total[:, at_y, at_x]
            inside = slice(at_y.start - top, at_y.start - top + there.shape[1])
            there += probabilities[:, inside, at_x.start - left : at_x.start - left + there.shape[2]]
    return total


def foreign_engine(path: Path) -> Engine:
    """Return the model of a run folder that an adapter speaks of.

    Args:
        path: The run's ``model.toml``.

    Raises:
        RunError: If the adapter or the model cannot be read, or they and the run's classes do not belong together.
        NotAllowedError: If the model was too large to be copied, and does not lie in a folder that may be read.
        BackendError: If it is a Keras file, and Keras cannot be loaded.
    """
    adapter, run = read_adapter(path), Run(path.parent)
    file = path.parent / adapter.file
    if Path(adapter.file).is_absolute():  # one of more than 2 GB
        check_allowed(file, allowed_folders(private=True))
    elif file.parent != path.parent:
        raise unusable(file, f"{path.name} of {run.name} names it, and it does not lie beside that")
    opened = open_model(file)
    if sha256_of_model(file) != adapter.sha256:
        raise unusable(file, f"it is not the one that was added as {run.name}: add it as a new run")
    if run.palette and run.palette.names != adapter.classes:
        raise unusable(file, f"{path.name} of {run.name} names other classes than its config.json")
    engine = engine_of(opened, adapter, run.patch_size)
    engine.forward(np.zeros((1, *engine.input_shape), np.uint8))  # what it cannot compute shows here, not later
    return engine


def engine_of(opened: Opened, adapter: Adapter, patch_size: int) -> Engine:
    """Return a model as an engine for patches of a size, in pixels."""
    window = max(adapter.height, adapter.width)
    shape = (patch_size, patch_size, adapter.bands)
    output_shape = (patch_size, patch_size, len(adapter.classes))
    wide = window if window > patch_size else 0
    return Engine(shape, output_shape, forward_of(opened, adapter), not window, wide, adapter.output != "classes")
