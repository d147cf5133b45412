"""What can be told from a curve: smoothed, thinned, and where the gap between training and validation widens."""

import numpy as np
import pandas as pd

MOST_POINTS = 2_000
"""A curve of more points is drawn with fewer: a screen has no more columns of pixels."""

SHORTEST = 6
"""A gap of fewer epochs does not tell whether it widens."""

SCATTERS = 4
"""A gap widens if it rises by more than so many times what it scatters."""


def smooth(values: pd.Series, weight: float) -> pd.Series:
    """Return the exponential moving average of a curve, as TensorBoard draws it, without the pull to its start.

    Args:
        values: An epoch each.
        weight: How much of the past each value keeps, from 0, nothing, to below 1.
    """
    return values.ewm(alpha=1 - weight, adjust=True).mean() if weight else values


def thinned(values: pd.Series, most: int = MOST_POINTS) -> pd.Series:
    """Return a curve with at most `most` points: of each stretch the lowest and the highest, so that no peak is lost.

    Args:
        values: Without NaN.
        most: An even number.
    """
    if len(values) <= most:
        return values
    stretches = np.array_split(np.arange(len(values)), most // 2)
    numbers = values.to_numpy()
    kept = {place for part in stretches for place in (part[numbers[part].argmin()], part[numbers[part].argmax()])}
    return values.iloc[sorted(kept)]


def widens_from(gaps: pd.Series) -> int | None:
    """Return the position from which a gap between training and validation widens to the end; None if it does not.

    Up to there it falls or is level, from there it rises along a straight line, so that both together fit it best; and
    it widens only if that line rises by more than four times what the gap scatters around the fit, with the last epoch
    and without it.

    Args:
        gaps: By how much training is better, an epoch each. While validation is the better one there is no gap.
    """
    known = gaps.dropna().clip(lower=0)
    if len(known) < SHORTEST:
        return None
    stretches = np.array_split(np.arange(len(known)), min(len(known), 200))
    levels = np.array([known.iloc[stretch].mean() for stretch in stretches])
    bend, widens = _rising_line(levels)
    if not widens or not _rising_line(levels[:-1])[1]:
        return None
    return int(gaps.index.get_loc(known.index[stretches[bend][0]]))


def _rising_line(levels: np.ndarray) -> tuple[int, bool]:
    """Return where the line begins that rises to the end, and whether it rises by more than chance has it.

    What comes before is fitted by the best sequence that never rises (pool adjacent violators: means of blocks).
    """
    best = (np.inf, 0, 0.0, 0)
    blocks: list[tuple[float, int, float]] = []  # sum, number and sum of squares
    for bend in range(len(levels) - 3):
        total, count, squares = levels[bend], 1, levels[bend] ** 2
        while blocks and blocks[-1][0] / blocks[-1][1] <= total / count:
            block = blocks.pop()
            total, count, squares = total + block[0], count + block[1], squares + block[2]
        blocks.append((total, count, squares))
        after = np.arange(1, len(levels) - bend)
        above = levels[bend + 1 :] - total / count
        slope = after @ above / (after @ after)
        error = sum(max(square - sum_ * sum_ / number, 0) for sum_, number, square in blocks)
        error += ((above - slope * after) ** 2).sum()
        if error < best[0] - 1e-12:
            best = (error, bend, slope * after[-1], len(blocks))
    error, bend, rise, parameters = best
    scatter = np.sqrt(error / max(1, len(levels) - parameters - 1))
    return bend, bool(rise > max(SCATTERS * scatter, 1e-9))
