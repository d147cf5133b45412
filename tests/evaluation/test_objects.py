"""Objects on masks whose answer is known, and against an implementation that looks at one pixel after another."""

from collections import deque

import numpy as np
import pytest

from segmentation.data.pixel_areas import PixelAreas
from segmentation.evaluation.objects import (
    FOUND,
    HALF,
    INVENTED,
    MATCHING,
    MERGED,
    MISSED,
    PART_CODES,
    SMALLEST,
    SPLIT,
    ObjectScores,
    SceneObjects,
    find_objects,
    judge,
    object_intervals,
    object_table,
    score_by_size,
    size_edges,
)

GROUND, BUILDING, VOID = 0, 1, 255


def scene(*boxes: tuple[int, int, int, int], shape: tuple[int, int] = (60, 80)) -> np.ndarray:
    """A mask of ground with a building in each box: first row, first column, row and column after the last."""
    mask = np.full(shape, GROUND, np.uint8)
    for top, left, bottom, right in boxes:
        mask[top:bottom, left:right] = BUILDING
    return mask


def outcomes(truth: np.ndarray, predicted: np.ndarray, least: int = SMALLEST) -> tuple[list[str], list[str]]:
    """What becomes of the true and of the predicted buildings, row by row as they begin."""
    objects = find_objects(truth, predicted, 2)
    judged = judge(objects, least)
    return tuple(
        outcome[regions.classes == BUILDING].tolist()
        for outcome, regions in ((judged.true, objects.true), (judged.predicted, objects.predicted))
    )


def test_a_building_is_found_missed_or_invented() -> None:
    truth = scene((0, 0, 10, 10), (20, 20, 30, 30))
    predicted = scene((0, 2, 10, 12), (40, 60, 50, 70))
    assert outcomes(truth, predicted) == ([FOUND, MISSED], [FOUND, INVENTED])


def test_exactly_half_in_common_is_no_match() -> None:
    assert outcomes(scene((0, 0, 10, 10)), scene((0, 0, 10, 5))) == ([MISSED], [INVENTED])
    assert outcomes(scene((0, 0, 10, 100), shape=(20, 200)), scene((0, 0, 10, 51), shape=(20, 200)))[0] == [FOUND]


def test_one_prediction_over_two_buildings_merges_them() -> None:
    truth, predicted = scene((5, 5, 15, 15), (5, 17, 15, 27)), scene((5, 5, 15, 27))
    assert outcomes(truth, predicted) == ([MERGED, MERGED], [MERGED])


def test_a_large_building_is_found_although_a_small_one_is_merged_with_it() -> None:
    truth, predicted = scene((5, 5, 25, 25), (5, 27, 15, 32)), scene((5, 5, 25, 32))
    assert outcomes(truth, predicted) == ([FOUND, MERGED], [FOUND])


def test_two_predictions_in_one_building_split_it() -> None:
    truth, predicted = scene((5, 5, 15, 25)), scene((5, 5, 15, 14), (5, 16, 15, 25))
    assert outcomes(truth, predicted) == ([SPLIT], [SPLIT, SPLIT])


def test_a_speck_smaller_than_the_least_size_splits_nothing() -> None:
    truth, predicted = scene((5, 5, 25, 25)), scene((5, 5, 25, 14), (5, 18, 9, 22))
    assert outcomes(truth, predicted)[0] == [SPLIT]
    assert outcomes(truth, predicted, least=17)[0] == [MISSED]


def test_pixels_that_touch_at_a_corner_are_one_object() -> None:
    truth = scene((0, 0, 10, 10), (10, 10, 20, 20))
    assert outcomes(truth, truth) == ([FOUND], [FOUND])


def test_an_object_at_the_edge_ends_there() -> None:
    truth = scene((50, 70, 60, 80))
    objects = find_objects(truth, truth, 2)
    assert objects.true.boxes[-1].tolist() == [50, 70, 60, 80]
    assert objects.true.pixels.tolist() == [60 * 80 - 100, 100]


