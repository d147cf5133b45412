"""Changes to training patches that leave a nadir image plausible. Masks follow in place, never in value."""

import numpy as np
from PIL import Image, ImageFilter

from segmentation.data.palette import VOID
from segmentation.data.patches import Patches, join
from segmentation.training.configuration import Configuration

Batch = tuple[np.ndarray, np.ndarray]


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
        """Return image (side, side, 3) and mask (side, side) of a window in the scene of patch `index`, in pixels."""
        size = self.images.shape[1]
        first = index - self.row[index] * self.columns[index] - self.column[index]
        rows = np.arange(top // size, (top + side - 1) // size + 1)
        columns = np.arange(left // size, (left + side - 1) // size + 1)
        among = (first + rows[:, None] * self.columns[index] + columns).ravel()
        window = np.s_[top % size : top % size + side, left % size : left % size + side]
        masks = self.masks[among]  # a copy
        masks[self.hidden[among]] = VOID
        return tuple(join(array, len(rows), len(columns))[window] for array in (self.images[among], masks))

    def draw(self, index: int, configuration: Configuration, rng: np.random.Generator) -> Batch:
        """Return a window at a random place and scale around patch `index`, resized to a patch: masks by nearest."""
        size = self.images.shape[1]
        height, width = self.rows[index] * size, self.columns[index] * size
        reach = np.log1p(configuration.zoom)
        side = min(round(size * np.exp(rng.uniform(-reach, reach))), height, width)
        shift = rng.uniform(-size / 2, size / 2, 2) if configuration.random_windows else (0, 0)
        top = round((self.row[index] + 0.5) * size + shift[0] - side / 2)
        left = round((self.column[index] + 0.5) * size + shift[1] - side / 2)
        image, mask = self.cut(index, min(max(top, 0), height - side), min(max(left, 0), width - side), side)
        if side == size:
            return image, mask
        return (
            np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR)),
            np.asarray(Image.fromarray(mask).resize((size, size), Image.Resampling.NEAREST)),
        )


def augment(images: np.ndarray, masks: np.ndarray, configuration: Configuration, rng: np.random.Generator) -> Batch:
    """Return a batch with each patch turned and its light, colour and sharpness changed as the configuration asks.

    Args:
        images: (batch, size, size, 3) uint8.
        masks: (batch, size, size) uint8, turned with their images.
        configuration: Which changes, and how strong.
        rng: Where chance comes from.

    Returns:
        New arrays of the same shapes and types.
    """
    images, masks = images.copy(), masks.copy()
    for i in range(len(images)):
        if configuration.flips_and_rotations:
            turns, flip = rng.integers(4), rng.integers(2)
            for array in (images, masks):
                turned = np.rot90(array[i], turns)
                array[i] = turned[:, ::-1] if flip else turned
        if configuration.hue:
            images[i] = _turn_hue(images[i], rng.uniform(-configuration.hue, configuration.hue))
        if configuration.blur:
            blurred = Image.fromarray(images[i]).filter(ImageFilter.GaussianBlur(rng.uniform(0, configuration.blur)))
            images[i] = np.asarray(blurred)
        if configuration.brightness or configuration.contrast or configuration.haze:
            gain = 1 + rng.uniform(-configuration.contrast, configuration.contrast)
            shift = 255 * rng.uniform(-configuration.brightness, configuration.brightness)
            # A look-up over the 256 values costs less than arithmetic on every pixel.
            values = (np.arange(256) - 127.5) * gain + 127.5 + shift
            if configuration.haze:
                values += (255 - values) * rng.uniform(0, configuration.haze)
            images[i] = np.clip(values, 0, 255).astype(np.uint8)[images[i]]
    return images, masks


def _turn_hue(image: np.ndarray, share: float) -> np.ndarray:
    """Turn the hue of (height, width, 3) uint8 by a share of the colour circle."""
    hsv = np.array(Image.fromarray(image).convert("HSV"))
    hsv[..., 0] += np.uint8(round(share * 256) % 256)  # wraps around, as hue does
    return np.asarray(Image.fromarray(hsv, "HSV").convert("RGB"))
