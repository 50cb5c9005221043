"""Model files with open batch sizes made fixed, for tools that need to know every shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edge_tester.compilers._shared.flatbuffer import IDENTIFIER
from edge_tester.compilers._shared.onnx_files import loaded, saved
from edge_tester.core.backends import backend
from edge_tester.core.errors import CompilationError, ModelError

_LOG_ERRORS_ONLY = 3


def fixed_onnx(path: Path, batch_size: int, folder: Path, needed_by: object) -> Any:
    """Return an ONNX model in which every size that follows from the inputs is a constant.

    ONNX Runtime computes what is left of shape arithmetic, and merges what is
    one operation, such as a convolution and its normalization.

    Parameters
    ----------
    path : Path
    batch_size : int
        Becomes the open first size of the inputs.
    folder : Path
        For files that are of no use later.
    needed_by : object

    Returns
    -------
    onnx.ModelProto

    Raises
    ------
    CompilationError
        Another size than the first is open.
    ModelError
        The file is no ONNX model.
    """
    onnx: Any = backend("onnx", needed_by)
    runtime: Any = backend("onnxruntime", needed_by)
    model = loaded(path, needed_by)
    graph = model.graph
    constants = {constant.name for constant in graph.initializer}
    for tensor in graph.input:
        if tensor.name in constants:
            continue
        for position, size in enumerate(tensor.type.tensor_type.shape.dim):
            if size.HasField("dim_value"):
                continue
            if position > 0:
                raise CompilationError(
                    f"{type(needed_by).__name__} fixes the batch alone; dimension {position} of "
                    f"input {tensor.name!r} of {path} is open too."
                )
            size.dim_value = batch_size
    for tensor in graph.output:
        tensor.type.tensor_type.ClearField("shape")
    del graph.value_info[:]
    source, folded = folder / "fixed.onnx", folder / "folded.onnx"
    large = saved(model, source)
    options = runtime.SessionOptions()
    options.log_severity_level = _LOG_ERRORS_ONLY
    # Anything higher would bring operations that only ONNX Runtime has.
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(folded)
    if large:
        options.add_session_config_entry(
            "session.optimized_model_external_initializers_file_name", "folded.data"
        )
    runtime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    return onnx.load(str(folded))


def fixed_tflite(path: Path, batch_size: int, needed_by: object) -> bytes:
    """Return a .tflite model in which the open first sizes are ``batch_size``.

    A reshape takes its shape from that of its result then; what computed it
    before is left out.

    Raises
    ------
    CompilationError
        A reshape has more than one open size.
    ModelError
        The file is no .tflite model.
    """
    content = path.read_bytes()
    if content[4:8] != IDENTIFIER:
        raise ModelError(f"{path} is no LiteRT (TensorFlow Lite) model.")
    schema: Any = backend("ai_edge_litert.schema_py_generated", needed_by)
    flatbuffers: Any = backend("flatbuffers", needed_by)
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    (graph,) = model.subgraphs
    for tensor in graph.tensors:
        signature = tensor.shapeSignature
        if signature is not None and len(signature) and signature[0] == -1:
            tensor.shape = np.array([batch_size, *tensor.shape[1:]], np.int32)
    for operation in graph.operators:
        if _code(model, operation) == schema.BuiltinOperator.RESHAPE:
            _fix_reshape(schema, model, graph, operation, path, needed_by)
    _drop_unread(graph)
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def _code(model: Any, operation: Any) -> int:
    code = model.operatorCodes[operation.opcodeIndex]
    # Files of before 2020 have the first one alone.
    return int(max(code.deprecatedBuiltinCode, code.builtinCode))


def _fix_reshape(
    schema: Any, model: Any, graph: Any, operation: Any, path: Path, needed_by: object
) -> None:
    if len(operation.inputs) < 2:
        return
    data = model.buffers[graph.tensors[operation.inputs[1]].buffer].data
    # An array if there is any, of which Python does not say whether it is true.
    if data is not None and len(data):
        return
    result = graph.tensors[operation.outputs[0]]
    signature = result.shapeSignature
    if signature is not None and (np.asarray(signature)[1:] == -1).any():
        raise CompilationError(
            f"{type(needed_by).__name__} fixes the batch alone; {result.name.decode()!r} of {path} "
            "has further open sizes."
        )
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(np.asarray(result.shape, np.int32).tobytes(), np.uint8)
    model.buffers.append(buffer)
    shape = schema.TensorT()
    shape.name = result.name + b"/shape"
    shape.type = schema.TensorType.INT32
    shape.shape = np.array([len(result.shape)], np.int32)
    shape.buffer = len(model.buffers) - 1
    graph.tensors.append(shape)
    operation.inputs = np.array([operation.inputs[0], len(graph.tensors) - 1], np.int32)


def _drop_unread(graph: Any) -> None:
    read = set(graph.outputs)
    kept = []
    for operation in reversed(graph.operators):
        if read & set(operation.outputs):
            read |= set(operation.inputs)
            kept.append(operation)
    graph.operators = kept[::-1]
