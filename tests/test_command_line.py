"""The command line: in a process of its own where what a user's process does counts, and else in the test's own."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyproj
import pytest
import rasterio
from PIL import Image
from rasterio.control import GroundControlPoint

from segmentation.data.images import read_image
from segmentation.data.locate import PROJECT
from segmentation.data.scenes import Dataset, find_dataset, read_scene
from segmentation.inference.options import Inference
from segmentation.inference.predictor import Predictor
from segmentation.runs.run import Run as RunFolder
from tests.in_process import run_in_process

Run = Callable[..., subprocess.CompletedProcess]


@pytest.fixture
def run(trained: object, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A function that runs a command with the small data set and its run as defaults, in this process."""
    monkeypatch.setenv("SEGMENTATION_DATA", str(trained.dataset.root))

    def run_(command: str, *arguments: object) -> subprocess.CompletedProcess:
        if command in ("evaluate", "predict", "report") and "--runs" not in arguments:
            arguments = (*arguments, "--runs", trained.run.folder.parent)  # their default was read long ago
        return run_in_process(command, *arguments)

    return run_


@pytest.fixture
def run_alone(trained: object) -> Run:
    """The same in a process of its own: for what it prints, its environment, and trainings."""
    environment = {
        **os.environ,
        "SEGMENTATION_DATA": str(trained.dataset.root),
        "SEGMENTATION_RUNS": str(trained.run.folder.parent),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }

    def run_(*arguments: object, **variables: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "segmentation", *map(str, arguments)]
        return subprocess.run(
            command, env=environment | variables, cwd=PROJECT, capture_output=True, text=True, timeout=300
        )

    return run_


def test_help_names_every_command(run_alone: Run) -> None:
    done = run_alone("--help")
    assert done.returncode == 0
    for command in ("data", "demo", "download", "summary", "train", "evaluate", "report", "predict", "ship", "export"):
        assert command in done.stdout


def test_a_wrong_option_is_wrong_usage(run_alone: Run) -> None:
    assert run_alone("data", "--colour", "red").returncode == 2


def test_data_prints_the_articles_table_of_the_real_set(run_alone: Run, real_dataset: Dataset) -> None:
    done = run_alone("data", real_dataset.root)
    assert done.returncode == 0, done.stderr
    assert "3483 patches of 160 px in 72 scenes" in done.stdout
    for tile, patches in zip(range(1, 9), (144, 81, 144, 270, 378, 225, 1188, 1053), strict=True):
        row = next(line for line in done.stdout.splitlines() if line.strip().startswith(f"Tile {tile} "))
        assert int(row.split()[-1]) == patches
    assert "9 masks hold 552,156 pixels whose colour is in no palette" in done.stdout
    voids = [line for line in done.stdout.splitlines() if line.strip().startswith("warning void")]
    assert len(voids) == 9


def test_data_of_a_broken_file_exits_with_3(run_alone: Run, write_dataset: Callable, tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "set")
    (folder / "Tile 1" / "images" / "image_part_001.jpg").write_bytes(b"no image")
    done = run_alone("data", folder)
    assert done.returncode == 3
    assert "image_part_001.jpg is not an image that can be read" in done.stdout


