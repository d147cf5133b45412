"""Caches that all sessions share, bars of progress, and whose turn it is."""

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from threading import Condition
from typing import ParamSpec, TypeVar

import streamlit as st
from cachetools import LRUCache, cached

from segmentation.data.patches import Progress
from segmentation.ui.fair_queue import FairQueue

MEGABYTE = 1 << 20

QUEUE = FairQueue(20)
"""Predictions under way in all sessions together."""


Arguments = ParamSpec("Arguments")

Value = TypeVar("Value")


def remembered(
    maxsize: int, key: Callable[..., Hashable], size: Callable[..., int] | None = None
) -> Callable[[Callable[Arguments, Value]], Callable[Arguments, Value]]:
    """Cache a function for all sessions; while one computes a value, others that want the same wait for it.

    Args:
        maxsize: Entries kept, or whatever `size` counts.
        key: From the arguments to the cache's key.
        size: From a value to its size.
    """
    return cached(LRUCache(maxsize, size), key=key, condition=Condition())


@contextmanager
def progress_bar(text: str) -> Iterator[Progress]:
    """Yield a callback (done, total) that draws a bar from its first call on; nothing is left of it at the end."""
    place = st.empty()

    def progress(done: int, total: int) -> None:
        place.progress(done / total, f"{text} {done:,} of {total:,}")

    try:
        yield progress
    finally:
        place.empty()


@contextmanager
def taking_turns(text: str) -> Iterator[Progress]:
    """Wait until no other session predicts, and yield a callback as `progress_bar` does that lets others go on."""
    drawn: tuple[float, str] = (0.0, text)
    place = st.empty()

    def wait(ahead: int) -> None:
        others = "another prediction" if ahead == 1 else f"{ahead} other predictions"
        place.progress(drawn[0], f"{drawn[1]} (taking turns with {others})")

    def progress(done: int, total: int) -> None:
        nonlocal drawn
        drawn = done / total, f"{text} {done:,} of {total:,}"
        place.progress(*drawn)
        if done < total:
            pass_on()

    try:
        with QUEUE.taken(wait) as pass_on:
            yield progress
    finally:
        place.empty()
