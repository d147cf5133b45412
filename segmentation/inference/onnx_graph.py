"""A ``.keras`` file as an ONNX model, so that our networks predict without TensorFlow, and no code of a file is run.

Only the layers and options of our networks are known. Anything else is refused, never passed over: Keras is there for
the rest. ONNX wants channels before height and width, Keras behind them: images are turned on the way in, probabilities
on the way out.
"""

import hashlib
import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import h5py
import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from segmentation.inference.model_file import CONFIG, WEIGHTS

IR, OPSET = 10, 18
"""The versions of ONNX's format and operators: the first operators whose Resize names its axes."""

TRANSLATION = 1
"""The number of this translation: one more whenever the same file becomes another graph."""

WITHOUT_EFFECT = (
    *("name", "trainable", "dtype", "data_format"),  # looked at before
    *("filters", "depth_multiplier", "use_bias"),  # told by the weights
    *("momentum", "synchronized", "renorm", "renorm_clipping", "renorm_momentum", "rate", "seed", "noise_shape"),
    *("fill_mode", "fill_value"),  # of what is padded: see `_resizing`
)
"""Options that change nothing about a prediction; nor do those that end in `OF_TRAINING`."""

OF_TRAINING = ("_initializer", "_regularizer", "_constraint")

CHANNELS = {-1: 1, 3: 1}
"""From Keras' axis of the channels to ONNX's; layers along another axis are not known."""

PADDINGS = {"same": "SAME_UPPER", "valid": "VALID"}

INTERPOLATIONS = {
    "nearest": {"mode": "nearest", "nearest_mode": "round_prefer_ceil", "coordinate_transformation_mode": "half_pixel"},
    "bilinear": {"mode": "linear", "coordinate_transformation_mode": "half_pixel"},
}


class UnknownNetworkError(ValueError):
    """A network of layers or options that the translation does not know: Keras may."""


class Graph:
    """Nodes and constants, as they are added; the channels of what each node gives."""

    def __init__(self) -> None:
        self.nodes: dict[str, NodeProto] = {}
        self.constants: dict[str, np.ndarray] = {}
        self.channels: dict[str, int] = {}

    def add(self, operator: str, *inputs: str | np.ndarray | np.float32, **attributes: object) -> str:
        """Add a node and return its output's name; arrays among its inputs become constants."""
        names = [value if isinstance(value, str) else self._keep(value) for value in inputs]
        output = f"{operator}{len(self.nodes)}"
        node = helper.make_node(operator, names, [output])
        node.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())
        self.nodes[output] = node
        match operator:
            case "Conv":
                self.channels[output] = self.constants[names[1]].shape[0]
            case "ConvTranspose":
                self.channels[output] = self.constants[names[1]].shape[1]
            case "Concat":
                self.channels[output] = sum(self.channels[name] for name in names)
            case _:
                self.channels[output] = self.channels[names[0]]
        return output

    def _keep(self, value: np.ndarray | np.float32) -> str:
        name = f"constant{len(self.constants)}"
        self.constants[name] = np.ascontiguousarray(value)
        return name

    def needed_for(self, output: str) -> tuple[list[NodeProto], list[TensorProto]]:
        """Return the nodes, in their order, and the constants without which there is no such output."""
        needed: set[str] = {output}
        nodes: list[NodeProto] = []
        for name, node in reversed(self.nodes.items()):
            if name in needed:
                needed.update(node.input)
                nodes.insert(0, node)
        constants = [numpy_helper.from_array(value, name) for name, value in self.constants.items() if name in needed]
        return nodes, constants


