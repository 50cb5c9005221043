"""Small ONNX models of unusual form."""

from __future__ import annotations

from pathlib import Path

import numpy as np

WEIGHTS = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)


def write(path: Path, kind: str) -> Path:
    """Write one of the models below."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def values(name, *shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    weights = [numpy_helper.from_array(WEIGHTS, "weights")]
    graphs = {
        # No batch axis: 4 values in, 3 out.
        "single": (
            [helper.make_node("MatMul", ["x", "weights"], ["y"])],
            [values("x", 4)],
            [values("y", 3)],
            weights,
        ),
        "two": (
            [
                helper.make_node("Add", ["left", "right"], ["sum"]),
                helper.make_node("Sub", ["left", "right"], ["difference"]),
            ],
            [values("left", "batch", 4), values("right", "batch", 4)],
            [values("sum", "batch", 4), values("difference", "batch", 4)],
            [],
        ),
        # As many columns as there are values other than 0.
        "dynamic": (
            [helper.make_node("NonZero", ["x"], ["y"])],
            [values("x", "batch", 4)],
            [helper.make_tensor_value_info("y", TensorProto.INT64, (2, "found"))],
            [],
        ),
    }
    nodes, inputs, outputs, initializers = graphs[kind]
    graph = helper.make_graph(nodes, kind, inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path
