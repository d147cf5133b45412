"""The three parts on the pages, runs of two, and the folds of a whole."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from segmentation.configuration import Configuration
from segmentation.data.scenes import Dataset
from segmentation.runs.run import Run

Open = Callable[..., AppTest]


def texts(at: AppTest) -> str:
    """Everything that a page says in words."""
    return "\n".join(str(element.value) for kind in (at.caption, at.markdown, at.info) for element in kind)


def test_the_gallery_ranks_the_validation_part_apart(open_page: Open, trained: tuple) -> None:
    at = open_page("gallery", part="Validation", **{"least-wrong": "0"})
    assert not at.exception
    assert f"**{(trained.run.patches['part'] == 'validation').sum()}** of 28 patches" in texts(at)
    assert "flattered" not in texts(at)


@pytest.fixture
def two_parts(trained: tuple, tmp_path: Path) -> Path:
    """A folder of one run, which an earlier version trained in two parts."""
    folder = shutil.copytree(trained.run.folder, tmp_path / "runs" / "early")
    config = json.loads((folder / "config.json").read_text())
    del config["dataset"]["validated_on"]
    (folder / "config.json").write_text(json.dumps(config))
    table = (folder / "patches.csv").read_text()
    (folder / "patches.csv").write_text(table.replace(",validation,", ",train,"))
    return folder.parent


def test_a_run_in_two_parts_is_called_flattered(open_on: Open, trained: tuple, two_parts: Path) -> None:
    said = "flattered: its epoch was chosen on the patches that are scored"
    assert said in texts(open_on(trained.dataset, two_parts, "gallery", run="early"))
    at = open_on(trained.dataset, two_parts, "gallery", run="early", part="Validation")
    assert not at.exception
    assert "No patch of early is in this part (Validation): choose another in the sidebar." in texts(at)
    assert said in texts(open_on(trained.dataset, two_parts, run="early"))


@pytest.fixture(scope="module")
def folded(small_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two folds, by tile, of a tiny network; not to be changed."""
    from segmentation.model.registry import ARCHITECTURES, Architecture
    from segmentation.model.unet import unet
    from segmentation.training.folds import train_folds

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ARCHITECTURES, "tiny", Architecture(partial(unet, filters=(4,), bottleneck=4), divisor=2))
        configuration = Configuration(architecture="tiny", patch_size=32, epochs=1, batch_size=8, folds="tile")
        return train_folds(small_dataset, configuration, tmp_path_factory.mktemp("folded") / "whole", verbose=0)


def test_the_gallery_shows_all_folds_as_one_whole(open_on: Open, small_dataset: Dataset, folded: Run) -> None:
    at = open_on(small_dataset, folded.folder.parent, "gallery", rank="Tiles")
    assert not at.exception
    assert "protocol k-fold · 28 held-out patches" in texts(at)
    assert "**2** tiles of 28 patches" in texts(at)
    accuracies = [fold.metrics.accuracy for fold in folded.folds]
    deviation = abs(accuracies[0] - accuracies[1]) / 2**0.5
    assert f"accuracy **{sum(accuracies) / 2:.3f} ± {deviation:.3f}**" in texts(at)


def test_patches_and_scenes_of_the_whole_have_their_pictures(
    open_on: Open, small_dataset: Dataset, folded: Run
) -> None:
    at = open_on(small_dataset, folded.folder.parent, "gallery", **{"least-wrong": "0"})
    assert not at.exception
    assert not at.error
    at = open_on(small_dataset, folded.folder.parent, "explorer", scene="tile-1/image_part_001")
    assert not at.exception
    assert not at.error
    assert "predicted by the training of whole that left it out" in texts(at)


def test_the_monitor_draws_the_folds_of_the_whole(open_on: Open, small_dataset: Dataset, folded: Run) -> None:
    at = open_on(small_dataset, folded.folder.parent, "monitor", run="whole")
    assert not at.exception
    assert not at.error
    said = texts(at)
    assert "**whole** is finished" in said
    assert "**whole-01**: 1 epoch" in said
    assert "**whole-02**: 1 epoch" in said
    assert "**whole-01** is" not in said
