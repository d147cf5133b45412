"""Writes that a reader can never meet half done."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from segmentation.errors import StorageError

try:
    import fcntl
except ImportError:  # Windows, where a file that somebody has open cannot be removed anyway
    fcntl = None  # type: ignore[assignment]

UNFINISHED = ".writing-"
"""So begins the name of what is being written."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say in one sentence what keeps the block from writing `path`, or what is in it.

    Raises:
        StorageError: In place of any error of the operating system's.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written ({error.strerror or error}): make room for it or give "
            "permission, then try again."
        ) from error


@contextmanager
def locked(path: Path, wait: bool = False) -> Iterator[bool]:
    """Hold the lock file `path` while the block runs, and yield whether it could be had.

    The system gives the lock back when its process ends, however it ends: a lock file that a kill has left locks
    nothing. Over NFS it holds for all machines.

    Args:
        path: The file. It is made, and removed in the end.
        wait: Wait until it can be had.

    Raises:
        StorageError: If the file cannot be written.
    """
    lock, mine = FileLock(path, mode=0o644), True
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(blocking=wait)
        except Timeout:
            mine = False
    try:
        yield mine
    finally:
        if mine:
            with suppress(PermissionError):  # Windows, where giving it back removes the file
                path.unlink(missing_ok=True)
            lock.release()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; on success it takes the place of `path` in one step.

    The temporary name keeps the suffix, since Keras and Pillow choose the format by it. If the block raises, the
    temporary file is removed and whatever stood at `path` is left as it was.

    Args:
        path: The file to write. Its folder is made if it is missing.

    Yields:
        The path to write to, in the same folder.

    Raises:
        StorageError: If the file cannot be written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=UNFINISHED, suffix=path.suffix)
        temporary = Path(name)
        try:
            with open(handle, "rb") as held:  # noqa: PTH123 (it has no path yet)
                _lock_while_open(handle)
                yield temporary
                temporary.chmod(0o644)
                if fcntl is None:  # Windows cannot move what is open
                    held.close()
                temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Yield an empty folder in `parent`, to make in it what is then moved into place; it is gone after the block.

    Args:
        parent: The folder to make it in. It is made if it is missing.
    """
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix=UNFINISHED, ignore_cleanup_errors=True) as name:
        if fcntl is None:  # Windows opens no folders
            yield Path(name)
            return
        handle = os.open(name, os.O_RDONLY)
        try:
            _lock_while_open(handle)
            yield Path(name)
        finally:
            os.close(handle)


def _lock_while_open(handle: int) -> None:
    """Tell `remove_unfinished` that this process is still at it; where files cannot be locked, nothing is removed."""
    if fcntl:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)


class VanishingFolder:
    """A new folder for what somebody has lent us: it goes when it is closed, or when this process ends, however.

    A second process waits for the end of this one, since a signal may leave it no time to clean up.

    Args:
        prefix: So its name begins.
    """

    def __init__(self, prefix: str) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=prefix))
        remove = "import shutil, sys; sys.stdin.read(); shutil.rmtree(sys.argv[1], ignore_errors=True)"
        self._guard = subprocess.Popen(  # noqa: S603 (no user's text is in it)
            [sys.executable, "-c", remove, str(self.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C is for this process alone
        )

    def close(self) -> None:
        """Remove the folder."""
        self._guard.communicate()


def remove_oldest(folder: Path, pattern: str, most_bytes: int, most_files: int | None = None) -> None:
    """Remove the files of a cache that were not used for longest, by their times, until the others are few enough.

    Args:
        folder: The cache.
        pattern: Names of its files, with ``*`` for anything.
        most_bytes: What the others may take.
        most_files: How many they may be; by default any number.
    """
    kept = []
    for path in folder.glob(pattern):
        with suppress(OSError):  # another process has just removed it
            status = path.stat()
            kept.append((status.st_mtime_ns, status.st_size, path))
    total = sum(size for _, size, _ in kept)
    for number, (_, size, path) in enumerate(sorted(kept)):
        if total <= most_bytes and (most_files is None or len(kept) - number <= most_files):
            return
        path.unlink(missing_ok=True)
        total -= size


def remove_unfinished(folder: Path) -> None:
    """Remove what processes that were killed have left half written in `folder`; what is being written stays."""
    for path in folder.glob(f"{UNFINISHED}*"):
        with suppress(OSError), _left_alone(path):  # its owner is still at it, or has just finished
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextmanager
def _left_alone(path: Path) -> Iterator[None]:
    """Hold what nobody writes any more.

    Raises:
        OSError: If somebody does.
    """
    if fcntl is None:
        yield
        return
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe would be waited for
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def write_json(path: Path, content: Any) -> None:  # noqa: ANN401 (anything JSON can hold)
    """Write `content` as indented JSON to `path`, atomically.

    NaN has no place in JSON: scores that do not exist are to be given as ``None``.
    """
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
