"""What is known of a patch whatever a model makes of it, and conditions on that, in words (no TensorFlow)."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd

from segmentation.evaluation.diagnosis import circumstances
from segmentation.runs.saved_slices import Condition

TILE = "Tile"

EDGE = "Patches to the scene's edge"

CLASSES = "Number of classes"

SHARE, BESIDE = "Share of ", " beside "
"""Of a class: before its name, and between the names of two whose pixels touch."""

QUANTILES = (0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9)
"""Where a feature is cut in two."""

LEAST_OF_CLASS = 0.01
"""A class has this share of a patch at the least to count as there."""

MOST_CLASSES, MOST_TILES, MOST_CONDITIONS = 8, 30, 120
"""Classes, the most common ones, and tiles that are features; conditions that are looked at, singly and in pairs."""


def patch_features(
    table: pd.DataFrame, matrices: np.ndarray, names: Sequence[str], touching: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return what is known of each patch apart from its prediction: a column each, a row for each row of `table`.

    The model's confidence is none of it: that a model fails where it is unsure says nothing of the patches.

    Args:
        table: All patches of a run, so that the edges of its scenes are known.
        matrices: Their confusion matrices, (patches, classes, classes).
        names: The classes.
        touching: What else was measured, such as `segmentation.data.neighbours.touching_classes`: a row for each
            patch, with the table's index.

    Returns:
        Brightness, contrast, the number of classes, the way to the scene's edge, the shares of the `MOST_CLASSES` most
        common classes, and the tile, as text.
    """
    features = circumstances(table, matrices, names).drop(columns="Confidence", errors="ignore")
    shares = [f"{SHARE}{name}" for name in names]
    common = set(np.array(shares)[np.argsort(-matrices.sum((0, 2)), kind="stable")[:MOST_CLASSES]])
    features = features.drop(columns=[name for name in shares if name not in common])
    if touching is not None:
        features = features.join(touching)
    return features.assign(**{TILE: table["tile"].astype(str)})


def holds(conditions: Iterable[Condition], features: pd.DataFrame) -> np.ndarray:
    """Tell of which patches all conditions are true: (patches,) bool; of none if a feature is not known."""
    true = np.ones(len(features), bool)
    for condition in conditions:
        if condition.feature not in features:
            return np.zeros(len(features), bool)
        values = features[condition.feature]
        if condition.value is not None:
            true &= (values.astype(str) == condition.value).to_numpy()
        else:
            numbers = pd.to_numeric(values, errors="coerce").to_numpy(float)
            low = -np.inf if condition.low is None else condition.low
            high = np.inf if condition.high is None else condition.high
            true &= (numbers >= low) & (numbers < high)  # not so where it is not known
    return true


def candidate_conditions(features: pd.DataFrame) -> list[Condition]:
    """Return the conditions that slices are made of: each feature cut at its rounded quantiles, and each tile.

    At most `MOST_CONDITIONS`; where there are more, the bounds are fewer. Which they are does not depend on scores.
    """
    numeric = features.drop(columns=TILE)
    tiles = features[TILE].value_counts(sort=True)
    of_tiles = (
        [Condition(feature=TILE, value=name) for name in sorted(tiles.index[:MOST_TILES])] if len(tiles) > 1 else []
    )
    for quantiles in (QUANTILES, QUANTILES[1::2], QUANTILES[3:4]):
        found = [condition for name in numeric for condition in _cut(name, numeric[name], quantiles)] + of_tiles
        if len(found) <= MOST_CONDITIONS:
            return found
    return found[:MOST_CONDITIONS]


def _cut(name: str, values: pd.Series, quantiles: Sequence[float]) -> Iterator[Condition]:
    """Yield both sides of each bound of a feature."""
    known = values.dropna()
    if known.empty or known.min() == known.max():
        return
    if name == EDGE:
        bounds = {1.0}
    elif BESIDE in name:
        bounds = {LEAST_OF_CLASS}
    else:
        bounds = {_readable(name, float(bound)) for bound in known.quantile(list(quantiles))}
        bounds |= {LEAST_OF_CLASS} if name.startswith(SHARE) else set()
    for bound in sorted(bounds):
        if known.min() < bound <= known.max():
            yield Condition(feature=name, low=bound)
            yield Condition(feature=name, high=bound)


def _readable(name: str, bound: float) -> float:
    """Round a bound as a person would say it: shares to whole per cents, from a tenth on to five of them."""
    if name == CLASSES:
        return float(round(bound))
    if name.startswith(SHARE) and bound >= 0.1:
        return round(round(bound * 20) / 20, 2)
    return round(bound, 2)


def say_conditions(conditions: Iterable[Condition]) -> str:
    """Say what patches have in common, as it follows the word "patches"."""
    return " and ".join(_say(condition) for condition in conditions).replace(" and with ", " and ")


def _say(condition: Condition) -> str:
    name, low, high = condition.feature, condition.low, condition.high
    if condition.value is not None:
        return f"in {condition.value}" if name == TILE else f"with {condition.value} as {name.lower()}"
    if name == EDGE and (low, high) == (1, None):
        return "away from the scene's edge"
    if name == EDGE and (low, high) == (None, 1):
        return "at the scene's edge"
    if BESIDE in name and (low is None or high is None):
        return f"with {name}" if high is None else f"without {name}"
    if name.startswith(SHARE):
        of, low, high = f" % {name.removeprefix(SHARE)}", _per_cent(low), _per_cent(high)
    elif name == CLASSES:
        of = " classes"
    else:
        return f"with {name.lower()} {_between(low, high)}"
    return f"with {_between(low, high)}{of}".replace("below", "fewer than" if name == CLASSES else "less than")


def _per_cent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 4)


def _between(low: float | None, high: float | None) -> str:
    if low is None:
        return f"below {high:g}"
    return f"at least {low:g}" if high is None else f"at least {low:g} and below {high:g}"
