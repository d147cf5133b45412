"""The same training on TensorFlow, JAX and PyTorch; on several devices; killed and resumed on each."""

import fcntl
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from segmentation.backend import BACKENDS
from segmentation.data.locate import PROJECT
from segmentation.data.patches import load_patches
from segmentation.data.scenes import Dataset
from segmentation.errors import ConfigurationError
from segmentation.inference.engine import onnx_engine
from segmentation.runs.run import Run
from segmentation.training.distribution import data_parallel

XLA = "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0"
"""Two devices where there is one, and less time to compile than to compute."""

TASKS = (
    ("tensorflow", 0, ("first", "plain")),
    ("torch", -signal.SIGKILL, ("plain", "mixed", "killed")),
    ("jax", -signal.SIGKILL, ("plain", "killed")),
    ("jax", 0, ("cut", "uncut", "predict")),
    ("torch", 0, ("cut", "uncut", "predict")),
    ("tensorflow", 0, ("predict",)),
)
"""Backend, exit code, and what `on_backend` does in each process: to load a backend takes longer than to train."""


@pytest.fixture(scope="module")
def all_backends() -> None:
    """Skip where one is not installed."""
    missing = [title for name, title in BACKENDS.items() if importlib.util.find_spec(name) is None]
    if missing:
        # Where the tests guard the project they may not pass by leaving out what counts most.
        outcome = pytest.fail if os.environ.get("CI") else pytest.skip
        outcome(f"{' and '.join(missing)} not installed: pip install -r .ci/requirements.txt")


