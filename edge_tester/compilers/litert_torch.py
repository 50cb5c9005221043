"""The compiler of PyTorch models to LiteRT (TensorFlow Lite), without ONNX or TensorFlow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edge_tester.compilers._shared.calibration import Calibration
from edge_tester.compilers._shared.flatbuffer import Flatbuffer
from edge_tester.compilers._tools import litert_torch as tool
from edge_tester.core.artifact import Weights
from edge_tester.core.backends import backend, version
from edge_tester.core.compiler import ModelCompiler
from edge_tester.core.making.toolenvironment import (
    default_tools_folder,
    lacks_tool,
    run_python,
    tool_python,
)
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import option, state
from edge_tester.core.system.quiet import quiet
from edge_tester.core.system.temporary import TemporaryFolder

_TOOL = "litert-torch"
_TOOL_VERSION = "0.10.0"


class LiteRTTorchCompiler(ModelCompiler):
    """Compiles PyTorch models to LiteRT (TensorFlow Lite) with litert-torch.

    litert-torch brings JAX and more, so it gets an environment of its own, which is made on first
    use and kept. Inputs and outputs keep PyTorch's order of dimensions.
    """

    input_formats = ("torch",)
    output_format = "tflite"
    packages = ("torch",)
    distributions = ("torch", "ai-edge-litert")
    keeps_state = False

    batch_size: int = option(1, minimum=1, help="Samples of one inference, fixed in the model")
    litert_torch_python: Path | None = option(
        None, help="Python interpreter that has litert-torch; without it, an environment is made"
    )
    tools_directory: Path | None = option(
        None, help="Where that environment is kept; without it, edge_tester/tools in your cache"
    )

    _versions: dict[str, str] = state(default_factory=dict)

    def prepare(self) -> None:
        """Make the environment of litert-torch where there is none."""
        self._python()

    def unprepared(self) -> str:
        """Say if that environment is yet to be made."""
        return "" if self.litert_torch_python else lacks_tool(*self._tool())

    def convert(self, model: ModelWrapper, calibration: Calibration, output: Path) -> None:
        """Export, and let litert-torch convert the program."""
        torch = backend("torch", self)
        model.load()
        python = self._python()
        with TemporaryFolder() as folder:
            program = Path(folder) / "program.pt2"
            with quiet():
                torch.export.save(model.export(), program)
            script = str(tool.__file__)
            arguments = [script, str(program), str(output), str(self.batch_size)]
            told = run_python(python, arguments, f"{type(self).__name__}: {_TOOL}")
        self._versions = json.loads(told.splitlines()[-1])

    def read_weights(self, path: Path) -> Weights:
        """Read a .tflite file back; see Flatbuffer.weights for what counts."""
        return Flatbuffer.read(path, self).weights()

    def facts(self) -> dict[str, Any]:
        """Return the versions of litert-torch and what it ran with."""
        return dict(self._versions)

    def _python(self) -> Path:
        return self.litert_torch_python or tool_python(*self._tool())

    def _tool(self) -> tuple[str, list[str], Path]:
        # A program is read by the version of PyTorch that wrote it. What follows a plus sign
        # names a build, which need not exist where this one comes from.
        torch = (version("torch") or "").partition("+")[0]
        requirements = [f"{_TOOL}=={_TOOL_VERSION}", f"torch=={torch}"]
        return _TOOL, requirements, self.tools_directory or default_tools_folder()
