"""Which patches come first: by a score, ties settled by wrong pixels, and not for a handful of them (no TensorFlow)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

MISSED, INVENTED, WRONG = "missed", "invented", "wrong"
"""Columns that count pixels: in the mask and not found, predicted and not in the mask, and both together."""

HIGH_IS_BAD = frozenset({MISSED, INVENTED, WRONG, "surely_wrong"})
"""Scores that are worse where they are higher; all others are better."""


def count_errors(matrices: np.ndarray, class_index: int | None = None) -> pd.DataFrame:
    """Count wrong pixels.

    Of all classes together, each wrong pixel is missed where it is and invented as what it is predicted as, so that the
    three counts are the same.

    Args:
        matrices: (n, classes, classes) int64 confusion matrices, rows true.
        class_index: Count only pixels of this class in the mask or in the prediction; None for all classes.

    Returns:
        n rows with the columns `MISSED`, `INVENTED` and `WRONG`, in pixels.
    """
    right = np.diagonal(matrices, axis1=1, axis2=2)
    missed, invented = matrices.sum(2) - right, matrices.sum(1) - right
    if class_index is None:
        every = missed.sum(1)
        return pd.DataFrame({MISSED: every, INVENTED: every, WRONG: every})
    missed, invented = missed[:, class_index], invented[:, class_index]
    return pd.DataFrame({MISSED: missed, INVENTED: invented, WRONG: missed + invented})


def rank(
    table: pd.DataFrame, score: str, count: str | None, worst_first: bool = True, least: float = 0
) -> tuple[pd.DataFrame, int]:
    """Put patches in the order of a score; of equal ones, those with more wrong pixels are the worse.

    What is still equal keeps the table's order, so that a ranking is the same every time.

    Args:
        table: One row per patch.
        score: The column to rank by; rows without it are left out.
        count: The column that counts wrong pixels, such as `WRONG`; None if they are not known.
        worst_first: Or best first.
        least: In pixels: a patch with fewer wrong ones is none of the worst, however low its score, and is hidden.

    Returns:
        The rows in order, and how many were hidden.
    """
    table = table.dropna(subset=score)
    shown = table if count is None else table[table[count] >= least]
    keys: Sequence[str] = [score] if count in (None, score) else [score, count]
    rising = [worst_first != (key in HIGH_IS_BAD or key == count) for key in keys]
    # One key at a time, the last one first: pandas sorts by several keys without keeping the order of equal rows.
    ranked = shown
    for key, ascending in zip(reversed(keys), reversed(rising), strict=True):
        ranked = ranked.sort_values(key, ascending=ascending, kind="stable")
    return ranked, len(table) - len(shown)
