"""A trained run scored again, as it was and in other ways."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from segmentation.data.palette import VOID
from segmentation.data.patches import Patches, load_patches
from segmentation.data.protocols import Fold
from segmentation.data.scenes import find_dataset
from segmentation.errors import ConfigurationError, RunError
from segmentation.evaluation.evaluate import evaluate, evaluate_run
from segmentation.inference.options import Inference
from segmentation.inference.predictor import Predictor
from segmentation.runs.patch_table import confusion_columns, patch_columns
from segmentation.runs.records import Metrics
from segmentation.runs.run import Run


def test_a_run_scored_again_has_the_same_scores(trained: tuple) -> None:
    metrics, table = evaluate_run(trained.run, trained.dataset, save=False)
    assert metrics == trained.run.metrics
    held_out = trained.run.patches.query("part == 'test'").reset_index(drop=True)
    pd.testing.assert_frame_equal(table, held_out, atol=1e-5, check_dtype=False)


def test_a_run_can_be_scored_under_another_protocol(trained: tuple) -> None:
    metrics, table = evaluate_run(trained.run, trained.dataset, "tile", "Tile 2", save=False)
    assert (metrics.protocol, metrics.patches) == ("tile", 16)
    assert (set(table["part"]), set(table["tile"]), len(table)) == ({"test"}, {"Tile 2"}, 16)


def test_scoring_without_saving_writes_nothing(trained: tuple) -> None:
    before = {path: path.stat().st_mtime_ns for path in trained.run.folder.iterdir()}
    evaluate_run(trained.run, trained.dataset, "tile", "Tile 2")  # as the command does, unless asked to save
    assert {path: path.stat().st_mtime_ns for path in trained.run.folder.iterdir()} == before


def test_scores_are_saved_into_the_run(trained: tuple, tmp_path: Path) -> None:
    run = Run(shutil.copytree(trained.run.folder, tmp_path / "run"))
    metrics, _ = evaluate_run(run, trained.dataset, "tile", "Tile 2", save=True)
    table = Run(run.folder).patches
    assert (Run(run.folder).metrics, len(table)) == (metrics, 28)
    assert (table["part"] == "test").tolist() == (table["tile"] == "Tile 2").tolist()


def test_test_time_augmentation_scores_another_prediction_of_the_same_pixels(trained: tuple) -> None:
    metrics, _ = evaluate_run(trained.run, trained.dataset, inference=Inference(tta=True))
    assert metrics.pixels == trained.run.metrics.pixels
    assert metrics.confusion_matrix != trained.run.metrics.confusion_matrix


def test_the_calibration_is_of_the_held_out_pixels(trained: tuple) -> None:
    metrics = trained.run.metrics
    assert sum(metrics.calibration.pixels) == metrics.pixels
    assert sum(metrics.calibration.right) / metrics.pixels == pytest.approx(metrics.accuracy, abs=1e-6)
    gaps = np.abs(np.subtract(metrics.calibration.right, metrics.calibration.confidence))
    assert metrics.calibration_error == pytest.approx(gaps.sum() / metrics.pixels, abs=1e-5)


def test_a_patch_without_any_label_counts_in_no_score(trained: tuple, tmp_path: Path) -> None:
    """Nor does it in Keras' own column of the log."""
    palette, predictor = trained.dataset.palette, Predictor(trained.run.model)
    drawn = load_patches(trained.dataset, 32, protocol="scene")
    masks = drawn.masks[:6].copy()
    first = replace(drawn, images=drawn.images[:6], masks=masks, table=drawn.table[:6])
    fewer = replace(first, images=first.images[1:], masks=masks[1:], table=first.table[1:])
    masks[0] = VOID

    def scored(patches: Patches) -> Metrics:
        held_out = Fold(np.arange(0), np.arange(len(patches.masks)), "scene")
        return evaluate(predictor, patches, held_out, palette)[0]

    assert (scored(first).patches, scored(fewer).patches) == (6, 5)
    assert replace(scored(first), patches=5) == scored(fewer)

    masks[:] = VOID
    nothing = scored(first)
    assert nothing.pixels == 0
    assert [value for *_, value in nothing.scores()] == 14 * [None]


def test_a_data_set_of_other_classes_is_refused(trained: tuple, tmp_path: Path) -> None:
    copy = shutil.copytree(trained.dataset.root, tmp_path / "other")
    (copy / "class_dict.csv").write_text("name,r,g,b\nMeadow,132,41,246\n")
    with pytest.raises(RunError, match="tiny was trained on other classes than other"):
        evaluate_run(trained.run, find_dataset(copy))


def test_a_tile_that_does_not_exist_is_refused(trained: tuple) -> None:
    with pytest.raises(ConfigurationError, match="Tile 9"):
        evaluate_run(trained.run, trained.dataset, "tile", "Tile 9")


@pytest.mark.parametrize("seed", [1.5, "42", 10**400, [42]], ids=lambda seed: str(seed)[:4])
def test_a_run_whose_hyper_parameters_make_no_sense_is_refused(trained: tuple, tmp_path: Path, seed: object) -> None:
    run = Run(shutil.copytree(trained.run.folder, tmp_path / "odd"))
    config = json.loads((run.folder / "config.json").read_text())
    config["configuration"]["seed"] = seed
    (run.folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigurationError, match="not what this version understands"):
        evaluate_run(run, trained.dataset)


def test_the_tables_columns_are_those_declared(trained: tuple) -> None:
    palette = trained.dataset.palette
    header = (trained.run.folder / "patches.csv").read_text().splitlines()[0]
    assert header.split(",") == [column.name for column in patch_columns(palette)] + confusion_columns(palette)
