"""Resizing in ONNX models, written with operations that every importer gets right.

``Resize`` has dozens of forms, and importers know few of them exactly: TVM 0.27 takes the ratio of
the sizes for the scale. Along each axis, though, it is a sum of a few elements with fixed weights.
Those are read off ONNX Runtime, whose answers are the reference.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edge_tester.core.backends import backend
from edge_tester.core.errors import CompilationError
from edge_tester.core.tensors import Array

_RESIZING = ("Resize", "Upsample")
# Sums of more elements than this are faster as a matrix product.
_MOST_TERMS = 6
_LOG_ERRORS_ONLY = 3
# What the axes of one Resize share, and what concerns a single one.
_LEFT_OUT = ("axes", "keep_aspect_ratio_policy", "scales")


def without_resize(model: Any, needed_by: object) -> Any:
    """Return a model of constant sizes with its resizing as gathering and weighted sums.

    Parameters
    ----------
    model : onnx.ModelProto
    needed_by : object
        Who asks, for messages.

    Raises
    ------
    CompilationError
        A resizing has another form; the message names it and says which.
    """
    if not any(node.op_type in _RESIZING for node in model.graph.node):
        return model
    onnx: Any = backend("onnx", needed_by)
    inferred = onnx.shape_inference.infer_shapes(model)
    graph = inferred.graph
    known = {
        tensor.name: (_sizes(tensor), int(tensor.type.tensor_type.elem_type))
        for tensor in (*graph.input, *graph.output, *graph.value_info)
        if tensor.type.HasField("tensor_type")
    }
    constants = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}
    nodes = list(graph.node)
    del graph.node[:]
    for number, node in enumerate(nodes):
        if node.op_type in _RESIZING and node.domain in ("", "ai.onnx"):
            writer = _Writer(onnx, graph, inferred, node, number, needed_by)
            writer.write(known, constants)
        else:
            graph.node.append(node)
    return inferred


class _Writer:
    """Writes one resizing anew."""

    def __init__(
        self, onnx: Any, graph: Any, model: Any, node: Any, number: int, needed_by: object
    ) -> None:
        self._onnx = onnx
        self._graph = graph
        self._model = model
        self._node = node
        self._prefix = f"edge_tester/resize_{number}"
        self._needed_by = needed_by
        self._count = 0
        self._dtype: Any = np.float32
        self._attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}

    def write(
        self, known: dict[str, tuple[list[int] | None, int]], constants: dict[str, Array]
    ) -> None:
        """Add the nodes that do what the resizing does."""
        sizes, kind = known.get(self._node.input[0], (None, 0))
        if sizes is None:
            raise self._refusal("the shape of its input is not known")
        if self._attributes.get("keep_aspect_ratio_policy", b"stretch") != b"stretch":
            raise self._refusal("it keeps the aspect ratio")
        self._dtype = self._onnx.helper.tensor_dtype_to_np_dtype(kind)
        region, scales, wanted = self._parameters(sizes, constants)
        current = self._node.input[0]
        for axis, size in enumerate(sizes):
            matrix = self._matrix(
                size,
                None if scales is None else float(scales[axis]),
                None if wanted is None else int(wanted[axis]),
                None if region is None else (float(region[axis]), float(region[axis + len(sizes)])),
            )
            if len(matrix) != size or not np.array_equal(matrix, np.eye(size)):
                current = self._apply(matrix, current, axis, len(sizes))
        self._graph.node.append(
            self._onnx.helper.make_node("Identity", [current], [self._node.output[0]])
        )

    def _parameters(
        self, sizes: list[int], constants: dict[str, Array]
    ) -> tuple[Array | None, Array | None, Array | None]:
        """Return region, scales and sizes for all axes, None where they are not given."""
        given = [*self._node.input[1:], "", "", ""][:3]
        if len(self._node.input) == 2:
            # Before opset 11, and Upsample: no region.
            given = ["", given[0], ""]
        found: list[Array | None] = []
        for name in given:
            if name and name not in constants:
                raise self._refusal("it takes sizes that are computed from the data")
            values = constants[name] if name else np.empty(0)
            found.append(values if values.size else None)
        region, scales, wanted = found
        if scales is None and "scales" in self._attributes:
            scales = np.asarray(self._attributes["scales"])
        rank = len(sizes)
        axes = [axis % rank for axis in self._attributes.get("axes", range(rank))]
        if self._attributes.get("coordinate_transformation_mode") != b"tf_crop_and_resize":
            region = None
        return (
            None
            if region is None
            else _spread(region, [*axes, *(a + rank for a in axes)], np.repeat([0.0, 1.0], rank)),
            None if scales is None else _spread(scales, axes, np.ones(rank)),
            None if wanted is None else _spread(wanted, axes, np.array(sizes)),
        )

    def _matrix(
        self,
        size: int,
        scale: float | None,
        wanted: int | None,
        region: tuple[float, float] | None,
    ) -> Array:
        """Return what the resizing does to one axis, of shape (new size, size)."""
        untouched = scale == 1.0 if wanted is None else wanted == size
        if untouched and region in (None, (0.0, 1.0)):
            return np.eye(size, dtype=np.float32)
        # Channels of which each has one element that is not 0; ONNX Runtime interpolates the
        # last two of four axes.
        probe = np.eye(size, dtype=np.float32).reshape(1, size, size, 1)
        answers = self._run(probe, scale, wanted, region)
        if np.any(self._run(np.zeros_like(probe), scale, wanted, region)):
            raise self._refusal("values outside of the region are not 0")
        return np.ascontiguousarray(answers[0, :, :, 0].T)

    def _run(
        self,
        probe: Array,
        scale: float | None,
        wanted: int | None,
        region: tuple[float, float] | None,
    ) -> Array:
        helper, numpy_helper = self._onnx.helper, self._onnx.numpy_helper
        constants: dict[str, Array] = {}
        if region is not None:
            constants["roi"] = np.array([0, 0, region[0], 0, 1, 1, region[1], 1], np.float32)
        if wanted is not None:
            constants["sizes"] = np.array([1, probe.shape[1], wanted, 1], np.int64)
        else:
            constants["scales"] = np.array([1, 1, scale, 1], np.float32)
        old = len(self._node.input) == 2 or "scales" in self._attributes
        names = ["scales"] if old else ["roi", "scales", "sizes"]
        inputs = ["x", *(name if name in constants else "" for name in names)]
        node = helper.make_node(self._node.op_type, inputs, ["y"])
        node.attribute.extend(a for a in self._node.attribute if a.name not in _LEFT_OUT)
        float32 = self._onnx.TensorProto.FLOAT
        if "scales" in self._attributes:
            del node.input[1:]
            node.attribute.append(helper.make_attribute("scales", [1.0, 1.0, scale, 1.0]))
        graph = helper.make_graph(
            [node],
            "resize",
            [helper.make_tensor_value_info("x", float32, probe.shape)],
            [helper.make_tensor_value_info("y", float32, None)],
            [
                numpy_helper.from_array(values, name)
                for name, values in constants.items()
                if name in node.input
            ],
        )
        model = helper.make_model(graph, opset_imports=self._model.opset_import)
        model.ir_version = self._model.ir_version
        runtime: Any = backend("onnxruntime", self._needed_by)
        options = runtime.SessionOptions()
        options.log_severity_level = _LOG_ERRORS_ONLY
        try:
            session = runtime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
            answer: Array = session.run(None, {"x": probe})[0]
        except Exception as error:  # Its errors have no base in common.
            reason = " ".join(str(error).split())[:200]
            raise self._refusal(f"ONNX Runtime does not run it: {reason}") from error
        return answer

    def _apply(self, matrix: Array, current: str, axis: int, rank: int) -> str:
        terms = int(np.count_nonzero(matrix, axis=1).max(initial=1))
        if terms > _MOST_TERMS:
            return self._product(matrix, current, axis, rank)
        # The elements of each row that count, those with the largest weights first.
        places = np.argsort(-np.abs(matrix), axis=1, kind="stable")[:, :terms]
        weights = np.take_along_axis(matrix, places, axis=1)
        total = ""
        for term in range(terms):
            part = self._add("Gather", [current, self._constant(places[:, term])], axis=axis)
            if not np.all(weights[:, term] == 1):
                shape = [-1 if one == axis else 1 for one in range(rank)]
                factor = self._constant(weights[:, term].reshape(shape).astype(self._dtype))
                part = self._add("Mul", [part, factor])
            total = self._add("Add", [total, part]) if total else part
        return total

    def _product(self, matrix: Array, current: str, axis: int, rank: int) -> str:
        order = [*(one for one in range(rank) if one != axis), axis]
        turned = self._add("Transpose", [current], perm=order)
        factor = self._constant(np.ascontiguousarray(matrix.T).astype(self._dtype))
        product = self._add("MatMul", [turned, factor])
        return self._add("Transpose", [product], perm=np.argsort(order).tolist())

    def _constant(self, values: Array) -> str:
        name = self._name()
        self._graph.initializer.append(self._onnx.numpy_helper.from_array(values, name))
        return name

    def _add(self, operation: str, inputs: list[str], **attributes: Any) -> str:
        name = self._name()
        self._graph.node.append(
            self._onnx.helper.make_node(operation, inputs, [name], **attributes)
        )
        return name

    def _name(self) -> str:
        self._count += 1
        return f"{self._prefix}/{self._count}"

    def _refusal(self, reason: str) -> CompilationError:
        return CompilationError(
            f"{type(self._needed_by).__name__} does not take the {self._node.op_type} "
            f"{self._node.name or self._node.output[0]!r}: {reason}."
        )


def _spread(values: Array, axes: list[int], others: Array) -> Array:
    """Return values for all axes, those that are not named from ``others``."""
    full = np.array(others, np.asarray(values).dtype)
    full[axes] = values
    return full


def _sizes(tensor: Any) -> list[int] | None:
    shape = tensor.type.tensor_type.shape
    sizes = [int(size.dim_value) if size.HasField("dim_value") else -1 for size in shape.dim]
    known = tensor.type.tensor_type.HasField("shape") and all(size >= 0 for size in sizes)
    return sizes if known and math.prod(sizes) else None
