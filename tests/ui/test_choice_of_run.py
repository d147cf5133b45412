"""Which run is in use, and what the address says of it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from segmentation.data.scenes import Dataset
from segmentation.runs.run import SHIPPED, Run, find_runs
from segmentation.ui.shell.run import default_run

Open = Callable[..., AppTest]


def write_run(source: Path, folder: Path, state: str, heartbeat: float) -> Run:
    """Copy a run, with a state and a time of its own."""
    shutil.copytree(source, folder)
    (folder / "status.json").write_text(json.dumps({"state": state, "heartbeat": heartbeat}))
    return Run(folder)


@pytest.fixture
def runs(trained: object, tmp_path: Path) -> Path:
    """Runs of one data set: two finished, and newer ones that stopped and failed, before any was evaluated."""
    for name, state, heartbeat in (("a", "failed", 9), ("b", "finished", 2), ("c", "stopped", 8), ("d", "finished", 3)):
        write_run(trained.run.folder, tmp_path / name, state, heartbeat)
        if state != "finished":
            (tmp_path / name / "metrics.json").unlink()
    return tmp_path


def test_the_newest_finished_run_is_the_default(open_on: Open, trained: object, runs: Path) -> None:
    at = open_on(trained.dataset, runs)
    assert at.selectbox(key="run").value == "d"
    assert {metric.label: metric.value for metric in at.metric}["Accuracy"] != "–"


def test_the_list_says_the_state_of_runs_that_are_not_finished(open_on: Open, trained: object, runs: Path) -> None:
    at = open_on(trained.dataset, runs)
    options = at.selectbox(key="run").options
    assert options[:4] == ["a", "b", "c", "d"]
    assert "Not finished: a (failed), c (stopped)." in {caption.value.replace("\\", "") for caption in at.caption}
    assert "demo-unet" in options


def test_a_run_that_is_not_finished_can_be_chosen(open_on: Open, trained: object, runs: Path) -> None:
    at = open_on(trained.dataset, runs, run="c")
    assert at.selectbox(key="run").value == "c"
    assert any("Health: stopped" in element.value for element in at.markdown)


def test_a_finished_run_of_other_classes_is_no_default_where_one_fits(
    open_on: Open, trained: object, tmp_path: Path
) -> None:
    write_run(trained.run.folder, tmp_path / "fits", "finished", 1)
    other = write_run(trained.run.folder, tmp_path / "other", "finished", 5)
    config = json.loads((other.folder / "config.json").read_text())
    config["palette"]["classes"][0]["name"] = "House"
    (other.folder / "config.json").write_text(json.dumps(config))
    assert open_on(trained.dataset, tmp_path).selectbox(key="run").value == "fits"


def test_for_the_dubai_set_it_is_this_machines_newest_then_dubai_best(real_dataset: Dataset, tmp_path: Path) -> None:
    shipped = find_runs(SHIPPED)
    assert default_run(real_dataset, shipped).name == "dubai-best"
    stopped = write_run(SHIPPED / "dubai-unet", tmp_path / "cut", "stopped", 9)
    assert default_run(real_dataset, [stopped, *shipped]).name == "dubai-best"
    older = write_run(SHIPPED / "dubai-unet", tmp_path / "older", "finished", 1)
    newer = write_run(SHIPPED / "dubai-unet", tmp_path / "newer", "finished", 2)
    assert default_run(real_dataset, [newer, older, stopped, *shipped]).name == "newer"
    assert default_run(real_dataset, [older, newer, stopped, *shipped]).name == "newer"
    demo = write_run(SHIPPED / "demo-unet", tmp_path / "demo", "finished", 9)
    assert default_run(real_dataset, [demo, *shipped]).name == "dubai-best"  # trained on another set


@pytest.mark.parametrize("page", ["home", "browser", "monitor", "explorer", "gallery"])
def test_the_address_names_data_set_and_run(open_page: Open, page: str) -> None:
    at = open_page(page)
    assert at.query_params["run"] in ("tiny", ["tiny"])
    assert at.query_params["data"] in ("small", ["small"])


def test_another_choice_is_in_the_address(open_on: Open, trained: object, runs: Path) -> None:
    at = open_on(trained.dataset, runs)
    at.selectbox(key="run").set_value("b").run()
    assert at.selectbox(key="run").value == "b"
    assert at.query_params["run"] in ("b", ["b"])
    at.run()
    assert at.selectbox(key="run").value == "b"


def test_a_link_to_a_run_that_is_not_here_says_so(open_page: Open) -> None:
    at = open_page("gallery", run="gone")
    assert "There is no run gone here" in at.warning[0].value
    assert at.selectbox(key="run").value == "tiny"
