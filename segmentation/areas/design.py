"""How many points to label, and how many in each class of a map."""

from typing import Literal

import numpy as np

from segmentation.errors import ConfigurationError

Allocation = Literal["proportional", "equal", "neyman"]
"""How points are shared out: by the classes' areas, alike, or by areas and how uncertain each class is."""

USUAL_MINIMUM = 50
"""Points in a rare class, as in the example of Olofsson et al. (2014)."""

LEAST = 2
"""Points that a class of the map needs for a standard error."""

MOST_POINTS = 100_000
"""Points that are drawn or read at once: far more than people label."""


def sample_size(areas: np.ndarray, expected: np.ndarray, standard_error: float) -> int:
    """Return how many points give the overall accuracy a standard error.

    Cochran, Sampling Techniques, 1977, equation 5.25, as Olofsson et al. (2014, equation 13) use it:
    n = (Σ W √(U (1 − U)) / S)².

    Args:
        areas: (classes,) float64: of each class on the map, in any unit.
        expected: (classes,) float64, 0–1: the user's accuracy that each is thought to have.
        standard_error: The one that is wanted, such as 0.01.

    Raises:
        ConfigurationError: If it is not between 0 and 0.5, or takes more than `MOST_POINTS`.
    """
    if not 0 < standard_error < 0.5:
        raise ConfigurationError(f"Expected a standard error between 0 and 0.5. Received: {standard_error}")
    size = float((areas / areas.sum() @ _deviation(expected) / standard_error) ** 2)
    if size > MOST_POINTS:
        raise ConfigurationError(
            f"A standard error of {standard_error} takes {size:,.0f} points: accept a larger one, 0.01 or 0.02."
        )
    return max(1, int(np.ceil(size - 1e-9)))


def allocate(
    size: int,
    areas: np.ndarray,
    pixels: np.ndarray,
    how: Allocation,
    expected: np.ndarray,
    minimum: int | None = None,
) -> np.ndarray:
    """Share points out to the classes of a map.

    Args:
        size: Points altogether.
        areas: (classes,) float64: of each class on the map.
        pixels: (classes,) int: likewise; no class gets more points.
        how: By areas, alike, or by areas times √(U (1 − U)): Neyman's allocation (Cochran, equation 5.26).
        expected: (classes,) float64, 0–1: the user's accuracy U that each is thought to have.
        minimum: Points that each class gets at least; by default `USUAL_MINIMUM`, but no more than half of what each
            would get if all got alike.

    Returns:
        (classes,) int, whose sum is `size`: none for a class that is not on the map.

    Raises:
        ConfigurationError: If there are too few points for the classes, or too few pixels for the points.
    """
    there = (pixels > 0) & (areas > 0)
    count = int(there.sum())
    if minimum is None:
        minimum = max(LEAST, min(USUAL_MINIMUM, size // (2 * max(1, count))))
    most = np.where(there, pixels, 0)
    least = np.minimum(max(minimum, LEAST), most)
    if size > min(MOST_POINTS, most.sum()):
        raise ConfigurationError(f"Expected at most {min(MOST_POINTS, most.sum()):,} points. Received: {size:,}")
    if size < least.sum():
        raise ConfigurationError(
            f"The map has {count} classes, of which each needs {max(minimum, LEAST)} points: draw {least.sum():,} or "
            "more, or lower the minimum."
        )
    wanted = {"proportional": areas, "equal": there.astype(float), "neyman": areas * _deviation(expected)}[how]
    wanted = np.where(there, np.maximum(wanted, 1e-9 * areas.sum() / count), 0)
    low, high = 0.0, float((most[there] / wanted[there]).max())
    for _ in range(200):  # the factor at which the shares, held between their bounds, add up to the size
        middle = (low + high) / 2
        low, high = (middle, high) if np.clip(middle * wanted, least, most).sum() < size else (low, middle)
    exact = np.clip(high * wanted, least, most)
    points = np.floor(exact + 1e-6).astype(int)
    for index in np.argsort(points - exact, kind="stable"):  # the largest remainders first
        if points.sum() < size and points[index] < most[index]:
            points[index] += 1
    return points


def _deviation(expected: np.ndarray) -> np.ndarray:
    return np.sqrt(expected * (1 - expected))
