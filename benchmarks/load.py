"""Ten people at once on one server: each turns pages, opens scenes and patches, and has them predicted.

Each is a session of its own that speaks the browser's protocol, waits until the page is complete, fetches its
pictures, and looks at it for one to four seconds. A request is a page with all its pictures. *Seconds* are from the
click until the last picture is there. Memory is what the server's process has resident; before, one person browsed
scenes, patches and the gallery with its predictions, so that its caches are as full as after weeks.
Nothing leaves this machine, and it ends by itself.
"""

import asyncio
import json
import os
import random
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

import psutil
import tyro
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.measuring import print_header, print_row
from segmentation.data.images import read_size
from segmentation.data.locate import VARIABLE, default_folder
from segmentation.data.patches import grid
from segmentation.data.scenes import Dataset, find_dataset
from segmentation.log import LOG
from tests.browser.driver import serve

AFTER = (50, 500)
"""The people's predictions after which the server's memory is noted."""

REST = 2
"""Seconds that nobody clicks before it is noted, and all have the training monitor open: a scene takes megabytes."""


@dataclass
class Tally:
    """What happened, in all sessions together.

    Args:
        seconds: Of each request, by person.
        errors: What went wrong.
        waited: How often somebody was told to wait for another's prediction.
        memory: What the server had in megabytes, at rest after numbers of predictions.
        peak: The most that it had.
        present: How many people have not gone yet.
        resting: How many of them wait until they may click again.
        go: Whether people may click.
    """

    seconds: dict[int, list[float]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    waited: int = 0
    memory: dict[int, float] = field(default_factory=dict)
    peak: float = 0.0
    present: int = 0
    resting: int = 0
    go: asyncio.Event = field(default_factory=asyncio.Event)


def clicks(dataset: Dataset, run: str, rng: random.Random) -> Iterator[tuple[str, str]]:
    """Yield page and query of one click after another, as somebody might make them, each on another page."""
    last = ""
    while True:
        scene = rng.choice(dataset.scenes)
        rows, columns = grid(*read_size(scene.image), 160)
        patch = f"r{rng.randrange(rows):02d}c{rng.randrange(columns):02d}"
        page, query = rng.choices(
            [
                ("Dataset_browser", {"view": "Scenes", "page": rng.randint(1, 6)}),
                ("Dataset_browser", {"view": "Patches", "page": rng.randint(1, 140)}),
                ("Dataset_browser", {"view": "One scene", "scene": scene.name}),
                ("Training_monitor", {"run": run}),
                ("Worst-case_gallery", {"run": run, "page": rng.randint(1, 20)}),
                ("Prediction_explorer", {"run": run, "scene": scene.name, "patch": patch}),
                ("Prediction_explorer", {"run": run, "scene": scene.name}),
            ],
            weights=[2, 2, 2, 1, 3, 8, 2],
        )[0]
        if page != last:  # on the page that is open already, widgets go on to say what to show, not the address
            yield page, query
        last = page


async def open_page(
    socket: ClientConnection, address: str, page: str, query: dict, fetched: set[str], tally: Tally
) -> None:
    """Ask for a page, read until it is complete, and fetch the pictures that this person has not had yet."""
    ask = BackMsg()
    ask.rerun_script.page_name = page
    ask.rerun_script.query_string = urlencode(query)
    await socket.send(ask.SerializeToString())
    pictures = set()
    while True:
        message = ForwardMsg()
        message.ParseFromString(await asyncio.wait_for(socket.recv(), 120))
        kind = message.WhichOneof("type")
        if kind == "delta" and message.delta.WhichOneof("type") == "new_element":
            element = message.delta.new_element
            of = element.WhichOneof("type")
            if of == "exception" or (of == "alert" and element.alert.format == element.alert.ERROR):
                tally.errors.append(f"{page} {query}: {element}"[:500])
            if of == "imgs":
                pictures |= {image.url for image in element.imgs.imgs}
            tally.waited += of == "progress" and "taking turns" in element.progress.text
        if kind == "script_finished" and message.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY:
            break
    for url in pictures - fetched:
        await asyncio.to_thread(lambda url=url: urllib.request.urlopen(address + url, timeout=60).read())  # noqa: S310
    fetched |= pictures


async def person(
    number: int, address: str, dataset: Dataset, run: str, until: float, pause: float, tally: Tally
) -> None:
    """Click until the time is over."""
    rng, fetched = random.Random(number), set()  # noqa: S311 (no secret)
    seconds = tally.seconds.setdefault(number, [])
    tally.present += 1
    stream = address.replace("http", "ws") + "/_stcore/stream"
    async with connect(stream, max_size=None, subprotocols=["streamlit"]) as socket:
        for page, query in clicks(dataset, run, rng):
            if not tally.go.is_set():
                await open_page(socket, address, "Training_monitor", {"run": run}, fetched, tally)
                tally.resting += 1
                await tally.go.wait()
                tally.resting -= 1
            begun = time.monotonic()
            if begun > until:
                tally.present -= 1  # or those who rest would wait for somebody who has gone
                return
            try:
                await open_page(socket, address, page, query, fetched, tally)
            except (OSError, TimeoutError) as error:
                tally.errors.append(f"{page} {query}: {error!r}")
            seconds.append(time.monotonic() - begun)
            await asyncio.sleep(rng.uniform(pause / 4, pause))


async def watch(server: psutil.Process, log: Path, before: int, tally: Tally) -> None:
    """Note the server's memory: its peak, and after numbers of predictions what it has while all rest."""
    counts = list(AFTER)
    tally.go.set()
    while True:
        tally.peak = max(tally.peak, server.memory_info().rss / 2**20)
        if counts and predictions(log) - before >= counts[0]:
            tally.go.clear()
            while tally.resting < tally.present:
                await asyncio.sleep(0.1)
            await asyncio.sleep(REST)
            tally.memory[counts.pop(0)] = server.memory_info().rss / 2**20
            tally.go.set()
        await asyncio.sleep(1)


def predictions(log: Path) -> int:
    """Count the predictions that the server has made."""
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    return sum(json.loads(line)["event"] == "prediction made" for line in lines)


async def measure(
    address: str, dataset: Dataset, run: str, people: int, minutes: float, pause: float, runs: Path
) -> tuple[Tally, int]:
    """Let people click; return what happened, and how many predictions were made."""
    own = [connection for connection in psutil.net_connections("tcp") if connection.status == "LISTEN"]
    port = int(address.rsplit(":", 1)[1])
    server = psutil.Process(next(connection.pid for connection in own if connection.laddr.port == port))
    tally, warm = Tally(), Tally()
    async with connect(
        address.replace("http", "ws") + "/_stcore/stream", max_size=None, subprotocols=["streamlit"]
    ) as it:
        pages = [("Dataset_browser", {"view": "One scene", "scene": scene.name}) for scene in dataset.scenes]
        pages += [("Dataset_browser", {"view": "Scenes", "page": number}) for number in range(1, 7)]
        pages += [("Dataset_browser", {"view": "Patches", "page": number}) for number in range(1, 61)]
        pages += [("Worst-case_gallery", {"run": run, "page": number}) for number in range(1, 21)]
        for page, query in pages:  # so that the memory of the caches is taken before
            await open_page(it, address, page, query, set(), warm)
            await open_page(it, address, "Training_monitor", {"run": run}, set(), warm)
    tally.errors += warm.errors
    before = predictions(runs / LOG)
    watcher = asyncio.create_task(watch(server, runs / LOG, before, tally))
    until = time.monotonic() + 60 * minutes
    await asyncio.gather(*(person(number, address, dataset, run, until, pause, tally) for number in range(people)))
    watcher.cancel()
    return tally, predictions(runs / LOG) - before


def main(
    run: str = "dubai-best", data: Path | None = None, people: int = 10, minutes: float = 10, pause: float = 4
) -> None:
    """Print what happened.

    Args:
        run: The run that predicts.
        data: The data set's folder; by default that in data/.
        people: How many click at once.
        minutes: How long.
        pause: Seconds that somebody looks at a page at most; a quarter of that at least.
    """
    root = data or default_folder()
    dataset = find_dataset(root)
    with tempfile.TemporaryDirectory() as scratch:
        runs = Path(scratch) / "runs"
        with serve({VARIABLE: str(root), "SEGMENTATION_RUNS": str(runs)}, Path(scratch) / "log") as address:
            tally, made = asyncio.run(measure(address, dataset, run, people, minutes, pause, runs))
    every = sorted(second for of in tally.seconds.values() for second in of)
    medians = [statistics.median(of) for of in tally.seconds.values()]
    print_header([f"{people} people, {minutes:g} minutes", ""])
    print_row("requests", f"{len(every):,}")
    print_row("errors", len(tally.errors))
    print_row("predictions", f"{made:,}")
    print_row("seconds, median", f"{statistics.median(every):.2f}")
    print_row("seconds, 95th percentile", f"{every[int(0.95 * len(every))]:.2f}")
    print_row("seconds, slowest", f"{every[-1]:.2f}")
    print_row("medians of the luckiest and the unluckiest", f"{min(medians):.2f}, {max(medians):.2f}")
    print_row("told to wait for another's prediction", tally.waited)
    for count, megabytes in tally.memory.items():
        print_row(f"memory at rest after {count} predictions", f"{megabytes:,.0f} MB")
    print_row("peak memory", f"{tally.peak:,.0f} MB")
    for error in tally.errors[:5]:
        print(error)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    tyro.cli(main)
