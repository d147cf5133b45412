"""A trained network for patches and for scenes of any size."""

import json
import threading
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import pytest

from segmentation.data.scenes import Dataset, read_scene
from segmentation.errors import RunError
from segmentation.inference.engine import CORES
from segmentation.inference.options import Inference
from segmentation.inference.prediction import most_probable
from segmentation.inference.predictor import BATCH, Predictor
from segmentation.model.unet import unet
from segmentation.runs.run import SHIPPED

SIZE, CLASSES = 16, 4

WHAT_LOADS = "what loads is a .keras file of Keras 3 without code of its own, from square RGB patches to probabilities"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    keras.utils.set_random_seed(0)
    path = tmp_path_factory.mktemp("models") / "best.keras"
    unet(SIZE, CLASSES, filters=(4, 8), bottleneck=8).save(path)
    return path


@pytest.fixture(scope="module")
def predictor(path: Path) -> Predictor:
    return Predictor(path)


def image_of(height: int, width: int) -> np.ndarray:
    """Noise with broad bright and dark bands, so that the prediction differs from place to place."""
    rng = np.random.default_rng(height * 1000 + width)
    bands = 100 + 100 * np.sin(np.arange(height) / 5)[:, None, None] * np.cos(np.arange(width) / 7)[None, :, None]
    return np.clip(bands + rng.integers(-50, 50, (height, width, 3)), 0, 255).astype(np.uint8)


def test_patch_size_and_classes_are_the_models(predictor: Predictor) -> None:
    assert (predictor.patch_size, predictor.classes) == (SIZE, CLASSES)


def test_batches_are_the_models_probabilities(predictor: Predictor, path: Path) -> None:
    images = np.stack([image_of(SIZE, SIZE), image_of(SIZE + 3, SIZE)[3:]])
    expected = keras.saving.load_model(path).predict(images, verbose=0)
    (probabilities,) = predictor.batches(images)
    assert (probabilities.dtype, probabilities.shape) == (np.float32, (2, SIZE, SIZE, CLASSES))
    assert np.allclose(probabilities, expected, atol=1e-5)


def test_many_patches_come_in_several_batches_and_in_order(predictor: Predictor) -> None:
    images = np.stack([np.roll(image_of(SIZE, SIZE), shift, axis=0) for shift in range(2 * BATCH + 3)])
    batches = list(predictor.batches(images))
    assert [len(batch) for batch in batches] == [BATCH, BATCH, 3]
    alone = [next(predictor.batches(image[None])) for image in images]
    assert np.allclose(np.concatenate(batches), np.concatenate(alone), atol=1e-5)


def test_no_batch_has_patches_of_two_scenes(predictor: Predictor) -> None:
    images = np.stack([image_of(SIZE, SIZE)] * 10)
    batches = list(predictor.batches(images, of_scenes=[BATCH + 1, 0, 2, 3]))
    assert [len(batch) for batch in batches] == [BATCH, 1, 2, 3]


def test_however_many_predict_no_more_is_computed_at_once_than_there_are_cores(path: Path) -> None:
    predictor = Predictor(path)
    lock, at_once, most = threading.Lock(), 0, 0
    forward = predictor._forward

    def counted(batch: np.ndarray) -> np.ndarray:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        probabilities = forward(batch)
        with lock:
            at_once -= 1
        return probabilities

    predictor._forward = counted
    images = np.stack([image_of(SIZE, SIZE)] * 20 * BATCH)
    with ThreadPoolExecutor(4) as people:
        assert [len(batches) for batches in people.map(lambda _: list(predictor.batches(images)), range(4))] == [20] * 4
    assert most <= CORES


def test_what_nobody_waits_for_is_not_computed(path: Path) -> None:
    predictor = Predictor(path)
    computed, forward = [], predictor._forward
    predictor._forward = lambda batch: (computed.append(len(batch)), forward(batch))[1]
    batches = predictor.batches(np.stack([image_of(SIZE, SIZE)] * 20 * BATCH))
    next(batches)
    batches.close()
    list(predictor.batches(image_of(SIZE, SIZE)[None]))
    assert len(computed) <= 1 + CORES + 1  # the one received, those under way, and the last


