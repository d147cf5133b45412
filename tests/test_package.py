"""The package as others use it: its public names, its examples, and the wheel that pip installs."""

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import segmentation
from segmentation.data.locate import PROJECT
from segmentation.data.palette import DUBAI

PUBLIC = {
    "Configuration": "segmentation.configuration",
    "Fold": "segmentation.data.protocols",
    "Inference": "segmentation.inference.options",
    "Palette": "segmentation.data.palette",
    "Predictor": "segmentation.inference.predictor",
    "Run": "segmentation.runs.run",
    "evaluate": "segmentation.evaluation.evaluate",
    "find_dataset": "segmentation.data.scenes",
    "load_patches": "segmentation.data.patches",
    "train": "segmentation.training.fit",
}

DASHBOARD_FILES = ("app.py", "pages/1_Dataset_browser.py", "pages/4_Worst-case_gallery.py", ".streamlit/config.toml")


def test_the_public_names_are_there_and_documented() -> None:
    assert set(segmentation.__all__) == {*PUBLIC, "scores"} <= set(dir(segmentation))
    for name, home in PUBLIC.items():
        thing = getattr(segmentation, name)
        assert (thing.__module__, thing.__name__) == (home, name)
        assert len(thing.__doc__) > 40
    assert segmentation.scores.iou(np.eye(2)).tolist() == [1, 1]
    with pytest.raises(AttributeError, match="nothing_of_ours"):
        segmentation.nothing_of_ours  # noqa: B018


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import json, sys, segmentation; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert not {"numpy", "pandas", "keras", "tensorflow", "onnxruntime"} & set(json.loads(done.stdout))


def requirements(name: str) -> dict[str, str]:
    """The packages in a requirements file, with their bounds."""
    lines = (PROJECT / name).read_text().splitlines()
    words = (line.split("#")[0].strip() for line in lines if not line.startswith(("#", "-r")))
    return dict(re.match(r"([\w.-]+)(.*)", word).groups() for word in words if word)


def test_extras_and_requirements_name_the_same_packages() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]

    def of(*lists: list[str]) -> dict[str, str]:
        words = (word for words in lists for word in words if not word.startswith("aerial-segmentation["))
        return dict(re.match(r"([\w.-]+)(.*)", word).groups() for word in words)

    needed = of(project["dependencies"], *(extras[name] for name in ("dashboard", "train", "geo", "dask")))
    assert needed == requirements("requirements.txt")
    assert of(extras["openvino"], extras["dev"]) == requirements("requirements-dev.txt")


def example(name: str, *arguments: object) -> str:
    command = [sys.executable, str(PROJECT / "examples" / name), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_that_trains_predicts_a_scene(trained: tuple, tmp_path: Path) -> None:
    told = example("train_and_predict.py", trained.dataset.root, tmp_path / "run", "--epochs", 1, "--patch-size", 32)
    run = segmentation.Run(tmp_path / "run")
    assert f"mean IoU on held-out scenes: {run.metrics.mean_iou:.3f}" in told
    assert run.status.state == "finished"
    picture = np.asarray(Image.open(run.folder / "prediction.png"))
    assert picture.shape == np.asarray(Image.open(trained.dataset.scenes[0].image)).shape
    assert {tuple(color) for color in picture.reshape(-1, 3)} <= {tuple(color) for color in DUBAI.colors}


def test_the_example_that_scores_names_the_worst_patches(trained: tuple) -> None:
    told = example("worst_patches.py", trained.dataset.root, trained.run.folder, "--worst", 3)
    expected = pd.read_csv(trained.run.folder / "patches.csv").nsmallest(3, "mean_iou")
    lines = told.splitlines()[-3:]
    assert [line.split(":")[0] for line in lines] == expected["patch"].tolist()
    assert [float(re.search(r"mean IoU ([\d.]+)", line)[1]) for line in lines] == pytest.approx(
        expected["mean_iou"].tolist(), abs=6e-4
    )


def run(installed: tuple[Path, dict[str, str]], *words: str, **variables: str) -> subprocess.CompletedProcess:
    """Run something that is installed, from an empty folder."""
    folder, environment = installed
    command = [folder / "venv" / "bin" / words[0], *words[1:]]
    return subprocess.run(command, cwd=folder / "empty", env=environment | variables, capture_output=True, text=True)


def test_the_wheel_holds_the_dashboard_and_the_shipped_runs(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {f"segmentation/dashboard/{name}" for name in DASHBOARD_FILES} <= set(names)
    assert {f"segmentation/report/{name}" for name in ("report.html.j2", "charts.html.j2", "report.css")} <= set(names)
    assert {"segmentation/py.typed", "segmentation/pretrained/dubai-best/best.keras"} <= set(names)
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/"))]


def test_the_installed_command_says_what_it_can(installed: tuple) -> None:
    done = run(installed, "segmentation", "--help")
    assert done.returncode == 0, done.stderr
    assert "usage: segmentation" in done.stdout
    for command in ("dashboard", "train", "evaluate", "predict"):
        assert command in done.stdout


WITHOUT = """
import sys
for name in ("tensorflow", "keras", "streamlit", "rasterio", "pyproj", "cachetools", "distributed", "openvino"):
    sys.modules[name] = None  # as if it were not installed
"""


def test_the_plain_install_predicts_without_what_extras_bring(installed: tuple, tmp_path: Path) -> None:
    folder, _ = installed
    (tmp_path / "sitecustomize.py").write_text(WITHOUT)
    pixels = np.random.default_rng(1).integers(0, 255, (200, 300, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "scene.png")
    words = ("predict", str(tmp_path / "scene.png"), "--run", "dubai-best", "--output", str(tmp_path / "out"))
    done = run(installed, "segmentation", *words, PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert np.asarray(Image.open(tmp_path / "out" / "scene-indices.png")).shape == (200, 300)
    code = "import segmentation; print(segmentation.Predictor.__name__, segmentation.__file__)"
    named = run(installed, "python", "-c", code, PYTHONPATH=str(tmp_path)).stdout
    assert named.startswith("Predictor") and str(folder) in named

    refused = run(installed, "segmentation", "dashboard", PYTHONPATH=str(tmp_path))
    assert refused.returncode == 1
    assert refused.stderr == (
        'The dashboard needs packages that are not installed: pip install "aerial-segmentation[dashboard]"\n'
    )


def test_runs_and_demo_of_an_installed_package_are_the_users(installed: tuple) -> None:
    folder, _ = installed
    code = "from segmentation.data.locate import DEMO_FOLDER, runs_folder; print(DEMO_FOLDER); print(runs_folder())"
    told = run(installed, "python", "-c", code).stdout.split()
    user = folder / "user" / "aerial-segmentation"
    assert told == [str(user / "demo-data"), str(user / "runs")]
