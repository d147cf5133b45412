"""A model from elsewhere, opened: what it takes and gives, and what computes it; no code of its file is run."""

import os
import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime

from segmentation.backend import load_backend
from segmentation.errors import RunError
from segmentation.inference.device import check_device, providers
from segmentation.inference.engine import keras_forward
from segmentation.inference.foreign.adapter import Layout
from segmentation.inference.foreign.files import KERAS, check_kind, check_onnx_file, unusable
from segmentation.inference.model_file import load_keras_model

MOST_MEMORY = 8 << 30
"""Bytes that ONNX Runtime may hold for all models from elsewhere, or half of the machine's if that is less."""

TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
}
"""Of images, as ONNX Runtime names them."""


class Opened(NamedTuple):
    """A model from elsewhere that is ready to compute, from any number of threads at once.

    Args:
        file: Where it lies.
        shape: Of a batch of its images: four lengths, 0 for any.
        dtype: Of these.
        layout: Where its bands stand, unless its shape says otherwise.
        run: From a batch to what it gives first. Raises RunError where it cannot compute it.
    """

    file: Path
    shape: tuple[int, ...]
    dtype: np.dtype
    layout: Layout
    run: Callable[[np.ndarray], np.ndarray]

    @property
    def takes_bytes(self) -> bool:
        """Whether its images are whole numbers, so that whatever scales them is in the model."""
        return self.dtype.kind in "iu"


def open_model(file: Path) -> Opened:
    """Open an ONNX or a Keras file.

    Raises:
        RunError: If it is none, needs code of its own, or takes anything but one batch of images.
        BackendError: If a Keras file is to be opened, and Keras cannot be loaded; or as `device.providers` does.
    """
    check_kind(file)
    return _open_keras(file) if file.suffix.lower() == KERAS else _open_onnx(file)


@cache
def _bound_memory() -> None:
    """Give the models from elsewhere one arena of a bounded size: a graph of a few nodes may ask for terabytes."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else MOST_MEMORY
    arena = onnxruntime.OrtArenaCfg({"max_mem": min(MOST_MEMORY, pages // 2), "arena_extend_strategy": 1})
    kinds = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    onnxruntime.create_and_register_allocator(onnxruntime.OrtMemoryInfo("Cpu", *kinds), arena)


def _open_onnx(file: Path) -> Opened:
    check_onnx_file(file)
    _bound_memory()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # a batch is computed on each core
    options.log_severity_level = 4  # what is refused is said in one sentence
    options.add_session_config_entry("session.use_env_allocators", "1")
    asked = providers()
    try:
        session = onnxruntime.InferenceSession(file, options, providers=asked)
    except Exception as error:
        raise unusable(file, f"ONNX Runtime {onnxruntime.__version__} refuses it: {_reason(error)}") from error
    check_device(session, asked)
    if len(session.get_inputs()) != 1:
        names = ", ".join(end.name for end in session.get_inputs()) or "nothing"
        raise unusable(file, f"it takes {names}, not one batch of images: export it with these alone")
    images, output = session.get_inputs()[0], session.get_outputs()[0].name
    if images.type not in TYPES or len(images.shape) != 4:
        raise unusable(file, f"it takes {images.type} of {len(images.shape)} dimensions, not a batch of images")
    shape = tuple(length if isinstance(length, int) else 0 for length in images.shape)

    def run(batch: np.ndarray) -> np.ndarray:
        try:
            return session.run([output], {images.name: batch})[0]
        except Exception as error:
            size = " × ".join(map(str, batch.shape))
            raise unusable(file, f"it does not compute a batch of {size}: {_reason(error)}") from error

    return Opened(file, shape, np.dtype(TYPES[images.type]), "nchw", run)


def _reason(error: Exception) -> str:
    """Return what ONNX Runtime says, without its codes and places in its source, and not at length."""
    said = re.sub(r"\[ONNXRuntimeError\] : \d+ : \w+ : |Load model from \S+ failed:|/\S+\.(cc|h):\d+ ", "", str(error))
    said = re.sub(r"^(Non-zero status code returned while running|Fatal error:) ", "", " ".join(said.split()))
    return said if len(said) < 200 else f"{said[:200]} …"


def _open_keras(file: Path) -> Opened:
    backend = load_backend()
    try:
        model = load_keras_model(file)
    except RunError as error:
        if error.__cause__ is None:  # a bound that it exceeds
            raise
        reason = "Keras 3 does not load it without running code that it brings: export it as ONNX"
        raise unusable(file, reason) from error
    if len(model.inputs) != 1 or len(model.outputs) != 1 or len(model.input_shape) != 4:
        raise unusable(file, "it maps more than one batch of images to one output: save such a model of its layers")
    shape: Sequence[int | None] = model.input_shape
    forward, dtype = keras_forward(model, backend, model.inputs[0].dtype), np.dtype(model.inputs[0].dtype)

    def run(batch: np.ndarray) -> np.ndarray:
        try:
            return forward(batch)
        except Exception as error:
            size, (said, *_) = " × ".join(map(str, batch.shape)), str(error).splitlines() or [""]
            raise unusable(file, f"it does not compute a batch of {size}: {said[:200]}") from error

    return Opened(file, tuple(length or 0 for length in shape), dtype, "nhwc", run)
