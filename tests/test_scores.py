"""Every score against plain counting, pixel by pixel."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from sklearn.metrics import cohen_kappa_score, f1_score, jaccard_score, precision_score, recall_score

from segmentation import scores
from segmentation.data.palette import VOID
from segmentation.scores import (
    accuracy,
    boundary_counts,
    boundary_distance,
    boundary_iou,
    confusion_matrices,
    f1,
    frequency_weighted_iou,
    iou,
    jaccard,
    kappa,
    mean_iou,
    mean_iou_by_class,
    mean_iou_by_image,
    near_edges,
    precision,
    recall,
    soft_overlap,
    sureness_when_wrong,
)

CLASSES = 4


def pictures(seed: int, classes: int = CLASSES) -> tuple[np.ndarray, np.ndarray]:
    """Five masks with a fifth void, and predictions of which about half are right; class 3 only from image 2 on."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, (5, 7, 9), dtype=np.uint8)
    truth[:2] %= classes - 1
    predicted = np.where(rng.random(truth.shape) < 0.5, truth, rng.integers(0, classes, truth.shape)).astype(np.uint8)
    predicted[:2] %= classes - 1
    truth[rng.random(truth.shape) < 0.2] = VOID
    return truth, predicted


def counted(truth: np.ndarray, predicted: np.ndarray, classes: int = CLASSES) -> list[list[int]]:
    """The confusion matrix of one or more images, by counting."""
    matrix = [[0] * classes for _ in range(classes)]
    for true, guess in zip(truth.ravel().tolist(), predicted.ravel().tolist(), strict=True):
        if true != VOID:
            matrix[true][guess] += 1
    return matrix


def plain_iou(truth: np.ndarray, predicted: np.ndarray, index: int) -> float:
    labelled = truth != VOID
    both = np.sum(labelled & (truth == index) & (predicted == index))
    either = np.sum(labelled & ((truth == index) | (predicted == index)))
    return both / either if either else math.nan


@pytest.mark.parametrize("seed", range(3))
def test_every_image_has_its_own_confusion_matrix(seed: int) -> None:
    truth, predicted = pictures(seed)
    matrices = confusion_matrices(truth, predicted, CLASSES)
    assert (matrices.shape, matrices.dtype) == ((5, CLASSES, CLASSES), np.int64)
    for image in range(5):
        assert matrices[image].tolist() == counted(truth[image], predicted[image])


@given(st.integers(1, 8), array_shapes(min_dims=3, max_dims=3, max_side=6), st.data())
def test_every_score_is_that_of_plain_counting(classes: int, shape: tuple[int, ...], data: st.DataObject) -> None:
    index = st.integers(0, classes - 1)
    truth = data.draw(arrays(np.uint8, shape, elements=index | st.just(VOID)))
    predicted = data.draw(arrays(np.uint8, shape, elements=index))
    without = data.draw(index)
    matrices = confusion_matrices(truth, predicted, classes)
    for image, matrix in enumerate(matrices):
        assert matrix.tolist() == counted(truth[image], predicted[image], classes)
        of_labelled = (truth[image] == predicted[image])[truth[image] != VOID]
        by_class = [plain_iou(truth[image], predicted[image], index) for index in range(classes)]
        assert accuracy(matrix) == pytest.approx(np.mean(of_labelled) if of_labelled.size else math.nan, nan_ok=True)
        assert iou(matrix) == pytest.approx(np.array(by_class), nan_ok=True)
        for left_out in (None, without):
            known = [value for i, value in enumerate(by_class) if i != left_out and not math.isnan(value)]
            expected = sum(known) / len(known) if known else math.nan
            assert mean_iou(matrix, left_out) == pytest.approx(expected, nan_ok=True)


@given(st.integers(1, 5), array_shapes(min_dims=3, max_dims=3, max_side=5), st.data())
def test_soft_scores_are_those_of_one_hot_masks(classes: int, shape: tuple[int, ...], data: st.DataObject) -> None:
    truth = data.draw(arrays(np.uint8, shape, elements=st.integers(0, classes - 1) | st.just(VOID)))
    logits = data.draw(arrays(np.float32, (*shape, classes), elements=st.floats(-9, 9, width=32)))
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    one_hot = (truth[..., None] == np.arange(classes)).astype(float)
    both = (one_hot * probabilities).sum((1, 2, 3))
    all_in_all = one_hot.sum((1, 2, 3)) + (probabilities * (truth != VOID)[..., None]).sum((1, 2, 3))
    intersection, total = soft_overlap(truth, probabilities)
    assert intersection == pytest.approx(both, rel=1e-5)
    assert total == pytest.approx(all_in_all, rel=1e-5)
    assert jaccard(intersection, total) == pytest.approx((both + 1) / (all_in_all - both + 1), rel=1e-5)
    assert (jaccard(intersection, total) <= 1 + 1e-6).all()


