"""Why patches fail: groups, correlations, suspect labels, and one run against another (no TensorFlow).

A table here is a run's patches.csv, and matrices are its patches' confusion matrices, (patches, classes, classes).
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from segmentation import scores
from segmentation.evaluation.ranking import count_errors

BRIGHTEST = 0.1
"""The share of the patches that counts as very bright when the article's claim is tested."""


def grouped_scores(
    table: pd.DataFrame, matrices: np.ndarray, by: str, names: Sequence[str], class_name: str | None = None
) -> pd.DataFrame:
    """Return one row per scene or tile with its scores, read off the sum of its patches' confusion matrices.

    Args:
        table: One row per patch.
        matrices: Their confusion matrices.
        by: ``scene`` or ``tile``.
        names: The classes.
        class_name: Of which wrong pixels are counted; None for all.

    Returns:
        Columns ``by, patches, pixels, mean_iou, accuracy``, ``iou_`` by class, and those of
        `segmentation.evaluation.ranking.count_errors`, in the table's order.
    """
    index = list(names).index(class_name) if class_name else None
    rows = []
    places = table.groupby(by, sort=False).indices
    for name, chosen in places.items():
        matrix = matrices[chosen].sum(0)
        rows.append(
            {
                by: name,
                "patches": len(chosen),
                "pixels": int(matrix.sum()),
                "mean_iou": float(scores.mean_iou(matrix)),
                "accuracy": float(scores.accuracy(matrix)),
                **{f"iou_{n}": float(v) for n, v in zip(names, scores.iou(matrix), strict=True)},
                **count_errors(matrix[None], index).iloc[0],
            }
        )
    return pd.DataFrame(rows)


def circumstances(table: pd.DataFrame, matrices: np.ndarray, names: Sequence[str]) -> pd.DataFrame:
    """Return what a patch's score may depend on, a column each, by the name that people read.

    Args:
        table: All patches of a run, so that the edges of its scenes are known.
        matrices: Their confusion matrices; the rows' sums are the masks' pixels.
        names: The classes.
    """
    scenes = table.groupby("scene", sort=False)
    below = scenes["row"].transform("max") - table["row"]
    right = scenes["column"].transform("max") - table["column"]
    true = matrices.sum(-1)
    shares = np.divide(true, true.sum(-1, keepdims=True), out=np.full(true.shape, np.nan), where=true.any(-1)[:, None])
    columns = {
        "Brightness": table["brightness"],
        "Contrast": table["contrast"],
        **({"Confidence": table["confidence"]} if table["confidence"].notna().any() else {}),
        "Number of classes": (true > 0).sum(-1),
        "Patches to the scene's edge": np.minimum.reduce([table["row"], table["column"], below, right]),
    }
    columns |= {f"Share of {name}": shares[:, index] for index, name in enumerate(names)}
    return pd.DataFrame(columns, index=table.index)


def rank_correlation(one: pd.Series, other: pd.Series) -> float:
    """Return Spearman's rank correlation over the rows where both are known; NaN if either does not vary."""
    both = pd.concat([one, other], axis=1).dropna()
    ranks = both.rank().to_numpy()
    if len(ranks) < 2 or (np.ptp(ranks, axis=0) == 0).any():
        return float("nan")
    return float(np.corrcoef(ranks.T)[0, 1])


def brightness_claim(table: pd.DataFrame) -> tuple[float, float, float]:
    """Test what the article says of its least successful patches, that they are very bright.

    Returns:
        The brightness from which a patch is among the brightest tenth, the mean IoU of those, averaged over the
        patches, and that of all others.
    """
    scored = table.dropna(subset="mean_iou")
    limit = float(scored["brightness"].quantile(1 - BRIGHTEST))
    bright = scored["brightness"] >= limit
    return limit, float(scored.loc[bright, "mean_iou"].mean()), float(scored.loc[~bright, "mean_iou"].mean())


def compare_runs(one: pd.DataFrame, other: pd.DataFrame, part: str, score: str = "mean_iou") -> pd.DataFrame:
    """Set two runs' scores of the same patches side by side.

    Args:
        one: A run's patches.
        other: Another run's.
        part: ``test`` or ``train``: only patches that both runs have in this part, since a run does better on what it
            was trained on.
        score: The column to compare.

    Returns:
        `one`'s rows with the other's score, its name after ``other_``, and ``gain``, the other's score less this one's.
    """
    others = other.loc[other["part"] == part].set_index("patch")[score]
    chosen = one[(one["part"] == part) & one["patch"].isin(others.index)]
    theirs = chosen["patch"].map(others)
    return chosen.assign(**{f"other_{score}": theirs, "gain": theirs - chosen[score]})
