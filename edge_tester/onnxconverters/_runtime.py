"""Importers of ONNX files that are a runtime of this package, perhaps behind a compiler."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, cast

from edge_tester.core.compiler import ModelCompiler
from edge_tester.core.model import ModelWrapper
from edge_tester.core.onnxconversion import ONNXConversion
from edge_tester.core.registry import load
from edge_tester.core.runtime import Runtime
from edge_tester.core.system.quiet import quiet
from edge_tester.core.system.temporary import TemporaryFolder
from edge_tester.core.tensors import Array


class RuntimeConversion(ONNXConversion):
    """A subclass must name a runtime, and a compiler if the runtime takes no ONNX files."""

    runtime_name: ClassVar[str]
    compiler_name: ClassVar[str] = ""

    def prepare(self) -> None:
        """Let the compiler get what it needs."""
        if self.compiler_name:
            self._compiler(Path("unused")).prepare()

    def import_model(self, path: Path) -> Runtime:
        """Return a runtime that has loaded the file."""
        runtime = cast(Runtime, load("runtimes", self.runtime_name)())
        runtime.prepare()
        if not self.compiler_name:
            runtime.load(path, 1)
            return runtime
        model = load("modelwrappers", "onnx_file").from_options({"model_path": path})
        with TemporaryFolder() as folder:
            compiler = self._compiler(Path(folder) / "compiled")
            made = compiler.compile(cast(ModelWrapper, model), None)
            with quiet():
                runtime.load(made.path, 1)
        return runtime

    def run(self, model: Runtime, inputs: Sequence[Array]) -> list[Array]:
        """Run the file once."""
        model.set_inputs(inputs)
        model.run()
        return model.get_outputs()

    def _compiler(self, path: Path) -> ModelCompiler:
        compiler = load("compilers", self.compiler_name).from_options({"compiled_model_path": path})
        return cast(ModelCompiler, compiler)
