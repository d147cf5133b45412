"""A SavedModel of TensorFlow: copied as far as it is needed, and translated to ONNX by a process of its own."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from segmentation.data.locate import PROJECT
from segmentation.errors import RunError
from segmentation.files import scratch_folder
from segmentation.inference.foreign.saved_model_translator import UNTRANSLATED
from segmentation.inference.model_file import LARGEST

SAVED_MODEL = "saved_model.pb"

LARGEST_GRAPH = 16 << 20
"""Bytes of the graph and of the list of weights: those of large networks take two million."""

WEIGHTS = re.compile(r"variables\.data-\d{5}-of-\d{5}")

MOST_SECONDS = 600
"""To translate a large network takes half a minute."""

TRANSLATOR = "segmentation.inference.foreign.saved_model_translator"


def translate_saved_model(folder: Path, target: Path) -> None:
    """Write a SavedModel as ONNX.

    Another process reads the graph, in bounded memory, and refuses it if it could do more than compute: see
    `segmentation.inference.foreign.saved_model_translator`.

    Args:
        folder: The SavedModel.
        target: The ONNX file.

    Raises:
        RunError: If it cannot be translated; the sentence names the target.
        OSError: If a file cannot be read or written.
    """
    if importlib.util.find_spec("tf2onnx") is None or importlib.util.find_spec("tensorflow") is None:
        raise _refusal(
            target, "a SavedModel is translated to ONNX first, which needs TensorFlow and: pip install tf2onnx"
        )
    with scratch_folder(target.parent) as scratch:
        try:
            _copy(folder, scratch)
        except ValueError as error:
            raise _refusal(target, str(error)) from error
        command = [sys.executable, "-m", TRANSLATOR, str(scratch.resolve()), str(target.resolve())]
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
        try:
            done = subprocess.run(  # noqa: S603 (no word is a user's)
                command,
                cwd=PROJECT,
                env={**os.environ, **quiet},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=MOST_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise _refusal(target, f"to translate it to ONNX took more than {MOST_SECONDS // 60} minutes") from error
    if done.returncode or not target.is_file():
        *_, why = done.stdout.decode(errors="replace").splitlines() or [UNTRANSLATED]
        raise _refusal(target, why)


def _refusal(target: Path, why: str) -> RunError:
    return RunError(f"{target.name} cannot be used as a model: {why}.")


def _copy(folder: Path, to: Path) -> None:
    """Copy the graph and its weights, and nothing else that lies in the folder.

    Raises:
        ValueError: If one is missing, is no plain file, or is larger than those of any network. It says which.
    """
    variables, names = Path("variables"), [Path(SAVED_MODEL)]
    if (folder / variables).is_dir():
        weights = sorted(path.name for path in (folder / variables).iterdir() if WEIGHTS.fullmatch(path.name))
        names += [variables / name for name in ("variables.index", *weights)]
    total = 0
    for name in names:
        path = folder / name
        if not path.is_file() or any(part.is_symlink() for part in (path, path.parent)[: len(name.parts)]):
            raise ValueError(f"its {name} is no plain file in its folder: save it anew, by model.export")
        total += path.stat().st_size
        if total >= LARGEST or (not WEIGHTS.fullmatch(name.name) and path.stat().st_size > LARGEST_GRAPH):
            raise ValueError(f"its {name} is larger than that of any network: export ONNX from it, by tf2onnx")
        (to / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(path, to / name)
