"""One log of each format, as its trainer writes it: epochs, pairs, the best epoch, and what the file is taken for."""

import json
import math
from pathlib import Path

import pytest

from segmentation.errors import RunError
from segmentation.runs.logs.formats import FORMATS, find_logs
from segmentation.runs.logs.history import History, read_history


def column(history: History, name: str) -> list[float | None]:
    return [None if math.isnan(value) else value for value in history.table[name].tolist()]


def best(history: History) -> tuple[str, int]:
    name, position = history.best
    return name, int(history.table[history.axis].iloc[position])


def json_lines(*lines: dict) -> bytes:
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


KERAS = b"epoch,accuracy,loss,val_accuracy,val_loss\n0,0.5,1.2,0.45,1.3\n1,0.7,0.8,0.6,0.9\n2,0.8,0.5,0.55,1.0\n"

LIGHTNING = (
    b"epoch,step,train_loss,val_dice,val_loss\n"
    b"0,49,0.9,,\n0,99,0.7,,\n0,99,,0.4,0.75\n1,149,0.6,,\n1,199,0.5,,\n1,199,,0.6,0.5\n"
)

ULTRALYTICS = (
    b"                  epoch,         train/box_loss,         train/seg_loss,   metrics/mAP50-95(M),           "
    b"val/box_loss,           val/seg_loss,                 lr/pg0\n"
    b"                      0,                 1.9012,                 3.8110,                0.1012,           "
    b"      1.8001,                 3.5000,                0.00333\n"
    b"                      1,                 1.5023,                 3.0500,                0.2504,           "
    b"      1.6100,                 3.1000,                0.00661\n"
)

FASTAI = (
    b"epoch,train_loss,valid_loss,dice_multi,foreground_acc,time\n"
    b"0,1.234567,0.987654,0.41,0.71,00:12\n1,0.876543,0.812345,0.55,0.78,00:11\n2,0.7,0.9,0.5,0.77,00:11\n"
)

HUGGING_FACE = json.dumps(
    {
        "best_metric": 0.41,
        "epoch": 2.0,
        "global_step": 200,
        "is_world_process_zero": True,
        "log_history": [
            {"epoch": 0.5, "grad_norm": 2.5, "learning_rate": 5e-5, "loss": 1.5, "step": 50},
            {"epoch": 1.0, "grad_norm": 2.0, "learning_rate": 4e-5, "loss": 1.0, "step": 100},
            {"epoch": 1.0, "eval_loss": 0.9, "eval_mean_iou": 0.35, "eval_runtime": 10.1, "step": 100},
            {"epoch": 1.5, "grad_norm": 1.5, "learning_rate": 2e-5, "loss": 0.75, "step": 150},
            {"epoch": 2.0, "grad_norm": 1.2, "learning_rate": 0.0, "loss": 0.25, "step": 200},
            {"epoch": 2.0, "eval_loss": 0.95, "eval_mean_iou": 0.41, "eval_runtime": 10.2, "step": 200},
            {"epoch": 2.0, "step": 200, "total_flos": 1.5e17, "train_loss": 0.875, "train_runtime": 300.5},
        ],
        "max_steps": 200,
    },
    indent=2,
).encode()

MMENGINE = json_lines(
    {"lr": 0.01, "data_time": 0.01, "loss": 1.5, "decode.acc_seg": 40.5, "time": 0.3, "iter": 50, "step": 50},
    {"lr": 0.009, "data_time": 0.01, "loss": 1.25, "decode.acc_seg": 50.5, "time": 0.3, "iter": 100, "step": 100},
    {"aAcc": 60.5, "mIoU": 30.25, "mAcc": 41.0, "data_time": 0.1, "time": 0.2, "step": 100},
    {"lr": 0.008, "data_time": 0.01, "loss": 1.0, "decode.acc_seg": 55.5, "time": 0.3, "iter": 150, "step": 150},
    {"lr": 0.007, "data_time": 0.01, "loss": 0.75, "decode.acc_seg": 65.5, "time": 0.3, "iter": 200, "step": 200},
    {"aAcc": 65.5, "mIoU": 35.5, "mAcc": 45.0, "data_time": 0.1, "time": 0.2, "step": 200},
)

