"""The run folder: what is there is shown, what is missing or broken is named."""

import json
import math
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from segmentation.data.palette import DUBAI
from segmentation.errors import NotAllowedError, RunError
from segmentation.runs.records import Metrics
from segmentation.runs.run import (
    SILENT_SECONDS,
    Run,
    check_run_allowed,
    check_run_name,
    find_runs,
    read_selection,
    write_scores,
    write_status,
)

PARTS = {"config": "config.json", "history": "history.csv", "metrics": "metrics.json", "patches": "patches.csv"}
ALL = ["config.json", "history.csv", "best.keras", "metrics.json", "patches.csv"]


METRICS = {
    "protocol": "patch",
    "patches": 1,
    "pixels": 4,
    "accuracy": 0.5,
    "jaccard": 0.4,
    "mean_iou": 0.3,
    "mean_iou_without_unlabeled": 0.3,
    "iou": dict.fromkeys(DUBAI.names, 0.5),
    "confusion_matrix": np.eye(6, dtype=int).tolist(),
}
PATCH = {"patch": "t/s/r00c00", "tile": "T", "scene": "t/s", "row": 0, "column": 0, "part": "test"}
PATCH |= {"mean_iou": 0.5, "accuracy": 0.75, "classes": 1, "confidence": 0.9, "brightness": 0.5, "contrast": 0.1}
PATCH |= {f"iou_{name}": 0.5 for name in DUBAI.names}


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A run folder in which everything is there."""
    folder = tmp_path / "runs" / "whole"
    folder.mkdir(parents=True)
    config = {"configuration": {"epochs": 2}, "palette": DUBAI.to_dict(), "dataset": {"fingerprint": "abc"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "history.csv").write_text("epoch,loss\n0,1.0\n1,0.5\n")
    (folder / "best.keras").write_bytes(b"a model")
    (folder / "metrics.json").write_text(json.dumps(METRICS))
    pd.DataFrame([PATCH]).to_csv(folder / "patches.csv", index=False)
    write_status(folder, "finished")
    return folder


@pytest.mark.parametrize("name", ["", " "])
def test_a_run_without_a_name_is_told_that_it_needs_one(name: str) -> None:
    with pytest.raises(RunError, match="A run needs a name"):
        check_run_name(name)


@pytest.mark.parametrize("name", [".", "..", "../x", "a/b", "a\\b", "-x", "--resume", ".log", "a\n", "a\0", "<b>"])
def test_a_name_that_is_no_folders_name_is_refused(name: str) -> None:
    with pytest.raises(RunError, match="cannot be a run's name"):
        check_run_name(name)


@pytest.mark.parametrize("name", ["log", "Reviews"])
def test_a_name_that_is_taken_for_something_else_is_refused(name: str) -> None:
    with pytest.raises(RunError, match="is not for a run"):
        check_run_name(name)


def test_a_run_or_a_file_in_it_that_is_a_link_out_is_refused(whole: Path, tmp_path: Path) -> None:
    allowed = [(tmp_path / "runs").resolve()]
    (whole.parent / "linked").symlink_to(whole)
    check_run_allowed(Run(whole), allowed)
    check_run_allowed(Run(whole.parent / "linked"), allowed)
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(whole, elsewhere)
    (whole.parent / "out").symlink_to(elsewhere)
    (whole / "metrics.json").unlink()
    (whole / "metrics.json").symlink_to(elsewhere / "metrics.json")
    for name in ("out", "whole", "linked"):
        with pytest.raises(NotAllowedError, match=name):
            check_run_allowed(Run(whole.parent / name), allowed)


def test_a_whole_run_is_read(whole: Path) -> None:
    run = Run(whole)
    assert (run.name, run.config.configuration, run.metrics) == ("whole", {"epochs": 2}, Metrics.from_dict(METRICS))
    assert run.history.table["loss"].tolist() == [1.0, 0.5]
    assert run.patches["patch"].tolist() == ["t/s/r00c00"]
    assert (run.palette, run.model, run.status.state) == (DUBAI, whole / "best.keras", "finished")


def test_a_whole_run_has_no_problems(whole: Path) -> None:
    assert Run(whole).problems == []


@pytest.mark.parametrize("attribute", PARTS)
def test_a_missing_file_reads_as_none_and_is_named(whole: Path, attribute: str) -> None:
    (whole / PARTS[attribute]).unlink()
    assert getattr(Run(whole), attribute) is None
    assert Run(whole).problems == [f"{PARTS[attribute]} is missing"]


@pytest.mark.parametrize("key", METRICS)
def test_metrics_of_another_version_count_as_unreadable(whole: Path, key: str) -> None:
    (whole / "metrics.json").write_text(json.dumps({name: METRICS[name] for name in METRICS if name != key}))
    assert (Run(whole).metrics, Run(whole).problems) == (None, ["metrics.json cannot be read"])


@pytest.mark.parametrize("column", PATCH)
def test_patches_of_another_version_count_as_unreadable(whole: Path, column: str) -> None:
    pd.DataFrame([PATCH]).drop(columns=column).to_csv(whole / "patches.csv", index=False)
    assert (Run(whole).patches, Run(whole).problems) == (None, ["patches.csv cannot be read"])


@pytest.mark.parametrize("part", ["configuration", "palette", "dataset"])
def test_a_config_of_another_version_counts_as_unreadable(whole: Path, part: str) -> None:
    config = json.loads((whole / "config.json").read_text())
    (whole / "config.json").write_text(json.dumps({**config, part: "else"}))
    run = Run(whole)
    assert (run.config, run.palette, run.fingerprint) == (None, None, None)
    assert (run.patch_size, run.protocol) == (160, "scene")
    assert run.problems == ["config.json cannot be read"]


def test_a_missing_model_reads_as_none_and_is_named(whole: Path) -> None:
    (whole / "best.keras").unlink()
    assert (Run(whole).model, Run(whole).problems) == (None, ["best.keras is missing"])


@pytest.mark.parametrize("attribute", PARTS)
@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n\xff\xfe\x00", b'{"half": ', b"[1, 2]", b"a,b\n1,2,3,4\n"])
def test_a_broken_file_reads_as_none_and_is_named(whole: Path, attribute: str, content: bytes) -> None:
    (whole / PARTS[attribute]).write_bytes(content)
    run = Run(whole)
    assert getattr(run, attribute) is None
    assert run.problems == [f"{PARTS[attribute]} cannot be read"]


def test_an_empty_history_is_no_problem(whole: Path) -> None:
    (whole / "history.csv").write_bytes(b"")
    assert (len(Run(whole).history.table), Run(whole).problems) == (0, [])


def test_a_table_of_patches_that_lacks_a_column_cannot_be_read(whole: Path) -> None:
    (whole / "patches.csv").write_text("patch,tile,scene\na,b,c\n")
    assert Run(whole).problems == ["patches.csv cannot be read"]


def test_a_folder_with_nothing_names_everything(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert run.problems == [f"{name} is missing" for name in ALL]
    assert (run.palette, run.model) == (None, None)


@pytest.mark.parametrize(
    "palette",
    [None, [], {}, {"classes": 3}, {"classes": [{"name": "A"}]}, {"classes": [{"name": "A", "color": "#12"}]}, 7],
    ids=str,
)
def test_a_broken_palette_reads_as_none(whole: Path, palette: object) -> None:
    (whole / "config.json").write_text(json.dumps({"configuration": {}, "palette": palette, "dataset": {}}))
    assert Run(whole).palette is None


def write_raw_status(folder: Path, **content: object) -> None:
    (folder / "status.json").write_text(json.dumps(content))


def test_a_status_tells_state_process_and_details(whole: Path) -> None:
    before = time.time()
    write_status(whole, "running", phase="training", progress=0.25)
    status = Run(whole).status
    assert (status.state, status.phase, status.progress) == ("running", "training", 0.25)
    assert status.pid == os.getpid()
    assert before <= status.heartbeat <= time.time()


def test_a_running_training_that_is_silent_has_stalled(whole: Path) -> None:
    write_raw_status(whole, state="running", heartbeat=time.time() - SILENT_SECONDS - 5, pid=1)
    status = Run(whole).status
    assert (status.state, status.pid) == ("stalled", 1)
    assert "more than two minutes" in status.reason


def test_a_running_training_that_wrote_lately_is_running(whole: Path) -> None:
    write_raw_status(whole, state="running", heartbeat=time.time() - SILENT_SECONDS / 2, pid=os.getpid())
    assert Run(whole).status.state == "running"


def test_a_running_training_whose_process_is_gone_has_stopped(whole: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    write_raw_status(whole, state="running", heartbeat=time.time() - SILENT_SECONDS / 2, pid=gone.pid)
    status = Run(whole).status
    assert (status.state, status.reason) == ("stopped", "its process is gone")


@pytest.mark.parametrize(("early", "state"), [(5, "running"), (60, "stopped"), (3600, "stalled")])
def test_a_heartbeat_from_the_future_is_as_old_as_it_is_early(whole: Path, early: float, state: str) -> None:
    """After the clock was set back a dead training would otherwise run until the clock has caught up."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    write_raw_status(whole, state="running", heartbeat=time.time() + early, pid=gone.pid)
    assert Run(whole).status.state == state


