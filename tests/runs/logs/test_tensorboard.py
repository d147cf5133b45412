"""The reader of TensorBoard's event files, against files that TensorFlow and Keras write."""

import math
import struct
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from segmentation.errors import RunError
from segmentation.runs.logs.history import History, read_history
from segmentation.runs.logs.records import checksums, find_records

V1 = tf.compat.v1


def column(history: History, name: str) -> list[float | None]:
    return [None if math.isnan(value) else value for value in history.table[name].tolist()]


def written(path: Path, events: Iterable[object]) -> bytes:
    """An event file of TensorFlow's own messages, in TensorFlow's own records."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(V1.Event(wall_time=1.0, file_version="brain.Event:2").SerializeToString())
        for event in events:
            writer.write(event.SerializeToString())
    return path.read_bytes()


def simple(step: int, **values: float) -> object:
    """An event with scalars as PyTorch's SummaryWriter and the first TensorFlow write them."""
    parts = [V1.Summary.Value(tag=tag.replace("__", "/"), simple_value=value) for tag, value in values.items()]
    return V1.Event(wall_time=100.0 + step, step=step, summary=V1.Summary(value=parts))


@pytest.fixture
def losses(tmp_path: Path) -> bytes:
    steps = [0, 1, 127, 128, 40_000]
    events = [simple(step, Loss__train=1.0 / (place + 1)) for place, step in enumerate(steps)]
    events += [simple(step, Loss__val=2.0 / (place + 1)) for place, step in enumerate(steps)]
    return written(tmp_path / "events", events)


def test_simple_values_are_read_by_steps(losses: bytes) -> None:
    history = read_history(losses)
    assert (history.format, history.axis, history.notes) == ("TensorBoard's event file", "step", ())
    assert history.table["step"].tolist() == [0, 1, 127, 128, 40_000]
    assert history.pair("Loss") == ("Loss/train", "Loss/val")
    assert column(history, "Loss/train") == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4, 1 / 5])
    assert column(history, "Loss/val") == pytest.approx([2, 1, 2 / 3, 1 / 2, 2 / 5])