MMCV = json_lines(
    {"env_info": "sys.platform: linux", "seed": 0, "exp_name": "fcn.py"},
    {"mode": "train", "epoch": 1, "iter": 50, "lr": 0.01, "memory": 4000, "decode.loss_ce": 1.5, "loss": 2.0},
    {"mode": "train", "epoch": 1, "iter": 100, "lr": 0.01, "memory": 4000, "decode.loss_ce": 1.0, "loss": 1.0},
    {"mode": "val", "epoch": 1, "iter": 25, "lr": 0.01, "aAcc": 0.6, "mIoU": 0.4, "mAcc": 0.5},
    {"mode": "train", "epoch": 2, "iter": 50, "lr": 0.005, "memory": 4000, "decode.loss_ce": 0.5, "loss": 0.75},
    {"mode": "val", "epoch": 2, "iter": 25, "lr": 0.005, "aAcc": 0.7, "mIoU": 0.5, "mAcc": 0.55},
)

NNUNET = b"""
#######################################################################
Please cite the following paper when using nnU-Net:
#######################################################################

2024-05-01 10:00:00.100000: unpacking dataset...
2024-05-01 10:00:09.200000:  
2024-05-01 10:00:09.300000: Epoch 0 
2024-05-01 10:00:09.400000: Current learning rate: 0.01 
2024-05-01 10:01:09.500000: train_loss -0.125 
2024-05-01 10:01:09.600000: val_loss -0.25 
2024-05-01 10:01:09.700000: Pseudo dice [np.float32(0.5), np.float32(0.75)] 
2024-05-01 10:01:09.800000: Epoch time: 60.2 s 
2024-05-01 10:01:09.900000: Yayy! New best EMA pseudo Dice: 0.625 
2024-05-01 10:01:10.000000:  
2024-05-01 10:01:10.100000: Epoch 1 
2024-05-01 10:01:10.200000: Current learning rate: 0.00991 
2024-05-01 10:02:10.300000: train_loss -0.375 
2024-05-01 10:02:10.400000: val_loss -0.3125 
2024-05-01 10:02:10.500000: Pseudo dice [0.625, nan] 
2024-05-01 10:02:10.600000: Epoch time: 60.1 s 
"""  # noqa: W291 (as nnU-Net ends its lines)

NNUNET_1 = b"""
Starting...
2021-03-04 09:00:00.123456:
epoch:  0
2021-03-04 09:05:00.123456: train loss : -0.2500
2021-03-04 09:05:30.123456: validation loss: -0.3750
2021-03-04 09:05:30.223456: Average global foreground Dice: [0.5, 0.6]
2021-03-04 09:05:30.323456: (interpret this as an estimate for the Dice of the different classes. This is not exact.)
2021-03-04 09:05:31.123456: lr: 0.009991
2021-03-04 09:05:31.223456: This epoch took 331.1 s
"""

KERAS_TUNER = json.dumps(
    {
        "trial_id": "07",
        "hyperparameters": {"space": [], "values": {"units": 32}},
        "metrics": {
            "metrics": {
                "loss": {"direction": "min", "observations": [{"value": [0.75, 0.25], "step": 4}]},
                "val_loss": {"direction": "min", "observations": [{"value": [1.0, 0.5], "step": 4}]},
                "val_accuracy": {"direction": "max", "observations": [{"value": [0.75, 0.875], "step": 4}]},
            }
        },
        "score": 0.8125,
        "best_step": 4,
        "status": "COMPLETED",
        "message": None,
    }
).encode()

DETECTRON2 = (
    b'{"data_time": 0.01, "iteration": 19, "lr": 0.001, "total_loss": 1.5}\n'
    b'{"data_time": 0.01, "iteration": 39, "lr": 0.001, "sem_seg/mIoU": 40.5, "total_loss": 1.0}\n'
    b'{"data_time": 0.01, "iteration": 59, "lr": 0.001, "sem_seg/mIoU": 45.25, "total_loss": 0.75}\n'
)

