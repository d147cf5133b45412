"""What lies in a folder, by names alone: one bounded walk that opens no file."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from segmentation.data.images import SUFFIXES
from segmentation.data.layouts.found import Found
from segmentation.data.layouts.names import role

MOST_FILES = 300_000
"""Files that are listed; a folder of more is not read to its end, and that is said."""

MOST_FOLDERS = 50_000
"""Likewise."""


@dataclass(eq=False)
class Listing:
    """The files below a folder, hidden ones and links to folders passed over.

    Two are equal if they name the same files, and those that are no pictures are unchanged: what names and such files
    tell need not be found again.

    Args:
        root: The folder.
        folders: The names of the files in each folder, by its path below `root` with ``/`` between its parts; that of
            `root` itself is empty.
        links: The files of it, and folders of images or masks, that are links.
        complete: Whether the walk came to its end.
    """

    root: Path
    folders: dict[str, list[str]] = field(default_factory=dict)
    links: list[Path] = field(default_factory=list)
    complete: bool = True

    @classmethod
    def of(cls, root: Path) -> "Listing":
        """Walk through a folder. A link to a folder is followed only if its name says that it holds images or masks."""
        listing, count, waiting = cls(root), 0, [""]
        followed = {os.path.realpath(root)}
        while waiting:
            folder = waiting.pop()
            names = []
            try:
                with os.scandir(root / folder) as entries:
                    for entry in entries:
                        path = f"{folder}/{entry.name}" if folder else entry.name
                        if entry.name.startswith((".", "__MACOSX")):
                            continue
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(path)
                        elif entry.is_file():
                            names.append(entry.name)
                            listing.links += [root / path] if entry.is_symlink() else []
                        elif entry.is_dir() and role(entry.name):
                            real = os.path.realpath(root / path)
                            listing.links.append(root / path)
                            waiting += [path] if real not in followed else []
                            followed.add(real)
            except OSError:  # may not be read, or has just gone
                if not folder:
                    raise
                continue
            listing.folders[folder] = sorted(names)
            count += len(names)
            if count > MOST_FILES or len(listing.folders) > MOST_FOLDERS:
                listing.complete = False
                break
        return listing

    @cached_property
    def _signature(self) -> str:
        digest = hashlib.sha256(str(self.root).encode(errors="surrogateescape"))
        for folder, names in sorted(self.folders.items()):
            digest.update("\0".join([folder, *names, "\n"]).encode(errors="surrogateescape"))
            for name in names:
                if not is_picture(name):
                    with suppress(OSError):
                        status = (self.root / folder / name).stat()
                        digest.update(f"{status.st_size} {status.st_mtime_ns}".encode())
        return digest.hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Listing) and self._signature == other._signature

    def __hash__(self) -> int:
        return hash(self._signature)

    @cached_property
    def pictures(self) -> dict[str, list[str]]:
        """The names of the image files in each folder that holds some, in the folders' natural order."""
        found = {folder: [name for name in names if is_picture(name)] for folder, names in self.folders.items()}
        return {folder: names for folder, names in found.items() if names}

    def others(self, *endings: str) -> Iterator[str]:
        """Yield the paths of the files whose names end so, in lower case, the highest folders first."""
        for folder in sorted(self.folders, key=lambda folder: (folder.count("/") + bool(folder), folder)):
            for name in self.folders[folder]:
                if name.lower().endswith(endings):
                    yield f"{folder}/{name}" if folder else name

    def links_among(self, found: Iterable[Found]) -> list[Path]:
        """Return the links that are followed to read what was found: to folders, pictures of it and other files."""
        pairs = (pair for reading in found for pair in reading.pairs)
        used = {path for pair in pairs for path in (pair.image, pair.label)}
        used.update(path for reading in found for path in reading.unpaired)
        names = ((link, link.relative_to(self.root).as_posix()) for link in self.links)
        return [link for link, name in names if name in used or name in self.folders or not is_picture(name)]

    @property
    def remarks(self) -> tuple[str, ...]:
        """What the user should know, a sentence each."""
        if self.complete:
            return ()
        return (f"Only the first {MOST_FILES:,} files or {MOST_FOLDERS:,} folders were looked at: choose a part of it",)

    def summary(self) -> str:
        """Say what is there: how many files of which kind in which folder."""
        counts = Counter(
            (folder, suffix_of(name).removeprefix(".").upper() or "other")
            for folder, names in self.folders.items()
            for name in names
        )
        parts = [f"{count:,} {kind} in {folder or '.'}/" for (folder, kind), count in counts.most_common(MENTIONED)]
        more = f" and {len(counts) - MENTIONED:,} more kinds and folders" if len(counts) > MENTIONED else ""
        return ", ".join(parts) + more if parts else "no file"


MENTIONED = 6
"""Folders that a summary names."""


def suffix_of(name: str) -> str:
    """Return a file's ending with its dot in lower case; empty if it has none."""
    stem, dot, ending = name.rpartition(".")
    return f".{ending.lower()}" if stem and dot else ""


def stem_of(name: str) -> str:
    """Return a file's name without its ending."""
    return name.rpartition(".")[0] or name


def is_picture(name: str) -> bool:
    """Tell whether a name is one of an image file."""
    return suffix_of(name) in SUFFIXES
