"""Predictions made elsewhere as a run: every kind of file, what does not fit, and the real set's to the last digit."""

import io
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
from PIL import Image
from rasterio import Affine

import segmentation
from segmentation.data.array_files import read_array
from segmentation.data.images import png_bytes
from segmentation.data.locate import PROJECT
from segmentation.data.palette import DUBAI
from segmentation.data.protocols import held_out
from segmentation.data.scenes import Dataset, find_dataset
from segmentation.errors import ConfigurationError, ImageFileError, NotAllowedError, RunError
from segmentation.evaluation.ranking import WRONG, count_errors, rank
from segmentation.evaluation.recorded import add_predictions
from segmentation.runs.recording import read_recorded
from segmentation.runs.run import SHIPPED, Run
from tests.in_process import run_in_process
from tests.recoloring import COLORS, classes_of, recolor

SIZE = 32

Predicted = dict[str, np.ndarray]

WRITERS: dict[str, Callable[[Path, np.ndarray], None]] = {}


def writes(kind: str) -> Callable:
    """Register a way to write a prediction: it is given the path without its ending, and the class indices."""

    def register(write: Callable[[Path, np.ndarray], None]) -> Callable:
        WRITERS[kind] = write
        return write

    return register


@writes("index")
def write_indices(path: Path, classes: np.ndarray) -> None:
    Image.fromarray(classes).save(path.with_name(f"{path.name}.png"))


@writes("colour")
def write_colors(path: Path, classes: np.ndarray) -> None:
    Image.fromarray(np.array(COLORS, np.uint8)[classes]).save(path.with_name(f"{path.name}.bmp"))


@writes("table in another order")
def write_table(path: Path, classes: np.ndarray) -> None:
    image = Image.fromarray(5 - classes)
    image.putpalette(np.array(COLORS[::-1], np.uint8).tobytes())
    image.save(path.with_name(f"{path.name}_pred.png"))


@writes("table of other colours")
def write_foreign_table(path: Path, classes: np.ndarray) -> None:
    image = Image.fromarray(classes)
    image.putpalette(np.random.default_rng(1).integers(0, 50, 18, dtype=np.uint8).tobytes())
    image.save(path.with_name(f"{path.name}.png"))


@writes("TIFF")
def write_tiff(path: Path, classes: np.ndarray) -> None:
    Image.fromarray(classes.astype(np.uint16)).save(path.with_name(f"{path.name}.tif"))


@writes("npy")
def write_npy(path: Path, classes: np.ndarray) -> None:
    np.save(path.with_name(f"{path.name}.npy"), classes.astype(np.int64))


@writes("npz of probabilities")
def write_npz(path: Path, classes: np.ndarray) -> None:
    """In another order of classes, named, as the explorer's download is."""
    names = np.array(DUBAI.names)[::-1]
    probabilities = probabilities_of(classes)[..., ::-1].astype(np.float16)
    np.savez_compressed(path.with_name(f"{path.name}-probabilities.npz"), probabilities=probabilities, classes=names)


@writes("npy of probabilities, channels first")
def write_channels_first(path: Path, classes: np.ndarray) -> None:
    np.save(path.with_name(f"{path.name}.npy"), np.moveaxis(probabilities_of(classes), -1, 0))


@writes("bands of probabilities")
def write_bands(path: Path, classes: np.ndarray) -> None:
    write_geotiff(path.with_name(f"{path.name}.tif"), np.moveaxis(probabilities_of(classes), -1, 0))


def probabilities_of(classes: np.ndarray, sure: float = 0.95) -> np.ndarray:
    """Probabilities (height, width, 6) float32 whose highest one is that of the class."""
    return (np.eye(6)[classes] * (sure - (1 - sure) / 5) + (1 - sure) / 5).astype(np.float32)


def write_geotiff(path: Path, bands: np.ndarray, **how: object) -> None:
    count, height, width = bands.shape
    layout = {"driver": "GTiff", "height": height, "width": width, "count": count, "dtype": bands.dtype, **how}
    with rasterio.open(path, "w", **layout) as file:
        file.write(bands)


