"""TensorBoard's event files, as TensorFlow, Keras, PyTorch and Lightning write them: the scalars of each step.

A value is written as ``simple_value`` or as a tensor of one element; images, histograms, texts and graphs are passed
over. The numbers of the fields are those of ``event.proto``, ``summary.proto`` and ``tensor.proto`` in TensorFlow.
"""

import struct
from array import array
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from segmentation.errors import RunError, printable
from segmentation.runs.logs.reading import (
    CUT_DOWN,
    LONGEST_NAME,
    Content,
    Reading,
    check_size,
    counted,
    read_by_steps,
)
from segmentation.runs.logs.records import (
    BYTES,
    FOUR_BYTES,
    FRAME,
    VARINT,
    BadMessageError,
    Fields,
    checksums,
    find_records,
    varint,
)

VERSION = b"brain.Event:"
"""In the first record of every event file."""

LARGEST = 1 << 20
"""A longer record holds images or a graph."""

CONTENTS = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8", 19: "<f2"}
"""Types of tensors whose bytes are read."""

OF_EPOCHS = "epoch_"
"""Keras counts epochs in the steps of scalars whose names begin so."""


def is_events(content: Content) -> bool:
    """Tell whether a file holds events, by the checksum of its first length, or by its version."""
    data = np.frombuffer(content.data[:FRAME], np.uint8)
    if len(data) < FRAME:
        return False
    first = checksums(data, np.zeros(1, np.int64), np.array([8]))[0]
    return first == struct.unpack_from("<I", content.data, 8)[0] or VERSION in content.data[:64]


@dataclass
class _Scalars:
    """The scalars of a file in its order: their tags by number, steps and values."""

    tags: dict[str, int] = field(default_factory=dict)
    tag: array = field(default_factory=lambda: array("q"))
    step: array = field(default_factory=lambda: array("q"))
    value: array = field(default_factory=lambda: array("d"))

    def add(self, tag: str, step: int, value: float) -> int:
        """Add a scalar, and return its tag's number."""
        number = self.tags.setdefault(tag, len(self.tags))
        check_size(len(self.tags), 1)
        self.tag.append(number)
        self.step.append(step)
        self.value.append(value)
        return number


def read_events(content: Content) -> list[Reading]:
    """Read the scalars of an event file, as far as it is whole.

    Raises:
        RunError: If it holds none.
    """
    found = find_records(content.data)
    notes = []
    if found.cut == "half":
        notes.append("The last record is still being written and left out.")
    if found.cut == "broken":
        notes.append("The file is damaged: what follows the first broken record is left out.")
    if found.damaged:
        notes.append(f"{counted(found.damaged, 'record')} left out: damaged, by the checksum.")
    scalars = _Scalars()
    odd = _read_records(content.data, found.begins.tolist(), found.lengths.tolist(), scalars)
    if odd:
        notes.append(f"{counted(odd, 'record')} left out: no event can be read in what it holds.")
    if not scalars.tags:
        raise RunError(f"There is no scalar in this event file{': it is damaged' if odd or found.damaged else ''}.")
    return [_reading(scalars, notes)]


def _read_records(data: bytes, begins: list[int], lengths: list[int], scalars: _Scalars) -> int:
    """Read the scalars of records; return how many are no events.

    Most records differ from one before in time, step and value only. So the bytes around a value are remembered, and
    where they occur again, nothing is taken apart.
    """
    fields, odd = Fields(), 0
    float_at = struct.Struct("<f").unpack_from
    places: dict[int, int] = {}  # by the length after the step: where the value was in the last such record
    known: dict[tuple[int, bytes], int] = {}
    for begin, length in zip(begins, lengths, strict=True):
        if length > LARGEST:
            continue
        record = data[begin : begin + length]
        try:
            rest, step = 0, 0
            if record[:1] == b"\x09" and record[9:10] == b"\x10":  # the time in 8 bytes, and the step
                step, rest = varint(record, 10)
                place = places.get(length - rest)
                if place is not None:
                    number = known.get((place, record[rest : rest + place] + record[rest + place + 4 :]))
                    if number is not None:
                        scalars.tag.append(number)
                        scalars.step.append(step - (step >> 63 << 64))
                        scalars.value.append(float_at(record, rest + place)[0])
                        continue
            values = _read_event(record, fields, scalars)
        except (BadMessageError, struct.error):
            if fields.budget < 0:
                raise RunError(f"The event file has too many values in too few records: {CUT_DOWN}.") from None
            odd += 1
            continue
        number, at = values[0] if rest and len(values) == 1 else (0, None)
        if at is not None and len(known) < 10_000:
            places[length - rest] = place = at - rest
            known[place, record[rest : rest + place] + record[rest + place + 4 :]] = number
    return odd


