"""The gallery says what a split leaks, the dataset browser of what a copy is trained on."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from segmentation.data.health import examine
from segmentation.data.palette import DUBAI
from segmentation.data.protocols import TEST, TRAIN, assign_parts
from segmentation.data.scenes import Dataset, find_dataset
from segmentation.data.split_health import examine_split
from segmentation.evaluation.leak import compare_parts, find_leak
from segmentation.runs.run import SHIPPED, Run
from segmentation.ui.gallery.leak import name_bins, verdict
from tests.data.test_split_health import augment
from tests.evaluation.test_leak import TWO, leaking

Open = Callable[..., AppTest]

Writer = Callable[[Path], Path]


def markdown(at: AppTest) -> str:
    return " ".join(text.value for text in at.markdown)


def test_the_leak_of_a_shipped_run(open_on: Open, real_dataset: Dataset, tmp_path: Path) -> None:
    at = open_on(real_dataset, tmp_path, "gallery", run="dubai-best", view="Leak")
    assert not at.exception
    best, tile = Run(SHIPPED / "dubai-best"), Run(SHIPPED / "dubai-tile")
    leak = find_leak(best.patches, best.confusion_matrices, DUBAI, 160)
    near, far = leak.held_out["accuracy"].iloc[[0, -1]]
    assert "**Every held-out patch touches a trained-on one**" in markdown(at)
    assert f"with 8 of them: accuracy **{near:.3f}**; with 0–4: **{far:.3f}**" in markdown(at)
    assert "**not shown**" in markdown(at)
    table = next(frame.value for frame in at.dataframe if "Protocol" in frame.value).set_index("Run")
    assert set(table.index) == {"dubai-scene", "dubai-tile"}
    gain = compare_parts(
        (best.patches, best.confusion_matrices), (tile.patches, tile.confusion_matrices), best.palette
    )["accuracy"]
    assert table.loc["dubai-tile", "Accuracy less dubai-best's"] == (
        f"{gain.gain:+.3f} ({gain.interval.low:+.3f} to {gain.interval.high:+.3f}): shown"
    )


def test_whole_scenes_held_out_leak_nothing_within_scenes(open_on: Open, real_dataset: Dataset, tmp_path: Path) -> None:
    at = open_on(real_dataset, tmp_path, "gallery", run="dubai-scene", view="Leak")
    assert not at.exception
    assert "**No scene is in both parts**: accuracy **0.891**" in markdown(at)


def test_a_leak_by_distance_is_told_in_pixels_and_metres() -> None:
    leak = find_leak(*leaking(0.05), TWO, 160)
    labels = name_bins(leak, 0.5)
    assert labels[:3] == ["0 px: touching", "up to 160 px (80 m)", "160 to 320 px (160 m)"]
    assert labels[3:] == ["320 to 640 px (320 m)", "640 to 1,280 px (640 m)"]
    assert name_bins(leak, None)[-1] == "640 to 1,280 px"
    said = verdict(leak, labels, "accuracy", "accuracy")
    assert "Patches nearest to trained-on ones (0 px: touching): accuracy **0." in said
    assert said.endswith("**shown**. So much of the score is owed to what lies near.")


@pytest.fixture(scope="module")
def copied(write_dataset: Writer, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return find_dataset(augment(write_dataset(tmp_path_factory.mktemp("copies") / "set")))


def test_the_split_shows_pairs_of_copies(open_on: Open, copied: Dataset, tmp_path: Path) -> None:
    at = open_on(copied, tmp_path, "browser", view="Split", size="32", **{"split-shown": "Tile 3"})
    assert not at.exception
    health = examine(copied, 32)
    parts, scenes = assign_parts(health.patches, "tile", "Tile 3"), health.patches["scene"]
    found = examine_split(health, parts == TEST, parts == TRAIN)
    assert isinstance(found.copies, pd.DataFrame)
    originals = scenes[parts == TEST].str.replace("tile-3", "tile-1")  # of which one scene is for validation
    copied_patches = originals.isin(scenes[parts == TRAIN]).sum()
    assert 0 < copied_patches < len(originals)
    assert f"**{copied_patches:,} held-out patches have a copy" in at.warning[0].value
    captions = [caption.value for caption in at.caption]
    for pair in found.copies.itertuples():
        assert f"Held out: {pair.held_out}" in [caption.replace("\\", "") for caption in captions]
        assert f"Trained on: {pair.trained_on}" in [caption.replace("\\", "") for caption in captions]


def test_a_split_without_copies_says_what_was_compared(open_on: Open, copied: Dataset, tmp_path: Path) -> None:
    at = open_on(copied, tmp_path, "browser", view="Split", size="32", **{"split-shown": "Tile 2"})
    assert not at.exception
    assert "No copy of a held-out picture is trained on. 16 held-out patches" in at.success[0].value
    assert "No scene says where it lies" in at.info[0].value
