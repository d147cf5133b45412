"""What a network's encoder makes of a patch, as one vector: of patches that look alike to it these are near."""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
from onnx import ModelProto, NodeProto, TensorProto, helper, load_from_string, numpy_helper, shape_inference

from segmentation.data.stretch import COLORS
from segmentation.errors import RunError
from segmentation.inference.device import check_device, providers
from segmentation.inference.engine import CORES
from segmentation.inference.model_file import loading, refusal
from segmentation.inference.onnx_file import Network, open_network
from segmentation.inference.onnx_graph import UnknownNetworkError

BATCH = 4
"""Patches in a batch, one batch for each core."""


class NoEncoderError(RunError):
    """A network has no map of features that is smaller than its images, or is computed by Keras alone."""


def encoder_of(network: Network) -> tuple[bytes, int, int]:
    """Return the part of a network from its images to the features that it shrinks last, averaged over the image.

    That is the last map before the smallest, in a U-Net before the bottleneck. On the real set the nearest patches by
    it have more of their classes in common than by the smallest map itself, which has little left to tell patches apart
    by. What comes after it is left out, and with it much of the work.

    Args:
        network: As `open_network` gives it: its shapes were inferred before.

    Returns:
        An ONNX model from ``images``, as the network takes them, to ``features``, (batch, features) float32; how many
        features; and how many pixels along a side of the image are one of the map.

    Raises:
        NoEncoderError: If no map is smaller than the images.
    """
    model, (height, width, _) = load_from_string(network.content), network.input_shape
    shapes = _shapes(model, height, width)
    # Where nodes are turned, channels come last: in the images, and in the probabilities.
    maps = {node.output[0]: node for node in model.graph.node if node.op_type != "Transpose"}
    extents = {name: math.prod(shapes[name][2:]) for name in maps}
    smallest = min(extents, key=lambda name: extents[name])  # the first of them
    if extents[smallest] >= height * width:
        raise NoEncoderError("no layer of its network is smaller than its images")
    before = maps[smallest].input[0]
    chosen = before if extents.get(before, height * width) < height * width else smallest
    needed: set[str] = {chosen}
    nodes: list[NodeProto] = []
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            nodes.insert(0, node)
    axes = numpy_helper.from_array(np.array([2, 3]), "axes of the map")
    mean = helper.make_node("ReduceMean", [chosen, axes.name], ["features"], keepdims=0)
    constants = [constant for constant in model.graph.initializer if constant.name in needed]
    _, features, rows, _ = shapes[chosen]
    output = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", features])
    graph = helper.make_graph([*nodes, mean], "encoder", list(model.graph.input), [output], [*constants, axes])
    encoder = helper.make_model(graph, ir_version=model.ir_version, opset_imports=list(model.opset_import))
    return encoder.SerializeToString(), features, -(-height // rows)


def _shapes(model: ModelProto, height: int, width: int) -> dict[str, list[int]]:
    """Return the shape of each tensor for one image of the size that the network was made for."""
    outline = ModelProto()
    outline.CopyFrom(model)
    for length, value in zip(outline.graph.input[0].type.tensor_type.shape.dim[:3], (1, height, width), strict=True):
        length.dim_value = value
    inferred = shape_inference.infer_shapes(outline, strict_mode=True).graph
    return {
        tensor.name: [length.dim_value for length in tensor.type.tensor_type.shape.dim]
        for tensor in (*inferred.value_info, *inferred.output)
    }


class Embedder:
    """A network's encoder, ready for patches.

    Args:
        path: A ``.keras`` file of ours.

    Attributes:
        bands: Of the images that it sees.
        features: How many numbers a patch's vector has.
        source: SHA-256 of the file: another network gives other vectors.

    Raises:
        NoEncoderError: If the network has no encoder that is known here.
        RunError: If the file cannot be loaded.
        BackendError: As `device.providers` does.
    """

    def __init__(self, path: Path) -> None:
        with loading(path):
            try:
                network = open_network(path, lambda network: network)
            except UnknownNetworkError as error:
                raise NoEncoderError("its network has layers that Keras alone computes") from error
            content, self.features, self._stride = encoder_of(network)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # as in prediction, a batch on each core
        asked = providers()
        self._session = onnxruntime.InferenceSession(content, options, providers=asked)
        check_device(self._session, asked)
        self._path, self._fixed = path, None if network.any_size else network.input_shape[:2]
        self.bands, self.source = network.input_shape[-1], network.source
        self._pool = ThreadPoolExecutor(CORES)

    def batches(self, images: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the vectors of patches of any size, batch by batch in their order, on all cores.

        Args:
            images: (patches, size, size, bands) uint8. One band is seen as three where the network wants three.

        Yields:
            (batch, features) float32, each of length 1 (of 0 where the encoder gives nothing), so that the scalar
            product of two is their cosine similarity.

        Raises:
            RunError: If they have another number of bands or a size that the network does not take.
        """
        bands = images.shape[-1]
        if bands != self.bands and (bands, self.bands) != (1, COLORS):
            raise RunError(f"The network sees images of {self.bands} bands, not {bands}: choose a run for such images.")
        if self._fixed not in (None, images.shape[1:3]):
            height, width = self._fixed
            raise RunError(f"The network takes images of {width} × {height} px alone: choose another run.")
        return self._pool.map(self._embed, (images[at : at + BATCH] for at in range(0, len(images), BATCH)))

    def _embed(self, images: np.ndarray) -> np.ndarray:
        images = np.broadcast_to(images, (*images.shape[:-1], self.bands))
        height, width = (-length % self._stride if self._fixed is None else 0 for length in images.shape[1:3])
        if height or width:  # strides would not fit otherwise, and small patches vanish
            images = np.pad(images, ((0, 0), (0, height), (0, width), (0, 0)), mode="symmetric")
        (features,) = self._session.run(["features"], {"images": np.ascontiguousarray(images)})
        if not np.isfinite(features).all():
            raise refusal(self._path, "its encoder gives values that are no numbers")
        length = np.linalg.norm(features, axis=1, keepdims=True)
        return np.divide(features, length, out=np.zeros_like(features), where=length > 0)
