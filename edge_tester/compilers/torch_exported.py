"""The compiler of exported PyTorch programs."""

from __future__ import annotations

import io
from pathlib import Path

from edge_tester.compilers._shared.calibration import Calibration
from edge_tester.compilers._shared.torch_weights import counted
from edge_tester.core.artifact import Weights
from edge_tester.core.backends import backend
from edge_tester.core.compiler import ModelCompiler
from edge_tester.core.model import ModelWrapper
from edge_tester.core.system.quiet import quiet


class TorchExportedCompiler(ModelCompiler):
    """Exports PyTorch models as programs of torch.export (.pt2), which need no Python code."""

    input_formats = ("torch",)
    output_format = "torch-exported"
    packages = ("torch",)
    distributions = ("torch",)

    def convert(self, model: ModelWrapper, calibration: Calibration, output: Path) -> None:
        """Export and save."""
        torch = backend("torch", self)
        model.load()
        with quiet():
            # Through memory: as a path it must have a suffix.
            content = io.BytesIO()
            torch.export.save(model.export(), content)
        output.write_bytes(content.getvalue())

    def read_weights(self, path: Path) -> Weights:
        """Read the program back and count its tensors."""
        with quiet():
            program = backend("torch", self).export.load(path)
        return counted({**program.state_dict, **program.constants})