def read_as_onnx(path: Path) -> bytes:
    """Return the model of a ``.keras`` file as an ONNX model.

    Args:
        path: A functional model of one input and one output in single precision, made of the layers in `LAYERS`; its
            file has passed `check_model_file`.

    Returns:
        An ONNX model from ``images``, (batch, height, width, channels) uint8, to ``probabilities``, (batch, height,
        width, classes) float32. Height and width are free, except in a network that resizes to a fixed size
        (`Resizing`): that one takes images of its own size only. The model's metadata are ``source``, the SHA-256 of
        the file, ``translation``, the number of this one, and ``height`` and ``width`` of the images that the network
        was made for.

    Raises:
        UnknownNetworkError: If something about the model is not known here; a broken file raises what its readers
            raise.
    """
    with path.open("rb") as file:
        source = hashlib.file_digest(file, "sha256").hexdigest()
        with zipfile.ZipFile(file) as archive:
            model = json.loads(archive.read(CONFIG))
            _check_known(model)
            with h5py.File(h5py.h5f.open_file_image(archive.read(WEIGHTS))) as weights:
                network = _build(model["config"], _values(weights))
    own = network.metadata_props
    own.add(key="source", value=source)
    own.add(key="translation", value=str(TRANSLATION))
    return network.SerializeToString()


def _check_known(model: dict) -> None:
    """Refuse what is not a functional model of known layers, each used once, that compute in single precision."""
    if model["class_name"] != "Functional":
        raise UnknownNetworkError(f"Expected a functional model. Received: {model['class_name']}")
    for layer in model["config"]["layers"]:
        kind, options = layer["class_name"], layer["config"]
        if kind == "InputLayer":
            continue
        if layer["module"] != "keras.layers" or kind not in LAYERS:
            raise UnknownNetworkError(
                f"Expected a layer out of {', '.join(LAYERS)}. Received: {layer['module']}.{kind}"
            )
        if [len(call["args"]) for call in layer["inbound_nodes"]] != [1]:
            raise UnknownNetworkError(f"Expected layers that are used once. Received: {options['name']}")
        policy, order = options["dtype"], options.get("data_format")
        single = isinstance(policy, dict) and policy["config"] == {"name": "float32"}
        if not single or order not in (None, "channels_last"):
            raise UnknownNetworkError(f"Expected single precision, and channels last. Received: {policy}, {order}")


def _values(file: h5py.File) -> dict[str, list[np.ndarray]]:
    """Return each layer's weights in their order, by the layer's name."""
    layers = [layer["vars"] for layer in file["layers"].values()]
    if not all("name" in layer.attrs for layer in layers):  # files of the first versions of Keras 3
        raise UnknownNetworkError("Expected weights that name their layer.")
    return {
        layer.attrs["name"]: [layer[str(index)][()].astype(np.float32) for index in range(len(layer))]
        for layer in layers
    }


def _build(config: dict, weights: dict[str, list[np.ndarray]]) -> ModelProto:
    """Return a network of known layers, with the height and width that it was made for among its metadata."""
    source, target = (config[end][0] for end in ("input_layers", "output_layers"))
    graph, outputs = Graph(), {}
    for layer in config["layers"]:  # each after those whose outputs it takes
        name = layer["config"]["name"]
        if name == source:
            _, *size, channels = layer["config"]["batch_shape"]
            graph.channels["images"] = channels
            turned = graph.add("Transpose", "images", perm=(0, 3, 1, 2))
            outputs[name] = graph.add("Cast", turned, to=TensorProto.FLOAT)
        else:
            inputs = [outputs[origin] for origin in _origins(layer)]
            try:
                outputs[name] = LAYERS[layer["class_name"]](graph, *inputs, *weights.get(name, ()), **_options(layer))
            except (KeyError, TypeError) as error:  # an option or a value that the function does not foresee
                raise UnknownNetworkError(f"Expected the options of our networks. Received: {error}") from error
    if [type(length) for length in size] != [int, int]:
        raise UnknownNetworkError(f"Expected images of one size. Received: {size}")
    nodes, constants = graph.needed_for(outputs[target])
    turned_back = helper.make_node("Transpose", [outputs[target]], ["probabilities"], perm=(0, 2, 3, 1))
    fixed = any(layer["class_name"] == "Resizing" for layer in config["layers"])
    lengths = ["batch", *(size if fixed else ("height", "width")), channels]
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, lengths)
    probabilities = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, None)
    graph_of_all = helper.make_graph([*nodes, turned_back], "network", [images], [probabilities], constants)
    network = helper.make_model(graph_of_all, ir_version=IR, opset_imports=[helper.make_opsetid("", OPSET)])
    helper.set_model_props(network, {"height": str(size[0]), "width": str(size[1])})
    return network


