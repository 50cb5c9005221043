"""The TVM compiler."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge_tester.compilers import _tvm_frontends, _tvm_library, _tvm_lowering, _tvm_targets
from edge_tester.compilers._calibration import Calibration
from edge_tester.core.artifact import Weights
from edge_tester.core.backends import backend
from edge_tester.core.compiler import ModelCompiler
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import option
from edge_tester.core.quiet import quiet


class TVMCompiler(ModelCompiler):
    """Compiles ONNX, PyTorch and LiteRT models to a shared library with Apache TVM.

    The library is native code for one processor. Batch dimensions that the model
    leaves open become ``batch_size``. Functions get schedules of this package:
    convolutions run in the layout NHWC, and each multiplies a tile of
    accumulators that fits into the vector registers.

    Weights of quantized ONNX models come out as float32: TVM folds
    DequantizeLinear into them.
    """

    input_formats = ("onnx", "torch", "tflite")
    output_format = "tvm"
    distributions = ("apache-tvm", "onnx", "onnxruntime", "torch", "tflite")

    target: str = option(
        "llvm",
        help="llvm for this machine's processor, aarch64-a72 or aarch64-a76 for 64-bit ARM, "
        "or any target of TVM: a kind such as cuda, a tag, or JSON",
    )
    opt_level: int = option(3, minimum=0, maximum=3, help="Level of TVM's optimizing passes")
    batch_size: int = option(
        1, minimum=1, help="Size of the batch dimensions that the model leaves open"
    )

    def convert(self, model: ModelWrapper, calibration: Calibration, output: Path) -> None:
        """Compile, link, and append what the library does not say about itself."""
        tvm: Any = backend("tvm", self)
        target = _tvm_targets.parsed(tvm, self.target, self)
        linker = _tvm_targets.linker(tvm, target, self)
        with quiet():
            module, inputs, outputs = _tvm_frontends.imported(tvm, model, self.batch_size, self)
            executable = _tvm_lowering.built(tvm, module, target, self.opt_level)
            executable.export_library(str(output), fcompile=linker)
        _tvm_library.describe(output, inputs, outputs, target, tvm.__version__)

    def read_weights(self, path: Path) -> Weights:
        """Read a library back; see _tvm_library.weights for what counts."""
        return _tvm_library.weights(path)
