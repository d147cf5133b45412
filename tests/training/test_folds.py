"""A training for each place left out, joined to one run."""

import dataclasses
import json
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from segmentation.commands.training import print_places
from segmentation.configuration import Configuration
from segmentation.data.patches import load_patches
from segmentation.data.protocols import held_out
from segmentation.data.scenes import Dataset
from segmentation.errors import ConfigurationError, RunError
from segmentation.evaluation.out_of_fold import mean_and_deviation, models_of_folds, scores_by_place
from segmentation.model.registry import ARCHITECTURES, Architecture
from segmentation.model.unet import unet
from segmentation.runs.recording import read_recorded
from segmentation.runs.run import Run, find_runs
from segmentation.training.callbacks import Heartbeat
from segmentation.training.folds import fold_configurations, train_folds

FOLDED = Configuration(architecture="tiny", patch_size=32, epochs=2, batch_size=8, learning_rate=0.01, folds="tile")


@pytest.fixture(scope="module", autouse=True)
def tiny_architecture() -> Iterator[None]:
    """Add a network of some hundred parameters to the registry."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ARCHITECTURES, "tiny", Architecture(partial(unet, filters=(4,), bottleneck=4), divisor=2))
        yield


@pytest.fixture(scope="module")
def interrupted(
    small_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory, tiny_architecture: None
) -> tuple[Path, dict]:
    """The folder of two folds, stopped in the second, and the whole's status a moment before; not to be changed."""
    folder, seen = tmp_path_factory.mktemp("folds") / "whole", {}

    def stop(self: Heartbeat, epoch: int, logs: dict | None = None) -> None:
        self.epoch = epoch
        if self.run.name == "whole-02" and epoch == 1:
            seen.update(json.loads((folder / "status.json").read_text()))
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Heartbeat, "on_epoch_begin", stop)
        train_folds(small_dataset, FOLDED, folder, verbose=0)
    return folder, seen


