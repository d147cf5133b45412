"""The reader of training logs, against files as they occur."""

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentation.errors import RunError
from segmentation.runs.logs.history import History, gap, read_history

NORMAL = b"epoch,accuracy,loss,val_accuracy,val_loss\n0,0.5,1.25,0.4,1.5\n1,0.6,1.0,0.55,1.125\n"


def columns(content: bytes) -> dict[str, list[float]]:
    """The table read from `content`, a list a column, with None for what is blank."""
    table = read_history(content).table
    return {name: [None if math.isnan(v) else v for v in values] for name, values in table.to_dict("list").items()}


def test_a_log_is_read_as_it_was_written() -> None:
    assert columns(NORMAL) == {
        "epoch": [0, 1],
        "accuracy": [0.5, 0.6],
        "loss": [1.25, 1.0],
        "val_accuracy": [0.4, 0.55],
        "val_loss": [1.5, 1.125],
    }


def test_a_log_without_faults_has_no_notes() -> None:
    assert read_history(NORMAL).notes == ()


def test_epochs_are_whole_numbers_and_metrics_floats() -> None:
    table = read_history(b"epoch,steps\n0,3\n1,4\n").table
    assert (table["epoch"].dtype, table["steps"].dtype) == (np.int64, np.float64)


def test_a_file_is_read_like_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "history.csv").write_bytes(NORMAL)
    pd.testing.assert_frame_equal(read_history(tmp_path / "history.csv").table, read_history(NORMAL).table)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8-sig"])
@pytest.mark.parametrize("separator", [",", "\t"])
def test_what_windows_saves_is_read_in_its_encodings(encoding: str, separator: str) -> None:
    text = NORMAL.decode().replace(",", separator).replace("\n", "\r\n")
    assert columns(text.encode(encoding)) == columns(NORMAL)


@pytest.mark.slow
def test_what_keras_writes_today_is_read(tmp_path: Path) -> None:
    import keras

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    data = np.ones((4, 1)), np.ones((4, 1))
    logger = keras.callbacks.CSVLogger(str(tmp_path / "log.csv"))
    rate = keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 / (epoch + 1))
    shown = model.fit(*data, validation_data=data, epochs=3, callbacks=[rate, logger], verbose=0).history
    history = read_history(tmp_path / "log.csv")
    assert set(history.table.columns) == {"epoch", "loss", "mae", "val_loss", "val_mae", "learning_rate"}
    assert history.table["val_loss"].tolist() == pytest.approx(shown["val_loss"])
    assert (sorted(history.metrics), history.notes) == (["loss", "mae"], ())


def test_metrics_are_named_without_validation_epoch_and_learning_rate() -> None:
    history = read_history(b"epoch,accuracy,learning_rate,loss,lr,val_accuracy\n0,1,1,1,1,1\n")
    assert history.metrics == ["accuracy", "loss"]


def test_a_byte_order_mark_is_no_part_of_the_header() -> None:
    assert columns(b"\xef\xbb\xbf" + NORMAL) == columns(NORMAL)


@pytest.mark.parametrize("end", [b"\r\n", b"\n\n", b"\r\n\r\n"], ids=repr)
def test_lines_may_end_as_on_windows_or_with_blank_ones_between(end: bytes) -> None:
    content = NORMAL.replace(b"\n", end)
    assert (columns(content), read_history(content).notes) == (columns(NORMAL), ())


def test_blank_lines_before_the_header_are_passed_over() -> None:
    assert columns(b"\n\r\n" + NORMAL.replace(b",", b";")) == columns(NORMAL)


@pytest.mark.parametrize("separator", [b";", b"\t", b", "], ids=repr)
def test_other_separators_are_understood(separator: bytes) -> None:
    assert columns(NORMAL.replace(b",", separator)) == columns(NORMAL)


def test_scientific_notation_is_understood() -> None:
    assert columns(b"epoch,learning_rate,loss\n0,1e-03,2.5E+00\n1,9.999999e-4,1E1\n") == {
        "epoch": [0, 1],
        "learning_rate": [0.001, 0.0009999999],
        "loss": [2.5, 10],
    }


