"""Figures say what the numbers say."""

import html
import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from segmentation.data.palette import DUBAI, Palette
from segmentation.runs.logs.columns import direction
from segmentation.runs.logs.history import History, best_position, read_history
from segmentation.runs.records import Calibration, Network
from segmentation.ui.charts.classes import class_bars, light_figure, tile_shares
from segmentation.ui.charts.curves import gap_figure, history_figure
from segmentation.ui.charts.evaluation import (
    calibration_gaps_figure,
    confusion_figure,
    reliability_figure,
    scatter_figure,
)
from segmentation.ui.charts.network import network_figure
from segmentation.ui.charts.style import literal


@pytest.fixture
def history() -> History:
    table = pd.DataFrame(
        {
            "epoch": [0, 1, 2],
            "loss": [1.0, 0.6, 0.5],
            "val_loss": [0.9, 0.7, 0.8],
            "accuracy": [0.5, 0.7, 0.8],
            "val_accuracy": [0.6, 0.65, 0.75],
            "learning_rate": [1e-3, 1e-3, 1e-3],
        }
    )
    return History(table)


def traces(figure: object) -> dict[str, object]:
    return {trace.name: trace for trace in figure.data}


def test_the_lowest_loss_and_the_highest_accuracy_are_best(history: History) -> None:
    assert best_position(history.table["val_loss"], direction("val_loss")) == 1
    assert best_position(history.table["val_accuracy"], direction("val_accuracy")) == 2


def test_a_column_without_numbers_has_no_best_epoch() -> None:
    assert best_position(pd.Series([np.nan, np.nan]), direction("val_loss")) is None


@pytest.mark.parametrize("base", [0, 1])
def test_curves_count_epochs_as_the_log_does_and_mark_the_best(history: History, base: int) -> None:
    counted = History(history.table.assign(epoch=history.table["epoch"] + base))
    drawn = traces(history_figure({"a": counted}, "loss"))
    assert list(drawn["training"].x) == [base, base + 1, base + 2]
    assert list(drawn["validation"].y) == [0.9, 0.7, 0.8]
    star = drawn["best of validation"]
    assert (star.x[0], star.y[0]) == (base + 1, 0.7)


def test_validation_every_second_epoch_is_a_line_with_markers() -> None:
    history = read_history(b"epoch,loss,val_loss\n0,1.0,NA\n1,0.9,0.95\n2,0.8,NA\n3,0.7,0.75\n")
    drawn = traces(history_figure({"a": history}, "loss", smoothing=0.5))
    assert (list(drawn["validation"].x), drawn["validation"].mode) == ([1, 3], "lines+markers")
    assert list(drawn["validation"].customdata) == [0.95, 0.75]
    assert drawn["training"].mode == "lines"
    assert list(gap_figure({"a": history}, "loss").data[0].x) == [1, 3]


def test_a_validation_column_without_a_twin_is_drawn() -> None:
    history = read_history(b"epoch,train_loss,val_loss,val_iou\n1,0.9,0.9,0.3\n2,0.7,0.8,0.5\n")
    drawn = traces(history_figure({"a": history}, "iou"))
    assert (list(drawn["validation"].y), drawn["best of validation"].x[0]) == ([0.3, 0.5], 2)


def test_all_learning_rates_are_drawn_in_one_chart_under_their_names() -> None:
    history = read_history(b"epoch,lr/pg0,lr/pg1,loss\n0,0.1,0.2,1\n1,0.05,0.1,1\n")
    figure = history_figure({"a": history}, "learning_rate")
    assert [trace.name for trace in figure.data] == ["lr/pg0", "lr/pg1"]
    assert figure.layout.title.text == "Learning rate"


def test_what_is_no_known_score_has_no_star() -> None:
    history = read_history(b"epoch,grad_norm\n0,1\n1,2\n")
    assert len(history_figure({"a": history}, "grad_norm").data) == 1


def test_a_chart_of_steps_says_so() -> None:
    history = read_history(b"step,train.loss,eval.loss\n1,0.9,1.0\n2,0.8,0.9\n")
    assert history_figure({"a": history}, "loss").layout.xaxis.title.text == "Step"
    assert "step" in history_figure({"a": history}, "loss").data[0].hovertemplate


