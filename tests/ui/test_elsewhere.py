"""A run scored on data that it was not trained on, in other colours and another order of classes, on the pages."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from segmentation.data.scenes import Dataset, find_dataset
from segmentation.evaluation.evaluate import evaluate_run
from segmentation.inference.predictor import Predictor
from segmentation.runs.run import Run
from segmentation.ui.shell.run import default_run
from tests.recoloring import classes_of, recolor

Open = Callable[..., AppTest]


@pytest.fixture(scope="module")
def elsewhere(trained: object, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The small data set in other colours and another order, with one class of another name."""
    return recolor(trained.dataset, tmp_path_factory.mktemp("data") / "Far town", "Trees_*")


@pytest.fixture(scope="module")
def away(trained: object, elsewhere: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The tiny run scored on it."""
    folder = tmp_path_factory.mktemp("runs") / "away"
    evaluate_run(trained.run, elsewhere, "all", mapping={"Trees_*": "Vegetation"}, save_as=folder)
    return Run(folder)


@pytest.fixture
def open_page(open_on: Open, elsewhere: Dataset, away: Run) -> Open:
    """A function that opens a page on that data set and its run, with query parameters."""
    return partial(open_on, elsewhere, away.folder.parent)


def texts(at: AppTest) -> str:
    return "\n".join(element.value for element in [*at.caption, *at.markdown]).replace("\\", "")


@pytest.mark.parametrize(
    ("page", "query"),
    [
        *(("gallery", {"view": view}) for view in ("Ranking", "Confusions", "Causes", "Suspect labels", "Two runs")),
        ("gallery", {"class": "Vegetation"}),
        ("explorer", {"source": "Random patches"}),
        ("monitor", {}),
    ],
)
def test_a_view_opens_on_a_run_scored_elsewhere(open_page: Open, page: str, query: dict[str, str]) -> None:
    at = open_page(page, **query)
    assert (list(at.exception), list(at.error), list(at.warning)) == ([], [], [])
    assert at.selectbox(key="run").value == "away"  # scored on this data set, it is the default


@pytest.mark.parametrize("page", ["home", "gallery"])
def test_pages_say_whose_model_was_scored_on_which_data_and_how_classes_count(open_page: Open, page: str) -> None:
    told = texts(open_page(page))
    assert "protocol all · 28 patches · " in told
    assert "model of tiny · on Far town · Trees_* counts as Vegetation" in told
    if page == "gallery":
        assert "scored: every scene; nothing of it was trained on, as far as is known" in told


def test_the_explorer_compares_with_the_truth_in_the_runs_classes(open_page: Open, trained: object) -> None:
    at = open_page("explorer", scene="tile-2/image_part_001", patch="r01c02")
    scene, here = trained.dataset.scene("tile-2/image_part_001"), np.s_[32:64, 64:96]
    image, truth = np.asarray(Image.open(scene.image))[here], classes_of(scene.mask)[here]
    (probabilities,) = Predictor(trained.run.model).batches(image[None])
    shown = {metric.label: metric.value for metric in at.metric}
    assert shown["Accuracy"] == f"{(probabilities[0].argmax(-1) == truth)[truth < 6].mean():.3f}"
    assert "away was scored on it, and as far as is known not trained" in texts(at)


def test_a_run_whose_classes_only_look_otherwise_is_asked_about_this_set(open_page: Open) -> None:
    """A class whose name nothing maps is void."""
    at = open_page("explorer", run="dubai-unet", scene="tile-1/image_part_001")
    assert (list(at.exception), list(at.warning)) == ([], [])


def test_the_run_scored_on_a_data_set_is_its_default(trained: object, elsewhere: Dataset, away: Run) -> None:
    assert default_run(elsewhere, [trained.run, away]).name == "away"
    assert default_run(trained.dataset, [away, trained.run]).name == "tiny"


def test_no_training_can_be_started_under_the_protocol_all(open_page: Open) -> None:
    assert open_page("monitor").selectbox(key="train-protocol").options == [
        "patch",
        "scene",
        "tile",
        "given",
        "article",
    ]


@pytest.fixture
def split(write_dataset: Callable[[Path], Path], tmp_path: Path) -> Dataset:
    """The small data set with splits of its own."""
    root = write_dataset(tmp_path / "split")
    (root / "dataset.toml").write_text(
        'splits = {train = "*Tile 2*", val = "*Tile 1*part_001*", test = "*Tile 1*part_002*"}\n'
    )
    dataset = find_dataset(root)
    assert dataset.splits == {"train": 2, "val": 1, "test": 1}
    return dataset


@pytest.mark.parametrize(("part", "count"), [("train", 16), ("val", 6), ("test", 6)])
def test_the_browser_filters_patches_by_the_split_that_the_set_brings(
    open_on: Open, split: Dataset, tmp_path: Path, part: str, count: int
) -> None:
    at = open_on(split, tmp_path, "browser", view="Patches", size="32", split="given", given=part)
    assert not at.exception
    assert f"**{count}** of 28 patches" in texts(at)


def test_the_browser_shows_what_the_split_that_the_set_brings_holds_out(
    open_on: Open, split: Dataset, tmp_path: Path
) -> None:
    at = open_on(split, tmp_path, "browser", view="Split", size="32", **{"split-shown": "given"})
    assert not at.exception
    shown = {metric.label: metric.value for metric in at.metric}
    assert (shown["Held-out patches"], shown["Validation patches"]) == ("6", "6")


def test_a_set_without_splits_offers_none_of_its_own(open_page: Open) -> None:
    assert "given" not in open_page("browser", view="Patches", size="32").selectbox(key="split").options