@pytest.mark.parametrize("value", [None, "x", -1, 1e300, math.nan, math.inf, True, [], {}], ids=repr)
def test_numbers_of_a_status_that_make_no_sense_are_left_out(whole: Path, value: object) -> None:
    write_raw_status(whole, state="running", heartbeat=time.time(), pid=os.getpid(), progress=value, epochs=value)
    status = Run(whole).status
    assert (status.state, status.progress, status.epochs) == ("running", None, None)


@pytest.mark.parametrize("state", ["state", {"state": "flying"}, {"state": None}, {"state": []}], ids=repr)
def test_a_status_of_another_version_counts_as_stopped(whole: Path, state: object) -> None:
    (whole / "status.json").write_text(json.dumps(state))
    assert (Run(whole).status.state, Run(whole).status.reason) == ("stopped", "status.json cannot be read")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("protocol", "another"),
        ("accuracy", "0.5"),
        ("mean_iou", 1e300),
        ("patches", None),
        ("pixels", -1),
        ("iou", {"Land": 0.5}),
        ("iou", [0.5]),
        ("iou", dict.fromkeys(DUBAI.names, "high")),
        ("confusion_matrix", [[1, 2], [3, 4]]),
        ("confusion_matrix", [[1, 2], [3]]),
        ("confusion_matrix", np.full((6, 6), 0.5).tolist()),
        ("confusion_matrix", "none"),
    ],
)
def test_metrics_that_cannot_be_count_as_unreadable(whole: Path, key: str, value: object) -> None:
    (whole / "metrics.json").write_text(json.dumps({**METRICS, key: value}))
    assert (Run(whole).metrics, Run(whole).problems) == (None, ["metrics.json cannot be read"])


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("mean_iou", "high"),
        ("mean_iou", 2.0),
        ("iou_Land", -1),
        ("row", 10**12),
        ("row", -1),
        ("column", 0.5),
        ("column", None),
        ("patch", "no scene"),
        ("patch", 5),
        ("scene", None),
    ],
)
def test_patches_that_cannot_be_count_as_unreadable(whole: Path, column: str, value: object) -> None:
    pd.DataFrame([{**PATCH, column: value}]).to_csv(whole / "patches.csv", index=False)
    assert (Run(whole).patches, Run(whole).problems) == (None, ["patches.csv cannot be read"])


