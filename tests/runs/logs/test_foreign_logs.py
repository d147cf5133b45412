"""Logs as other trainers write them, and as append, resume and restart leave them."""

import math
import os
from pathlib import Path

import numpy as np
import pytest

from segmentation.errors import RunError
from segmentation.runs.logs import reading as bounds
from segmentation.runs.logs.columns import LEARNING_RATE, direction, is_learning_rate, is_metric, key, metrics_of
from segmentation.runs.logs.history import History, read_history

LIGHTNING = b"""epoch,step,train_loss,val_dice,val_loss
0,4,0.8,,
0,9,,0.25,0.75
1,14,0.6,,
1,19,,0.50,0.55
2,24,0.4,,
2,29,,0.45,0.60
"""

YOLO = b"""epoch,time,train/box_loss,metrics/mAP50(M),val/box_loss,lr/pg0,lr/pg1
1,10.5,2.0,0.2,2.1,0.01,0.02
2,20.5,1.5,0.4,1.6,0.009,0.018
3,30.5,1.1,0.6,1.3,0.008,0.016
1,10.4,1.9,0.3,2.0,0.01,0.02
2,20.6,1.4,0.5,1.5,0.009,0.018
"""

FASTAI = b"""epoch,train_loss,valid_loss,error_rate,time
0,0.5,0.4,0.10,00:09
1,0.3,0.2,0.05,00:08
epoch,train_loss,valid_loss,error_rate,time
0,0.6,0.5,0.20,00:09
"""


def column(history: History, name: str) -> list[float | None]:
    return [None if math.isnan(value) else value for value in history.table[name]]


def best(history: History) -> tuple[str, int]:
    """The column that chooses the best epoch, and that epoch as the log counts it."""
    name, position = history.best
    return name, int(history.table[history.axis].iloc[position])


def sizes(history: History) -> list[int]:
    return [len(one.table) for one in history.trainings]


def test_lines_of_one_epoch_are_merged() -> None:
    history = read_history(LIGHTNING)
    assert history.table["epoch"].tolist() == [0, 1, 2]
    assert column(history, "train_loss") == [0.8, 0.6, 0.4]
    assert column(history, "val_dice") == [0.25, 0.5, 0.45]
    assert column(history, "val_loss") == [0.75, 0.55, 0.6]
    assert history.notes == ()
    assert best(history) == ("val_dice", 1)


def test_lines_of_one_epoch_are_merged_when_validation_comes_first_and_epoch_is_no_first_column() -> None:
    history = read_history(b"val_dice,epoch,step,train_loss_epoch\n0.2,0,9,\n,0,9,0.9\n0.4,1,19,\n,1,19,0.7\n")
    assert (column(history, "val_dice"), column(history, "train_loss_epoch")) == ([0.2, 0.4], [0.9, 0.7])
    assert (history.notes, history.axis) == ((), "epoch")


def test_of_the_steps_of_an_epoch_the_last_known_value_counts() -> None:
    history = read_history(
        b"epoch,step,train_loss_step,train_loss_epoch,val_loss\n"
        b"0,1,1.5,,\n0,2,1.25,,\n0,3,,,1.0\n0,3,,1.4,\n1,4,1.0,,\n1,5,0.75,,\n1,6,,,0.5\n1,6,,0.9,\n"
    )
    assert column(history, "train_loss_step") == [1.25, 0.75]
    assert column(history, "train_loss_epoch") == [1.4, 0.9]
    assert (history.notes, history.pair("loss")) == ((), ("train_loss_epoch", "val_loss"))


def test_learning_rates_on_lines_without_an_epoch_belong_to_the_epoch_that_follows() -> None:
    history = read_history(b"epoch,lr-Adam,step,val_loss\n,0.1,0,\n0,,9,1.0\n,0.01,10,\n1,,19,0.5\n")
    assert (column(history, "lr-Adam"), column(history, "val_loss")) == ([0.1, 0.01], [1.0, 0.5])


def test_lightnings_own_logger_is_read_epoch_by_epoch() -> None:
    """As its CSVLogger writes two epochs with a monitor of the learning rate, at every fifth step."""
    content = b"epoch,lr-SGD,step,train_loss_epoch,train_loss_step,val_acc\n"
    for epoch in range(2):
        content += b",0.%d,%d,,,\n" % (2 - epoch, 10 * epoch)
        content += b"".join(b"%d,,%d,,0.%d,\n" % (epoch, 10 * epoch + step, 9 - step) for step in (4, 9))
        content += b"%d,,%d,,,0.%d\n%d,,%d,0.8,,\n" % (epoch, 10 * epoch + 9, 5 + epoch, epoch, 10 * epoch + 9)
    history = read_history(content)
    assert history.notes == ()
    assert column(history, "val_acc") == [0.5, 0.6]
    assert column(history, "lr-SGD") == [0.2, 0.1]
    assert best(history) == ("val_acc", 1)


