"""Networks of as many bands as are chosen, from files to scores and predictions."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime
import pytest
import rasterio
from PIL import Image
from rasterio.transform import from_origin

from segmentation.configuration import Configuration
from segmentation.data.scenes import Dataset, find_dataset, read_scene
from segmentation.data.stretch import Stretch
from segmentation.errors import RunError
from segmentation.evaluation.evaluate import evaluate_run
from segmentation.inference.batch import Job, predict_files
from segmentation.inference.options import PLAIN, Inference
from segmentation.inference.predictor import Predictor
from segmentation.runs.run import Run
from segmentation.training.fit import train
from tests.in_process import run_in_process

PATCH, CLASSES, VOID = 96, 6, 255


class Four(NamedTuple):
    """A run of four bands, and the scenes that it was trained on."""

    run: Run
    dataset: Dataset


@pytest.fixture(scope="module", params=["unet", "lite0-unet"])
def four(request: pytest.FixtureRequest, four_bands: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Four:
    """A run of each network, trained for an epoch."""
    network = Configuration(request.param, patch_size=PATCH, epochs=1, batch_size=8, protocol="scene", hue=0.1)
    return Four(train(four_bands, network, tmp_path_factory.mktemp("runs") / "four", verbose=0), four_bands)


def bands_of(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read()


def patches_of(array: np.ndarray) -> dict[str, np.ndarray]:
    """Patches of (height, width, …) by their place in it."""
    rows, columns = (length // PATCH for length in array.shape[:2])
    return {
        f"r{row:02d}c{column:02d}": array[row * PATCH : (row + 1) * PATCH, column * PATCH : (column + 1) * PATCH]
        for row in range(rows)
        for column in range(columns)
    }


def confusion(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    matrix = np.zeros((CLASSES, CLASSES), int)
    np.add.at(matrix, (truth[truth != VOID], predicted[truth != VOID]), 1)
    return matrix


def test_the_scores_are_those_of_the_saved_networks_own_predictions(four: Four) -> None:
    """Computed from the files and best.onnx alone, by NumPy."""
    run = four.run
    stretch = json.loads((run.folder / "config.json").read_text())["dataset"]["stretch"]
    assert stretch["bands"] == [1, 2, 3, 4]
    low, high = (np.array(stretch[end])[:, None, None] for end in ("low", "high"))
    session = onnxruntime.InferenceSession(run.folder / "best.onnx")
    assert session.get_inputs()[0].shape[-1] == 4
    held_out = run.patches[run.patches["part"] == "test"]
    matrix = np.zeros((CLASSES, CLASSES), int)
    for scene in held_out["scene"].unique():
        of = four.dataset.scene(scene)
        values = np.clip((bands_of(of.image) - low) * (255 / (high - low)), 0, 255).round().astype(np.uint8)
        images, masks = patches_of(np.moveaxis(values, 0, -1)), patches_of(bands_of(of.mask)[0])
        for patch in held_out["patch"][held_out["scene"] == scene]:
            place = patch.rpartition("/")[2]
            (probabilities,) = session.run(None, {"images": images[place][None]})
            matrix += confusion(masks[place], probabilities[0].argmax(-1))
    assert run.metrics.confusion_matrix == matrix.tolist()
    assert run.metrics.accuracy == pytest.approx(np.trace(matrix) / matrix.sum(), abs=1e-6)
    union = matrix.sum(0) + matrix.sum(1) - np.diag(matrix)
    assert run.metrics.mean_iou == pytest.approx((np.diag(matrix)[union > 0] / union[union > 0]).mean(), abs=1e-6)


def test_predict_gives_the_classes_that_the_evaluation_gave(four: Four, tmp_path: Path) -> None:
    scene = four.dataset.scenes[0]
    options = ("--run", four.run.folder, "--output", tmp_path, "--overlap", 0)
    done = run_in_process("predict", scene.image, *options)
    assert done.returncode == 0, done.stderr[-2000:]
    predicted = patches_of(bands_of(tmp_path / f"{scene.image.stem}-classes.tif")[0])
    masks = patches_of(bands_of(scene.mask)[0])
    names = four.run.palette.names
    table = four.run.patches[four.run.patches["scene"] == scene.name]
    assert len(table) == 25
    for _, row in table.iterrows():
        place = row["patch"].rpartition("/")[2]
        told = [[row[f"{true} as {taken}"] for taken in names] for true in names]
        assert told == confusion(masks[place], predicted[place]).tolist()


def test_a_file_of_three_bands_is_refused_in_one_sentence_and_the_others_are_predicted(
    four: Four, tmp_path: Path
) -> None:
    scene = four.dataset.scenes[0]
    three = write(tmp_path / "three.tif", bands_of(scene.image)[:3])
    Image.new("RGB", (PATCH, PATCH)).save(tmp_path / "photo.png")
    files = (three, tmp_path / "photo.png", scene.image)
    done = run_in_process("predict", *files, "--run", four.run.folder, "--output", tmp_path / "out", "--overlap", 0)
    assert done.returncode == 3
    assert "1 of 3 images predicted" in done.stdout
    assert done.stderr.splitlines() == [
        f"{name} has 3 bands, but band 4 is needed: export it with all bands, or choose a run that needs fewer."
        for name in ("three.tif", "photo.png")
    ]


@pytest.mark.parametrize("inference", [Inference(overlap=0.25, tta=True), Inference(bfloat16=True)], ids=str)
def test_four_bands_are_predicted_in_every_way(
    four: Four, inference: Inference, request: pytest.FixtureRequest
) -> None:
    if inference.bfloat16:
        request.getfixturevalue("bfloat16")
    image, _ = read_scene(four.dataset.scenes[0], four.dataset.palette, four.run.stretch)
    plain = Predictor(four.run.model).scene(image, PLAIN).probabilities.astype(float)
    other = Predictor(four.run.model, inference.bfloat16).scene(image, inference).probabilities.astype(float)
    assert other.shape == (480, 480, CLASSES)
    assert np.abs(other - plain).mean() < 0.05


def test_the_network_sees_every_band(four: Four) -> None:
    image, _ = read_scene(four.dataset.scenes[0], four.dataset.palette, four.run.stretch)
    predictor = Predictor(four.run.model)
    assert predictor.bands == 4
    before = predictor.scene(image).probabilities
    for band in range(4):
        dark = image.copy()
        dark[..., band] = 0
        assert (predictor.scene(dark).probabilities != before).any()
    with pytest.raises(RunError, match="The network sees images of 4 bands, not 3"):
        predictor.scene(image[..., :3])


def write(path: Path, bands: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    place = {"crs": "EPSG:32640", "transform": from_origin(320_000, 2_790_000, 0.5, 0.5)}
    layout = {"count": len(bands), "height": bands.shape[1], "width": bands.shape[2], "dtype": bands.dtype}
    with rasterio.open(path, "w", driver="GTiff", **layout, **place) as file:
        file.write(bands)
    return path


@pytest.fixture(scope="module")
def with_a_fourth(small_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The small data set, each image with a fourth band, and all four chosen."""
    root = tmp_path_factory.mktemp("fourth") / "small"
    shutil.copytree(small_dataset.root, root)
    for path in sorted(root.glob("*/images/*")):
        colors = np.moveaxis(np.asarray(Image.open(path).convert("RGB")), -1, 0)
        path.unlink()
        write(path.with_suffix(".tif"), np.concatenate([colors, 255 - colors[:1]]))
    (root / "dataset.toml").write_text("bands = [1, 2, 3, 4]\n")
    return find_dataset(root)


