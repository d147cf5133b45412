"""TIFF files as no honest program writes them: headers that lie, tags put in by hand, bits turned over."""

import struct
from collections.abc import Mapping

import numpy as np
import rasterio

HEIGHT, WIDTH = 40, 48

PIXELS = np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)

BANDS = PIXELS.transpose(2, 0, 1)

PLACE = {"crs": "EPSG:32640", "transform": rasterio.Affine(0.5, 0, 300_000, 0, -0.5, 2_700_000)}

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 7: 1, 12: 8, 16: 8}
"""Bytes a value of each kind that is used here: byte, text, 16 bits, 32 bits, whatever, double, 64 bits."""


def tiff(width: int, height: int, *more: tuple[int, int, int, int], following: int = 0, data: bytes = b"") -> bytes:
    """An 8-bit RGB TIFF put together by hand: its header may lie. `more` are (tag, kind, count, value)."""
    entries = {
        256: (4, 1, width),
        257: (4, 1, height),
        258: (3, 1, 8),
        259: (3, 1, 1),
        262: (3, 1, 2),
        273: (4, 1, 8),
        277: (3, 1, 3),
        278: (4, 1, height),
        279: (4, 1, len(data)),
    }
    entries |= {tag: rest for tag, *rest in more}
    directory = struct.pack("<H", len(entries))
    for tag, (kind, count, value) in sorted(entries.items()):
        directory += struct.pack("<HHI", tag, kind, count) + struct.pack("<I", value)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory + struct.pack("<I", following)


def by_rasterio(
    bands: np.ndarray = BANDS,
    write: bool = True,
    tags: Mapping[str, Mapping[str, str]] | None = None,
    kinds: tuple = (),
    colors: Mapping[int, tuple] | None = None,
    **layout: object,
) -> bytes:
    """What GDAL writes: (bands, height, width) as a GeoTIFF, or only the header of one.

    Args:
        bands: The pixels.
        write: Whether to write them.
        tags: Metadata by domain.
        kinds: What the bands are.
        colors: A colour table.
        layout: What else GDAL is told; by default the map lies in Dubai.
    """
    with rasterio.MemoryFile() as memory:
        count, height, width = bands.shape
        layout = {"count": count, "height": height, "width": width, "dtype": bands.dtype} | PLACE | layout
        with memory.open(driver="GTiff", **layout) as file:
            if kinds:
                file.colorinterp = kinds
            if colors:
                file.write_colormap(1, colors)
            for domain, values in (tags or {}).items():
                file.update_tags(ns=domain, **values)
            if write:
                file.write(bands)
        return memory.read()


def retagged(content: bytes, tags: Mapping[int, tuple[int, bytes] | None]) -> bytes:
    """A classic little-endian TIFF with other tags in its first directory, which moves to the end.

    Args:
        content: The file.
        tags: (kind, the values' bytes) by tag; None takes a tag out.
    """
    (at,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, at)
    raw = [content[at + 2 + 12 * place : at + 14 + 12 * place] for place in range(count)]
    entries = {struct.unpack_from("<H", entry)[0]: entry for entry in raw}
    content = bytearray(content)
    for tag, new in tags.items():
        entries.pop(tag, None)
        if new is None:
            continue
        kind, values = new
        content += bytes(len(content) % 2)
        head = struct.pack("<HHI", tag, kind, len(values) // SIZES[kind])
        entries[tag] = head + (values.ljust(4, b"\0") if len(values) <= 4 else struct.pack("<I", len(content)))
        content += values if len(values) > 4 else b""
    content += bytes(len(content) % 2)
    content[4:8] = struct.pack("<I", len(content))
    content += struct.pack("<H", len(entries)) + b"".join(entries[tag] for tag in sorted(entries)) + bytes(4)
    return bytes(content)


def doubles(*values: float) -> tuple[int, bytes]:
    """A tag's values: 64-bit floating-point numbers."""
    return 12, struct.pack(f"<{len(values)}d", *values)


def shorts(*values: int) -> tuple[int, bytes]:
    """A tag's values: 16-bit numbers."""
    return 3, struct.pack(f"<{len(values)}H", *values)


def text(value: str) -> tuple[int, bytes]:
    """A tag's value: a text."""
    return 2, value.encode() + b"\0"


def flipped(content: bytes, seed: int) -> bytes:
    """The file with eight of its bits the other way round."""
    bits = np.unpackbits(np.frombuffer(content, np.uint8))
    places = np.random.default_rng(seed).choice(len(bits), 8, replace=False)
    bits[places] ^= 1
    return np.packbits(bits).tobytes()
