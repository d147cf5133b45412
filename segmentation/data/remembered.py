"""What was made of a file is remembered until the file changes."""

from collections.abc import Callable
from functools import lru_cache, wraps
from pathlib import Path
from typing import TypeVar

from segmentation.errors import ImageFileError

Made = TypeVar("Made")


def until_changed(entries: int) -> Callable[[Callable[[Path], Made]], Callable[[Path], Made]]:
    """Remember what a function makes of the last files, as long as their sizes and times stay.

    Args:
        entries: So many files. What is raised is not remembered.

    Returns:
        A decorator; the function then raises ImageFileError for a file that is not there.
    """

    def decorate(make: Callable[[Path], Made]) -> Callable[[Path], Made]:
        @lru_cache(entries)
        def remembered(path: Path, _size: int, _changed: int) -> Made:
            return make(path)

        @wraps(make)
        def made(path: Path) -> Made:
            try:
                status = path.stat()
            except OSError as error:
                raise ImageFileError(f"{path.name} cannot be opened ({error.strerror}): check the path.") from error
            return remembered(path, status.st_size, status.st_mtime_ns)

        return made

    return decorate