def test_a_run_of_three_bands_takes_its_three_of_files_of_four(
    trained: object, with_a_fourth: Dataset, tmp_path: Path
) -> None:
    run: Run = trained.run
    outputs = {}
    for dataset in (trained.dataset, with_a_fourth):
        job = Job(run.model, run.palette, tmp_path / dataset.root.parent.name, inference=PLAIN, stretch=run.stretch)
        (row,) = predict_files(job, [dataset.scenes[3].image])
        assert row["problem"] is None
        outputs[dataset] = row["pixels"]
    assert outputs[trained.dataset] == outputs[with_a_fourth]
    metrics, _ = evaluate_run(run, with_a_fourth, inference=PLAIN, tell=lambda sentence: None)
    assert metrics.confusion_matrix == run.metrics.confusion_matrix


@pytest.mark.parametrize(("bands", "inputs"), [("[4]", 1), ("[2, 4]", 2)])
def test_one_and_two_bands_are_trained_on(with_a_fourth: Dataset, tmp_path: Path, bands: str, inputs: int) -> None:
    root = shutil.copytree(with_a_fourth.root, tmp_path / "set")
    (root / "dataset.toml").write_text(f"bands = {bands}\n")
    dataset = find_dataset(root)
    configuration = Configuration(patch_size=32, protocol="scene", epochs=1, batch_size=8)
    run = train(dataset, configuration, tmp_path / "run", verbose=0)
    assert Predictor(run.model).bands == inputs
    metrics, _ = evaluate_run(run, dataset)
    assert metrics == run.metrics


def test_a_training_goes_on_only_with_the_bands_that_it_began_with(with_a_fourth: Dataset, tmp_path: Path) -> None:
    configuration = Configuration(patch_size=32, protocol="scene", epochs=1, batch_size=8)
    train(with_a_fourth, configuration, tmp_path / "run", verbose=0)
    with pytest.raises(RunError, match="run was started on other bands"):
        train(replace(with_a_fourth, bands=(1, 2, 4)), configuration, tmp_path / "run", resume=True, verbose=0)


def test_a_run_that_saw_one_band_three_times_still_predicts(trained: object, tmp_path: Path) -> None:
    """As runs of one chosen band did before networks took one."""
    run = Run(shutil.copytree(trained.run.folder, tmp_path / "early"))
    config = json.loads((run.folder / "config.json").read_text())
    config["dataset"]["stretch"] = Stretch((0.0,), (255.0,), (1,)).to_dict()
    (run.folder / "config.json").write_text(json.dumps(config))
    grey = np.random.default_rng(0).integers(0, 256, (64, 64, 1), np.uint8)
    predictor = Predictor(run.model)
    seen: Callable[[np.ndarray], np.ndarray] = predictor.scene_classes
    assert np.array_equal(seen(grey), seen(np.repeat(grey, 3, axis=2)))
