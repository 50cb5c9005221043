"""The TorchScript compiler."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import msgspec

from edge_tester.compilers._shared.calibration import Calibration
from edge_tester.compilers._shared.torch_weights import counted
from edge_tester.core.artifact import Weights
from edge_tester.core.backends import backend
from edge_tester.core.compiler import ModelCompiler
from edge_tester.core.model import ModelWrapper
from edge_tester.core.system.quiet import quiet

# File inside the archive with the specs, which TorchScript does not keep.
RECORDED_SPECS = "edge_tester.json"


class TorchScriptCompiler(ModelCompiler):
    """Traces PyTorch models to TorchScript, their specs recorded inside the file."""

    input_formats = ("torch", "torch-exported")
    output_format = "torchscript"
    packages = ("torch",)
    distributions = ("torch",)

    def convert(self, model: ModelWrapper, calibration: Calibration, output: Path) -> None:
        """Trace the exported program."""
        torch = backend("torch", self)
        model.load()
        inputs, outputs = model.specs()
        recorded = msgspec.json.encode({"inputs": inputs, "outputs": outputs})
        exported = model.export()
        with quiet():
            module = exported.module()
            before = [buffer.clone() for buffer in module.buffers()]
            traced = torch.jit.trace(module, exported.example_inputs[0])
            # Tracing runs it, which moves on what it keeps from run to run.
            for buffer, value in zip(module.buffers(), before, strict=True):
                buffer.copy_(value)
            # Through memory: as a path it must have a suffix.
            content = io.BytesIO()
            torch.jit.save(traced, content, _extra_files={RECORDED_SPECS: recorded})
        output.write_bytes(content.getvalue())

    def read_weights(self, path: Path) -> Weights:
        """Read the file back and count its tensors."""
        torch: Any = backend("torch", self)
        with quiet():
            module = torch.jit.load(path, map_location="cpu")
        return counted(module.state_dict())
