"""The changes of `augmentation.py`, drawn alike and computed where the network trains: a GPU never waits for them.

All patches go there once, as bytes. What `augmentation.py` does by Pillow is done here by sums and look-ups of
`keras.ops`: values differ by a few of 255 grey values at most, masks not at all.
"""

import math
from collections.abc import Callable
from functools import partial

import keras
import numpy as np
from keras import ops

from segmentation.data.palette import VOID
from segmentation.data.patches import Patches
from segmentation.data.stretch import COLORS
from segmentation.model.losses import Tensor
from segmentation.training.augmentation import Changes, Places, Windows

MOST_BYTES = 4 << 30
"""More patches than this stay in the machine's own memory: the network needs room, too."""


def fits(patches: Patches) -> bool:
    """Tell whether the patches are few enough to lie beside a network."""
    # Pixels are counted by 32 bits there.
    return patches.images.nbytes + patches.masks.nbytes <= MOST_BYTES and patches.masks.size < 2**31


class DevicePatches:
    """Patches that lie where the network trains, and are cut and changed there.

    Args:
        patches: All patches.
        windows: Where their scenes are, and which labels are hidden.
        zoom: The largest window's side is 1 + zoom times a patch's.
    """

    def __init__(self, patches: Patches, windows: Windows, zoom: float) -> None:
        self.windows = windows
        self.size = patches.images.shape[1]
        self.largest = math.ceil(self.size * (1 + zoom))
        masks = patches.masks.copy()
        masks[windows.hidden] = VOID
        self.images = ops.convert_to_tensor(patches.images.reshape(-1, patches.images.shape[-1]))
        self.masks = ops.convert_to_tensor(masks.reshape(-1))
        self._compute = compiled(partial(_compute, size=self.size))

    def batch(self, chosen: np.ndarray, places: Places | None, changes: Changes) -> tuple[Tensor, Tensor]:
        """Return what `Windows.view` and `change` make of the patches `chosen`, on the device.

        Args:
            chosen: (batch,) indices of patches.
            places: The windows to cut; without them the patches as they are.
            changes: How to change them.

        Returns:
            (batch, size, size, bands) and (batch, size, size), uint8.
        """
        windows, size = self.windows, self.size
        if places is None:
            places = Places(windows.row[chosen] * size, windows.column[chosen] * size, np.full(len(chosen), size))
        columns = windows.columns[chosen]
        first = chosen - windows.row[chosen] * columns - windows.column[chosen]
        steps, mask_steps = np.arange(self.largest), np.arange(size)
        sides = places.sides[:, None]
        nearest = ((mask_steps + 0.5) * sides / size).astype(np.int64)
        weights = np.stack([resizing(size, side, self.largest) for side in places.sides])
        blurs = np.stack([blurring(size, radius) for radius in changes.blur]) if changes.blur.any() else None
        steps = np.minimum(steps, sides - 1)
        arguments = (
            first,
            columns,
            places.tops[:, None] + steps,
            places.lefts[:, None] + steps,
            places.tops[:, None] + nearest,
            places.lefts[:, None] + nearest,
        )
        return self._compute(
            self.images,
            self.masks,
            *(ops.convert_to_tensor(argument.astype(np.int32)) for argument in arguments),
            ops.convert_to_tensor(weights),
            None if blurs is None else ops.convert_to_tensor(blurs),
            *(ops.convert_to_tensor(values.astype(np.float32)) for values in changes),
        )


def compiled(function: Callable) -> Callable:
    """Return a function of tensors as the backend runs it fastest: compiled once for each shape."""
    backend = keras.config.backend()
    if backend == "jax":
        import jax

        return jax.jit(function)
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.function(function, reduce_retracing=True)
    import torch

    return torch.no_grad()(function)


def resizing(size: int, side: int, largest: int) -> np.ndarray:
    """Return Pillow's bilinear resizing of `side` pixels to `size` as a matrix (size, largest) float32.

    A triangle as wide as the larger of two neighbouring pixels' distances; columns beyond `side` are 0.
    """
    scale = side / size
    reach = max(scale, 1.0)
    centres = (np.arange(size) + 0.5) * scale
    distances = np.abs(np.arange(largest) + 0.5 - centres[:, None]) / reach
    weights = np.maximum(0, 1 - distances) * (np.arange(largest) < side)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def blurring(size: int, radius: float) -> np.ndarray:
    """Return Pillow's blur along one axis as a matrix (size, size) float32: three running means, edges repeated."""
    # The box whose threefold use has the Gaussian's variance (Gwosdek et al., 2011), as Pillow computes it.
    whole = math.floor((math.sqrt(12 * radius**2 / 3 + 1) - 1) / 2)
    width = 2 * whole + 1
    rest = width * (whole * (whole + 1) - 3 * radius**2 / 3) / (6 * (radius**2 / 3 - (whole + 1) ** 2))
    box = np.zeros((size, size))
    for offset in range(-whole - 1, whole + 2):
        weight = (rest if abs(offset) > whole else 1) / (width + 2 * rest)
        np.add.at(box, (np.arange(size), np.clip(np.arange(size) + offset, 0, size - 1)), weight)
    return np.linalg.matrix_power(box, 3).astype(np.float32)


