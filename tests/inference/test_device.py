"""Which device ONNX Runtime is asked to compute on, and what happens where it has no GPU."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from segmentation.data.locate import PROJECT
from segmentation.errors import BackendError
from segmentation.inference.device import CPU, providers_for

CUDA, AZURE = "CUDAExecutionProvider", "AzureExecutionProvider"


@pytest.mark.parametrize(
    ("device", "available", "expected"),
    [
        ("cpu", [CUDA, CPU], [CPU]),
        ("gpu", ["TensorrtExecutionProvider", CUDA, CPU], [CUDA, CPU]),
        ("gpu", [CPU, "DmlExecutionProvider", AZURE], ["DmlExecutionProvider", CPU]),
        (
            "gpu",
            ["MIGraphXExecutionProvider", "ROCMExecutionProvider", CPU],
            ["ROCMExecutionProvider", "MIGraphXExecutionProvider", CPU],
        ),
        ("gpu", ["CoreMLExecutionProvider", AZURE, CPU], ["CoreMLExecutionProvider", CPU]),
        ("gpu", [AZURE, CPU], [CPU]),
    ],
)
def test_a_gpu_is_asked_for_before_the_processor(device: str, available: list[str], expected: list[str]) -> None:
    assert providers_for(device, available) == expected


@pytest.mark.parametrize("device", ["GPU", "cuda:0", " ", "tpu"])
def test_another_device_is_refused(device: str) -> None:
    with pytest.raises(BackendError, match="set it to cpu or gpu"):
        providers_for(device, [CPU])


PREDICT = """
import sys
import numpy as np
from pathlib import Path
from segmentation.inference.predictor import Predictor
images = np.random.default_rng(1).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
for _ in range(2):
    (probabilities,) = Predictor(Path(sys.argv[1])).batches(images)
np.save(sys.argv[2], probabilities)
"""


def predict(model: Path, output: Path, device: str) -> tuple[np.ndarray, str]:
    """What a process with a device predicts, and what it says."""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "SEGMENTATION_DEVICE": device}
    words = [sys.executable, "-c", PREDICT, model, output]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    return np.load(output), done.stderr


@pytest.mark.slow
def test_without_a_gpu_the_processor_predicts_the_same_and_says_so_once(small_model: Path, tmp_path: Path) -> None:
    import onnxruntime

    if len(providers_for("gpu", onnxruntime.get_available_providers())) > 1:
        pytest.skip("this machine's ONNX Runtime computes on a GPU")
    expected, silence = predict(small_model, tmp_path / "cpu.npy", "cpu")
    received, told = predict(small_model, tmp_path / "gpu.npy", "gpu")
    assert np.array_equal(received, expected)
    assert silence == ""
    assert told.count("The installed ONNX Runtime has no GPU, and predicts on the processor") == 1
    assert "pip install onnxruntime-gpu" in told
