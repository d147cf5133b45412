"""Each loss equals a plain NumPy computation, void left out."""

import keras
import numpy as np
import pytest

from segmentation.model.losses import TERMS, SegmentationLoss

CLASSES = 4
ONES = [1.0] * CLASSES


@pytest.fixture
def labels() -> np.ndarray:
    """Two small masks with void, in which class 3 does not occur."""
    labels = np.random.default_rng(0).integers(0, 3, (2, 5, 6)).astype("uint8")
    labels[0, :2, :3] = 255
    return labels


@pytest.fixture
def probabilities() -> np.ndarray:
    values = np.random.default_rng(1).random((2, 5, 6, CLASSES)) ** 3
    return (values / values.sum(-1, keepdims=True)).astype("float32")


def loss(name: str, labels: np.ndarray, probabilities: np.ndarray, weights: list[float] = ONES) -> float:
    return float(SegmentationLoss({name: 1.0}, weights)(labels, probabilities))


def of_pixels(labels: np.ndarray, probabilities: np.ndarray, weights: list[float], focus: float) -> float:
    above = below = 0.0
    for place in np.ndindex(labels.shape):
        if labels[place] != 255:
            p, weight = probabilities[place][labels[place]], weights[labels[place]]
            above -= weight * (1 - p) ** focus * np.log(p)
            below += weight
    return above / below


def of_classes(labels: np.ndarray, probabilities: np.ndarray, weights: list[float], dice: bool) -> float:
    labelled, above, below = labels != 255, 0.0, 0.0
    for index in range(CLASSES):
        truth = labels == index
        if truth.any():
            p = probabilities[..., index]
            intersection, total = p[truth].sum(), truth.sum() + p[labelled].sum()
            score = (2 * intersection + 1) / (total + 1) if dice else (intersection + 1) / (total - intersection + 1)
            above += weights[index] * (1 - score)
            below += weights[index]
    return above / below


@pytest.mark.parametrize("weights", [ONES, [1.0, 3.0, 0.5, 7.0]])
def test_losses_equal_plain_numpy(labels: np.ndarray, probabilities: np.ndarray, weights: list[float]) -> None:
    arguments = labels, probabilities, weights
    assert loss("cross_entropy", *arguments) == pytest.approx(of_pixels(*arguments, focus=0), rel=1e-5)
    assert loss("focal", *arguments) == pytest.approx(of_pixels(*arguments, focus=2), rel=1e-5)
    assert loss("jaccard", *arguments) == pytest.approx(of_classes(*arguments, dice=False), rel=1e-5)
    assert loss("dice", *arguments) == pytest.approx(of_classes(*arguments, dice=True), rel=1e-5)


def test_cross_entropy_is_that_of_keras(labels: np.ndarray, probabilities: np.ndarray) -> None:
    theirs = keras.losses.SparseCategoricalCrossentropy(ignore_class=255)(labels.astype("int32"), probabilities)
    assert loss("cross_entropy", labels, probabilities) == pytest.approx(float(theirs), rel=1e-5)


@pytest.mark.parametrize("name", TERMS)
def test_what_is_predicted_on_void_does_not_matter(name: str, labels: np.ndarray, probabilities: np.ndarray) -> None:
    elsewhere = probabilities.copy()
    elsewhere[labels == 255] = [0, 0, 0, 1]
    assert loss(name, labels, elsewhere) == pytest.approx(loss(name, labels, probabilities), rel=1e-6)


@pytest.mark.parametrize("name", TERMS)
def test_a_perfect_prediction_costs_nothing(name: str, labels: np.ndarray) -> None:
    perfect = np.eye(CLASSES, dtype="float32")[np.where(labels == 255, 3, labels)]
    assert loss(name, labels, perfect) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("name", TERMS)
def test_a_batch_of_nothing_but_void_costs_nothing_and_is_finite(name: str, probabilities: np.ndarray) -> None:
    assert loss(name, np.full((2, 5, 6), 255, "uint8"), probabilities) == 0


def test_a_sum_weighs_its_terms(labels: np.ndarray, probabilities: np.ndarray) -> None:
    both = SegmentationLoss({"cross_entropy": 1.0, "jaccard": 0.5}, ONES)(labels, probabilities)
    parts = loss("cross_entropy", labels, probabilities) + 0.5 * loss("jaccard", labels, probabilities)
    assert float(both) == pytest.approx(parts, rel=1e-6)


def test_a_loss_is_rebuilt_from_its_configuration(labels: np.ndarray, probabilities: np.ndarray) -> None:
    original = SegmentationLoss({"focal": 2.0, "dice": 1.0}, [1, 2, 3, 4])
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(original))
    assert float(again(labels, probabilities)) == pytest.approx(float(original(labels, probabilities)))


@pytest.mark.parametrize("terms", [{}, {"hinge": 1.0}])
def test_an_unknown_loss_is_refused(terms: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="Expected losses out of cross_entropy, focal, jaccard, dice"):
        SegmentationLoss(terms, ONES)