@pytest.mark.parametrize("epochs", [1, 2, 10])
def test_the_axis_has_a_tick_an_epoch_and_none_between_two(epochs: int) -> None:
    history = read_history(b"epoch,loss,val_loss\n" + b"".join(b"%d,1,1\n" % epoch for epoch in range(1, epochs + 1)))
    for figure in (history_figure({"a": history}, "loss"), gap_figure({"a": history}, "loss")):
        axis = figure.layout.xaxis
        assert (axis.tick0, axis.dtick, list(axis.range)) == (1, 1, [0.5, epochs + 0.5])


def test_a_log_of_thousands_of_steps_is_drawn_with_fewer_points() -> None:
    history = read_history(b"step,loss\n" + b"".join(b"%d,%d\n" % (step, step % 7) for step in range(20_000)))
    assert all(len(trace.x) <= 2_000 for trace in history_figure({"a": history}, "loss", smoothing=0.5).data)


def test_best_values_of_several_runs_do_not_print_over_each_other(history: History) -> None:
    runs = {name: History(history.table * (1 + number / 1000)) for number, name in enumerate("abcdef")}
    runs = {name: History(run.table.astype({"epoch": int})) for name, run in runs.items()}
    stars = [trace for trace in history_figure(runs, "accuracy").data if trace.name == f"best of {trace.name[8:]}"]
    placed = [star.textposition for star in stars if star.mode == "markers+text"]
    assert len(stars) == 12
    assert 1 <= len(placed) == len(set(placed)) < 6  # the stars are next to each other: each side is taken once
    apart = {"a": history, "b": History(history.table.assign(val_accuracy=[0.1, 0.3, 0.2]))}
    shown = [trace for trace in history_figure(apart, "accuracy").data if trace.mode == "markers+text"]
    assert [star.text[0] for star in shown] == ["0.75", "0.3"]


def test_where_gaps_of_several_runs_widen_is_said_in_a_row_for_each() -> None:
    epochs = np.arange(10)
    table = pd.DataFrame({"epoch": epochs, "loss": 1 - 0.1 * epochs, "val_loss": 1 - 0.1 * np.minimum(epochs, 5)})
    notes = gap_figure({"a": History(table), "b": History(table)}, "loss").layout.annotations
    assert [note.text for note in notes] == ["widens from epoch 5"] * 2
    assert abs((notes[0].yshift or 0) - (notes[1].yshift or 0)) >= 16


def test_runs_have_their_own_colours_and_names(history: History) -> None:
    drawn = traces(history_figure({"a": history, "b": history}, "accuracy"))
    assert {"a, training", "a, validation", "b, training", "b, validation"} <= set(drawn)
    assert drawn["a, validation"].line.color != drawn["b, validation"].line.color
    assert drawn["a, validation"].line.color == drawn["a, training"].line.color


def test_a_metric_without_validation_is_drawn_alone(history: History) -> None:
    assert len(history_figure({"a": history}, "learning_rate").data) == 1


def test_the_best_of_training_is_marked_too(history: History) -> None:
    star = traces(history_figure({"a": history}, "accuracy"))["best of training"]
    assert (star.x[0], star.y[0], star.marker.symbol) == (2, 0.8, "star-open")


def test_smoothing_keeps_the_curve_in_sight_and_its_best_epoch(history: History) -> None:
    figure = history_figure({"a": history}, "loss", smoothing=0.5)
    thin = [trace for trace in figure.data if trace.opacity == 0.35]
    assert [list(trace.y) for trace in thin] == [[1.0, 0.6, 0.5], [0.9, 0.7, 0.8]]
    drawn = traces(figure)
    assert drawn["validation"].y[1] == pytest.approx((0.5 * 0.9 + 0.7) / 1.5)  # the past counts half
    assert list(drawn["validation"].customdata) == [0.9, 0.7, 0.8]
    assert (drawn["best of validation"].x[0], drawn["best of validation"].y[0]) == (1, 0.7)


def test_losses_can_be_drawn_logarithmically(history: History) -> None:
    assert history_figure({"a": history}, "loss", logarithmic=True).layout.yaxis.type == "log"


def test_the_gap_is_how_much_better_training_is(history: History) -> None:
    assert list(gap_figure({"a": history}, "loss").data[0].y) == pytest.approx([-0.1, 0.1, 0.3])
    assert list(gap_figure({"a": history}, "accuracy").data[0].y) == pytest.approx([-0.1, 0.05, 0.05])


