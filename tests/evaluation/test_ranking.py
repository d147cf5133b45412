"""Rankings held against loops over pixels."""

import numpy as np
import pandas as pd
import pytest

from segmentation.evaluation.ranking import INVENTED, MISSED, WRONG, count_errors, rank
from segmentation.scores import confusion_matrices


def by_hand(truth: np.ndarray, predicted: np.ndarray, index: int) -> tuple[int, int]:
    """Pixels of a class that were missed, and invented, one pixel at a time; void counts as neither."""
    missed = invented = 0
    for true, said in zip(truth.ravel().tolist(), predicted.ravel().tolist(), strict=True):
        if true != 255:
            missed += true == index != said
            invented += said == index != true
    return missed, invented


def test_missed_and_invented_pixels_of_each_class_are_counted() -> None:
    rng = np.random.default_rng(3)
    truth, predicted = rng.integers(0, 4, (2, 5, 8, 8), dtype=np.uint8)
    truth[:, :2, :3] = 255
    matrices = confusion_matrices(truth, predicted, 4)
    for index in range(4):
        counted = count_errors(matrices, index)
        for place in range(5):
            missed, invented = by_hand(truth[place], predicted[place], index)
            assert counted.loc[place, [MISSED, INVENTED, WRONG]].tolist() == [missed, invented, missed + invented]
    of_all = count_errors(matrices)
    for place in range(5):
        wrong = int(((truth[place] != predicted[place]) & (truth[place] != 255)).sum())
        assert of_all.loc[place, [MISSED, INVENTED, WRONG]].tolist() == [wrong, wrong, wrong]


@pytest.fixture
def table() -> pd.DataFrame:
    """Patches of which some have equal scores, and some but a handful of wrong pixels."""
    rows = [("a", 0.0, 3), ("b", 0.5, 400), ("c", 0.0, 900), ("d", 0.0, 256), ("e", np.nan, 900), ("f", 0.0, 900)]
    return pd.DataFrame(rows, columns=["patch", "iou", "wrong"])


def test_equal_scores_are_settled_by_wrong_pixels_then_by_the_tables_order(table: pd.DataFrame) -> None:
    ranked, hidden = rank(table, "iou", "wrong")
    assert list(ranked["patch"]) == ["c", "f", "d", "a", "b"]
    assert hidden == 0
    best, _ = rank(table, "iou", "wrong", worst_first=False)
    assert list(best["patch"]) == ["b", "a", "d", "c", "f"]


def test_patches_below_the_bound_are_hidden_and_counted(table: pd.DataFrame) -> None:
    ranked, hidden = rank(table, "iou", "wrong", least=256)
    assert list(ranked["patch"]) == ["c", "f", "d", "b"]  # as many as the bound is not fewer
    assert hidden == 1


def test_by_wrong_pixels_most_come_first(table: pd.DataFrame) -> None:
    assert list(rank(table, "wrong", "wrong")[0]["patch"]) == ["c", "e", "f", "b", "d", "a"]
    assert list(rank(table, "wrong", "wrong", worst_first=False)[0]["patch"]) == ["a", "d", "b", "c", "e", "f"]


def test_where_wrong_pixels_are_not_known_the_score_alone_decides(table: pd.DataFrame) -> None:
    ranked, hidden = rank(table, "iou", None, least=256)
    assert list(ranked["patch"]) == ["a", "c", "d", "f", "b"]
    assert hidden == 0
