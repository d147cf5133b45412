"""Up to four runs on one picture: which pictures there are, and the scores of each."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

import segmentation
from segmentation.data.scenes import Dataset
from tests.recoloring import classes_of

Open = Callable[..., AppTest]

SCENE = "tile-2/image_part_001"

NAMES = ("right", "some", "more", "most", "fifth")
"""Runs by how much of the scene they predict wrongly."""


@pytest.fixture(scope="module")
def predicted(small_dataset: Dataset) -> dict[str, np.ndarray]:
    """What each run predicts of the scene: its mask, but for some first rows."""
    truth = classes_of(small_dataset.scene(SCENE).mask) % 6
    found = {name: truth.copy() for name in NAMES}
    for number, classes in enumerate(found.values()):
        classes[: 8 * number] = 5 - classes[: 8 * number]
    return found


@pytest.fixture(scope="module")
def runs(small_dataset: Dataset, predicted: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs that hold these predictions."""
    folder = tmp_path_factory.mktemp("several")
    for name, classes in predicted.items():
        recording = segmentation.Run.create(name, small_dataset, runs=folder, patch_size=32)
        recording.record(SCENE, classes)
        recording.finish()
    return folder


@pytest.fixture
def open_explorer(open_on: Open, small_dataset: Dataset, runs: Path) -> Open:
    """A function that opens the scene in the explorer, with query parameters."""
    return partial(open_on, small_dataset, runs, "explorer", run="right", scene=SCENE)


def accuracy(truth: np.ndarray, classes: np.ndarray) -> float:
    counted = truth < 6
    return float((truth == classes)[counted].mean())


def test_each_of_four_runs_has_its_scores_in_one_table(
    open_explorer: Open, small_dataset: Dataset, predicted: dict[str, np.ndarray]
) -> None:
    at = open_explorer(**{"with": ["some", "more", "most"]})
    assert (list(at.exception), list(at.error)) == ([], [])
    table = at.dataframe[0].value
    truth = classes_of(small_dataset.scene(SCENE).mask)
    assert table["Run"].tolist() == ["right", "some", "more", "most"]
    assert table["Accuracy"].tolist() == pytest.approx(
        [accuracy(truth, predicted[name]) for name in table["Run"]], abs=1e-9
    )
    assert table["Mean IoU"].is_monotonic_decreasing
    assert table["Confidence"].isna().all()
    by_class = at.dataframe[1].value
    assert [name for name in by_class if name.startswith("IoU")] == [f"IoU of {name}" for name in table["Run"]]
    assert (
        by_class["pixels predicted of most"].tolist() == np.bincount(predicted["most"][truth < 6], minlength=6).tolist()
    )


def test_a_link_to_more_than_four_runs_shows_four(open_explorer: Open) -> None:
    at = open_explorer(**{"with": list(NAMES[1:])})
    assert not at.exception
    assert at.dataframe[0].value["Run"].tolist() == list(NAMES[:4])


def test_a_run_that_is_not_here_is_left_out(open_explorer: Open) -> None:
    at = open_explorer(**{"with": ["gone", "some"]})
    assert not at.exception
    assert at.multiselect(key="with").value == ["some"]
    assert [metric.label for metric in at.metric].count("Accuracy") == 2


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([], ["Image", "Ground truth", "Prediction", "Errors"]),
        (["some"], ["Image", "Ground truth", "Prediction", "Second run", "Where they differ", "Errors"]),
        (["some", "more"], ["Image", "Prediction", "Second run", "Third run", "Ground truth", "Where they differ"]),
    ],
)
def test_any_two_pictures_are_wiped_over_each_other(open_explorer: Open, others: list, expected: list[str]) -> None:
    at = open_explorer(**{"with": others, "wipe": "true"})
    assert not at.exception
    assert at.selectbox(key="left").options[: len(expected)] == expected


@pytest.mark.parametrize("picture", ["Second run", "Where they differ"])
def test_a_link_that_wipes_what_a_second_run_gives_opens(open_explorer: Open, picture: str) -> None:
    at = open_explorer(**{"with": "some", "wipe": "true", "left": picture})
    assert not at.exception
    assert at.selectbox(key="left").value == picture