def test_void_counts_for_nothing() -> None:
    truth = scene((0, 0, 10, 10))
    truth[0:10, 10:20] = VOID
    predicted = scene((0, 0, 10, 20), (30, 30, 40, 40))
    truth[30:40, 32:40] = VOID
    # The first is right outside void; of the second four fifths lie in void, and nobody knows what is there.
    assert outcomes(truth, predicted) == ([FOUND], [FOUND])


def test_regions_too_small_to_look_for_are_left_out() -> None:
    assert outcomes(scene((0, 0, 3, 5)), scene((20, 20, 23, 25))) == ([], [])
    assert outcomes(scene((0, 0, 4, 4)), scene((20, 20, 24, 24))) == ([MISSED], [INVENTED])


def test_an_object_is_held_out_if_no_pixel_was_trained_on() -> None:
    truth = scene((0, 0, 10, 10), (20, 20, 30, 50), (40, 70, 60, 80))
    parts = np.full(truth.shape, PART_CODES["test"], np.uint8)
    parts[:, 40:] = PART_CODES["train"]
    parts[:, 70:] = 0
    found = {"s": find_objects(truth, truth, 2, parts)}
    assert object_table(found, BUILDING, "test")["pixels"].tolist() == [100, 100]
    assert object_table(found, BUILDING, "train")["pixels"].tolist() == [300, 300]
    assert object_table(found, BUILDING, "validation").empty


def test_areas_are_those_of_the_ground() -> None:
    truth = scene((0, 0, 10, 10), (40, 0, 50, 10))
    areas = PixelAreas(60, 80, np.array([[1.0], [4.0]]))
    table = object_table({"s": find_objects(truth, truth, 2, areas=areas)}, BUILDING, "test")
    expected = [areas.within(slice(top, top + 10), slice(0, 10)).sum() for top in (0, 40)]
    of_true = table[table["side"] == "true"].sort_values("top")
    assert of_true["square_metres"].tolist() == pytest.approx(expected)


def test_scores_are_shares_of_what_is_there() -> None:
    truth = scene((0, 0, 10, 10), (20, 0, 30, 10), (0, 20, 20, 40))
    predicted = scene((0, 0, 10, 10), (0, 20, 20, 38), (50, 70, 60, 80), (40, 0, 50, 10))
    table = object_table({"s": find_objects(truth, predicted, 2)}, BUILDING, "test")
    scores = ObjectScores.of(table)
    assert (scores.true, scores.predicted) == (3, 4)
    assert (scores.recall, scores.precision) == pytest.approx((2 / 3, 1 / 2))
    assert scores.segmentation_quality == pytest.approx((1 + 0.9) / 2)
    assert scores.panoptic_quality == pytest.approx(1.9 / 3.5)  # ΣIoU / (found + half of missed and invented)
    by_size = score_by_size(table, [200])
    assert by_size["true"].tolist() == [2, 1]
    assert by_size["recall"].tolist() == [0.5, 1]
    assert by_size["precision"].tolist() == pytest.approx([1 / 3, 1])
    assert size_edges(table) == [100, 250]


def test_nothing_found_scores_nothing_and_nothing_there_has_no_score() -> None:
    nothing = object_table({"s": find_objects(scene((0, 0, 9, 9)), scene((20, 20, 29, 29)), 2)}, BUILDING, "test")
    assert ObjectScores.of(nothing)[2:5] == (0, 0, 0)
    assert ObjectScores.of(nothing).panoptic_quality == 0
    assert np.isnan(ObjectScores.of(object_table({}, BUILDING, "test"))[2:]).all()


def test_intervals_are_of_scenes() -> None:
    right, wrong = (
        find_objects(scene((0, 0, 9, 9)), scene((0, 0, 9, 9)), 2),
        find_objects(scene((0, 0, 9, 9)), scene((20, 20, 29, 29)), 2),
    )
    scenes = {f"s{number}": right if number % 2 else wrong for number in range(8)}
    table = object_table(scenes, BUILDING, "test")
    recall, precision, unit, count = object_intervals(table, dict.fromkeys(scenes, "one"))
    assert (unit, count) == ("scene", 8)
    assert 0 <= recall.low < 0.5 < recall.high <= 1
    assert recall == precision
    assert object_intervals(table[table["scene"] < "s5"], dict.fromkeys(scenes, "one")) is None


