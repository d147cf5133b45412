"""Kinds of error: known answers on made-up masks, and a slow definition, pixel by pixel."""

import numpy as np
import pytest

from segmentation.data.palette import VOID
from segmentation.evaluation import error_kinds
from segmentation.evaluation.error_kinds import DISTANCE, count_error_kinds, find_error_kinds
from segmentation.scores import confusion_matrices

SIZE = 64

GROUND, ROOF = 0, 1


def _mask(*squares: tuple[slice, slice]) -> np.ndarray:
    mask = np.full((SIZE, SIZE), GROUND, np.uint8)
    for square in squares:
        mask[square] = ROOF
    return mask


def _counts(truth: np.ndarray, predicted: np.ndarray, index: int = ROOF) -> dict[str, list[int]]:
    """Return [boundary, extent, segment] of a class, missed and invented."""
    counts = count_error_kinds(find_error_kinds(truth, predicted), truth, predicted, 2)
    return {"missed": counts[0, index].tolist(), "invented": counts[1, index].tolist()}


SQUARE = np.s_[20:40, 20:40]


def test_a_shifted_square_is_off_at_its_boundary() -> None:
    """Two columns left free, two covered: strips between what is right and what is neither."""
    truth, predicted = _mask(SQUARE), _mask(np.s_[20:40, 22:42])
    assert _counts(truth, predicted) == {"missed": [40, 0, 0], "invented": [40, 0, 0]}
    assert _counts(truth, predicted, GROUND) == {"missed": [40, 0, 0], "invented": [40, 0, 0]}


def test_a_grown_square_is_too_large_and_a_shrunk_one_too_small() -> None:
    """A ring of 8 px is no outline, one of 2 px is."""
    large, slightly = _mask(np.s_[12:48, 12:48]), _mask(np.s_[18:42, 18:42])
    assert _counts(_mask(SQUARE), large) == {"missed": [0, 0, 0], "invented": [0, 36**2 - 20**2, 0]}
    assert _counts(large, _mask(SQUARE)) == {"missed": [0, 36**2 - 20**2, 0], "invented": [0, 0, 0]}
    assert _counts(_mask(SQUARE), slightly) == {"missed": [0, 0, 0], "invented": [24**2 - 20**2, 0, 0]}


def test_a_square_missed_or_invented_whole_is_a_segment_and_changes_the_extent_of_the_ground() -> None:
    """What is missing of the one class is too much of the other, which is there."""
    with_it, without = _mask(SQUARE), _mask()
    assert _counts(with_it, without) == {"missed": [0, 0, 400], "invented": [0, 0, 0]}
    assert _counts(with_it, without, GROUND) == {"missed": [0, 0, 0], "invented": [0, 400, 0]}
    assert _counts(without, with_it) == {"missed": [0, 0, 0], "invented": [0, 0, 400]}
    assert _counts(without, with_it, GROUND) == {"missed": [0, 400, 0], "invented": [0, 0, 0]}


def test_one_object_is_found_and_another_missed() -> None:
    """Each region is judged by itself."""
    truth, predicted = _mask(SQUARE, np.s_[50:60, 50:60]), _mask(SQUARE)
    assert _counts(truth, predicted) == {"missed": [0, 0, 100], "invented": [0, 0, 0]}


def test_two_merged_squares_are_too_large_between_and_off_at_the_ends() -> None:
    """Of a gap of 20 × 6 px the six rows next to each end are near both squares and the ground."""
    truth = _mask(np.s_[20:40, 10:30], np.s_[20:40, 36:56])
    merged = _mask(np.s_[20:40, 10:56])
    assert _counts(truth, merged) == {"missed": [0, 0, 0], "invented": [72, 48, 0]}


def test_a_hole_is_too_little_of_its_object_and_invented_ground() -> None:
    """Ground in the middle of a roof is connected with no ground that is right."""
    predicted = _mask(SQUARE)
    predicted[28:32, 28:32] = GROUND
    assert _counts(_mask(SQUARE), predicted) == {"missed": [0, 16, 0], "invented": [0, 0, 0]}
    assert _counts(_mask(SQUARE), predicted, GROUND) == {"missed": [0, 0, 0], "invented": [0, 0, 16]}


def test_void_is_no_ground_and_joins_nothing() -> None:
    """Beside void there is no outline to be off, and a region ends at it."""
    truth = np.full((SIZE, SIZE), VOID, np.uint8)
    truth[SQUARE] = ROOF
    assert _counts(truth, _mask(np.s_[21:39, 21:39])) == {"missed": [0, 400 - 18**2, 0], "invented": [0, 0, 0]}
    truth = _mask(np.s_[20:40, 10:30])
    truth[:, 30:34] = VOID
    assert _counts(truth, _mask(np.s_[20:40, 10:50])) == {"missed": [0, 0, 0], "invented": [0, 0, 20 * 16]}
    predicted = _mask(np.s_[20:40, 10:30])
    predicted[0:4] = VOID  # nothing is predicted there: neither right nor wrong
    assert _counts(_mask(np.s_[20:40, 10:30]), predicted) == {"missed": [0, 0, 0], "invented": [0, 0, 0]}


