"""Slices: what is planted is found, chance is not, and every figure is what plain counting gives."""

import numpy as np
import pandas as pd
import pytest

from segmentation.evaluation.slice_features import candidate_conditions, holds, patch_features, say_conditions
from segmentation.evaluation.slices import Slice, SliceSearch, find_slices, score_slice
from segmentation.runs.saved_slices import Condition

NAMES = ("Land", "Road", "Building")

SCENES, OF_SCENE = 30, 16


def made_up(seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Patches of scenes of four by four, and confusion matrices of a model that does equally well on all of them.

    All hold as much of each class: where they do not, IoU depends on the shares, which is no chance.
    """
    rng = np.random.default_rng(seed)
    count = SCENES * OF_SCENE
    places = np.arange(count)
    table = pd.DataFrame(
        {
            "scene": [f"scene-{place // OF_SCENE}" for place in places],
            "tile": "Tile 1",
            "row": places % OF_SCENE // 4,
            "column": places % 4,
            "brightness": rng.uniform(0, 1, count),
            "contrast": rng.uniform(0, 1, count),
            "confidence": rng.uniform(0, 1, count),
        }
    )
    true = np.tile([340, 330, 330], (count, 1))
    right = rng.binomial(true, np.clip(rng.normal(0.9, 0.03, (count, 1)), 0, 1))
    matrices = np.zeros((count, 3, 3), int)
    for index in range(3):
        matrices[:, index, index] = right[:, index]
        matrices[:, index, (index + 1) % 3] = true[:, index] - right[:, index]
    return table, matrices


def worsen(matrices: np.ndarray, chosen: np.ndarray, index: int, share: float) -> None:
    """Let a model miss a share of a class's pixels that it found, in some patches."""
    lost = (share * matrices[chosen, index, index]).astype(int)
    matrices[chosen, index, index] -= lost
    matrices[chosen, index, (index + 1) % 3] += lost


def search(table: pd.DataFrame, matrices: np.ndarray, features: pd.DataFrame | None = None) -> SliceSearch:
    return find_slices(table, matrices, patch_features(table, matrices, NAMES) if features is None else features, NAMES)


def told(found: Slice) -> tuple[str | None, list[tuple[str, float | None, float | None]]]:
    """A slice's class and bounds."""
    return found.class_name, sorted((one.feature, one.low, one.high) for one in found.conditions)


def test_a_planted_slice_is_named_first_with_its_bounds_and_its_figures_are_those_of_plain_counting() -> None:
    table, matrices = made_up(0)
    bound = round(float(table["brightness"].quantile(0.8)), 2)
    bright = (table["brightness"] >= bound).to_numpy()
    worsen(matrices, bright, 1, 0.5)
    search_result = search(table, matrices)
    of_road = next(one for one in search_result.found if one.class_name == "Road")
    assert told(of_road) == ("Road", [("Brightness", bound, None)])
    assert told(search_result.found[0])[1] == [("Brightness", bound, None)]

    def iou(chosen: np.ndarray) -> float:
        cells = [matrices[place] for place in np.flatnonzero(chosen)]
        right = sum(int(cell[1][1]) for cell in cells)
        return right / sum(int(cell[1].sum() + cell[:, 1].sum() - cell[1][1]) for cell in cells)

    def wrong(chosen: np.ndarray) -> int:
        return int(sum(cell[1].sum() + cell[:, 1].sum() - 2 * cell[1][1] for cell in matrices[chosen]))

    share = 100 * wrong(bright) / wrong(np.ones(len(table), bool))
    assert of_road.sentence == (
        f"Patches with brightness at least {bound:g}: Road IoU {iou(bright):.3f} against {iou(~bright):.3f}; "
        f"{bright.sum()} patches; holds {share:.1f} % of all wrong Road pixels."
    )
    assert of_road.interval.low < iou(~bright) - iou(bright) < of_road.interval.high
    assert of_road.interval.low > 0.2
    assert of_road.scenes == table.loc[bright, "scene"].nunique()
    features = patch_features(table, matrices, NAMES)
    again = score_slice(of_road.conditions, "Road", table, matrices, features, NAMES)
    assert again is not None
    assert (again.score, again.rest, again.wrong) == (of_road.score, of_road.rest, of_road.wrong)


def test_scores_that_are_shuffled_give_no_slice_in_19_of_20_seeds() -> None:
    claimed = 0
    for seed in range(20):
        table, matrices = made_up(seed)
        worsen(matrices, (table["brightness"] > 0.7).to_numpy(), 1, 0.5)
        shuffled = np.random.default_rng(seed).permutation(len(table))
        found = search(table, matrices[shuffled])
        assert found.looked_at > 1000
        claimed += bool(found.found)
    assert claimed <= 1


def test_scenes_that_are_hard_as_a_whole_give_no_slice() -> None:
    """Patches are not independent: three bad scenes that happen to be bright are three cases, and not 48."""
    table, matrices = made_up(3)
    hard = table["scene"].isin(["scene-0", "scene-1", "scene-2"]).to_numpy()
    table.loc[hard, "brightness"] = 0.95 + table.loc[hard, "brightness"] / 20
    worsen(matrices, hard, 1, 0.6)
    assert search(table, matrices).found == ()


def test_a_pair_is_told_where_both_together_are_bad_and_neither_alone() -> None:
    table, matrices = made_up(1)
    bright, flat = (float(table[name].quantile(0.7).round(2)) for name in ("brightness", "contrast"))
    both = ((table["brightness"] >= bright) & (table["contrast"] >= flat)).to_numpy()
    worsen(matrices, both, 1, 0.7)
    of_road = [one for one in search(table, matrices).found if one.class_name == "Road"]
    assert told(of_road[0]) == ("Road", [("Brightness", bright, None), ("Contrast", flat, None)])
    assert len(of_road) == 1  # what either alone loses is owed to the pair


def test_a_pair_that_is_no_worse_than_one_of_its_conditions_is_not_told() -> None:
    table, matrices = made_up(2)
    worsen(matrices, (table["contrast"] < 0.3).to_numpy(), 2, 0.5)
    found = search(table, matrices).found
    assert found
    assert all(len(one.conditions) == 1 for one in found)


def test_few_scenes_claim_nothing_and_are_counted() -> None:
    table, matrices = made_up(0)
    few = table["scene"].isin([f"scene-{index}" for index in range(9)]).to_numpy()
    worsen(matrices, (table["brightness"] > 0.5).to_numpy(), 1, 0.9)
    assert search(table[few], matrices[few]) == SliceSearch((), 0, 9 * OF_SCENE, 9)
    assert search(table[:0], matrices[:0]) == SliceSearch((), 0, 0, 0)


def test_more_scenes_than_groups_are_pooled_whole() -> None:
    table, matrices = made_up(0)
    table = table.assign(scene=[f"scene-{place}" for place in range(len(table))])  # 480 scenes of one patch
    worsen(matrices, (table["contrast"] >= 0.8).to_numpy(), 1, 0.5)
    found = search(table, matrices).found
    assert [one.feature for one in found[0].conditions] == ["Contrast"]


def test_patches_of_void_alone_and_unknown_features_are_in_no_slice() -> None:
    table, matrices = made_up(0)
    matrices[:5] = 0
    found = search(table, matrices)
    assert found.patches == len(table) - 5
    features = patch_features(table, matrices, NAMES)
    assert "Confidence" not in features
    assert not holds([Condition(feature="Share of Land", low=0)], features)[:5].any()
    assert not holds([Condition(feature="Depth", low=0)], features).any()
    assert score_slice([Condition(feature="Depth", low=0)], None, table, matrices, features, NAMES) is None


def test_many_classes_and_tiles_stay_within_the_bound() -> None:
    table, matrices = made_up(0)
    table = table.assign(tile=[f"Tile {place // 10}" for place in range(len(table))])
    features = patch_features(table, matrices, NAMES)
    features = features.assign(**{f"Share of {index}": features["Contrast"] ** index for index in range(2, 40)})
    conditions = candidate_conditions(features)
    assert len(conditions) <= 120
    assert len({condition.feature for condition in conditions}) > 20


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (Condition(feature="Share of Road", high=0.05), "with less than 5 % Road"),
        (Condition(feature="Share of Road", low=0.29), "with at least 29 % Road"),
        (Condition(feature="Share of Road", low=0.1, high=0.3), "with at least 10 and less than 30 % Road"),
        (Condition(feature="Brightness", low=0.7), "with brightness at least 0.7"),
        (Condition(feature="Number of classes", high=3), "with fewer than 3 classes"),
        (Condition(feature="Patches to the scene's edge", high=1), "at the scene's edge"),
        (Condition(feature="Patches to the scene's edge", low=1), "away from the scene's edge"),
        (Condition(feature="Road beside Building", low=0.01), "with Road beside Building"),
        (Condition(feature="Tile", value="Tile 3"), "in Tile 3"),
    ],
)
def test_conditions_are_said_in_words(condition: Condition, words: str) -> None:
    assert say_conditions([condition]) == words