def test_rows_are_true_and_columns_predicted() -> None:
    matrices = confusion_matrices(np.array([[[0, 0, 1]]], np.uint8), np.array([[[1, 1, 0]]], np.uint8), 2)
    assert matrices.tolist() == [[[0, 2], [1, 0]]]


def test_void_is_left_out_of_the_matrix() -> None:
    matrices = confusion_matrices(np.array([[[VOID, 1]]], np.uint8), np.array([[[0, 1]]], np.uint8), 2)
    assert matrices.tolist() == [[[0, 0], [0, 1]]]


def test_255_classes_and_void_do_not_mix() -> None:
    truth = np.array([[[254, VOID]]], np.uint8)
    matrix = confusion_matrices(truth, np.array([[[254, 254]]], np.uint8), 255)[0]
    assert (matrix[254, 254], matrix.sum()) == (1, 1)


def test_no_image_gives_no_matrix() -> None:
    nothing = np.empty((0, 4, 4), np.uint8)
    assert confusion_matrices(nothing, nothing, 3).shape == (0, 3, 3)


@pytest.mark.parametrize(
    ("truth", "predicted"),
    [
        (np.full((1, 2, 2), 3), np.zeros((1, 2, 2))),
        (np.zeros((1, 2, 2)), np.full((1, 2, 2), 3)),
        (np.zeros((1, 2, 2)), np.full((1, 2, 2), VOID)),
    ],
    ids=["true", "predicted", "void predicted"],
)
def test_an_index_that_is_no_class_is_refused(truth: np.ndarray, predicted: np.ndarray) -> None:
    with pytest.raises(ValueError, match="below 3"):
        confusion_matrices(truth.astype(np.uint8), predicted.astype(np.uint8), 3)


@pytest.mark.parametrize("shapes", [((1, 2, 2), (1, 2, 3)), ((2, 2), (2, 2)), ((2, 2, 2), (1, 2, 2))])
def test_shapes_that_do_not_match_are_refused(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    truth, predicted = (np.zeros(shape, np.uint8) for shape in shapes)
    with pytest.raises(ValueError, match="two"):
        confusion_matrices(truth, predicted, 3)


@pytest.mark.parametrize("seed", range(3))
def test_accuracy_is_the_share_of_labelled_pixels_that_are_right(seed: int) -> None:
    truth, predicted = pictures(seed)
    values = accuracy(confusion_matrices(truth, predicted, CLASSES))
    for image in range(5):
        labelled = truth[image] != VOID
        assert values[image] == pytest.approx(np.mean(truth[image][labelled] == predicted[image][labelled]))


@pytest.mark.parametrize("seed", range(3))
def test_iou_is_both_over_either(seed: int) -> None:
    truth, predicted = pictures(seed)
    values = iou(confusion_matrices(truth, predicted, CLASSES))
    expected = [[plain_iou(truth[i], predicted[i], index) for index in range(CLASSES)] for i in range(5)]
    assert values == pytest.approx(np.array(expected), nan_ok=True)


@pytest.mark.parametrize("seed", range(3))
def test_mean_iou_is_the_mean_over_the_classes_that_occur(seed: int) -> None:
    truth, predicted = pictures(seed)
    values = mean_iou(confusion_matrices(truth, predicted, CLASSES))
    for image in range(5):
        scores = [plain_iou(truth[image], predicted[image], index) for index in range(CLASSES)]
        scores = [score for score in scores if not math.isnan(score)]
        assert values[image] == pytest.approx(sum(scores) / len(scores))


def test_the_scores_of_a_set_come_from_the_sum_of_its_matrices() -> None:
    truth, predicted = pictures(0)
    matrix = confusion_matrices(truth, predicted, CLASSES).sum(0)
    assert iou(matrix) == pytest.approx([plain_iou(truth, predicted, index) for index in range(CLASSES)])
    assert float(accuracy(matrix)) == pytest.approx(np.mean(truth[truth != VOID] == predicted[truth != VOID]))


def test_a_class_absent_from_both_is_left_out_of_the_mean() -> None:
    matrix = np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]])
    assert math.isnan(iou(matrix)[2])
    assert float(mean_iou(matrix)) == pytest.approx((3 / 4 + 4 / 5) / 2)