@pytest.mark.parametrize("value", ["no number", None, 1e300])
def test_confusion_matrices_that_cannot_be_are_left_out(whole: Path, value: object) -> None:
    cells = {f"{true} as {taken}": 1 for true in DUBAI.names for taken in DUBAI.names}
    pd.DataFrame([{**PATCH, **cells, "Land as Road": value}]).to_csv(whole / "patches.csv", index=False)
    assert Run(whole).patches is not None
    assert Run(whole).confusion_matrices is None


@pytest.mark.parametrize(
    "change", [{"patch_size": 0}, {"patch_size": 10**9}, {"patch_size": "large"}, {"protocol": "another"}], ids=str
)
def test_a_config_that_cannot_be_counts_as_unreadable(whole: Path, change: dict) -> None:
    config = json.loads((whole / "config.json").read_text())
    (whole / "config.json").write_text(json.dumps({**config, "configuration": change}))
    assert (Run(whole).config, Run(whole).problems) == (None, ["config.json cannot be read"])


@pytest.mark.parametrize("state", ["finished", "stopped", "failed"])
def test_a_run_that_has_ended_does_not_stall(whole: Path, state: str) -> None:
    write_raw_status(whole, state=state, heartbeat=0)
    assert Run(whole).status.state == state


@pytest.mark.parametrize("heartbeat", [None, "yesterday", []], ids=str)
def test_a_running_status_without_a_time_has_stalled(whole: Path, heartbeat: object) -> None:
    write_raw_status(whole, state="running", heartbeat=heartbeat)
    assert Run(whole).status.state == "stalled"