def test_no_patches_give_no_batch(predictor: Predictor) -> None:
    assert list(predictor.batches(np.empty((0, SIZE, SIZE, 3), np.uint8))) == []


def test_a_prediction_is_the_same_every_time(predictor: Predictor) -> None:
    images = image_of(SIZE, SIZE)[None]
    one, other = (next(predictor.batches(images)) for _ in range(2))
    assert np.array_equal(one, other)


def test_test_time_augmentation_is_the_mean_over_all_eight_ways_up(predictor: Predictor) -> None:
    images = np.stack([image_of(SIZE, SIZE), image_of(SIZE + 3, SIZE)[3:]])
    total = np.zeros((2, SIZE, SIZE, CLASSES))
    for transpose in (False, True):
        for up in (1, -1):
            for left in (1, -1):
                seen = (images.swapaxes(1, 2) if transpose else images)[:, ::up, ::left]
                (probabilities,) = predictor.batches(np.ascontiguousarray(seen))
                back = probabilities[:, ::up, ::left]
                total += back.swapaxes(1, 2) if transpose else back
    (averaged,) = predictor.batches(images, tta=True)
    assert np.allclose(averaged, total / 8, atol=1e-5)
    assert not np.allclose(averaged, next(predictor.batches(images)), atol=1e-3)


def test_a_scene_can_be_predicted_with_test_time_augmentation(predictor: Predictor) -> None:
    image = image_of(SIZE, SIZE)
    (probabilities,) = predictor.batches(image[None], tta=True)
    prediction = predictor.scene(image, Inference(tta=True))
    assert_is_best(prediction.classes, prediction.confidence, probabilities[0])


SCENES = [(1, 1), (1, 40), (5, 9), (16, 16), (33, 70), (48, 32), (31, 15)]


@pytest.mark.parametrize(("height", "width"), SCENES)
def test_every_pixel_of_a_scene_gets_a_class_and_a_confidence(predictor: Predictor, height: int, width: int) -> None:
    prediction = predictor.scene(image_of(height, width))
    assert prediction.classes.shape == prediction.confidence.shape == (height, width)
    assert (prediction.classes.dtype, prediction.confidence.dtype) == (np.uint8, np.float32)
    assert prediction.classes.max() < CLASSES
    assert prediction.confidence.min() >= 1 / CLASSES - 1e-6
    assert prediction.confidence.max() <= 1 + 1e-6


def assert_is_best(classes: np.ndarray, confidence: np.ndarray, probabilities: np.ndarray) -> None:
    """The class is the most probable one, or one as probable but for rounding, and its probability is told."""
    chosen = np.take_along_axis(probabilities, classes[..., None].astype(int), axis=-1)[..., 0]
    assert np.allclose(chosen, probabilities.max(-1), atol=1e-5)
    assert np.allclose(confidence, probabilities.max(-1), atol=1e-5)


@pytest.mark.parametrize(("tta", "overlap"), [(False, 0.0), (True, 0.0), (False, 0.5)])
def test_classes_alone_are_those_of_the_scene(predictor: Predictor, tta: bool, overlap: float) -> None:
    image = image_of(70, 50)
    expected = predictor.scene(image, Inference(overlap, tta)).classes
    classes = predictor.scene_classes(image, Inference(overlap, tta))
    assert classes.dtype == np.uint8
    assert np.array_equal(classes, expected)


@pytest.mark.parametrize(("height", "width"), [(33, 70), (48, 32), (16, 16)])
def test_where_whole_patches_fit_a_scene_is_predicted_patch_by_patch(
    predictor: Predictor, height: int, width: int
) -> None:
    image = image_of(height, width)
    prediction = predictor.scene(image)
    for top in range(0, height - SIZE + 1, SIZE):
        for left in range(0, width - SIZE + 1, SIZE):
            place = slice(top, top + SIZE), slice(left, left + SIZE)
            (probabilities,) = predictor.batches(image[place][None])
            assert_is_best(prediction.classes[place], prediction.confidence[place], probabilities[0])


def mirrored(index: int, length: int) -> int:
    """Where a mirror at each end of 0 … length - 1 sends an index from beyond."""
    index %= 2 * length
    return index if index < length else 2 * length - 1 - index