def test_the_epoch_from_which_a_gap_widens_is_marked() -> None:
    epochs = np.arange(10)
    table = pd.DataFrame({"epoch": epochs, "loss": 1 - 0.1 * epochs, "val_loss": 1 - 0.1 * np.minimum(epochs, 5)})
    figure = gap_figure({"a": History(table)}, "loss")
    assert [shape.x0 for shape in figure.layout.shapes if shape.x0 == shape.x1] != []
    assert "widens from epoch" in figure.layout.annotations[0].text


def test_class_bars_show_nan_as_a_dash() -> None:
    bar = class_bars([0.5, np.nan, 0, 0, 0, 1], DUBAI, "IoU", share=False).data[0]
    assert list(bar.text) == ["0.500", "–", "0.000", "0.000", "0.000", "1.000"]
    assert list(bar.marker.color) == [DUBAI.hex(i) for i in range(6)]


def test_confusion_rows_are_per_cent_of_the_true_class() -> None:
    matrix = np.zeros((6, 6), int)
    matrix[0, :2] = 30, 10
    heatmap = confusion_figure(matrix, DUBAI).data[0]
    assert list(heatmap.z[0][:2]) == [75.0, 25.0]
    assert np.isnan(heatmap.z[1]).all()


def test_every_cell_of_the_confusion_matrix_can_be_pointed_at_and_clicked() -> None:
    matrix = np.arange(36).reshape(6, 6)
    figure = confusion_figure(matrix, DUBAI)
    points = figure.data[1]
    assert points.hoverinfo != "skip"  # Plotly does not select what it skips
    cells = {(true, said): count[1] for true, said, count in zip(points.y, points.x, points.customdata, strict=True)}
    names = DUBAI.names
    assert cells == {(names[i], names[j]): matrix[i, j] for i in range(6) for j in range(6)}
    shown = {(text.y, text.x): text.text for text in figure.layout.annotations}
    assert shown["Land", "Road"] == f"{100 * matrix[1, 2] / matrix[1].sum():.0f}"


def network(*blocks: dict, skips: Sequence[list[int]] = ()) -> Network:
    found = Network.from_dict({"name": "net", "parameters": 9, "blocks": list(blocks), "skips": list(skips)})
    assert found is not None
    return found


def test_blocks_of_the_network_are_width_by_height() -> None:
    blocks = [{"shape": [64, 96, 8], "layers": {}}, {"shape": [32, 32, 16], "layers": {}}]
    texts = network_figure(network(*blocks)).data[-1].text
    assert list(texts) == ["96 × 64 × 8", "32² × 16"]


def test_the_reliability_diagram_sets_accuracy_against_confidence() -> None:
    calibration = Calibration(pixels=[0, 10, 30], confidence=[0.0, 5.0, 27.0], right=[0, 6, 24])
    figure = traces(reliability_figure(calibration))
    assert list(figure["accuracy"].x) == pytest.approx([0.5, 0.9])
    assert list(figure["accuracy"].y) == pytest.approx([0.6, 0.8])
    assert list(figure["share of the pixels"].y) == pytest.approx([0, 0.25, 0.75])


def test_the_gaps_of_calibration_run_from_confidence_to_accuracy() -> None:
    table = pd.DataFrame(
        {"Place": ["<b>", "B"], "Pixels": [9, 5], "Confidence": [0.9, 0.5], "Accuracy": [0.7, 0.6], "ECE": [0.2, 0.1]}
    )
    gaps, confidence, accuracy = calibration_gaps_figure(table, "Place").data
    assert list(confidence.y) == list(accuracy.y) == ["&lt;b&gt;", "B"]
    assert (list(confidence.x), list(accuracy.x)) == ([0.9, 0.5], [0.7, 0.6])
    assert (list(gaps.x), list(gaps.y)[:2]) == ([0.9, 0.7, None, 0.5, 0.6, None], ["&lt;b&gt;", "&lt;b&gt;"])
    assert confidence.marker.symbol != accuracy.marker.symbol  # told apart without colour, too


def test_each_class_shows_its_brightness_and_contrast() -> None:
    light = pd.DataFrame({"class": DUBAI.names, "pixels": 10, "brightness": 0.5, "contrast": np.arange(6) / 10})
    points = light_figure(light, DUBAI).data[0]
    assert list(points.x) == [0.5] * 6
    assert list(points.error_x.array) == pytest.approx(np.arange(6) / 10)
    assert list(points.marker.color) == [DUBAI.hex(index) for index in range(6)]


