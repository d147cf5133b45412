"""The gallery's slices: found, saved, scored for other runs, removed; and nothing is claimed of too few scenes."""

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from segmentation.data.demo import make_demo
from segmentation.data.scenes import Dataset, find_dataset
from segmentation.evaluation.slice_features import holds, patch_features
from segmentation.evaluation.slices import find_slices
from segmentation.intervals import find_gains
from segmentation.runs.run import SHIPPED, Run
from segmentation.runs.saved_slices import SavedSlice, read_slices, save_slice

Open = Callable[..., AppTest]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return find_dataset(make_demo(tmp_path_factory.mktemp("demo") / "Demo city"))


def markdown(at: AppTest) -> str:
    return " ".join(text.value for text in at.markdown)


def test_a_slice_is_found_saved_scored_and_removed(open_on: Open, demo: Dataset, tmp_path: Path) -> None:
    run = Run(SHIPPED / "demo-unet")
    trained = (run.patches["part"] == "train").to_numpy()
    names, features = run.palette.names, patch_features(run.patches, run.confusion_matrices, run.palette.names)
    search = find_slices(run.patches[trained], run.confusion_matrices[trained], features[trained], names)
    first = search.found[0]
    at = open_on(demo, tmp_path, "gallery", run="demo-unet", view="Slices", part="Trained on")
    assert not at.exception
    assert f"looked at {search.looked_at:,} slices of 388 patches from 18 scenes" in markdown(at)
    listed = next(frame.value for frame in at.dataframe if "Slice" in frame.value)
    assert len(listed) == len(search.found)
    assert listed.iloc[0][["Score", "Elsewhere", "Patches"]].tolist() == pytest.approx(
        [first.score, first.rest, first.patches]
    )
    at = at.selectbox(key="slice").set_value(listed.iloc[0]["Slice"]).run()
    assert first.sentence.replace("%", "%") in markdown(at).replace("\\", "")
    members = trained & holds(first.conditions, features)
    shown = run.patches[members].dropna(subset=f"iou_{first.class_name}")
    worst = shown.sort_values(f"iou_{first.class_name}", kind="stable").iloc[0]["patch"]
    assert worst in markdown(at)
    at.text_input(key="slice-name").set_value("dense roofs")
    at = at.button(key="save-slice").click().run()
    assert not at.exception
    kept = read_slices(tmp_path)
    assert kept == {"dense roofs": SavedSlice(conditions=list(first.conditions), class_name=first.class_name)}
    at = at.selectbox(key="slice").set_value("Saved: dense roofs").run()
    assert first.sentence in markdown(at).replace("\\", "")
    at = at.button(key="remove-slice").click().run()
    assert not at.exception
    assert read_slices(tmp_path) == {}


def test_two_runs_are_compared_on_saved_slices(open_on: Open, real_dataset: Dataset, tmp_path: Path) -> None:
    best, unet = Run(SHIPPED / "dubai-best"), Run(SHIPPED / "dubai-unet")
    saved = SavedSlice.from_dict({"conditions": [{"feature": "Brightness", "low": 0.5}], "class_name": "Building"})
    save_slice(tmp_path, "bright *roofs*", saved)
    query = {"run": "dubai-unet", "view": "Two runs", "with": "dubai-best"}
    at = open_on(real_dataset, tmp_path, "gallery", **query)
    assert not at.exception
    chosen = ((unet.patches["part"] == "test") & (unet.patches["brightness"] >= 0.5)).to_numpy()
    of_best = (best.patches["part"] == "test").to_numpy()
    _, by_class = find_gains(
        (unet.patches[chosen], unet.confusion_matrices[chosen]),
        (best.patches[of_best], best.confusion_matrices[of_best]),
        unet.palette,
    )
    gain = by_class["Building"]
    verdict = "shown" if gain.real else "not shown"
    said = f"Building IoU {gain.gain:+.3f} ({gain.interval.low:+.3f} to {gain.interval.high:+.3f}): **{verdict}**"
    assert f"Slice *bright \\*roofs\\**: {said}" in markdown(at)


def test_too_few_scenes_claim_nothing(open_on: Open, real_dataset: Dataset, tmp_path: Path) -> None:
    at = open_on(real_dataset, tmp_path, "gallery", run="dubai-scene", view="Slices")
    assert not at.exception
    assert any("387 patches from 8 scenes are too few for slices" in info.value for info in at.info)