def _origins(layer: dict) -> list[str]:
    """Return the names of the layers whose outputs a layer takes."""
    ((tensors,),) = (call["args"] for call in layer["inbound_nodes"])
    return [tensor["config"]["keras_history"][0] for tensor in (tensors if isinstance(tensors, list) else [tensors])]


def _options(layer: dict) -> dict:
    """Return the options that have an effect, also those of the call: dropout may go on in predictions."""
    (call,) = layer["inbound_nodes"]
    return {name: value for name, value in call["kwargs"].items() if value} | {
        name: value
        for name, value in layer["config"].items()
        if name not in WITHOUT_EFFECT and not name.endswith(OF_TRAINING)
    }


# A function a layer: from its inputs, its weights, and by name every option that has an effect. Hence an option that
# is new in Keras is a TypeError, not a wrong prediction.


def _rescaling(graph: Graph, x: str, *, scale: float, offset: float) -> str:
    return graph.add("Add", graph.add("Mul", x, np.float32(scale)), np.float32(offset))


def _convolution(
    graph: Graph,
    x: str,
    kernel: np.ndarray,
    *bias: np.ndarray,
    kernel_size: Sequence[int],
    strides: Sequence[int],
    padding: str,
    dilation_rate: Sequence[int],
    activation: str,
    groups: int = 1,  # DepthwiseConv2D has no such option
) -> str:
    if max(dilation_rate) > 1:
        raise UnknownNetworkError(f"Expected a convolution without dilation. Received: {dilation_rate}")
    how = {"strides": strides, "group": groups, "auto_pad": PADDINGS[padding]}
    plain = kernel.shape[:2] == (3, 3) and max(strides) == groups == 1 and padding == "same"
    if enlarged := plain and _enlarged(graph, x):
        x = _convolve_enlarged(graph, *enlarged, kernel, *bias)
    else:
        x = graph.add("Conv", x, kernel.transpose(3, 2, 0, 1), *bias, **how)
    return _activate(graph, x, activation)


def _enlarged(graph: Graph, x: str) -> tuple[str, str | None] | None:
    """Return what was enlarged twofold to give the first channels of `x`, and what gives the others."""
    first, *others = graph.nodes[x].input if graph.nodes[x].op_type == "Concat" else [x]
    made = graph.nodes[first]
    if made.op_type != "Resize" or len(others) > 1:
        return None
    small, _, scales, *_ = made.input
    nearest = any(option.name == "mode" and option.s == b"nearest" for option in made.attribute)
    twofold = scales in graph.constants and np.array_equal(graph.constants[scales], [2, 2])
    return (small, others[0] if others else None) if nearest and twofold else None


def _convolve_enlarged(graph: Graph, small: str, others: str | None, kernel: np.ndarray, *bias: np.ndarray) -> str:
    """Convolve what `_enlarged` found, without enlarging it.

    Of three neighbours in the enlarged image two are one pixel of the small one, and the sum of their weights is its
    weight. This is a transposed convolution of 4 × 4 with four ninths of the work.
    """
    channels = graph.channels[small]
    turned = kernel[::-1, ::-1, :channels]
    corners = [(0, 1), (1, 0)]
    shifted = [np.pad(turned, (down, right, (0, 0), (0, 0))) for down in corners for right in corners]
    summed = np.sum(shifted, axis=0)
    x = graph.add("ConvTranspose", small, summed.transpose(2, 3, 0, 1), *bias, strides=(2, 2), pads=(1, 1, 1, 1))
    if others:
        rest = kernel[:, :, channels:].transpose(3, 2, 0, 1)
        x = graph.add("Add", x, graph.add("Conv", others, rest, auto_pad=PADDINGS["same"]))
    return x


