"""Where the windows over a scene of any size lie, and how much each of their pixels counts (no TensorFlow)."""

from typing import NamedTuple

import numpy as np

from segmentation.errors import ConfigurationError


class Axis(NamedTuple):
    """Windows along one side of an image, each overlapping the next.

    The first begins before the image and the last ends behind it: what they see there is the image's mirror image.

    Args:
        length: Of the image, in pixels.
        size: Of a window.
        overlap: Of a window with the next, up to half of it.
        offset: How much earlier than necessary the first window begins, below ``size - overlap``.
    """

    length: int
    size: int
    overlap: int
    offset: int = 0

    @property
    def stride(self) -> int:
        """Pixels from a window to the next."""
        return self.size - self.overlap

    @property
    def starts(self) -> np.ndarray:
        """(windows,) first pixel of each window, negative before the image."""
        before = self.overlap + self.offset
        return np.arange(-before, self.length, self.stride)[: -(-(self.length + before) // self.stride)]

    @property
    def weights(self) -> np.ndarray:
        """(size,) float32: 1, rising and falling along half a cosine where windows overlap: all pixels' sum is 1."""
        rise = np.sin(np.pi / 2 * (np.arange(self.overlap) + 0.5) / max(1, self.overlap)) ** 2
        return np.concatenate([rise, np.ones(self.size - 2 * self.overlap), rise[::-1]]).astype(np.float32)


def windows_along(length: int, size: int, overlap: float, offset: int = 0) -> Axis:
    """Return the windows along a side of an image; one where it is no longer than a window.

    Args:
        length: Of the image, in pixels.
        size: Of a window, in pixels.
        overlap: Share of a window that it has in common with the next, 0 to 0.5.
        offset: How much earlier than necessary the first window begins, in pixels.

    Raises:
        ConfigurationError: If the overlap is out of range.
    """
    check_overlap(overlap)
    if length <= size:
        return Axis(length, size, 0)
    pixels = min(round(size * overlap), size // 2)  # rounded up, half of an odd size would be more than half
    return Axis(length, size, pixels, offset % (size - pixels))


def check_overlap(overlap: float) -> None:
    """Refuse an overlap that windows cannot have.

    Raises:
        ConfigurationError: If it is not from 0 to 0.5.
    """
    if not 0 <= overlap <= 0.5:
        raise ConfigurationError(f"Expected an overlap from 0 to 0.5. Received: {overlap}")


def mirrored(indices: np.ndarray, length: int) -> np.ndarray:
    """Return indices within 0 to length − 1: those outside are mirrored at the image's edge, as often as needed."""
    turned = indices % (2 * length)
    return np.where(turned < length, turned, 2 * length - 1 - turned)
