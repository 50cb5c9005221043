"""Convert an ONNX file of fixed shapes to .tflite; runs as a script where onnx2tf is.

Nothing of edge_tester is there. ``python onnx2tf.py model.onnx model.tflite folder`` prints
the versions that were used as JSON. The folder takes what is of no use later.
"""

import importlib
import importlib.metadata
import itertools
import json
import os
import re
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

Arrays = Sequence[Any]

# float32 differs by far less, a lost transposition by far more.
TOLERANCE = 1e-2
# Where onnx2tf has a module for each operator that it knows.
_OPERATORS = "onnx2tf.ops"
# onnx2tf downloads images to try models with, unless this is in the current folder.
_IMAGES = ("calibration_image_sample_data_20x128x128x3_float32.npy", (20, 128, 128, 3))
_MODEL = "model.onnx"


def convert(source: str, output: str, folder: str) -> None:
    """Convert, with the order of dimensions of all inputs and outputs as it is in the file.

    Raises
    ------
    ValueError
        An operator is not supported, or what comes out answers differently.
    """
    onnx = importlib.import_module("onnx")
    model = _renamed(onnx.load(source))
    os.chdir(folder)
    np.save(_IMAGES[0], np.random.default_rng(0).random(_IMAGES[1], "float32"))
    onnx.save(model, _MODEL)
    inputs, expected = _answers(model)
    network, orders = _converted(inputs, expected)
    content = _ordered(_flatbuffer(network, inputs, orders))
    difference = _difference_of_all(expected, _lite_answers(content, inputs))
    if difference > TOLERANCE:
        raise _refusal(difference)
    with open(output, "wb") as file:
        file.write(content)


def _renamed(model: Any) -> Any:
    """Give inputs and outputs names that onnx2tf leaves alone."""
    surgeon = importlib.import_module("onnx_graphsurgeon")
    graph = surgeon.import_onnx(model)
    for role, tensors in (("input", graph.inputs), ("output", graph.outputs)):
        for number, tensor in enumerate(tensors):
            tensor.name = f"{role}_{number}"
    return surgeon.export_onnx(graph, do_type_check=False, ir_version=model.ir_version)


def _answers(model: Any) -> tuple[Arrays, Arrays]:
    """Return inputs from a fixed seed and what ONNX Runtime makes of them."""
    onnx = importlib.import_module("onnx")
    runtime = importlib.import_module("onnxruntime")
    generator = np.random.default_rng(0)
    inputs = {}
    for tensor in model.graph.input:
        kind = tensor.type.tensor_type
        shape = [size.dim_value for size in kind.shape.dim]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
        # Integers may be numbers of rows: 0 and 1 are such of nearly every table.
        values = generator.random(shape) if dtype.kind == "f" else generator.integers(0, 2, shape)
        inputs[tensor.name] = np.asarray(values, dtype)
    session = runtime.InferenceSession(_MODEL, providers=["CPUExecutionProvider"])
    return list(inputs.values()), session.run(None, inputs)


def _converted(inputs: Arrays, expected: Arrays) -> tuple[Any, list[tuple[int, ...]]]:
    """Return a Keras model and the order that the dimensions of each output are to be in.

    onnx2tf works with channels last and guesses from shapes what lies in which order. Whether it
    guessed right is seen from the values. Its strict mode checks each operation that way and
    takes minutes for it, so it comes last.
    """
    refusals: list[Exception] = []
    for strict, way in itertools.product((False, True), _ways(inputs)):
        try:
            network = importlib.import_module("onnx2tf").convert(
                input_onnx_file_path=_MODEL,
                output_folder_path="saved_model",
                not_use_onnxsim=True,
                disable_strict_mode=not strict,
                disable_model_save=True,
                verbosity="error",
                **way,
            )
            found = [values.numpy() for values in _run(network, inputs)]
            orders = [_order(*pair) for pair in zip(expected, found, strict=True)]
        except ModuleNotFoundError as error:
            package, _, operator = str(error.name).rpartition(".")
            if package != _OPERATORS:
                raise
            raise ValueError(f"the operator {operator} is not supported") from error
        except Exception as error:
            # Another way may do.
            refusals.append(_named(error))
            continue
        found = [values.transpose(order) for values, order in zip(found, orders, strict=True)]
        difference = _difference_of_all(expected, found)
        if difference <= TOLERANCE:
            return network, orders
        refusals.append(_refusal(difference))
    raise refusals[0]


def _ways(inputs: Arrays) -> list[dict[str, list[str]]]:
    """Return the arguments of onnx2tf that keep inputs as they are, channels anywhere or first."""
    names = [f"input_{number}" for number in range(len(inputs))]
    ways = [{"keep_shape_absolutely_input_names": names}]
    images = [name for name, values in zip(names, inputs, strict=True) if 3 <= values.ndim <= 5]
    if images:
        ways.append({"keep_ncw_or_nchw_or_ncdhw_input_names": images})
    return ways


