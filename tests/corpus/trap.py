"""Secrets of a server, and a watch that sees whoever looks at them."""

import ctypes
import os
import socket
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image


def write_files(folder: Path, files: Mapping[str, bytes | None]) -> None:
    """Write files by their names; None is a named pipe."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        if content is None:
            os.mkfifo(folder / name)
        else:
            (folder / name).write_bytes(content)


WORDS = b"zq-xjv~wkq_zxg!vqj+kxw"
"""As they occur nowhere else."""

SECRET = WORDS * 4000

OPENED = 0x20
"""The kernel's name for an event: a file was opened."""


class Trap(NamedTuple):
    """A folder that nobody may read, and an address that nobody may ask.

    Args:
        folder: Holds ``secret`` as .txt, .tif, .vrt, .zip, .tar and .gz, and ``pipe``.
        server: Listens, and never answers.
    """

    folder: Path
    server: socket.socket

    @property
    def secret(self) -> Path:
        """A text of 88,000 bytes."""
        return self.folder / "secret.txt"

    @property
    def pipe(self) -> Path:
        """Whoever reads it waits for good."""
        return self.folder / "pipe"

    @property
    def address(self) -> str:
        """An address in which a picture may be thought."""
        return f"http://127.0.0.1:{self.server.getsockname()[1]}/secret.tif"

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Fail if anybody opens a secret in the block, or asks for one."""
        kernel = ctypes.CDLL(None)
        watch = kernel.inotify_init1(os.O_NONBLOCK) if hasattr(kernel, "inotify_init1") else None  # Linux only
        if watch is not None:
            assert kernel.inotify_add_watch(watch, os.fsencode(self.folder), OPENED) >= 0
        yield
        self.server.setblocking(False)
        with pytest.raises(BlockingIOError):  # nobody waits to be answered
            self.server.accept()
        if watch is not None:
            with os.fdopen(watch, "rb", buffering=0) as events:
                assert events.read(1 << 12) is None


def raw_vrt(path: Path, width: int = 1400, height: int = 16) -> str:
    """An image whose pixels are the bytes of any file."""
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{band}" subClass="VRTRawRasterBand"><SourceFilename relativetoVRT="0">'
        f"{path}</SourceFilename><ImageOffset>{band}</ImageOffset><PixelOffset>3</PixelOffset><LineOffset>{3 * width}"
        "</LineOffset></VRTRasterBand>"
        for band in (1, 2, 3)
    )
    return f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}">{bands}</VRTDataset>'


@contextmanager
def set_trap(folder: Path) -> Iterator[Trap]:
    """Yield a new folder of secrets."""
    folder.mkdir()
    secret = folder / "secret.txt"
    secret.write_bytes(SECRET)
    secret.with_suffix(".vrt").write_text(raw_vrt(secret))
    pixels = np.frombuffer(SECRET, np.uint8)[: 1400 * 16 * 3].reshape(16, 1400, 3)
    Image.fromarray(pixels).save(secret.with_suffix(".tif"))
    with zipfile.ZipFile(secret.with_suffix(".zip"), "w") as archive:
        archive.write(secret, "secret.txt")
    with tarfile.open(secret.with_suffix(".tar"), "w") as archive:
        archive.add(secret, "secret.txt")
    os.mkfifo(folder / "pipe")
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield Trap(folder, server)


def holds_secret(content: bytes) -> bool:
    """Tell whether any piece of the secret is in some bytes."""
    return any((WORDS + WORDS)[start : start + 9] in content for start in range(len(WORDS)))