def test_a_class_only_predicted_counts_as_zero() -> None:
    matrix = np.array([[3, 1], [0, 0]])
    assert iou(matrix).tolist() == [0.75, 0.0]
    assert mean_iou(matrix) == 0.375


def test_a_class_only_true_counts_as_zero() -> None:
    matrix = np.array([[3, 0], [1, 0]])
    assert iou(matrix).tolist() == [0.75, 0.0]
    assert mean_iou(matrix) == 0.375


def test_one_class_can_be_left_out_of_the_mean() -> None:
    matrix = np.array([[3, 1, 0], [0, 4, 0], [1, 0, 2]])
    assert float(mean_iou(matrix, without=2)) == pytest.approx((3 / 5 + 4 / 5) / 2)


def test_leaving_a_class_out_does_not_change_the_others_iou() -> None:
    """Its pixels still count as wrong where another class was predicted."""
    matrix = np.array([[3, 0], [2, 0]])
    assert float(mean_iou(matrix, without=1)) == pytest.approx(3 / 5)


def test_leaving_no_class_out_is_the_mean_over_all() -> None:
    matrix = np.array([[3, 1], [0, 4]])
    assert mean_iou(matrix, without=None) == mean_iou(matrix)


@pytest.mark.parametrize("score", [accuracy, mean_iou])
def test_an_image_of_nothing_but_void_has_no_score(score: Callable[[np.ndarray], np.ndarray]) -> None:
    assert math.isnan(score(np.zeros((3, 3), int)))


def test_an_image_of_nothing_but_void_has_no_iou() -> None:
    assert np.isnan(iou(np.zeros((2, 3, 3), int))).all()


def test_a_mean_over_no_class_does_not_exist() -> None:
    assert math.isnan(mean_iou(np.array([[4, 0], [0, 0]]), without=0))


def test_an_image_without_score_does_not_touch_the_next() -> None:
    stack = np.array([np.zeros((2, 2), int), np.eye(2, dtype=int)])
    assert accuracy(stack) == pytest.approx([math.nan, 1], nan_ok=True)
    assert mean_iou(stack) == pytest.approx([math.nan, 1], nan_ok=True)


def soft_pictures() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth, _ = pictures(0)
    probabilities = rng.random((*truth.shape, CLASSES), dtype=np.float32)
    return truth, probabilities / probabilities.sum(-1, keepdims=True)


def test_the_soft_overlap_is_a_sum_over_labelled_pixels_and_classes() -> None:
    truth, probabilities = soft_pictures()
    intersection, total = soft_overlap(truth, probabilities)
    for image in range(5):
        both = everything = 0.0
        for row in range(7):
            for column in range(9):
                if truth[image, row, column] != VOID:
                    both += float(probabilities[image, row, column, truth[image, row, column]])
                    everything += 1 + float(probabilities[image, row, column].sum())
        assert intersection[image] == pytest.approx(both)
        assert total[image] == pytest.approx(everything)


def test_the_soft_overlap_is_summed_in_64_bits() -> None:
    truth = np.zeros((1, 4200, 4200), np.uint8)  # 17.6 million pixels, more than 32-bit floats count one by one
    intersection, total = soft_overlap(truth, np.ones((1, 4200, 4200, 1), np.float32))
    assert (intersection[0], total[0]) == (4200**2, 2 * 4200**2)


def test_the_articles_jaccard_adds_one_above_and_below() -> None:
    assert jaccard(np.array([3.0]), np.array([10.0])) == pytest.approx([(3 + 1) / (10 - 3 + 1)])


def test_a_perfect_prediction_has_jaccard_one() -> None:
    truth, _ = pictures(1)
    perfect = np.eye(CLASSES, dtype=np.float32)[np.where(truth == VOID, 0, truth)]
    assert jaccard(*soft_overlap(truth, perfect)) == pytest.approx(np.ones(5))


