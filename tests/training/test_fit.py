"""A training from files to scores; stopped, killed and resumed at every kind of moment."""

import csv
import dataclasses
import hashlib
import json
import math
import os
import select
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import keras
import numpy as np
import onnx
import pandas as pd
import pytest
import tensorflow as tf
from PIL import Image

from segmentation.configuration import Configuration
from segmentation.data.images import read_size
from segmentation.data.patches import load_patches
from segmentation.data.scenes import Dataset, find_dataset, read_scene
from segmentation.errors import ConfigurationError, RunError, StorageError
from segmentation.evaluation.evaluate import evaluate_run
from segmentation.inference.engine import onnx_engine
from segmentation.inference.predictor import Predictor
from segmentation.model.registry import ARCHITECTURES, Architecture
from segmentation.model.unet import unet
from segmentation.runs.run import Run, read_selection
from segmentation.training.callbacks import STATUS_SECONDS, Heartbeat, Snapshot
from segmentation.training.fit import learning_rate, train, worst_patches

PROJECT = Path(__file__).parents[2]
FILES = {"config.json", "history.csv", "best.keras", "best.onnx", "metrics.json", "patches.csv", "status.json"}
CLASSES = {
    "Building": (60, 16, 152),
    "Land": (132, 41, 246),
    "Road": (110, 193, 228),
    "Vegetation": (254, 221, 58),
    "Water": (226, 169, 41),
    "Unlabeled": (155, 155, 155),
}

SHORT = Configuration(
    architecture="tiny",
    patch_size=32,
    epochs=4,
    batch_size=8,
    schedule="cosine",
    warm_up=1,
    weight_decay=0.1,
    ema=0.5,
    flips_and_rotations=True,
    random_windows=True,
    zoom=0.5,
    brightness=0.1,
)
"""Four epochs under the article's protocol, each with its own learning rate and augmentation, weights averaged."""

KILLED_OFTEN = dataclasses.replace(SHORT, epochs=12, batch_size=16)

STANDSTILL = Configuration(
    architecture="tiny", patch_size=32, epochs=6, batch_size=8, learning_rate=1e-30, early_stopping=2
)
"""Steps too small to change a weight: the loss of the first epoch is never beaten, and the third is the last."""


def written(folder: Path) -> dict[str, int]:
    """When each file of a run folder was last written, in nanoseconds."""
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module", autouse=True)
def tiny_architecture() -> Iterator[None]:
    """Add a network of some hundred parameters to the registry, as anyone may add one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ARCHITECTURES, "tiny", Architecture(partial(unet, filters=(4,), bottleneck=4), divisor=2))
        yield


def epochs_in(folder: Path) -> int:
    """How many epochs history.csv in `folder` holds, read as plain lines."""
    try:
        return max(0, (folder / "history.csv").read_bytes().count(b"\n") - 1)
    except FileNotFoundError:
        return 0


@contextmanager
def control_c_after(epochs: int, folder: Path) -> Iterator[None]:
    """Press Ctrl-C once the snapshot of a training in `folder` holds so many epochs."""

    def look(number: int, frame: FrameType | None) -> None:
        if epochs_in(folder / "latest") >= epochs:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGALRM, look)
    # A shell that starts tests in the background has them ignore Ctrl-C.
    ctrl_c_before = signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        signal.signal(signal.SIGINT, ctrl_c_before)


@pytest.fixture(scope="module")
def uncut(small_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory, tiny_architecture: None) -> Run:
    """`SHORT` trained in one go; not to be changed."""
    return train(small_dataset, SHORT, tmp_path_factory.mktemp("uncut") / "run", verbose=0)


@pytest.fixture(scope="module")
def stopped(small_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory, tiny_architecture: None) -> Path:
    """The folder of `SHORT` stopped by Ctrl-C after its first epoch; not to be changed."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    with pytest.raises(KeyboardInterrupt), control_c_after(1, folder):
        train(small_dataset, SHORT, folder, verbose=0)
    return folder


def assert_same_training(run: Run, uncut: Run) -> None:
    """Each epoch once, with the values of a training that was never cut, and the same model in the end."""
    assert run.history.notes == ()
    assert run.history.table["epoch"].tolist() == list(range(len(uncut.history.table)))
    pd.testing.assert_frame_equal(run.history.table, uncut.history.table, atol=1e-5)
    assert run.metrics.accuracy == pytest.approx(uncut.metrics.accuracy, abs=1e-5)
    assert {file.name for file in run.folder.iterdir()} == FILES
    assert run.status.state == "finished"


# What a training leaves


def test_a_training_leaves_every_file_and_no_other(trained: tuple) -> None:
    assert {file.name for file in trained.run.folder.iterdir()} == FILES


def test_a_training_leaves_a_run_without_problems(trained: tuple) -> None:
    assert (trained.run.problems, trained.run.status.state) == ([], "finished")