def test_na_is_a_blank_and_no_fault() -> None:
    content = b"epoch,loss,val_loss\n0,1.0,NA\n1,0.5,0.75\n"
    assert columns(content)["val_loss"] == [None, 0.75]
    assert read_history(content).notes == ()


def test_infinity_is_a_blank() -> None:
    assert columns(b"epoch,loss\n0,inf\n1,nan\n2,0.5\n")["loss"] == [None, None, 0.5]


def test_a_column_without_any_value_is_left_out() -> None:
    assert "val_loss" not in columns(b"epoch,loss,val_loss\n0,1.0,NA\n1,0.5,NA\n")


def test_quoted_vectors_do_not_shift_the_columns_and_are_noted() -> None:
    content = b'epoch,iou,loss\n0,"[0.5, 0.25]",1.0\n1,"[0.5, 0.5]",0.75\n'
    assert columns(content) == {"epoch": [0, 1], "loss": [1.0, 0.75]}
    assert read_history(content).notes == ("iou: 2 values are not numbers and are left blank.",)


def test_a_repeated_header_is_passed_over_with_a_note() -> None:
    content = b"epoch,loss\n0,1.0\n1,0.5\nepoch,loss\n2,0.25\n"
    assert columns(content) == {"epoch": [0, 1, 2], "loss": [1.0, 0.5, 0.25]}
    assert read_history(content).notes == ("The header occurs 2 times: the log was appended.",)


def test_columns_that_change_are_kept_apart_with_a_note() -> None:
    content = b"epoch,accuracy,loss\n0,0.5,1.0\nepoch,jaccard,loss,val_loss\n1,0.25,0.5,0.75\n"
    assert columns(content) == {
        "epoch": [0, 1],
        "accuracy": [0.5, None],
        "loss": [1.0, 0.5],
        "jaccard": [None, 0.25],
        "val_loss": [None, 0.75],
    }
    assert read_history(content).notes == ("The header occurs 2 times, with other columns: the log was appended.",)


def test_columns_in_another_order_are_not_mixed() -> None:
    content = b"epoch,accuracy,loss\n0,0.5,1.0\nepoch,loss,accuracy\n1,0.9,0.6\n"
    assert columns(content) == {"epoch": [0, 1], "accuracy": [0.5, 0.6], "loss": [1.0, 0.9]}


@pytest.mark.parametrize("half", [b"2,0.7", b"2", b'2,"[0.5, 0', b"2,0.7,0.9,"])
def test_a_half_written_last_line_is_left_out_with_a_note(half: bytes) -> None:
    history = read_history(NORMAL + half)
    pd.testing.assert_frame_equal(history.table, read_history(NORMAL).table)
    assert history.notes == ("The last line is still being written and left out: fewer or more values than columns.",)


def test_lines_of_another_length_are_left_out_and_counted() -> None:
    history = read_history(b"epoch,loss\n0,1.0\n1\n2,0.5,7\n3,0.25\n")
    assert history.table["epoch"].tolist() == [0, 3]
    assert history.notes == ("2 lines left out: fewer or more values than columns.",)


def test_lines_whose_epoch_is_no_whole_number_are_left_out_with_a_note() -> None:
    history = read_history(b"epoch,loss\n0,1.0\n1e30,0.5\n2.5,0.25\n")
    assert history.table["epoch"].tolist() == [0]
    assert history.notes == ("2 lines left out: their epoch is no whole number.",)


def test_of_an_epoch_that_occurs_twice_the_later_line_counts() -> None:
    history = read_history(b"epoch,loss\n0,1.0\n1,0.5\n2,0.4\n1,0.75\n2,0.6\n")
    assert history.table.to_dict("list") == {"epoch": [0, 1, 2], "loss": [1.0, 0.75, 0.6]}
    assert history.notes == ("2 epochs occur more than once, as after a resume: the later line counts.",)


