"""The label audit in the gallery: found on request, judged by keys, and what that makes of scores."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

import segmentation
from segmentation.data.locate import CACHE_VARIABLE
from segmentation.data.scenes import Dataset, find_dataset
from segmentation.runs.region_verdicts import read_verdicts
from segmentation.ui.loaders import label_audit as loader
from tests.conftest import COLORS

Open = Callable[..., AppTest]

SIZE, LAND, ROOF = 64, 1, 0


def mask(roof: bool) -> np.ndarray:
    classes = np.full((SIZE, SIZE), LAND, np.uint8)
    if roof:
        classes[8:40, 8:40] = ROOF
    return classes


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Seven scenes with a roof, which the masks of two lack."""
    root = tmp_path_factory.mktemp("city")
    shade = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    for number in range(7):
        Image.fromarray(shade + np.uint8(number)).save(root / "images" / f"{number}.png")
        Image.fromarray(np.array(COLORS, np.uint8)[mask(number > 1)]).save(root / "masks" / f"{number}.png")
    return find_dataset(root)


@pytest.fixture
def open_page(open_on: Open, city: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """A function that opens the view on a run that sees every roof."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    loader._kept.cache_clear()
    loader._found.clear()
    recording = segmentation.Run.create("theirs", city, runs=tmp_path / "runs", patch_size=32)
    for scene in city.scenes:
        recording.record(scene, mask(roof=True))
    recording.finish()
    return partial(open_on, city, tmp_path / "runs", "gallery", run="theirs", view="Label audit")


def texts(at: AppTest) -> str:
    return "\n".join(element.value for element in [*at.caption, *at.markdown, *at.info]).replace("\\", "")


def test_regions_are_found_judged_and_scored(open_page: Open, city: Dataset, tmp_path: Path) -> None:
    at = open_page()
    assert "7 of 7 have not been yet" in texts(at)
    at.button(key="audit-labels").click().run()
    assert (list(at.exception), list(at.error)) == ([], [])
    assert "Region 1 of 2: labelled **Land**, predicted **Building**" in texts(at)
    assert "none wrong" in texts(at)
    at.button(key="audit-wrong").click().run()
    assert "Region 2 of 2" in texts(at)  # it goes on
    at.button(key="audit-right").click().run()
    verdicts = read_verdicts(tmp_path / "runs", city.fingerprint())
    assert {region.scene: verdict for region, verdict in verdicts.items()} == {
        city.scenes[0].name: "wrong",
        city.scenes[1].name: "right",
    }
    scores = {metric.label: metric.value for metric in at.metric}
    pixels = 7 * SIZE * SIZE
    assert scores["Accuracy, labels as they are"] == f"{1 - 2 * 1024 / pixels:.3f}"
    assert scores["Accuracy, labels put right"] == f"{1 - 1024 / pixels:.3f}"
    at.button(key="audit-right").click().run()  # taken back
    assert len(read_verdicts(tmp_path / "runs", city.fingerprint())) == 1

    loader._found.clear()  # as a server that has just started
    at = open_page(**{"audit-verdict": "Label wrong"})
    assert "Region 1 of 1" in texts(at)
    assert "judged **label wrong**" in texts(at)
    at = open_page(**{"audit-labelled": "Road"})
    assert "No region is left by what is chosen" in texts(at)


def test_corrected_masks_come_back_by_their_folder(open_page: Open, city: Dataset, tmp_path: Path) -> None:
    at = open_page()
    at.button(key="audit-labels").click().run()
    (tmp_path / "new").mkdir()
    Image.fromarray(np.array(COLORS, np.uint8)[mask(roof=True)]).save(tmp_path / "new" / "0.png")
    at.text_input(key="labels-folder").input(str(tmp_path / "new"))
    next(button for button in at.button if button.label == "Compare").click().run()
    assert (list(at.exception), list(at.error)) == ([], [])
    assert "**1,024 pixels** differ, in 1 of 1 masks" in texts(at)
    scores = {metric.label: metric.value for metric in at.metric}
    assert scores["Accuracy, labels put right"] == f"{1 - 1024 / (7 * SIZE * SIZE):.3f}"
    at.text_input(key="labels-folder").input("/etc")
    next(button for button in at.button if button.label == "Compare").click().run()
    assert len(at.error) == 1
