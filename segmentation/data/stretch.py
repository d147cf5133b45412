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
    """

    low: tuple[float, ...]
    high: tuple[float, ...]

    @classmethod
    def of(cls, samples: Sequence[np.ndarray]) -> "Stretch":
        """Return the stretch between the `PERCENTILES` of some images' values.

        Args:
            samples: (bands, …) float64 each, of the same number of bands, not-a-number where there is no data.
        """
        limits = []
        for band in zip(*samples, strict=True):
            values = np.concatenate([part[np.isfinite(part)] for part in band])
            low, high = np.percentile(values, PERCENTILES) if values.size else (0.0, 1.0)
            limits.append((float(low), float(max(high, low + np.finfo(float).eps * max(1, abs(low))))))
        return cls(*zip(*limits, strict=True))

    @classmethod
    def from_dict(cls, content: Any) -> "Stretch | None":  # noqa: ANN401 (out of a file)
        """Rebuild a stretch from `to_dict`; None from anything else."""
        try:
            low, high = (tuple(float(value) for value in content[key]) for key in ("low", "high"))
        except (TypeError, KeyError, ValueError, OverflowError):
            return None
        sound = len(low) == len(high) > 0 and np.isfinite([*low, *high]).all() and (np.array(low) < high).all()
        return cls(low, high) if sound else None

    def to_dict(self) -> dict:
        """Return the stretch ready for JSON."""
        return {"low": list(self.low), "high": list(self.high)}