@pytest.mark.parametrize(("height", "width"), SCENES)
def test_what_is_left_over_is_filled_up_with_its_mirror_image(predictor: Predictor, height: int, width: int) -> None:
    image = image_of(height, width)
    prediction = predictor.scene(image)
    top, left = (height - 1) // SIZE * SIZE, (width - 1) // SIZE * SIZE
    rows = [mirrored(top + i, height) for i in range(SIZE)]
    columns = [mirrored(left + i, width) for i in range(SIZE)]
    (probabilities,) = predictor.batches(image[np.ix_(rows, columns)][None])
    corner = slice(top, height), slice(left, width)
    inside = probabilities[0, : height - top, : width - left]
    assert_is_best(prediction.classes[corner], prediction.confidence[corner], inside)


def test_a_scenes_probabilities_are_the_models_to_half_precision(predictor: Predictor) -> None:
    image = image_of(33, 70)
    prediction = predictor.scene(image)
    (probabilities,) = predictor.batches(image[:SIZE, SIZE : 2 * SIZE][None])
    assert prediction.probabilities.shape == (33, 70, CLASSES)
    here = prediction.probabilities[:SIZE, SIZE : 2 * SIZE].astype(float)
    assert np.allclose(here, probabilities[0], atol=1e-3)


def test_entropy_is_that_of_the_probabilities_scaled_to_one(predictor: Predictor) -> None:
    prediction = predictor.scene(image_of(20, 20))
    p = np.maximum(prediction.probabilities.astype(float), 1e-12)
    assert np.allclose(prediction.entropy, -(p * np.log(p)).sum(-1) / np.log(CLASSES), atol=2e-3)
    assert prediction.entropy.max() <= 1


def test_a_scene_reports_every_batch(predictor: Predictor) -> None:
    calls = []
    predictor.scene(image_of(5 * SIZE, 8 * SIZE), progress=lambda done, total: calls.append((done, total)))
    assert calls == [(done, 40) for done in range(BATCH, 41, BATCH)]


def averaged_by_hand(path: Path, image: np.ndarray, overlap: int) -> np.ndarray:
    """Class probabilities of windows twice as wide as a patch, by weights that fall towards a window's edge."""
    size = 2 * SIZE
    wide_model = unet(size, CLASSES, filters=(4, 8), bottleneck=8)
    wide_model.set_weights(keras.saving.load_model(path).get_weights())
    height, width = image.shape[:2]
    stride = size - overlap
    wide = np.pad(image, ((overlap, 2 * size), (overlap, 2 * size), (0, 0)), mode="symmetric")
    sums, counts = np.zeros((*wide.shape[:2], CLASSES)), np.zeros((*wide.shape[:2], 1))
    to_edge = np.minimum(np.arange(size), np.arange(size)[::-1]) + 0.5
    along = np.sin(np.pi / 2 * np.minimum(1, to_edge / overlap)) ** 2
    weights = along[:, None, None] * along[:, None]
    for top in range(0, height + overlap, stride):
        for left in range(0, width + overlap, stride):
            here = np.s_[top : top + size, left : left + size]
            sums[here] += wide_model.predict(wide[here][None], verbose=0)[0] * weights
            counts[here] += weights
    inside = np.s_[overlap : overlap + height, overlap : overlap + width]
    return sums[inside] / counts[inside]


@pytest.mark.parametrize(("height", "width"), [(43, 70), (68, 33), (37, 40)])
@pytest.mark.parametrize("overlap", [4, 8])
def test_overlapping_windows_are_averaged(
    predictor: Predictor, path: Path, height: int, width: int, overlap: int
) -> None:
    image = image_of(height, width)
    prediction = predictor.scene(image, Inference(overlap / SIZE))
    assert_is_best(prediction.classes, prediction.confidence, averaged_by_hand(path, image, overlap))


