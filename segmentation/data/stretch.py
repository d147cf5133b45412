"""How values of more than 8 bits become grey values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    pass


PERCENTILES = (2, 98)
"""Of a band's values: they become 0 and 255."""


@dataclass(frozen=True)
class Stretch:
    """How values of more than 8 bits become colours: linear between two values of each band, which become 0 and 255.

    Args:
        low: One value per band: red, green and blue, or grey.
        high: Likewise, above the low one.
        bands: The bands, counted from 1; empty for those that a file's tags say, or its first three.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    bands: tuple[int, ...] = ()

    @classmethod
    def of(cls, samples: Sequence[np.ndarray], bands: tuple[int, ...] = ()) -> "Stretch":
        """Return the stretch between the `PERCENTILES` of some images' values.

        Args:
            samples: (bands, …) float64 each, of the same number of bands, not-a-number where there is no data.
            bands: The bands' numbers, where somebody has chosen them.
        """
        limits = []
        for band in zip(*samples, strict=True):
            values = np.concatenate([part[np.isfinite(part)] for part in band])
            low, high = np.percentile(values, PERCENTILES) if values.size else (0.0, 1.0)
            limits.append((float(low), float(max(high, low + np.finfo(float).eps * max(1, abs(low))))))
        low, high = zip(*limits, strict=True)
        return cls(low, high, bands)

    @classmethod
    def from_dict(cls, content: Any) -> "Stretch | None":  # noqa: ANN401 (out of a file)
        """Rebuild a stretch from `to_dict`; None from anything else."""
        try:
            low, high = (tuple(float(value) for value in content[key]) for key in ("low", "high"))
            bands = tuple(int(band) for band in content.get("bands", ()))
        except (TypeError, KeyError, ValueError, OverflowError, AttributeError):
            return None
        limits = len(low) == len(high) > 0 and np.isfinite([*low, *high]).all() and (np.array(low) < high).all()
        sound = limits and len(bands) in (0, len(low)) and all(0 < band < 1 << 16 for band in bands)
        return cls(low, high, bands) if sound else None

    def to_dict(self) -> dict:
        """Return the stretch ready for JSON."""
        chosen = {"bands": list(self.bands)} if self.bands else {}
        return {"low": list(self.low), "high": list(self.high), **chosen}
