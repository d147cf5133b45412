"""The metrics that Keras shows while it trains, against plain sums over every pixel."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from segmentation.data.palette import VOID
from segmentation.model.metrics import ImageJaccard, Jaccard, MacroMeanIoU, PixelAccuracy, training_metrics
from segmentation.model.unet import unet

CLASSES = 4
PROJECT = Path(__file__).parents[2]


def batches(seed: int, classes: int = CLASSES) -> list[tuple[np.ndarray, np.ndarray]]:
    """Three batches of unequal size: labels with a quarter void, and probabilities."""
    rng = np.random.default_rng(seed)
    made = []
    for count in (3, 2, 1):
        labels = rng.integers(0, classes, (count, 8, 8), dtype=np.uint8)
        labels[rng.random((count, 8, 8)) < 0.25] = VOID
        probabilities = rng.random((count, 8, 8, classes), dtype=np.float32) ** 4
        made.append((labels, probabilities / probabilities.sum(-1, keepdims=True)))
    return made


def feed(metric: keras.metrics.Metric, data: list[tuple[np.ndarray, np.ndarray]]) -> float:
    for labels, probabilities in data:
        metric.update_state(labels, probabilities)
    return float(metric.result())


def images_of(data: list[tuple[np.ndarray, np.ndarray]]) -> list[tuple[np.ndarray, np.ndarray]]:
    return [pair for labels, probabilities in data for pair in zip(labels, probabilities, strict=True)]


def pixels_of(data: list[tuple[np.ndarray, np.ndarray]]) -> list[tuple[int, np.ndarray]]:
    """Every labelled pixel: its class and its probabilities."""
    return [
        (int(labels[row, column]), probabilities[row, column].astype(float))
        for labels, probabilities in images_of(data)
        for row in range(labels.shape[0])
        for column in range(labels.shape[1])
        if labels[row, column] != VOID
    ]


def plain_jaccard(pixels: list[tuple[int, np.ndarray]]) -> float:
    intersection = sum(probabilities[label] for label, probabilities in pixels)
    total = sum(1 + probabilities.sum() for _, probabilities in pixels)
    return (intersection + 1) / (total - intersection + 1)


def plain_image_jaccard(data: list[tuple[np.ndarray, np.ndarray]]) -> float:
    return float(np.mean([plain_jaccard(pixels_of([(label[None], p[None])])) for label, p in images_of(data)]))


def plain_accuracy(pixels: list[tuple[int, np.ndarray]]) -> float:
    return sum(label == probabilities.argmax() for label, probabilities in pixels) / len(pixels)


def plain_mean_iou(pixels: list[tuple[int, np.ndarray]]) -> float:
    scores = []
    for index in range(CLASSES):
        both = sum(label == index and p.argmax() == index for label, p in pixels)
        either = sum(label == index or p.argmax() == index for label, p in pixels)
        if either:
            scores.append(both / either)
    return sum(scores) / len(scores)


PLAIN: dict[str, Callable[[list], float]] = {
    "accuracy": lambda data: plain_accuracy(pixels_of(data)),
    "jaccard": lambda data: plain_jaccard(pixels_of(data)),
    "image_jaccard": plain_image_jaccard,
    "mean_iou": lambda data: plain_mean_iou(pixels_of(data)),
}


def metric_named(name: str) -> keras.metrics.Metric:
    return next(metric for metric in training_metrics(CLASSES) if metric.name == name)


def test_a_training_shows_four_metrics() -> None:
    assert [metric.name for metric in training_metrics(CLASSES)] == list(PLAIN)


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_metric_equals_the_plain_sum_over_all_batches(name: str, seed: int) -> None:
    data = batches(seed)
    assert feed(metric_named(name), data) == pytest.approx(PLAIN[name](data), abs=1e-5)


@pytest.mark.parametrize("name", PLAIN)
def test_a_metric_does_not_depend_on_the_batch_size(name: str) -> None:
    data = batches(2)
    one_by_one = [(label[None], p[None]) for label, p in images_of(data)]
    assert feed(metric_named(name), one_by_one) == pytest.approx(feed(metric_named(name), data), abs=1e-6)


@pytest.mark.parametrize("name", PLAIN)
def test_what_is_predicted_where_void_is_does_not_count(name: str) -> None:
    data = batches(3)
    changed = []
    for labels, probabilities in data:
        other = probabilities.copy()
        other[labels == VOID] = np.eye(CLASSES, dtype=np.float32)[1]
        changed.append((labels, other))
    assert feed(metric_named(name), changed) == pytest.approx(feed(metric_named(name), data), abs=1e-6)


@pytest.mark.parametrize("name", PLAIN)
def test_a_reset_forgets_everything(name: str) -> None:
    metric = metric_named(name)
    feed(metric, batches(4))
    metric.reset_state()
    assert feed(metric, batches(5)) == pytest.approx(feed(metric_named(name), batches(5)), abs=1e-6)


@pytest.mark.parametrize("name", PLAIN)
def test_a_perfect_prediction_scores_one(name: str) -> None:
    labels = np.random.default_rng(0).integers(0, CLASSES, (2, 8, 8), dtype=np.uint8)
    assert feed(metric_named(name), [(labels, np.eye(CLASSES, dtype=np.float32)[labels])]) == pytest.approx(1)


@pytest.mark.parametrize("name", ["accuracy", "mean_iou"])
def test_a_metric_of_nothing_but_void_is_zero_and_no_error(name: str) -> None:
    labels = np.full((1, 8, 8), VOID, np.uint8)
    assert feed(metric_named(name), [(labels, np.full((1, 8, 8, CLASSES), 0.25, np.float32))]) == 0


def test_images_without_any_label_do_not_count_image_by_image() -> None:
    data = batches(6)
    labels, probabilities = data[0]
    unlabelled = np.full_like(labels, VOID), probabilities
    assert feed(ImageJaccard(), [*data, unlabelled]) == pytest.approx(plain_image_jaccard(data), abs=1e-5)
    assert feed(ImageJaccard(), [unlabelled]) == 0


def test_more_pixels_than_32_bits_count_are_counted() -> None:
    """JAX has no integers of 64 bits unless it is told to."""
    metric = PixelAccuracy(2)
    for _ in range(3):
        metric.matrix.assign(np.array([[2**30 - 1, 0], [0, 0]]))
        metric.update_state(np.zeros((1, 1, 2), np.uint8), np.array([[[[1, 0], [1, 0]]]], np.float32))
    assert np.asarray(metric.carried).tolist() == [[3, 0], [0, 0]]
    metric.carried.assign(np.array([[9, 3], [0, 0]]))  # 12 thousand million
    assert float(metric.result()) == pytest.approx(0.75)


def test_a_class_in_neither_mask_nor_prediction_is_left_out_of_the_mean() -> None:
    labels = np.array([[[0, 0, 1, 1]]], np.uint8)
    predicted = np.array([[[0, 1, 1, 1]]])
    value = feed(MacroMeanIoU(CLASSES), [(labels, np.eye(CLASSES, dtype=np.float32)[predicted])])
    assert value == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_the_flattened_jaccard_of_hard_labels_follows_from_the_accuracy() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, (4, 64, 64), dtype=np.uint8)
    predicted = np.where(rng.random(labels.shape) < 0.6, labels, rng.integers(0, CLASSES, labels.shape))
    data = [(labels, np.eye(CLASSES, dtype=np.float32)[predicted])]
    accuracy = feed(PixelAccuracy(CLASSES), data)
    assert feed(Jaccard(), data) == pytest.approx(accuracy / (2 - accuracy), abs=1e-4)


def test_an_epoch_as_long_as_the_real_one_is_counted_exactly() -> None:
    """32-bit floats stop counting single pixels at 16.7 million: the confusion matrix must not."""
    metric = PixelAccuracy(2)
    metric.matrix.assign(np.array([[2**24, 0], [0, 0]]))
    labels = np.zeros((1, 1, 1), np.uint8)
    metric.update_state(labels, np.array([[[[1, 0]]]], np.float32))
    assert int(np.asarray(metric.matrix)[0, 0]) == 2**24 + 1


@pytest.mark.parametrize("metric", [Jaccard(), ImageJaccard(), PixelAccuracy(3, name="a"), MacroMeanIoU(5, name="m")])
def test_a_metric_is_rebuilt_from_its_config(metric: keras.metrics.Metric) -> None:
    config = json.loads(json.dumps(metric.get_config()))
    rebuilt = type(metric).from_config(config)
    assert (rebuilt.name, rebuilt.get_config()) == (metric.name, metric.get_config())


@pytest.mark.parametrize("metric", [Jaccard(), ImageJaccard(), PixelAccuracy(4), MacroMeanIoU(4)])
def test_a_metric_is_registered_under_the_packages_name(metric: keras.metrics.Metric) -> None:
    rebuilt = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert type(rebuilt) is type(metric)
    assert keras.saving.get_registered_name(type(metric)) == f"segmentation>{type(metric).__name__}"


def test_a_compiled_model_loads_in_a_fresh_process_without_custom_objects(tmp_path: Path) -> None:
    """Importing `segmentation.model.metrics` is all that a compiled file needs; `custom_objects` are not."""
    model = unet(16, CLASSES, filters=(4,), bottleneck=4)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=training_metrics(CLASSES))
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    labels = rng.integers(0, CLASSES, (4, 16, 16), dtype=np.uint8)
    model.fit(images, labels, verbose=0)
    model.save(tmp_path / "compiled.keras")
    np.savez(tmp_path / "data.npz", images=images, labels=labels)
    code = """
import json, sys
import keras, numpy as np
import segmentation.model.metrics
model = keras.saving.load_model(sys.argv[1] + "/compiled.keras")
data = np.load(sys.argv[1] + "/data.npz")
print(json.dumps(model.evaluate(data["images"], data["labels"], verbose=0, return_dict=True)))
"""
    child = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert child.returncode == 0, child.stderr
    expected = model.evaluate(images, labels, verbose=0, return_dict=True)
    assert json.loads(child.stdout.splitlines()[-1]) == pytest.approx(expected, abs=1e-5)