WANDB = (
    b'"Step","deep-sun-2 - val_loss","deep-sun-2 - val_loss__MIN","deep-sun-2 - val_loss__MAX",'
    b'"calm-sea-1 - val_loss","calm-sea-1 - val_loss__MIN","calm-sea-1 - val_loss__MAX"\n'
    b'"0","0.9","0.9","0.9","1.25","1.25","1.25"\n"1","0.7","0.7","0.7","1.0","1.0","1.0"\n'
    b'"2","0.8","0.8","0.8","",,\n'
)

LOGS = {
    "Keras' CSVLogger": (KERAS, "epoch", [0, 1, 2], ("loss", "val_loss"), ("val_accuracy", 1)),
    "Lightning's metrics.csv": (LIGHTNING, "epoch", [0, 1], ("train_loss", "val_loss"), ("val_dice", 1)),
    "Ultralytics' results.csv": (
        ULTRALYTICS,
        "epoch",
        [0, 1],
        ("train/seg_loss", "val/seg_loss"),
        ("metrics/mAP50-95(M)", 1),
    ),
    "fastai's history.csv": (FASTAI, "epoch", [0, 1, 2], ("train_loss", "valid_loss"), ("foreground_acc", 1)),
    "Hugging Face's trainer_state.json": (HUGGING_FACE, "epoch", [1, 2], ("loss", "eval_loss"), ("eval_mean_iou", 2)),
    "mmengine's JSON lines": (MMENGINE, "step", [50, 100, 150, 200], None, ("val/aAcc", 200)),
    "lines of JSON": (DETECTRON2, "step", [19, 39, 59], None, ("sem_seg/mIoU", 59)),
    "nnU-Net's training log": (NNUNET, "epoch", [0, 1], ("train_loss", "val_loss"), ("val_pseudo_dice", 0)),
    "Keras Tuner's trial.json": (KERAS_TUNER, "epoch", [4], ("loss", "val_loss"), ("val_accuracy", 4)),
    "W&B's CSV export": (WANDB, "step", [0, 1], None, ("val_loss", 1)),
}


@pytest.mark.parametrize("kind", LOGS)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["unix", "windows"])
def test_a_log_of_each_format_is_taken_for_what_it_is_and_read(kind: str, end: bytes) -> None:
    content, axis, places, pair, chosen = LOGS[kind]
    history = read_history(content.replace(b"\n", end))
    assert (history.format, history.axis) == (kind, axis)
    assert history.table[axis].tolist() == places
    assert best(history) == chosen
    if pair:
        assert pair in [history.pair(metric) for metric in history.metrics]


@pytest.mark.parametrize("kind", LOGS)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_log_of_each_format_may_come_from_windows(kind: str, encoding: str) -> None:
    content = LOGS[kind][0]
    assert read_history(content.decode().encode(encoding)).table.equals(read_history(content).table)


