"""A reference evaluation of Core ML programs, on any system."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_tester.core.backends import backend, version
from edge_tester.core.options import state
from edge_tester.core.runtime import Runtime
from edge_tester.core.system.quiet import quiet
from edge_tester.core.system.temporary import TemporaryFolder
from edge_tester.runtimes._coreml_package import package_of

if TYPE_CHECKING:
    from edge_tester.core.tensors import Array, TensorSpec


class MILRuntime(Runtime):
    """Computes what a Core ML program says, operation by operation, with numpy and PyTorch.

    It reads the package as it was written, compressed weights included, and computes each
    operation in float32, rounded to the operation's own type. Equal outputs show that the
    conversion kept the model: graph, weights, their compression, layout, names. They do not
    show how Core ML's kernels round, nor what the GPU or the Neural Engine do, nor that Core ML
    accepts the program; and its times are those of no device.
    """

    input_formats = ("coreml",)
    runs_code = True
    packages = ("coremltools", "torch")
    distributions = ("coremltools", "torch")
    complete = False
    simulates = True

    _tools: Any = state()
    _program: Any = state()
    _inputs: list[TensorSpec] = state(default_factory=list)
    _values: Any = state()
    _results: Any = state()

    def prepare(self) -> None:
        """Import coremltools and PyTorch."""
        with quiet():
            self._tools = backend("coremltools", self)
        backend("torch", self)

    def load(self, path: Path, batch_size: int) -> tuple[list[TensorSpec], list[TensorSpec]]:
        """Load a package, or an archive of one, replacing an earlier one.

        Raises
        ------
        ModelError
            It is corrupt, has another batch size, or an operation is not supported; the message
            names it.
        """
        from edge_tester.runtimes._mil.program import MILProgram

        self._program = self._values = self._results = None
        with TemporaryFolder() as scratch:
            program = MILProgram(package_of(path, Path(scratch)), path, self)
        fixed = next((spec.shape[0] for spec in program.inputs if spec.shape), None)
        self.require_batch_size(path, fixed, batch_size)
        self._program, self._inputs = program, program.inputs
        return list(program.inputs), list(program.outputs)

    def set_inputs(self, inputs: Sequence[Array]) -> None:
        """Keep references to the tensors.

        Raises
        ------
        InputError
            Count, shapes or dtypes are not those of the model.
        """
        from edge_tester.core.tensors import require_fitting

        require_fitting(self, self._inputs, inputs)
        self._values = list(inputs)

    def run(self) -> None:
        """Evaluate the program once."""
        self._results = self._program.evaluate(self._values)

    def get_outputs(self) -> list[Array]:
        """Return copies of the outputs of the last run."""
        return [values.copy() for values in self._results]

    def facts(self) -> dict[str, Any]:
        """Say that no device was measured, and which operations the program has."""
        return {
            "version": version("coremltools"),
            "evaluation": "reference, not Core ML: its times are those of no device",
            "operations": self._program.operations,
        }
