"""Areas and accuracies with their standard errors, from a stratified sample of labelled points.

The formulas are those of Olofsson, Foody, Herold, Stehman, Woodcock and Wulder, Good practices for estimating area and
assessing accuracy of land change, Remote Sensing of Environment 148 (2014), 42–57; numbers of equations are theirs.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

Z = 1.96
"""Standard errors to either side that hold 95 % of a normal distribution; two decimals, as in the paper."""


class Estimate(NamedTuple):
    """Values and their standard errors, arrays of one shape or two numbers; not-a-number where they do not exist."""

    value: np.ndarray
    standard_error: np.ndarray

    @property
    def margin(self) -> np.ndarray:
        """Half the width of the 95 % interval."""
        return Z * self.standard_error


@dataclass(frozen=True)
class Estimates:
    """What a sample says of a map.

    Args:
        shares: Of the area that each class covers in truth, (classes,): 0–1.
        users: Of what the map calls a class, the share of the area that is it, (classes,): user's accuracy.
        producers: Of what is a class, the share of the area that the map calls so, (classes,): producer's accuracy.
        overall: The share of the area that the map calls by its class, (): overall accuracy.
    """

    shares: Estimate
    users: Estimate
    producers: Estimate
    overall: Estimate


def estimate(counts: np.ndarray, mapped: np.ndarray, complete: np.ndarray | None = None) -> Estimates:
    """Estimate areas and accuracies from points drawn at random within each class of a map.

    Args:
        counts: (classes, classes) int: points by class on the map (rows) and label (columns).
        mapped: (classes,) float64: the area of each class on the map, in any unit; not all zero.
        complete: (classes,) bool: classes of which all pixels were labelled, so that nothing about them is uncertain.

    Returns:
        Shares of the whole area, and accuracies.

    Raises:
        ValueError: If a class that is on the map has fewer than two points and is not complete.
    """
    points = counts.sum(1)
    complete = np.zeros(len(points), bool) if complete is None else complete & (points > 0)
    if ((mapped > 0) & (points < 2) & ~complete).any():
        raise ValueError(f"Expected two points or more in each class of the map. Received: {points=}, {mapped=}")
    weights = mapped / mapped.sum()
    sampled = np.where(mapped > 0, points, 0)
    rates = counts / np.maximum(sampled, 1)[:, None] * (weights > 0)[:, None]
    shares = weights @ rates  # equation 9
    # What one class of the map adds to the variance of a share, by label.
    spread = rates * (1 - rates) / np.maximum(sampled - 1, 1)[:, None] * ~complete[:, None]
    share_error = np.sqrt(weights**2 @ spread)  # equation 10
    right, own = np.diag(rates), np.diag(spread)
    users = Estimate(*(np.where(weights > 0, part, np.nan) for part in (right, np.sqrt(own))))  # equations 2 and 6
    overall = Estimate(weights @ right, np.sqrt(weights**2 @ own))  # equations 1 and 5
    exists = shares > 0
    producers = np.where(exists, weights * right / np.where(exists, shares, 1), np.nan)  # equation 3
    missed = weights**2 @ spread - weights**2 * own
    variance = weights**2 * (1 - producers) ** 2 * own + producers**2 * missed  # equation 7, by the share's square
    producers_error = np.sqrt(variance) / np.where(exists, shares, np.nan)
    return Estimates(Estimate(shares, share_error), users, Estimate(producers, producers_error), overall)