@pytest.mark.parametrize("distance", [1, 2, 4])
def test_pixels_near_an_edge_are_those_with_another_class_so_close(distance: int) -> None:
    truth, _ = pictures(0)
    truth = truth[0].repeat(4, 0).repeat(4, 1)  # blocks, so that some pixels are far from any edge
    near = near_edges(truth, distance)
    for row, column in np.ndindex(truth.shape):
        around = [
            truth[r, c]
            for r in range(max(0, row - distance), min(truth.shape[0], row + distance + 1))
            for c in range(max(0, column - distance), min(truth.shape[1], column + distance + 1))
            # the edge is between pixels that touch side by side, not at corners
            if distance > 1 or abs(r - row) + abs(c - column) <= 1
        ]
        if distance == 1:
            assert near[row, column] == (len(set(around)) > 1)
        elif near[row, column]:
            assert len(set(around)) > 1
    assert near.any()


def test_sureness_when_wrong_is_over_the_wrong_labelled_pixels() -> None:
    truth = np.array([[[0, 1, VOID, 1]], [[0, 0, 0, 0]]], np.uint8)
    predicted = np.array([[[1, 0, 0, 1]], [[0, 0, 0, 0]]], np.uint8)
    confidence = np.array([[[0.95, 0.5, 0.99, 0.99]], [[0.9, 0.9, 0.9, 0.9]]], np.float32)
    mean, surely = sureness_when_wrong(truth, predicted, confidence)
    assert mean == pytest.approx([(0.95 + 0.5) / 2, math.nan], nan_ok=True)
    assert surely == pytest.approx([1 / 3, 0])


def test_one_class_has_no_edges() -> None:
    assert not near_edges(np.full((5, 6), 3, np.uint8), 3).any()


def test_always_saying_land_scores_as_measured(real_counts: dict[str, np.ndarray]) -> None:
    """Void counts as Unlabeled here, as in the article."""
    counts = sum(real_counts.values())
    matrix = np.zeros((6, 6), np.int64)
    matrix[:, 1] = [*counts[:5], counts[5] + counts[6]]
    micro = jaccard(matrix.trace(), 2 * matrix.sum())
    assert [round(float(score), 3) for score in (accuracy(matrix), micro, mean_iou(matrix))] == [0.524, 0.355, 0.087]


def test_a_picture_is_counted_in_strips_as_it_is_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    truth = np.kron(rng.integers(0, 4, (9, 8), dtype=np.uint8), np.ones((7, 6), np.uint8))
    truth[truth == 3] = VOID
    predicted = rng.integers(0, 3, truth.shape, dtype=np.uint8)
    monkeypatch.setattr(scores, "STRIP", 5 * truth.shape[1])
    whole, at_edges = scores.picture_matrices(truth, predicted, 3, 2)
    assert np.array_equal(whole, scores.confusion_matrices(truth[None], predicted[None], 3)[0])
    near = np.where(scores.near_edges(truth, 2), truth, VOID)
    assert np.array_equal(at_edges, scores.confusion_matrices(near[None], predicted[None], 3)[0])


@pytest.mark.parametrize("seed", range(5))
def test_further_scores_are_those_of_scikit_learn(seed: int) -> None:
    truth, predicted = pictures(seed)
    matrix = np.array(counted(truth, predicted))
    labelled = truth != VOID
    y, guess = truth[labelled], predicted[labelled]
    for ours, theirs in ((precision, precision_score), (recall, recall_score), (f1, f1_score)):
        np.testing.assert_allclose(ours(matrix), theirs(y, guess, average=None, labels=range(CLASSES)))
    assert kappa(matrix) == pytest.approx(cohen_kappa_score(y, guess))
    weighted = jaccard_score(y, guess, average="weighted", labels=range(CLASSES))
    assert frequency_weighted_iou(matrix) == pytest.approx(weighted)


def test_further_scores_of_a_stack_are_those_of_each_and_what_is_nowhere_has_none() -> None:
    rng = np.random.default_rng(5)
    stack = rng.integers(0, 9, (3, 4, 4))
    stack[1, :, 2], stack[1, 2] = 0, 0
    stack[2] = 0
    for score in (precision, recall, f1, frequency_weighted_iou, kappa):
        np.testing.assert_equal(score(stack), np.stack([score(matrix) for matrix in stack]))
    assert np.isnan([precision(stack)[1, 2], recall(stack)[1, 2], f1(stack)[1, 2], kappa(stack)[2]]).all()
    assert np.isfinite([frequency_weighted_iou(stack)[1], kappa(stack)[1]]).all()
    assert np.isnan(kappa(np.array([[7, 0], [0, 0]])))  # chance alone is right everywhere
    assert kappa(np.array([[0, 5], [5, 0]])) == -1
    assert kappa(np.full((2, 2), 1 << 40)) == 0  # beyond what integers of 64 bits hold when multiplied


