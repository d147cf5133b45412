"""Thresholds on the pages: what the curves say, what is stored, and what it does to a prediction."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from segmentation.data.palette import VOID
from segmentation.data.scenes import read_scene
from segmentation.inference.options import SEAMLESS
from segmentation.inference.predictor import Predictor
from segmentation.runs.run import CONFIG, METRICS, THRESHOLDS, Run
from segmentation.thresholds import ThresholdCurve

Open = Callable[..., AppTest]


@pytest.fixture
def run(trained: object, tmp_path: Path) -> Run:
    """A copy of the run, to store thresholds with."""
    return Run(shutil.copytree(trained.run.folder, tmp_path / "runs" / "tiny"))


@pytest.fixture
def open_page(open_on: Open, trained: object, run: Run) -> Open:
    """A function that opens a page on the small data set and the copy."""

    def open_(page: str, **query: str) -> AppTest:
        at = open_on(trained.dataset, run.folder.parent, page, **query)
        assert (list(at.exception), list(at.error)) == ([], [])
        return at

    return open_


def texts(at: AppTest) -> str:
    return "\n".join(element.value for element in [*at.caption, *at.markdown, *at.info]).replace("\\", "")


def test_a_threshold_is_picked_stored_and_removed(open_page: Open, run: Run) -> None:
    name = run.palette.names[1]
    at = open_page("gallery", view="Thresholds", **{"threshold-of": name, "threshold": "0.2"})
    chosen, held_out = (
        ThresholdCurve.of(run.metrics.probabilities[part].of_class(name)) for part in ("validation", "test")
    )
    place, before = chosen.place(0.2), run.metrics.iou[name]
    assert f"At 0.20 **{name}** has IoU **{chosen.iou[place]:.3f}** instead of" in texts(at)
    on_held_out = f"IoU **{held_out.iou[place]:.3f}** instead of {before:.3f}"
    assert re.search(f"on the validation part; {re.escape(on_held_out)} .* on the held-out part", texts(at))
    at.button(key="use-threshold").click().run()
    assert f"Stored with tiny: {name} from 0.2" in texts(at)
    assert at.button(key="use-threshold").disabled
    assert json.loads((run.folder / THRESHOLDS).read_text()) == {"thresholds": {name: 0.2}}

    at = open_page("gallery", view="Thresholds", **{"threshold-of": name})
    assert at.slider(key="threshold").value == 0.2
    at.button(key="remove-threshold").click().run()
    assert "Stored with" not in texts(at)
    assert not (run.folder / THRESHOLDS).exists()


def test_a_class_begins_at_its_best_threshold_and_a_button_leads_to_it(open_page: Open, run: Run) -> None:
    at = open_page("gallery", view="Thresholds")
    second = run.palette.names[2]
    best = ThresholdCurve.of(run.metrics.probabilities["validation"].of_class(second)).best
    at.selectbox(key="threshold-of").select(second).run()
    assert at.slider(key="threshold").value == best
    at.slider(key="threshold").set_value(0.9).run()
    at.button(key="go-best").click().run()
    assert at.slider(key="threshold").value == best


def test_a_run_of_earlier_versions_is_counted_on_request(open_page: Open, run: Run) -> None:
    metrics = json.loads((run.folder / METRICS).read_text())
    kept = Run(run.folder).metrics.probabilities["test"]
    del metrics["probabilities"]
    (run.folder / METRICS).write_text(json.dumps(metrics))
    config = json.loads((run.folder / CONFIG).read_text())
    del config["dataset"]["validated_on"]  # nor had those a validation part
    (run.folder / CONFIG).write_text(json.dumps(config))
    at = open_page("gallery", view="Thresholds", **{"threshold": "0.3"})
    assert "was evaluated before pixels were counted by probability" in texts(at)
    assert "python -m segmentation evaluate --run tiny --save" in texts(at)
    at.button(key="count-probabilities").click().run()
    name = run.palette.names[0]
    curve = ThresholdCurve.of(kept.of_class(name))
    assert f"At 0.30 **{name}** has IoU **{curve.iou[curve.place(0.3)]:.3f}**" in texts(at)
    assert "its score is flattered" in texts(at)
    assert json.loads((run.folder / METRICS).read_text()) == metrics  # nothing is written


def test_the_explorer_applies_what_is_stored_and_says_so(open_page: Open, trained: object, run: Run) -> None:
    name = run.palette.names[1]
    (run.folder / THRESHOLDS).write_text(json.dumps({"thresholds": {name: 0.21}}))
    scene = trained.dataset.scenes[0]
    image, mask = read_scene(scene, trained.dataset.palette)
    prediction = Predictor(run.model).scene(image, SEAMLESS)
    probability = prediction.probabilities.astype(np.float32)
    others = np.delete(probability, 1, axis=-1).argmax(-1)
    below = np.where(prediction.classes == 1, others + (others >= 1), prediction.classes)
    expected = np.where(probability[..., 1] >= np.float32(0.21), 1, below)

    at = open_page("explorer", scene=scene.name)
    changed = int((expected != prediction.classes).sum())
    assert changed
    assert f"Thresholds in force: **{name} from 0.21**: {changed:,} pixels" in texts(at)
    shown = {metric.label: metric.value for metric in at.metric}
    labelled = mask != VOID
    assert shown["Accuracy"] == f"{(expected == mask)[labelled].mean():.3f}"

    at.toggle(key="stored-thresholds").set_value(False).run()
    assert "Thresholds in force" not in texts(at)
    shown = {metric.label: metric.value for metric in at.metric}
    assert shown["Accuracy"] == f"{(prediction.classes == mask)[labelled].mean():.3f}"
    at.selectbox(key="threshold-of").select(run.palette.names[0]).run()
    at.slider(key="threshold").set_value(1.0).run()
    assert f"Thresholds in force: **{run.palette.names[0]} from 1**" in texts(at)