def _transposed_convolution(
    graph: Graph,
    x: str,
    kernel: np.ndarray,
    *bias: np.ndarray,
    kernel_size: Sequence[int],
    strides: Sequence[int],
    padding: str,
    output_padding: None,
    dilation_rate: Sequence[int],
    activation: str,
) -> str:
    beyond = np.subtract(kernel_size, strides)  # what kernels reach beyond the strides is cut off, half at either end
    if padding != "same" or output_padding or max(dilation_rate) > 1 or min(beyond) < 0:
        raise UnknownNetworkError(f"Expected a plain transposed convolution. Received: padding {padding!r}")
    pads = [*(beyond // 2).tolist(), *(beyond - beyond // 2).tolist()]
    x = graph.add("ConvTranspose", x, kernel.transpose(3, 2, 0, 1), *bias, strides=strides, pads=pads)
    return _activate(graph, x, activation)


def _activate(graph: Graph, x: str, activation: str) -> str:
    return ACTIVATIONS[activation](graph, x)


def _normalization(
    graph: Graph, x: str, *statistics: np.ndarray, axis: int, epsilon: float, scale: bool, center: bool
) -> str:
    if CHANNELS[axis] != 1 or not (scale and center):
        raise UnknownNetworkError("Expected batch normalization with scale and centre.")
    return graph.add("BatchNormalization", x, *statistics, epsilon=epsilon)


def _relu(graph: Graph, x: str, *, max_value: float | None, negative_slope: float, threshold: float) -> str:
    if negative_slope or threshold:
        raise UnknownNetworkError("Expected ReLU without slope and threshold.")
    return graph.add("Clip", x, np.float32(0), np.float32(np.inf if max_value is None else max_value))


def _pooling(graph: Graph, x: str, *, pool_size: Sequence[int], strides: Sequence[int], padding: str) -> str:
    return graph.add("MaxPool", x, kernel_shape=pool_size, strides=strides, auto_pad=PADDINGS[padding])


def _upsampling(graph: Graph, x: str, *, size: Sequence[int], interpolation: str) -> str:
    return graph.add("Resize", x, "", np.array(size, np.float32), axes=(2, 3), **INTERPOLATIONS[interpolation])


def _resizing(
    graph: Graph,
    x: str,
    *,
    height: int,
    width: int,
    interpolation: str,
    crop_to_aspect_ratio: bool,
    pad_to_aspect_ratio: bool,
    antialias: bool,
    training: bool = False,  # makes no difference
) -> str:
    if crop_to_aspect_ratio or pad_to_aspect_ratio or antialias:
        raise UnknownNetworkError("Expected plain resizing.")
    return graph.add("Resize", x, "", "", np.array([height, width]), axes=(2, 3), **INTERPOLATIONS[interpolation])


def _softmax(graph: Graph, x: str) -> str:
    """Along the channels, by elements: the runtime's own is several times as slow there."""
    channels = np.array([1])
    powers = graph.add("Exp", graph.add("Sub", x, graph.add("ReduceMax", x, channels)))
    return graph.add("Div", powers, graph.add("ReduceSum", powers, channels))


ACTIVATIONS: dict[str, Callable[[Graph, str], str]] = {
    "linear": lambda graph, x: x,
    "relu": lambda graph, x: graph.add("Relu", x),
    "softmax": _softmax,
}

LAYERS: dict[str, Callable[..., str]] = {
    "Rescaling": _rescaling,
    "Conv2D": _convolution,
    "DepthwiseConv2D": lambda graph, x, kernel, *bias, **options: _convolution(
        graph, x, kernel.reshape(*kernel.shape[:2], 1, -1), *bias, groups=kernel.shape[2], **options
    ),
    "Conv2DTranspose": _transposed_convolution,
    "BatchNormalization": _normalization,
    "ReLU": _relu,
    "MaxPooling2D": _pooling,
    "UpSampling2D": _upsampling,
    "Resizing": _resizing,
    "Dropout": lambda graph, x: x,
    "Add": lambda graph, *xs: graph.add("Sum", *xs),
    "Concatenate": lambda graph, *xs, axis: graph.add("Concat", *xs, axis=CHANNELS[axis]),
    "Softmax": lambda graph, x, *, axis: {1: _softmax}[CHANNELS[axis]](graph, x),
}

OPERATORS = frozenset(
    (
        *("Transpose", "Cast", "Mul", "Add", "Conv", "ConvTranspose", "BatchNormalization", "Relu", "Clip", "MaxPool"),
        *("Resize", "Sum", "Concat", "Exp", "Sub", "ReduceMax", "ReduceSum", "Div"),
    )
)
"""What of ONNX a translated network is made of."""
