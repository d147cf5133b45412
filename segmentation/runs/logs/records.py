"""TFRecord files, and the fields of protobuf messages in them, as far as event files need them.

A record is the length of its data, 8 bytes, a checksum of these, the data and their checksum, all little-endian. The
checksum is a CRC-32C, rotated and shifted (``tensorflow/core/lib/io/record_writer.h``).
"""

import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

FRAME = 16
"""Bytes of a record beside its data."""

MOST_CHECKED = 8 << 10
"""The checksums of longer data are not looked at: they hold images or a graph."""

VARINT, EIGHT_BYTES, BYTES, FOUR_BYTES = 0, 1, 2, 5
"""How a field's value is written: its wire type."""


def _crc_table() -> np.ndarray:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ 0x82F63B78, table >> 1).astype(np.uint32)
    return table


CRC_TABLE = _crc_table()


def checksums(data: np.ndarray, begins: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the checksums of some stretches of bytes, as record files hold them.

    Args:
        data: (bytes,) uint8.
        begins: (stretches,) int64.
        lengths: (stretches,) int64, as many steps as the longest has bytes are taken.

    Returns:
        (stretches,) uint32.
    """
    order = np.argsort(-lengths, kind="stable")
    begins, lengths = begins[order], lengths[order]
    crc = np.full(len(begins), 0xFFFFFFFF, np.uint32)
    for place in range(int(lengths[0]) if len(lengths) else 0):
        longer = np.searchsorted(-lengths, -place)  # those before it have a byte here
        active = crc[:longer]
        crc[:longer] = CRC_TABLE[(active ^ data[begins[:longer] + place]) & 0xFF] ^ (active >> 8)
    crc ^= 0xFFFFFFFF
    masked = np.empty_like(crc)
    masked[order] = ((crc >> 15) | (crc << 17)) + np.uint32(0xA282EAD8)
    return masked


@dataclass(frozen=True)
class Records:
    """Where the data of a file's records are.

    Args:
        begins: (records,) int64: of those whose checksums are right.
        lengths: (records,) int64.
        damaged: How many were left out since their data do not fit their checksum.
        cut: What ended the file before its last byte: ``""``, ``"half"`` for a record that is not all there, or
            ``"broken"`` for a length that does not fit its checksum.
    """

    begins: np.ndarray
    lengths: np.ndarray
    damaged: int
    cut: str


def find_records(content: bytes) -> Records:
    """Find the records of a file, as far as it is whole."""
    length_at = struct.Struct("<Q").unpack_from
    places, sizes, place, size = array("q"), array("q"), 0, len(content)
    while place + FRAME <= size:
        places.append(place)
        sizes.append(min(length_at(content, place)[0], size))
        place += FRAME + sizes[-1]
    begins, lengths, data = np.array(places), np.array(sizes), np.frombuffer(content, np.uint8)
    right = checksums(data, begins, np.full(len(begins), 8)) == _four_bytes(data, begins + 8)
    cut, whole = "", len(begins)
    if not right.all():
        cut, whole = "broken", int(right.argmin())
    elif place != size:
        cut, whole = "half", len(begins) - (place > size)
    begins, lengths = begins[:whole], lengths[:whole]
    begins = begins + 12
    checked = np.flatnonzero(lengths <= MOST_CHECKED)
    sums = checksums(data, begins[checked], lengths[checked])
    wrong = checked[sums != _four_bytes(data, begins[checked] + lengths[checked])]
    return Records(np.delete(begins, wrong), np.delete(lengths, wrong), len(wrong), cut)


def _four_bytes(data: np.ndarray, begins: np.ndarray) -> np.ndarray:
    """Return the uint32 that begin at some places."""
    return sum(data[begins + place].astype(np.uint32) << np.uint32(8 * place) for place in range(4))


class BadMessageError(ValueError):
    """Bytes are no protobuf message."""


def varint(data: bytes, place: int) -> tuple[int, int]:
    """Return the whole number that begins at a place, and where it ends.

    Raises:
        BadMessageError: If there is none.
    """
    value = shift = 0
    while shift < 70 and place < len(data):
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place += 1
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, place
        shift += 7
    raise BadMessageError


@dataclass
class Fields:
    """Reads the fields of messages, and no more of them than a budget allows.

    Args:
        budget: Messages of very many tiny fields take long to read.
    """

    budget: int = field(default=10_000_000)

    def of(self, data: bytes, begin: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        """Yield the fields of a message: number, wire type, and where its value begins and ends.

        Raises:
            BadMessageError: If the bytes are no message, or the budget is spent.
        """
        place = begin
        while place < end:
            self.budget -= 1
            key, place = varint(data, place)
            number, wire = key >> 3, key & 7
            if wire == VARINT:
                stop = varint(data, place)[1]
            elif wire == BYTES:
                length, place = varint(data, place)
                stop = place + length
            else:
                stop = place + {EIGHT_BYTES: 8, FOUR_BYTES: 4}.get(wire, end)  # others are not written any more
            if stop > end or self.budget < 0:
                raise BadMessageError
            yield number, wire, place, stop
            place = stop
