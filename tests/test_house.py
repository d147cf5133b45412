"""The house rules that a machine can check: style, dependencies that point down, and a README that tells the truth."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from detect_secrets import SecretsCollection
from detect_secrets.settings import default_settings

from segmentation.data.locate import PROJECT
from segmentation.data.palette import DUBAI, VOID, Palette
from segmentation.runs.run import SHIPPED, find_runs

SHIPPED_RUNS = [
    "demo-unet",
    "dubai-best",
    "dubai-lite0",
    "dubai-scene",
    "dubai-tile",
    "dubai-unet",
    "dubai-unet-plain",
]

README = (PROJECT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", [("check",), ("format", "--check")])
def test_ruff_has_nothing_to_say(command: tuple[str, ...]) -> None:
    done = subprocess.run([sys.executable, "-m", "ruff", *command, "."], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_type_checker_has_nothing_to_say(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_no_file_holds_a_secret() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True).stdout
    # Pictures and models are no text, and tables of a million numbers take minutes.
    paths = [
        PROJECT / name
        for name in filter(None, listed.split("\0"))
        if not name.endswith((".png", ".keras", "patches.csv"))
    ]
    found = SecretsCollection()
    with default_settings():
        for path in paths:
            found.scan_file(str(path))
    assert len(paths) > 50
    # A run's data set and commit are known by their hashes, which look like keys.
    hashes = re.compile(r'\s*"(fingerprint|commit)": "[0-9a-f]+",?')
    secrets = [(name, secret.line_number) for name, secret in found]
    lines = {place: Path(place[0]).read_text(encoding="utf-8").splitlines()[place[1] - 1] for place in secrets}
    assert [place for place in secrets if not hashes.fullmatch(lines[place])] == []


def test_only_the_user_interface_imports_streamlit() -> None:
    importers = {
        path.relative_to(PROJECT).parts[1]
        for path in (PROJECT / "segmentation").rglob("*.py")
        if re.search(r"^\s*(import|from) streamlit\b", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert importers == {"ui"}


@pytest.mark.parametrize("package", ["data", "runs"])
def test_what_only_reads_files_does_not_import_tensorflow(package: str) -> None:
    modules = [f"segmentation.{package}.{path.stem}" for path in (PROJECT / "segmentation" / package).glob("*.py")]
    code = f"import sys, {', '.join(modules)}\nassert not {{'tensorflow', 'keras'}} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_shipped_run_is_complete_and_has_ended() -> None:
    runs = find_runs(SHIPPED)
    assert [run.name for run in runs] == SHIPPED_RUNS
    for run in runs:
        assert run.problems == []
        assert run.status.state == "finished"


def test_no_shipped_file_names_a_place_on_the_machine_that_made_it() -> None:
    for path in SHIPPED.rglob("*.json"):
        places = [text for text in texts_of(json.loads(path.read_text(encoding="utf-8"))) if is_a_place(text)]
        assert not places, path


def is_a_place(text: str) -> bool:
    """Whether it has a slash and is no name of an image, as `tile-2/image_part_001` is."""
    return any(slash in text for slash in "/\\") and not re.fullmatch(r"tile-\d/image_part_\d{3}", text)


def texts_of(value: object) -> Iterator[str]:
    """All texts in a value read from JSON, those of the keys as well."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, held in value.items():
            yield key
            yield from texts_of(held)
    elif isinstance(value, list):
        for held in value:
            yield from texts_of(held)


def row_of(run: str, text: str) -> list[str]:
    """The cells of a run's row in a table, without its name."""
    row = next(line for line in text.splitlines() if re.match(rf"\| `{run}`(,[^|]*)? \|", line))
    return [cell.strip() for cell in row.strip("|").split("|")][1:]


@pytest.mark.parametrize("name", SHIPPED_RUNS)
def test_the_tables_of_results_say_what_was_measured(name: str) -> None:
    metrics = json.loads((SHIPPED / name / "metrics.json").read_text(encoding="utf-8"))
    keys = ("accuracy", "jaccard", "mean_iou", "mean_iou_without_unlabeled")
    scores = [metrics[key] for key in keys] + [*metrics["iou"].values(), metrics["calibration_error"]]
    told = [f"{score:.3f}" for score in scores]
    assert row_of(name, (PROJECT / "docs" / "results.md").read_text(encoding="utf-8")) == told
    if f"| `{name}`" in README:
        assert row_of(name, README) == told[:3]


@pytest.mark.parametrize("name", [name for name in SHIPPED_RUNS if name.startswith("dubai")])
def test_results_say_the_intervals_that_were_measured(name: str) -> None:
    intervals = json.loads((SHIPPED / name / "metrics.json").read_text(encoding="utf-8"))["intervals"]
    keys = ("accuracy", "mean_iou", "mean_iou_without_unlabeled")
    told = ["{:.3f}–{:.3f}".format(*intervals["scores"][key]) for key in keys] + [str(intervals["units"])]
    text = (PROJECT / "docs" / "results.md").read_text(encoding="utf-8")
    assert row_of(name, text[text.index("| 95 % interval |") :]) == told


def test_results_say_the_further_scores_that_were_measured() -> None:
    text = (PROJECT / "docs" / "results.md").read_text(encoding="utf-8")
    keys = ("mean_boundary_iou", "mean_iou_by_image", "worst_10_by_image", "worst_5_by_image")
    keys += ("mean_iou_by_class", "worst_10_by_class", "worst_5_by_class", "brier")
    for name in SHIPPED_RUNS:
        metrics = json.loads((SHIPPED / name / "metrics.json").read_text(encoding="utf-8"))
        assert row_of(name, text[text.index("| Boundary IoU |") :]) == [f"{metrics[key]:.3f}" for key in keys]


def test_the_readme_shows_the_best_run() -> None:
    assert "| `dubai-best`" in README


def test_it_is_said_when_black_is_void() -> None:
    said = "Black is void unless a class in `class_dict.csv` is 0,0,0"
    assert said in " ".join((PROJECT / "docs" / "data.md").read_text(encoding="utf-8").split())
    black = np.zeros((1, 1, 3), np.uint8)
    assert DUBAI.encode(black).tolist() == [[VOID]]
    assert Palette(("Sea", "Land"), ((0, 0, 0), (255, 255, 255))).encode(black).tolist() == [[0]]
