"""Schedules of this package, over a grid of sizes that have 1 and primes among them."""

import itertools

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_tester.compilers._tvm.resize import without_resize
from edge_tester.compilers.tvm import TVMCompiler
from edge_tester.core.errors import CompilationError
from edge_tester.modelwrappers.generic.onnx_file import ONNXFile

SIZES = (1, 3, 16, 17)
node = helper.make_node


class Grid:
    """One model with as many inputs and outputs as there are cases."""

    def __init__(self):
        self.random = np.random.default_rng(0)
        self.nodes, self.inputs, self.outputs, self.constants = [], [], [], []

    def input(self, *shape):
        name = f"x{len(self.inputs)}"
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return name

    def constant(self, *shape):
        name = f"c{len(self.constants)}"
        values = self.random.standard_normal(shape).astype(np.float32)
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def add(self, operation, inputs, last=False, **attributes):
        name = f"y{len(self.nodes)}"
        self.nodes.append(node(operation, inputs, [name], **attributes))
        if last:
            self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
        return name

    def write(self, path):
        graph = helper.make_graph(self.nodes, "grid", self.inputs, self.outputs, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(model, path)
        return ONNXFile(model_path=path)


def products(grid):
    for rows, inner, columns in itertools.product(SIZES, SIZES, SIZES):
        product = grid.add("MatMul", [grid.input(rows, inner), grid.constant(inner, columns)])
        grid.add("Add", [product, grid.constant(columns)], last=True)


def batches_of_products(grid):
    for batch, rows, inner in itertools.product((1, 3), (1, 5, 8), (1, 7, 16)):
        product = grid.add("MatMul", [grid.input(batch, rows, inner), grid.input(batch, inner, 9)])
        grid.add("Relu", [grid.add("Mul", [product, grid.constant(9)])], last=True)


def convolutions(grid):
    for inputs, outputs, kernel, size in itertools.product((1, 3), (1, 7, 16), (1, 3), (3, 8)):
        image, weights = grid.input(1, inputs, size, size), (outputs, inputs, kernel, kernel)
        made = grid.add("Conv", [image, grid.constant(*weights), grid.constant(outputs)])
        grid.add("Clip", [made, grid.zero, grid.six], last=True)


def grouped_convolutions(grid):
    for channels, kernel, stride in itertools.product((1, 5, 16), (1, 3), (1, 2)):
        image = grid.input(1, channels, 7, 7)
        inputs = [image, grid.constant(channels, 1, kernel, kernel)]
        made = grid.add("Conv", inputs, group=channels, strides=[stride, stride])
        grid.add("Add", [made, grid.constant(channels, 1, 1)], last=True)
        inputs = [image, grid.constant(channels, 1, kernel, kernel)]
        grid.add("ConvTranspose", inputs, group=channels, strides=[stride, stride], last=True)


def reductions(grid):
    for channels, size in itertools.product((1, 5, 16), (1, 3, 8)):
        image = grid.input(1, channels, size, size)
        for operation in ("ReduceMean", "ReduceMax", "ReduceL2", "ReduceProd"):
            for axes in ([1], [2, 3], [0]):
                made = grid.add(operation, [image], axes=axes)
                grid.add("Add", [made, image], last=True)
        grid.add("Softmax", [image], axis=1, last=True)
        grid.add("GlobalAveragePool", [image], last=True)
        for kernel in range(1, min(size, 2) + 1):
            for operation in ("AveragePool", "MaxPool"):
                made = grid.add(operation, [image], kernel_shape=[kernel, kernel])
                grid.add("Sigmoid", [made], last=True)
        inputs = [image, grid.constant(size), grid.constant(size)]
        grid.add("LayerNormalization", inputs, axis=-1, last=True)


def movements(grid):
    for channels, size in itertools.product((1, 5, 16), (1, 7)):
        image = grid.input(1, channels, size, size)
        turned = grid.add("Transpose", [image], perm=[0, 2, 3, 1])
        grid.add("Mul", [turned, grid.constant(channels)], last=True)
        grid.add("Concat", [image, image], axis=1, last=True)
        grid.add("Pad", [image, grid.margins], last=True)


@pytest.mark.parametrize(
    ("family", "schedules"),
    [
        (products, "edge_tester"),
        (batches_of_products, "edge_tester"),
        (convolutions, "edge_tester"),
        (grouped_convolutions, "edge_tester"),
        (reductions, "edge_tester"),
        (movements, "edge_tester"),
        (movements, "tvm"),
    ],
)
def test_every_size_is_computed_right(tmp_path, family, schedules):
    grid = Grid()
    for name, values in (
        ("zero", np.float32(0)),
        ("six", np.float32(6)),
        ("margins", np.array([0, 0, 1, 0, 0, 0, 2, 1])),
    ):
        setattr(grid, name, name)
        grid.constants.append(numpy_helper.from_array(np.asarray(values), name))
    family(grid)
    compiler = TVMCompiler(compiled_model_path=tmp_path / "m.so", schedules=schedules)
    # The check of the compiler itself compares every output with ONNX Runtime.
    artifact = compiler.compile(grid.write(tmp_path / "m.onnx"), None)
    assert schedules == artifact.facts["schedules"]
    assert artifact.facts["self_check"]["compared"]
    assert artifact.facts["self_check"]["largest_difference"] < 1e-4


def test_a_long_chain_whose_values_are_read_twice_is_compiled(tmp_path):
    """Inlined as a whole it would be an expression of 2 ** 60 values."""
    grid = Grid()
    value = grid.input(1, 48)
    for step in range(60):
        value = grid.add("Mul", [value, grid.add("Sigmoid", [value])], last=step == 59)
    compiler = TVMCompiler(compiled_model_path=tmp_path / "m.so")
    artifact = compiler.compile(grid.write(tmp_path / "m.onnx"), None)
    assert artifact.facts["self_check"]["compared"]


FORMS = [
    {"mode": "nearest", "nearest_mode": "round_prefer_ceil"},
    {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
    {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
    {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"},
    {"mode": "linear", "antialias": 1},
    {"mode": "cubic", "cubic_coeff_a": -0.5, "exclude_outside": 1},
]
SCALES = [(1.5, 1.5), (0.6, 0.7), (2, 3), (1, 1.3)]


def resizing(by, inputs=("x", "", "scales"), opset=19, shape=(1, 2, 7, 9), **attributes):
    graph = helper.make_graph(
        [node("Resize", inputs, ["y"], name="larger", **attributes)],
        "resizing",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in by.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def answers(model, values):
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {"x": values})[0]


@pytest.mark.parametrize("scales", SCALES)
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_resizing_is_written_as_what_every_importer_knows(form, scales):
    values = np.random.default_rng(0).standard_normal((1, 2, 7, 9)).astype(np.float32)
    sizes = np.array(
        [1, 2, *(int(scale * size) for scale, size in zip(scales, (7, 9), strict=True))]
    )
    for by, inputs in (
        ({"scales": np.float32([1, 1, *scales])}, ["x", "", "scales"]),
        ({"sizes": sizes}, ["x", "", "", "sizes"]),
    ):
        model = resizing(by, inputs, **form)
        written = without_resize(model, "Test")
        assert all(one.op_type != "Resize" for one in written.graph.node)
        np.testing.assert_allclose(answers(model, values), answers(written, values), atol=1e-5)


@pytest.mark.parametrize(
    ("by", "inputs", "opset", "attributes"),
    [
        ({"scales": np.float32([1, 1, 1.7, 0.8])}, ["x", "scales"], 10, {"mode": "linear"}),
        ({"scales": np.float32([1.7, 0.8])}, ["x", "", "scales"], 18, {"axes": [3, 2]}),
        (
            {
                "scales": np.float32([1, 1, 1.5, 2]),
                "region": np.float32([0, 0, 0.1, 0.2, 1, 1, 0.8, 0.9]),
            },
            ["x", "region", "scales"],
            17,
            {"coordinate_transformation_mode": "tf_crop_and_resize", "mode": "linear"},
        ),
    ],
)
def test_resizing_of_other_opsets_axes_and_regions(by, inputs, opset, attributes):
    values = np.random.default_rng(0).standard_normal((1, 2, 7, 9)).astype(np.float32)
    model = resizing(by, inputs, opset, **attributes)
    written = without_resize(model, "Test")
    np.testing.assert_allclose(answers(model, values), answers(written, values), atol=1e-5)


def test_resizing_that_cannot_be_written_is_refused_by_name():
    model = resizing(
        {"sizes": np.array([1, 2, 20, 20])},
        ["x", "", "", "sizes"],
        18,
        keep_aspect_ratio_policy="not_larger",
    )
    with pytest.raises(CompilationError, match="Resize 'larger': it keeps the aspect ratio"):
        without_resize(model, "Test")


def test_tvm_resizes_by_the_scale(tmp_path):
    model = resizing({"scales": np.float32([1, 1, 1.5, 1.3])}, mode="linear")
    onnx.save(model, tmp_path / "m.onnx")
    compiler = TVMCompiler(compiled_model_path=tmp_path / "m.so")
    artifact = compiler.compile(ONNXFile(model_path=tmp_path / "m.onnx"), None)
    assert artifact.facts["self_check"]["largest_difference"] < 1e-4


def test_lite_models_that_reshape_to_a_constant_shape_are_imported(tmp_path):
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    from edge_tester.modelwrappers.generic.tflite_file import TFLiteFile

    def tensor(name, shape, buffer, kind=schema.TensorType.FLOAT32):
        made = schema.TensorT()
        made.name, made.shape, made.buffer, made.type = name, np.int32(shape), buffer, kind
        return made

    reshape = schema.OperatorT()
    reshape.inputs, reshape.outputs = np.int32([0, 1]), np.int32([2])
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.RESHAPE
    code.version = 1
    graph = schema.SubGraphT()
    graph.tensors = [
        tensor("x", [1, 2, 3], 0),
        tensor("shape", [2], 1, schema.TensorType.INT32),
        tensor("y", [1, 6], 0),
    ]
    graph.operators, graph.inputs, graph.outputs = [reshape], np.int32([0]), np.int32([2])
    model = schema.ModelT()
    shape = schema.BufferT()
    shape.data = np.frombuffer(np.int32([1, 6]).tobytes(), np.uint8)
    model.version, model.subgraphs, model.operatorCodes = 3, [graph], [code]
    model.buffers = [schema.BufferT(), shape]
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    (tmp_path / "m.tflite").write_bytes(bytes(builder.Output()))
    compiler = TVMCompiler(compiled_model_path=tmp_path / "m.so")
    artifact = compiler.compile(TFLiteFile(model_path=tmp_path / "m.tflite"), None)
    assert 0 == artifact.facts["self_check"]["largest_difference"]
