"""The sentences at the head of the gallery, and the way from each to its patches."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from segmentation.data.demo import make_demo
from segmentation.data.scenes import Dataset, find_dataset
from segmentation.evaluation.headlines import Subject, find_headlines
from segmentation.runs.run import SHIPPED, Run

Open = Callable[..., AppTest]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return find_dataset(make_demo(tmp_path_factory.mktemp("demo") / "Demo city"))


def test_each_sentence_says_its_figures_and_leads_to_its_patches(open_on: Open, demo: Dataset, tmp_path: Path) -> None:
    run = Run(SHIPPED / "demo-unet")
    found = find_headlines(run.patches, run.confusion_matrices, run.palette)
    assert [headline.subject for headline in found] == [Subject.CONFUSION, Subject.CONFIDENCE]
    at = open_on(demo, tmp_path / "runs", "gallery", run="demo-unet", tile="Tile 1")
    sentences = [text.value for text in at.markdown if "of the wrong pixels (" in text.value]
    for headline, sentence in zip(found, sentences, strict=True):
        low, high = (round(100 * end) for end in headline.interval)
        assert sentence.startswith(f"**{round(100 * headline.value)} %** of the wrong pixels ({low}–{high} %)")
    true, predicted = found[0].names
    assert f"are {true} predicted as {predicted}." in sentences[0]
    at = at.button(key="headline-0").click().run()
    assert not at.exception
    assert at.segmented_control(key="view").value == "Confusions"
    assert (at.selectbox(key="true").value, at.selectbox(key="taken").value) == (true, predicted)
    assert at.multiselect(key="tile").value == []
    held_out = (run.patches["part"] == "test").to_numpy()
    names = run.palette.names
    pixels = run.confusion_matrices[held_out][:, names.index(true), names.index(predicted)].sum()
    assert f"{pixels:,}" in [metric.value for metric in at.metric]


def test_a_place_and_a_part_lead_to_their_worst_patches(open_on: Open, demo: Dataset, tmp_path: Path) -> None:
    """With patches.csv changed so that Land held out in Tile 2 is taken for Water."""
    folder = tmp_path / "runs" / "spoilt"
    shutil.copytree(SHIPPED / "demo-unet", folder)
    table = pd.read_csv(folder / "patches.csv")
    here = (table["part"] == "test") & (table["tile"] == "Tile 2")
    lost = (table["Land as Land"] * 0.9).astype(int)[here]
    table.loc[here, "Land as Water"] += lost
    table.loc[here, "Land as Land"] -= lost
    table.to_csv(folder / "patches.csv", index=False)
    run = Run(folder)
    found = [of.subject for of in find_headlines(run.patches, run.confusion_matrices, run.palette)]
    at = open_on(demo, tmp_path / "runs", "gallery", run="spoilt", view="Ranking")
    at = at.button(key=f"headline-{found.index(Subject.PLACE)}").click().run()
    assert not at.exception
    assert (at.multiselect(key="tile").value, at.segmented_control(key="part").value) == (["Tile 2"], "Held out")
    at = at.button(key=f"headline-{found.index(Subject.PARTS)}").click().run()
    assert not at.exception
    assert (at.multiselect(key="tile").value, at.segmented_control(key="part").value) == ([], "Trained on")
    assert at.selectbox(key="by").value == "Wrong pixels"
