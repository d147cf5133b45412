"""What benchmarks share: work in a process of its own, its time and its memory, and tables."""

import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any


def alone(function: Callable, *arguments: object) -> Any:  # noqa: ANN401 (whatever the function returns)
    """Call a function in a process of its own and return what it returns."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def seconds(action: Callable[[], object]) -> float:
    """Return how long a call takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def median_seconds(action: Callable[[], object], times: int = 3) -> float:
    """Return the median of how long some calls take."""
    return statistics.median(seconds(action) for _ in range(times))


def megabytes(field: str = "VmHWM") -> float:
    """Return this process's memory, as Linux accounts for it: by default the most that was ever resident."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) / 1024


@contextmanager
def watched_memory() -> Iterator[list[float]]:
    """Yield a list whose only item is the most megabytes of its own, not of files, that this process had meanwhile."""
    most, done = [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            most[0] = max(most[0], megabytes("RssAnon"))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    yield most
    done.set()
    thread.join()


def print_row(*cells: object) -> None:
    """Print a row of a Markdown table at once: a benchmark may take minutes for the next."""
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def print_header(cells: Sequence[str]) -> None:
    """Print a Markdown table's head."""
    print_row(*cells)
    print_row(*["---"] * len(cells))
