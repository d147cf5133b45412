"""Changes to training patches that leave a nadir image plausible. Masks follow in place, never in value."""

from collections.abc import Callable
from operator import methodcaller
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from segmentation.configuration import Configuration
from segmentation.data.palette import VOID
from segmentation.data.patches import Patches, join
from segmentation.data.stretch import COLORS

Batch = tuple[np.ndarray, np.ndarray]


class Places(NamedTuple):
    """Where a window lies in the scene of each patch of a batch, (batch,) int each, in pixels."""

    tops: np.ndarray
    lefts: np.ndarray
    sides: np.ndarray


class Windows:
    """Square windows into the scenes around patches, instead of the patches on their grid.

    A window stays within its scene, and labels of patches that are not trained on are void in it.

    Args:
        patches: All patches, scene by scene, row by row.
        part: (n,) indices of the patches to train on.
    """

    def __init__(self, patches: Patches, part: np.ndarray) -> None:
        self.images, self.masks = patches.images, patches.masks
        self.hidden = np.ones(len(patches.masks), bool)
        self.hidden[part] = False
        self.row, self.column = (patches.table[name].to_numpy() for name in ("row", "column"))
        scenes = patches.table.groupby("scene", sort=False)
        self.rows, self.columns = (scenes[name].transform("max").to_numpy() + 1 for name in ("row", "column"))

    def cut(self, index: int, top: int, left: int, side: int) -> Batch:
        """Return image (side, side, bands) and mask (side, side) of a window in the scene of patch `index`."""
        size = self.images.shape[1]
        first = index - self.row[index] * self.columns[index] - self.column[index]
        rows = np.arange(top // size, (top + side - 1) // size + 1)
        columns = np.arange(left // size, (left + side - 1) // size + 1)
        among = (first + rows[:, None] * self.columns[index] + columns).ravel()
        window = np.s_[top % size : top % size + side, left % size : left % size + side]
        masks = self.masks[among]  # a copy
        masks[self.hidden[among]] = VOID
        image, mask = (join(array, len(rows), len(columns))[window] for array in (self.images[among], masks))
        return image, mask

    def place(self, indices: np.ndarray, configuration: Configuration, rng: np.random.Generator) -> Places:
        """Draw a window at a random place and scale around each of the patches `indices`, within its scene."""
        size, count = self.images.shape[1], len(indices)
        height, width = self.rows[indices] * size, self.columns[indices] * size
        reach = np.log1p(configuration.zoom)
        sides = np.rint(size * np.exp(rng.uniform(-reach, reach, count))).astype(int)
        sides = np.minimum(sides, np.minimum(height, width))
        shift = rng.uniform(-size / 2, size / 2, (2, count)) if configuration.random_windows else np.zeros((2, count))
        tops = np.rint((self.row[indices] + 0.5) * size + shift[0] - sides / 2).astype(int)
        lefts = np.rint((self.column[indices] + 0.5) * size + shift[1] - sides / 2).astype(int)
        return Places(np.clip(tops, 0, height - sides), np.clip(lefts, 0, width - sides), sides)

    def view(self, index: int, top: int, left: int, side: int) -> Batch:
        """Return a window as `cut` does, resized to a patch: masks by nearest."""
        size = self.images.shape[1]
        image, mask = self.cut(index, top, left, side)
        if side == size:
            return image, mask
        return (
            _by_pillow(image, methodcaller("resize", (size, size), Image.Resampling.BILINEAR)),
            np.asarray(Image.fromarray(mask).resize((size, size), Image.Resampling.NEAREST)),
        )

    def draw(self, index: int, configuration: Configuration, rng: np.random.Generator) -> Batch:
        """Return a window at a random place and scale around patch `index`, resized to a patch."""
        places = self.place(np.array([index]), configuration, rng)
        return self.view(index, *(int(values[0]) for values in places))


class Changes(NamedTuple):
    """How each patch of a batch is changed, (batch,) each; what would change nothing is 0, and 1 for `gain`.

    Args:
        turns: Quarter turns, counter-clockwise.
        flipped: 1 where left and right change places after that.
        hue: Share of the colour circle by which colours turn; images of other than three bands keep theirs.
        blur: Radius of a Gaussian, in pixels.
        gain: Factor about mid-grey.
        shift: Added after that, in grey values.
        haze: Share of white blended in after that.
    """

    turns: np.ndarray
    flipped: np.ndarray
    hue: np.ndarray
    blur: np.ndarray
    gain: np.ndarray
    shift: np.ndarray
    haze: np.ndarray


def draw_changes(count: int, configuration: Configuration, rng: np.random.Generator) -> Changes:
    """Draw for so many patches, within what the configuration asks for."""
    turning = int(configuration.flips_and_rotations)
    return Changes(
        turns=turning * rng.integers(4, size=count),
        flipped=turning * rng.integers(2, size=count),
        hue=rng.uniform(-configuration.hue, configuration.hue, count),
        blur=rng.uniform(0, configuration.blur, count),
        gain=1 + rng.uniform(-configuration.contrast, configuration.contrast, count),
        shift=255 * rng.uniform(-configuration.brightness, configuration.brightness, count),
        haze=rng.uniform(0, configuration.haze, count),
    )


def augment(images: np.ndarray, masks: np.ndarray, configuration: Configuration, rng: np.random.Generator) -> Batch:
    """Return a batch with each patch turned and its light, colour and sharpness changed as the configuration asks.

    Args:
        images: (batch, size, size, bands) uint8.
        masks: (batch, size, size) uint8, turned with their images.
        configuration: Which changes, and how strong.
        rng: Where chance comes from.

    Returns:
        New arrays of the same shapes and types.
    """
    return change(images, masks, draw_changes(len(images), configuration, rng))


def change(images: np.ndarray, masks: np.ndarray, changes: Changes) -> Batch:
    """Return a batch changed as drawn, in new arrays."""
    images, masks = images.copy(), masks.copy()
    for i, (turns, flipped, hue, blur, *light) in enumerate(zip(*changes, strict=True)):
        if turns or flipped:
            for array in (images, masks):
                turned = np.rot90(array[i], turns)
                array[i] = turned[:, ::-1] if flipped else turned
        if hue and images.shape[-1] == COLORS:
            images[i] = _turn_hue(images[i], hue)
        if blur:
            images[i] = _by_pillow(images[i], methodcaller("filter", ImageFilter.GaussianBlur(float(blur))))
        if light != [1, 0, 0]:
            images[i] = relit(*light)[images[i]]
    return images, masks


def relit(gain: float, shift: float, haze: float) -> np.ndarray:
    """Return what becomes of each of the 256 values, uint8: a look-up costs less than arithmetic on every pixel."""
    values = (np.arange(256) - 127.5) * gain + 127.5 + shift
    values += (255 - values) * haze
    return np.clip(values, 0, 255).astype(np.uint8)


def _by_pillow(image: np.ndarray, change: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    """Return (height, width, bands) uint8 as Pillow changes it, each band alike; Pillow knows no more than three."""
    if image.shape[-1] == COLORS:
        return np.asarray(change(Image.fromarray(image)))
    return np.stack([np.asarray(change(Image.fromarray(band))) for band in np.moveaxis(image, -1, 0)], axis=-1)


def _turn_hue(image: np.ndarray, share: float) -> np.ndarray:
    """Turn the hue of (height, width, 3) uint8 by a share of the colour circle."""
    hsv = np.array(Image.fromarray(image).convert("HSV"))
    hsv[..., 0] += np.uint8(round(share * 256) % 256)  # wraps around, as hue does
    return np.asarray(Image.fromarray(hsv, "HSV").convert("RGB"))
