"""Import models into TVM's Relax, all shapes fixed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from edge_tester.compilers._shared import pt2e
from edge_tester.compilers._shared.fixed_batch import fixed_onnx, fixed_tflite
from edge_tester.compilers._shared.flatbuffer import Flatbuffer
from edge_tester.compilers._tvm.resize import without_resize
from edge_tester.core.backends import backend
from edge_tester.core.errors import CompilationError
from edge_tester.core.model import ModelWrapper
from edge_tester.core.system.temporary import TemporaryFolder
from edge_tester.core.tensors import TensorSpec


def imported(
    tvm: Any, model: ModelWrapper, batch_size: int, needed_by: object
) -> tuple[Any, list[TensorSpec], list[TensorSpec]]:
    """Return a model as module of Relax, and its inputs and outputs.

    Raises
    ------
    CompilationError
        A size other than that of the batch is open, or TVM cannot import the model.
    """
    model.load()
    inputs, outputs = model.specs()
    if model.format in ("torch", "torch-exported"):
        translate: Any = backend("tvm.relax.frontend.torch", needed_by).from_exported_program
        program = model.export()
        pt2e.require_float(model, program, needed_by)
        module = translate(_with_indices_from_the_front(program))
    elif model.format == "tflite":
        module = _from_tflite(model.model_path, batch_size, needed_by)
    else:
        module = _from_onnx(model.model_path, batch_size, needed_by)
    module = _with_batch(tvm, module, batch_size)
    main = module["main"]
    results = _flat(main.ret_ty)
    return (
        module,
        [_spec(spec, variable.ty) for spec, variable in zip(inputs, main.params, strict=True)],
        [_spec(spec, result) for spec, result in zip(outputs, results, strict=True)],
    )


def _with_indices_from_the_front(program: Any) -> Any:
    """Count what is selected from the end from the front: TVM would read outside of the tensor."""
    for node in program.graph.nodes:
        if str(node.target) == "aten.select.int" and node.args[2] < 0:
            values, axis, index = node.args
            size = values.meta["val"].shape[axis]
            node.args = (values, axis, index + size)
    return program


def _from_onnx(path: Path, batch_size: int, needed_by: object) -> Any:
    frontend: Any = backend("tvm.relax.frontend.onnx", needed_by)
    with TemporaryFolder() as folder:
        fixed = fixed_onnx(path, batch_size, Path(folder), needed_by)
    return frontend.from_onnx(without_resize(fixed, needed_by))


def _from_tflite(path: Path, batch_size: int, needed_by: object) -> Any:
    if Flatbuffer.read(path, needed_by).is_quantized():
        raise CompilationError(
            f"TVMCompiler takes float32 .tflite models, which alone TVM imports; {path} is "
            "quantized or of half precision."
        )
    accessors: Any = backend("tflite", needed_by)
    frontend: Any = backend("tvm.relax.frontend.tflite", needed_by)
    content = fixed_tflite(path, batch_size, needed_by)
    return frontend.from_tflite(accessors.Model.GetRootAsModel(content, 0))


def _with_batch(tvm: Any, module: Any, batch_size: int) -> Any:
    """Give the open first sizes of the inputs a value."""
    chosen: dict[Any, int] = {}
    for variable in module["main"].params:
        for position, size in enumerate(variable.ty.shape):
            if isinstance(size, tvm.tirx.IntImm):
                continue
            if position > 0:
                raise CompilationError(
                    f"TVMCompiler fixes the batch alone; dimension {position} of input "
                    f"{variable.name_hint!r} is open too."
                )
            chosen[size] = batch_size
    return tvm.relax.transform.BindSymbolicVars(chosen)(module) if chosen else module


def _flat(result: Any) -> list[Any]:
    return list(result.fields) if hasattr(result, "fields") else [result]


def _spec(spec: TensorSpec, found: Any) -> TensorSpec:
    """Return the spec of the model with the shape and dtype that TVM sees."""
    shape = tuple(int(size) for size in found.shape)
    return msgspec.structs.replace(spec, shape=shape, dtype=str(found.dtype))