def test_tile_shares_are_of_labelled_pixels() -> None:
    scenes = pd.DataFrame([{"tile": "A", **dict.fromkeys(DUBAI.names, 0), "Land": 30, "Road": 10, "No class": 60}])
    bars = traces(tile_shares(scenes, DUBAI))
    assert list(bars["Land"].x) == [75.0]
    assert list(bars["Road"].x) == [25.0]


def test_the_network_drawing_shows_every_block_and_skip() -> None:
    blocks = [{"shape": [32, 32, 4], "layers": {"Conv2D": 2}}, {"shape": [16, 16, 8], "layers": {"Conv2D": 2}}]
    figure = network_figure(network(*blocks, {"shape": [32, 32, 4], "layers": {}}, skips=[[0, 2]]))
    assert list(figure.data[-1].text) == ["32² × 4", "16² × 8", "32² × 4"]
    dotted = [trace for trace in figure.data if trace.line.dash == "dot"]
    assert [list(trace.x) for trace in dotted] == [[0, 2]]


def test_the_network_drawing_leaves_room_for_its_texts_on_any_screen() -> None:
    blocks = [{"shape": shape, "layers": {"Conv2D": 2}} for shape in ([1024, 768, 16], [512, 384, 512], [1024, 768, 6])]
    layout = network_figure(network(*blocks)).layout
    widest = len("1024 × 768 × 16")
    assert min(layout.margin.l, layout.margin.r) >= 6 * widest


HOSTILE = ("<b>bold</b>", '<a href="javascript:alert(1)">x</a>', "%{x} &lt;i&gt; &", "<br>two<sup>3</sup>")


def drawn_texts(figure: object) -> list[str]:
    """Every text in a figure that Plotly draws, templates without their own fields and tags."""
    texts = []

    def collect(part: object) -> None:
        if isinstance(part, dict):
            for value in part.values():
                collect(value)
        elif isinstance(part, list | tuple | np.ndarray | pd.Series):
            for value in part:
                collect(value)
        elif isinstance(part, str):
            texts.append(re.sub(r"<br>|<extra></extra>|%{(x|y|z|text|customdata)(\[\d])?(:[^}]*)?}", "", part))

    collect(figure.to_dict()["data"])
    layout = figure.to_dict()["layout"]
    layout.pop("template", None)
    layout.pop("uirevision", None)  # is not drawn
    collect(layout)
    return texts


@pytest.mark.parametrize("text", [*HOSTILE, "plain", "a&amp;b", "100 %"])
def test_a_literal_text_is_turned_back_as_it_was(text: str) -> None:
    assert html.unescape(literal(text)) == text


def hostile_figures(history: History) -> list:
    palette = Palette(HOSTILE, tuple((i, i, i) for i in range(len(HOSTILE))))
    tiles = pd.DataFrame({"tile": HOSTILE, **dict.fromkeys(HOSTILE, 1)})
    light = pd.DataFrame({"class": HOSTILE, "brightness": 0.5, "contrast": 0.1, "pixels": 9})
    patches = pd.Series(HOSTILE)
    metric = HOSTILE[0].replace("b", "i")
    odd = History(history.table.rename(columns={"loss": metric, "val_loss": f"val_{metric}"}))
    block = {"shape": [8, 8, 4], "layers": {HOSTILE[0]: 2, HOSTILE[1]: 1}}
    scores_ = pd.Series([0.1, 0.2, 0.3, 0.4])
    return [
        history_figure({HOSTILE[0]: odd, HOSTILE[1]: odd}, metric),
        gap_figure({HOSTILE[0]: odd, HOSTILE[1]: odd}, metric),
        class_bars([0.1, 0.2, 0.3, 0.4], palette, f"IoU of {HOSTILE[1]}", share=False),
        tile_shares(tiles, palette),
        light_figure(light, palette),
        confusion_figure(np.ones((4, 4)), palette),
        scatter_figure(scores_, scores_, patches, HOSTILE[0], HOSTILE[1]),
        network_figure(network(block, block)),
    ]


def test_names_are_drawn_as_they_are_whatever_they_mean_to_plotly(history: History) -> None:
    for figure in hostile_figures(history):
        texts = drawn_texts(figure)
        assert any("&lt;" in text for text in texts)
        for text in texts:
            assert not re.search(r"<|%{", text), text