def test_a_log_of_two_trainings_holds_both_and_shows_the_last() -> None:
    history = read_history(YOLO)
    assert sizes(history) == [3, 2]
    assert history.table["epoch"].tolist() == [1, 2]
    first = history.of_training(1)
    assert column(first, "train/box_loss") == [2.0, 1.5, 1.1]
    assert first.pair("box_loss") == ("train/box_loss", "val/box_loss")
    assert best(first) == ("metrics/mAP50(M)", 3)
    assert [curve.column for curve in first.curves(LEARNING_RATE)] == ["lr/pg0", "lr/pg1"]
    assert first.metrics == ["box_loss", "metrics/mAP50(M)"]
    assert "2 trainings, of 3 and 2 epochs" in history.notes[0]
    assert not any("resume" in note for note in history.notes)


def test_a_training_appended_under_a_new_header_is_one_of_its_own() -> None:
    history = read_history(FASTAI)
    assert sizes(history) == [2, 1]
    assert history.of_training(1).pair("loss") == ("train_loss", "valid_loss")
    assert best(history.of_training(1)) == ("valid_loss", 1)
    assert "time" not in history.of_training(1).metrics
    assert not any("numbers" in note for note in history.notes)  # 00:09 is none, and no fault


def test_a_resume_is_told_from_a_restart() -> None:
    resumed = read_history(b"epoch,loss\n0,1.0\n1,0.8\n2,0.7\n1,0.75\n2,0.6\n3,0.5\n")
    assert sizes(resumed) == [1 + 3]
    assert column(resumed, "loss") == [1.0, 0.75, 0.6, 0.5]
    assert resumed.notes == ("2 epochs occur more than once, as after a resume: the later line counts.",)
    restarted = read_history(b"epoch,loss\n0,1.0\n1,0.8\n2,0.7\n0,1.1\n1,0.9\n")
    assert sizes(restarted) == [3, 2]


def test_fit_called_in_a_loop_is_one_training_of_all_lines() -> None:
    history = read_history(b"epoch,loss,val_accuracy\n0,1.0,0.4\n0,0.8,0.7\n0,0.6,0.6\n")
    assert sizes(history) == [3]
    assert history.table["epoch"].tolist() == [1, 2, 3]
    assert best(history) == ("val_accuracy", 2)
    assert history.notes == ("Every epoch is 0, as when fit is called in a loop: the 3 lines are counted from 1.",)


@pytest.mark.slow
def test_what_keras_appends_in_a_loop_is_read_so(tmp_path: Path) -> None:
    import keras

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    shown = []
    for _ in range(3):
        logger = keras.callbacks.CSVLogger(str(tmp_path / "log.csv"), append=True)
        shown += model.fit(np.ones((4, 1)), np.ones((4, 1)), callbacks=[logger], verbose=0).history["loss"]
    assert column(read_history(tmp_path / "log.csv"), "loss") == pytest.approx(shown)


def test_a_table_that_is_written_anew_is_told_from_a_restart() -> None:
    tables = [b"step,train.loss\n1,0.9\n", b"step,train.loss\n1,0.9\n2,0.8\n", b"step,train.loss,eval.loss\n1,0.9,\n"]
    history = read_history(b"".join([*tables, b"2,0.8,\n3,0.7,0.75\n"]))
    assert (history.axis, history.table["step"].tolist()) == ("step", [1, 2, 3])
    assert column(history, "train.loss") == [0.9, 0.8, 0.7]
    assert column(history, "eval.loss") == [None, None, 0.75]
    assert sizes(history) == [1 * 3]
    assert "2 steps written again with the same values: each counts once." in history.notes


def test_a_file_that_is_appended_to_itself_is_one_training() -> None:
    content = b"epoch,loss\n0,1.0\n1,0.5\n"
    assert read_history(content * 3).table.equals(read_history(content).table)


def test_the_newest_epoch_may_come_first() -> None:
    assert column(read_history(b"epoch,loss\n3,0.1\n2,0.2\n1,0.3\n"), "loss") == [0.3, 0.2, 0.1]


def test_the_latest_of_very_many_trainings_are_kept() -> None:
    history = read_history(b"epoch,loss\n" + b"".join(b"0,%d\n1,0.5\n" % number for number in range(150)))
    assert len(history.trainings) == 100
    assert column(history, "loss") == [149, 0.5]
    assert "150 trainings" in history.notes[0]


