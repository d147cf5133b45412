"""The slices on which a run does worse, and the saved ones, scored on runs: searched once, kept for all sessions."""

import numpy as np
import pandas as pd

from segmentation.data.patches import Progress
from segmentation.evaluation.slice_features import holds, patch_features
from segmentation.evaluation.slices import Slice, SliceSearch, find_slices, score_slice
from segmentation.intervals import Gain, find_gains
from segmentation.runs.run import Run
from segmentation.runs.saved_slices import SavedSlice
from segmentation.ui.loaders.caching import remembered
from segmentation.ui.loaders.intervals import Mark, patches_mark


def load_slices(run: Run, part: str, tiles: tuple[str, ...], progress: Progress) -> SliceSearch | None:
    """Search the slices on which a run does worse, as `find_slices`; None if it has no confusion matrices by patch.

    Args:
        run: The run.
        part: Of its patches.
        tiles: Only patches of these; all if there is none.
        progress: Called while it is searched.
    """
    mark = patches_mark(run)
    return _search(run, part, tiles, mark, progress) if mark else None


def score_saved(run: Run, part: str, tiles: tuple[str, ...], saved: SavedSlice) -> Slice | None:
    """Score a saved slice on a run's patches, as `score_slice`; None if it cannot be.

    Args:
        run: Of any classes.
        part: Of its patches.
        tiles: Only patches of these; all if there is none.
        saved: The slice.
    """
    mark = patches_mark(run)
    return _score(run, part, tiles, saved, mark, _key(saved)) if mark else None


def gain_on_slice(run: Run, other: Run, part: str, tiles: tuple[str, ...], saved: SavedSlice) -> Gain | None:
    """Return what another run gains on a run on a slice's patches, by its score; None with too few scenes in common.

    Args:
        run: A run.
        other: Another, of the same classes in the same order.
        part: Of the patches.
        tiles: Only patches of these; all if there is none.
        saved: The slice.
    """
    marks = patches_mark(run), patches_mark(other)
    return _gain(run, other, part, tiles, saved, marks, _key(saved)) if None not in marks else None


def slice_members(run: Run, conditions: list) -> np.ndarray:
    """Tell of which of a run's patches all conditions are true: (patches,) bool, in `Run.patches`' order."""
    mark = patches_mark(run)
    features = _features(run, mark) if mark else None
    return np.zeros(0, bool) if features is None else holds(conditions, features)


def _key(saved: SavedSlice) -> str:
    return repr(saved.to_dict())


def _chosen(run: Run, part: str, tiles: tuple[str, ...]) -> tuple[pd.DataFrame, np.ndarray, np.ndarray] | None:
    """Return a run's patches of a part, their confusion matrices, and which they are; None if these are not known."""
    if run.patches is None or run.palette is None or run.confusion_matrices is None:
        return None
    chosen = run.patches["part"] == part
    if tiles:
        chosen &= run.patches["tile"].isin(tiles)
    places = chosen.to_numpy()
    return run.patches[places], run.confusion_matrices[places], places


@remembered(32, key=lambda run, mark: mark)
def _features(run: Run, mark: Mark) -> pd.DataFrame | None:
    if run.patches is None or run.palette is None or run.confusion_matrices is None:
        return None
    return patch_features(run.patches, run.confusion_matrices, run.palette.names)


@remembered(256, key=lambda run, part, tiles, mark, progress: (part, tiles, mark))
def _search(run: Run, part: str, tiles: tuple[str, ...], mark: Mark, progress: Progress) -> SliceSearch | None:
    chosen, features = _chosen(run, part, tiles), _features(run, mark)
    if chosen is None or features is None or run.palette is None:
        return None
    table, matrices, places = chosen
    return find_slices(table, matrices, features[places], run.palette.names, progress)


@remembered(1024, key=lambda run, part, tiles, saved, mark, key: (part, tiles, mark, key))
def _score(run: Run, part: str, tiles: tuple[str, ...], saved: SavedSlice, mark: Mark, key: str) -> Slice | None:
    chosen, features = _chosen(run, part, tiles), _features(run, mark)
    if chosen is None or features is None or run.palette is None:
        return None
    if saved.class_name is not None and saved.class_name not in run.palette.names:
        return None
    table, matrices, places = chosen
    return score_slice(saved.conditions, saved.class_name, table, matrices, features[places], run.palette.names)


@remembered(1024, key=lambda run, other, part, tiles, saved, marks, key: (part, tiles, marks, key))
def _gain(
    run: Run,
    other: Run,
    part: str,
    tiles: tuple[str, ...],
    saved: SavedSlice,
    marks: tuple[Mark | None, Mark | None],
    key: str,
) -> Gain | None:
    ours, theirs = _chosen(run, part, tiles), _chosen(other, part, tiles)
    if ours is None or theirs is None or run.palette is None:
        return None
    table, matrices, places = ours
    if saved.class_name is not None and saved.class_name not in run.palette.names:
        return None
    members = slice_members(run, saved.conditions)[places]
    gains = find_gains((table[members], matrices[members]), theirs[:2], run.palette)
    if gains is None:
        return None
    by_name, by_class = gains
    return by_class[saved.class_name] if saved.class_name else by_name["accuracy"]
