"""The gallery says how far its scores can be trusted, and whether a second run is really better."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from segmentation.data.locate import PROJECT
from segmentation.data.palette import DUBAI
from segmentation.data.scenes import Dataset
from segmentation.intervals import find_gains, find_intervals
from segmentation.runs.run import SHIPPED, Run
from tests.test_intervals import held_out


@pytest.fixture
def gallery(real_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AppTest]:
    """A function that opens the gallery on the real set."""
    monkeypatch.setenv("SEGMENTATION_DATA", str(real_dataset.root))
    monkeypatch.setenv("SEGMENTATION_RUNS", str(tmp_path))

    def open_(**query: str) -> AppTest:
        at = AppTest.from_file(str(PROJECT / "app.py"), default_timeout=120)
        at.switch_page(str(PROJECT / "pages" / "4_Worst-case_gallery.py"))
        for key, value in query.items():
            at.query_params[key] = value
        at.run()
        assert not at.exception
        return at

    return open_


def test_each_score_has_its_interval_below_it(gallery: Callable[..., AppTest]) -> None:
    at = gallery(run="dubai-scene")
    by_name = find_intervals(*held_out("dubai-scene"), DUBAI).by_name
    shown = {metric.label: metric.delta for metric in at.metric}
    for label, name in (("Accuracy", "accuracy"), ("Mean IoU", "mean_iou")):
        assert shown[label] == "{:.3f} – {:.3f}".format(*by_name[name])
    assert not shown["Jaccard"]
    assert any(
        "from 8 scenes drawn anew: so few that they are uncertain themselves" in text.value for text in at.caption
    )


def test_each_class_has_a_row_of_scores(gallery: Callable[..., AppTest]) -> None:
    at = gallery(run="dubai-best", matrix="true")
    matrix = np.array(Run(SHIPPED / "dubai-best").metrics.confusion_matrix)
    table = next(frame.value for frame in at.dataframe if "Precision" in frame.value).set_index("Class")
    for row, name in enumerate(DUBAI.names):
        hit, true, predicted = matrix[row, row], matrix[row].sum(), matrix[:, row].sum()
        expected = [hit / (true + predicted - hit), hit / predicted, hit / true, 2 * hit / (true + predicted)]
        np.testing.assert_allclose(table.loc[name, ["IoU", "Precision", "Recall", "F1"]].astype(float), expected)
        assert table.loc[name, ["True pixels", "Predicted pixels"]].tolist() == [true, predicted]
    by_chance = (matrix.sum(0) / matrix.sum() * (matrix.sum(1) / matrix.sum())).sum()
    kappa = (np.trace(matrix) / matrix.sum() - by_chance) / (1 - by_chance)
    assert any(f"Cohen's kappa **{kappa:.3f}**" in caption.value for caption in at.caption)


def test_a_second_run_is_called_better_where_that_is_shown_and_not_elsewhere(gallery: Callable[..., AppTest]) -> None:
    by_name, by_class = find_gains(held_out("dubai-lite0"), held_out("dubai-best"), DUBAI)
    at = gallery(run="dubai-lite0", view="Two runs", **{"with": "dubai-best", "gains": "true"})
    said = " ".join(text.value for text in at.markdown)
    gain = by_name["accuracy"]
    assert (
        f"better by {gain.gain:.3f} of accuracy ({gain.interval.low:+.3f} to {gain.interval.high:+.3f}): **real**"
        in said
    )
    table = next(frame.value for frame in at.dataframe if "Verdict" in frame.value)
    assert table["Class"].tolist() == list(DUBAI.names)
    assert table["Gain of IoU"].tolist() == [gain.gain for gain in by_class.values()]
    assert table["Verdict"].tolist() == ["real" if gain.real else "not shown" for gain in by_class.values()]
    assert set(table["Verdict"]) == {"real", "not shown"}

    at = gallery(run="dubai-lite0", view="Two runs", **{"with": "dubai-best", "class": "Water"})
    said = next(text.value for text in at.markdown if "not shown" in text.value)
    assert f"A gain of {by_class['Water'].gain:+.3f} of IoU of Water" in said
    assert re.search(r"67 scenes are too few to tell 0\.\d{3} apart; about [\d,]+ would", said)


def test_tiles_that_are_chosen_are_those_compared(gallery: Callable[..., AppTest]) -> None:
    pairs = []
    for name in ("dubai-lite0", "dubai-best"):
        run = Run(SHIPPED / name)
        chosen = ((run.patches["part"] == "test") & (run.patches["tile"] == "Tile 2")).to_numpy()
        pairs.append((run.patches[chosen], run.confusion_matrices[chosen]))
    gain = find_gains(*pairs, DUBAI)[0]["mean_iou"]
    at = gallery(run="dubai-lite0", view="Two runs", tile="Tile 2", **{"with": "dubai-best"})
    said = " ".join(text.value for text in at.markdown)
    assert f"({gain.interval.low:+.3f} to {gain.interval.high:+.3f})" in said