def _read_event(record: bytes, fields: Fields, scalars: _Scalars) -> list[tuple[int, int | None]]:
    """Read the scalars of one event.

    Returns:
        Of each the number of its tag, and where its value begins, if it is a float of four bytes.
    """
    step, summaries, found = 0, [], []
    for number, wire, begin, end in fields.of(record, 0, len(record)):
        if (number, wire) == (2, VARINT):
            step = varint(record, begin)[0]
            step -= step >> 63 << 64  # negative numbers are written as if they were huge
        elif (number, wire) == (5, BYTES):
            summaries.append((begin, end))
    for begin, end in summaries:
        for number, wire, start, stop in fields.of(record, begin, end):
            if (number, wire) == (1, BYTES):
                tag, scalar, at = _read_value(record, start, stop, fields)
                if tag and scalar is not None:
                    found.append((scalars.add(tag, step, scalar), at))
    return found


def _read_value(record: bytes, begin: int, end: int, fields: Fields) -> tuple[str, float | None, int | None]:
    """Return the tag of a summary's value, its number if it is a scalar, and where that begins if it has four bytes."""
    tag, scalar, at = "", None, None
    for number, wire, start, stop in fields.of(record, begin, end):
        if (number, wire) == (1, BYTES):
            tag = record[start:stop].decode(errors="replace")
        elif (number, wire) == (2, FOUR_BYTES):
            (scalar,), at = struct.unpack_from("<f", record, start), start
        elif (number, wire) == (8, BYTES):
            scalar, at = _read_tensor(record, start, stop, fields)
    return tag, scalar, at


def _read_tensor(record: bytes, begin: int, end: int, fields: Fields) -> tuple[float | None, int | None]:
    """Return the element of a tensor that has one, and where it begins if it is a float of four bytes."""
    kind, found = 0, []
    for number, wire, start, stop in fields.of(record, begin, end):
        if (number, wire) == (1, VARINT):
            kind = varint(record, start)[0]
        elif number == 4 and wire == BYTES and kind in CONTENTS and stop - start == np.dtype(CONTENTS[kind]).itemsize:
            value = float(np.frombuffer(record, CONTENTS[kind], 1, start)[0])
            found.append((value, start if kind == 1 else None))
        elif number == 5 and stop - start == 4:
            found.append((struct.unpack_from("<f", record, start)[0], start))
        elif number == 6 and stop - start == 8:
            found.append((struct.unpack_from("<d", record, start)[0], None))
        elif number in (7, 10) and wire in (VARINT, BYTES) and stop > start:
            value, after = varint(record, start)
            found += [(float(value - (value >> 63 << 64)), None)] if after == stop else []
    return found[0] if len(found) == 1 else (None, None)


def _reading(scalars: _Scalars, notes: list[str]) -> Reading:
    """Make a table of scalars, one row per step; of a step that occurs again the later value counts."""
    tags, steps = np.frombuffer(scalars.tag, np.int64), np.frombuffer(scalars.step, np.int64)
    values = np.frombuffer(scalars.value, float)
    numbers, rows = np.unique(steps, return_inverse=True)
    check_size(len(scalars.tags), len(numbers))
    again = len(tags) - len(np.unique(rows * len(scalars.tags) + tags))
    if again:
        notes.append(f"{counted(again, 'value')} written again for a step, as after a resume: the later one counts.")
    cells = np.full((len(numbers), len(scalars.tags)), np.nan)
    cells[rows, tags] = np.where(np.isfinite(values), values, np.inf)
    names = [printable(tag).strip()[:LONGEST_NAME] for tag in scalars.tags]
    table = pd.DataFrame(cells, columns=names).loc[:, [not twin for twin in pd.Index(names).duplicated()]]
    by_epoch = [name for name in table if name.startswith(OF_EPOCHS)]
    if by_epoch:
        counts_epochs = table[by_epoch].notna().any(axis=1).to_numpy()
        table = table.loc[counts_epochs, by_epoch].rename(columns=lambda name: name.removeprefix(OF_EPOCHS))
        table.insert(0, "epoch", numbers[counts_epochs].astype(float))
        return Reading(table.reset_index(drop=True), notes)
    if "step" not in table:
        table.insert(0, "step", numbers.astype(float))
    return read_by_steps(table, notes)
