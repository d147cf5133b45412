"""Data sets whose classes are brightnesses, and models made elsewhere that know them: the right answers are known."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from segmentation.data.locate import PROJECT
from segmentation.data.scenes import Dataset, find_dataset

CASES = PROJECT.parent / "shared" / "cases" / "models.py"

MODELS = {
    name: ("nchw" if name.endswith("onnx") else "nhwc", scale, output, size)
    for name, scale, output, size in (
        ("smp.onnx", "imagenet", "logits", 160),
        ("fixed256.onnx", "0-1", "probabilities", 256),
        ("classes.onnx", "0-255", "classes", 160),
        ("nhwc-uint8.onnx", "0-255", "probabilities", 160),
        ("any-size-0-1.keras", "0-1", "probabilities", 160),
        ("logits.keras", "0-255", "logits", 128),
        ("two-to-one.keras", "0-255", "probabilities", 160),
        ("binary-sigmoid.keras", "0-1", "probabilities", 160),
    )
}
"""By each model's file what its maker says of it, and the side of the patches that it is scored by."""
MODELS["nhwc-uint8.onnx"] = ("nhwc", *MODELS["nhwc-uint8.onnx"][1:])

THREE, TWO = "dark, middle, light", "dark, light"

LIMITS = {THREE: (85, 170), TWO: (85,)}
"""Names of classes, and where the next begins."""


def make_models(folder: Path) -> Path:
    """Make the models in a folder, by a script that lies beside the project."""
    if not CASES.is_file():
        outcome = pytest.fail if os.environ.get("CI") else pytest.skip
        return outcome("the script that makes models of others is not here")
    subprocess.run([sys.executable, CASES, folder], check=True, capture_output=True)
    return folder


def of_name(model: str) -> str:
    """The classes of one of the models."""
    return TWO if model.startswith("binary") else THREE


def brightness(image: np.ndarray) -> np.ndarray:
    """(height, width) float64: the mean of red, green and blue, 0–255."""
    return image.mean(-1)


def wrong(classes: np.ndarray, image: np.ndarray, names: str) -> int:
    """How many pixels have the wrong class, those within 1 of a limit left out."""
    grey, limits = brightness(image), LIMITS[names]
    near = np.min([abs(grey - limit) for limit in limits], axis=0) <= 1
    return int(((classes != np.digitize(grey, limits)) & ~near).sum())


def write_set(root: Path, names: str, channel: int | None = None, scenes: int = 3) -> Dataset:
    """Write a data set of scenes of 330 × 300 pixels, of squares of many colours.

    Args:
        root: Its folder.
        names: A key of `LIMITS`.
        channel: Take the classes from one channel in place of the brightness.
        scenes: How many.
    """
    rng = np.random.default_rng(3)
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for number in range(scenes):
        squares = np.kron(rng.integers(0, 256, (10, 11, 3)), np.ones((30, 30, 1)))
        squares = squares if channel is not None else squares[..., :1]
        image = np.clip(squares + rng.integers(-20, 21, (300, 330, 3)), 0, 255).astype(np.uint8)
        values = brightness(image) if channel is None else image[..., channel]
        Image.fromarray(image).save(root / "images" / f"{number}.png")
        Image.fromarray(np.digitize(values, LIMITS[names]).astype(np.uint8)).save(root / "masks" / f"{number}.png")
    (root / "classes.txt").write_text(names.replace(", ", "\n") + "\n")
    return find_dataset(root)


def write_onnx(
    path: Path, nodes: list, constants: dict[str, np.ndarray], shape: tuple = ("batch", 3, "h", "w")
) -> Path:
    """Write an ONNX model of one input ``x``, of floats, and one output ``y``."""
    describe = partial(helper.make_tensor_value_info, elem_type=TensorProto.FLOAT)
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "graph", [describe("x", shape=shape)], [describe("y", shape=None)], weights)
    domains = {node.domain for node in nodes} - {""}
    opsets = [helper.make_opsetid("", 18), *(helper.make_opsetid(domain, 1) for domain in domains)]
    path.write_bytes(helper.make_model(graph, ir_version=10, opset_imports=opsets).SerializeToString())
    return path


def write_convolution(
    path: Path, channel: int | None = None, shape: tuple = ("batch", 3, "h", "w"), after: tuple = ()
) -> Path:
    """Write an ONNX model of three classes by brightness, or by one channel, in 0–255: logits.

    Args:
        path: Of the file.
        channel: The channel.
        shape: Of its images.
        after: Nodes from ``logits`` to ``y``.
    """
    mix = np.full(3, 1 / 3) if channel is None else np.eye(3)[channel]
    kernel = np.outer([0, 1, 2], mix).astype(np.float32)[..., None, None]
    bias = np.float32([0, -85, -255])
    nodes = [helper.make_node("Conv", ["x", "kernel", "bias"], ["logits" if after else "y"]), *after]
    return write_onnx(path, nodes, {"kernel": kernel, "bias": bias}, shape)