@pytest.fixture(scope="module")
def runs(all_backends: None, small_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which all of this was trained, once for all of pytest's processes."""
    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared
    folder = shared / "backends"
    with (shared / "backends.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            for backend, code, tasks in TASKS:
                run_tasks(backend, code, tasks, folder, small_dataset)
            (folder / "done").touch()
    return folder


def run_tasks(backend: str, code: int, tasks: tuple[str, ...], folder: Path, dataset: Dataset) -> None:
    environment = os.environ | backend_environment(backend, folder)
    command = [sys.executable, "-m", "tests.training.on_backend", folder, dataset.root, *tasks]
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr


def backend_environment(backend: str, folder: Path) -> dict[str, str]:
    return {
        "KERAS_BACKEND": backend,
        "XLA_FLAGS": XLA if backend == "jax" else "",
        "JAX_COMPILATION_CACHE_DIR": str(folder.with_name("compiled")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }


def history(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "history.csv")


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_curves_from_the_same_weights_agree_on_every_backend(runs: Path, backend: str) -> None:
    """To one part in ten thousand for losses, and to one pixel in five hundred for what counts pixels."""
    expected, curves = history(runs / "tensorflow"), history(runs / backend)
    assert curves["epoch"].tolist() == [0, 1, 2]
    assert expected["loss"].is_monotonic_decreasing
    for column in expected:
        counts = "accuracy" in column or "mean_iou" in column
        assert curves[column].tolist() == pytest.approx(expected[column].tolist(), rel=1e-4, abs=2e-3 * counts), column


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_run_says_what_it_was_trained_with(runs: Path, backend: str) -> None:
    run = Run(runs / backend)
    assert (run.problems, run.status.state) == ([], "finished")
    assert run.config.backend == backend
    assert run.config.versions.keys() == {backend, "keras", "numpy", "pandas", "pillow"}


@pytest.mark.parametrize(("trained_on", "loaded_on"), list(permutations(BACKENDS, 2)))
def test_a_model_file_loads_on_every_backend_and_predicts_the_same_classes(
    runs: Path, trained_on: str, loaded_on: str
) -> None:
    here = np.load(runs / f"{trained_on}-on-{trained_on}.npy")
    there = np.load(runs / f"{trained_on}-on-{loaded_on}.npy")
    assert np.abs(here - there).max() < 1e-5
    best, second = np.sort(here, axis=-1)[..., :-3:-1].transpose(3, 0, 1, 2)
    clear = best - second > 1e-4
    assert clear.mean() > 0.99
    assert np.array_equal(here.argmax(-1)[clear], there.argmax(-1)[clear])


@pytest.mark.parametrize("backend", BACKENDS)
def test_networks_of_all_backends_are_predicted_alike_by_the_runtime(
    runs: Path, backend: str, small_dataset: Dataset
) -> None:
    images = load_patches(small_dataset, 32).images
    assert (
        np.abs(
            onnx_engine(runs / backend / "best.keras").forward(images) - np.load(runs / f"{backend}-on-torch.npy")
        ).max()
        < 1e-5
    )


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_a_training_killed_and_resumed_ends_as_if_never_cut(runs: Path, backend: str) -> None:
    """On JAX it was killed and resumed on two devices, and was never cut on one.

    The loss of an epoch is the mean of its batches' by their sizes, and there the last batch was filled up.
    """
    run, whole = runs / f"{backend}-cut", runs / f"{backend}-uncut"
    assert {path.name for path in run.iterdir()} == {path.name for path in whole.iterdir()}
    expected, curves = history(whole), history(run)
    assert curves["epoch"].tolist() == list(range(6))
    for column in expected:
        tolerance = 1e-2 if "loss" in column and backend == "jax" else 1e-4
        assert curves[column].tolist() == pytest.approx(expected[column].tolist(), rel=tolerance), column
    assert Run(run).metrics.confusion_matrix == Run(whole).metrics.confusion_matrix


def test_mixed_precision_by_keras_own_policy_leaves_a_file_in_single_precision(
    runs: Path, small_dataset: Dataset
) -> None:
    run = Run(runs / "torch-mixed")
    with zipfile.ZipFile(run.model) as file:
        assert "bfloat16" not in file.read("config.json").decode()
    onnx_engine(run.model)  # which takes nothing else
    mixed, single = history(run.folder), history(runs / "torch")
    assert mixed["loss"].tolist() == pytest.approx(single["loss"].tolist(), rel=0.02)
    assert mixed["loss"].tolist() != pytest.approx(single["loss"].tolist(), rel=1e-6)


ABSENT = ("tensorflow", "torch", "rasterio", "streamlit", "plotly", "cachetools", "distributed", "kagglehub")
"""What a training does not need: packages that break when they are imported."""


def test_where_tensorflow_is_absent_a_packed_data_set_is_trained_evaluated_and_predicted_on_jax(
    all_backends: None, small_dataset: Dataset, tmp_path: Path
) -> None:
    """With Keras, JAX, NumPy, Pillow, pandas, h5py, tyro, tqdm and ONNX with its runtime."""
    for package in ABSENT:
        (tmp_path / "absent" / package).mkdir(parents=True)
        (tmp_path / "absent" / package / "__init__.py").write_text(f"raise ImportError('No module named {package}')")
    code = """
import json, sys
import tests.training.on_backend  # knows the network "tiny"
from segmentation.__main__ import main

for words in map(json.loads, sys.stdin):
    sys.argv[1:] = words
    print(main())
"""
    data, output, scene = tmp_path / "data.tar", tmp_path / "output", small_dataset.scenes[-1]
    run = ["--run", "bare", "--runs", tmp_path]
    network = ["--architecture", "tiny", "--patch-size", "32", "--protocol", "scene"]
    commands = [
        ["pack", small_dataset.root, data],
        ["train", "--name", "bare", *network, "--epochs", "2", "--batch-size", "7", "--data", data, "--runs", tmp_path],
        ["evaluate", *run, "--data", small_dataset.root],
        ["predict", scene.image, *run, "--output", output],
        ["train", "--name", "wide", "--devices", "3", "--data", small_dataset.root, "--runs", tmp_path],
    ]
    environment = os.environ | backend_environment("jax", tmp_path / "runs") | {"PYTHONPATH": str(tmp_path / "absent")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        env=environment,
        input="\n".join(json.dumps(list(map(str, words))) for words in commands),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line.isdigit()] == ["0", "0", "0", "0", "1"]
    assert done.stderr.splitlines()[-1] == "Expected 0 to 2 devices, as many as are here. Received: 3"
    run = Run(tmp_path / "bare")
    assert (run.problems, run.status.state, run.config.backend) == ([], "finished", "jax")
    assert (run.fingerprint, run.config.dataset.name) == (small_dataset.fingerprint(), small_dataset.root.name)
    assert (output / f"{scene.image.stem}-indices.png").is_file()


def test_several_devices_are_refused_on_another_backend() -> None:
    sentence = r"^Only JAX trains on several devices: set KERAS_BACKEND=jax, or leave --devices out\.$"
    with pytest.raises(ConfigurationError, match=sentence), data_parallel(2):
        pass