@pytest.fixture(scope="module")
def whole(small_dataset: Dataset, interrupted: tuple[Path, dict], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The two folds, gone on with and joined; not to be changed."""
    folder = shutil.copytree(interrupted[0], tmp_path_factory.mktemp("joined") / "whole")
    first = (folder / "folds" / "whole-01" / "best.keras").stat().st_mtime_ns
    told: list[str] = []
    run = train_folds(small_dataset, FOLDED, folder, resume=True, verbose=0, tell=told.append)
    assert (folder / "folds" / "whole-01" / "best.keras").stat().st_mtime_ns == first
    assert [line for line in told if line.startswith("Fold")] == [
        "Fold 1 of 2: without Tile 1",
        "Fold 2 of 2: without Tile 2",
    ]
    return run


def test_the_status_of_the_whole_shows_progress_over_all_folds(interrupted: tuple[Path, dict]) -> None:
    folder, seen = interrupted
    assert (seen["state"], seen["fold"], seen["folds"], seen["epochs"]) == ("running", 2, 2, 2)
    assert 0.5 < seen["progress"] < 1
    assert Run(folder).status.state == "stopped"
    assert [fold.status.state for fold in Run(folder).folds] == ["finished", "stopped"]
    assert not (folder / "metrics.json").exists()


def test_folds_are_gone_on_with_where_they_were_cut(small_dataset: Dataset, interrupted: tuple, whole: Run) -> None:
    assert [fold.status.state for fold in whole.folds] == ["finished", "finished"]
    assert [len(fold.history.table) for fold in whole.folds] == [2, 2]
    assert train_folds(small_dataset, FOLDED, whole.folder, resume=True, verbose=0).status == whole.status


def test_each_fold_is_a_complete_run_that_leaves_out_one_tile(whole: Run) -> None:
    assert [fold.name for fold in whole.folds] == ["whole-01", "whole-02"]
    for fold, tile in zip(whole.folds, ("Tile 1", "Tile 2"), strict=True):
        assert (fold.problems, fold.metrics.protocol, fold.is_flattered) == ([], "tile", False)
        parts = fold.patches.groupby("part")["tile"].unique()
        assert parts["test"].tolist() == [tile]
        assert tile not in {*parts["train"], *parts["validation"]}


def test_the_whole_has_every_patch_as_the_fold_that_left_it_out_scored_it(whole: Run) -> None:
    left_out = pd.concat([fold.patches[fold.patches["part"] == "test"] for fold in whole.folds], ignore_index=True)
    assert len(whole.patches) == 28
    pd.testing.assert_frame_equal(whole.patches, left_out, rtol=1e-5, atol=2e-6)
    matrix = sum(np.array(fold.metrics.confusion_matrix) for fold in whole.folds)
    assert whole.metrics.confusion_matrix == matrix.tolist()
    assert (whole.metrics.protocol, whole.metrics.patches, whole.protocol) == ("k-fold", 28, "k-fold")
    assert whole.metrics.accuracy == pytest.approx(np.trace(matrix) / matrix.sum(), abs=1e-6)


def test_the_whole_keeps_the_picture_that_the_fold_predicts(small_dataset: Dataset, whole: Run) -> None:
    for scene in small_dataset.scenes:
        fold = whole.folds[0 if scene.tile == "Tile 1" else 1]
        with Image.open(scene.image) as image:
            pixels = np.asarray(image.convert("RGB"))
        kept = read_recorded(whole, scene.name, pixels.shape[:2])
        patch = keras.saving.load_model(fold.model).predict(pixels[None, :32, :32], verbose=0)[0].argmax(-1)
        assert (kept[:32, :32] == patch).mean() > 0.999


def test_the_whole_is_a_run_like_others_without_a_model(whole: Run) -> None:
    assert (whole.problems, whole.status.state, whole.model, whole.is_flattered) == ([], "finished", None, False)
    assert "whole-01" in whole.why_no_model
    assert [run.name for run in find_runs(whole.folder.parent)] == ["whole"]
    assert whole.config.hyper_parameters == FOLDED


def test_scores_by_place_have_their_mean_and_deviation(whole: Run, capsys: pytest.CaptureFixture[str]) -> None:
    groups = scores_by_place(whole, "tile")
    accuracies = [fold.metrics.accuracy for fold in whole.folds]
    assert groups["accuracy"].tolist() == pytest.approx(accuracies, abs=1e-6)
    mean, deviation = mean_and_deviation(groups)["accuracy"]
    assert mean == pytest.approx(sum(accuracies) / 2, abs=1e-6)
    assert deviation == pytest.approx(abs(accuracies[0] - accuracies[1]) / 2**0.5, abs=1e-6)  # of two values
    print_places(whole, "tile")
    printed = capsys.readouterr().out
    assert f"accuracy {mean:.4f} ± {deviation:.4f}" in printed
    assert "  Tile 1 " in printed


def test_folds_by_scene_leave_out_every_scene_once(small_dataset: Dataset) -> None:
    patches = load_patches(small_dataset, 32)
    folds = fold_configurations(dataclasses.replace(FOLDED, folds="scene"), patches)
    left_out = [held_out(patches.table, fold.protocol, fold.held_out_tile, fold.seed, fold.fold) for fold in folds]
    assert len(folds) == 4
    assert np.sum(left_out, axis=0).tolist() == [1] * 28


def test_other_hyper_parameters_are_refused(small_dataset: Dataset, whole: Run) -> None:
    other = dataclasses.replace(FOLDED, epochs=3)
    with pytest.raises(RunError, match="was started with another configuration"):
        train_folds(small_dataset, other, whole.folder, resume=True, verbose=0)
    with pytest.raises(RunError, match="There is a run whole already"):
        train_folds(small_dataset, FOLDED, whole.folder, verbose=0)


def test_too_few_places_are_said_before_anything_is_written(small_dataset: Dataset, tmp_path: Path) -> None:
    few = dataclasses.replace(small_dataset, scenes=small_dataset.scenes[:2])
    with pytest.raises(ConfigurationError, match="There are too few places"):
        train_folds(few, FOLDED, tmp_path / "run", verbose=0)
    assert not (tmp_path / "run").exists()


def test_a_fold_without_its_model_cannot_be_joined(whole: Run, tmp_path: Path) -> None:
    folder = shutil.copytree(whole.folder, tmp_path / "whole")
    (folder / "folds" / "whole-02" / "best.keras").unlink()
    with pytest.raises(RunError, match=r"whole-02 cannot be joined with the other folds: best\.keras is missing"):
        models_of_folds(Run(folder).folds)
