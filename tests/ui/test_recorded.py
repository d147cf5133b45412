"""Runs of predictions alone on the pages: what they have is shown, what only a model or probabilities give is not."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

import segmentation
from segmentation.data.scenes import Dataset
from segmentation.runs.run import Run
from segmentation.ui.shell.run import default_run
from tests.recoloring import COLORS, classes_of

Open = Callable[..., AppTest]

SCENE = "tile-2/image_part_001"


@pytest.fixture(scope="module")
def predicted(small_dataset: Dataset) -> dict[str, np.ndarray]:
    """What is predicted of each scene but the last: the mask, one patch of it turned."""
    found = {}
    for scene in small_dataset.scenes[:3]:
        found[scene.name] = classes_of(scene.mask) % 6
        found[scene.name][:32, :32] = 5 - found[scene.name][:32, :32]
        found[scene.name][64:, :4] = 255  # below the patches
    return found


@pytest.fixture(scope="module")
def runs(small_dataset: Dataset, predicted: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two runs: one of classes, one of probabilities."""
    folder = tmp_path_factory.mktemp("recorded")
    for name in ("theirs", "sure"):
        recording = segmentation.Run.create(name, small_dataset, runs=folder, patch_size=32)
        for scene, classes in predicted.items():
            probabilities = (np.eye(6)[classes % 6] * 0.94 + 0.01).astype(np.float32)
            recording.record(scene, classes if name == "theirs" else probabilities)
        recording.finish()
    return folder


@pytest.fixture
def open_page(open_on: Open, small_dataset: Dataset, runs: Path) -> Open:
    """A function that opens a page on the small data set and those runs, with query parameters."""
    return partial(open_on, small_dataset, runs, run="theirs")


def texts(at: AppTest) -> str:
    return "\n".join(element.value for element in [*at.caption, *at.markdown, *at.info]).replace("\\", "")


@pytest.mark.parametrize(
    ("page", "query"),
    [
        *(("gallery", {"view": view}) for view in ("Ranking", "Confusions", "Causes", "Suspect labels", "Two runs")),
        ("gallery", {"view": "Two runs", "with": "sure"}),
        ("gallery", {"rank": "Scenes"}),
        ("explorer", {"scene": SCENE}),
        ("explorer", {"scene": SCENE, "with": "sure"}),
        ("explorer", {"scene": SCENE, "show": "Confidence", "wipe": "true"}),
        ("explorer", {"source": "Random patches", "n": "24"}),
        ("monitor", {}),
        ("home", {}),
    ],
)
def test_a_view_opens_on_a_run_of_predictions(open_page: Open, page: str, query: dict[str, str]) -> None:
    at = open_page(page, **query)
    assert (list(at.exception), list(at.error), list(at.warning)) == ([], [], [])
    assert "onfidence" not in texts(at)
    assert "is missing" not in texts(at)


def test_the_gallery_shows_the_recorded_prediction_worst_first(
    open_page: Open, small_dataset: Dataset, predicted: dict[str, np.ndarray]
) -> None:
    at = open_page("gallery")
    labels = [metric.label for metric in at.metric]
    assert "Jaccard" not in labels and "Mean IoU" in labels
    assert "Confidently wrong" not in at.selectbox(key="by").options
    assert "protocol all · 20 patches" in texts(at)
    assert at.dataframe[0].value["finding"].tolist() == [
        *(
            f"{name}: {100 * (classes == 255).mean():.2f} % of the prediction's pixels have no class and are left out "
            "of the scores"
            for name, classes in predicted.items()
        ),
        "Left out tile-2/image_part_002: there is no prediction of it",
    ]
    shown = [button.key.removeprefix("context-") for button in at.button if (button.key or "").startswith("context-")]
    assert {name.rsplit("/", 1)[1] for name in shown[:3]} == {"r00c00"}  # where it was turned


