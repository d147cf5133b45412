"""The audited labels of a run's scenes, found once, by turns with other sessions, and kept; and what verdicts make."""

from functools import cache
from pathlib import Path

import pandas as pd
from cachetools import LRUCache

from segmentation.data.kept import KeptResults
from segmentation.data.locate import cache_folder
from segmentation.data.scenes import Dataset
from segmentation.evaluation.audit_run import Audit, audit_keys, audit_labels, kept_audits, known_audit
from segmentation.evaluation.label_audit import suspect_table
from segmentation.evaluation.relabelling import Places, matrices_if_wrong
from segmentation.evaluation.rescoring import Rescored, TwoTruths, compare_truths, rescore
from segmentation.runs.run import METRICS, PATCHES, Run
from segmentation.ui.loaders.caching import remembered, taking_turns
from segmentation.ui.loaders.intervals import patches_mark
from segmentation.ui.loaders.predictions import load_predictor

Key = tuple[str, ...]

_found: LRUCache[Key, Audit] = LRUCache(8)


@cache
def _kept() -> KeptResults:
    return kept_audits(cache_folder())


def _changed(run: Run) -> tuple[int, ...]:
    paths = [run.folder / PATCHES, run.folder / METRICS, run.model, run.predictions]
    paths += [fold.model for fold in run.folds]
    return tuple(path.stat().st_mtime_ns if path and path.exists() else 0 for path in paths)


@remembered(16, key=lambda run, dataset: (run.folder, _changed(run), dataset.stamp()))
def _keys(run: Run, dataset: Dataset) -> dict[str, str]:
    return audit_keys(run, dataset)


def load_audit(run: Run, dataset: Dataset) -> Audit | None:
    """Return the regions of a run's scenes; None if not all scenes were audited.

    Raises:
        RunError: If the run cannot audit labels.
    """
    key = tuple(_keys(run, dataset).values())
    if key not in _found:
        audit = known_audit(_keys(run, dataset), _kept())
        if audit is None:
            return None
        _found[key] = audit
    return _found[key]


def scenes_to_audit(run: Run, dataset: Dataset) -> tuple[int, int]:
    """Return how many scenes have not been audited yet, and how many there are.

    Raises:
        RunError: If the run cannot audit labels.
    """
    keys = _keys(run, dataset)
    return len(keys) - len(_kept().read(list(keys.values()))), len(keys)


def find_regions(run: Run, dataset: Dataset) -> None:
    """Audit the labels of all scenes, with a bar; each scene's regions are kept at once, so that a stop loses one.

    Raises:
        RunError: If the model cannot be used.
        BackendError: If what computes it cannot be loaded.
        BusyError: If too many predictions are under way.
    """
    with taking_turns(f"Auditing labels by {run.name}, scenes …") as progress:
        audit = audit_labels(run, dataset, _kept(), load_predictor, progress)
    _found[tuple(_keys(run, dataset).values())] = audit  # also where no file can be written


@remembered(8, key=lambda run, dataset, audit: tuple(_keys(run, dataset).values()))
def load_table(run: Run, dataset: Dataset, audit: Audit) -> pd.DataFrame:
    """Return the regions of an audit as `suspect_table` does."""
    return suspect_table(audit.scenes, dataset.palette)


def score_if_wrong(run: Run, dataset: Dataset, audit: Audit, wrong: Places) -> TwoTruths:
    """Return what a run's scores would be if the labels of some regions were the classes predicted.

    Raises:
        RunError: If the run has no confusion matrices of its patches.
    """
    places = tuple((name, tuple(of)) for name, of in sorted(wrong.items()))
    return _score((patches_mark(run), tuple(_keys(run, dataset).values()), places), run, audit, wrong)


@remembered(16, key=lambda key, run, audit, wrong: key)
def _score(key: object, run: Run, audit: Audit, wrong: Places) -> TwoTruths:
    return compare_truths(run, matrices_if_wrong(run, audit.scenes, wrong))


def score_on_labels(run: Run, dataset: Dataset, labels: Path, within: tuple[Path, ...]) -> Rescored:
    """Score a run against a folder of corrected masks, as `rescore` does, with a bar; the last ones are remembered.

    Raises:
        NotAllowedError: If something leads out of `within`.
        RunError: If no mask is there, or the run cannot be scored anew.
        BackendError: If what computes its model cannot be loaded.
        ImageFileError: If a mask or a scene cannot be read, or has another size.
        BusyError: If too many predictions are under way.
    """
    files = sorted(path for path in labels.rglob("*") if path.is_file()) if labels.is_dir() else []
    marks = tuple((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in files)
    return _score_on((patches_mark(run), dataset.stamp(), str(labels), marks), run, dataset, labels, within)


@remembered(4, key=lambda key, run, dataset, labels, within: key)
def _score_on(key: object, run: Run, dataset: Dataset, labels: Path, within: tuple[Path, ...]) -> Rescored:
    with taking_turns("Comparing labels, scenes …") as progress:
        return rescore(run, dataset, labels, load_predictor, progress, within)
