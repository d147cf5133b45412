"""The formats of training logs, and which of them a file has."""

import os
import re
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from segmentation.runs.logs.hugging_face import is_trainer_state, read_trainer_state
from segmentation.runs.logs.json_lines import is_json_lines, read_json_lines
from segmentation.runs.logs.keras_tuner import is_trial, read_trial
from segmentation.runs.logs.mmengine import is_mmengine, read_mmengine
from segmentation.runs.logs.nnunet import is_nnunet, read_nnunet
from segmentation.runs.logs.reading import Content, Reading
from segmentation.runs.logs.tables import read_table
from segmentation.runs.logs.tensorboard import is_events, read_events
from segmentation.runs.logs.wandb import is_export, read_export


class Format(NamedTuple):
    """A kind of training log.

    Args:
        name: What a file is taken for, as people know it.
        files: Patterns of the names that its trainer gives such files, by which they are found in a folder.
        fits: Tells whether a file is of this kind.
        read: Reads one that is: a reading for each training that the file tells apart by name. It raises `RunError` for
            what cannot be read.
    """

    name: str
    files: tuple[str, ...]
    fits: Callable[[Content], bool]
    read: Callable[[Content], list[Reading]]


def _is_lightning(content: Content) -> bool:
    return {"epoch", "step"} <= set(content.columns)


def _is_ultralytics(content: Content) -> bool:
    of_training = any(name.startswith("train/") for name in content.columns)
    return of_training and any(name.startswith(("metrics/", "val/")) for name in content.columns)


def _is_fastai(content: Content) -> bool:
    return content.columns[0] == "epoch" and {"train_loss", "valid_loss", "time"} <= set(content.columns)


def _is_keras(content: Content) -> bool:
    """Tell whether a table is of Keras' CSVLogger: the epoch, then every name of its logs in the order of letters."""
    first, *others = content.columns
    return first == "epoch" and "loss" in others and others == sorted(others)


FORMATS = (
    Format("TensorBoard's event file", ("*events.out.tfevents.*",), is_events, read_events),
    Format("Hugging Face's trainer_state.json", ("trainer_state.json",), is_trainer_state, read_trainer_state),
    Format("Keras Tuner's trial.json", ("trial.json",), is_trial, read_trial),
    Format("mmengine's JSON lines", ("scalars.json", "*.log.json"), is_mmengine, read_mmengine),
    Format("lines of JSON", ("metrics.json", "log.txt"), is_json_lines, read_json_lines),
    Format("nnU-Net's training log", ("training_log_*.txt",), is_nnunet, read_nnunet),
    Format("W&B's CSV export", ("wandb_export_*.csv",), is_export, read_export),
    Format("Lightning's metrics.csv", ("metrics.csv",), _is_lightning, read_table),
    Format("Ultralytics' results.csv", ("results.csv",), _is_ultralytics, read_table),
    Format("fastai's history.csv", ("history.csv",), _is_fastai, read_table),
    Format("Keras' CSVLogger", ("history.csv", "training.log", "log.csv"), _is_keras, read_table),
    Format("a table with a line of column names", (), lambda content: True, read_table),
)
"""Tried in this order; the first that fits reads the file."""

DEEPEST = 5
"""Logs in a folder lie at most so many folders below it, as ``work_dirs/<name>/<time>/vis_data/scalars.json``."""

MOST_NAMES = 20_000
"""So many names are looked at in a folder at most."""

CHECKPOINT = re.compile(r"checkpoint-(\d+)")
"""Hugging Face keeps a state with each checkpoint, which holds those before it."""


def format_of(content: Content) -> Format:
    """Return the format of a log."""
    return next(kind for kind in FORMATS if kind.fits(content))


def find_logs(folder: Path) -> list[Path]:
    """Return the logs in a folder and below it that have the names which trainers give them, by their paths."""
    patterns = [pattern for kind in FORMATS for pattern in kind.files]
    found: list[Path] = []
    names = 0
    for place, below, files in os.walk(folder):
        if (names := names + len(files) + len(below)) > MOST_NAMES:
            break
        depth = len(Path(place).relative_to(folder).parts)
        checkpoints = [name for name in below if CHECKPOINT.fullmatch(name)]
        older = sorted(checkpoints, key=lambda name: int(name.rpartition("-")[2]))[:-1]
        below[:] = sorted(set(below) - set(older)) if depth < DEEPEST else []
        found += [Path(place, name) for name in files if any(fnmatch(name, pattern) for pattern in patterns)]
    return sorted(found)
