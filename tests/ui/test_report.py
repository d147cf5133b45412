"""The gallery makes a run's report, once, and anew when what it shows has changed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from segmentation.data.scenes import Dataset, read_scene
from segmentation.runs.run import Run

Open = Callable[..., AppTest]


@pytest.fixture
def runs(small_dataset: Dataset, tmp_path: Path) -> Path:
    """A folder with two runs of predictions of the small set: what the masks say, moved by some pixels."""
    for name, moved in (("near", 2), ("far", 9)):
        with Run.create(name, small_dataset, runs=tmp_path, patch_size=32) as recording:
            for scene in small_dataset.scenes:
                _, mask = read_scene(scene, small_dataset.palette)
                recording.record(scene, np.where(mask == 255, 0, np.roll(mask, moved, axis=1)))
            recording.finish()
    return tmp_path


def offered(at: AppTest) -> list[str]:
    return [button.proto.label for button in at.get("download_button")]


def test_a_report_is_made_when_asked_for_and_again_in_other_colours(
    open_on: Open, small_dataset: Dataset, runs: Path
) -> None:
    at = open_on(small_dataset, runs, "gallery", run="near")
    assert "Download the report" not in offered(at)
    at.button(key="make-report").click().run()
    assert not at.exception and not at.error
    assert "Download the report" in offered(at)
    at.run()
    assert "Download the report" in offered(at)
    at.toggle(key="safe-colours").set_value(True).run()
    assert "Download the report" not in offered(at)


def test_the_view_of_two_runs_reports_both(open_on: Open, small_dataset: Dataset, runs: Path) -> None:
    at = open_on(small_dataset, runs, "gallery", run="near", view="Two runs", **{"with": "far"})
    said = [caption.value for caption in at.caption]
    assert any(text.startswith("Of near and far, compared: one HTML file") for text in said)
    assert any("report --run near --compare far" in text for text in said)
    at.button(key="make-report").click().run()
    assert not at.exception and not at.error
    assert "Download the report" in offered(at)
    at.segmented_control(key="view").set_value("Ranking").run()
    assert any(caption.value.startswith("Of near: one HTML file") for caption in at.caption)
    assert "Download the report" not in offered(at)
