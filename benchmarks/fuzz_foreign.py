"""What other programs write, damaged: the logs of each trainer, and predictions of each kind of file."""

import io
import json
import struct
import tempfile
import zlib
from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import rasterio
from PIL import Image

from benchmarks.damage import change_value, cut, damaged_table, overwrite, turn_bits
from segmentation.data.scenes import Dataset
from segmentation.evaluation.recorded import add_predictions
from segmentation.runs.logs.history import read_history
from segmentation.runs.logs.records import checksums
from segmentation.runs.run import SHIPPED, find_runs
from tests.brightness import LIMITS, THREE, brightness, write_set
from tests.runs.logs.test_formats import LOGS, MMCV, NNUNET_1

Damage = Callable[[bytes, np.random.Generator], bytes]


def base_logs() -> list[tuple[Damage, bytes]]:
    """Return good logs, each with what damages its kind."""
    epochs = np.arange(30)
    table = pd.DataFrame({"epoch": epochs, "loss": 1 / (1 + epochs), "val_loss": 1.1 / (1 + epochs), "accuracy": 0.5})
    rows = table.to_csv(index=False)
    tables = [(run.folder / "history.csv").read_bytes() for run in find_runs(SHIPPED)]
    tables += [rows.encode(), (rows + rows).encode(), table.to_csv(index=False, sep=";").encode(), b"epoch,loss\n"]
    foreign = [*(content for content, *_ in LOGS.values()), MMCV, NNUNET_1]
    events = b"".join(map(_record, [b"\x1a\x0dbrain.Event:2", *(_event(step) for step in range(30))]))
    return [
        *((damaged_table, content) for content in tables),
        *((_damaged_json if content.startswith(b"{") else damaged_table, content) for content in foreign),
        *[(_damaged_events, events)] * 4,
    ]


def _event(step: int) -> bytes:
    """Return a message of TensorBoard's: a step, and a loss of training and of validation."""
    values = b""
    for tag in (b"loss/train", b"loss/val"):
        value = b"\x0a" + bytes([len(tag)]) + tag + b"\x15" + struct.pack("<f", 1 / (1 + step))
        values += b"\x0a" + bytes([len(value)]) + value
    return b"\x09" + struct.pack("<d", 1e9 + step) + b"\x10" + bytes([step]) + b"\x2a" + bytes([len(values)]) + values


def _record(data: bytes) -> bytes:
    """Return data as a record of an event file, with the right checksums."""
    length = struct.pack("<Q", len(data))
    return b"".join(
        part + checksums(np.frombuffer(part, np.uint8), np.array([0]), np.array([len(part)])).tobytes()
        for part in (length, data)
    )


def damaged_log(log: tuple[Damage, bytes], random: np.random.Generator) -> bytes:
    """Return a log damaged as its kind is."""
    damage, content = log
    return damage(content, random)


def _damaged_json(content: bytes, random: np.random.Generator) -> bytes:
    """Return JSON, or lines of it, in which one to four values, lines or bytes are changed."""
    try:
        lines = [json.loads(content)]
    except ValueError:
        lines = [json.loads(line) for line in content.splitlines()]
    for _ in range(random.integers(1, 5)):
        change_value(lines if random.random() < 0.2 else lines[random.integers(len(lines))], random)
        lines = [line for line in lines if isinstance(line, dict | list)] or [{}]
    changed = "\n".join(map(json.dumps, lines)).encode()
    return (
        bytes(random.choice([turn_bits, overwrite, cut])(bytearray(changed), random))
        if random.random() < 0.3
        else changed
    )


def _damaged_events(content: bytes, random: np.random.Generator) -> bytes:
    """Return an event file damaged as a whole, or within its records, whose checksums are right."""
    if random.random() < 0.2:
        return bytes(random.choice([turn_bits, overwrite, cut])(bytearray(content), random))
    records, place = [], 0
    while place < len(content):
        (length,) = struct.unpack_from("<Q", content, place)
        records.append(content[place + 12 : place + 12 + length])
        place += 16 + length
    for _ in range(random.integers(1, 5)):
        at = int(random.integers(len(records)))
        records[at] = bytes(random.choice([turn_bits, overwrite, cut])(bytearray(records[at] or b"\0"), random))
    return b"".join(map(_record, records * int(random.choice([1, 1, 1, 50]))))


