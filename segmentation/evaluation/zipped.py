"""A zip of predictions from anybody, unpacked: images and arrays alone, bounded in number and bytes."""

import re
import stat
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

from segmentation.data.array_files import ARRAY_SUFFIXES
from segmentation.data.layouts.listing import is_picture, suffix_of
from segmentation.errors import RunError, printable
from segmentation.files import scratch_folder, writing

MOST_FILES = 20_000
"""Of an archive, of any kind."""

MOST_BYTES = 1 << 30
"""Of all images and arrays together, unpacked."""

LONGEST_NAME, MOST_FOLDERS = 200, 8
"""Of a file or folder in bytes, and how deep they may lie in each other."""

PIECE = 1 << 20
"""Bytes that are unpacked at once."""

ENCRYPTED = 1
"""The flag of an entry that needs a password."""

HEADER = re.compile(rb"PK\x01\x02")
"""So begins each entry of an archive's directory, which is read as a whole."""


def unpack_predictions(file: BinaryIO, name: str, folder: Path) -> None:
    """Unpack the images and arrays of a zip into a new folder; other files are passed over.

    Args:
        file: The archive.
        name: What the user knows it by.
        folder: To be made. It is not there if anything goes wrong.

    Raises:
        RunError: If it is no zip or a damaged one, is too large once unpacked, holds no image or array, or anything
            but plain files below the folder.
        StorageError: If there is no room for it.
    """
    with writing(folder), scratch_folder(folder.parent) as scratch:
        try:
            with zipfile.ZipFile(_counted(file, name)) as archive:
                _unpack(archive, name, scratch / folder.name)
        # Whatever zipfile trips over; no room is said by `writing`.
        except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
            raise _refused(name, "it is no zip, or a damaged one: pack it again") from error
        (scratch / folder.name).rename(folder)


def _refused(name: str, why: str) -> RunError:
    return RunError(f"{name} cannot be unpacked: {why}.")


def _counted(file: BinaryIO, name: str) -> BinaryIO:
    """Refuse an archive whose directory alone would fill the memory; return it."""
    count, before = 0, b""
    while piece := file.read(PIECE):
        count += len(HEADER.findall(before + piece))
        before = piece[-3:]
        if count > 2 * MOST_FILES:  # archives in it have headers, too
            raise _refused(name, f"it holds more than {MOST_FILES:,} files")
    return file


def _unpack(archive: zipfile.ZipFile, name: str, folder: Path) -> None:
    entries = archive.infolist()
    if len(entries) > MOST_FILES:
        raise _refused(name, f"it holds more than {MOST_FILES:,} files")
    for entry in entries:
        _check(entry, name)
    wanted = [entry for entry in entries if _is_prediction(entry)]
    if not wanted:
        raise _refused(
            name,
            "it holds no image and no array. Pack an image of classes for each scene; a model is never uploaded: give "
            "its path on the machine that serves this page",
        )
    if sum(entry.file_size for entry in wanted) > MOST_BYTES:
        raise _refused(name, f"it would take more than {MOST_BYTES >> 30} GB: give the path of the folder")
    folder.mkdir()
    for entry in wanted:
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others unfold without bounds
            raise _refused(name, f"{printable(entry.filename)} is packed in an unusual way: pack it anew by deflate")
        target = folder / entry.filename
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(entry) as packed, target.open("xb") as unpacked:
                while piece := packed.read(PIECE):  # no more than the size that was summed up
                    unpacked.write(piece)
        except (FileExistsError, NotADirectoryError) as error:
            raise _refused(name, f"{printable(entry.filename)} is in it twice, or is a file and a folder") from error


def _is_prediction(entry: zipfile.ZipInfo) -> bool:
    """Tell whether a file is an image or an array, and not what macOS packs beside each."""
    parts = entry.filename.split("/")
    hidden = any(part.startswith((".", "__MACOSX")) for part in parts)
    return not (entry.is_dir() or hidden) and (is_picture(parts[-1]) or suffix_of(parts[-1]) in ARRAY_SUFFIXES)


def _check(entry: zipfile.ZipInfo, name: str) -> None:
    """Refuse an entry that is no plain file or folder under a plain name."""
    path, shown = entry.filename, printable(entry.filename)
    parts = path.removesuffix("/").split("/")
    if "\\" in path or ":" in parts[0] or not {"", ".", ".."}.isdisjoint(parts):
        raise _refused(name, f"{shown} would lie outside its folder")
    if len(parts) > MOST_FOLDERS or any(len(part.encode(errors="replace")) > LONGEST_NAME for part in parts):
        raise _refused(name, f"{shown[:80]} has too long a name or lies in too many folders")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        what = "a link" if kind == stat.S_IFLNK else "no plain file"
        raise _refused(name, f"{shown} is {what}: pack the files themselves")
    if entry.flag_bits & ENCRYPTED:
        raise _refused(name, f"{shown} is encrypted: pack it without a password")