@pytest.mark.parametrize(
    ("training", "validation", "name"),
    [
        ("loss", "val_loss", "loss"),
        ("train_loss", "val_loss", "loss"),
        ("train_loss", "valid_loss", "loss"),
        ("training_loss", "validation_loss", "loss"),
        ("train/seg_loss", "val/seg_loss", "seg_loss"),
        ("Train Loss", "Val Loss", "Loss"),
        ("trainLoss", "valLoss", "Loss"),
        ("loss_train", "loss_val", "loss"),
        ("Loss/train", "Loss/test", "Loss"),
        ("losses/train.total", "losses/eval.total", "losses/total"),
        ("train_loss_epoch", "val_loss", "loss"),
        ("loss", "eval_loss", "loss"),
    ],
)
def test_columns_of_training_and_validation_pair(training: str, validation: str, name: str) -> None:
    history = read_history(f"epoch,{training},{validation}\n0,1.0,2.0\n".encode())
    assert history.metrics == [name]
    assert history.pair(name) == (training, validation)


def test_a_column_of_validation_without_a_twin_is_a_metric() -> None:
    history = read_history(b"epoch,train_loss,val_loss,val_iou\n1,0.9,0.9,0.3\n2,0.7,0.8,0.5\n3,0.6,0.7,0.4\n")
    assert history.metrics == ["loss", "iou"]
    assert best(history) == ("val_iou", 2)


@pytest.mark.parametrize("name", ["accuracy", "val_acc", "mean_iou", "mIoU", "jaccard_index", "dice_coef", "mAP50(B)"])
@pytest.mark.parametrize("part", ["", "val_"])
def test_more_is_better_of_scores(name: str, part: str) -> None:
    assert direction(part + name) == 1


@pytest.mark.parametrize("name", ["loss", "dice_loss", "val_iou_loss", "error_rate", "mae", "RMSE", "cross_entropy"])
def test_less_is_better_of_losses_and_errors(name: str) -> None:
    assert direction(name) == -1


@pytest.mark.parametrize("name", ["time", "epoch_time", "step", "global_step", "Epoch", "lr", "lr-Adam", "_runtime"])
def test_times_counts_and_learning_rates_are_no_metrics(name: str) -> None:
    assert not is_metric(name)
    history = read_history(f"epoch,{name},train_loss\n0,1,0.5\n1,2,0.25\n2,3,0.75\n".encode())
    assert history.metrics == ["loss"]
    assert best(history) == ("train_loss", 1)


@pytest.mark.parametrize("name", ["previous", "grad_norm", "std_dev", "latest_value"])
def test_what_is_no_known_score_has_no_best_epoch(name: str) -> None:
    assert direction(name) == 0
    assert read_history(f"epoch,{name}\n0,1\n1,2\n".encode()).best is None


@pytest.mark.parametrize("name", ["lr", "learning_rate", "lr-Adam", "lr-SGD/pg1", "lr/pg0", "Learning Rate"])
def test_learning_rates_are_known_by_their_names(name: str) -> None:
    assert is_learning_rate(name)
    history = read_history(f"epoch,{name},loss\n0,0.1,1\n".encode())
    assert [curve.column for curve in history.curves(LEARNING_RATE)] == [name]


def test_a_columns_name_is_the_same_metric_however_it_is_written() -> None:
    assert key("Mean IoU") == key("mean_iou") == key("mean/iou")
    assert [metric.name for metric in metrics_of(["loss", "Val Loss"])] == ["loss"]


@pytest.mark.parametrize("base", [0, 1, 7])
def test_epochs_are_the_files_own_numbers(base: int) -> None:
    history = read_history(f"epoch,loss\n{base},1.0\n{base + 1},0.5\n".encode())
    assert history.table["epoch"].tolist() == [base, base + 1]
    assert best(history) == ("loss", base + 1)


def test_validation_every_second_epoch_leaves_the_others_blank() -> None:
    history = read_history(b"epoch,loss,val_loss\n0,1.0,NA\n1,0.9,0.95\n2,0.8,NA\n3,0.7,0.75\n")
    assert column(history, "val_loss") == [None, 0.95, None, 0.75]
    assert (history.notes, history.warnings) == ((), ())


@pytest.mark.parametrize("word", ["nan", "NaN", "inf", "-inf", "1e999"])
def test_a_loss_that_becomes_nan_is_said_with_the_epoch(word: str) -> None:
    history = read_history(f"epoch,loss,val_loss\n1,1.0,1.1\n2,0.9,1.0\n3,{word},{word}\n4,{word},{word}\n".encode())
    assert history.warnings == (
        "loss and val_loss became NaN or infinite in epoch 3 and stayed so: the training has diverged.",
    )
    assert best(history) == ("val_loss", 2)


