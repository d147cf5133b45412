"""Why patches fail, against plain counting."""

import math

import numpy as np
import pandas as pd
import pytest

from segmentation.evaluation.diagnosis import (
    brightness_claim,
    circumstances,
    compare_runs,
    grouped_scores,
    rank_correlation,
)

NAMES = ("Land", "Road")
MATRICES = np.array([[[8, 2], [0, 0]], [[4, 0], [3, 3]], [[0, 0], [0, 10]], [[5, 5], [0, 0]]])


@pytest.fixture
def table() -> pd.DataFrame:
    """Four patches: a scene of two by one, and one of one by two."""
    return pd.DataFrame(
        {
            "patch": ["a/0", "a/1", "b/0", "b/1"],
            "tile": ["A", "A", "B", "B"],
            "scene": ["a", "a", "b", "b"],
            "row": [0, 1, 0, 0],
            "column": [0, 0, 0, 1],
            "part": ["test", "train", "test", "test"],
            "brightness": [0.9, 0.2, 0.3, 0.5],
            "contrast": [0.1, 0.2, 0.3, 0.4],
            "confidence": [0.7, 0.8, 0.9, 0.6],
            "mean_iou": [0.8, 0.55, 1.0, 0.5],
        }
    )


def test_a_scene_is_scored_by_the_sum_of_its_patches(table: pd.DataFrame) -> None:
    scenes = grouped_scores(table, MATRICES, "scene", NAMES).set_index("scene")
    assert scenes.loc["a", ["patches", "pixels"]].tolist() == [2, 20]
    assert scenes.loc["a", "accuracy"] == pytest.approx(15 / 20)
    assert scenes.loc["a", ["iou_Land", "iou_Road"]].tolist() == pytest.approx([12 / 17, 3 / 8])
    assert scenes.loc["a", "mean_iou"] == pytest.approx((12 / 17 + 3 / 8) / 2)
    assert grouped_scores(table, MATRICES, "tile", NAMES)["patches"].tolist() == [2, 2]


def test_circumstances_are_read_off_the_mask(table: pd.DataFrame) -> None:
    values = circumstances(table, MATRICES, NAMES)
    assert values["Share of Land"].tolist() == pytest.approx([1, 0.4, 0, 1])
    assert values["Number of classes"].tolist() == [1, 2, 1, 1]


def test_the_distance_to_the_scenes_edge_is_in_patches() -> None:
    places = [(row, column) for row in range(5) for column in range(4)]
    rows, columns = zip(*places, strict=True)
    table = pd.DataFrame(
        {"scene": "a", "row": rows, "column": columns, "brightness": 0, "contrast": 0, "confidence": 0}
    )
    matrices = np.ones((20, 2, 2), int)
    distances = circumstances(table, matrices, NAMES)["Patches to the scene's edge"].to_numpy().reshape(5, 4)
    assert distances.tolist() == [[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]


def test_a_patch_of_nothing_but_void_has_no_shares(table: pd.DataFrame) -> None:
    matrices = MATRICES.copy()
    matrices[1] = 0
    assert math.isnan(circumstances(table, matrices, NAMES)["Share of Land"][1])


def test_the_rank_correlation_is_spearmans() -> None:
    x = pd.Series([1.0, 2, 3, 4, np.nan])
    assert rank_correlation(x, pd.Series([10.0, 100, 1000, 1e9, 0])) == pytest.approx(1)
    assert rank_correlation(x, pd.Series([5.0, 4, 3, -20, 0])) == pytest.approx(-1)
    # Ranks 1 2 3 4 against 2 1 4 3: one less six times the sum of squared differences over n (n² - 1).
    assert rank_correlation(x, pd.Series([2.0, 1, 9, 7, 0])) == pytest.approx(1 - 6 * 4 / (4 * 15))
    assert math.isnan(rank_correlation(x, pd.Series([3.0] * 5)))


def test_the_brightest_tenth_is_set_against_the_rest() -> None:
    table = pd.DataFrame({"brightness": np.arange(20) / 20, "mean_iou": [0.9] * 18 + [0.1, 0.3]})
    limit, bright, others = brightness_claim(table)
    assert 0.85 < limit <= 0.9
    assert (bright, others) == (pytest.approx(0.2), pytest.approx(0.9))


def test_runs_are_compared_on_patches_that_both_hold_in_the_part(table: pd.DataFrame) -> None:
    other = table.assign(part=["test", "test", "train", "test"], mean_iou=[0.9, 0.9, 0.9, 0.4])
    both = compare_runs(table, other, "test")
    assert both["patch"].tolist() == ["a/0", "b/1"]
    assert both["gain"].tolist() == pytest.approx([0.1, -0.1])
    assert both["other_mean_iou"].tolist() == [0.9, 0.4]