def test_the_history_has_every_epoch_and_metric(trained: tuple) -> None:
    with (trained.run.folder / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1"]
    metrics = ["accuracy", "jaccard", "image_jaccard", "mean_iou", "loss"]
    assert set(rows[0]) == {"epoch", "learning_rate", *metrics, *(f"val_{name}" for name in metrics)}


def test_the_config_repeats_the_run(trained: tuple) -> None:
    config = json.loads((trained.run.folder / "config.json").read_text())
    assert Configuration(**config["configuration"]) == trained.configuration
    assert config["dataset"] == {
        "name": "small",
        "fingerprint": trained.dataset.fingerprint(),
        "scenes": 4,
        "stretch": None,
        "skipped": [],
        "unlabelled": 0,
        "resized": 0,
        "patches": 28,
        "held_out": 6,
        "trained_on": 14,
        "validated_on": 8,
    }
    assert [entry["name"] for entry in config["palette"]["classes"]] == list(CLASSES)
    assert config["architecture"]["parameters"] == 1_421_830
    assert config["versions"]["keras"] == keras.__version__


def test_the_best_model_has_no_optimizer_state(trained: tuple) -> None:
    with zipfile.ZipFile(trained.run.model) as file:
        assert not json.loads(file.read("config.json"))["compile_config"]
    weights = sum(weight.nbytes for weight in keras.saving.load_model(trained.run.model).get_weights())
    assert trained.run.model.stat().st_size < 1.3 * weights


def test_the_best_model_loads_in_a_fresh_process_without_custom_objects(trained: tuple, tmp_path: Path) -> None:
    """And without this package: the process runs in an empty folder."""
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    np.save(tmp_path / "image.npy", image)
    code = """
import importlib.util, sys
import keras, numpy as np
assert importlib.util.find_spec("segmentation") is None
np.save("out.npy", keras.saving.load_model(sys.argv[1]).predict(np.load("image.npy"), verbose=0))
"""
    command = [sys.executable, "-c", code, str(trained.run.model)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    child = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    assert np.allclose(np.load(tmp_path / "out.npy"), next(Predictor(trained.run.model).batches(image)), atol=1e-5)


@pytest.mark.parametrize("size", [32, 96])
def test_the_network_is_left_for_onnx_runtime_alone_at_any_size(trained: tuple, size: int, tmp_path: Path) -> None:
    images = np.random.default_rng(size).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    code = """
import sys
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
np.save("out.npy", session.run(["probabilities"], {"images": np.load("images.npy")})[0])
"""
    command = [sys.executable, "-c", code, str(trained.run.folder / "best.onnx")]
    child = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    model = unet(size, 6)
    model.set_weights(keras.saving.load_model(trained.run.model, compile=False).get_weights())
    expected, probabilities = np.asarray(model(images, training=False)), np.load(tmp_path / "out.npy")
    assert np.allclose(probabilities, expected, atol=1e-5)
    assert np.array_equal(probabilities.argmax(-1), expected.argmax(-1))


def source_of(network: Path) -> str:
    """The SHA-256 of the file that an ONNX model was made of, as the model says."""
    return {entry.key: entry.value for entry in onnx.load(network).metadata_props}["source"]


def test_a_run_that_ended_or_was_stopped_has_the_network_of_its_best_model(uncut: Run, stopped: Path) -> None:
    for folder in (uncut.folder, stopped):
        assert source_of(folder / "best.onnx") == hashlib.sha256((folder / "best.keras").read_bytes()).hexdigest()
    assert Run(stopped).status.state == "stopped"


def test_a_run_without_it_has_no_problem(trained: tuple, tmp_path: Path) -> None:
    folder = shutil.copytree(trained.run.folder, tmp_path / "run")
    (folder / "best.onnx").unlink()
    assert Run(folder).problems == []


# Its scores, against a second computation that shares no code with the first


def read_plainly(dataset: Dataset, void: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Images, class indices (`void` where black) and scene names of all patches of 32 px, from the files."""
    images, masks, scenes = [], [], []
    for tile, part in ((1, 1), (1, 2), (2, 1), (2, 2)):
        folder = dataset.root / f"Tile {tile}"
        name = f"image_part_{part:03d}"
        with Image.open(next((folder / "images").glob(f"{name}.*"))) as file:
            image = np.asarray(file.convert("RGB"))
        with Image.open(folder / "masks" / f"{name}.png") as file:
            colors = np.asarray(file.convert("RGB"))
        mask = np.full(colors.shape[:2], void)
        for index, color in enumerate(CLASSES.values()):
            mask[(colors == color).all(-1)] = index
        for top in range(0, image.shape[0] - 31, 32):
            for left in range(0, image.shape[1] - 31, 32):
                images.append(image[top : top + 32, left : left + 32])
                masks.append(mask[top : top + 32, left : left + 32])
                scenes.append(f"tile-{tile}/{name}")
    return np.array(images), np.array(masks), scenes


def plain_scores(masks: np.ndarray, probabilities: np.ndarray) -> dict:
    """Scores of one patch or more as the design defines them: by counting pixels, void (255) left out."""
    predicted = probabilities.argmax(-1)
    labelled = masks != 255
    iou = {}
    for index, name in enumerate(CLASSES):
        both = int((labelled & (masks == index) & (predicted == index)).sum())
        either = int((labelled & ((masks == index) | (predicted == index))).sum())
        iou[name] = both / either if either else None
    counted = [score for score in iou.values() if score is not None]
    labelled_classes = [score for name, score in iou.items() if score is not None and name != "Unlabeled"]
    soft = [plain_soft(mask, p) for mask, p in zip(masks, probabilities, strict=True)]
    intersection, total = np.sum(soft, axis=0)
    return {
        "accuracy": float((predicted == masks)[labelled].mean()),
        "jaccard": (intersection + 1) / (total - intersection + 1),
        "image_jaccard": float(np.mean([(i + 1) / (t - i + 1) for i, t in soft])),
        "mean_iou": sum(counted) / len(counted),
        "mean_iou_without_unlabeled": sum(labelled_classes) / len(labelled_classes),
        "iou": iou,
        "confusion_matrix": [
            [int((labelled & (masks == true) & (predicted == guess)).sum()) for guess in range(6)] for true in range(6)
        ],
        "pixels": int(labelled.sum()),
        "classes": len(counted),
    }


def plain_soft(mask: np.ndarray, probabilities: np.ndarray) -> tuple[float, float]:
    truth = np.stack([mask == index for index in range(6)], axis=-1)
    predicted = probabilities.astype(float) * (mask != 255)[..., None]
    return float((truth * predicted).sum()), float(truth.sum() + predicted.sum())


def second_opinion(
    run: Run, dataset: Dataset, protocol: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Images, masks, probabilities and which are held out and for validation, all from the files, of the small set."""
    images, masks, scenes = read_plainly(dataset, void=5 if protocol == "patch" else 255)
    if protocol == "patch":
        order = np.random.RandomState(42).permutation(28)
        test, validation = (np.isin(np.arange(28), order[part]) for part in (slice(3), slice(3, 6)))
    else:
        names = list(dict.fromkeys(scenes))
        first, second = np.random.RandomState(42).permutation(4)[:2]
        test, validation = np.isin(scenes, names[first]), np.isin(scenes, names[second])
    return images, masks, keras.saving.load_model(run.model).predict(images, verbose=0), test, validation


@pytest.fixture(params=["scene", "patch"])
def judged(request: pytest.FixtureRequest, small_dataset: Dataset) -> tuple:
    """A finished run of each protocol with the second opinion on it."""
    run = request.getfixturevalue("trained").run if request.param == "scene" else request.getfixturevalue("uncut")
    return request.param, run, *second_opinion(run, small_dataset, request.param)


def test_the_metrics_are_those_of_the_held_out_part(judged: tuple) -> None:
    protocol, run, _, masks, probabilities, test, _ = judged
    expected = plain_scores(masks[test], probabilities[test])
    metrics = json.loads((run.folder / "metrics.json").read_text())
    assert (metrics["protocol"], metrics["part"], metrics["patches"]) == (protocol, "test", test.sum())
    for name in ("accuracy", "jaccard", "image_jaccard", "mean_iou", "mean_iou_without_unlabeled", "pixels"):
        assert metrics[name] == pytest.approx(expected[name], abs=1e-5), name
    assert metrics["iou"] == pytest.approx(expected["iou"], abs=1e-5)
    assert metrics["confusion_matrix"] == expected["confusion_matrix"]


def test_void_counts_under_the_articles_protocol_only(judged: tuple, trained: tuple) -> None:
    protocol, run, *_ = judged
    _, masks, _ = read_plainly(trained.dataset, void=255)
    void = (masks == 255).sum()
    assert void
    counted = pd.read_csv(run.folder / "patches.csv")["pixels"].sum()
    assert counted == masks.size - (0 if protocol == "patch" else void)


def test_the_table_has_the_scores_of_every_patch(judged: tuple) -> None:
    _, run, _, masks, probabilities, test, validation = judged
    table = pd.read_csv(run.folder / "patches.csv")
    assert len(table) == len(masks) == 28
    for index, row in table.iterrows():
        expected = plain_scores(masks[index : index + 1], probabilities[index : index + 1])
        for name in ("mean_iou", "accuracy", "classes", "pixels"):
            assert row[name] == pytest.approx(expected[name], abs=1e-5), (index, name)
        for name, score in expected["iou"].items():
            assert row[f"iou_{name}"] == pytest.approx(math.nan if score is None else score, abs=1e-5, nan_ok=True)
        assert row["confidence"] == pytest.approx(probabilities[index].max(-1).mean(), abs=1e-5)
        assert row["part"] == ("test" if test[index] else "validation" if validation[index] else "train")


def test_the_table_has_every_patchs_confusion_matrix_and_how_sure_it_was_when_wrong(judged: tuple) -> None:
    _, run, _, masks, probabilities, *_ = judged
    table, matrices = pd.read_csv(run.folder / "patches.csv"), Run(run.folder).confusion_matrices
    assert matrices.shape == (28, 6, 6)
    for index, row in table.iterrows():
        predicted, sure = probabilities[index].argmax(-1), probabilities[index].max(-1)
        labelled = masks[index] != 255
        wrong = labelled & (predicted != masks[index])
        expected = [[((masks[index] == t) & (predicted == p)).sum() for p in range(6)] for t in range(6)]
        assert matrices[index].tolist() == expected
        assert row["Land as Road"] == expected[1][2]
        assert row["confidence_wrong"] == pytest.approx(sure[wrong].mean(), abs=1e-5)
        assert row["surely_wrong"] == pytest.approx((wrong & (sure >= 0.9)).sum() / labelled.sum(), abs=1e-3)


def test_the_table_has_the_brightness_and_contrast_of_every_patch(judged: tuple) -> None:
    _, run, images, *_ = judged
    table = pd.read_csv(run.folder / "patches.csv")
    grey = images.astype(float).mean(-1) / 255
    assert table["brightness"].to_numpy() == pytest.approx(grey.mean((1, 2)), abs=1e-5)
    assert table["contrast"].to_numpy() == pytest.approx(grey.std((1, 2)), abs=1e-5)


def test_the_table_is_in_the_patches_order(uncut: Run) -> None:
    names = pd.read_csv(uncut.folder / "patches.csv")["patch"].tolist()
    assert names[:4] == [f"tile-1/image_part_001/{place}" for place in ("r00c00", "r00c01", "r00c02", "r01c00")]
    assert names[-1] == "tile-2/image_part_002/r01c03"


def test_the_kept_model_is_that_of_the_epoch_with_the_best_validation_accuracy(judged: tuple) -> None:
    _, run, _, masks, probabilities, _, validation = judged
    table = run.history.table
    best, expected = (
        table.loc[table["val_accuracy"].idxmax()],
        plain_scores(masks[validation], probabilities[validation]),
    )
    for name in ("accuracy", "jaccard", "image_jaccard", "mean_iou"):
        assert expected[name] == pytest.approx(best[f"val_{name}"], abs=1e-4), name


# The learning rate


def test_a_constant_learning_rate_stays() -> None:
    assert [learning_rate(Configuration(learning_rate=0.5), epoch) for epoch in (0, 7, 19)] == [0.5] * 3


def test_a_cosine_starts_at_the_full_rate_and_ends_near_nothing() -> None:
    rates = [learning_rate(Configuration(learning_rate=0.5, schedule="cosine", epochs=4), epoch) for epoch in range(4)]
    half = math.sqrt(0.5)
    assert rates == pytest.approx([0.5, 0.25 * (1 + half), 0.25, 0.25 * (1 - half)])


def test_a_warm_up_rises_evenly_to_the_full_rate() -> None:
    rates = [learning_rate(Configuration(learning_rate=0.5, warm_up=3), epoch) for epoch in range(5)]
    assert rates == pytest.approx([0.125, 0.25, 0.375, 0.5, 0.5])


def test_what_is_kept_and_validated_is_the_average_of_the_weights(small_dataset: Dataset, tmp_path: Path) -> None:
    """With a momentum of nearly one the average stays at the first step's weights, whatever the others do."""
    averaged = dataclasses.replace(SHORT, epochs=2, learning_rate=0.05, warm_up=0, ema=0.999999)
    run = train(small_dataset, averaged, tmp_path / "averaged", verbose=0)
    plain = train(small_dataset, dataclasses.replace(averaged, ema=0.0), tmp_path / "plain", verbose=0)
    table, other = run.history.table, plain.history.table
    assert table["loss"].tolist() == pytest.approx(other["loss"].tolist(), rel=1e-3)  # the steps are the same
    assert table["val_loss"][0] != pytest.approx(other["val_loss"][0], rel=1e-3)
    assert accuracy_of(run, "validation") == pytest.approx(table["val_accuracy"].max(), abs=1e-4)


def test_weight_decay_shrinks_kernels_and_spares_the_rest(small_dataset: Dataset, tmp_path: Path) -> None:
    still = dataclasses.replace(SHORT, epochs=1, schedule="constant", warm_up=0, ema=0.0, learning_rate=1e-6)
    runs = [
        train(small_dataset, dataclasses.replace(still, weight_decay=decay), tmp_path / str(decay), verbose=0)
        for decay in (0.0, 1e5)
    ]
    plain, shrunk = (keras.saving.load_model(run.model, compile=False) for run in runs)
    for one, other in zip(plain.trainable_variables, shrunk.trainable_variables, strict=True):
        ratio = np.linalg.norm(other) / max(np.linalg.norm(one), 1e-12)
        assert ratio < 0.9 if "kernel" in one.path else ratio == pytest.approx(1, abs=0.01) or "bias" in one.path


def test_mixed_precision_leaves_a_file_in_single_precision(small_dataset: Dataset, tmp_path: Path) -> None:
    option = "auto_mixed_precision_onednn_bfloat16"
    run = train(small_dataset, dataclasses.replace(SHORT, epochs=1, mixed_precision=True), tmp_path / "run", verbose=0)
    assert tf.config.optimizer.get_experimental_options()[option] is True
    model = keras.saving.load_model(run.model, compile=False)
    assert {weight.dtype for weight in model.weights} == {"float32"}
    onnx_engine(run.model)  # which takes nothing else
    plain = train(small_dataset, dataclasses.replace(SHORT, epochs=1), tmp_path / "plain", verbose=0)
    assert tf.config.optimizer.get_experimental_options()[option] is False
    assert run.metrics.accuracy == pytest.approx(plain.metrics.accuracy, abs=0.02)


def test_the_history_tells_each_epochs_learning_rate(uncut: Run) -> None:
    expected = [1e-3 * (1 + math.cos(math.pi * epoch / 4)) / 2 for epoch in range(4)]
    expected[0] /= 2  # one epoch of warming up
    assert uncut.history.table["learning_rate"].tolist() == pytest.approx(expected)


# Refusals


def test_an_existing_run_is_not_trained_again(trained: tuple) -> None:
    before = written(trained.run.folder)
    with pytest.raises(RunError, match="There is a run tiny already: choose another name, or resume it"):
        train(trained.dataset, trained.configuration, trained.run.folder, verbose=0)
    assert written(trained.run.folder) == before


def test_class_weights_that_are_not_one_a_class_are_refused(small_dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="a class weight for each of the 6 classes"):
        train(small_dataset, dataclasses.replace(SHORT, class_weights=(1.0, 2.0)), tmp_path / "run", verbose=0)
    assert not (tmp_path / "run").exists()


def test_a_sum_of_losses_with_class_weights_is_what_is_logged(small_dataset: Dataset, tmp_path: Path) -> None:
    weighted = dataclasses.replace(
        SHORT, loss="cross_entropy+0.5*jaccard", class_weights=(1.0, 1, 1, 1, 1, 4), epochs=1
    )
    plain = train(small_dataset, dataclasses.replace(SHORT, epochs=1), tmp_path / "plain", verbose=0)
    run = train(small_dataset, weighted, tmp_path / "run", verbose=0)
    assert run.config.configuration["class_weights"] == [1, 1, 1, 1, 1, 4]
    assert run.history.table["loss"][0] != plain.history.table["loss"][0]


def test_a_training_can_start_from_another_runs_weights(small_dataset: Dataset, uncut: Run, tmp_path: Path) -> None:
    shutil.copytree(uncut.folder, tmp_path / "first")
    standing = dataclasses.replace(SHORT, start_from="first", epochs=1, learning_rate=1e-9)
    run = train(small_dataset, standing, tmp_path / "second", verbose=0)
    assert run.metrics.accuracy == pytest.approx(uncut.metrics.accuracy, abs=1e-3)
    assert run.metrics.jaccard == pytest.approx(uncut.metrics.jaccard, abs=1e-3)


def test_the_worst_share_is_that_with_the_lowest_mean_iou(small_dataset: Dataset, uncut: Run) -> None:
    patches = load_patches(small_dataset, 32)
    part = np.flatnonzero(uncut.patches["part"] == "train")
    chosen = worst_patches(part, patches, uncut, 0.25)
    train_rows = uncut.patches.iloc[part].sort_values("mean_iou", kind="stable")
    assert chosen.tolist() == sorted(train_rows.index[:6])  # a quarter of 22, rounded up


def test_a_training_can_keep_to_patches_chosen_by_name(small_dataset: Dataset, uncut: Run, tmp_path: Path) -> None:
    """What is held out stays held out, and a resumed training keeps to the same patches."""
    names = uncut.patches["patch"].tolist()
    train_part = uncut.patches["part"] == "train"
    chosen = [*uncut.patches["patch"][train_part][:5], *uncut.patches["patch"][~train_part]]
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt), control_c_after(1, folder):
        train(small_dataset, SHORT, folder, verbose=0, selection=chosen)
    assert read_selection(folder / "selection.csv") == chosen[:5]
    with pytest.raises(RunError, match="was started on other patches"):
        train(small_dataset, SHORT, folder, resume=True, verbose=0, selection=names[6:9])
    run = train(small_dataset, SHORT, folder, resume=True, verbose=0)
    assert run.config.dataset.trained_on == 5
    assert run.metrics.patches == 3
    whole = train(small_dataset, SHORT, tmp_path / "whole", verbose=0, selection=chosen[:5])
    assert run.history.table["loss"].tolist() == pytest.approx(whole.history.table["loss"].tolist(), rel=1e-3)


@pytest.mark.parametrize(
    ("selection", "sentence"),
    [(["tile-1/image_part_001/r00c00", "elsewhere/r00c00"], "1 of the 2 patches to train on are not in the data set")],
)
def test_a_selection_that_does_not_fit_is_refused(
    small_dataset: Dataset, tmp_path: Path, selection: list[str], sentence: str
) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        train(small_dataset, SHORT, tmp_path / "run", verbose=0, selection=selection)
    assert not (tmp_path / "run").exists()


def test_a_selection_of_held_out_patches_only_is_refused(small_dataset: Dataset, uncut: Run, tmp_path: Path) -> None:
    others = uncut.patches.query("part != 'train'")["patch"].tolist()
    with pytest.raises(ConfigurationError, match="All the patches to train on are held out, or for validation"):
        train(small_dataset, SHORT, tmp_path / "run", verbose=0, selection=others)


def test_a_validation_part_without_labels_is_refused(write_dataset: Callable[[Path], Path], tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "data")
    scene = find_dataset(root).scenes[np.random.RandomState(42).permutation(4)[1]]
    with Image.open(scene.mask) as mask:
        Image.new("RGB", mask.size).save(scene.mask)  # black is no class
    on_scenes = dataclasses.replace(SHORT, protocol="scene")
    with pytest.raises(ConfigurationError, match="No mask of the validation part holds a class"):
        train(find_dataset(root), on_scenes, tmp_path / "run", verbose=0)
    assert not (tmp_path / "run").exists()


def in_two_parts(folder: Path) -> None:
    """Make a run folder say what an earlier version said: nothing of a validation part."""
    config = json.loads((folder / "config.json").read_text())
    del config["dataset"]["validated_on"], config["configuration"]["fold"]
    (folder / "config.json").write_text(json.dumps(config))


def accuracy_of(run: Run, part: str) -> float:
    """The accuracy of all pixels of a part, from the patches' confusion matrices."""
    matrix = run.confusion_matrices[(run.patches["part"] == part).to_numpy()].sum(0)
    return float(np.trace(matrix) / matrix.sum())


def test_the_epoch_is_chosen_on_the_validation_part(uncut: Run) -> None:
    """The best epoch's validation accuracy is that of the validation part, as the best model gives it."""
    best = uncut.history.table["val_accuracy"].max()
    assert best == pytest.approx(accuracy_of(uncut, "validation"), abs=1e-3)
    assert best != pytest.approx(accuracy_of(uncut, "test"), abs=1e-3)
    assert not uncut.is_flattered
    assert uncut.config.dataset.validated_on == 3


def test_the_articles_protocol_chooses_the_epoch_on_what_it_scores(small_dataset: Dataset, tmp_path: Path) -> None:
    as_in_the_article = dataclasses.replace(SHORT, protocol="article", epochs=2)
    run = train(small_dataset, as_in_the_article, tmp_path / "run", verbose=0)
    assert (run.config.dataset.trained_on, run.config.dataset.held_out) == (25, 3)
    assert run.config.dataset.validated_on is None
    assert run.is_flattered
    assert run.history.table["val_accuracy"].max() == pytest.approx(run.metrics.accuracy, abs=1e-3)
    assert set(run.patches["part"]) == {"train", "test"}


def test_a_run_of_an_earlier_version_goes_on_in_its_two_parts(
    small_dataset: Dataset, stopped: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(stopped, tmp_path / "run")
    in_two_parts(folder)
    run = train(small_dataset, SHORT, folder, resume=True, verbose=0)
    assert run.patches["part"].value_counts().to_dict() == {"train": 25, "test": 3}
    assert run.is_flattered
    assert "validated_on" not in json.loads((folder / "config.json").read_text())["dataset"]
    again, table = evaluate_run(run, small_dataset, save=True)
    assert (again.accuracy, set(table["part"])) == (run.metrics.accuracy, {"train", "test"})


def test_a_saved_evaluation_keeps_the_three_parts(small_dataset: Dataset, uncut: Run, tmp_path: Path) -> None:
    run = Run(shutil.copytree(uncut.folder, tmp_path / "run"))
    _, table = evaluate_run(run, small_dataset, save=True)
    assert table["part"].tolist() == uncut.patches["part"].tolist()


def test_a_run_to_start_from_that_has_seen_the_other_parts_is_told(
    small_dataset: Dataset, uncut: Run, tmp_path: Path
) -> None:
    """What it was trained on would be predicted well by memory."""
    shutil.copytree(uncut.folder, tmp_path / "first")
    told: list[str] = []
    on_scenes = dataclasses.replace(SHORT, start_from="first", protocol="scene", epochs=1)
    run = train(small_dataset, on_scenes, tmp_path / "second", verbose=0, tell=told.append)
    seen = uncut.patches["part"].eq("train")
    counts = [int((seen & run.patches["part"].eq(part)).sum()) for part in ("validation", "test")]
    assert f"first was trained on {counts[0]} of the 8 validation patches and {counts[1]} of the 6 held-out" in told[-1]
    same = dataclasses.replace(SHORT, start_from="first", epochs=1)
    train(small_dataset, same, tmp_path / "third", verbose=0, tell=told.append)
    assert not any("trained on" in sentence for sentence in told[1:])


def test_a_training_can_keep_to_the_patches_that_failed(small_dataset: Dataset, uncut: Run, tmp_path: Path) -> None:
    shutil.copytree(uncut.folder, tmp_path / "first")
    worst = dataclasses.replace(SHORT, start_from="first", worst_share=0.25, epochs=1, batch_size=1)
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Heartbeat, "on_train_batch_begin", lambda self, batch, logs=None: seen.append(batch))
        run = train(small_dataset, worst, tmp_path / "second", verbose=0)
    assert seen == list(range(6))  # a quarter of 22, rounded up
    assert run.metrics.patches == 3  # what is held out stays the same


def test_a_run_without_a_table_of_patches_knows_no_worst(small_dataset: Dataset, uncut: Run, tmp_path: Path) -> None:
    shutil.copytree(uncut.folder, tmp_path / "first")
    (tmp_path / "first" / "patches.csv").unlink()
    with pytest.raises(RunError, match="first has not been evaluated"):
        train(
            small_dataset,
            dataclasses.replace(SHORT, start_from="first", worst_share=0.5),
            tmp_path / "second",
            verbose=0,
        )


def test_starting_from_a_run_that_is_not_there_is_refused(small_dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="There is no run first with a model to start from"):
        train(small_dataset, dataclasses.replace(SHORT, start_from="first"), tmp_path / "second", verbose=0)
    assert not (tmp_path / "second").exists()


def test_starting_from_another_network_is_refused(small_dataset: Dataset, uncut: Run, tmp_path: Path) -> None:
    shutil.copytree(uncut.folder, tmp_path / "first")
    unet(32, 6, filters=(2,), bottleneck=3).save(tmp_path / "first" / "best.keras")
    with pytest.raises(ConfigurationError, match="first is another network"):
        train(small_dataset, dataclasses.replace(SHORT, start_from="first"), tmp_path / "second", verbose=0)


def test_resuming_a_finished_run_leaves_it_as_it_is(trained: tuple) -> None:
    before = written(trained.run.folder)
    run = train(trained.dataset, trained.configuration, trained.run.folder, resume=True, verbose=0)
    assert (written(run.folder), run.metrics) == (before, trained.run.metrics)


@pytest.mark.parametrize("change", [{"learning_rate": 0.5}, {"seed": 1}, {"epochs": 9}, {"batch_size": 3}], ids=str)
def test_resuming_with_other_hyper_parameters_is_refused(small_dataset: Dataset, stopped: Path, change: dict) -> None:
    before = written(stopped)
    with pytest.raises(RunError, match="run was started with another configuration"):
        train(small_dataset, dataclasses.replace(SHORT, **change), stopped, resume=True, verbose=0)
    assert written(stopped) == before


def test_a_hyper_parameter_younger_than_the_run_counts_as_its_default(
    small_dataset: Dataset, stopped: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(stopped, tmp_path / "run")
    config = json.loads((folder / "config.json").read_text())
    del config["configuration"]["contrast"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(RunError, match="another configuration"):
        train(small_dataset, dataclasses.replace(SHORT, contrast=0.5), folder, resume=True, verbose=0)
    run = train(small_dataset, SHORT, folder, resume=True, verbose=0)
    assert run.status.state == "finished"


def test_resuming_on_other_data_is_refused(small_dataset: Dataset, stopped: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(small_dataset.root, tmp_path / "data")
    image = next((copy / "Tile 1" / "images").iterdir())
    image.write_bytes(image.read_bytes() + b"\0")
    with pytest.raises(RunError, match="run was started on other data"):
        train(find_dataset(copy), SHORT, stopped, resume=True, verbose=0)


def test_resuming_with_other_classes_is_refused(small_dataset: Dataset, stopped: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(small_dataset.root, tmp_path / "data")
    rows = [f"{name}{'s' if name == 'Road' else ''},{r},{g},{b}\n" for name, (r, g, b) in CLASSES.items()]
    (copy / "class_dict.csv").write_text("name,r,g,b\n" + "".join(rows))
    with pytest.raises(RunError, match="run was started with another palette"):
        train(find_dataset(copy), SHORT, stopped, resume=True, verbose=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patch_size": 33}, "divisible by 2"),
        ({"patch_size": 512}, "smaller patch size"),
        ({"architecture": "resnet"}, "Expected an architecture"),
        ({"protocol": "tile", "held_out_tile": "Tile 9"}, "one of Tile 1, Tile 2"),
    ],
    ids=str,
)
def test_what_does_not_fit_together_is_refused_and_leaves_no_folder(
    small_dataset: Dataset, tmp_path: Path, change: dict, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        train(small_dataset, dataclasses.replace(SHORT, **change), tmp_path / "run", verbose=0)
    assert not (tmp_path / "run").exists()


def test_masks_without_any_colour_of_the_palette_are_refused(small_dataset: Dataset, tmp_path: Path) -> None:
    copy = shutil.copytree(small_dataset.root, tmp_path / "data")
    (copy / "class_dict.csv").write_text("name,r,g,b\nSky,1,2,3\n")
    with pytest.raises(ConfigurationError, match=r"put a class_dict\.csv into"):
        train(find_dataset(copy), SHORT, tmp_path / "run", verbose=0)
    assert not (tmp_path / "run").exists()


# Training on what is not perfect


def test_index_masks_are_refused_with_their_values_before_the_first_epoch(
    small_dataset: Dataset, tmp_path: Path
) -> None:
    """Under the article's protocol they would count as Unlabeled: accuracy 1.000 for nothing."""
    dataset = find_dataset(shutil.copytree(small_dataset.root, tmp_path / "data"))
    for scene in dataset.scenes:
        Image.fromarray(read_scene(scene, dataset.palette)[1]).save(scene.mask)
    with pytest.raises(ConfigurationError, match=r"they hold the grey values 0, 1, 2, 3, 4, 5, 255, and the classes"):
        train(dataset, SHORT, tmp_path / "run", verbose=0)
    assert not (tmp_path / "run").exists()


def test_training_masks_without_a_class_are_refused_though_the_held_out_ones_have_some(
    small_dataset: Dataset, tmp_path: Path
) -> None:
    dataset = find_dataset(shutil.copytree(small_dataset.root, tmp_path / "data"))
    for scene in dataset.scenes[2:]:
        Image.fromarray(np.full((*read_size(scene.image), 3), 155, np.uint8)).save(scene.mask)  # Unlabeled
    by_tile = dataclasses.replace(SHORT, protocol="tile", held_out_tile="Tile 1")
    with pytest.raises(ConfigurationError, match="No pixel of the masks to train on is of a class"):
        train(dataset, by_tile, tmp_path / "run", verbose=0)


def test_a_broken_scene_is_left_out_and_named_in_the_config(small_dataset: Dataset, tmp_path: Path) -> None:
    copy = shutil.copytree(small_dataset.root, tmp_path / "data")
    broken = copy / "Tile 1" / "images" / "image_part_002.jpg"
    broken.write_bytes(broken.read_bytes()[:-500])
    said = []
    once = dataclasses.replace(SHORT, epochs=1)
    run = train(find_dataset(copy), once, tmp_path / "run", verbose=0, tell=said.append)
    assert [sentence.split(":")[0] for sentence in said] == ["Left out 1 of 4 scenes"]
    assert "image_part_002.jpg is damaged or cut short" in said[0]
    assert run.left_out == "trained without 1 of 4 scenes"
    assert (run.config.dataset.patches, len(run.patches)) == (22, 22)
    assert [sentence.split(":")[0] for sentence in run.config.dataset.skipped] == ["tile-1/image_part_002"]


def test_a_training_that_breaks_says_failed_and_why(small_dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "run" / "history.csv").mkdir(parents=True)  # in the way of the log
    with pytest.raises(StorageError, match=r"run cannot be written \(.*directory"):
        train(small_dataset, SHORT, tmp_path / "run", resume=True, verbose=0)
    status = Run(tmp_path / "run").status
    assert status.state == "failed"
    assert "history.csv" in status.reason


# Stop, kill and resume


def test_a_stopped_training_says_so(stopped: Path) -> None:
    status = json.loads((stopped / "status.json").read_text())
    assert (status["state"], status["reason"]) == ("stopped", "stopped by the user")


def test_a_stopped_training_shows_what_it_has(stopped: Path) -> None:
    run = Run(stopped)
    assert 1 <= len(run.history.table) < SHORT.epochs
    assert Predictor(run.model).patch_size == 32
    assert run.problems == ["metrics.json is missing", "patches.csv is missing"]


def test_a_stopped_training_goes_on_as_if_never_cut(
    small_dataset: Dataset, stopped: Path, uncut: Run, tmp_path: Path
) -> None:
    folder = shutil.copytree(stopped, tmp_path / "run")
    assert_same_training(train(small_dataset, SHORT, folder, resume=True, verbose=0), uncut)


def test_a_training_stopped_twice_goes_on(small_dataset: Dataset, stopped: Path, uncut: Run, tmp_path: Path) -> None:
    folder = shutil.copytree(stopped, tmp_path / "run")
    with pytest.raises(KeyboardInterrupt), control_c_after(3, folder):
        train(small_dataset, SHORT, folder, resume=True, verbose=0)
    assert Run(folder).status.state == "stopped"
    assert_same_training(train(small_dataset, SHORT, folder, resume=True, verbose=0), uncut)


def test_a_training_stopped_while_it_is_evaluated_goes_on(small_dataset: Dataset, uncut: Run, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if total == 28 and done:  # patches; before, scenes are counted
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(small_dataset, SHORT, tmp_path / "run", progress=stop, verbose=0)
    assert Run(tmp_path / "run").status.state == "stopped"
    assert_same_training(train(small_dataset, SHORT, tmp_path / "run", resume=True, verbose=0), uncut)


FORKED = """
import os, sys
from functools import partial
from itertools import pairwise
from pathlib import Path

import tensorflow as tf

from segmentation.data.scenes import find_dataset
from segmentation.model.registry import ARCHITECTURES, Architecture
from segmentation.model.unet import unet
from segmentation.configuration import Configuration
from segmentation.training.fit import train

tf.config.run_functions_eagerly(True)  # to trace graphs takes longer than to train
data, configuration = find_dataset(Path(sys.argv[1])), eval(sys.argv[2])
ARCHITECTURES["tiny"] = Architecture(partial(unet, filters=(4,), bottleneck=4), divisor=2)
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        try:
            train(data, configuration, Path(line.strip()), resume=True, verbose=0)
            os._exit(0)
        finally:
            os._exit(1)
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""
"""Trains in each folder that it is told, each time in a fork: TensorFlow is imported, which takes seconds, once only.

It has not been used before the fork: then it has no threads yet that a fork would lose.
"""


class Child(NamedTuple):
    """A training in a process of its own: its id, whether it is alive after a moment, and what waits for its end."""

    pid: int
    is_alive: Callable[[], bool]
    exit_code: Callable[[], int]


Begin = Callable[[Path], Child]


@pytest.fixture
def begin(small_dataset: Dataset) -> Iterator[Begin]:
    """A function that begins or resumes `KILLED_OFTEN` in a folder."""
    command = [sys.executable, "-c", FORKED, str(small_dataset.root), repr(KILLED_OFTEN)]
    with subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:

        def begin_(folder: Path) -> Child:
            server.stdin.write(f"{folder}\n")
            server.stdin.flush()
            return Child(
                int(server.stdout.readline()),
                lambda: not select.select([server.stdout], [], [], 0.001)[0],
                lambda: int(server.stdout.readline()),
            )

        yield begin_
        server.stdin.close()


def in_the_first_epoch(folder: Path) -> bool:
    return (folder / "config.json").exists() and not (folder / "latest").exists()


def in_a_checkpoint(folder: Path) -> bool:
    """The best model is half written, or the epoch is in the log and its snapshot is not yet in place."""
    half_a_snapshot = (folder / "latest.writing").exists() and epochs_in(folder) > epochs_in(folder / "latest")
    return half_a_snapshot or (folder / ".writing-best.keras").exists()


def anywhere(folder: Path) -> bool:
    return folder.exists()


def in_the_evaluation(folder: Path) -> bool:
    return Run(folder).status.phase == "evaluation"


def traces(folder: Path) -> tuple:
    """What a training has left so far: another value every time it has got a step further."""
    return list(os.walk(folder)), epochs_in(folder), epochs_in(folder / "latest")


def killed(begin: Begin, folder: Path, moment: Callable[[Path], bool], steps: int) -> Callable[[Path], bool] | None:
    """Train, kill at so many steps of a moment, and return which it was; None if the training ended before."""
    child, seen = begin(folder), None
    while child.is_alive():
        moment = in_the_evaluation if in_the_evaluation(folder) else moment
        now = traces(folder)
        if now != seen and moment(folder):
            seen, steps = now, steps - 1
        if not steps:
            with suppress(ProcessLookupError):  # it has ended this very moment
                os.kill(child.pid, signal.SIGKILL)
            break
    code = child.exit_code()
    assert code in (0, -signal.SIGKILL)
    return moment if code else None


def test_a_training_killed_at_20_moments_ends_as_if_never_cut(begin: Begin, tmp_path: Path) -> None:
    folder, spare = tmp_path / "run", tmp_path / "spare"
    folder.mkdir()
    rng = np.random.default_rng(0)
    moments = [in_the_first_epoch] * 4 + list(rng.permutation([in_a_checkpoint] * 7 + [anywhere] * 5))
    met = []
    for moment in [*moments, *[in_the_evaluation] * 4]:
        steps = int(rng.integers(1, 25 if moment is anywhere else 4))
        shutil.copytree(folder, spare)
        while not (at := killed(begin, folder, moment, steps)):  # it was faster than this test could look
            shutil.rmtree(folder)
            shutil.copytree(spare, folder)
        shutil.rmtree(spare)
        met.append(at)
        assert not [problem for problem in Run(folder).problems if "missing" not in problem]
    assert len(met) == 20
    assert set(met) == {in_the_first_epoch, in_a_checkpoint, anywhere, in_the_evaluation}

    for name in ("run", "whole"):
        assert begin(tmp_path / name).exit_code() == 0
    run, whole = Run(folder), Run(tmp_path / "whole")
    assert_same_training(run, whole)
    assert accuracy_of(run, "validation") == pytest.approx(run.history.table["val_accuracy"].max(), abs=1e-5)
    weights, expected = (keras.saving.load_model(of.model, compile=False).get_weights() for of in (run, whole))
    for one, other in zip(weights, expected, strict=True):
        assert np.allclose(one, other, atol=1e-4)
    assert {path.name for path in tmp_path.iterdir()} == {"run", "whole"}


def test_a_run_that_another_process_trains_is_left_to_it(begin: Begin, small_dataset: Dataset, tmp_path: Path) -> None:
    child = begin(tmp_path / "run")
    while not in_the_first_epoch(tmp_path / "run"):
        assert child.is_alive()
    for resume in (False, True):
        with pytest.raises(RunError, match=r"^run is being trained by another process: .*\.$"):
            train(small_dataset, KILLED_OFTEN, tmp_path / "run", resume, verbose=0)
    assert child.exit_code() == 0
    run = Run(tmp_path / "run")
    assert (run.problems, run.status.pid) == ([], child.pid)
    assert run.history.table["epoch"].tolist() == list(range(12))


@pytest.mark.parametrize("room", [0, 40, 100, 240])
def test_a_training_whose_disk_is_full_says_so_and_goes_on_when_there_is_room(
    small_disk: Path, small_dataset: Dataset, stopped: Path, uncut: Run, room: int
) -> None:
    """So many kilobytes are left: not enough for a word, the best model, its snapshot, or the epoch after it."""
    folder = shutil.copytree(stopped, small_disk / "run")
    epochs = epochs_in(folder)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free - 1024 * room))
    with pytest.raises(StorageError, match=r"run.* cannot be written \(No space left on device\): [^\n]*\.$"):
        train(small_dataset, SHORT, folder, resume=True, verbose=0)
    assert epochs_in(folder / "latest") >= epochs
    assert not list(folder.rglob("*writing*"))
    assert Run(folder).status.state == ("failed" if room else "stopped")
    ballast.unlink()
    assert_same_training(train(small_dataset, SHORT, folder, resume=True, verbose=0), uncut)


def test_a_training_that_may_not_write_is_refused(read_only: Path, small_dataset: Dataset) -> None:
    with pytest.raises(StorageError, match=r"read only cannot be written \(Read-only file system\)"):
        train(small_dataset, SHORT, read_only / "run", verbose=0)


def test_a_training_into_a_file_is_refused(small_dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match=r"runs cannot be written"):
        train(small_dataset, SHORT, tmp_path / "runs" / "run", verbose=0)


def killed_between_the_renames(folder: Path) -> None:
    """The new snapshot was complete, the old one already out of the way."""
    shutil.copytree(folder / "latest", folder / "latest.writing")
    (folder / "latest").rename(folder / "latest.previous")


def killed_before_the_old_snapshot_was_removed(folder: Path) -> None:
    shutil.copytree(folder / "latest", folder / "latest.previous")
    (folder / "latest.previous" / "training_metadata.json").write_text('{"epoch": 0, "batch": 0}')


def killed_in_a_snapshot(folder: Path) -> None:
    """History and best model were an epoch ahead, and the snapshot was half written."""
    lines = (folder / "history.csv").read_bytes().splitlines(keepends=True)
    (folder / "history.csv").write_bytes(b"".join([*lines, lines[-1].replace(lines[-1].split(b",")[0], b"7", 1)]))
    (folder / "latest.writing").mkdir()
    (folder / "latest.writing" / "latest.weights.h5").write_bytes(b"half")


def killed_while_the_best_model_was_saved(folder: Path) -> None:
    (folder / ".writing-best.keras").write_bytes(b"half a model")
    (folder / ".writing-abc123.json").write_bytes(b'{"half": ')


def killed_in_the_first_epoch(folder: Path) -> None:
    """No snapshot yet, and a log that has only begun."""
    shutil.rmtree(folder / "latest")
    (folder / "history.csv").write_bytes(b"epoch,accu")
    (folder / "best.keras").unlink()


def killed_before_the_first_epoch(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "config.json":
            path.unlink()


@pytest.mark.parametrize(
    "leave", [killed_between_the_renames, killed_while_the_best_model_was_saved, killed_in_the_first_epoch]
)
def test_whatever_a_kill_leaves_the_training_goes_on(
    small_dataset: Dataset, stopped: Path, uncut: Run, tmp_path: Path, leave: Callable[[Path], None]
) -> None:
    folder = shutil.copytree(stopped, tmp_path / "run")
    leave(folder)
    run = train(small_dataset, SHORT, folder, resume=True, verbose=0)
    assert_same_training(run, uncut)


@pytest.mark.parametrize(
    ("leave", "kept"),
    [
        (killed_between_the_renames, True),
        (killed_before_the_old_snapshot_was_removed, True),
        (killed_in_a_snapshot, True),
        (killed_while_the_best_model_was_saved, True),
        (killed_in_the_first_epoch, False),
        (killed_before_the_first_epoch, False),
    ],
)
def test_no_epoch_of_a_whole_snapshot_is_lost(
    stopped: Path, tmp_path: Path, leave: Callable[[Path], None], kept: bool
) -> None:
    folder = shutil.copytree(stopped, tmp_path / "run")
    leave(folder)
    epochs = epochs_in(stopped / "latest") if kept else 0
    assert epochs > 0 or not kept
    assert Snapshot.restore(folder) == epochs == epochs_in(folder)


def test_the_status_says_what_is_going_on_while_it_is_evaluated(small_dataset: Dataset, tmp_path: Path) -> None:
    seen = []

    def look(done: int, total: int) -> None:
        if (tmp_path / "run" / "status.json").exists():
            seen.append(json.loads((tmp_path / "run" / "status.json").read_text()))

    train(small_dataset, dataclasses.replace(SHORT, epochs=1), tmp_path / "run", progress=look, verbose=0)
    assert {(status["state"], status["phase"]) for status in seen} == {("running", "evaluation")}
    assert seen[-1]["heartbeat"] > seen[0]["heartbeat"]
    written = sorted({status["heartbeat"] for status in seen})
    assert len(seen) > len(written)  # not after every batch: the last of all says that it is done
    assert all(later - earlier >= STATUS_SECONDS / 2 for earlier, later in pairwise(written[:-1]))


# Early stopping


@pytest.fixture(scope="module")
def standstill(small_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory, tiny_architecture: None) -> Run:
    return train(small_dataset, STANDSTILL, tmp_path_factory.mktemp("standstill") / "run", verbose=0)


def test_a_training_ends_when_the_loss_has_not_fallen_for_long_enough(standstill: Run) -> None:
    assert standstill.history.table["epoch"].tolist() == [0, 1, 2]
    assert (standstill.status.state, standstill.problems) == ("finished", [])


def test_a_resumed_training_remembers_how_long_the_loss_has_not_fallen(
    small_dataset: Dataset, standstill: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt), control_c_after(1, folder):
        train(small_dataset, STANDSTILL, folder, verbose=0)
    assert_same_training(train(small_dataset, STANDSTILL, folder, resume=True, verbose=0), standstill)


def test_a_training_that_had_ended_early_is_only_evaluated(
    small_dataset: Dataset, standstill: Run, tmp_path: Path
) -> None:
    def stop(done: int, total: int) -> None:
        if total == 28 and done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(small_dataset, STANDSTILL, tmp_path / "run", progress=stop, verbose=0)
    before = (tmp_path / "run" / "history.csv").read_bytes()
    run = train(small_dataset, STANDSTILL, tmp_path / "run", resume=True, verbose=0)
    assert (run.folder / "history.csv").read_bytes() == before
    assert_same_training(run, standstill)
