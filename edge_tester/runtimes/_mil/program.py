"""A Core ML program (MIL) as it lies in its package, evaluated step by step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_tester.core.backends import backend
from edge_tester.core.errors import ModelError
from edge_tester.core.system.quiet import quiet
from edge_tester.core.tensors import Array, TensorSpec
from edge_tester.runtimes._mil.operations import OPERATIONS

# MIL's names of types -> numpy's. Source: coremltools, converters/mil/mil/types.
_DTYPES = {"fp16": "float16", "fp32": "float32", "fp64": "float64", "int32": "int32"}
_DTYPES |= {"int": "int32", "bool": "bool", "int8": "int8", "uint8": "uint8", "int16": "int16"}


class MILProgram:
    """The main function of a package.

    Parameters
    ----------
    folder : Path
        The package.
    path : Path
        What the user knows it by.
    needed_by : object
        Who asks, for messages.

    Raises
    ------
    ModelError
        The package is corrupt, or has an operation that is not supported.
    """

    def __init__(self, folder: Path, path: Path, needed_by: object) -> None:
        self._torch: Any = backend("torch", needed_by)
        try:
            function = _main_function(folder, needed_by)
        # The parser's errors have no base in common.
        except Exception as error:
            name = type(needed_by).__name__
            raise ModelError(
                f"{name} cannot load {path}: {type(error).__name__}: {error}"
            ) from error
        steps = [one for one in function.operations if one.op_type != "const"]
        unknown = sorted({one.op_type for one in steps} - OPERATIONS.keys())
        if unknown:
            raise ModelError(
                f"{type(needed_by).__name__} cannot evaluate {path}: no evaluation of "
                f"{', '.join(unknown)}."
            )
        self._names = list(function.inputs)
        self.inputs = [_spec(name, value) for name, value in function.inputs.items()]
        self.outputs = [_spec(value.name, value) for value in function.outputs]
        self.operations: dict[str, int] = {}
        for one in steps:
            self.operations[one.op_type] = self.operations.get(one.op_type, 0) + 1
        self._constants: dict[str, Any] = {}
        # Compressed weights are the same for all inputs.
        for one in steps:
            if one.op_type.startswith("constexpr_"):
                self._evaluate(one, self._constants)
        self._steps = [one for one in steps if not one.op_type.startswith("constexpr_")]

    def evaluate(self, inputs: Sequence[Array]) -> list[Array]:
        """Return the outputs for these inputs, in the order of :attr:`outputs`."""
        known: dict[str, Any] = dict(zip(self._names, inputs, strict=True))
        known |= self._constants
        for step in self._steps:
            self._evaluate(step, known)
        return [known[spec.name] for spec in self.outputs]

    def _evaluate(self, step: Any, known: dict[str, Any]) -> None:
        """Add the results of one operation to the values that are known."""

        def value_of(one: Any) -> Any:
            if isinstance(one, list | tuple):
                return [value_of(part) for part in one]
            return known[one.name] if one.name in known else one.val

        given = {name: value_of(v) for name, v in step.inputs.items() if v is not None}
        results = OPERATIONS[step.op_type](self._torch, **given)
        results = results if isinstance(results, list | tuple) else [results]
        for variable, result in zip(step.outputs, results, strict=True):
            # Each result is rounded to its own type, as memory would hold it.
            known[variable.name] = np.asarray(result).astype(_dtype(variable))


def _main_function(folder: Path, needed_by: object) -> Any:
    with quiet():
        tools: Any = backend("coremltools", needed_by)
        reader: Any = backend("coremltools.converters.mil.frontend.milproto.load", needed_by)
        package = tools.models.MLModel(str(folder), skip_model_load=True)
        specification = package.get_spec()
        version = specification.specificationVersion
        return reader.load(specification, version, package.weights_dir).functions["main"]


def _dtype(variable: Any) -> str:
    kind = variable.dtype
    name = getattr(kind, "__type_info__", lambda: kind)()
    text = str(getattr(name, "name", name))
    return _DTYPES.get(text, text)


def _spec(name: str, variable: Any) -> TensorSpec:
    shape = tuple(size if isinstance(size, int) else None for size in variable.shape)
    return TensorSpec(name=name, shape=shape, dtype=_dtype(variable))