@pytest.mark.parametrize("kind", LOGS)
def test_a_log_of_each_format_is_read_or_refused_wherever_it_is_cut(kind: str) -> None:
    content = LOGS[kind][0]
    read = 0
    for length in range(1, len(content), max(1, len(content) // 150)):
        try:
            table = read_history(content[:length]).table
        except RunError as error:
            assert "\n" not in str(error)
            continue
        assert table.iloc[:, 0].is_monotonic_increasing
        read += 1
    assert read or kind in ("Hugging Face's trainer_state.json", "Keras Tuner's trial.json")


@pytest.mark.parametrize("key", ["epoch", "step", "global_step", "iter"])
def test_lines_of_json_count_by_what_they_say(key: str) -> None:
    """DETR's and many scripts' logs: lists and texts among the values are passed over, half a line as well."""
    lines = [{key: at, "train_loss": 2.0 / (at + 1), "test_loss": [1, 2], "n": "x"} for at in range(1, 4)]
    content = "\n".join(map(json.dumps, lines)) + '\n{"' + key + '": 4, "tra'
    history = read_history(content.encode())
    assert history.axis == ("epoch" if key == "epoch" else "step")
    assert history.table[history.axis].tolist() == [1, 2, 3]
    assert history.table["train_loss"].tolist() == [1.0, 2 / 3, 0.5]
    assert "1 line left out" in history.notes[0]


def test_every_format_is_tested() -> None:
    in_tables_of_its_own = {"TensorBoard's event file", "a table with a line of column names"}
    assert {kind.name for kind in FORMATS} == LOGS.keys() | in_tables_of_its_own


def test_any_other_table_is_called_so() -> None:
    assert read_history(b"epoch,train_loss,val_loss\n1,1,1\n").format == "a table with a line of column names"


def test_training_values_of_steps_are_averaged_by_epoch_which_is_said() -> None:
    history = read_history(LIGHTNING)
    assert column(history, "train_loss") == [pytest.approx(0.8), pytest.approx(0.55)]
    assert column(history, "val_dice") == [0.4, 0.6]
    assert history.notes == ("Of train_loss, logged several times in an epoch, the mean over the epoch is drawn.",)


def test_several_validations_in_an_epoch_leave_its_last_one() -> None:
    rows = b"0,49,0.9,\n0,49,,0.8\n0,99,0.7,\n0,99,,0.6\n1,149,0.5,\n1,149,,0.5\n1,199,0.3,\n1,199,,0.7\n"
    history = read_history(b"epoch,step,train_loss,val_loss\n" + rows)
    assert history.table["epoch"].tolist() == [0, 1]
    assert column(history, "train_loss") == [pytest.approx(0.8), pytest.approx(0.4)]
    assert column(history, "val_loss") == [0.6, 0.7]


def test_a_trainers_summary_of_the_whole_training_is_no_epoch_of_it() -> None:
    history = read_history(HUGGING_FACE)
    assert column(history, "loss") == [1.25, 0.5]
    assert "train_loss" not in history.table
    assert column(history, "learning_rate") == [4e-5, 0.0]
    assert "runtime" not in "".join(history.metrics)


def test_a_trainer_in_its_first_epoch_is_drawn_by_steps_which_is_said() -> None:
    lines = [{"epoch": 0.1 * n, "loss": 2.0 - 0.1 * n, "step": 10 * n} for n in range(1, 6)]
    history = read_history(json.dumps({"log_history": lines}).encode())
    assert (history.axis, history.table["step"].tolist()) == ("step", [10, 20, 30, 40, 50])
    assert history.notes == ("All lines are of one epoch: its steps are drawn.",)


def test_mmengines_validation_stands_at_the_step_of_the_training_before_it() -> None:
    history = read_history(MMENGINE)
    assert column(history, "val/mIoU") == [None, 30.25, None, 35.5]
    assert column(history, "train/loss") == [1.5, 1.25, 1.0, 0.75]
    assert history.notes == ()


def test_mmengines_validation_by_epoch_stands_in_the_epoch_before_it() -> None:
    train = [{"lr": 0.1, "loss": 1.0 / n, "epoch": (n + 1) // 2, "iter": n, "step": n} for n in range(1, 5)]
    validation = [{"mIoU": 30.0 + epoch, "time": 0.1, "step": epoch} for epoch in (1, 2)]
    history = read_history(json_lines(*train[:2], validation[0], *train[2:], validation[1]))
    assert (history.axis, history.table["epoch"].tolist()) == ("epoch", [1, 2])
    assert column(history, "val/mIoU") == [31.0, 32.0]
    assert column(history, "train/loss") == [pytest.approx(0.75), pytest.approx(7 / 24)]


def test_mmcvs_lines_are_read_by_their_mode() -> None:
    history = read_history(MMCV)
    assert (history.format, history.axis) == ("mmengine's JSON lines", "epoch")
    assert column(history, "train/loss") == [1.5, 0.75]
    assert column(history, "val/mIoU") == [0.4, 0.5]


def test_half_a_line_of_json_is_left_out_and_said() -> None:
    history = read_history(MMENGINE[:-20])
    assert column(history, "val/mIoU") == [None, 30.25, None, None]
    assert history.notes == ("1 line left out: no valid JSON, or half written.",)


def test_nnunets_dice_is_the_mean_over_the_classes_that_were_there() -> None:
    history = read_history(NNUNET)
    assert column(history, "val_pseudo_dice") == [0.625, 0.625]
    assert column(history, "lr") == [0.01, 0.00991]
    assert history.notes == ("Pseudo dice is the mean over 2 classes.",)


def test_the_log_of_nnunets_first_version_is_read() -> None:
    history = read_history(NNUNET_1)
    assert history.format == "nnU-Net's training log"
    assert [column(history, name) for name in ("epoch", "train_loss", "val_loss", "val_pseudo_dice", "lr")] == [
        [0],
        [-0.25],
        [-0.375],
        [0.55],
        [0.009991],
    ]


def test_a_trials_executions_are_averaged_which_is_said() -> None:
    history = read_history(KERAS_TUNER)
    assert (column(history, "val_loss"), column(history, "val_accuracy")) == ([0.75], [0.8125])
    assert history.notes[0] == "Each value is the mean of 2 executions."


def test_each_run_of_an_export_is_a_training_of_its_own() -> None:
    history = read_history(WANDB)
    assert [one.name for one in history.trainings] == ["deep-sun-2", "calm-sea-1"]
    assert column(history.of_training(1), "val_loss") == [0.9, 0.7, 0.8]
    assert best(history.of_training(1)) == ("val_loss", 1)
    assert column(history, "val_loss") == [1.25, 1.0]


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b'{"log_history": [' + b"[" * 100_000,
        b'{"log_history": {"loss": 1}}',
        b'{"log_history": "none", "step": {}}',
        b'{"metrics": {"metrics": [1, 2]}}',
        b'{"step": ' + b"9" * 5_000 + b"}\n",
        b'{"mode": "train", "loss": ' + b"[" * 100_000 + b"\n",
    ],
    ids=["brackets", "braces", "history", "no list", "odd types", "no metrics", "digits", "line"],
)
def test_json_that_is_no_log_is_refused_in_one_sentence(content: bytes) -> None:
    with pytest.raises(RunError, match=r"^This is not a training log: it holds JSON[^\n]*\.$"):
        read_history(content)


def test_what_is_odd_in_json_is_passed_over() -> None:
    lines = b'{"log_history": [7, null, {"step": 1, "epoch": NaN, "loss": NaN, "x": true, "y": "1", "z": [1]}, '
    lines += b'{"step": 2, "epoch": Infinity, "loss": 0.5, "big": 1%b}]}' % (b"0" * 400)
    history = read_history(lines)
    assert (history.axis, column(history, "loss")) == ("step", [None, 0.5])
    assert set(history.table) == {"step", "loss"}
    assert history.warnings == ("loss was NaN or infinite in 1 of 2 steps, first in step 1.",)


def test_logs_are_found_below_a_folder_by_the_names_that_trainers_give_them(tmp_path: Path) -> None:
    names = (
        "lightning_logs/version_0/metrics.csv",
        "runs/train/exp/results.csv",
        "work/20240101/vis_data/scalars.json",
        "search/trial_01/trial.json",
        "board/train/events.out.tfevents.1700000000.host.1.0.v2",
        "fold_0/training_log_2024_5_1_10_00_00.txt",
        "out/trainer_state.json",
        "again/checkpoint-900/trainer_state.json",
        "again/checkpoint-1000/trainer_state.json",
    )
    for name in (*names, "notes.txt", "work/config.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    found = {path.relative_to(tmp_path).as_posix() for path in find_logs(tmp_path)}
    assert found == set(names) - {"again/checkpoint-900/trainer_state.json"}