def test_what_lightning_says_of_epochs_is_followed(tmp_path: Path) -> None:
    events = [simple(step, train_loss=1.0 - step / 10, epoch=step // 2) for step in range(4)]
    events += [simple(step, val_dice=step / 10, epoch=step // 2) for step in (1, 3)]
    history = read_history(written(tmp_path / "events", events))
    assert (history.axis, history.table["epoch"].tolist()) == ("epoch", [0, 1])
    assert column(history, "train_loss") == pytest.approx([0.95, 0.75])
    assert column(history, "val_dice") == pytest.approx([0.1, 0.3])


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64, tf.float16, tf.int32, tf.int64], ids=lambda kind: kind.name)
def test_tensors_of_one_element_are_scalars(tmp_path: Path, dtype: tf.DType) -> None:
    metadata = V1.SummaryMetadata(plugin_data=V1.SummaryMetadata.PluginData(plugin_name="scalars"))
    with tf.summary.create_file_writer(str(tmp_path)).as_default():
        for step in range(5):
            tf.summary.write("train/iou", tf.constant(step + 1, dtype), step, metadata)
            tf.summary.write("histogram", tf.ones((3, 3)), step)
            tf.summary.write("text", tf.constant("words"), step)
    history = read_history(next(tmp_path.iterdir()))
    assert column(history, "train/iou") == [1, 2, 3, 4, 5]
    assert set(history.table) == {"step", "train/iou"}


@pytest.mark.parametrize("values", [{"float_val": [0.25]}, {"double_val": [0.25]}, {"float_val": [0.25, 0.5]}])
def test_tensors_may_hold_their_values_in_fields(tmp_path: Path, values: dict[str, list[float]]) -> None:
    tensor = tf.make_tensor_proto(0.0)
    tensor.Clear()
    tensor.MergeFrom(type(tensor)(dtype=1, **values))
    value = V1.Summary.Value(tag="loss", tensor=tensor)
    events = [V1.Event(step=3, summary=V1.Summary(value=[value])), simple(3, other=1.0)]
    table = read_history(written(tmp_path / "events", events)).table
    assert table.get("loss", np.array([])).tolist() == ([0.25] if len(next(iter(values.values()))) == 1 else [])


def test_scalars_that_keras_counts_by_epochs_are_read_by_epochs(tmp_path: Path) -> None:
    """As its callback names them; the callback itself wants the tensorboard package."""
    metadata = V1.SummaryMetadata(plugin_data=V1.SummaryMetadata.PluginData(plugin_name="scalars"))
    with tf.summary.create_file_writer(str(tmp_path)).as_default():
        for epoch in range(3):
            tf.summary.write("epoch_loss", tf.constant(1.0 / (epoch + 1)), epoch, metadata)
            tf.summary.write("epoch_learning_rate", tf.constant(0.5), epoch, metadata)
            tf.summary.write("evaluation_loss_vs_iterations", tf.constant(2.0), 100 * (epoch + 1), metadata)
    history = read_history(next(tmp_path.iterdir()))
    assert (history.axis, history.table["epoch"].tolist()) == ("epoch", [0, 1, 2])
    assert column(history, "loss") == pytest.approx([1, 1 / 2, 1 / 3])
    assert set(history.table) == {"epoch", "loss", "learning_rate"}


def test_of_a_step_that_occurs_again_the_later_value_counts(tmp_path: Path) -> None:
    history = read_history(written(tmp_path / "events", [simple(n, loss=v) for n, v in ((1, 3), (2, 2), (2, 1.5))]))
    assert column(history, "loss") == [3, 1.5]
    assert history.notes == ("1 value written again for a step, as after a resume: the later one counts.",)


def test_values_that_are_not_finite_are_told(tmp_path: Path) -> None:
    events = [simple(n, loss=v) for n, v in ((1, 1.0), (2, math.nan), (3, math.inf))]
    assert "loss became NaN or infinite in step 2" in read_history(written(tmp_path / "events", events)).warnings[0]


def test_a_file_is_read_as_far_as_it_is_whole_wherever_it_is_cut(losses: bytes) -> None:
    read = 0
    for length in range(16, len(losses)):
        try:
            history = read_history(losses[:length])
        except RunError as error:
            assert str(error).startswith("There is no scalar in this event file")
            continue
        whole = sum(begin + size + 4 <= length for begin, size in zip(*records(losses), strict=True)) - 1
        assert int(history.table.drop(columns="step").notna().sum().sum()) == whole
        ends_with_one = length in {begin + size + 4 for begin, size in zip(*records(losses), strict=True)}
        assert history.notes == (() if ends_with_one else ("The last record is still being written and left out.",))
        read += 1
    assert read > 300


def records(content: bytes) -> tuple[list[int], list[int]]:
    found = find_records(content)
    return found.begins.tolist(), found.lengths.tolist()


def changed(content: bytes, place: int, new: bytes) -> bytes:
    return content[:place] + new + content[place + len(new) :]


def at_data(content: bytes, begin: int) -> bytes:
    return changed(content, begin + 12, bytes([content[begin + 12] ^ 1]))


def at_length(content: bytes, begin: int) -> bytes:
    return changed(content, begin - 12, struct.pack("<Q", 1 << 62))


@pytest.mark.parametrize(
    ("damage", "left", "note"),
    [
        (at_data, 9, "1 record left out: damaged, by the checksum."),
        (at_length, 4, "The file is damaged: what follows the first broken record is left out."),
    ],
    ids=["wrong data", "huge length"],
)
def test_what_is_damaged_is_left_out_and_said(
    losses: bytes, damage: Callable[[bytes, int], bytes], left: int, note: str
) -> None:
    fifth = records(losses)[0][5]
    history = read_history(damage(losses, fifth))
    assert int(history.table.drop(columns="step").notna().sum().sum()) == left
    assert history.notes == (note,)


def test_a_huge_length_with_its_checksum_is_the_end(losses: bytes) -> None:
    length = struct.pack("<Q", (1 << 63) + 5)
    mark = checksums(np.frombuffer(length, np.uint8), np.zeros(1, np.int64), np.array([8]))[0]
    history = read_history(losses + length + struct.pack("<I", mark) + bytes(64))
    assert history.notes == ("The last record is still being written and left out.",)


def test_records_that_hold_no_events_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "events"
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(simple(1, loss=0.5).SerializeToString())
        for odd in (b"\xff" * 40, b"\x2a\xff\xff\xff\xff\x0f", b"\x0b", b"\x09\x00"):
            writer.write(odd)
    assert read_history(path).notes == ("4 records left out: no event can be read in what it holds.",)


def test_an_event_file_without_scalars_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"^There is no scalar in this event file\.$"):
        read_history(written(tmp_path / "events", []))


def test_any_bytes_may_be_changed(losses: bytes) -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        content = bytearray(losses)
        for place in rng.integers(0, len(content), 4):
            content[place] = rng.integers(256)
        try:
            assert read_history(bytes(content)).table["step"].is_monotonic_increasing
        except RunError as error:
            assert "\n" not in str(error)


def test_more_values_than_a_page_can_draw_are_refused(tmp_path: Path) -> None:
    events = [simple(step, **{f"tag{step}": 1.0}) for step in range(1_001)]
    with pytest.raises(RunError, match="over 1,000 columns"):
        read_history(written(tmp_path / "events", events))