def read_log(content: bytes, folder: Path) -> None:
    """Read a log, and all that is known of it."""
    look(read_history(content))


def look(subject: object) -> None:
    """Ask for every property."""
    for name, kind in vars(type(subject)).items():
        if isinstance(kind, property | cached_property):
            getattr(subject, name)


@cache
def _dataset() -> Dataset:
    """Return a data set of one scene, which is kept as long as this process lives."""
    return write_set(Path(tempfile.mkdtemp()) / "set", THREE, scenes=1)


def base_predictions() -> list[tuple[str, bytes]]:
    """Return good predictions of one scene: the suffix and the content of each file."""
    dataset = _dataset()
    image = np.asarray(Image.open(dataset.scenes[0].image))
    classes = np.digitize(brightness(image), LIMITS[THREE]).astype(np.uint8)
    probabilities = np.eye(3, dtype=np.float32)[classes]
    of_classes = np.array(dataset.palette.colors, np.uint8)
    colors = Image.fromarray(of_classes[classes])
    table = Image.fromarray(classes)
    table.putpalette(of_classes.tobytes())
    return [
        *((".png", _written(Image.fromarray(classes * times).save, "PNG")) for times in (1, 100)),
        *((".png", _written(picture.save, "PNG")) for picture in (colors, table, table.convert("1"))),
        *((".tif", _written(picture.save, "TIFF")) for picture in (colors, Image.fromarray(classes))),
        *((".npy", _array(values)) for values in (classes, probabilities, probabilities.transpose(2, 0, 1) * 9)),
        *((".npz", _written(save, classes)) for save in (np.savez, np.savez_compressed)),
        (".tif", _bands(probabilities)),
    ]


def _written(save: Callable, *what: object) -> bytes:
    with io.BytesIO() as file:
        save(file, *what)
        return file.getvalue()


def _array(values: np.ndarray) -> bytes:
    return _written(np.save, values)


def _bands(probabilities: np.ndarray) -> bytes:
    height, width, count = probabilities.shape
    with rasterio.MemoryFile() as memory:
        with memory.open(driver="GTiff", count=count, height=height, width=width, dtype="float32") as file:
            file.write(probabilities.transpose(2, 0, 1))
        return memory.read()


def damaged_prediction(prediction: tuple[str, bytes], random: np.random.Generator) -> tuple[str, bytes]:
    """Return a file of another suffix, of another header, or damaged anywhere."""
    suffix, content = prediction
    if random.random() < 0.1:
        return str(random.choice([".png", ".tif", ".npy", ".npz", ".jpg", ""])), content
    if random.random() < 0.6:  # the header, where sizes and types are said
        head = bytearray(content[:200])
        changed = bytes(random.choice([turn_bits, overwrite])(head, random))
        content = _with_right_checksums(changed[:200] + content[200:]) if suffix == ".png" else changed + content[200:]
        return suffix, content
    return suffix, bytes(random.choice([turn_bits, overwrite, cut])(bytearray(content), random))


def _with_right_checksums(content: bytes) -> bytes:
    """Return a PNG file whose chunks have the checksums of what they hold, as far as they can be told apart."""
    made, place = content[:8], 8
    while place + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, place)
        chunk = content[place + 4 : place + 8 + length]
        made += content[place : place + 4] + chunk + struct.pack(">I", zlib.crc32(chunk))
        place += 12 + length
    return made


def read_prediction(prediction: tuple[str, bytes], folder: Path) -> None:
    """Add a prediction as a run."""
    suffix, content = prediction
    dataset = _dataset()
    (folder / "predictions").mkdir()
    (folder / "predictions" / f"{dataset.scenes[0].image.stem}{suffix}").write_bytes(content)
    look(add_predictions("run", folder / "predictions", dataset, folder / "runs", tell=len))
