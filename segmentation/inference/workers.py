"""Work shared among the workers of a Dask cluster: each piece done once, whichever workers die."""

import asyncio
import hashlib
import logging
import pickle
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, ThreadPoolExecutor
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar, cast

import numpy as np
import onnxruntime
import PIL

import segmentation
from segmentation.errors import BackendError, SegmentationError, printable

if TYPE_CHECKING:
    from distributed import Client, Future

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 4
"""Pieces that are handed to the cluster for each of its threads: more would only fill the scheduler's memory."""

ANSWER = 10
"""Seconds within which a scheduler answers."""

LOOK, LOOKS = 5, 12
"""Seconds between two looks whether there are workers at all, and how many without any are too many."""


class Outcome(NamedTuple, Generic[Result]):
    """What became of a piece of work.

    Args:
        name: Of the piece.
        result: What was computed, if it was.
        problem: A sentence, if it could not be.
    """

    name: str
    result: Result | None
    problem: str | None = None

    def value(self) -> Result:
        """Return what was computed.

        Raises:
            BackendError: If it could not be.
        """
        if self.problem:
            raise BackendError(self.problem)
        return cast(Result, self.result)


def compute_on(address: str, compute: Callable[[Item], Result], items: Mapping[str, Item]) -> Iterator[Outcome[Result]]:
    """Compute pieces of work on the workers of a Dask scheduler, and yield what became of each as it is done.

    What a worker that dies had begun is begun anew by another. If the caller stops, what has not begun is never done.

    Args:
        address: Of the scheduler, such as ``tcp://10.0.0.1:8786``.
        compute: A function of a module, or a `functools.partial` of one.
        items: What it is called with, by the name that a person knows it by.

    Raises:
        BackendError: If Dask is not installed, no scheduler answers there, there are no workers, or they have other
            versions than this machine.
        SegmentationError: What `compute` raises of this kind.
    """
    with _connect(address) as client:
        from distributed import KilledWorker

        blamed = []
        try:
            for name, future in _each_done(address, client, compute, items):
                if isinstance(future.exception(), KilledWorker):
                    blamed.append(name)
                else:
                    yield _outcome(name, future)
            # What only waited at a worker that died is blamed for it, too. Alone, each shows whether it was that.
            for name in blamed:
                for _, future in _each_done(address, client, compute, {name: items[name]}):
                    yield _outcome(name, future)
        except (CancelledError, OSError) as error:
            raise BackendError(
                f"The Dask scheduler at {address} answers no more: start it and its workers again, and repeat this."
            ) from error


def _each_done(
    address: str, client: "Client", compute: Callable[[Item], Result], items: Mapping[str, Item]
) -> "Iterator[tuple[str, Future]]":
    """Hand pieces of work to the workers, some ahead, and yield the name and the future of each as it is done.

    Raises:
        BackendError: If there are no workers for long.
    """
    import cloudpickle  # as Dask does

    def unpack(packed: bytes) -> object:
        """Compute on a worker. A closure travels by value: the scheduler, which reads it, may lack the package."""
        function, *arguments = pickle.loads(packed)  # noqa: S301 (ours)
        return function(*arguments)

    waiting, lonely = iter(items.items()), 0
    under_way: dict[Future, str] = {}
    while True:
        room = AHEAD * max(1, sum(client.nthreads().values())) - len(under_way)
        for name, item in islice(waiting, max(0, room)):
            packed = cloudpickle.dumps((_compute, versions(), compute, item))
            under_way[client.submit(unpack, packed, pure=False)] = name
        if not under_way:
            return
        done = _first_done(list(under_way))
        lonely = 0 if done or client.nthreads() else lonely + 1
        if lonely > LOOKS:
            raise _no_workers(address, client, under_way)
        for future in done:
            yield under_way.pop(future), future


def _connect(address: str) -> "Client":
    try:
        from distributed import Client
        from distributed.comm import connect
    except ImportError as error:
        raise BackendError(
            'Dask is not installed, by which many machines compute: pip install "aerial-segmentation[dask]"'
        ) from error

    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # its tracebacks: what is lost is said here

    async def knock() -> None:
        """Talk to the scheduler: at something else a client would wait for ever."""
        async with asyncio.timeout(ANSWER):
            comm = await connect(address, timeout=ANSWER)
            await comm.close()

    try:
        with ThreadPoolExecutor(1) as pool:  # in a notebook this thread has a loop that runs already
            pool.submit(asyncio.run, knock()).result()
        return Client(address, timeout=ANSWER)
    except Exception as error:  # of many kinds, by what is odd about the address
        raise BackendError(
            f"No Dask scheduler answers at {address}: start one by dask scheduler, and give the address that it shows."
        ) from error


@cache
def versions() -> dict[str, str]:
    """Return what results depend on: the versions of the packages that compute them, and the code of this one."""
    folder, digest = Path(segmentation.__file__).parent, hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    packages = {module.__name__: module.__version__ for module in (onnxruntime, np, PIL)}
    return {"segmentation": f"code {digest.hexdigest()[:8]}", **packages}


def _compute(expected: dict[str, str], compute: Callable[[Item], Result], item: Item) -> Result:
    """Compute a piece of work on a worker that has the versions that are expected."""
    if differing := [name for name in expected if versions().get(name) != expected[name]]:
        others = ", ".join(f"{name} {versions().get(name)} in place of {expected[name]}" for name in differing)
        raise BackendError(f"The worker {worker_address()} has {others}: install the same versions on all machines.")
    return compute(item)


def worker_address() -> str:
    """Return the address of the worker that calls this."""
    from distributed import get_worker

    return get_worker().address


def _first_done(futures: "list[Future]") -> "set[Future]":
    """Return what is done by now, or once something is; nothing if it takes long."""
    from distributed import wait

    try:
        return wait(futures, timeout=LOOK, return_when="FIRST_COMPLETED").done
    except TimeoutError:
        return set()


def _outcome(name: str, future: "Future") -> Outcome:
    """Return what became of a piece of work.

    Raises:
        SegmentationError: If that is what it raised.
        BackendError: If the worker does not have the code.
    """
    from distributed import KilledWorker

    error = future.exception()
    if error is None:
        return Outcome(name, future.result())
    if isinstance(error, SegmentationError):
        raise error
    if isinstance(error, ImportError | AttributeError):
        raise BackendError(
            f"A worker has not this version of the package ({printable(str(error))}): install it on all machines."
        )
    if isinstance(error, KilledWorker):
        died = f"{error.allowed_failures + 1} workers died over it, the last at {error.last_worker.address}"
        return Outcome(name, None, f"{printable(name)} cannot be computed: {died}. Their logs, or memory, may say why.")
    why = printable(f"{type(error).__name__}: {error}")
    return Outcome(name, None, f"{printable(name)} cannot be computed ({why}).")


def _no_workers(address: str, client: "Client", under_way: "Mapping[Future, str]") -> BackendError:
    """Return the error that says that there are no workers, and over what the last ones died."""

    def suspects(dask_scheduler) -> dict[str, int]:  # noqa: ANN001 (runs there)
        return {key: task.suspicious for key, task in dask_scheduler.tasks.items() if task.suspicious}

    counts = client.run_on_scheduler(suspects)
    names = [printable(name) for future, name in under_way.items() if future.key in counts]
    over = f"the last died over {' or '.join(names[:3])}" if names else "none has come"
    return BackendError(
        f"The Dask scheduler at {address} has no workers, and {over}: start some by dask worker {address}."
    )
