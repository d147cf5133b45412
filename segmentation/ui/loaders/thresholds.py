"""A run's pixels by probability: as its evaluation kept them, or counted on request."""

from collections.abc import Hashable

import numpy as np
from cachetools import LRUCache

from segmentation.data.locate import runs_folder
from segmentation.data.scenes import Dataset
from segmentation.errors import RunError
from segmentation.runs.chosen_thresholds import read_chosen
from segmentation.runs.records import ProbabilityCounts
from segmentation.runs.run import METRICS, PATCHES, Run
from segmentation.thresholds import ThresholdCurve
from segmentation.ui.loaders.caching import remembered, taking_turns
from segmentation.ui.loaders.scenes import load_fingerprint

ByPart = dict[str, ProbabilityCounts]

_counted: LRUCache[Hashable, ByPart] = LRUCache(64)


def load_chosen(run: Run) -> dict[str, float]:
    """Return the thresholds that are stored with a run, by class.

    Raises:
        RunError: If they cannot be read.
    """
    return read_chosen(run, runs_folder())


def load_probabilities(run: Run, dataset: Dataset) -> ByPart | None:
    """Return a run's pixels by probability, by part; None if its evaluation kept none and they were not counted."""
    kept = run.metrics.probabilities if run.metrics else None
    return kept or _counted.get(_key(run, dataset))


def count_probabilities(run: Run, dataset: Dataset) -> None:
    """Predict a run's held-out patches and count, with a bar, by turns; kept until the server ends, and not on disk.

    Args:
        run: With a model.
        dataset: In the run's classes.

    Raises:
        RunError: If the model cannot be used, or gives no probabilities.
        BackendError: If what computes it cannot be loaded.
        BusyError: If too many predictions are under way.
    """
    from segmentation.evaluation.evaluate import evaluate_run  # opens engines: only where needed

    tile = run.config.configuration.get("held_out_tile") if run.config else None
    with taking_turns(f"Counting for {run.name}, patches …") as progress:
        metrics, _ = evaluate_run(run, dataset, run.protocol, tile, progress=progress, tell=lambda sentence: None)
    if metrics.probabilities is None:
        raise RunError(f"The model of {run.name} names classes and gives no probabilities: it has no thresholds.")
    _counted[_key(run, dataset)] = metrics.probabilities


def load_curves(run: Run, dataset: Dataset, part: str) -> dict[str, ThresholdCurve]:
    """Return what each class scores at each threshold, by its name; nothing of a part that was not counted."""
    counts = (load_probabilities(run, dataset) or {}).get(part)
    if counts is None or run.palette is None:
        return {}
    return _curves(part, counts, _key(run, dataset))


@remembered(64, key=lambda part, counts, key: (part, key))
def _curves(part: str, counts: ProbabilityCounts, key: Hashable) -> dict[str, ThresholdCurve]:
    return {name: ThresholdCurve.of(counts.of_class(name)) for name in counts.true}


def part_matrix(run: Run, part: str) -> np.ndarray | None:
    """Return the confusion matrix of a part's patches, (classes, classes) int64; None if it is not known."""
    if run.patches is None or run.confusion_matrices is None:
        return None
    return run.confusion_matrices[(run.patches["part"] == part).to_numpy()].sum(0)


def _key(run: Run, dataset: Dataset) -> Hashable:
    marks = []
    for name in (METRICS, PATCHES):
        path = run.folder / name
        marks.append(path.stat().st_mtime_ns if path.is_file() else 0)
    return run.folder, *marks, load_fingerprint(dataset)