def _compute(
    images: Tensor,
    masks: Tensor,
    first: Tensor,
    columns: Tensor,
    rows: Tensor,
    lefts: Tensor,
    mask_rows: Tensor,
    mask_lefts: Tensor,
    weights: Tensor,
    blurs: Tensor | None,
    turns: Tensor,
    flipped: Tensor,
    hue: Tensor,
    blur: Tensor,
    gain: Tensor,
    shift: Tensor,
    haze: Tensor,
    size: int,
) -> tuple[Tensor, Tensor]:
    """Cut, resize, turn and change a batch; see `DevicePatches.batch`."""
    del blur  # its matrices say it
    pixels = ops.take(images, _places(first, columns, rows, lefts, size), axis=0)
    labels = ops.take(masks, _places(first, columns, mask_rows, mask_lefts, size), axis=0)
    x = ops.cast(pixels, "float32")
    x = _rounded(ops.einsum("bij,bhjc->bhic", weights, x))  # along rows first, as Pillow does
    x = _rounded(ops.einsum("bij,bjwc->biwc", weights, x))
    x, labels = (_turned(values, turns, flipped) for values in (x, labels))
    if x.shape[-1] == COLORS:
        x = ops.where(_each(hue) == 0, x, _turn_hue(x, hue))
    if blurs is not None:
        x = _rounded(ops.einsum("bij,bhjc->bhic", blurs, x))
        x = _rounded(ops.einsum("bij,bjwc->biwc", blurs, x))
    x = (x - 127.5) * _each(gain) + 127.5 + _each(shift)
    x = x + (255 - x) * _each(haze)
    return ops.cast(ops.floor(ops.clip(x, 0, 255)), "uint8"), labels


def _places(first: Tensor, columns: Tensor, rows: Tensor, lefts: Tensor, size: int) -> Tensor:
    """Return where pixels of scenes are among all patches' pixels, (batch, rows, lefts) int32."""
    patch = first[:, None, None] + (rows // size)[:, :, None] * columns[:, None, None] + (lefts // size)[:, None, :]
    return (patch * size + (rows % size)[:, :, None]) * size + (lefts % size)[:, None, :]


def _each(values: Tensor) -> Tensor:
    """Spread a value a patch over its pixels."""
    return ops.reshape(values, (-1, 1, 1, 1))


def _rounded(x: Tensor) -> Tensor:
    """Round as Pillow does between its steps."""
    return ops.clip(ops.floor(x + 0.5), 0, 255)


def _turned(x: Tensor, turns: Tensor, flipped: Tensor) -> Tensor:
    """Turn each patch counter-clockwise by quarters, then flip it."""

    def where(condition: Tensor, one: Tensor, other: Tensor) -> Tensor:
        return ops.where(ops.reshape(condition, (-1,) + (1,) * (len(x.shape) - 1)), one, other)

    odd = turns % 2 == 1
    upside_down = ops.logical_or(turns == 1, turns == 2)
    mirrored = ops.logical_xor(turns >= 2, flipped == 1)
    x = where(odd, ops.swapaxes(x, 1, 2), x)
    x = where(upside_down, ops.flip(x, axis=1), x)
    return where(mirrored, ops.flip(x, axis=2), x)


def _turn_hue(x: Tensor, share: Tensor) -> Tensor:
    """Turn the hue of (batch, height, width, 3) in whole grey values, by way of Pillow's HSV of 8 bits."""
    most, least = ops.max(x, axis=-1), ops.min(x, axis=-1)
    spread = ops.maximum(most - least, 1)
    red, green, blue = x[..., 0], x[..., 1], x[..., 2]
    sixth = ops.where(
        red == most,
        (green - blue) / spread,
        ops.where(green == most, 2 + (blue - red) / spread, 4 + (red - green) / spread),
    )
    hue = ops.floor(ops.clip((sixth / 6 + 1) % 1 * 255, 0, 255))
    hue = (hue + ops.reshape(ops.round(share * 256), (-1, 1, 1))) % 256
    saturation = ops.floor(255 * (most - least) / ops.maximum(most, 1)) / 255
    sixth = hue * 6 / 255
    sector = ops.floor(sixth)
    part = sixth - sector
    low = ops.round(most * (1 - saturation))
    falling = ops.round(most * (1 - saturation * part))
    rising = ops.round(most * (1 - saturation * (1 - part)))
    sector = sector % 6
    orders = (
        (most, rising, low),
        (falling, most, low),
        (low, most, rising),
        (low, falling, most),
        (rising, low, most),
        (most, low, falling),
    )
    channels = []
    for channel in range(3):
        values = orders[5][channel]
        for number in range(5):
            values = ops.where(sector == number, orders[number][channel], values)
        channels.append(values)
    return ops.clip(ops.stack(channels, axis=-1), 0, 255)
