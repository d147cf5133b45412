"""Writes that a reader can never meet half done."""

import fcntl
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

from segmentation.errors import StorageError

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
def locked(path: Path) -> Iterator[bool]:
    """Hold the lock file `path` while the block runs, and yield whether it could be had.

    The system gives the lock back when its process ends, however it ends: a lock file that a kill has left locks
    nothing. Over NFS it holds for all machines.

    Raises:
        StorageError: If the file cannot be written.
    """
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, mine = _open_lock(path)
    try:
        yield mine
    finally:
        if mine:
            path.unlink(missing_ok=True)
        os.close(handle)


def _open_lock(path: Path) -> tuple[int, bool]:
    """Open a lock file; return its handle and whether the lock is ours now."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return handle, False
        try:
            if os.path.samestat(os.fstat(handle), path.stat()):
                return handle, True
        except FileNotFoundError:
            pass
        os.close(handle)  # its owner has removed it between the two steps: the file that counts is another


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
            _lock_while_open(handle)
            yield temporary
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
            os.close(handle)


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Yield an empty folder in `parent`, to make in it what is then moved into place; it is gone after the block.

    Args:
        parent: The folder to make it in. It is made if it is missing.
    """
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix=UNFINISHED, ignore_cleanup_errors=True) as name:
        handle = os.open(name, os.O_RDONLY)
        try:
            _lock_while_open(handle)
            yield Path(name)
        finally:
            os.close(handle)


def _lock_while_open(handle: int) -> None:
    """Tell `remove_unfinished` that this process is still at it; where files cannot be locked, nothing is removed."""
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


def remove_unfinished(folder: Path) -> None:
    """Remove what processes that were killed have left half written in `folder`; what is being written stays."""
    for path in folder.glob(f"{UNFINISHED}*"):
        with suppress(OSError):  # its owner is still at it, or has just finished
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe would be waited for
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            finally:
                os.close(handle)


def write_json(path: Path, content: Any) -> None:  # noqa: ANN401 (anything JSON can hold)
    """Write `content` as indented JSON to `path`, atomically.

    NaN has no place in JSON: scores that do not exist are to be given as ``None``.
    """
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
