"""Kinds of error counted over a run's patches, kept, and their shares."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from segmentation.data.kept import KeptResults
from segmentation.data.protocols import apply_void_policy
from segmentation.data.scenes import Dataset
from segmentation.errors import ImageFileError, RunError
from segmentation.evaluation.error_kinds import find_error_kinds
from segmentation.evaluation.kind_counts import count_kinds, kind_shares, known_kinds
from segmentation.inference.predictor import Predictor
from segmentation.intervals import LEAST
from segmentation.runs.run import SHIPPED, Run


@pytest.fixture
def kept(tmp_path: Path) -> KeptResults:
    return KeptResults(tmp_path / "kinds.sqlite", 1 << 20)


def check_sums(run: Run, table: pd.DataFrame, counts: np.ndarray) -> None:
    """Hold missed and invented pixels by class against the run's confusion matrices."""
    assert run.confusion_matrices is not None
    matrices = run.confusion_matrices[table.index]
    right = np.diagonal(matrices, axis1=1, axis2=2)
    np.testing.assert_array_equal(counts[:, 0].sum(-1), matrices.sum(2) - right)
    np.testing.assert_array_equal(counts[:, 1].sum(-1), matrices.sum(1) - right)


def test_a_run_is_counted_once_and_kept(trained: object, kept: KeptResults) -> None:
    """All patches of the small data set; some scenes alone are asked for in another order as well."""
    run, dataset = trained.run, trained.dataset
    table, seen = run.patches, []
    assert known_kinds(run, dataset, table, kept) is None
    counts = count_kinds(run, dataset, table, kept, Predictor(run.model), lambda *done: seen.append(done))
    check_sums(run, table, counts)
    assert counts.any((0, 1, 2)).all()  # every kind
    assert seen[-1] == (len(table), len(table))
    again = known_kinds(run, dataset, table, kept)
    np.testing.assert_array_equal(again, counts)
    held_out = table[table["part"] == "test"][::-1]
    check_sums(run, held_out, count_kinds(run, dataset, held_out, kept, Predictor(run.model)))


def test_what_was_cut_off_goes_on(trained: object, kept: KeptResults) -> None:
    """A scene that was counted is not predicted again; what is kept of it may be broken."""

    def cancel(done: int, total: int) -> None:
        raise KeyboardInterrupt

    run, dataset, table = trained.run, trained.dataset, trained.run.patches
    with pytest.raises(KeyboardInterrupt):
        count_kinds(run, dataset, table, kept, Predictor(run.model), cancel)
    first = table[table["scene"] == table["scene"].iloc[0]]
    before = known_kinds(run, dataset, first, kept)
    assert before is not None
    check_sums(run, first, before)
    assert known_kinds(run, dataset, table, kept) is None


def test_a_run_of_predictions_is_counted_from_its_files(trained: object, tmp_path: Path, kept: KeptResults) -> None:
    """Each patch by itself, as the pixels say; a prediction that is gone is said."""
    dataset = trained.dataset
    with Run.create("recorded", dataset, runs=tmp_path / "runs", patch_size=32) as recording:
        for scene in dataset.scenes:
            predicted = np.roll(scene.read_mask(dataset.palette), 2, 1)
            recording.record(scene, np.where(predicted == 255, 0, predicted).astype(np.uint8))
        run = recording.finish()
    counts = count_kinds(run, dataset, run.patches, kept)
    check_sums(run, run.patches, counts)
    scene = dataset.scene(run.patches["scene"].iloc[0])
    truth = scene.read_mask(dataset.palette)[:32, :32]
    predicted = np.roll(scene.read_mask(dataset.palette), 2, 1)[:32, :32]
    predicted = np.where(predicted == 255, 0, predicted).astype(np.uint8)
    kinds = find_error_kinds(apply_void_policy(truth, run.protocol, dataset.palette), predicted)
    assert counts[0, 0].sum(0).tolist() == [int((kinds.missed == kind).sum()) for kind in (1, 2, 3)]
    shutil.rmtree(run.folder / "predictions")
    (run.folder / "predictions").mkdir()
    with pytest.raises(ImageFileError, match="has no prediction of"):
        count_kinds(run, dataset, run.patches, kept)


def test_a_run_without_model_and_predictions_is_refused(trained: object, tmp_path: Path, kept: KeptResults) -> None:
    """In a sentence."""
    run = Run(shutil.copytree(trained.run.folder, tmp_path / "bare", ignore=shutil.ignore_patterns("*.keras")))
    with pytest.raises(RunError, match="neither a model nor predictions"):
        known_kinds(run, trained.dataset, run.patches, kept)


def test_shares_have_intervals_by_scenes() -> None:
    """Where all scenes are alike the interval is narrow, and holds the share; of few scenes there is none."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"tile": "a", "scene": [f"a/{scene}" for scene in range(8) for _ in range(5)]})
    counts = rng.multinomial(1000, (0.6, 0.3, 0.1), (40, 2)).astype(np.int32)
    found = kind_shares(table, counts)
    assert found.pixels.sum() == 80_000
    for share, between in zip(found.shares, found.intervals, strict=True):
        assert between.low < share < between.high < between.low + 0.05
    assert found.basis == "8 scenes"
    few = table["scene"] < f"a/{LEAST - 1}"
    assert kind_shares(table[few], counts[few]).intervals is None
    none = kind_shares(table, np.zeros_like(counts))
    assert np.isnan(none.shares).all()
    assert none.intervals is None


def test_kinds_of_the_shipped_run_add_up_on_real_patches(real_dataset: Dataset, kept: KeptResults) -> None:
    """Twenty held-out patches of the real set, as they were scored."""
    run = Run(SHIPPED / "dubai-best")
    table = run.patches[run.patches["part"] == "test"].iloc[:20]
    counts = count_kinds(run, real_dataset, table, kept, Predictor(run.model))
    matrices = run.confusion_matrices[table.index]
    wrong = matrices.sum((0, 1, 2)) - np.trace(matrices.sum(0))
    assert counts[:, 0].sum() == counts[:, 1].sum() == pytest.approx(wrong, abs=20)