def test_epochs_are_put_in_order() -> None:
    assert columns(b"epoch,loss\n10,3\n9,2\n2,1\n") == {"epoch": [2, 9, 10], "loss": [1, 2, 3]}


def test_without_a_column_epoch_lines_are_counted_with_a_note() -> None:
    history = read_history(b"accuracy,loss\n0.5,1.0\n0.6,0.5\n")
    assert history.table["epoch"].tolist() == [0, 1]
    assert history.notes == ("There is no column epoch: the lines were counted.",)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"  \r\n", b"\xef\xbb\xbf", b"\0\0"], ids=repr)
def test_an_empty_log_is_a_history_of_no_epoch(content: bytes) -> None:
    history = read_history(content)
    assert (len(history.table), list(history.table.columns), history.metrics) == (0, ["epoch"], [])
    assert history.notes == ("The log is empty: no epoch has ended yet.",)


def test_a_header_alone_is_a_history_of_no_epoch() -> None:
    history = read_history(b"epoch,accuracy,loss\n")
    assert (len(history.table), history.metrics) == (0, ["accuracy", "loss"])


@pytest.mark.parametrize(
    "content",
    [
        b"A text, with a comma.\nAnd another, longer line.\n",
        b"A text of one line, with a comma",
        b"No comma at all\n",
        b'{"loss": [1, 2], "accuracy": [3, 4]}',
        b"0,0.5,1.0\n1,0.6,0.9\n",
        b"<html><body>Not found, sorry</body></html>",
        b"epoch\n0\n1\n",
        b"epoch,lo\x01ss\n0,1.0\n",
        b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4,
        b"PK\x03\x04" + bytes(range(255, -1, -1)) * 4,
        b'epoch,loss\n0,"' + b"9" * 200_000,
    ],
    ids=[
        "prose",
        "a line",
        "words",
        "JSON",
        "no header",
        "HTML",
        "one column",
        "a control character",
        "PNG",
        "zip",
        "endless cell",
    ],
)
def test_what_is_no_log_is_refused_in_one_sentence(content: bytes) -> None:
    with pytest.raises(RunError, match=r"^This is not a training log: [^\n]*\.$"):
        read_history(content)


def test_random_bytes_are_refused() -> None:
    rng = np.random.default_rng(0)
    for length in rng.integers(50, 2000, 200):
        with pytest.raises(RunError):
            read_history(rng.integers(0, 256, length, dtype=np.uint8).tobytes())


def test_a_log_with_any_bytes_changed_is_read_or_refused() -> None:
    """Epochs stay unique and in order whatever is wrong; any error but `RunError` fails this test."""
    rng = np.random.default_rng(0)
    lines = b"".join(b"%d,0.%d,1.%d,NA\n" % (epoch, epoch, epoch) for epoch in range(10))
    read = 0
    for _ in range(1000):
        content = bytearray(b"epoch,accuracy,loss,val_loss\n" + lines)
        for place in rng.integers(0, len(content), 5):
            content[place] = rng.choice(list(b',;\t\n\r"0123456789.eE-NAnaif \x00\xff'))
        try:
            epochs = read_history(bytes(content)).table["epoch"]
        except RunError:
            continue
        assert epochs.is_unique
        assert epochs.is_monotonic_increasing
        read += 1
    assert read > 500


METRICS = ("accuracy", "loss", "val_loss")

VALUE = st.floats(-1e6, 1e6).map(repr) | st.sampled_from(["NA", '"""[0.5, 0.25]"""', "1e-03", "inf", ""])


