"""The command that makes a run of a model from elsewhere, and what can be done with that run."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segmentation.configuration import Configuration
from segmentation.data.scenes import Dataset
from segmentation.errors import RunError
from segmentation.inference.options import SEAMLESS, Inference
from segmentation.inference.predictor import Predictor
from segmentation.runs.run import Run
from segmentation.training.fit import train
from tests.brightness import MODELS, THREE, of_name, write_convolution, write_set, wrong
from tests.in_process import run_in_process


def add(name: str, model: Path, dataset: Dataset, runs: Path, *options: str) -> subprocess.CompletedProcess:
    return run_in_process("add", name, "--model", model, "--data", dataset.root, "--runs", runs, *options)


@pytest.fixture(scope="module")
def runs(models: Path, sets: dict[str, Dataset], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of every model, added without any option but the data set."""
    folder = tmp_path_factory.mktemp("runs")
    for name in MODELS:
        done = add(Path(name).stem, models / name, sets[of_name(name)], folder)
        assert done.returncode == 0, done.stderr
        assert f"{name}: N" in done.stderr
        assert "Input: " in done.stderr
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("inference", [Inference(), SEAMLESS, Inference(tta=True)], ids=["plain", "overlap", "tta"])
def test_a_run_of_a_model_predicts_what_is_right(
    runs: Path, sets: dict[str, Dataset], name: str, inference: Inference
) -> None:
    run, image = Run(runs / Path(name).stem), np.asarray(Image.open(sets[of_name(name)].scenes[1].image))
    assert wrong(Predictor(run.model).scene_classes(image, inference), image, of_name(name)) == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_run_of_a_model_is_complete(runs: Path, sets: dict[str, Dataset], name: str) -> None:
    run, dataset = Run(runs / Path(name).stem), sets[of_name(name)]
    _, _, output, size = MODELS[name]
    assert (run.problems, run.status.state, run.protocol) == ([], "finished", "all")
    assert (run.palette, run.fingerprint, run.patch_size) == (dataset.palette, dataset.fingerprint(), size)
    assert {path.name for path in run.folder.iterdir()} == {
        *("config.json", "metrics.json", "model.toml", f"model{Path(name).suffix}", "patches.csv", "status.json")
    }
    assert run.metrics.accuracy > 0.98
    assert len(run.patches) == run.metrics.patches == run.metrics.dataset.patches == 3 * (300 // size) * (330 // size)
    assert set(run.patches["part"]) == {"test"}
    # What names classes alone says nothing of how sure it is.
    assert (run.metrics.calibration_error is None) == (output == "classes")
    prediction = Predictor(run.model).scene(np.asarray(Image.open(dataset.scenes[0].image)))
    assert (prediction.confidence is None) == (prediction.probabilities is None) == (output == "classes")


@pytest.mark.slow
def test_a_run_of_a_model_does_what_runs_do(runs: Path, sets: dict[str, Dataset], tmp_path: Path) -> None:
    """It is scored again and under another protocol, predicts files, and is scored elsewhere; it trains nothing."""
    dataset, of = sets[THREE], ("--runs", runs)
    scored = run_in_process("evaluate", "--run", "smp", "--data", dataset.root, *of)
    assert scored.stdout.startswith("smp, protocol all: 6 patches"), scored.stderr
    scored = run_in_process("evaluate", "--run", "smp", "--data", dataset.root, "--protocol", "scene", *of)
    assert scored.stdout.startswith("smp, protocol scene: 2 held-out patches"), scored.stderr
    done = run_in_process("predict", dataset.root / "images", "--run", "smp", "--output", tmp_path / "out", *of)
    assert done.returncode == 0, done.stderr
    image = np.asarray(Image.open(dataset.scenes[0].image))
    assert wrong(np.asarray(Image.open(tmp_path / "out" / "0-indices.png")), image, THREE) == 0
    elsewhere = write_set(tmp_path / "other", THREE, scenes=2)
    saved = run_in_process("evaluate", "--run", "smp", "--data", elsewhere.root, "--save", *of)
    assert saved.returncode == 1
    assert "was scored on other data than other holds" in saved.stderr
    saved = run_in_process(
        "evaluate", "--run", "smp", "--data", elsewhere.root, "--protocol", "all", "--save-as", "smp2", *of
    )
    assert saved.returncode == 0, saved.stderr
    assert Run(runs / "smp2").fingerprint == elsewhere.fingerprint()
    assert Predictor(Run(runs / "smp2").model).classes == 3
    for arguments, said in (
        (("export", "--run", "smp", "--format", "onnx", "--output", tmp_path / "x.onnx"), "comes from elsewhere"),
        (("evaluate", "--run", "smp", "--data", dataset.root, "--bfloat16"), "cannot be computed in bfloat16"),
    ):
        refused = run_in_process(*arguments, *of)
        assert refused.returncode == 1, arguments
        assert said in refused.stderr.splitlines()[-1]
    with pytest.raises(RunError, match="no run smp with a model to start"):
        train(dataset, Configuration(start_from="smp"), runs / "n")
    shutil.rmtree(runs / "smp2")


@pytest.mark.slow
def test_an_adapter_set_by_hand_is_heeded_and_may_be_changed(
    models: Path, sets: dict[str, Dataset], tmp_path: Path
) -> None:
    by_hand = ("--adapter", "scale=0-255", "--adapter", "order=bgr")
    done = add("wrong", models / "smp.onnx", sets[THREE], tmp_path, *by_hand)
    assert done.returncode == 0, done.stderr
    assert "Input: 0–255, BGR, as given" in done.stderr
    run = Run(tmp_path / "wrong")
    assert run.metrics.accuracy < 0.5
    toml = run.folder / "model.toml"
    text = toml.read_text().replace('scale = "0-255"', 'scale = "0-1"')
    text = text.replace("mean = []", "mean = [0.485, 0.456, 0.406]")
    toml.write_text(text.replace("deviation = []", "deviation = [0.229, 0.224, 0.225]"))
    again = run_in_process("evaluate", "--run", "wrong", "--data", sets[THREE].root, "--runs", tmp_path, "--save")
    assert again.returncode == 0, again.stderr
    assert Run(run.folder).metrics.accuracy > 0.98
    assert Run(run.folder).fingerprint == sets[THREE].fingerprint()


@pytest.mark.slow
def test_classes_in_another_order_and_under_a_protocol(models: Path, sets: dict[str, Dataset], tmp_path: Path) -> None:
    """The model's own names, two of which the data set has, too."""
    classes = ("--adapter", "classes=Dark,Grey,Light", "--protocol", "scene")
    done = add("named", models / "smp.onnx", sets[THREE], tmp_path, *classes)
    assert done.returncode == 0, done.stderr
    run, palette = Run(tmp_path / "named"), sets[THREE].palette
    assert run.palette.names == ("Dark", "Grey", "Light")
    assert [run.palette.colors[index] == palette.colors[index] for index in range(3)] == [True, False, True]
    assert run.protocol == "scene"
    assert set(run.patches["part"]) == {"train", "test"}
    assert run.metrics.confusion_matrix[1] == [0, 0, 0]  # the data set's middle is no class of the model's
    none = add("none", models / "smp.onnx", sets[THREE], tmp_path, "--adapter", "classes=a,b,c")
    assert "none of its classes a, b, c is one of the data set's: dark, middle, light" in none.stderr


@pytest.mark.slow
def test_what_cannot_be_added_is_one_sentence_and_leaves_nothing(sets: dict[str, Dataset], tmp_path: Path) -> None:
    (tmp_path / "torch.pt").write_bytes(b"PK")
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    (tmp_path / "broken.keras").write_bytes(b"no model")
    good = write_convolution(tmp_path / "good.onnx")
    runs = tmp_path / "runs"
    for name, file, dataset, options, said in (
        ("run", tmp_path / "torch.pt", THREE, (), "torch.pt cannot be used as a model: it is PyTorch's"),
        ("run", tmp_path / "not-there.onnx", THREE, (), "not-there.onnx cannot be used as a model: it is not there"),
        ("run", tmp_path / "broken.onnx", THREE, (), "broken.onnx cannot be used as a model: it is no ONNX file"),
        ("run", tmp_path / "broken.keras", THREE, (), "broken.keras"),
        ("run", good, "dark, light", (), "no map of the 2 classes dark, light"),
        ("run", good, THREE, ("--adapter", "scale=2"), "Expected scale out of 0-255, 0-1, -1-1. Received: 2"),
        ("run", good, THREE, ("--protocol", "given"), "The given protocol needs a split"),
        ("run", good, THREE, ("--predictions", str(tmp_path)), "Say what to add"),
        ("../run", good, THREE, (), "cannot be a run's name"),
    ):
        done = add(name, file, sets[dataset], runs, *options)
        assert done.returncode == 1, (said, done.stderr)
        assert said in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr
        assert not runs.exists() or list(runs.iterdir()) == []
    assert add("run", good, sets[THREE], runs).returncode == 0
    assert "There is a run run already" in add("run", good, sets[THREE], runs).stderr


def test_another_file_in_its_place_is_refused(sets: dict[str, Dataset], tmp_path: Path) -> None:
    from segmentation.evaluation.foreign import add_model

    run = add_model(tmp_path / "runs" / "run", write_convolution(tmp_path / "good.onnx"), sets[THREE], tell=len)
    write_convolution(run.folder / "model.onnx", channel=1)
    with pytest.raises(RunError, match="it is not the one that was added as run"):
        Predictor(run.model)
    toml = run.folder / "model.toml"
    toml.write_text(toml.read_text().replace('file = "model.onnx"', 'file = "../good.onnx"'))
    with pytest.raises(RunError, match="does not lie beside"):
        Predictor(run.model)