def test_a_class_at_the_edge_of_the_picture_has_no_outline_there() -> None:
    """Two columns are free at the inner side, four rows at the picture's edge."""
    truth = _mask(np.s_[0:20, 0:20])
    assert _counts(truth, _mask(np.s_[0:20, 0:18])) == {"missed": [40, 0, 0], "invented": [0, 0, 0]}
    whole = np.full((SIZE, SIZE), ROOF, np.uint8)
    predicted = whole.copy()
    predicted[:2] = GROUND
    assert _counts(whole, predicted) == {"missed": [0, 2 * SIZE, 0], "invented": [0, 0, 0]}


def test_a_pixel_may_be_of_one_kind_for_its_class_and_of_another_for_the_one_it_is_predicted_as() -> None:
    """A building predicted as road is a missed building, and a road too large if it touches one."""
    truth, predicted = np.zeros((2, SIZE, SIZE), np.uint8)
    truth[:, 0:20] = predicted[:, 0:20] = 2  # a road
    truth[20:40, 20:40] = ROOF
    predicted[20:40, 20:40] = 2
    kinds = find_error_kinds(truth, predicted)
    assert set(np.unique(kinds.missed[20:40, 20:40])) == {error_kinds.SEGMENT}
    assert kinds.invented[30, 30] == error_kinds.EXTENT


def _slow(truth: np.ndarray, predicted: np.ndarray, distance: int) -> tuple[np.ndarray, np.ndarray]:
    """Do as the definition says, pixel by pixel."""
    height, width = truth.shape
    places = [(y, x) for y in range(height) for x in range(width) if truth[y, x] != VOID and predicted[y, x] != VOID]

    def near(some: set, of: tuple[int, int], squared: int) -> bool:
        return any((of[0] - y) ** 2 + (of[1] - x) ** 2 <= squared for y, x in some)

    def pieces(some: set) -> list[set]:
        left, found = set(some), []
        while left:
            piece, edge = set(), [left.pop()]
            while edge:
                y, x = edge.pop()
                piece.add((y, x))
                around = {(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
                left -= around
                edge.extend(around)
            found.append(piece)
        return found

    kinds = np.zeros((2, height, width), np.uint8)
    for index in range(4):
        true = {place for place in places if truth[place] == index}
        found = {place for place in places if predicted[place] == index}
        right, neither = true & found, set(places) - true - found
        for side, region in enumerate((true, found)):
            wrong = region - right
            for piece in pieces(region):
                for place in piece & wrong:
                    kinds[side][place] = 2 if piece & right else 3
            core = {at for at in wrong if near(right, at, distance**2) and near(neither, at, distance**2)}
            for strip in pieces({at for at in wrong if near(core, at, distance**2)}):
                if all(any(near(some, at, 2) for at in strip) for some in (right, neither)):
                    for place in strip:
                        kinds[side][place] = 1
    return kinds[0], kinds[1]


@pytest.mark.parametrize("distance", [1, 2, DISTANCE])
def test_random_masks_are_sorted_as_the_definition_says(distance: int) -> None:
    """Blocks of several classes with void and noise, of sides that are no square."""
    for seed in range(4):
        rng = np.random.default_rng(seed)
        truth = np.kron(rng.integers(0, 4, (4, 5)), np.ones((5, 6), int)).astype(np.uint8)
        predicted = np.roll(truth, rng.integers(-3, 4, 2), (0, 1))
        predicted[rng.random(truth.shape) < 0.03] = 1
        truth[rng.random(truth.shape) < 0.02] = VOID
        predicted[:2, :3] = VOID
        kinds, expected = find_error_kinds(truth, predicted, distance), _slow(truth, predicted, distance)
        for of, ours, theirs in zip(kinds._fields, kinds, expected, strict=True):
            np.testing.assert_array_equal(ours, theirs, err_msg=f"{of}, seed {seed}")
        assert {1, 2, 3} <= set(np.unique(kinds))


def test_kinds_add_up_to_the_missed_and_to_the_invented_pixels_of_each_class() -> None:
    """As the confusion matrix counts them."""
    rng = np.random.default_rng(7)
    truth = np.kron(rng.integers(0, 5, (8, 8)), np.ones((20, 20), int)).astype(np.uint8)
    predicted = np.roll(truth, 4, 1)
    truth[:9, :9] = VOID
    counts = count_error_kinds(find_error_kinds(truth, predicted), truth, predicted, 6)
    matrix = confusion_matrices(truth[None], predicted[None], 6)[0]
    wrong = matrix - np.diag(np.diag(matrix))
    assert counts[0].sum(-1).tolist() == wrong.sum(1).tolist()
    assert counts[1].sum(-1).tolist() == wrong.sum(0).tolist()


def test_a_large_picture_in_strips_has_the_kinds_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no object reaches beyond what a strip sees."""
    rng = np.random.default_rng(3)
    truth = np.kron(rng.random((40, 8)) < 0.3, np.ones((8, 8), int)).astype(np.uint8)
    predicted = np.roll(truth, 2, 0)
    whole = find_error_kinds(truth, predicted)
    monkeypatch.setattr(error_kinds, "STRIP", 64 * 50)
    for ours, theirs in zip(find_error_kinds(truth, predicted), whole, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_what_makes_no_sense_is_refused() -> None:
    """Shapes that differ, and a boundary of no width."""
    with pytest.raises(ValueError, match="Expected two"):
        find_error_kinds(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8))
    with pytest.raises(ValueError, match="distance"):
        find_error_kinds(np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.uint8), 0)
