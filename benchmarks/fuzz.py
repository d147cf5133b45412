"""Damaged maps, logs, predictions and run folders, at random: none may crash, hang or take much memory.

Good files are made, and something in each is changed where it hurts: the tags, values and pixels of a GeoTIFF, the
cells, lines, values and records of a log, the values of a run's JSON and CSV files, the headers and bytes of a
prediction. Each is then read as the pages and commands read it. Whatever is raised but a sentence for the user is a
failure, and so is a case of more than 20 seconds, a child of more than 1.5 GB, or growth of this process by more than
400 MB. A case is known by the seed, its kind and its number.
"""

import json
import os
import re
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import rasterio
import rasterio.shutil
import tyro

from benchmarks.damage import NUMBERS, change_value, cut, damaged_table, overwrite, turn_bits
from benchmarks.fuzz_foreign import (
    base_logs,
    base_predictions,
    damaged_log,
    damaged_prediction,
    look,
    read_log,
    read_prediction,
)
from benchmarks.measuring import megabytes, print_header, print_row
from segmentation.data.patches import PATCH_SIZE
from segmentation.data.raster import Raster
from segmentation.errors import SegmentationError
from segmentation.runs.run import SHIPPED, Run, check_run_allowed, find_runs

PATIENCE, CHILD, GROWTH = 20, 1500, 400
"""Seconds, megabytes and megabytes."""

MAPPED = 250_000
"""Pixels, a side of less than a patch counted as one: larger maps are looked at but not predicted."""

SHARES = {"maps": 8, "runs": 2, "logs": 2, "predictions": 2}
"""Parts of the time for each kind."""


class Hang(BaseException):
    """A case takes too long; no handler of errors may take it for one."""


def hang(number: int, frame: object) -> None:
    """Say that the case under way takes too long."""
    raise Hang


@dataclass
class Tally:
    """What came of the cases of a kind."""

    sound: int = 0
    refused: int = 0
    failures: list[str] = field(default_factory=list)
    slowest: float = 0.0

    @property
    def cases(self) -> int:
        """How many there were."""
        return self.sound + self.refused + len(self.failures)


def base_maps() -> list[bytes]:
    """Return good GeoTIFFs of many kinds."""
    colors = np.random.default_rng(0).integers(0, 256, (4, 40, 48), dtype=np.uint8)
    dubai = {"crs": "EPSG:32640", "transform": rasterio.Affine(0.5, 0, 300_000, 0, -0.5, 2_700_000)}
    degrees = {"crs": "EPSG:4326", "transform": rasterio.Affine(1e-5, 0, 55, 0, -1e-5, 25)}
    britain = {"crs": "EPSG:27700", "transform": rasterio.Affine(1, 0, 4e5, 0, -1, 3e5)}
    tiles = {"TILED": True, "BLOCKXSIZE": 16, "BLOCKYSIZE": 16}
    made = [
        _map(colors[:3], **dubai),
        _map(colors[:3], **degrees, COMPRESS="DEFLATE", **tiles),
        _map(colors[:3], **britain, COMPRESS="LZW", INTERLEAVE="BAND"),
        _map(colors, **dubai, COMPRESS="ZSTD", ALPHA="YES"),
        _map(colors[:3], **dubai, COMPRESS="JPEG", photometric="YCBCR", **tiles),
        _map(colors[:1], **dubai, COMPRESS="PACKBITS", photometric="MINISWHITE"),
        _map(colors[:1] >> 4, **dubai, nbits=4),
        _map(colors[:1] >> 7, **dubai, COMPRESS="CCITTFAX4", nbits=1),
        _map(colors[:3].astype(np.uint16) * 99, **dubai, nodata=0, PREDICTOR=2, COMPRESS="LZW"),
        _map(colors[:3].astype(np.float32), **degrees, nodata=np.nan, PREDICTOR=3, COMPRESS="DEFLATE"),
        _map(colors[:2].astype(np.int16) - 99, **britain, COMPRESS="LERC"),
        _map(colors[:3], **dubai, COMPRESS="WEBP"),
        _map(colors[:1], **dubai, colors={index: (index, 0, 9, 255) for index in range(256)}),
        _map(np.tile(colors[:3], (1, 8, 8)), **dubai, optimised=True),
    ]
    site = 'LOCAL_CS["site",UNIT["metre",1],AXIS["Easting",EAST],AXIS["Northing",NORTH]]'
    systems = (site, "+proj=geos +h=35785831 +ellps=GRS80", "+proj=laea +lat_0=52 +lon_0=10 +ellps=GRS80", "EPSG:3413")
    return made + [_map(colors[:1], crs=system, transform=dubai["transform"]) for system in systems]


