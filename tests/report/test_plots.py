"""The charts' lines, bars and ticks lie where the numbers say."""

import numpy as np
import pandas as pd
import pytest

from segmentation.report.plots import Scale, confusion_cells, curve_plot, largest_confusions, reliability_plot
from segmentation.runs.logs.history import History
from segmentation.runs.records import Calibration


def points(text: str) -> np.ndarray:
    return np.array([point.split(",") for point in text.split()], float)


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [
        (0, 1, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (0, 20, ["0", "5", "10", "15", "20"]),
        (0.71, 0.7362, ["0.710", "0.715", "0.720", "0.725", "0.730", "0.735"]),
        (3, 3, ["3"]),
    ],
)
def test_ticks_are_round_and_lie_where_they_say(low: float, high: float, texts: list[str]) -> None:
    scale = Scale(low, high, 100, 200)
    ticks = scale.ticks()
    assert [tick.text for tick in ticks] == texts
    assert [tick.at for tick in ticks] == [scale(float(text)) for text in texts]


def test_a_curve_goes_through_its_epochs_and_the_best_is_marked() -> None:
    table = pd.DataFrame({"epoch": [0, 1, 2], "loss": [3.0, 2, 1], "val_loss": [3.0, 1.5, np.nan]})
    plot = curve_plot({"run": History(table)}, "loss")
    training, validation = plot.lines
    assert (training.dashed, training.best, validation.best_text) == (True, None, "1.5")
    drawn = points(training.points)
    assert np.ptp(np.diff(drawn, axis=0), axis=0) == pytest.approx([0, 0], abs=0.2)  # a straight line
    assert drawn[0, 1] < drawn[2, 1]  # downwards
    assert validation.best == tuple(points(validation.points)[1])
    assert curve_plot({"run": History(table)}, "accuracy") is None


def test_calibration_is_drawn_bin_by_bin() -> None:
    plot = reliability_plot(Calibration(pixels=[0, 4], confidence=[0.0, 3.0], right=[0, 2]))
    left, top, right, bottom = plot.box
    (across, up), *more = points(plot.lines[1].points)
    assert not more
    assert across == pytest.approx(left + 0.75 * (right - left), abs=0.1)
    assert up == pytest.approx(bottom + 0.5 * (top - bottom), abs=0.1)
    assert [bar.height for bar in plot.bars] == [0, bottom - top]


def test_confusions_are_shares_of_the_true_class() -> None:
    matrix = np.array([[6, 2, 0], [1, 1, 0], [0, 0, 0]])
    cells = confusion_cells(matrix)
    assert [cell.text for cell in cells[0]] == ["75", "25", "0"]
    assert cells[2] == [None, None, None]
    found = [(one.true, one.predicted, one.pixels, one.share) for one in largest_confusions(matrix, "abc", 5)]
    assert found == [("a", "b", 2, 0.25), ("b", "a", 1, 0.5)]