def test_a_folder_without_scenes_is_refused_in_one_line(run: Run, tmp_path: Path) -> None:
    done = run("data", tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


def test_summary_draws_the_articles_network(run: Run) -> None:
    done = run("summary")
    assert done.returncode == 0, done.stderr
    assert "1,421,830" in done.stdout
    for shape in ("160 × 160 ×  16", "80 ×  80 ×  32", "40 ×  40 ×  64", "20 ×  20 × 128", "10 ×  10 × 160"):
        assert shape in done.stdout


def test_training_refuses_a_name_that_leaves_the_runs_folder(run: Run) -> None:
    done = run("train", "--name", "../elsewhere")
    assert done.returncode == 1
    assert "cannot be a run's name" in done.stderr


def test_training_refuses_a_patch_size_that_the_network_cannot_halve(run_alone: Run, tmp_path: Path) -> None:
    done = run_alone("train", "--name", "odd", "--runs", tmp_path, "--patch-size", "30")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == "unet needs a patch size divisible by 16. Received: 30"
    assert list(tmp_path.iterdir()) == []


def test_train_then_evaluate_give_the_same_scores(run_alone: Run, tmp_path: Path) -> None:
    options = ("--runs", tmp_path, "--patch-size", 32, "--batch-size", 8, "--epochs", 1, "--protocol", "scene")
    trained = run_alone("train", "--name", "short", *options)
    assert trained.returncode == 0, trained.stderr[-2000:]
    evaluated = run_alone("evaluate", "--run", "short", "--runs", tmp_path)
    assert evaluated.returncode == 0, evaluated.stderr[-2000:]
    scores = evaluated.stdout[evaluated.stdout.index("short, protocol scene") :]
    assert scores in trained.stdout


@pytest.fixture(scope="module")
def deep(write_dataset: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small data set as pictures of 16 bits, of which one scene is broken."""
    root = write_dataset(tmp_path_factory.mktemp("deep") / "set")
    for number, path in enumerate(sorted(root.glob("*/images/*"))):
        grey = np.asarray(Image.open(path).convert("L")).astype(np.uint16)
        path.unlink()
        Image.fromarray(300 + grey * (7 + number)).save(path.with_suffix(".png"))
    broken = root / "Tile 1" / "images" / "image_part_002.png"
    broken.write_bytes(broken.read_bytes()[:200])
    return root


def test_train_tells_what_it_leaves_out_and_every_command_sees_what_was_trained_on(
    run: Run, run_alone: Run, deep: Path, tmp_path: Path
) -> None:
    options = ("--patch-size", 32, "--batch-size", 8, "--epochs", 1, "--protocol", "scene")
    trained = run_alone("train", "--name", "deep", "--data", deep, "--runs", tmp_path, *options)
    assert trained.returncode == 0, trained.stderr[-2000:]
    assert "Left out 1 of 4 scenes: tile-1/image_part_002" in trained.stderr
    dataset = find_dataset(deep)
    made = RunFolder(tmp_path / "deep")
    assert made.stretch == dataset.stretch

    # What its own statistics would show of this picture is another one: predictions of the two must differ.
    scene = dataset.scene("tile-2/image_part_002")
    out = tmp_path / "out"
    done = run("predict", scene.image, "--run", "deep", "--runs", tmp_path, "--output", out, "--overlap", 0)
    assert done.returncode == 0, done.stderr[-2000:]
    image, _ = read_scene(scene, dataset.palette, dataset.stretch)
    alone, _ = read_scene(scene, dataset.palette, find_dataset(deep / "Tile 2").stretch)
    assert not np.array_equal(image, alone)
    predictor = Predictor(made.model)
    predicted = np.asarray(Image.open(out / "image_part_002-indices.png"))
    assert np.array_equal(predicted, predictor.scene_classes(image, Inference(overlap=0)))
    copied = RunFolder(shutil.copytree(made.folder, tmp_path / "otherwise"))
    config = json.loads((copied.folder / "config.json").read_text())
    config["dataset"]["stretch"] = {"low": [0.0], "high": [60_000.0]}
    (copied.folder / "config.json").write_text(json.dumps(config))
    again = run("predict", scene.image, "--run", "otherwise", "--runs", tmp_path, "--output", out, "--overlap", 0)
    assert again.returncode == 0, again.stderr[-2000:]
    dark = read_image(scene.image, stretch=RunFolder(copied.folder).stretch)
    predicted = np.asarray(Image.open(out / "image_part_002-indices.png"))
    assert np.array_equal(predicted, predictor.scene_classes(dark, Inference(overlap=0)))


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_predict_says_why_a_map_with_control_points_only_becomes_a_picture(run: Run, tmp_path: Path) -> None:
    points = [GroundControlPoint(row, row, 5 + row, 50 - row, 0) for row in range(3)]
    layout = {"height": 40, "width": 50, "count": 3, "dtype": "uint8", "crs": "EPSG:4326", "gcps": points}
    with rasterio.open(tmp_path / "map.tif", "w", driver="GTiff", **layout) as file:
        file.write(np.random.default_rng(1).integers(0, 256, (3, 40, 50), dtype=np.uint8))
    done = run("predict", tmp_path / "map.tif", "--run", "tiny", "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "map.tif has only control points: warp it first" in " ".join((done.stdout + done.stderr).split())
    assert (tmp_path / "out" / "map-indices.png").is_file()


def test_evaluate_with_test_time_augmentation_says_so(run: Run) -> None:
    done = run("evaluate", "--run", "tiny", "--tta")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "tiny with test-time augmentation, protocol scene" in done.stdout
    assert "expected calibration error" in done.stdout


@pytest.mark.usefixtures("bfloat16")
def test_evaluate_in_bfloat16_says_so(run: Run) -> None:
    done = run("evaluate", "--run", "tiny", "--bfloat16")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "tiny in bfloat16, protocol scene" in done.stdout


@pytest.mark.parametrize("way", ["--tta", "--bfloat16"])
def test_scores_are_saved_only_as_the_pages_predict(run: Run, way: str) -> None:
    done = run("evaluate", "--run", "tiny", way, "--save")
    assert done.returncode == 1
    assert "save scores without --tta, --bfloat16 and thresholds" in done.stderr.strip().splitlines()[-1]


def test_evaluate_names_the_runs_there_are(run: Run) -> None:
    done = run("evaluate", "--run", "nothing")
    assert done.returncode == 1
    assert "There is no run nothing: the runs here are tiny" in done.stderr


def test_predict_writes_masks_and_the_scores_that_numpy_gets(run: Run, trained: object, tmp_path: Path) -> None:
    scene = trained.dataset.scenes[2]
    done = run("predict", scene.image, "--run", "tiny", "--output", tmp_path, "--masks", scene.mask.parent)
    assert done.returncode == 0, done.stderr[-2000:]
    indices = np.asarray(Image.open(tmp_path / f"{scene.image.stem}-indices.png"))
    colours = np.asarray(Image.open(tmp_path / f"{scene.image.stem}-colours.png"))
    assert np.array_equal(colours, trained.dataset.palette.decode(indices))
    _, truth = read_scene(scene, trained.dataset.palette)
    assert indices.shape == truth.shape
    labelled = truth != 255
    with (tmp_path / "results.csv").open() as file:
        row = next(csv.DictReader(file))
    assert float(row["accuracy"]) == pytest.approx((truth == indices)[labelled].mean(), abs=1e-6)
    road = ((truth == 2) & (indices == 2)).sum() / ((truth == 2) | ((indices == 2) & labelled)).sum()
    assert float(row["iou_Road"]) == pytest.approx(road, abs=1e-6)


def test_predict_makes_a_map_of_an_orthophoto(run: Run, trained: object, tmp_path: Path) -> None:
    image = np.asarray(Image.open(trained.dataset.scenes[2].image).convert("RGB"))
    layout = {"height": image.shape[0], "width": image.shape[1], "count": 3, "dtype": "uint8", "crs": "EPSG:32640"}
    place = rasterio.Affine(0.5, 0, 300_000, 0, -0.5, 2_700_000)
    with rasterio.open(tmp_path / "ortho.tif", "w", driver="GTiff", transform=place, **layout) as file:
        file.write(image.transpose(2, 0, 1))
    done = run(
        "predict", tmp_path / "ortho.tif", "--run", "tiny", "--output", tmp_path / "out", "--confidence", "--polygons"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    names = {"classes.tif", "classes.tif.aux.xml", "confidence.tif", "classes.geojson"}
    assert {path.name for path in (tmp_path / "out").glob("ortho-*")} == {f"ortho-{name}" for name in names}
    with rasterio.open(tmp_path / "out" / "ortho-classes.tif") as file:
        classes = file.read(1)
        assert (file.crs.to_epsg(), file.transform) == (32640, place)
    with (tmp_path / "out" / "results.csv").open() as file:
        (row,) = csv.DictReader(file)
    height, width = classes.shape
    corners = [place @ corner for corner in ((0, 0), (width, 0), (width, height), (0, height))]
    degrees = pyproj.Transformer.from_crs(32640, 4326, always_xy=True).transform(*zip(*corners, strict=True))
    on_the_ground = abs(pyproj.Geod(ellps="WGS84").polygon_area_perimeter(*degrees)[0]) / classes.size
    for index, name in enumerate(trained.dataset.palette.names):
        assert int(row[f"pixels_{name}"]) == (classes == index).sum()
        expected = on_the_ground * (classes == index).sum()
        assert float(row[f"square_metres_{name}"]) == pytest.approx(expected, rel=1e-5)


def test_an_overlap_out_of_range_is_refused_in_one_sentence(run: Run, trained: object, tmp_path: Path) -> None:
    scene = trained.dataset.scenes[0]
    done = run("predict", scene.image, "--run", "tiny", "--output", tmp_path / "out", "--overlap", "0.9")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "Expected an overlap from 0 to 0.5. Received: 0.9"


def saved(mode: str, size: tuple[int, int], file_format: str) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, 90).save(buffer, file_format)
    return buffer.getvalue()


def test_predict_passes_over_what_cannot_be_used_and_does_the_rest(run: Run, tmp_path: Path) -> None:
    images, masks, output = tmp_path / "images", tmp_path / "masks", tmp_path / "out"
    images.mkdir()
    masks.mkdir()
    buffer = io.BytesIO()
    Image.effect_noise((300, 300), 90).save(buffer, "JPEG")
    noise = buffer.getvalue()
    for name, content in {
        "grey.png": saved("L", (50, 40), "PNG"),
        "alpha.png": saved("RGBA", (50, 40), "PNG"),
        "print.jpg": saved("CMYK", (50, 40), "JPEG"),
        "pixel.png": saved("RGB", (1, 1), "PNG"),
        "text.png": b"Dear Sir or Madam",
        "cut.jpg": noise[: len(noise) // 2],
        "masked.png": saved("RGB", (50, 40), "PNG"),
    }.items():
        (images / name).write_bytes(content)
    (masks / "masked.png").write_bytes(saved("RGB", (40, 50), "PNG"))
    done = run("predict", images, "--run", "tiny", "--output", output, "--masks", masks)
    assert done.returncode == 3
    assert "4 of 7 images predicted" in done.stdout
    assert "Traceback" not in done.stderr
    for sentence in (
        "text.png is not an image that can be read",
        "cut.jpg is damaged or cut short",
        "The mask masked.png has 40 × 50 pixels, the image masked.png 50 × 40",
    ):
        assert sentence in done.stderr
    sizes = {path.name: Image.open(path).size for path in output.glob("*-indices.png")}
    assert sizes == {
        "grey-indices.png": (50, 40),
        "alpha-indices.png": (50, 40),
        "print-indices.png": (50, 40),
        "pixel-indices.png": (1, 1),
    }


@pytest.mark.parametrize(
    "command",
    [
        ("summary",),
        ("train", "--name", "new", "--patch-size", "32"),
        ("predict", "IMAGES", "--run", "RUN", "--output", "OUTPUT"),
    ],
    ids=lambda words: words[0],
)
def test_without_tensorflow_a_command_that_needs_it_says_so_in_one_sentence(
    run_alone: Run, trained: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow" / "__init__.py").write_text("raise ImportError('libtensorflow.so is not here')")
    import keras

    inputs = keras.Input((32, 32, 3))
    other = keras.Model(inputs, keras.layers.Softmax()(keras.layers.GaussianNoise(0.1)(inputs)))
    (tmp_path / "other").mkdir()
    other.save(tmp_path / "other" / "best.keras")
    shutil.copy(trained.run.folder / "config.json", tmp_path / "other")
    places = {"IMAGES": trained.dataset.scenes[0].image, "OUTPUT": tmp_path / "output", "RUN": tmp_path / "other"}
    done = run_alone(*(places.get(word, word) for word in command), PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert re.fullmatch(r"TensorFlow cannot be loaded \(libtensorflow.so is not here\): [^\n]*\n", done.stderr)


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_a_network_of_ours_needs_no_tensorflow(run_alone: Run, trained: object, tmp_path: Path, command: str) -> None:
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow" / "__init__.py").write_text("raise ImportError('libtensorflow.so is not here')")
    further = (trained.dataset.scenes[0].image, "--output", tmp_path / "output") if command == "predict" else ()
    done = run_alone(command, *further, "--run", "tiny", PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_folder_of_runs_that_is_a_file_is_refused_in_one_sentence(run_alone: Run, tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    done = run_alone("train", "--name", "new", "--patch-size", "32", "--runs", tmp_path / "runs")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert re.search(r"\n[^\n]*runs cannot be written \([^\n]*\.\n$", done.stderr)  # after what TensorFlow says


def test_a_demo_set_that_may_not_be_written_is_refused_in_one_sentence(run: Run, read_only: Path) -> None:
    done = run("demo", read_only / "demo")
    assert done.returncode == 1
    assert re.fullmatch(r"[^\n]*demo cannot be written \(Read-only file system\): [^\n]*\.\n", done.stderr)


def test_demo_makes_the_demo_set(run: Run, tmp_path: Path) -> None:
    done = run("demo", tmp_path / "demo")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "demo").rglob("images/*.jpg"))) == 18


def test_where_the_terminal_knows_ascii_only_a_folder_is_predicted_and_told_to_the_end(
    run_alone: Run, trained: object, tmp_path: Path
) -> None:
    """A name that cannot be printed ended the command after the work was done, without its table."""
    folder = tmp_path / "Straße"
    folder.mkdir()
    shutil.copy(trained.dataset.scenes[2].image, folder / "Größe.png")
    shutil.copy(trained.dataset.scenes[2].image, folder / os.fsdecode(b"caf\xe9.png"))
    (folder / "kaputt ×.png").write_bytes(b"no picture")
    ascii_only = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    options = ("--masks", trained.dataset.scenes[2].mask.parent, "--run", "tiny", "--output", tmp_path / "Ergebnis ß")
    done = run_alone("predict", folder, *options, **ascii_only)
    assert (done.returncode, "Traceback" in done.stderr) == (3, False), done.stderr
    assert "2 of 3 images predicted into" in done.stdout
    table = pd.read_csv(tmp_path / "Ergebnis ß" / "results.csv", keep_default_na=False)
    assert sorted(table["image"]) == ["Größe.png", "caf\\xe9.png", "kaputt ×.png"]
    assert run_alone("data", trained.dataset.root, **ascii_only).returncode == 0


def test_a_report_is_one_file_with_the_scores_and_the_pictures(run_alone: Run, trained: object, tmp_path: Path) -> None:
    done = run_alone(
        "report", "--run", "tiny", "--output", tmp_path / "out" / "tiny.html", SEGMENTATION_CACHE=str(tmp_path)
    )
    assert done.returncode == 0, done.stderr
    assert "The report of tiny is in" in done.stdout
    page = (tmp_path / "out" / "tiny.html").read_text(encoding="utf-8")
    assert f"{trained.run.metrics.mean_iou:.3f}" in page
    assert page.count('alt="Prediction of') > 0
    assert str(trained.dataset.root.parent) not in page and str(trained.run.folder.parent) not in page
    assert "finding" in page


def test_a_report_without_data_says_so_and_one_of_no_run_is_refused(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = tmp_path / "nowhere"
    words = ("report", "--run", "dubai-lite0", "--compare", "dubai-best", "--output", tmp_path / "two.html")
    with monkeypatch.context() as patch:
        patch.setenv("SEGMENTATION_DATA", str(nowhere))
        done = run(*words)
    assert done.returncode == 0, done.stderr
    assert f"There is no folder {nowhere}" in done.stderr
    page = (tmp_path / "two.html").read_text(encoding="utf-8")
    assert "Is dubai-best better than dubai-lite0?" in page and "<img" not in page
    refused = run("report", "--run", "nobody")
    assert refused.returncode == 1 and refused.stderr.startswith("There is no run nobody")
    assert run("report", "--run", "dubai-lite0", "--data", nowhere).returncode == 1


def test_thresholds_change_masks_and_scores_and_stored_ones_only_on_request(
    run: Run, trained: object, tmp_path: Path
) -> None:
    folder = shutil.copytree(trained.run.folder, tmp_path / "runs" / "mine")
    (folder / "thresholds.json").write_text('{"thresholds": {"Road": 0.2}}')
    scene = trained.dataset.scenes[2]
    common = ("predict", scene.image, "--run", folder, "--overlap", "0", "--output")
    done = run(*common, tmp_path / "plain")
    assert done.returncode == 0, done.stderr
    assert "mine has stored thresholds, Road from 0.2: --stored-thresholds applies them." in done.stderr
    done = run(*common, tmp_path / "both", "--stored-thresholds", "--threshold", "land=0.21")
    assert "Thresholds in force: Road from 0.2, Land from 0.21" in done.stdout
    image = read_scene(scene, trained.dataset.palette)[0]
    predictor = Predictor(folder / "best.keras")
    for name, thresholds in (("plain", ()), ("both", ((1, 0.21), (2, 0.2)))):
        written = np.asarray(Image.open(tmp_path / name / f"{scene.image.stem}-indices.png"))
        np.testing.assert_array_equal(written, predictor.scene_classes(image, Inference(thresholds=thresholds)))

    done = run("evaluate", "--run", folder, "--threshold", "Road=0.2")
    assert done.returncode == 0, done.stderr
    metrics = RunFolder(folder).metrics
    assert f"accuracy                      {metrics.accuracy:.4f}" in done.stdout
    assert "With thresholds, Road from 0.2, instead (in brackets the difference):" in done.stdout
    done = run("evaluate", "--run", folder, "--threshold", "Road=2")
    assert (done.returncode, "a probability from 0 to 1" in done.stderr) == (1, True)
    done = run("evaluate", "--run", folder, "--stored-thresholds", "--save")
    assert (done.returncode, "save scores without" in done.stderr) == (1, True)