def test_probabilities_show_how_sure_they_were(open_page: Open) -> None:
    at = open_page("gallery", run="sure")
    assert "Jaccard" in [metric.label for metric in at.metric]
    assert "Confidently wrong" in at.selectbox(key="by").options
    assert "Confidence 0.95" in texts(at)
    assert "with a confidence of 0.9 or more" in texts(open_page("gallery", run="sure", view="Suspect labels"))


def test_without_probabilities_suspect_labels_are_where_most_pixels_are_wrong(open_page: Open) -> None:
    at = open_page("gallery", view="Suspect labels")
    assert "Patches with the most wrong pixels, since nothing says how sure they were predicted" in texts(at)
    assert at.text_input(key=f"note-{SCENE}/r00c00")


@pytest.mark.parametrize("patch", ["r00c00", "Whole scene"])
def test_the_explorer_scores_the_recorded_prediction(
    open_page: Open, small_dataset: Dataset, predicted: dict[str, np.ndarray], patch: str
) -> None:
    at = open_page("explorer", scene=SCENE, **({"patch": patch} if patch != "Whole scene" else {}))
    here = np.s_[:32, :32] if patch != "Whole scene" else np.s_[:, :]
    truth, seen = classes_of(small_dataset.scene(SCENE).mask)[here], predicted[SCENE][here]
    shown = {metric.label: metric.value for metric in at.metric}
    counted = (truth < 6) & (seen < 6)
    assert shown["Accuracy"] == f"{(seen == truth)[counted].mean():.3f}"
    assert "Confidence" not in shown
    keys = {element.key for element in [*at.slider, *at.toggle]}
    assert not {"least", "tta"} & keys
    pictures = [option.content for option in at.get("button_group")[-1].proto.options]
    assert pictures[-2:] == ["Errors", "Kinds of error"]  # none of how sure it is
    assert "theirs was scored on it, and as far as is known not trained" in texts(at)


def test_a_scene_without_prediction_is_one_sentence(open_page: Open) -> None:
    at = open_page("explorer", scene="tile-2/image_part_002")
    (error,) = at.error
    assert error.value.startswith("theirs has no prediction of tile-2/image\\_part\\_002")
    assert not at.exception


@pytest.mark.parametrize("source", ["Upload", "Orthophoto"])
def test_an_upload_needs_a_model(open_page: Open, source: str) -> None:
    at = open_page("explorer", source=source)
    assert "theirs is a run of predictions and has no model: choose a run that has one." in texts(at)
    assert (list(at.exception), list(at.error)) == ([], [])


def test_predictions_are_the_default_on_their_own_data_only(
    small_dataset: Dataset, trained: object, runs: Path, write_dataset: Callable, tmp_path: Path
) -> None:
    theirs = Run(runs / "theirs")
    assert default_run(small_dataset, [theirs]).name == "theirs"
    other = segmentation.find_dataset(write_dataset(tmp_path / "other"))
    scene = other.scenes[0]
    Image.fromarray(np.array(COLORS, np.uint8)[np.zeros_like(classes_of(scene.mask))]).save(scene.mask)
    changed = segmentation.find_dataset(other.root)
    assert default_run(changed, [theirs, trained.run]).name == "tiny"


def test_a_model_is_compared_with_predictions(
    open_on: Open, small_dataset: Dataset, trained: object, runs: Path, tmp_path: Path
) -> None:
    for run in (trained.run.folder, runs / "theirs"):
        (tmp_path / run.name).symlink_to(run)
    at = open_on(small_dataset, tmp_path, "explorer", run="tiny", scene=SCENE, **{"with": "theirs"})
    assert (list(at.exception), list(at.error)) == ([], [])
    assert at.slider(key="least")
    table = at.dataframe[0].value
    assert {"IoU of tiny", "IoU of theirs"} <= set(table)
    upload = open_on(small_dataset, tmp_path, "explorer", run="tiny", source="Upload", **{"with": "theirs"})
    assert not upload.exception