@pytest.fixture(scope="module")
def predicted(small_dataset: Dataset) -> Predicted:
    """Something that is right on most pixels of each scene, (height, width) of class indices."""
    rng, found = np.random.default_rng(3), {}
    for scene in small_dataset.scenes:
        truth = classes_of(scene.mask) % 6
        height, width = truth.shape
        blocks = rng.integers(0, 18, (-(-height // 8), -(-width // 8)), dtype=np.uint8)
        drawn = np.kron(blocks, np.ones((8, 8), np.uint8))[:height, :width]
        found[scene.name] = np.where(drawn < 6, drawn, truth)
    return found


def write_all(folder: Path, predicted: Predicted, kind: str = "index", joined: bool = False) -> Path:
    """Write predictions, their tiles as folders or as part of the names."""
    for name, classes in predicted.items():
        path = folder / (name.replace("/", "-") if joined else name)
        path.parent.mkdir(parents=True, exist_ok=True)
        WRITERS[kind](path, classes)
    return folder


def confusion(dataset: Dataset, predicted: Predicted) -> list[list[int]]:
    """The confusion matrix of all whole patches, without the package; void is left out."""
    matrix = np.zeros((6, 6), int)
    for scene in dataset.scenes:
        if scene.name in predicted:
            truth, seen = classes_of(scene.mask), predicted[scene.name]
            here = np.s_[: truth.shape[0] // SIZE * SIZE, : truth.shape[1] // SIZE * SIZE]
            counted = truth[here] < 6
            np.add.at(matrix, (truth[here][counted], seen[here][counted]), 1)
    return matrix.tolist()


def add(folder: Path, dataset: Dataset, runs: Path, **how: object) -> Run:
    return add_predictions("mine", folder, dataset, runs, patch_size=SIZE, tell=lambda _: None, **how)


@pytest.mark.parametrize("joined", [False, True], ids=["folders", "names"])
@pytest.mark.parametrize("kind", WRITERS)
def test_every_kind_of_file_is_scored_alike(
    small_dataset: Dataset, predicted: Predicted, tmp_path: Path, kind: str, joined: bool
) -> None:
    run = add(write_all(tmp_path / "predictions", predicted, kind, joined), small_dataset, tmp_path / "runs")
    assert run.metrics.confusion_matrix == confusion(small_dataset, predicted)
    assert (run.metrics.findings, run.metrics.dataset.skipped, run.left_out) == (None, [], "")
    assert (run.problems, run.status.state, run.model, len(run.patches)) == ([], "finished", None, 28)
    for name, classes in predicted.items():
        assert np.array_equal(np.asarray(Image.open(run.predictions / f"{name}.png")), classes)
    sure = "probabilities" in kind
    assert (run.metrics.jaccard is not None, run.metrics.calibration is not None) == (sure, sure)
    assert run.patches["confidence"].notna().all() == run.patches["surely_wrong"].notna().all() == sure
    if sure:
        assert run.patches["confidence"].to_numpy() == pytest.approx(0.95, abs=1e-3)
        wrong = 1 - run.patches["accuracy"]
        assert run.patches["surely_wrong"].to_numpy() == pytest.approx(wrong.to_numpy(), abs=2e-6)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["mine"]


def test_indices_win_over_colours_and_other_files_do_not_matter(
    small_dataset: Dataset, predicted: Predicted, tmp_path: Path
) -> None:
    folder = tmp_path / "predictions"
    for name, classes in predicted.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(classes).save(path.with_name(f"{path.name}-indices.png"))
        Image.fromarray(np.array(COLORS, np.uint8)[0 * classes]).save(path.with_name(f"{path.name}-colours.png"))
        Image.fromarray(classes).save(path.with_name(f"{path.name}-confidence.tif"))
        path.with_name(f"{path.name}.json").write_text("{}")
    run = add(folder, small_dataset, tmp_path / "runs")
    assert (run.metrics.confusion_matrix, run.metrics.findings) == (confusion(small_dataset, predicted), None)


def test_values_are_read_as_the_masks_own_unless_indices_fit_better(
    small_dataset: Dataset, predicted: Predicted, tmp_path: Path
) -> None:
    """Masks hold 10, 20 … 60; predictions hold these, or indices."""
    root = tmp_path / "values"
    for scene in small_dataset.scenes:
        for path in (scene.image, scene.mask):
            (root / path.relative_to(small_dataset.root)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(scene.image, root / scene.image.relative_to(small_dataset.root))
        truth = classes_of(scene.mask)
        Image.fromarray(np.where(truth < 6, 10 * truth + 10, 255).astype(np.uint8)).save(
            root / scene.mask.relative_to(small_dataset.root)
        )
    dataset = find_dataset(root)
    own = {name: 10 * classes + 10 for name, classes in predicted.items()}
    matrix = confusion(small_dataset, predicted)
    for name, written in (("own", own), ("indices", predicted)):
        run = add(write_all(tmp_path / name, written), dataset, tmp_path / f"{name} runs")
        assert run.metrics.confusion_matrix == matrix


@pytest.mark.parametrize("protocol", ["scene", "tile", "patch"])
def test_another_protocol_scores_what_it_holds_out_of_all_patches(
    small_dataset: Dataset, predicted: Predicted, tmp_path: Path, protocol: str
) -> None:
    tile = "Tile 2" if protocol == "tile" else None
    folder = write_all(tmp_path / "predictions", predicted)
    run = add(folder, small_dataset, tmp_path / "runs", protocol=protocol, held_out_tile=tile)
    patches = segmentation.load_patches(small_dataset, SIZE)
    held = held_out(patches.table, protocol, tile)
    assert run.patches["part"].eq("test").tolist() == held.tolist()
    assert (run.metrics.protocol, run.metrics.patches, run.protocol) == (protocol, held.sum(), protocol)
    void = sum((classes_of(scene.mask) == 6).sum() for scene in small_dataset.scenes)
    assert void
    labelled = run.confusion_matrices.sum()
    assert (labelled == 28 * SIZE**2) == (protocol == "patch")  # void counts as Unlabeled under it alone

    left = dict(list(predicted.items())[1:])
    fewer = add(
        write_all(tmp_path / "fewer", left), small_dataset, tmp_path / "f", protocol=protocol, held_out_tile=tile
    )
    same = run.patches[run.patches["scene"].isin(left)].reset_index(drop=True)
    pd.testing.assert_frame_equal(fewer.patches, same)


def test_what_is_missing_or_misfits_is_left_out_named_and_counted(
    small_dataset: Dataset, predicted: Predicted, tmp_path: Path
) -> None:
    first, second, third, fourth = predicted
    folder = write_all(tmp_path / "predictions", {first: predicted[first], second: predicted[second][:-1]})
    (folder / "tile-2" / "nonsense.png").parent.mkdir(exist_ok=True)
    (folder / "tile-2" / "nonsense.png").write_bytes(png_bytes(predicted[third]))
    (folder / f"{third}.png").write_bytes(b"no image")
    run = add(folder, small_dataset, tmp_path / "runs")
    assert run.metrics.confusion_matrix == confusion(small_dataset, {first: predicted[first]})
    assert [sentence.split(":")[0] for sentence in run.metrics.dataset.skipped] == [second, third, fourth]
    missized, broken, missing = run.metrics.dataset.skipped
    assert "image_part_002.png has 97 × 65 pixels, the image image_part_002.jpg 97 × 66" in missized
    assert "image_part_001.png is not an image" in broken
    assert missing == f"{fourth}: there is no prediction of it"
    assert run.metrics.findings == ["1 files fit no scene, or several: tile-2/nonsense.png"]
    assert run.left_out == "scored without 3 of 4 scenes"
    assert set(run.patches["scene"]) == {first}


def test_a_pixel_without_a_class_is_left_out_and_said(
    small_dataset: Dataset, predicted: Predicted, tmp_path: Path
) -> None:
    name = next(iter(predicted))
    classes = predicted[name].copy()
    classes[:SIZE, :SIZE] = 255
    run = add(write_all(tmp_path / "predictions", {name: classes}), small_dataset, tmp_path / "runs")
    (finding,) = run.metrics.findings
    share = 100 * SIZE**2 / classes.size
    assert finding.startswith(f"{name}: {share:.2f} % of the prediction's pixels have no class and are left out")
    first = run.patches.iloc[0]
    assert (first["patch"], first["pixels"], first["classes"]) == (f"{name}/r00c00", 0, 0)
    folder = write_all(tmp_path / "whole", {name: predicted[name]})
    whole = add(folder, small_dataset, tmp_path / "others")
    pd.testing.assert_frame_equal(run.patches[1:], whole.patches[1:])


class Trap:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple:
        return Path.touch, (Path("sprung"),)


def archive_of(member: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("probabilities.npy", member)
    return buffer.getvalue()


def array_bytes(array: np.ndarray, pickled: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=pickled)
    return buffer.getvalue()


def header_of(shape: str, kind: str = "<f4") -> bytes:
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


HOSTILE: dict[str, tuple[str, bytes, str]] = {
    "pickle": (".npy", array_bytes(np.array([Trap()], object), pickled=True), "holds object and not numbers"),
    "packed pickle": (
        ".npz",
        archive_of(array_bytes(np.array([Trap()], object), True)),
        "holds object and not numbers",
    ),
    "not an array": (".npy", b"\x93NUMPY", "is no array that can be read"),
    "not an archive": (".npz", b"PK\x03\x04", "is no array that can be read"),
    "a shape without an end": (".npy", header_of("((65"), "has a broken header"),
    "cut short": (".npz", archive_of(header_of("(65, 97, 6)")), "is no array that can be read"),
    "cut short on disk": (".npy", header_of("(65, 97, 6)"), "is no array that can be read"),
    "immense": (".npy", header_of("(1000000000, 1000000000, 6)"), "but the scene needs one of 65 × 97"),
    "immense and packed": (".npz", archive_of(header_of("(1000000000, 9)") + bytes(10**7)), "the scene needs one of"),
    "another size": (".npy", array_bytes(np.zeros((66, 97, 6), np.float32)), "the scene needs one of 65 × 97 or"),
    "texts": (".npy", array_bytes(np.full((65, 97), "water")), "holds <U5 and not numbers"),
    "not a number": (".npy", array_bytes(np.full((65, 97, 6), np.nan, np.float32)), "holds what is not a number"),
    "class 9": (".npy", array_bytes(np.full((65, 97), 9)), "holds the class index 9: the data set's are 0 to 5"),
    "a negative class": (".npy", array_bytes(np.full((65, 97), -1)), "holds the class index -1"),
    "no class": (".png", png_bytes(np.full((65, 97), 77, np.uint8)), "No pixel of"),
    "an empty file": (".png", b"", "is not an image"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_one_sentence(
    small_dataset: Dataset, predicted: Predicted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ending, content, sentence = HOSTILE[case]
    first, second, *_ = predicted
    folder = write_all(tmp_path / "predictions", {second: predicted[second]})
    (folder / f"{first}{ending}").write_bytes(content)
    run = add(folder, small_dataset, tmp_path / "runs")
    said = run.metrics.dataset.skipped[0]
    assert said.startswith(f"{first}: ") and sentence in said, said
    assert "\n" not in said and not (tmp_path / "sprung").exists()
    assert run.metrics.confusion_matrix == confusion(small_dataset, {second: predicted[second]})
    (folder / f"{second}.png").unlink()
    with pytest.raises(RunError, match=r"No prediction in predictions can be used; the first: "):
        add(folder, small_dataset, tmp_path / "none")
    assert list((tmp_path / "none").iterdir()) == []


def test_an_archive_of_a_gigabyte_of_zeros_is_not_unpacked(
    small_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segmentation.data.array_files.MOST_BYTES", 10_000)
    path = tmp_path / "zeros.npz"
    path.write_bytes(archive_of(array_bytes(np.zeros((65, 97, 6), np.float32))))
    with pytest.raises(ImageFileError, match=r"zeros.npz holds an array of 0.0 GB: save it as .npy"):
        read_array(path, ((65, 97), (65, 97, 6)))


def test_other_arrays_of_an_archive_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "more.npz"
    wanted = np.arange(12).reshape(3, 4)
    np.savez(path, objects=np.array([Trap()], object), wanted=np.asfortranarray(wanted), other=np.zeros(7))
    array, names = read_array(path, ((3, 4), (3, 4, 2)))
    assert (array.tolist(), names) == (wanted.tolist(), ())
    np.savez(path, one=wanted, other=wanted)
    with pytest.raises(ImageFileError, match=r"more.npz holds arrays of 3 × 4, 3 × 4 values, but the scene needs one"):
        read_array(path, ((3, 4), (3, 4, 2)))


def test_numbers_that_are_no_probabilities_tell_classes_only(
    small_dataset: Dataset, predicted: Predicted, tmp_path: Path
) -> None:
    for name, classes in predicted.items():
        path = tmp_path / "predictions" / f"{name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, 9 * probabilities_of(classes) - 4)
    run = add(tmp_path / "predictions", small_dataset, tmp_path / "runs")
    assert (run.metrics.confusion_matrix, run.metrics.jaccard) == (confusion(small_dataset, predicted), None)
    assert len(run.metrics.findings) == 4
    assert run.metrics.findings[0].endswith("its numbers do not sum to 1 at each pixel, so that only its classes count")


def test_files_are_asked_for_in_the_scenes_names(small_dataset: Dataset, predicted: Predicted, tmp_path: Path) -> None:
    folder = tmp_path / "predictions"
    folder.mkdir()
    with pytest.raises(RunError, match=r"There is no folder .*elsewhere"):
        add(tmp_path / "elsewhere", small_dataset, tmp_path)
    Image.fromarray(next(iter(predicted.values()))).save(folder / "image_part_001.png")  # in both tiles
    with pytest.raises(
        RunError, match=r"No file in predictions is called as a scene of small is: image_part_001.png. "
    ):
        add(folder, small_dataset, tmp_path)
    with pytest.raises(NotAllowedError):
        add(folder, small_dataset, tmp_path, within=[tmp_path / "runs"])
    with pytest.raises(ConfigurationError, match="one of Tile 1, Tile 2"):
        add(folder, small_dataset, tmp_path, protocol="tile", held_out_tile="Tile 9")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["predictions"]


@pytest.fixture
def placed(tmp_path: Path, small_dataset: Dataset) -> Dataset:
    """A data set of one scene that is a GeoTIFF: half a metre a pixel."""
    root, scene = tmp_path / "placed", small_dataset.scenes[0]
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    shutil.copyfile(scene.mask, root / "masks" / "field.png")
    image = np.moveaxis(np.asarray(Image.open(scene.image)), -1, 0)
    place = Affine(0.5, 0, 300_000, 0, -0.5, 2_700_000)
    write_geotiff(root / "images" / "field.tif", image, crs="EPSG:32640", transform=place)
    return find_dataset(root)


def test_a_map_on_another_grid_is_matched_by_place(placed: Dataset, predicted: Predicted, tmp_path: Path) -> None:
    classes, folder = next(iter(predicted.values())), tmp_path / "predictions"
    folder.mkdir()
    fine = np.kron(classes, np.ones((2, 2), np.uint8))
    around = np.pad(fine, 10, constant_values=0)
    place = Affine(0.25, 0, 300_000 - 2.5, 0, -0.25, 2_700_000 + 2.5)
    write_geotiff(folder / "field.tif", around[None], crs="EPSG:32640", transform=place)
    run = add(folder, placed, tmp_path / "runs")
    (kept,) = run.predictions.rglob("*.png")
    assert np.array_equal(np.asarray(Image.open(kept)), classes)
    write_geotiff(folder / "field.tif", around[None], crs="EPSG:32640", transform=Affine.translation(9000, 0) @ place)
    with pytest.raises(RunError, match=r"field.tif lies beside field.tif on the ground"):
        add(folder, placed, tmp_path / "beside")
    write_geotiff(folder / "field.tif", around[None])
    with pytest.raises(RunError, match=r"field.tif has 214 × 150 pixels, the image field.tif 97 × 65"):
        add(folder, placed, tmp_path / "unplaced")


def test_three_lines_of_python_make_a_run(
    small_dataset: Dataset, predicted: Predicted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGMENTATION_RUNS", str(tmp_path))
    recording = segmentation.Run.create("mine", small_dataset, patch_size=SIZE)
    for scene in small_dataset.scenes[:3]:
        recording.record(scene, np.zeros_like(predicted[scene.name]))
        recording.record(scene, probabilities_of(predicted[scene.name]))
    recording.record(small_dataset.scenes[3].name, predicted[small_dataset.scenes[3].name].tolist())
    assert not (tmp_path / "mine").exists()
    run = recording.finish()
    assert isinstance(run, segmentation.Run)
    assert (run.folder, run.metrics.confusion_matrix) == (tmp_path / "mine", confusion(small_dataset, predicted))
    assert run.patches.groupby("scene")["confidence"].count().tolist() == [6, 6, 8, 0]
    with pytest.raises(RunError, match="There is a run mine already"):
        segmentation.Run.create("mine", small_dataset)


@pytest.mark.slow
def test_the_command_names_what_does_not_fit_and_the_run_says_that_it_has_no_model(
    small_dataset: Dataset, predicted: Predicted, tmp_path: Path
) -> None:
    first, second, *_ = predicted
    folder = write_all(tmp_path / "predictions", {first: predicted[first], second: predicted[second][1:]})
    where = ("--data", small_dataset.root, "--runs", tmp_path / "runs")
    done = run_command("add", "mine", "--predictions", folder, *where, "--patch-size", SIZE, code=3)
    assert "mine, protocol all: 6 patches, " in done.stdout
    told = done.stderr.splitlines()
    assert told[0] == "2 predictions are read as class indices"
    assert all(line.startswith("Left out 3 of 4 scenes: ") for line in told[1:])
    assert len(told) == 4
    for command in (
        ("evaluate", "--run", "mine", *where),
        ("predict", small_dataset.scenes[0].image, "--run", "mine", "--runs", tmp_path / "runs", "--output", tmp_path),
        ("export", "--run", "mine", "--runs", tmp_path / "runs", "--format", "onnx", "--output", tmp_path / "m.onnx"),
    ):
        assert run_command(*command, code=1).stderr.strip().endswith("it holds predictions alone.")
    said = run_command("add", "other", *where, code=1).stderr.strip()
    assert said == "Say what to add: --predictions FOLDER or --model FILE."


def test_a_recording_refuses_what_does_not_fit(small_dataset: Dataset, predicted: Predicted, tmp_path: Path) -> None:
    name, classes = next(iter(predicted.items()))
    with segmentation.Run.create("mine", small_dataset, runs=tmp_path, patch_size=SIZE) as recording:
        for scene, prediction, sentence in (
            ("tile-9/nowhere", classes, "tile-9/nowhere is no scene of small"),
            (name, classes[1:], r"has 64 × 97 values of type uint8, but the scene needs whole numbers of 65 × 97"),
            (name, classes / 2, "of type float64"),
            (name, "water", "has no values of type"),
            (name, [[1], [1, 2]], "is no array"),
        ):
            with pytest.raises(RunError, match=sentence):
                recording.record(scene, prediction)
        with pytest.raises(RunError, match=r"No scene of small was recorded that gives a patch of 32 × 32 pixels"):
            recording.finish()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigurationError, match="at least one pixel"):
        segmentation.Run.create("mine", small_dataset, runs=tmp_path, patch_size=0)
    large = segmentation.Run.create("large", small_dataset, runs=tmp_path)
    large.record(name, classes)
    with pytest.raises(RunError, match="160 × 160"):
        large.finish()


def test_a_run_of_predictions_says_that_it_has_no_model(
    small_dataset: Dataset, predicted: Predicted, tmp_path: Path
) -> None:
    run = add(write_all(tmp_path / "predictions", predicted), small_dataset, tmp_path)
    assert run.why_no_model == "it holds predictions alone"
    trap = run.predictions / next(iter(predicted))
    trap.with_suffix(".png").unlink()
    trap.with_suffix(".png").symlink_to(PROJECT / "pyproject.toml")
    with pytest.raises(ImageFileError, match="has no prediction of tile-1/image_part_001"):
        read_recorded(run, "tile-1/image_part_001", (65, 97))
    with pytest.raises(ImageFileError, match="has no prediction"):
        read_recorded(run, "../../../etc/passwd", (65, 97))
    with pytest.raises(ImageFileError, match=r"has 97 × 66 pixels, its image 97 × 60"):
        read_recorded(run, "tile-1/image_part_002", (60, 97))


def test_other_colours_of_the_data_set_are_its_own(
    small_dataset: Dataset, predicted: Predicted, tmp_path: Path
) -> None:
    dataset = recolor(small_dataset, tmp_path / "other")
    folder = tmp_path / "predictions"
    order = np.array([4, 5, 1, 0, 2, 3], np.uint8)
    for name, classes in predicted.items():
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.array(dataset.palette.colors, np.uint8)[order[classes]]).save(path)
    run = add(folder, dataset, tmp_path / "runs")
    theirs = np.array(confusion(small_dataset, predicted))
    back = [list(order).index(index) for index in range(6)]
    assert run.metrics.confusion_matrix == theirs[np.ix_(back, back)].tolist()


def run_command(*arguments: object, code: int = 0) -> subprocess.CompletedProcess:
    done = run_in_process(*arguments)
    assert done.returncode == code, done.stderr
    return done


SMALLER = ("Tile 1", "Tile 2", "Tile 3", "Tile 6")
"""Tiles of the real set whose scenes are small: half of its scenes, an eighth of its pixels."""


@pytest.mark.slow
def test_predictions_of_the_best_shipped_run_have_its_scores_and_ranking(real_dataset: Dataset, tmp_path: Path) -> None:
    """Predicted and added by the command line: the tiles are folders."""
    for tile in SMALLER:
        (tmp_path / "set" / tile).mkdir(parents=True)
        for folder in ("images", "masks"):
            (tmp_path / "set" / tile / folder).symlink_to(real_dataset.root / tile / folder)
        where = ("--output", tmp_path / "predicted" / tile)
        run_command("predict", tmp_path / "set" / tile / "images", "--run", "dubai-best", *where, "--overlap", "0")
    where = ("--data", tmp_path / "set", "--runs", tmp_path / "runs", "--protocol", "patch")
    said = run_command("add", "mine", "--predictions", tmp_path / "predicted", *where)
    assert "36 predictions are read as class indices" in said.stderr
    mine, best = Run(tmp_path / "runs" / "mine"), Run(SHIPPED / "dubai-best")
    test = best.patches["part"] == "test"
    held_out = [
        table.loc[table["patch"].isin(best.patches["patch"][test]) & table["tile"].isin(SMALLER)]
        for table in (mine.patches, best.patches)
    ]
    columns = [name for name in best.patches if name != "part" and not name.startswith(("confidence", "surely"))]
    ours, theirs = (table[columns].reset_index(drop=True) for table in held_out)
    pd.testing.assert_frame_equal(ours, theirs)
    matrices = [run.confusion_matrices[table.index] for run, table in zip((mine, best), held_out, strict=True)]
    assert np.array_equal(*matrices)
    rankings = [
        rank(table.join(count_errors(of)), "mean_iou", WRONG)[0]["patch"].tolist()
        for table, of in zip((ours, theirs), matrices, strict=True)
    ]
    assert rankings[0] == rankings[1]
    assert len(rankings[0]) == len(ours) == np.count_nonzero(test & best.patches["tile"].isin(SMALLER)) > 50
    assert mine.metrics.confusion_matrix == mine.confusion_matrices[mine.patches["part"] == "test"].sum(0).tolist()
    sure = ("jaccard", "image_jaccard", "brier", "calibration", "calibration_error", "probabilities")
    assert {getattr(mine.metrics, name) for name in sure} == {None}
