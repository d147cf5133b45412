"""Arrays in, pictures out: overlays, grids, thumbnails and rows of pictures (no Streamlit)."""

from collections.abc import Collection, Sequence

import numpy as np
from PIL import Image

from segmentation.data.palette import Palette
from segmentation.data.patches import grid

LONGEST = 1400
"""Longest side of a picture sent to the browser, in pixels: Streamlit would smooth larger ones."""


def fit(pixels: np.ndarray, longest: int = LONGEST, smooth: bool = False) -> np.ndarray:
    """Shrink a picture so that its longer side is at most `longest` pixels; smaller ones are left alone.

    Args:
        pixels: (height, width, 3) uint8.
        longest: In pixels.
        smooth: Average, for photographs. Masks keep hard edges: each pixel shown is a pixel of the mask.
    """
    height, width = pixels.shape[:2]
    if max(height, width) <= longest:
        return pixels
    scale = longest / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(
        Image.fromarray(pixels).resize(size, Image.Resampling.BOX if smooth else Image.Resampling.NEAREST)
    )


def overlay(
    image: np.ndarray,
    indices: np.ndarray,
    palette: Palette,
    opacity: float,
    classes: Collection[int] | None = None,
) -> np.ndarray:
    """Lay class colours over an image.

    Args:
        image: (height, width, 3) uint8.
        indices: (height, width) uint8 class indices; void is laid over in black.
        palette: The classes' colours.
        opacity: 0 shows the image, 1 the mask.
        classes: The class indices to show; all by default.

    Returns:
        (height, width, 3) uint8.
    """
    colors = palette.decode(indices).astype(np.float32)
    weight = np.full(256, opacity, np.float32)
    if classes is not None:
        weight[[index for index in range(len(palette)) if index not in classes]] = 0
    weight = weight[indices][..., None]
    return (image * (1 - weight) + colors * weight + 0.5).astype(np.uint8)


def draw_patch_grid(image: np.ndarray, size: int) -> np.ndarray:
    """Return a copy with the patches' borders drawn and the strips that cropping drops faded.

    Args:
        image: (height, width, 3) uint8.
        size: Side of a patch, in pixels.
    """
    height, width = image.shape[:2]
    rows, columns = grid(height, width, size)
    drawn = image.copy()
    line = max(1, round(max(height, width) / 300))
    for row in range(1, rows + 1):
        drawn[row * size - line : row * size, : columns * size] = 255
    for column in range(1, columns + 1):
        drawn[: rows * size, column * size - line : column * size] = 255
    for strip in (np.s_[rows * size :, :], np.s_[: rows * size, columns * size :]):
        drawn[strip] = drawn[strip] // 4 + 168
    return drawn


def in_a_row(pictures: Sequence[np.ndarray], gap: int = 6) -> np.ndarray:
    """Put pictures of one height side by side with a transparent gap: (height, width, 4) uint8.

    Args:
        pictures: (height, width, 3) uint8 each, all of one height.
        gap: In pixels.
    """
    height = pictures[0].shape[0]
    spacer = np.zeros((height, gap, 4), np.uint8)
    row = []
    for picture in pictures:
        row += [np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)]), spacer]
    return np.hstack(row[:-1])
