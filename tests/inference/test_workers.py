"""Work on the workers of a Dask cluster: who cannot be had is said, and who dies costs nothing."""

import asyncio
import http.server
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import dask
import pytest
from distributed import LocalCluster

import segmentation
from segmentation.data.locate import PROJECT
from segmentation.errors import BackendError, ConfigurationError
from segmentation.inference import workers
from segmentation.inference.workers import Outcome, compute_on

Start = Callable[[int], LocalCluster]


@pytest.fixture
def start() -> Iterator[Start]:
    """A function that starts a cluster of so many processes, which gives up what two of them have died over."""
    clusters = []

    def start_(count: int) -> LocalCluster:
        with dask.config.set({"distributed.scheduler.allowed-failures": 1}):
            cluster = LocalCluster(n_workers=count, threads_per_worker=1, host="127.0.0.1", dashboard_address=None)
        clusters.append(cluster)
        return cluster

    yield start_
    for cluster in clusters:
        cluster.close()


def join(cluster: LocalCluster, path: Path, before: str = "pass") -> subprocess.Popen:
    """Start a worker of a cluster that finds packages in a folder, and runs some code before."""
    code = f"{before}; from distributed.cli.dask_worker import main; main()"
    words = [cluster.scheduler_address, "--no-nanny", "--nthreads", "1", "--no-dashboard"]
    environment = {**os.environ, "PYTHONPATH": str(path)}
    return subprocess.Popen([sys.executable, "-c", code, *words], cwd=path, env=environment)


def test_a_piece_that_kills_every_worker_is_named_and_the_others_are_done(start: Start) -> None:
    def compute(number: int) -> int:
        if number == 7:
            os.kill(os.getpid(), signal.SIGKILL)
        return number**2

    address = start(2).scheduler_address
    outcomes = {outcome.name: outcome for outcome in compute_on(address, compute, {str(n): n for n in range(20)})}
    problem = outcomes.pop("7").problem
    assert problem.startswith("7 cannot be computed: 2 workers died over it, the last at tcp://127.0.0.1:")
    assert outcomes == {str(n): Outcome(str(n), n**2) for n in range(20) if n != 7}


def test_the_piece_over_which_the_last_worker_died_is_named(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "LOOK", 0.1)

    def compute(number: int) -> None:
        os.kill(os.getpid(), number)

    cluster = start(0)
    worker = join(cluster, PROJECT)
    cluster.wait_for_workers(1)
    with pytest.raises(
        BackendError, match="has no workers, and the last died over tile-1/a: start some by dask worker"
    ):
        list(compute_on(cluster.scheduler_address, compute, {"tile-1/a": signal.SIGKILL}))
    assert worker.wait() == -signal.SIGKILL


def test_a_notebook_may_compute_whose_loop_runs(start: Start) -> None:
    address = start(1).scheduler_address

    async def cell() -> list[Outcome]:
        return list(compute_on(address, abs, {"a": -1}))

    with ThreadPoolExecutor(1) as pool:  # the tests' own thread may have a loop already
        assert pool.submit(asyncio.run, cell()).result() == [Outcome("a", 1)]


def test_a_cluster_without_workers_is_refused(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "LOOK", 0.1)
    with pytest.raises(BackendError, match="has no workers, and none has come: start some"):
        list(compute_on(start(0).scheduler_address, abs, {"a": -1}))


@pytest.mark.parametrize(
    "address", ["", "tcp://", "tcp://127.0.0.1:99999", "ftp://a", "tcp://nowhere.invalid:1", "a\nb"]
)
def test_an_address_at_which_nobody_is_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "ANSWER", 1)
    with pytest.raises(BackendError, match="No Dask scheduler answers") as refused:
        list(compute_on(address, abs, {"a": -1}))
    assert "\n" not in str(refused.value)


def test_a_server_of_another_kind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "ANSWER", 1)
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever).start()
        with pytest.raises(BackendError, match="No Dask scheduler answers"):
            list(compute_on(f"127.0.0.1:{server.server_port}", abs, {"a": -1}))
        server.shutdown()


def test_a_server_that_says_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "ANSWER", 1)
    refused = pytest.raises(BackendError, match="No Dask scheduler answers")
    with socket.create_server(("127.0.0.1", 0)) as silent, refused:
        list(compute_on(f"127.0.0.1:{silent.getsockname()[1]}", abs, {"a": -1}))


def test_a_worker_of_another_version_is_refused(start: Start, tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns("pretrained", "__pycache__")
    copy = shutil.copytree(Path(segmentation.__file__).parent, tmp_path / "segmentation", ignore=ignored)
    (copy / "tables.py").write_text((copy / "tables.py").read_text() + "\n# later\n")
    cluster = start(0)
    worker = join(cluster, tmp_path)
    with pytest.raises(BackendError, match=r"The worker tcp://\S+ has segmentation code \w+ in place of code \w+:"):
        list(compute_on(cluster.scheduler_address, abs, {"a": -1}))
    worker.kill()
    worker.wait()


def test_a_worker_without_the_package_is_refused(start: Start, tmp_path: Path) -> None:
    cluster = start(0)
    worker = join(cluster, tmp_path, "import sys; sys.modules['segmentation'] = None")
    with pytest.raises(BackendError, match="A worker has not this version of the package"):
        list(compute_on(cluster.scheduler_address, abs, {"a": -1}))
    worker.kill()
    worker.wait()


def test_what_a_piece_raises_for_the_user_stops_all(start: Start) -> None:
    def refuse(number: int) -> None:
        raise ConfigurationError(f"Not {number}: choose another.")

    with pytest.raises(ConfigurationError, match="Not 3: choose another"):
        list(compute_on(start(1).scheduler_address, refuse, {"a": 3}))


def test_what_a_library_raises_is_the_pieces_problem(start: Start) -> None:
    (failed, done) = sorted(compute_on(start(1).scheduler_address, partial(pow, 6), {"a": "\n", "b": 2}))
    assert failed.problem.startswith("a cannot be computed (TypeError: unsupported")
    assert (done.value(), done.problem) == (36, None)
    with pytest.raises(BackendError, match="a cannot be computed"):
        failed.value()


def test_a_scheduler_that_goes_is_missed(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "ANSWER", 2)
    cluster = start(1)
    outcomes = compute_on(cluster.scheduler_address, abs, {str(number): number for number in range(100)})
    next(outcomes)
    cluster.close()
    with pytest.raises(BackendError, match="answers no more: start it and its workers again"):
        list(outcomes)


def test_little_is_handed_over_at_a_time_and_nothing_is_done_once_the_caller_stops(start: Start) -> None:
    cluster = start(1)
    outcomes = compute_on(cluster.scheduler_address, abs, {str(number): number for number in range(1000)})
    assert next(outcomes).problem is None
    assert 0 < len(cluster.scheduler.tasks) <= workers.AHEAD
    outcomes.close()
    assert not cluster.scheduler.tasks
