"""NumPy's array files, .npy and .npz, from anybody: no code in them is run, and the memory they take is bounded."""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from tokenize import TokenError
from typing import IO

import numpy as np
from numpy.lib import format as npy

from segmentation.errors import ImageFileError

ARRAY_SUFFIXES = (".npy", ".npz")
"""Endings of these files, in lower case."""

KINDS = "buif"
"""Kinds of values that are read: truth values, whole numbers and floating-point ones."""

MOST_BYTES, MOST_NAMES = 1 << 30, 1 << 20
"""Of an array in an archive, which is unpacked into memory, and of one with the names of classes."""

MOST_ARRAYS = 64
"""Of an archive."""


def read_array(path: Path, shapes: tuple[tuple[int, ...], ...]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read the one array of a file that has one of some shapes.

    Args:
        path: Of a .npy file, which is not read but mapped into memory, or of a .npz archive.
        shapes: Those that are looked for; in an archive other arrays are passed over.

    Returns:
        The array, and of an archive that names the classes in an array ``classes`` these names, otherwise none.

    Raises:
        ImageFileError: If the file is no such file, is damaged, holds objects, or no array of these shapes or several.
    """
    with _in_one_sentence(path):
        if not path.is_file():  # a pipe would be waited for
            raise ImageFileError(f"{path.name} is not a file: check the path.")
        if path.suffix.lower() == ".npy":
            with path.open("rb") as file:
                shape, _, kind = _header(file)
                _check(path, shapes, {path.name: (shape, kind)})
            # As NumPy maps it: objects, which would run code, are refused once more.
            return np.load(path, mmap_mode="r", allow_pickle=False), ()
        return _read_archive(path, shapes)


def _read_archive(path: Path, shapes: tuple[tuple[int, ...], ...]) -> tuple[np.ndarray, tuple[str, ...]]:
    with zipfile.ZipFile(path) as archive:
        members = archive.namelist()[:MOST_ARRAYS]
        headers = {}
        for member in members:
            with archive.open(member) as file:
                shape, _, kind = _header(file)
                headers[member] = shape, kind
        fitting = [member for member, (shape, _) in headers.items() if shape in shapes]
        named = [member for member in fitting if member == "probabilities.npy"] or fitting
        _check(path, shapes, {member: headers[member] for member in named} or headers)
        names: tuple[str, ...] = ()
        if "classes.npy" in headers and headers["classes.npy"][1].kind == "U":
            names = tuple(map(str, _read_member(archive, "classes.npy", path.name, MOST_NAMES).ravel()))
        return _read_member(archive, named[0], path.name, MOST_BYTES), names


def _read_member(archive: zipfile.ZipFile, member: str, name: str, most: int) -> np.ndarray:
    """Read one array of an archive: as many bytes as its header says, not as many as it unfolds to."""
    with archive.open(member) as file:
        shape, by_columns, kind = _header(file)
        size = prod(shape) * kind.itemsize
        if size > most:
            raise ImageFileError(
                f"{name} holds an array of {size / 1e9:,.1f} GB: save it as .npy, which is read piece by piece."
            )
        content = file.read(size)
    if len(content) < size:
        raise EOFError
    return np.frombuffer(content, kind).reshape(shape, order="F" if by_columns else "C")


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Return an array's shape, whether it lies column by column, and its type."""
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    return read(file)


def _check(path: Path, shapes: tuple[tuple[int, ...], ...], found: dict[str, tuple[tuple[int, ...], np.dtype]]) -> None:
    """Refuse anything but one array of one of the shapes, and of numbers."""
    if len(found) == 1:
        ((shape, kind),) = found.values()
        if kind.hasobject or kind.kind not in KINDS:
            raise ImageFileError(f"{path.name} holds {kind} and not numbers: save class indices or probabilities.")
        if shape in shapes:
            return
    held = ", ".join(_spoken(shape) for shape, _ in list(found.values())[:5]) or "none"
    raise ImageFileError(
        f"{path.name} holds arrays of {held} values, but the scene needs one of "
        f"{' or '.join(_spoken(shape) for shape in shapes)}."
    )


def _spoken(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape)) or "1"


@contextmanager
def _in_one_sentence(path: Path) -> Iterator[None]:
    try:
        yield
    # Whatever NumPy and zipfile trip over, encrypted and oddly packed archives included.
    except (OSError, ValueError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise ImageFileError(f"{path.name} is no array that can be read: save it again with numpy.save.") from error
    except (SyntaxError, TokenError, TypeError, KeyError, OverflowError, MemoryError) as error:
        raise ImageFileError(f"{path.name} has a broken header: save it again with numpy.save.") from error
