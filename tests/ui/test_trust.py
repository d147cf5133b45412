"""The gallery says whether confidence can be trusted: by class, by place, and at the run's temperature."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from segmentation.runs.records import Metrics, Tempered

Open = Callable[..., AppTest]


def captions(at: AppTest) -> str:
    return "\n".join(caption.value for caption in at.caption)


def test_the_toggle_shows_the_scores_at_the_temperature(open_page: Open, trained: object) -> None:
    metrics: Metrics = trained.run.metrics
    at = open_page("gallery", trust="true")
    assert f"Expected calibration error **{metrics.calibration_error:.3f}**:" in captions(at)
    assert f"Brier score **{metrics.brier:.3f}**:" in captions(at)
    at.toggle(key="tempered").set_value(True).run()
    tempered: Tempered = metrics.tempered
    assert f"**{tempered.calibration_error:.3f}** (without temperature {metrics.calibration_error:.3f})" in captions(at)
    assert f"**{tempered.brier:.3f}** (without temperature {metrics.brier:.3f})" in captions(at)
    assert f"Temperature **{metrics.temperature:.2f}**, fitted on the validation part" in captions(at)


@pytest.mark.parametrize("tempered", ["false", "true"])
def test_each_class_has_its_calibration(open_page: Open, trained: object, tempered: str) -> None:
    metrics: Metrics = trained.run.metrics
    at = open_page("gallery", trust="true", **{"trust-of": "By class", "tempered": tempered})
    table = next(frame.value for frame in at.dataframe if "ECE" in frame.value).set_index("Predicted as")
    stored = (metrics.tempered if tempered == "true" else metrics).calibration_by_class
    assert set(table.index) == {name for name, bins in stored.items() if sum(bins.pixels)}
    for name, row in table.iterrows():
        pixels, confidence, right = (np.array(of) for of in vars(stored[name]).values() if isinstance(of, list))
        assert row["Pixels"] == pixels.sum()
        assert row["Accuracy"] == pytest.approx(right.sum() / pixels.sum())
        assert row["Overconfidence"] == pytest.approx((confidence - right).sum() / pixels.sum())
        assert row["ECE"] == pytest.approx(np.abs(confidence - right).sum() / pixels.sum())
    assert table["ECE"].is_monotonic_decreasing
    assert any(chart.proto.id.endswith("-calibration-gaps") for chart in at.get("plotly_chart"))


def test_each_place_has_its_calibration(open_page: Open, trained: object) -> None:
    at = open_page("gallery", trust="true", **{"trust-of": "By place"})
    table = next(frame.value for frame in at.dataframe if "ECE" in frame.value)
    assert set(table["Place"]) == set(trained.run.metrics.calibration_by_place)
    assert table["Pixels"].sum() == trained.run.metrics.pixels


def test_scores_near_boundaries_and_patch_by_patch_are_shown(open_page: Open, trained: object) -> None:
    metrics: Metrics = trained.run.metrics
    at = open_page("gallery", matrix="true")
    assert f"Mean Boundary IoU **{metrics.mean_boundary_iou:.3f}**" in captions(at)
    by_class = next(frame.value for frame in at.dataframe if "Boundary IoU" in frame.value).set_index("Class")
    stored = [np.nan if value is None else value for value in metrics.boundary_iou.values()]
    assert by_class["Boundary IoU"].tolist() == pytest.approx(stored, nan_ok=True)
    fine = next(frame.value for frame in at.dataframe if "Worst 5 %" in frame.value)
    assert fine.iloc[:, 1:].to_numpy().tolist() == [
        [metrics.mean_iou_by_image, metrics.worst_10_by_image, metrics.worst_5_by_image],
        [metrics.mean_iou_by_class, metrics.worst_10_by_class, metrics.worst_5_by_class],
    ]


NEW = ("brier", "boundary_iou", "mean_boundary_iou", "temperature", "tempered", "calibration_by_class")


def test_a_run_of_an_earlier_version_is_shown_as_it_is(open_on: Open, trained: object, tmp_path: Path) -> None:
    folder = shutil.copytree(trained.run.folder, tmp_path / "runs" / "earlier")
    content = json.loads((folder / "metrics.json").read_text())
    gone = [name for name in content if name in NEW or "_by_" in name]
    assert len(gone) == 13
    for name in gone:
        del content[name]
    (folder / "metrics.json").write_text(json.dumps(content))
    at = open_on(trained.dataset, tmp_path / "runs", "gallery", run="earlier", trust="true", matrix="true")
    assert not at.exception
    assert at.toggle(key="tempered").disabled
    assert f"**{content['calibration_error']:.3f}**" in captions(at)
    assert "No temperature yet: `python -m segmentation evaluate --run earlier --save` fits it" in captions(at)
    assert not [frame for frame in at.dataframe if "Boundary IoU" in frame.value or "Worst 5 %" in frame.value]


def test_a_run_without_a_validation_part_says_what_to_do(open_on: Open, trained: object, tmp_path: Path) -> None:
    folder = shutil.copytree(trained.run.folder, tmp_path / "runs" / "flattered")
    config, metrics = (json.loads((folder / name).read_text()) for name in ("config.json", "metrics.json"))
    del config["dataset"]["validated_on"], metrics["temperature"], metrics["tempered"]
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "metrics.json").write_text(json.dumps(metrics))
    at = open_on(trained.dataset, tmp_path / "runs", "gallery", run="flattered", trust="true")
    assert "this run was trained without one. Train anew under any protocol but `article`" in captions(at)


def test_a_run_of_folds_says_that_each_has_a_temperature(open_on: Open, trained: object, tmp_path: Path) -> None:
    folder = shutil.copytree(trained.run.folder, tmp_path / "runs" / "whole")
    shutil.copytree(trained.run.folder, folder / "folds" / "whole-01")
    metrics = json.loads((folder / "metrics.json").read_text()) | {"protocol": "k-fold"}
    del metrics["temperature"], metrics["tempered"]
    (folder / "metrics.json").write_text(json.dumps(metrics))
    at = open_on(trained.dataset, tmp_path / "runs", "gallery", run="whole", trust="true")
    assert "each fold has its own, fitted on its own validation part" in captions(at)
