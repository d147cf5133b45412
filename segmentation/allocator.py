"""What becomes of freed memory where glibc gives it out: elsewhere nothing here does anything."""

import ctypes
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -3, -4, -8
"""Options of glibc's ``mallopt``: how much freed memory is kept; from how many bytes on a piece is mapped by itself, to
go back to the system once it is freed; how many pieces are; and how many stocks there are for smaller ones."""


def return_freed_memory() -> None:
    """Give freed memory back soon, for a process that runs for days and holds pictures now and then.

    Every run of a page is a thread with a stock of its own, and the holes that pictures leave are not given back.
    """
    _set({M_MMAP_THRESHOLD: 1 << 20, M_ARENA_MAX: 2})


def keep_freed_memory() -> None:
    """Keep freed memory for what is next, for a process that takes and frees the same large pieces over and over.

    A step of a training does: of its time on two cores a third went into mapping and clearing pages.
    """
    _set({M_MMAP_MAX: 0, M_TRIM_THRESHOLD: -1})


def _set(options: dict[int, int]) -> None:
    with suppress(OSError, AttributeError):  # not Linux, or not with glibc
        allocator = ctypes.CDLL("libc.so.6")
        for option, value in options.items():
            allocator.mallopt(option, value)