def test_a_loss_that_is_nan_from_the_first_epoch_is_said() -> None:
    assert "became NaN or infinite in epoch 0" in read_history(b"epoch,loss,acc\n0,nan,0.1\n1,nan,0.1\n").warnings[0]


def test_a_loss_that_is_nan_for_one_epoch_has_not_diverged() -> None:
    history = read_history(b"epoch,loss\n0,1.0\n1,nan\n2,0.5\n")
    assert history.warnings == ("loss was NaN or infinite in 1 of 3 epochs, first in epoch 1.",)


def test_a_blank_is_no_nan() -> None:
    assert read_history(b"epoch,loss,val_loss\n0,1.0,0.9\n1,0.5,NA\n2,0.5,\n").warnings == ()


@pytest.mark.parametrize("separator", [";", "\t"])
def test_decimal_commas_are_read(separator: str) -> None:
    history = read_history(f"epoch{separator}loss\n0{separator}1,25\n1{separator}7,5e-1\n".encode())
    assert column(history, "loss") == [1.25, 0.75]
    assert history.notes == ("The commas in its numbers are decimal commas.",)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b'{"when": "now", "loss": 1.0}\n{"when": "then", "loss": 0.5}\n', "JSON lines"),
        (b'{"loss": [1, 2], "accuracy": [3, 4]}', "JSON,"),
        (b'[{"epoch": 0, "loss": 1.0}]', "JSON,"),
        (b"<!DOCTYPE html><html><body>404, not found</body></html>", "a web page"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "not plain text"),
        (b"Epoch 1/10\n100/100 - loss: 0.5 - accuracy: 0.8\n", "first line should name columns"),
        (b"epoch loss accuracy\n0 1.0 0.5\n", "first line should name columns"),
    ],
)
def test_what_is_no_table_is_refused_for_what_it_is(content: bytes, what: str) -> None:
    with pytest.raises(RunError, match=f"^This is not a training log: .*{what}"):
        read_history(content)


def table_of(lines: int, columns: int) -> bytes:
    row = b"," + b",".join([b"1"] * columns) + b"\n"
    header = b"epoch," + b",".join(b"m%d" % number for number in range(columns)) + b"\n"
    return header + b"".join(b"%d" % number + row for number in range(lines))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (table_of(1, 16_000), "has over 1,000 columns"),
        (b"".join(b"epoch,loss,c%d\n%d,1,2\n" % (number, number) for number in range(5_000)), "changes its columns"),
        (table_of(70_000, 2) + b"epoch,m0,m1\n", "70,002 lines, and at most 60,000"),
        (table_of(7_000, 100) + b'7000,"1"\n', "at most 600,000"),
        (b"".join(b"epoch,c%d\n" % number + b"0,1\n" * 700 for number in range(80)), "56,000 lines and 81 columns"),
        (b"epoch,a\n" + b'0,"1"\n' + b"0,1\n" * 5_000_000, "5,000,002 lines, and at most 2,000,000"),
        (b"epoch,a\n" + b'0,"1"\n' + b"0,0.1234567\n" * 1_800_000, "larger than 16 MB"),
        (b"epoch,a\n" + b"0,1\n" * 2_000_001, "2,000,002 lines, and at most 2,000,000"),
        (table_of(90_000, 100), "at most 8,000,000"),
        (b"epoch,a\n" + b"0,1\n" * 26_000_000, "larger than 96 MB"),
        (b"epoch,a" + b"," * 10_000_000, "has over 1,000 columns"),
    ],
    ids=[
        "columns",
        "headers",
        "mended lines",
        "mended values",
        "blanks of other headers",
        "very many mended lines",
        "mended bytes",
        "lines",
        "values",
        "bytes",
        "commas",
    ],
)
def test_a_log_that_would_take_long_is_refused_in_one_sentence(content: bytes, sentence: str) -> None:
    with pytest.raises(RunError, match=sentence):
        read_history(content)


def test_as_many_columns_as_may_be_are_read() -> None:
    columns = bounds.MOST_COLUMNS - 1
    assert read_history(table_of(3, columns)).table.shape == (3, columns + 1)


def test_the_same_header_may_occur_often() -> None:
    history = read_history(b"".join(b"epoch,loss\n%d,1\n" % number for number in range(5_000)))
    assert len(history.table) == 5_000


def test_a_pipe_in_place_of_a_log_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log.csv")
    with pytest.raises(RunError, match="cannot be read"):
        read_history(tmp_path / "log.csv")
