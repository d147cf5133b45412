"""A run scored by the workers of a Dask cluster: the same to the last digit, whoever dies."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from distributed import Client, LocalCluster
from PIL import Image

from segmentation.data.locate import PROJECT
from segmentation.data.scenes import Dataset, find_dataset
from segmentation.errors import BackendError
from segmentation.evaluation.evaluate import evaluate_run
from tests.conftest import COLORS

SCENES = 300


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Three hundred small scenes of several sizes: one cannot be read, one is too small, one has no class."""
    root, rng = tmp_path_factory.mktemp("many") / "Many", np.random.default_rng(2)
    colors = np.array([*COLORS, (0, 0, 0)], np.uint8)
    for number in range(SCENES):
        tile, (height, width) = root / f"Tile {number % 3}", rng.integers(32, 100, 2) if number != 8 else (20, 64)
        blocks = rng.integers(0, len(COLORS), (-(-height // 16), -(-width // 16)))
        classes = np.kron(blocks, np.ones((16, 16), int))[:height, :width]
        classes[3:9, 5:20] = len(COLORS)
        if number == 9:
            classes[:] = len(COLORS)
        shade = 20 + 35 * classes[..., None] + rng.integers(0, 20, (height, width, 3))
        for folder, pixels in (("images", shade.astype(np.uint8)), ("masks", colors[classes])):
            (tile / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(tile / folder / f"image_part_{number:03d}.png")
    (root / "Tile 1" / "images" / "image_part_007.png").write_bytes(b"Dear Sir or Madam")
    return find_dataset(root)


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """Two workers, each a process."""
    with LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster:
        yield cluster


def test_two_workers_one_killed_half_way_give_what_one_process_gives(
    trained: tuple, many: Dataset, cluster: LocalCluster, tmp_path: Path
) -> None:
    alone, together, told = tmp_path / "alone", tmp_path / "together", ([], [])
    evaluate_run(trained.run, many, "all", save_as=alone, tell=told[0].append)
    with Client(cluster) as client:
        processes = list(client.run(os.getpid).values())
    totals = []

    def kill_one(done: int, total: int) -> None:
        if total not in totals:
            totals.append(total)
        if totals[-1] != SCENES and done > total // 2 and len(processes) == 2:
            os.kill(processes.pop(), signal.SIGKILL)

    how = {"progress": kill_one, "tell": told[1].append, "save_as": together, "scheduler": cluster.scheduler_address}
    evaluate_run(trained.run, many, "all", **how)
    assert len(processes) == 1
    assert told[0] == told[1]
    assert any("Left out 2 of 300 scenes" in sentence for sentence in told[0])
    assert (together / "patches.csv").read_bytes() == (alone / "patches.csv").read_bytes()
    assert (together / "metrics.json").read_bytes() == (alone / "metrics.json").read_bytes()


@pytest.mark.parametrize("protocol", ["patch", "scene"])
def test_what_is_held_out_is_scored_alike(trained: tuple, many: Dataset, cluster: LocalCluster, protocol: str) -> None:
    metrics, table = evaluate_run(trained.run, many, protocol)
    other, rows = evaluate_run(trained.run, many, protocol, scheduler=cluster.scheduler_address)
    assert other == metrics
    assert rows.to_csv() == table.to_csv()


def test_the_temperature_is_that_of_one_process(trained: tuple, cluster: LocalCluster) -> None:
    metrics, _ = evaluate_run(trained.run, trained.dataset, scheduler=cluster.scheduler_address)
    assert metrics.temperature is not None
    assert metrics == trained.run.metrics


def test_workers_that_do_not_see_the_data_are_refused(trained: tuple, many: Dataset, cluster: LocalCluster) -> None:
    folder = os.open(many.root, os.O_RDONLY)
    unseen = find_dataset(Path(f"/proc/self/fd/{folder}"))  # which is this process's alone
    with pytest.raises(BackendError, match=r"The worker tcp://\S+ does not see /proc/self/fd/.+ as this machine does"):
        evaluate_run(trained.run, unseen, "all", scheduler=cluster.scheduler_address)
    os.close(folder)


def test_the_command_scores_from_a_relative_path_and_stops_at_ctrl_c(
    trained: tuple, many: Dataset, cluster: LocalCluster, tmp_path: Path
) -> None:
    # Where the tests run in the background Ctrl-C is ignored, and so it would be in what they start.
    heeding = "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    heeding += "runpy.run_module('segmentation', run_name='__main__', alter_sys=True)"
    words = [sys.executable, "-c", heeding, "evaluate", "--run", trained.run.folder, "--data", many.root.name]
    words += ["--protocol", "all", "--dask", cluster.scheduler_address]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    begin = {"cwd": many.root.parent, "env": environment, "text": True}
    done = subprocess.run(words, capture_output=True, **begin)
    assert done.returncode == 0, done.stderr
    assert f"{trained.run.name}, protocol all" in done.stdout
    stopped = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **begin)
    deadline = time.monotonic() + 60
    while not cluster.scheduler.tasks and time.monotonic() < deadline:
        time.sleep(0.01)
    stopped.send_signal(signal.SIGINT)
    output, errors = stopped.communicate(timeout=60)
    assert (stopped.returncode, output, errors.splitlines()[-1]) == (130, "", "Stopped.")
    while cluster.scheduler.tasks and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not cluster.scheduler.tasks
