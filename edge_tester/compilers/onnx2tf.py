"""The compiler of ONNX files to LiteRT (TensorFlow Lite)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edge_tester.compilers._shared.calibration import Calibration
from edge_tester.compilers._shared.fixed_batch import fixed_onnx
from edge_tester.compilers._shared.flatbuffer import Flatbuffer
from edge_tester.compilers._tools import onnx2tf as tool
from edge_tester.core.artifact import Weights
from edge_tester.core.backends import backend
from edge_tester.core.compiler import ModelCompiler
from edge_tester.core.errors import BackendMissingError, CompilationError
from edge_tester.core.making.toolenvironment import (
    default_tools_folder,
    lacks_tool,
    run_python,
    tool_python,
)
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import option, state
from edge_tester.core.system.temporary import TemporaryFolder

_TOOL = "onnx2tf"
# The newest one for Python 3.11; it pins all that it needs itself.
_TOOL_VERSION = "1.29.24"


class ONNX2TFCompiler(ModelCompiler):
    """Compiles ONNX files to LiteRT (TensorFlow Lite) with onnx2tf and TensorFlow.

    onnx2tf wants old versions of nearly everything, so it gets an environment of its own, which
    is made on first use and kept. Inputs and outputs keep the order of dimensions that they have
    in the ONNX file. What comes out is run beside ONNX Runtime; a model that answers differently
    is an error.
    """

    input_formats = ("onnx",)
    output_format = "tflite"
    packages = ("onnx",)
    distributions = ("onnx", "onnxruntime", "ai-edge-litert")

    batch_size: int = option(
        1, minimum=1, help="Samples of one inference, fixed in the model where the file leaves it"
    )
    onnx2tf_python: Path | None = option(
        None, help="Python interpreter that has onnx2tf; without it, an environment is made"
    )
    tools_directory: Path | None = option(
        None, help="Where that environment is kept; without it, edge_tester/tools in your cache"
    )

    _versions: dict[str, str] = state(default_factory=dict)

    def prepare(self) -> None:
        """Make the environment of onnx2tf where there is none."""
        self._python()

    def unprepared(self) -> str:
        """Say if that environment is yet to be made."""
        return "" if self.onnx2tf_python else lacks_tool(*self._tool())

    def convert(self, model: ModelWrapper, calibration: Calibration, output: Path) -> None:
        """Fix the batch size, and let onnx2tf convert."""
        onnx: Any = backend("onnx", self)
        python = self._python()
        with TemporaryFolder() as folder:
            source, scratch = Path(folder) / "source.onnx", Path(folder) / "scratch"
            scratch.mkdir()
            onnx.save(fixed_onnx(model.model_path, self.batch_size, scratch, self), str(source))
            script = str(tool.__file__)
            arguments = [script, str(source), str(output.absolute()), str(scratch)]
            told = run_python(python, arguments, f"{type(self).__name__}: {_TOOL}")
        self._versions = json.loads(told.splitlines()[-1])

    def read_weights(self, path: Path) -> Weights:
        """Read a .tflite file back; see Flatbuffer.weights for what counts."""
        return Flatbuffer.read(path, self).weights()

    def facts(self) -> dict[str, Any]:
        """Return the versions of onnx2tf and what it ran with."""
        return dict(self._versions)

    def _python(self) -> Path:
        if self.onnx2tf_python is not None:
            return self.onnx2tf_python
        try:
            return tool_python(*self._tool())
        except CompilationError as error:
            raise BackendMissingError(
                f"{type(self).__name__} needs {_TOOL}, and no environment could be made for it: "
                f"{error}"
            ) from error

    def _tool(self) -> tuple[str, list[str], Path]:
        folder = self.tools_directory or default_tools_folder()
        return _TOOL, [f"{_TOOL}=={_TOOL_VERSION}"], folder
