"""Engines side by side on the same 64 patches: how long each takes to import, to load and to predict.

Each runs in a process of its own. *Ratio* is to `model.predict` one by one, *equal* the share of pixels that get the
same class. ONNX Runtime, and OpenVINO in bfloat16, compute as they do in the dashboard, small batches with a core for
each; the others share a batch among the cores. The two get the graph of `inference/onnx_graph.py`.
"""

import importlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tyro

from benchmarks.measuring import alone, print_header, print_row, seconds
from segmentation.data.locate import default_folder
from segmentation.data.patches import load_patches
from segmentation.data.scenes import find_dataset
from segmentation.runs.run import SHIPPED, Run

PATCHES, BATCH, SINGLE = 64, 32, 20

Forward = Callable[[np.ndarray], np.ndarray]
"""From (batch, size, size, 3) uint8 to probabilities."""


def load_predict(run: Path) -> Forward:
    """``model.predict``, as the article does it."""
    import keras

    return partial(keras.saving.load_model(run / "best.keras", compile=False).predict, verbose=0)


def load_tf_function(run: Path) -> Forward:
    """TensorFlow as networks of other layers are predicted here."""
    from segmentation.inference.engine import keras_engine

    return keras_engine(run / "best.keras").forward


def load_xla(run: Path) -> Forward:
    """TensorFlow, compiled anew for each batch's size."""
    import keras
    import tensorflow as tf

    model = keras.saving.load_model(run / "best.keras", compile=False)
    forward = tf.function(lambda images: model(images, training=False), jit_compile=True, autograph=False)
    return lambda images: forward(images).numpy()


def load_predictor(run: Path, bfloat16: bool = False) -> Forward:
    """ONNX Runtime, or OpenVINO, as our networks are predicted here: small batches, one on each core."""
    from segmentation.inference.predictor import Predictor

    predictor = Predictor(run / "best.keras", bfloat16)
    return lambda images: np.concatenate(list(predictor.batches(images)))


def load_openvino(run: Path) -> Forward:
    """OpenVINO on the graph that ONNX Runtime has, in single precision."""
    import openvino

    from segmentation.inference.onnx_graph import read_as_onnx

    core = openvino.Core()
    network = core.read_model(read_as_onnx(run / "best.keras"))
    compiled = core.compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda images: compiled(images)[0]


def load_litert(run: Path) -> Forward:
    """LiteRT on a file that was converted before."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(run / "best.tflite"), num_threads=os.cpu_count())
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()

    interpreter.allocate_tensors()

    def forward(images: np.ndarray) -> np.ndarray:
        if len(images) != interpreter.get_input_details()[0]["shape"][0]:
            interpreter.resize_tensor_input(source["index"], images.shape)
            interpreter.allocate_tensors()
        interpreter.set_tensor(source["index"], images.astype(np.float32))
        interpreter.invoke()
        return interpreter.get_tensor(target["index"])

    return forward


class Engine(NamedTuple):
    """One way to predict.

    Args:
        modules: What it imports.
        load: From a run's folder to the network.
        variables: Of the environment, set before.
    """

    modules: tuple[str, ...]
    load: Callable[[Path], Forward]
    variables: dict[str, str] = {}  # noqa: RUF012 (never written to)


ENGINES = {
    "`model.predict` one by one": Engine(("tensorflow", "keras"), load_predict),
    "TensorFlow, `tf.function`": Engine(("tensorflow", "keras"), load_tf_function),
    "TensorFlow, `tf.function`, XLA": Engine(("tensorflow", "keras"), load_xla),
    "ONNX Runtime": Engine(("onnxruntime", "onnx", "h5py"), load_predictor),
    "OpenVINO": Engine(("openvino", "onnx", "h5py"), load_openvino),
    "OpenVINO, `--bfloat16`": Engine(("openvino", "onnx", "h5py"), partial(load_predictor, bfloat16=True)),
    "OpenVINO as Keras' backend": Engine(("keras",), load_predict, {"KERAS_BACKEND": "openvino"}),
    "LiteRT": Engine(("ai_edge_litert.interpreter",), load_litert),
}
"""The first is what the others are compared with."""


class Figures(NamedTuple):
    """What was measured: seconds to import; to load and predict one patch; medians a patch; and the classes."""

    importing: float
    loading: float
    single: float
    batch: float
    classes: np.ndarray


def measure(name: str, run: Path, images: np.ndarray) -> Figures:
    """Measure one engine; to be called in a process of its own."""
    engine = ENGINES[name]
    os.environ.update(engine.variables)
    import segmentation.inference  # noqa: F401 (keeps OpenVINO from reporting that it is imported)

    importing = seconds(lambda: [importlib.import_module(module) for module in engine.modules])
    start = time.perf_counter()
    forward = engine.load(run)
    forward(images[:1])
    loading = time.perf_counter() - start
    single = [seconds(partial(forward, images[i : i + 1])) for i in range(SINGLE)]
    batches = [images[i : i + BATCH] for i in range(0, PATCHES, BATCH)]
    classes = np.concatenate([forward(batch).argmax(-1) for batch in batches])
    many = [seconds(partial(forward, batch)) / BATCH for batch in batches * 2]
    return Figures(importing, loading, statistics.median(single), statistics.median(many), classes)


def convert(model: Path, target: Path) -> None:
    """Write the file that LiteRT loads."""
    from segmentation.inference.export import export

    export(model, "litert", target)


def main(runs: tuple[str, ...] = ("dubai-unet", "dubai-best"), data: Path | None = None) -> None:
    """Print a table for each run: all engines on the same 64 patches, each in a process of its own.

    Args:
        runs: Shipped runs: by default one of each network.
        data: The data set's folder; by default that in data/.
    """
    patches = load_patches(find_dataset(data or default_folder()))
    images = patches.images[np.linspace(0, len(patches.images) - 1, PATCHES).astype(int)]
    for run in runs:
        print(f"\n`{run}`\n")
        print_header(
            [
                "engine",
                "import, s",
                "load and first patch, s",
                "ms a patch",
                "ratio",
                "in batches of 32",
                "ratio",
                "equal",
            ]
        )
        with tempfile.TemporaryDirectory() as folder:
            model = Path(folder) / "best.keras"
            model.symlink_to(Run(SHIPPED / run).model)
            alone(convert, model, Path(folder) / "best.tflite")
            baseline = None
            for name in ENGINES:
                figures = alone(measure, name, Path(folder), images)
                baseline = baseline or figures
                print_row(
                    name,
                    f"{figures.importing:.1f}",
                    f"{figures.loading:.1f}",
                    f"{1000 * figures.single:.1f}",
                    f"{baseline.single / figures.single:.1f}",
                    f"{1000 * figures.batch:.1f}",
                    f"{baseline.single / figures.batch:.1f}",
                    f"{100 * (figures.classes == baseline.classes).mean():.5f} %",
                )


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    tyro.cli(main)
