"""Which device ONNX Runtime computes on: the processor, or a GPU where one is asked for and can be had."""

import os
import sys
from collections.abc import Sequence
from functools import cache

import onnxruntime

from segmentation.errors import BackendError

VARIABLE = "SEGMENTATION_DEVICE"
"""The environment variable that says cpu or gpu: for commands, the dashboard and Dask workers alike."""

CPU = "CPUExecutionProvider"

GPUS = (
    *("CUDAExecutionProvider", "ROCMExecutionProvider", "MIGraphXExecutionProvider"),
    *("DmlExecutionProvider", "CoreMLExecutionProvider"),
)
"""What ONNX Runtime calls GPUs, the first to be preferred: NVIDIA's, AMD's, Windows' and Apple's."""


def providers_for(device: str, available: Sequence[str]) -> list[str]:
    """Return what ONNX Runtime is asked to compute with, the first to be preferred, the processor last.

    Args:
        device: ``cpu`` or ``gpu``.
        available: What it was built with, as `onnxruntime.get_available_providers` names it.

    Raises:
        BackendError: If the device is neither.
    """
    if device not in ("cpu", "gpu"):
        raise BackendError(f"The environment variable {VARIABLE} is {device!r}: set it to cpu or gpu.")
    gpus = [name for name in GPUS if name in available] if device == "gpu" else []
    return [*gpus, CPU]


def providers() -> list[str]:
    """Return what ONNX Runtime is asked to compute with here; say once if there is no GPU though one is asked for.

    Raises:
        BackendError: As `providers_for` does.
    """
    device = os.environ.get(VARIABLE) or "cpu"
    chosen = providers_for(device, onnxruntime.get_available_providers())
    if device == "gpu" and chosen == [CPU]:
        _say_once(
            "The installed ONNX Runtime has no GPU, and predicts on the processor: pip uninstall onnxruntime, then "
            "pip install onnxruntime-gpu"
        )
    return chosen


def check_device(session: onnxruntime.InferenceSession, asked: Sequence[str]) -> None:
    """Say once if ONNX Runtime could not start the GPU that it was asked for.

    Args:
        session: What it opened.
        asked: What `providers` returned.
    """
    if asked[0] != CPU and session.get_providers()[0] == CPU:
        _say_once(
            f"ONNX Runtime cannot start {asked[0]}, and predicts on the processor: install the driver and the "
            "libraries that it needs (for NVIDIA, CUDA and cuDNN)."
        )


@cache
def _say_once(sentence: str) -> None:
    print(sentence, file=sys.stderr)