def _map(bands: np.ndarray, colors: dict | None = None, optimised: bool = False, **layout: object) -> bytes:
    count, height, width = bands.shape
    shape = {"count": count, "height": height, "width": width, "dtype": bands.dtype}
    with rasterio.MemoryFile() as memory:
        with memory.open(driver="GTiff", **shape, **layout) as file:
            if colors:
                file.write_colormap(1, colors)
            file.write(bands)
        if not optimised:
            return memory.read()
        with memory.open() as file, rasterio.MemoryFile() as made:
            rasterio.shutil.copy(file, made.name, driver="COG", blocksize=128)
            return made.read()


def damaged_map(content: bytes, random: np.random.Generator) -> bytes:
    """Return a GeoTIFF (classic, little-endian) in which one to four things are changed."""
    content = bytearray(content)
    for _ in range(random.integers(1, 5)):
        way = random.choice([_change_entry] * 5 + [_change_values] * 3 + [turn_bits, overwrite, cut])
        content = way(content, random)
    return bytes(content)


def _entries(content: bytearray) -> list[int]:
    """Return where the entries of a TIFF's first directory begin."""
    if len(content) < 10:
        return []
    (at,) = struct.unpack_from("<I", content, 4)
    count = struct.unpack_from("<H", content, at)[0] if at + 2 <= len(content) else 0
    return [place for place in range(at + 2, at + 2 + 12 * count, 12) if place + 12 <= len(content)]


def _change_entry(content: bytearray, random: np.random.Generator) -> bytearray:
    """Change the name, kind, count or value of a tag."""
    places = _entries(content)
    if places:
        at, part = int(random.choice(places)), random.choice(["name", "kind", "count", "value", "value", "value"])
        number = int(random.choice(NUMBERS)) if random.random() < 0.7 else int(random.integers(1 << 16))
        if part == "name":
            struct.pack_into("<H", content, at, number & 0xFFFF)
        elif part == "kind":
            struct.pack_into("<H", content, at + 2, int(random.integers(0, 19)))
        else:
            struct.pack_into("<I", content, at + (4 if part == "count" else 8), number)
    return content


def _change_values(content: bytearray, random: np.random.Generator) -> bytearray:
    """Change one of the values that a tag points to: places of tiles, keys and numbers of the coordinate system."""
    sizes = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 12: 8, 16: 8}
    places = [at for at in _entries(content) if struct.unpack_from("<H", content, at + 2)[0] in sizes]
    if places:
        kind, count, start = struct.unpack_from("<HII", content, int(random.choice(places)) + 2)
        at = start + sizes[kind] * int(random.integers(max(1, min(count, 1 << 16))))
        number = [float("nan"), float("inf"), 0.0, -1.0, 1e-300, 1e300, 1e16, 90.0][random.integers(8)]
        value = struct.pack("<d", number) if kind == 12 else random.choice(NUMBERS).astype("<u8").tobytes()
        if count * sizes[kind] > 4 and at + sizes[kind] <= len(content):
            content[at : at + sizes[kind]] = value[: sizes[kind]]
    return content


reader_megabytes = [0.0]
"""The most that a process that reads a map was seen to take."""


@contextmanager
def watched(reader: int) -> Iterator[None]:
    """Note the most memory that a process took in the block."""
    try:
        yield
    finally:
        with suppress(OSError, TypeError):  # it has died, or this is not Linux
            status = Path(f"/proc/{reader}/status").read_text(encoding="ascii")
            reader_megabytes.append(int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024)


def read_map(content: bytes, folder: Path) -> None:
    """Look at a map as a page does, and predict it as the command does if it is small."""
    from segmentation.inference.maps import map_raster, write_polygons

    path = folder / "a.tif"
    path.write_bytes(content)
    with Raster(path) as raster, watched(raster.reader):
        raster.overview(200)
        raster.indices(200)
        raster.corners()
        areas = raster.pixel_areas()
        if areas and not np.isfinite(areas.total):
            raise ArithmeticError(areas.total)
        if raster.unplaced is None and max(raster.height, PATCH_SIZE) * max(raster.width, PATCH_SIZE) <= MAPPED:
            predictor, palette = _model()
            map_raster(predictor, raster, palette, folder / "b.tif", confidence=folder / "c.tif")
            write_polygons(folder / "b.tif", raster, palette, folder / "b.geojson")
            json.loads((folder / "b.geojson").read_text(encoding="utf-8"))


@cache
def _model() -> tuple:
    from segmentation.inference.predictor import Predictor

    run = Run(SHIPPED / "demo-unet")
    return Predictor(run.model), run.palette


def base_runs() -> list[dict[str, bytes]]:
    """Return the files of the shipped runs, models left out."""
    names = ("config.json", "metrics.json", "status.json", "history.csv", "patches.csv")
    return [{name: (run.folder / name).read_bytes() for name in names} for run in find_runs(SHIPPED)]