def eroded(mask: np.ndarray, times: int) -> np.ndarray:
    """What the authors' code does: a rim of zeros, so that the image's edge is a boundary, and a square of 3 × 3."""
    padded = np.pad(mask, 1)
    for _ in range(times):
        smaller = padded.copy()
        for row, column in np.argwhere(padded):
            smaller[row, column] = padded[row - 1 : row + 2, column - 1 : column + 2].all()
        padded = smaller
    return padded[1:-1, 1:-1]


def papers_boundary(truth: np.ndarray, predicted: np.ndarray, index: int) -> tuple[int, int]:
    """Pixels in both boundaries of one class, and in either, as Cheng et al. have it."""
    times = max(1, round(0.02 * (truth.shape[0] ** 2 + truth.shape[1] ** 2) ** 0.5))
    edges = [mask & ~eroded(mask, times) for mask in (truth == index, (predicted == index) & (truth != VOID))]
    return (edges[0] & edges[1]).sum(), (edges[0] | edges[1]).sum()


@pytest.mark.parametrize("shape", [(12, 15), (40, 70), (80, 75)], ids=["1 px", "2 px, wide", "2 px"])
def test_boundary_iou_is_the_papers_class_by_class(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(5)
    rough = tuple(-(-side // 8) for side in shape)
    truth, predicted = (
        rng.integers(0, CLASSES - 1, (2, *rough), dtype=np.uint8).repeat(8, 1).repeat(8, 2)[:, : shape[0], : shape[1]]
        for _ in range(2)
    )
    predicted = np.where(rng.random(truth.shape) < 0.95, truth, predicted)
    truth[1, 3:9, 5:12] = VOID
    counts = boundary_counts(truth, predicted, CLASSES)
    expected = [[papers_boundary(truth[i], predicted[i], index) for index in range(CLASSES)] for i in range(2)]
    assert counts.tolist() == np.swapaxes(expected, 1, 2).tolist()
    both, either = counts.sum(0)
    assert boundary_iou(counts.sum(0)) == pytest.approx(both / np.where(either, either, np.nan), nan_ok=True)
    assert math.isnan(boundary_iou(counts.sum(0))[-1])  # the class that is neither true nor predicted


@pytest.mark.parametrize(("size", "distance"), [((160, 160), 5), ((8, 8), 1), ((512, 1024), 23)])
def test_a_boundary_reaches_two_per_cent_of_the_diagonal(size: tuple[int, int], distance: int) -> None:
    assert boundary_distance(*size) == distance


def papers_lists(matrices: np.ndarray) -> tuple[list[float], list[list[float]]]:
    """Each image's mean IoU, and each class's IoU image by image, over the classes that are true in the image."""
    of_images, of_classes = [], [[] for _ in range(matrices.shape[-1])]
    for matrix in matrices:
        values = []
        for index in range(len(matrix)):
            if matrix[index].sum():
                value = matrix[index, index] / (matrix[index].sum() + matrix[:, index].sum() - matrix[index, index])
                values.append(value)
                of_classes[index].append(value)
        if values:
            of_images.append(sum(values) / len(values))
    return of_images, of_classes


def lowest(values: list[float], percent: int) -> float:
    chosen = sorted(values)[: max(1, int(percent / 100 * len(values)))]
    return sum(chosen) / len(chosen)


@pytest.mark.parametrize("percent", [100, 25, 10, 5, 1])
def test_fine_grained_means_are_the_papers(percent: int) -> None:
    """As Wang et al. compute them: lists of images, sorted."""
    rng = np.random.default_rng(percent)
    matrices = rng.integers(0, 50, (40, CLASSES, CLASSES)) * (rng.random((40, CLASSES, 1)) < 0.6)
    matrices[:, 2] = 0  # never true, often predicted
    matrices[7] = 0
    of_images, of_classes = papers_lists(matrices)
    assert mean_iou_by_image(matrices, percent) == pytest.approx(lowest(of_images, percent))
    by_class = [lowest(values, percent) for values in of_classes if values]
    assert len(by_class) == 3
    assert mean_iou_by_class(matrices, percent) == pytest.approx(sum(by_class) / 3)


@pytest.mark.parametrize("score", [mean_iou_by_class, mean_iou_by_image])
@pytest.mark.parametrize("images", [0, 3])
def test_images_of_nothing_have_no_fine_grained_mean(score: Callable[[np.ndarray], float], images: int) -> None:
    assert math.isnan(score(np.zeros((images, 3, 3), int)))
