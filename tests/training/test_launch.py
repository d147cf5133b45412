"""Trainings started from outside: the same command line, in a process that outlives who started it."""

import dataclasses
import os
import time
from pathlib import Path

import pytest
import tyro

from segmentation.configuration import ARCHITECTURES, Configuration
from segmentation.data.scenes import Dataset
from segmentation.errors import RunError
from segmentation.files import write_json
from segmentation.model import registry
from segmentation.runs.records import Status
from segmentation.runs.run import Run, write_status
from segmentation.training import launch

QUICK = Configuration(patch_size=32, batch_size=4, epochs=200)


@pytest.mark.parametrize(
    "configuration",
    [
        Configuration(),
        Configuration(protocol="tile", held_out_tile="Tile 2", flips_and_rotations=True, learning_rate=1e-05),
        Configuration(protocol="tile", held_out_tile="--resume"),
        Configuration(loss="cross_entropy+0.5*jaccard", class_weights=(1.0, 2.0, 0.5), early_stopping=2, ema=0.99),
        Configuration(folds="tile"),
        Configuration(protocol="scene", fold=3),
        Configuration(start_from="a run", worst_share=0.25, architecture="lite0-unet"),
    ],
)
def test_the_command_line_reads_its_options_back(configuration: Configuration) -> None:
    assert tyro.cli(Configuration, args=launch.options(configuration)) == configuration


def test_the_networks_that_can_be_chosen_are_those_in_the_registry() -> None:
    assert tuple(registry.ARCHITECTURES) == ARCHITECTURES


def wait_for(run: Run, state: str, seconds: float = 90) -> Status:
    """Look at the run's status until it is in a state; fail if it never is."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        status = Run(run.folder).status
        if status.state == state and (state != "running" or status.seconds_left is not None):
            return status
        time.sleep(0.02)  # leaves the processor to the training
    raise AssertionError(f"{status}, not {state}")


def test_a_training_can_be_started_stopped_and_resumed_from_outside(small_dataset: Dataset, tmp_path: Path) -> None:
    run = Run(tmp_path / "far")
    first = launch.start("far", QUICK, small_dataset.root, tmp_path)
    status = wait_for(run, "running")
    assert (status.pid, status.epochs) == (first.pid, 200)
    assert os.getsid(first.pid) != os.getsid(0)  # in a session of its own: closing this one does not end it
    launch.stop(Run(run.folder))
    wait_for(run, "stopped")
    first.wait(30)
    epochs = len(Run(run.folder).history.table)
    assert 0 < epochs < 200
    second = launch.start("far", QUICK, small_dataset.root, tmp_path)
    wait_for(run, "running")
    launch.stop(Run(run.folder))
    wait_for(run, "stopped")
    second.wait(30)
    table = Run(run.folder).history.table
    assert table["epoch"].tolist() == list(range(len(table)))
    assert len(table) >= epochs


def test_what_a_training_prints_is_kept(small_dataset: Dataset, tmp_path: Path) -> None:
    odd = dataclasses.replace(QUICK, patch_size=30)
    assert launch.start("odd", odd, small_dataset.root, tmp_path).wait(60) == 1
    assert "unet needs a patch size divisible by 16" in launch.log_of("odd", tmp_path).read_text()


def test_a_training_is_started_on_the_backend_that_is_chosen(small_dataset: Dataset, tmp_path: Path) -> None:
    """One that cannot train says so, in the words of the process that was started."""
    assert launch.start("odd", QUICK, small_dataset.root, tmp_path, backend="numpy").wait(60) == 1
    assert "KERAS_BACKEND is 'numpy'" in launch.log_of("odd", tmp_path).read_text()


@pytest.mark.parametrize("name", ["..", "../out", "a/b", ".hidden", "a\nb", "x" * 101, "-rf"])
def test_a_name_that_leads_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot be a run's name"):
        launch.start(name, QUICK, tmp_path, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file where the folder should be")
    with pytest.raises(RunError, match="could not be started in runs"):
        launch.start("first", QUICK, tmp_path, tmp_path / "runs")


@pytest.mark.parametrize("pid", [-(2**40), 2**40, None, "1", 1.5], ids=repr)
def test_what_is_no_process_of_this_machine_is_not_stopped(tmp_path: Path, pid: object) -> None:
    status = {"state": "running", "heartbeat": time.time(), "pid": pid}
    write_json(tmp_path / "odd" / "status.json", status)
    with pytest.raises(RunError, match="odd does not run on this machine"):
        launch.stop(Run(tmp_path / "odd"))


def test_what_gives_no_sign_of_life_is_not_stopped(tmp_path: Path) -> None:
    """Its process id may be another's by now."""
    write_status(tmp_path / "old", "running", progress=0.5)
    status = (tmp_path / "old" / "status.json").read_text()
    (tmp_path / "old" / "status.json").write_text(status.replace('"heartbeat": 1', '"heartbeat": 0'))
    with pytest.raises(RunError, match="nothing to stop"):
        launch.stop(Run(tmp_path / "old"))
    write_status(tmp_path / "done", "finished")
    with pytest.raises(RunError, match="nothing to stop"):
        launch.stop(Run(tmp_path / "done"))
