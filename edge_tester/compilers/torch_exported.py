"""The compiler of exported PyTorch programs."""

from __future__ import annotations

from pathlib import Path

from edge_tester.compilers._shared.calibration import Calibration
from edge_tester.compilers._shared.torch_weights import counted
from edge_tester.core.artifact import Weights
from edge_tester.core.compiler import ModelCompiler
from edge_tester.core.model import ModelWrapper
from edge_tester.core.system import torchprograms


class TorchExportedCompiler(ModelCompiler):
    """Exports PyTorch models as programs of torch.export (.pt2), which need no Python code."""

    input_formats = ("torch",)
    output_format = "torch-exported"
    packages = ("torch",)
    distributions = ("torch",)

    def convert(self, model: ModelWrapper, calibration: Calibration, output: Path) -> None:
        """Export and save."""
        model.load()
        output.write_bytes(torchprograms.content_of(model.export(), self))

    def read_weights(self, path: Path) -> Weights:
        """Read the program back and count its tensors."""
        return counted(torchprograms.tensors_of(torchprograms.loaded(path, self)))