def test_what_is_kept_comes_back_and_anything_else_does_not() -> None:
    objects = find_objects(scene((0, 0, 10, 10)), scene((0, 2, 10, 12)), 2)
    back = SceneObjects.from_bytes(objects.to_bytes())
    for one, other in (
        (objects.true, back.true),
        (objects.predicted, back.predicted),
        ((objects.pairs,), (back.pairs,)),
    ):
        for kept, read in zip(one, other, strict=True):
            np.testing.assert_array_equal(kept, read)
    assert SceneObjects.from_bytes(b"") is None
    assert SceneObjects.from_bytes(objects.to_bytes()[:-40]) is None


def naive_regions(mask: np.ndarray, valid: np.ndarray, index: int) -> list[set[tuple[int, int]]]:
    """The regions of a class that count, by a search from pixel to pixel; of each the pixels outside void."""
    left = {(int(row), int(column)) for row, column in np.argwhere(mask == index)}
    found = []
    while left:
        region, queue = set(), deque([left.pop()])
        while queue:
            row, column = queue.popleft()
            region.add((row, column))
            around = {(row + down, column + right) for down in (-1, 0, 1) for right in (-1, 0, 1)} & left
            left -= around
            queue.extend(around)
        counted = {pixel for pixel in region if valid[pixel]}
        if len(counted) >= SMALLEST and 2 * len(counted) >= len(region):
            found.append(counted)
    return sorted(found, key=min)


def naive_outcomes(true: list[set], seen: list[set], least: int) -> tuple[list[str], list[str]]:
    """What becomes of regions, by the definition, word by word."""

    def outcome(of: set, others: list[set], is_true: bool) -> str:
        def covers(predicted: set) -> list[set]:
            large = [one for one in true if len(one) >= least and len(predicted) >= least]
            return [one for one in large if len(one & predicted) >= HALF * len(one)]

        def parts(one: set) -> list[set]:
            large = [part for part in seen if len(part) >= least and len(one) >= least]
            return [part for part in large if len(one & part) >= HALF * len(part)]

        if any(len(of & other) / len(of | other) > MATCHING for other in others):
            return FOUND
        if is_true:
            merged = any(of in covers(predicted) and len(covers(predicted)) > 1 for predicted in seen)
            return MERGED if merged else SPLIT if len(parts(of)) > 1 else MISSED
        torn = any(of in parts(one) and len(parts(one)) > 1 for one in true)
        return MERGED if len(covers(of)) > 1 else SPLIT if torn else INVENTED

    return [outcome(one, seen, True) for one in true], [outcome(one, true, False) for one in seen]


def test_random_masks_are_judged_as_pixel_by_pixel() -> None:
    rng, told = np.random.default_rng(3), set()
    for least in (SMALLEST, 30) * 6:
        truth, predicted = (
            (np.kron(rng.random((12, 14)), np.ones((5, 5))) + rng.normal(0, 0.05, (60, 70)) > 0.55).astype(np.uint8)
            for _ in range(2)
        )
        predicted = np.where(np.kron(rng.random((6, 7)), np.ones((10, 10))) < 0.8, truth, predicted)
        truth = np.where(np.kron(rng.random((12, 14)), np.ones((5, 5))) < 0.05, VOID, truth).astype(np.uint8)
        objects, valid = find_objects(truth, predicted, 2), truth != VOID
        judged = judge(objects, least)
        for index in (GROUND, BUILDING):
            true, seen = (naive_regions(of, valid, index) for of in (truth, predicted))
            expected = naive_outcomes(true, seen, least)
            for regions, outcome, naive, sizes in (
                (objects.true, judged.true, expected[0], true),
                (objects.predicted, judged.predicted, expected[1], seen),
            ):
                here = regions.classes == index
                pairs = sorted(zip(regions.pixels[here].tolist(), outcome[here].tolist(), strict=True))
                assert pairs == sorted(zip(map(len, sizes), naive, strict=True))
                told |= set(naive)
    assert told == {FOUND, MERGED, SPLIT, MISSED, INVENTED}
