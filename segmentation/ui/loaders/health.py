"""A data set's health report: waited for where it takes seconds, else shown as far as it goes while a thread reads."""

from functools import cache
from threading import Thread

import pandas as pd
import streamlit as st

from segmentation.data.health import Examined, Health, examine, examined_scenes, report
from segmentation.data.kept import KeptResults
from segmentation.data.locate import cache_folder
from segmentation.data.patches import PATCH_SIZE, Progress
from segmentation.data.protocols import Protocol
from segmentation.data.scenes import Dataset
from segmentation.data.split_health import SplitHealth, examine_split
from segmentation.ui.loaders.caching import MEGABYTE, progress_bar, remembered

WAITED_FOR, WAITED_FOR_BYTES = 100, 256 * MEGABYTE
"""A data set of no more scenes, and of smaller files, is waited for."""

KEPT_BYTES = 512 * MEGABYTE
"""Of what was found in scenes, a few kilobytes each, so that the next start does not read them again."""

EVERY = 2.0
"""Seconds between two looks at how far a thread is."""


@cache
def _kept() -> KeptResults:
    return KeptResults(cache_folder() / "health.sqlite", KEPT_BYTES)


class _Reading:
    """What is known of a data set's scenes while a thread reads them, one after the other."""

    def __init__(self, dataset: Dataset, size: int) -> None:
        self._dataset, self._size = dataset, size
        self._examined: list[Examined] = []
        self._error: Exception | None = None
        self._reported: tuple[int, Health] | None = None
        self._thread = Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for scene in examined_scenes(self._dataset, self._size, _kept()):
                self._examined.append(scene)
        except Exception as error:  # for the page to raise
            self._error = error

    @property
    def done(self) -> int:
        """How many scenes have been read."""
        return len(self._examined)

    @property
    def goes_on(self) -> bool:
        """Whether there are more to come."""
        return self._thread.is_alive()

    def report(self) -> Health:
        """Return the report of the scenes that have been read.

        Raises:
            Exception: Whatever ended the thread.
        """
        if self._error:
            raise self._error
        done = self.done
        if self._reported is None or self._reported[0] != done:
            self._reported = done, report(self._dataset, self._examined[:done])
        return self._reported[1]


@remembered(4, key=lambda dataset, size, progress: (dataset.stamp(), size))
def _waited_for(dataset: Dataset, size: int, progress: Progress) -> Health:
    return examine(dataset, size, progress, _kept())


@remembered(4, key=lambda dataset, size: (dataset.stamp(), size))
def _in_background(dataset: Dataset, size: int) -> _Reading:
    return _Reading(dataset, size)


def load_health(dataset: Dataset, size: int = PATCH_SIZE) -> Health:
    """Return the health report of a data set and its patches' statistics.

    Of a large data set it is the report of the scenes that have been read so far (`Health.unread` names the others); a
    bar then says so, and the page runs again as more are known.
    """
    if len(dataset.scenes) <= WAITED_FOR and dataset.file_bytes() <= WAITED_FOR_BYTES:
        with progress_bar("Reading every scene once …") as progress:
            return _waited_for(dataset, size, progress)
    reading = _in_background(dataset, size)
    goes_on, health = reading.goes_on, reading.report()
    if goes_on:
        shown = len(dataset.scenes) - len(health.unread)
        st.fragment(_say_how_far, run_every=EVERY)(reading, len(dataset.scenes), shown)
    return health


@remembered(
    8,
    key=lambda dataset, size, split, health, held_out, trained_on: (dataset.stamp(), size, split, len(health.unread)),
)
def load_split_health(
    dataset: Dataset,
    size: int,
    split: tuple[Protocol, str | None],
    health: Health,
    held_out: pd.Series,
    trained_on: pd.Series,
) -> SplitHealth:
    """Return what is wrong between the parts of a split.

    Args:
        dataset: The scenes.
        size: Side of a patch, in pixels.
        split: The protocol, and the tile that it holds out, which give the parts.
        health: Of these, as far as it goes.
        held_out: The names of the patches of one part.
        trained_on: Those of the other.
    """
    names = health.patches["patch"]
    return examine_split(health, names.isin(held_out).to_numpy(), names.isin(trained_on).to_numpy())


def _say_how_far(reading: _Reading, scenes: int, shown: int) -> None:
    """Show how far a thread is; run the page again once it knows twice as much as is shown, or all."""
    done = reading.done
    st.progress(
        done / scenes, f"Reading every scene once: {done:,} of {scenes:,}, which the figures here count so far."
    )
    if not reading.goes_on or done >= max(2 * shown, WAITED_FOR):
        st.rerun()
