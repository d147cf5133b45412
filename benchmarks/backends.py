"""Training on each backend on the real set's patches: images a second within an epoch, and the most memory.

What `train` does, with its loss, its four metrics and its feeding, each in a process of its own. The first batches, for
which code is compiled, are not counted. *tf.data pipeline* is what fed TensorFlow before there were other backends, at
commit c427d41, taken from this repository. Then what the feeding alone gives, without a network: patches as they are,
and with windows, flips, scale and colour, drawn here and on the device. Compare within
the table: machines of one name are not equally fast on every day.
"""

import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import tyro

from benchmarks.measuring import print_header, print_row
from segmentation.backend import BACKENDS, VARIABLE, installed_backends
from segmentation.data.locate import PROJECT, default_folder

BEFORE = "c427d41"

WARM = 2

AUGMENTED = {
    "flips_and_rotations": True,
    "random_windows": True,
    "zoom": 0.25,
    "brightness": 0.1,
    "contrast": 0.1,
    "hue": 0.02,
}

TRAINING = """
import json, statistics, sys, time
from pathlib import Path
import numpy as np

root, architecture, batch, batches, warm, augmented = json.loads(sys.argv[1])
import keras
from segmentation.data.patches import load_patches
from segmentation.data.scenes import find_dataset
from segmentation.model.registry import build
from segmentation.training import pipeline
from segmentation.training.fit import Configuration, compile_model  # it is at home elsewhere now

patches = load_patches(find_dataset(Path(root)), protocol="patch")
model = build(architecture, 160, 6)
configuration = Configuration(architecture=architecture, batch_size=batch, epochs=1, **augmented)
compile_model(model, configuration)
part = np.arange(batch * batches) % len(patches.masks)
if hasattr(pipeline, "feed"):
    from segmentation.backend import has_accelerator
    data = pipeline.feed(pipeline.training_batches(patches, part, configuration, on_device=has_accelerator()))
else:
    data = pipeline.training_batches(patches, part, configuration)
ends = []

def note(batch, logs):
    [float(value) for value in logs.values()]  # until somebody looks it may not have been computed
    ends.append(time.perf_counter())

callback = keras.callbacks.LambdaCallback(on_train_batch_end=note)
model.fit(data, steps_per_epoch=batches, shuffle=False, verbose=0, callbacks=[callback])
line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(json.dumps([batch / statistics.median(np.diff(ends)[warm:]), int(line.split()[1]) / 1024]))
"""
"""Runs in this version and in the one before there were several backends."""

FEEDING = """
import json, sys, time
from pathlib import Path
import numpy as np

root, batch, batches, augmented, on_device = json.loads(sys.argv[1])
from segmentation.backend import has_accelerator, load_backend
load_backend()
from keras import ops
from segmentation.data.patches import load_patches
from segmentation.data.scenes import find_dataset
from segmentation.configuration import Configuration
from segmentation.training.pipeline import training_batches

if on_device and not has_accelerator():
    print("null")
    sys.exit()
patches = load_patches(find_dataset(Path(root)), protocol="patch")
configuration = Configuration(batch_size=batch, epochs=1, **augmented)
part = np.arange(batch * batches) % len(patches.masks)
feeding = training_batches(patches, part, configuration, on_device=on_device)
feeding[0], feeding[1]
begun = time.perf_counter()
for number in range(batches):
    images, masks = feeding[number]
ops.convert_to_numpy(masks)  # waits for a device
print(json.dumps(batch * batches / (time.perf_counter() - begun)))
"""


def measure(code: str, arguments: list, backend: str, folder: Path = PROJECT) -> list[float] | float | None:
    """Run code in a process of its own, in a version of this project, and return what it prints last."""
    environment = os.environ | {VARIABLE: backend, "TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONPATH": str(folder)}
    command = [sys.executable, "-c", code, json.dumps(arguments)]
    run = subprocess.run(  # noqa: S603 (our own)
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, check=True, text=True
    )
    return json.loads(run.stdout.splitlines()[-1])


def extract(commit: str, folder: Path) -> None:
    """Write the package as it was at a commit into a folder."""
    command = ["git", "-C", str(PROJECT), "archive", commit, "segmentation"]
    archive = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout  # noqa: S603
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")


def main(
    architectures: tuple[str, ...] = ("unet", "lite0-unet"),
    backends: tuple[str, ...] = (),
    batch_sizes: tuple[int, ...] = (16, 32),
    data: Path | None = None,
    batches: int = 9,
    augment: bool = False,
    before: bool = True,
) -> None:
    """Print images a second and memory of each way.

    Args:
        architectures: Networks to train.
        backends: What to train with; by default all that are installed.
        batch_sizes: Patches a step.
        data: The data set's folder; by default that in data/.
        batches: How many to train on; a GPU needs some fifty.
        augment: Change patches while training, too.
        before: Measure what there was before, too, where TensorFlow is among the backends.
    """
    root = str((data or default_folder()).absolute())
    augmented = AUGMENTED if augment else {}
    backends = backends or tuple(installed_backends())
    with tempfile.TemporaryDirectory() as old:
        ways = [(BACKENDS[backend], backend, PROJECT) for backend in backends]
        if before and "tensorflow" in backends:
            extract(BEFORE, Path(old))
            ways.append(("TensorFlow, tf.data pipeline", "tensorflow", Path(old)))
        print_header(["network", "batches of", "backend", "images a second", "memory, MB"])
        for architecture in architectures:
            for size in batch_sizes:
                for title, backend, folder in ways:
                    arguments = [root, architecture, size, batches, WARM, augmented]
                    speed, memory = measure(TRAINING, arguments, backend, folder)
                    print_row(f"`{architecture}`", size, title, f"{speed:.1f}", f"{memory:,.0f}")
    print(flush=True)
    print_header(["feeding alone", "backend", "images a second"])
    for backend in backends:
        for title, changes in (("patches as they are", {}), ("all changes", AUGMENTED)):
            for where, on_device in (("here", False), ("on the device", True)):
                speed = measure(FEEDING, [root, 32, 40, changes, on_device], backend)
                if speed:
                    print_row(f"{title}, {where}", BACKENDS[backend], f"{speed:,.0f}")


if __name__ == "__main__":
    tyro.cli(main)
