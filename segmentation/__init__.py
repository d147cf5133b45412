"""Semantic segmentation of aerial imagery: data, model, training, evaluation, runs and the dashboard's parts.

The names below are the package's public interface. Each is imported when it is first used: ``import segmentation``
costs nothing, and only `train` needs Keras.
"""

import importlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segmentation import scores
    from segmentation.configuration import Configuration
    from segmentation.data.palette import Palette
    from segmentation.data.patches import load_patches
    from segmentation.data.protocols import Fold
    from segmentation.data.scenes import find_dataset
    from segmentation.evaluation.evaluate import evaluate
    from segmentation.inference.options import Inference
    from segmentation.inference.predictor import Predictor
    from segmentation.runs.run import Run
    from segmentation.training.fit import train

__all__ = [
    "Configuration",
    "Fold",
    "Inference",
    "Palette",
    "Predictor",
    "Run",
    "evaluate",
    "find_dataset",
    "load_patches",
    "scores",
    "train",
]

_HOMES = {
    "Configuration": "segmentation.configuration",
    "Fold": "segmentation.data.protocols",
    "Inference": "segmentation.inference.options",
    "Palette": "segmentation.data.palette",
    "Predictor": "segmentation.inference.predictor",
    "Run": "segmentation.runs.run",
    "evaluate": "segmentation.evaluation.evaluate",
    "find_dataset": "segmentation.data.scenes",
    "load_patches": "segmentation.data.patches",
    "train": "segmentation.training.fit",
}
"""The module of each public name that is no module itself."""

# TensorFlow's remarks on this machine's processor say nothing to a user; its warnings and errors stay.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")


def __getattr__(name: str) -> object:
    if name == "scores":
        return importlib.import_module("segmentation.scores")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
