"""The process that translates a SavedModel to ONNX: what it reads may do nothing but compute, in bounded memory.

TensorFlow's graphs can read and write files and call Python, and TensorFlow does not claim to be safe against them. So
only operators that are known to compute are let through, and this process, which no other depends on, loads the rest.

Where it refuses a model, the last line that it prints says why.
"""

import contextlib
import io
import re
import sys
from pathlib import Path
from typing import Any

MEMORY = 16 << 30
"""Bytes that this process may address: TensorFlow addresses several times what it uses."""

LARGEST_WRITTEN = 1 << 31
"""Bytes of a file that it writes: what ONNX holds."""

OPERATORS = set(
    re.findall(
        r"\w+",
        """
    Abs Add AddN AddV2 All Any ArgMax ArgMin AvgPool BatchMatMul BatchMatMulV2 BatchMatMulV3 BatchToSpaceND BiasAdd
    BroadcastArgs BroadcastTo Cast Ceil ClipByValue Concat ConcatV2 Const Conv2D Conv2DBackpropInput Cos Cumsum
    DepthToSpace DepthwiseConv2dNative Div DivNoNan Einsum Elu EnsureShape Equal Erf Exp ExpandDims Expm1 Fill Floor
    FloorDiv FloorMod FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 Gather GatherNd GatherV2 Greater GreaterEqual
    Identity IdentityN IsFinite IsInf IsNan LRN LeakyRelu Less LessEqual Log Log1p LogSoftmax LogicalAnd LogicalNot
    LogicalOr MatMul Max MaxPool MaxPoolV2 Maximum Mean Min Minimum MirrorPad Mod Mul Neg NoOp NotEqual OneHot
    OnesLike Pack Pad PadV2 Placeholder PlaceholderWithDefault Pow PreventGradient Prod Range Rank RealDiv Reciprocal
    Relu Relu6 Reshape ResizeBilinear ResizeNearestNeighbor ReverseV2 Round Rsqrt Select SelectV2 Selu Shape ShapeN
    Sigmoid Sign Sin Size Slice Softmax Softplus Softsign SpaceToBatchND SpaceToDepth Split SplitV Sqrt Square
    SquaredDifference Squeeze StopGradient StridedSlice Sub Sum Tanh Tile TopKV2 Transpose Unpack ZerosLike

    AssignVariableOp DisableCopyOnRead ReadVariableOp VarHandleOp VarIsInitializedOp PartitionedCall
    StatefulPartitionedCall
    """,
    )
)
"""What a graph may consist of: arithmetic, layers, shapes; its own variables; functions of its own."""

SAVING = {"SaveV2", "RestoreV2"}
"""Functions with these save and restore a model. They are taken out: TensorFlow reads the weights without them."""

OBJECTS = {"user_object", "function", "variable", "constant", "bare_concrete_function", "captured_tensor", None}
"""What a model may hold: no files, and no tables."""

SIGNATURE = "serving_default"

UNTRANSLATED = "TensorFlow and tf2onnx do not translate it to ONNX; docs/models.md shows how to bring its predictions"


class RefusedError(Exception):
    """A model that is not translated; the text says why."""


def give_up_rights() -> None:
    """Bound the memory and the files of this process, where the system can."""
    with contextlib.suppress(ImportError, ValueError, OSError):  # of Windows, and of macOS
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_WRITTEN, LARGEST_WRITTEN))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def keep_what_computes(content: bytes) -> bytes:
    """Return a ``saved_model.pb`` without what saves, restores and initializes.

    Raises:
        RefusedError: If anything else than computing is left, or it is no such file.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.framework.function_pb2 import FunctionDefLibrary
    from tensorflow.core.framework.graph_pb2 import GraphDef
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    model = SavedModel()
    try:
        model.ParseFromString(content)
    except DecodeError as error:
        raise RefusedError("its saved_model.pb is none of TensorFlow's") from error
    graphs = [graph for graph in model.meta_graphs if graph.HasField("object_graph_def")]
    if len(model.meta_graphs) != 1 or not graphs:
        raise RefusedError("it is not of TensorFlow 2: export ONNX from it, by tf2onnx")
    (graph,) = graphs
    if SIGNATURE not in graph.signature_def:
        raise RefusedError(
            f"it has no signature {SIGNATURE}: save it by model.export, or by tf.saved_model.save with signatures"
        )
    if graph.asset_file_def or {node.WhichOneof("kind") for node in graph.object_graph_def.nodes} - OBJECTS:
        raise RefusedError("it needs files or tables beside its weights: export ONNX from it, by tf2onnx")
    functions = [each for each in functions_of(graph) if not SAVING & {node.op for node in each.node_def}]
    constants = [node for node in graph.graph_def.node if node.op == "Const"]  # objects name them
    _check_operators(functions)
    kept = GraphDef(library=FunctionDefLibrary(function=functions), node=constants)
    for field in ("library", "node"):
        graph.graph_def.ClearField(field)
    graph.graph_def.MergeFrom(kept)
    graph.ClearField("saver_def")
    graph.ClearField("collection_def")
    return model.SerializeToString()


def functions_of(graph: Any) -> list[Any]:  # noqa: ANN401 (TensorFlow's MetaGraphDef, which is imported late)
    """Return the functions that a graph calls."""
    fields = {field.name: value for field, value in graph.graph_def.ListFields()}
    return list(fields["library"].function) if "library" in fields else []


def _check_operators(functions: list[Any]) -> None:
    """Refuse functions that do anything but compute.

    Raises:
        RefusedError: If so.
    """
    used = {node.op for function in functions for node in function.node_def}
    if others := sorted(used - OPERATORS):
        named = ", ".join(name[:40] for name in others[:3])
        raise RefusedError(f"its graph has {named}, which may do more than compute: export ONNX from it, by tf2onnx")


def translate(folder: Path, target: Path) -> None:
    """Write a SavedModel as ONNX, by tf2onnx.

    Args:
        folder: A copy of the model, whose graph is written anew.
        target: The ONNX file.

    Raises:
        RefusedError: If it cannot be translated.
    """
    graph = folder / "saved_model.pb"
    graph.write_bytes(keep_what_computes(graph.read_bytes()))
    from tf2onnx import convert

    sys.argv = ["tf2onnx", "--saved-model", str(folder), "--output", str(target), "--signature_def", SIGNATURE]
    try:
        convert.main()
    except (Exception, SystemExit) as error:
        raise RefusedError(UNTRANSLATED) from error


if __name__ == "__main__":
    give_up_rights()
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # what the libraries say is nobody's
            translate(Path(sys.argv[1]), Path(sys.argv[2]))
    except RefusedError as refused:
        sys.stdout.write(f"{refused}\n")
        sys.exit(1)