@st.composite
def mangled_logs(draw: st.DrawFn) -> tuple[bytes, list[dict[int, dict[str, str]]]]:
    """A log as kills, resumes and hands leave it, and the values of every whole epoch of its trainings.

    A training that goes on counts on, or goes back to an epoch after its first; of an epoch that occurs twice the later
    line counts. One that begins anew goes back to its first epoch.
    """
    separator = draw(st.sampled_from([",", ";", "\t"]))
    lines: list[str] = []
    trainings: list[dict[int, dict[str, str]]] = [{}]
    epoch = 0
    for _ in range(draw(st.integers(1, 4))):  # a header, perhaps with other columns, and what follows it
        names = draw(st.lists(st.sampled_from(METRICS), unique=True).map(lambda names: [*names, "mean_iou"]))
        lines.append(separator.join(["epoch", *names]))
        for _ in range(draw(st.integers(0, 6))):
            first = next(iter(trainings[-1]), 0)
            epoch = draw(st.sampled_from([epoch + 1, epoch + 1, epoch + 3, first, max(first, epoch - 1)]))
            # Each line has a number of its own, so that none repeats another word for word.
            values = [*(draw(VALUE) for _ in names[:-1]), f"{len(lines)}.5"]
            line = separator.join([str(epoch), *values])
            if draw(st.booleans()):
                if trainings[-1] and epoch == first:
                    trainings.append({})
                trainings[-1][epoch] = dict(zip(names, values, strict=True))
            else:  # half, which is sure only where a column is missing
                line = line[: draw(st.integers(0, line.rindex(separator)))]
            lines.append(line)
        if draw(st.booleans()):
            lines.append(draw(st.sampled_from(["", "epo", "epoch", lines[0][:-1]])))
    end = draw(st.sampled_from(["\n", "\r\n", "\n\n"]))
    return (end.join(lines) + draw(st.sampled_from(["", end]))).encode(), trainings


@given(mangled_logs())
def test_every_whole_epoch_of_a_mangled_log_is_read(log: tuple[bytes, list[dict[int, dict[str, str]]]]) -> None:
    content, trainings = log
    history = read_history(content)
    if len(trainings) > 1 and all(list(one) == list(trainings[0]) and len(one) == 1 for one in trainings):
        # fit in a loop: one training of all lines
        trainings = [{number: values for number, one in enumerate(trainings, 1) for values in one.values()}]
    found = history.trainings or (history,)
    assert [one.table["epoch"].tolist() for one in found] == [sorted(one) for one in trainings]
    for one, whole in zip(found, trainings, strict=True):
        for row in one.table.to_dict("records"):
            for name, text in whole[row["epoch"]].items():
                number = float(text) if re.fullmatch(r"[-+.0-9e]+", text) else math.nan
                assert row.get(name, math.nan) == pytest.approx(number, nan_ok=True)


PIECES = st.sampled_from(
    ["epoch", "loss", "val_loss", "lr", "NA", "0", "1", "2.5", "-3", "1e30", "1e400", "nan", "inf"]
)
MARKS = st.sampled_from([",", ";", "\t", "\n", "\r\n", '"', " ", "\0", "\ufeff", "\u2028", "[", "²"])


@given(st.lists(PIECES | MARKS | st.text(max_size=3), max_size=60).map("".join))
def test_whatever_is_in_a_file_it_is_a_log_or_refused(text: str) -> None:
    try:
        table = read_history(text.encode("utf-8", "surrogatepass")).table
    except RunError:
        return
    assert table["epoch"].is_unique
    assert table["epoch"].is_monotonic_increasing
    assert table["epoch"].dtype == np.int64


def test_a_missing_file_is_a_run_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"gone\.csv cannot be read: check the path\.$"):
        read_history(tmp_path / "gone.csv")


def test_the_gap_is_positive_where_training_is_better() -> None:
    history = History(
        pd.DataFrame(
            {
                "epoch": [0, 1],
                "loss": [1.0, 0.5],
                "val_loss": [0.9, 0.8],
                "accuracy": [0.5, 0.9],
                "val_accuracy": [0.6, 0.7],
                "iou": [0.1, 0.2],
            }
        )
    )
    assert gap(history, "loss").tolist() == pytest.approx([-0.1, 0.3])
    assert gap(history, "accuracy").tolist() == pytest.approx([-0.1, 0.2])
    assert gap(history, "iou") is None
    assert gap(history, "jaccard") is None