def _named(error: Exception) -> Exception:
    """Return an error with the operator at which onnx2tf failed, where it tells the place."""
    onnx = importlib.import_module("onnx")
    place = getattr(error, "onnx_op_name", None)
    for node in onnx.load(_MODEL).graph.node:
        if node.name == place:
            return ValueError(f"the operator {node.op_type} is not supported here: {error}")
    return error


def _run(network: Any, inputs: Arrays) -> Any:
    tensorflow = importlib.import_module("tensorflow")
    return tensorflow.nest.flatten(network(list(inputs) if len(inputs) > 1 else inputs[0]))


def _order(wanted: Any, found: Any) -> tuple[int, ...]:
    fitting = [
        order
        for order in itertools.permutations(range(found.ndim))
        if tuple(found.shape[axis] for axis in order) == wanted.shape
    ]
    if not fitting:
        raise ValueError(f"an output has the shape {found.shape} instead of {wanted.shape}")
    # Of equals the first one, which leaves everything as it is.
    return min(fitting, key=lambda order: _difference(wanted, found.transpose(order)))


def _difference_of_all(wanted: Arrays, found: Arrays) -> float:
    return max(_difference(*pair) for pair in zip(wanted, found, strict=True))


def _difference(wanted: Any, found: Any) -> float:
    """Return the largest difference relative to the largest value."""
    if wanted.size == 0:
        return 0.0
    wanted = wanted.astype("float64")
    difference = np.abs(wanted - found).max() / (np.abs(wanted).max() or 1.0)
    return float(difference) if np.isfinite(difference) else float("inf")


def _refusal(difference: float) -> ValueError:
    return ValueError(
        f"the outputs differ from ONNX Runtime's by {difference:.2g} of the largest value"
    )


def _flatbuffer(network: Any, inputs: Arrays, orders: Sequence[tuple[int, ...]]) -> bytes:
    tensorflow = importlib.import_module("tensorflow")
    lite = tensorflow.lite
    signature = [
        tensorflow.TensorSpec(values.shape, values.dtype, name=f"input_{number}")
        for number, values in enumerate(inputs)
    ]

    def answer(*tensors: Any) -> list[Any]:
        return [
            result if order == tuple(range(len(order))) else tensorflow.transpose(result, order)
            for result, order in zip(_run(network, tensors), orders, strict=True)
        ]

    # With its variables as constants, since to save a Keras model takes most of the time.
    freezing = importlib.import_module("tensorflow.python.framework.convert_to_constants")
    frozen = freezing.convert_variables_to_constants_v2(
        tensorflow.function(answer, input_signature=signature).get_concrete_function(),
        lower_control_flow=False,
    )
    converter = lite.TFLiteConverter.from_concrete_functions([frozen], tensorflow.Module())
    # TensorFlow's own operations are none that the runtimes have.
    converter.target_spec.supported_ops = [lite.OpsSet.TFLITE_BUILTINS]
    try:
        content: bytes = converter.convert()
    except Exception as error:
        missing = re.search(r"(?:TF Select|Custom) ops: (.+)", str(error))
        if not missing:
            raise
        raise ValueError(
            f"LiteRT has no operation for TensorFlow's {missing[1].strip()}, which is not supported"
        ) from error
    return content


def _ordered(content: bytes) -> bytes:
    """Return the model with inputs and outputs in the order of the numbers in its signature."""
    schema = importlib.import_module("ai_edge_litert.schema_py_generated")
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    (signature,) = model.signatureDefs
    graph = model.subgraphs[signature.subgraphIndex]
    graph.inputs, graph.outputs = _numbered(signature.inputs), _numbered(signature.outputs)
    builder = importlib.import_module("flatbuffers").Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _numbered(entries: Sequence[Any]) -> list[int]:
    """Return the tensors of ``input_0``, ``input_1`` and so on by their numbers."""
    return [
        entry.tensorIndex
        for entry in sorted(entries, key=lambda entry: int(entry.name.rpartition(b"_")[2]))
    ]


def _lite_answers(content: bytes, inputs: Arrays) -> Arrays:
    module = importlib.import_module("ai_edge_litert.interpreter")
    interpreter = module.Interpreter(model_content=content)
    interpreter.allocate_tensors()
    for detail, values in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(detail["index"], values)
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


if __name__ == "__main__":
    try:
        convert(*sys.argv[1:4])
    # onnx2tf ends the process where it gives up.
    except (Exception, SystemExit) as error:
        # The last line is what the user is shown.
        print(f"{type(error).__name__}: {' '.join(str(error).split())[:500]}", file=sys.stderr)
        sys.exit(1)
    names = ("onnx2tf", "tensorflow", "ai-edge-litert")
    print(json.dumps({name: importlib.metadata.version(name) for name in names}))
