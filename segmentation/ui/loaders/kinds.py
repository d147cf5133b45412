"""Kinds of error: of a run's patches, counted once and kept on disk, and of a picture in sight."""

import hashlib
from collections.abc import Hashable
from functools import cache

import numpy as np
import pandas as pd
import streamlit as st
from cachetools import LRUCache

from segmentation.data.kept import KeptResults
from segmentation.data.locate import cache_folder
from segmentation.data.scenes import Dataset
from segmentation.evaluation.error_kinds import DISTANCE, ErrorKinds, find_error_kinds
from segmentation.runs.run import PATCHES, Run
from segmentation.ui.loaders.caching import MEGABYTE, remembered, taking_turns
from segmentation.ui.loaders.predictions import load_predictor

KEPT_BYTES = 256 * MEGABYTE
"""Of counts, about sixty bytes a patch: those of four million patches."""

_counted: LRUCache[Hashable, np.ndarray] = LRUCache(128 * MEGABYTE, getsizeof=lambda counts: counts.nbytes)


@cache
def _kept() -> KeptResults:
    return KeptResults(cache_folder() / "error-kinds.sqlite", KEPT_BYTES)


def load_kinds(run: Run, dataset: Dataset, part: str, table: pd.DataFrame) -> np.ndarray | None:
    """Return the wrong pixels of a part's patches by class and kind, as `count_kinds`; None if they were not counted.

    Args:
        run: With a model or predictions.
        dataset: In the run's classes.
        part: ``test``, ``validation`` or ``train``.
        table: All patches of that part.

    Raises:
        RunError: If the run has neither a model nor predictions.
    """
    from segmentation.evaluation.kind_counts import known_kinds  # opens engines: only where needed

    key = _key(run, dataset, part)
    if key not in _counted:
        found = known_kinds(run, dataset, table, _kept())
        if found is None:
            return None
        _keep(key, found)
        return found
    return _counted[key]


def count_part(run: Run, dataset: Dataset, part: str, table: pd.DataFrame) -> None:
    """Predict a part's patches and count, with a bar, by turns; each scene is kept on disk as soon as it is counted.

    Args:
        run: As for `load_kinds`.
        dataset: Likewise.
        part: Likewise.
        table: Likewise.

    Raises:
        RunError: If the model cannot be used.
        BackendError: If what computes it cannot be loaded.
        ImageFileError: If a scene or its prediction cannot be read.
        BusyError: If too many predictions are under way.
    """
    from segmentation.evaluation.kind_counts import count_kinds

    predictor = load_predictor(run.model) if run.model else None
    with taking_turns(f"Kinds of error of {run.name}, patches …") as progress:
        counts = count_kinds(run, dataset, table, _kept(), predictor, progress)
    _keep(_key(run, dataset, part), counts)


def _keep(key: Hashable, counts: np.ndarray) -> None:
    counts.flags.writeable = False
    if counts.nbytes <= _counted.maxsize:
        _counted[key] = counts


def _key(run: Run, dataset: Dataset, part: str) -> Hashable:
    paths = [path for path in (run.folder / PATCHES, run.model, run.predictions) if path]
    return run.folder, part, dataset.stamp(), *(path.stat().st_mtime_ns if path.exists() else 0 for path in paths)


def find_kinds(truth: np.ndarray, predicted: np.ndarray) -> ErrorKinds:
    """Return the kind of each wrong pixel of a picture, as `find_error_kinds`, read-only; the last ones are kept.

    Of a scene of three megapixels it takes a second or two.

    Args:
        truth: (height, width) uint8 class indices, void 255.
        predicted: (height, width) uint8 class indices.
    """
    digest = hashlib.sha256(np.ascontiguousarray(truth).data)
    digest.update(np.ascontiguousarray(predicted).data)
    return _find((digest.hexdigest(), truth.shape, DISTANCE), truth, predicted)


@remembered(64 * MEGABYTE, key=lambda key, truth, predicted: key, size=lambda kinds: sum(of.nbytes for of in kinds))
def _find(key: Hashable, truth: np.ndarray, predicted: np.ndarray) -> ErrorKinds:
    with st.spinner("Sorting wrong pixels …"):
        kinds = find_error_kinds(truth, predicted)
    for of in kinds:
        of.flags.writeable = False
    return kinds
