"""The formats of training logs, and which of them a file has."""

from collections.abc import Callable
from typing import NamedTuple

from segmentation.runs.logs.hugging_face import is_trainer_state, read_trainer_state
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
        fits: Tells whether a file is of this kind.
        read: Reads one that is: a reading for each training that the file tells apart by name. It raises `RunError` for
            what cannot be read.
    """

    name: str
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
    Format("TensorBoard's event file", is_events, read_events),
    Format("Hugging Face's trainer_state.json", is_trainer_state, read_trainer_state),
    Format("Keras Tuner's trial.json", is_trial, read_trial),
    Format("mmengine's JSON lines", is_mmengine, read_mmengine),
    Format("nnU-Net's training log", is_nnunet, read_nnunet),
    Format("W&B's CSV export", is_export, read_export),
    Format("Lightning's metrics.csv", _is_lightning, read_table),
    Format("Ultralytics' results.csv", _is_ultralytics, read_table),
    Format("fastai's history.csv", _is_fastai, read_table),
    Format("Keras' CSVLogger", _is_keras, read_table),
    Format("a table with a line of column names", lambda content: True, read_table),
)
"""Tried in this order; the first that fits reads the file."""


def format_of(content: Content) -> Format:
    """Return the format of a log."""
    return next(kind for kind in FORMATS if kind.fits(content))
