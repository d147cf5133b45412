"""Which bands of an image are read and shown, and how values of more than 8 bits become grey values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

PERCENTILES = (2, 98)
"""Of a band's values: they become 0 and 255."""

MOST_BANDS = 12
"""Bands that a network sees at most: those of Sentinel-2 without the one for clouds."""

COLORS = 3
"""Bands of an image where nobody has chosen any: red, green and blue, all the same if it is grey."""


@dataclass(frozen=True)
class Stretch:
    """Which bands are read, and what becomes of their values: linear between two of each band, which become 0 and 255.

    Args:
        low: One value per band: of those chosen, of red, green and blue, or of grey.
        high: Likewise, above the low one.
        bands: The bands, counted from 1; empty for those that a file's tags say, or its first three.
        shown: Those of the chosen bands that people see as red, green and blue, or the one that they see as grey;
            empty for the first three, or for the first one of two.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    bands: tuple[int, ...] = ()
    shown: tuple[int, ...] = ()

    @classmethod
    def of(cls, samples: Sequence[np.ndarray], bands: tuple[int, ...] = (), shown: tuple[int, ...] = ()) -> "Stretch":
        """Return the stretch between the `PERCENTILES` of some images' values.

        Args:
            samples: (bands, …) float64 each, of the same number of bands, not-a-number where there is no data.
            bands: The bands' numbers, where somebody has chosen them.
            shown: Those of them that are shown.
        """
        limits = []
        for band in zip(*samples, strict=True):
            values = np.concatenate([part[np.isfinite(part)] for part in band])
            low, high = np.percentile(values, PERCENTILES) if values.size else (0.0, 1.0)
            limits.append((float(low), float(max(high, low + np.finfo(float).eps * max(1, abs(low))))))
        low, high = zip(*limits, strict=True)
        return cls(low, high, bands, shown)

    @classmethod
    def from_dict(cls, content: Any) -> "Stretch | None":  # noqa: ANN401 (out of a file)
        """Rebuild a stretch from `to_dict`; None from anything else."""
        try:
            low, high = (tuple(float(value) for value in content[key]) for key in ("low", "high"))
            bands, shown = (tuple(int(band) for band in content.get(key, ())) for key in ("bands", "shown"))
        except (TypeError, KeyError, ValueError, OverflowError, AttributeError):
            return None
        limits = 0 < len(low) == len(high) <= MOST_BANDS and np.isfinite([*low, *high]).all()
        chosen = len(bands) in (0, len(low)) and all(0 < band < 1 << 16 for band in bands)
        sound = limits and chosen and (np.array(low) < high).all() and can_be_shown(shown, bands)
        return cls(low, high, bands, shown) if sound else None

    def to_dict(self) -> dict:
        """Return the stretch ready for JSON."""
        chosen = {key: list(of) for key, of in (("bands", self.bands), ("shown", self.shown)) if of}
        return {"low": list(self.low), "high": list(self.high), **chosen}

    @property
    def channels(self) -> int:
        """How many bands an image has once it is read."""
        return len(self.bands) or COLORS

    @property
    def shown_channels(self) -> list[int]:
        """Which of an image's bands people see, counted from 0: three, or one."""
        if self.shown:
            return [self.bands.index(band) for band in self.shown]
        return [0, 1, 2] if self.channels >= COLORS else [0]

    def for_colors(self) -> "Stretch":
        """Return how to read the same images for a network of three bands: itself, or the bands that are shown."""
        if self.channels == COLORS:
            return self
        shown = self.shown_channels
        low, high = (tuple(limits[channel] for channel in shown) for limits in (self.low, self.high))
        return Stretch(low, high, tuple(self.bands[channel] for channel in shown))


def can_be_shown(shown: Sequence[int], bands: Sequence[int]) -> bool:
    """Tell whether people can be shown some of the chosen bands: three as colours, one as grey, or the default."""
    return len(shown) in (0, 1, COLORS) and set(shown) <= set(bands)


def as_colors(image: np.ndarray, stretch: Stretch | None) -> np.ndarray:
    """Return an image as people see it, (height, width, 3) uint8; itself, if it is read that way.

    Args:
        image: (height, width, bands) uint8.
        stretch: By which it was read.
    """
    shown = stretch.shown_channels if stretch else [0, 1, 2]
    if image.shape[-1] == COLORS and shown == [0, 1, 2]:
        return image
    return np.ascontiguousarray(np.broadcast_to(image[..., shown], (*image.shape[:-1], COLORS)))


def lacks_bands(there: int, bands: Sequence[int]) -> str:
    """Say that an image has not all the bands that are asked for, as the rest of a sentence about it.

    Args:
        there: How many bands it has.
        bands: Those asked for.
    """
    has = "1 band" if there == 1 else f"{there} bands"
    return f"has {has}, but band {max(bands)} is needed: export it with all bands, or choose a run that needs fewer."