@pytest.mark.parametrize("content", [None, b"", b'{"state": "run', b"[]", b"\xff\xfe"], ids=repr)
def test_without_a_readable_status_a_run_counts_as_stopped(whole: Path, content: bytes | None) -> None:
    (whole / "status.json").unlink()
    if content is not None:
        (whole / "status.json").write_bytes(content)
    assert Run(whole).status.state == "stopped"


def test_scores_are_read_back_as_written(whole: Path) -> None:
    table = Run(whole).patches.assign(mean_iou=0.25)
    metrics = replace(Run(whole).metrics, accuracy=0.875)
    write_scores(whole, metrics, table)
    run = Run(whole)
    assert run.metrics == metrics
    pd.testing.assert_frame_equal(run.patches, table)


def test_runs_are_found_by_name_folder_after_folder(whole: Path) -> None:
    runs, shipped = whole.parent, whole.parent.parent / "shipped"
    for name in (runs / "b", runs / "a", shipped / "c"):
        shutil.copytree(whole, name)
    assert [run.folder for run in find_runs(shipped, runs)] == [shipped / "c", runs / "a", runs / "b", runs / "whole"]


@pytest.mark.parametrize("name", ["config.json", "history.csv"])
def test_a_folder_with_a_config_or_a_history_is_a_run(tmp_path: Path, name: str) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / name).write_text("")
    assert [run.name for run in find_runs(tmp_path)] == ["one"]


def test_other_folders_and_files_are_no_runs(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "history.csv").write_text("epoch,loss\n0,1\n")
    assert find_runs(tmp_path) == []


def test_a_folder_that_is_not_there_has_no_runs(tmp_path: Path) -> None:
    assert find_runs(tmp_path / "gone") == []


def test_reading_runs_does_not_import_tensorflow() -> None:
    code = "import sys, segmentation.runs.run; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    project = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=project, check=False).returncode == 0


def test_without_a_configuration_patches_have_no_confusion_matrices(whole: Path) -> None:
    (whole / "config.json").unlink()
    run = Run(whole)
    assert run.patches is not None
    assert run.confusion_matrices is None


def test_a_table_from_before_confusion_matrices_were_kept_has_none(whole: Path) -> None:
    assert Run(whole).patches is not None
    assert Run(whole).confusion_matrices is None


def test_a_ranking_is_a_list_of_patches(tmp_path: Path) -> None:
    (tmp_path / "ranking.csv").write_text("rank,patch,mean_iou\n1,t/s/r00c01,0.2\n2,t/s/r00c00,0.3\n")
    assert read_selection(tmp_path / "ranking.csv") == ["t/s/r00c01", "t/s/r00c00"]


@pytest.mark.parametrize("content", [None, b"", b"name\na\n", b"\xff\xfe", b"patch\n"])
def test_what_is_no_list_of_patches_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "list.csv").write_bytes(content)
    with pytest.raises(RunError, match=r"list\.csv"):
        read_selection(tmp_path / "list.csv")