def test_a_network_of_one_size_sees_overlapping_patches(tmp_path: Path) -> None:
    """Layers of fixed sizes know no wider windows; a prediction of nothing but the pixel itself shows no seam."""
    inputs = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Resizing(SIZE, SIZE)(inputs)
    keras.Model(inputs, keras.layers.Conv2D(CLASSES, 1, activation="softmax")(x)).save(tmp_path / "best.keras")
    predictor, image, calls = Predictor(tmp_path / "best.keras"), image_of(3 * SIZE, SIZE), []
    prediction = predictor.scene(image, Inference(0.5), lambda done, total: calls.append(total))
    assert calls[-1] == 7
    patches = np.concatenate(list(predictor.batches(image.reshape(3, SIZE, SIZE, 3))))
    assert_is_best(prediction.classes, prediction.confidence, patches.reshape(3 * SIZE, SIZE, CLASSES))


@pytest.mark.parametrize(("run", "by_32", "by_any"), [("dubai-unet", 0.01, 0.05), ("dubai-best", 0.025, 0.06)])
def test_where_the_windows_begin_changes_few_pixels(
    real_dataset: Dataset, run: str, by_32: float, by_any: float
) -> None:
    """Shares of pixels that get another class, on scenes where many do; what is left is the network's own stride."""
    predictor = Predictor(SHIPPED / run / "best.keras")
    for scene in (real_dataset.scenes[15], real_dataset.scenes[25]):
        image = read_scene(scene, real_dataset.palette)[0][:560, :640]

        def classes(overlap: float, *offset: int, image: np.ndarray = image) -> np.ndarray:
            strips = predictor.strips(lambda top, end: image[top:end], *image.shape[:2], Inference(overlap), offset)
            return np.concatenate([strip.argmax(-1) for strip in strips])

        expected, side_by_side = classes(0.5, 0, 0), classes(0.0, 0, 0)
        for offset in ((32, 32), (64, 96)):
            share = (classes(0.5, *offset) != expected).mean()
            assert share < by_32
            # Patches side by side are another matter.
            assert (classes(0.0, *offset) != side_by_side).mean() > 2 * share
        for offset in ((1, 1), (37, 61), (79, 79)):
            assert (classes(0.5, *offset) != expected).mean() < by_any


@pytest.mark.parametrize("overlap", [0.25, 0.5])
def test_an_image_of_one_patch_is_seen_once_whatever_the_overlap(predictor: Predictor, overlap: float) -> None:
    image = image_of(SIZE, SIZE)
    prediction = predictor.scene(image, Inference(overlap))
    (probabilities,) = predictor.batches(image[None])
    assert_is_best(prediction.classes, prediction.confidence, probabilities[0])


@pytest.mark.parametrize(("height", "width"), SCENES)
@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.5])
@pytest.mark.parametrize("offset", [(0, 0), (5, 7), (15, 1)])
def test_strips_hold_every_row_once_and_ask_for_few(
    predictor: Predictor, height: int, width: int, overlap: float, offset: tuple[int, int]
) -> None:
    image, asked = image_of(height, width), []

    def read(top: int, end: int) -> np.ndarray:
        asked.append(end - top)
        return image[top:end]

    strips = list(predictor.strips(read, height, width, Inference(overlap), offset))
    probabilities = np.concatenate(strips)
    assert probabilities.shape == (height, width, CLASSES)
    assert np.allclose(probabilities.sum(-1), 1, atol=1e-5)
    assert max(asked) <= (2 * SIZE if overlap else SIZE)
    assert max(map(len, strips)) <= max(asked)


def test_the_image_is_not_changed(predictor: Predictor) -> None:
    image = image_of(33, 70)
    before = image.copy()
    predictor.scene(image)
    assert np.array_equal(image, before)


def write_dense(path: Path) -> None:
    keras.Sequential([keras.Input((10,)), keras.layers.Dense(3)]).save(path)


def write_oblong(path: Path) -> None:
    keras.Sequential([keras.Input((16, 32, 3)), keras.layers.Conv2D(3, 1)]).save(path)


def write_grey(path: Path) -> None:
    keras.Sequential([keras.Input((16, 16, 1)), keras.layers.Conv2D(3, 1)]).save(path)


def write_any_size(path: Path) -> None:
    keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(3, 1)]).save(path)


def write_halving(path: Path) -> None:
    keras.Sequential([keras.Input((16, 16, 3)), keras.layers.MaxPooling2D()]).save(path)