def damaged_run(files: dict[str, bytes], random: np.random.Generator) -> dict[str, bytes | str]:
    """Return a run's files, one to three of them damaged, or in words what stands in their place."""
    files = dict(files)
    for name in map(str, random.choice(list(files), random.integers(1, 4), replace=False)):
        way = random.random()
        if way < 0.08:
            files[name] = str(random.choice(["pipe", "folder", "loop", "nothing", "unreadable"]))
        elif way < 0.16:
            files[name] = [b"", b"[" * 200_000, b'{"a":' * 100_000, b"\xff\xfe", b"\0" * 99, b"NaN", b"9" * 5000][
                random.integers(7)
            ]
        elif name.endswith(".csv"):
            lines = files[name].split(b"\n")
            files[name] = damaged_table(b"\n".join(lines[:40]), random)
        else:
            content = json.loads(files[name])
            for _ in range(random.integers(1, 5)):
                change_value(content, random)
            files[name] = json.dumps(content).encode()
    return files


def read_run(files: dict[str, bytes | str], folder: Path) -> None:
    """Read all that a run folder says."""
    target = folder / "run"
    target.mkdir()
    for name, content in files.items():
        path = target / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content == "pipe":
            os.mkfifo(path)
        elif content == "folder":
            path.mkdir()
        elif content == "loop":
            path.symlink_to(path)
        elif content == "unreadable":
            path.write_bytes(b"{}")
            path.chmod(0)
    for run in find_runs(folder):
        look(run)
        json.dumps(run.status.to_dict())
        str(run.problems).encode()
        check_run_allowed(run, [folder])


KINDS: dict[str, tuple[Callable, Callable, Callable]] = {
    "maps": (base_maps, damaged_map, read_map),
    "logs": (base_logs, damaged_log, read_log),
    "runs": (base_runs, damaged_run, read_run),
    "predictions": (base_predictions, damaged_prediction, read_prediction),
}
"""For each kind what makes good ones, what damages one, and what reads it."""


@contextmanager
def bounded(tally: Tally, name: str, start: float) -> Iterator[None]:
    """Count what comes of a case, whose name is printed with its traceback if it fails."""
    begun, problem = time.perf_counter(), ""
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        yield
        tally.sound += 1
    except SegmentationError as error:
        tally.refused += 1
        str(error).encode()
    except (Exception, Hang):
        problem = traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    tally.slowest = max(tally.slowest, time.perf_counter() - begun)
    growth, child = megabytes() - start, max(reader_megabytes)
    if growth > GROWTH or child > CHILD:
        problem += f"this process grew by {growth:,.0f} MB, a child took {child:,.0f} MB"
    if problem:
        tally.failures.append(name)
        print(f"{name}\n{problem}", file=sys.stderr, flush=True)


def main(minutes: float = 20, seed: int = 0, kinds: tuple[str, ...] = tuple(KINDS), only: int | None = None) -> None:
    """Print a row for each kind, and each failure's case and traceback on standard error; exit with 1 if any failed.

    Args:
        minutes: How long.
        seed: Of the first case and all others: the same seed gives the same cases.
        kinds: Of maps, logs, runs and predictions.
        only: Read only the case of this number of each kind, to look into a failure.
    """
    signal.signal(signal.SIGALRM, hang)
    tallies = {kind: Tally() for kind in kinds}
    if "maps" in kinds:
        _model()
    bases = {kind: KINDS[kind][0]() for kind in kinds}
    start = megabytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the most that was resident
    spent, until = dict.fromkeys(kinds, 0.0), time.monotonic() + 60 * minutes
    while time.monotonic() < until:
        kind = min(kinds, key=lambda kind: spent[kind] / SHARES[kind])
        tally, (_, damage, read) = tallies[kind], KINDS[kind]
        number = tally.cases if only is None else only
        random = np.random.default_rng([seed, list(KINDS).index(kind), number])
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as folder, bounded(tally, f"{kind}, seed {seed}, case {number}", start):
            base = bases[kind][random.integers(len(bases[kind]))]
            read(damage(base, random), Path(folder))
        spent[kind] += time.monotonic() - begun
        if only is not None and all(tally.cases for tally in tallies.values()):
            break
    print_header(["kind", "seed", "cases", "used", "refused", "failures", "slowest, s"])
    for kind, tally in tallies.items():
        print_row(kind, seed, tally.cases, tally.sound, tally.refused, len(tally.failures), f"{tally.slowest:.1f}")
    print(
        f"\nThis process grew by {megabytes() - start:,.0f} MB at most, a reader took {max(reader_megabytes):,.0f} MB."
    )
    sys.exit(any(tally.failures for tally in tallies.values()))


if __name__ == "__main__":
    tyro.cli(main)