def write_two_inputs(path: Path) -> None:
    one, other = keras.Input((16, 16, 3)), keras.Input((16, 16, 3))
    keras.Model([one, other], keras.layers.Add()([one, other])).save(path)


@pytest.mark.parametrize(
    ("write", "why"),
    [
        (write_dense, WHAT_LOADS),
        (write_oblong, "it maps 32 × 16 × 3 to 32 × 16 × 3, not square RGB patches to probabilities of the same size"),
        (write_grey, "it maps 16 × 16 × 1 to 16 × 16 × 3, not square RGB patches to probabilities of the same size"),
        (
            write_any_size,
            "it maps any × any × 3 to any × any × 3, not square RGB patches to probabilities of the same size",
        ),
        (write_halving, "it maps 16 × 16 × 3 to 8 × 8 × 3, not square RGB patches to probabilities of the same size"),
        (write_two_inputs, WHAT_LOADS),
    ],
)
def test_a_model_that_maps_no_square_patches_to_classes_is_refused(
    tmp_path: Path, write: Callable[[Path], None], why: str
) -> None:
    (tmp_path / "other").mkdir()
    write(tmp_path / "other" / "best.keras")
    with pytest.raises(RunError) as refusal:
        Predictor(tmp_path / "other" / "best.keras")
    assert str(refusal.value) == f"best.keras of other cannot be loaded: {why}."


def write_lambda(path: Path, marker: Path) -> None:
    """A model with a function of its own in it, as bytecode, that makes a file when the model is called."""

    touch = lambda images, place: (open(place, "a").close(), images)[1]  # noqa: E731, PTH123 (it has no imports)
    arguments = {"arguments": {"place": str(marker)}, "output_shape": (16, 16, 3)}
    keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Lambda(touch, **arguments)]).save(path)


def write_foreign_class(path: Path, marker: Path) -> None:
    """A model whose config names a function of the standard library in a layer's place, to be called with a command."""
    keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Conv2D(3, 1, activation="relu")]).save(path)
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    foreign = {"module": "os", "class_name": "system", "registered_name": None, "config": f"touch {marker}"}
    config = json.loads(files["config.json"])
    config["config"]["layers"].append(foreign)
    config["config"]["layers"][1]["config"]["activation"] = foreign
    files["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


@pytest.mark.parametrize("write", [write_lambda, write_foreign_class])
def test_a_model_that_brings_code_runs_none_of_it(tmp_path: Path, write: Callable[[Path, Path], None]) -> None:
    path, marker = tmp_path / "foreign" / "best.keras", tmp_path / "marker"
    path.parent.mkdir()
    write(path, marker)
    if marker.exists():  # it was called when it was made
        marker.unlink()
    with pytest.raises(RunError, match=f"^best.keras of foreign cannot be loaded: {WHAT_LOADS}\\.$"):
        Predictor(path)
    assert not marker.exists()
    if write is write_lambda:  # it would have
        keras.saving.load_model(path, safe_mode=False)(np.zeros((1, 16, 16, 3), np.float32))
        assert marker.exists()


@pytest.mark.parametrize("content", [None, b"", b"no model", b"PK\x03\x04 a broken zip"], ids=repr)
def test_a_file_that_cannot_be_loaded_is_named_with_its_run(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "tiny" / "best.keras"
    path.parent.mkdir()
    if content is not None:
        path.write_bytes(content)
    why = "it is not there" if content is None else WHAT_LOADS
    with pytest.raises(RunError, match=f"^best.keras of tiny cannot be loaded: {why}\\.$"):
        Predictor(path)


def test_half_a_model_file_cannot_be_loaded(path: Path, tmp_path: Path) -> None:
    half = tmp_path / "best.keras"
    half.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(RunError, match=f"cannot be loaded: {WHAT_LOADS}\\.$"):
        Predictor(half)


def test_the_most_probable_class_is_the_first_of_the_best() -> None:
    probabilities = np.random.default_rng(3).integers(0, 4, (5, 7, 6)).astype(np.float32)
    best, confidence = most_probable(probabilities)
    assert (best.dtype, confidence.dtype) == (np.uint8, np.float32)
    assert np.array_equal(best, probabilities.argmax(-1))
    assert np.array_equal(confidence, probabilities.max(-1))
