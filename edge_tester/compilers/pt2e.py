"""The quantizer of exported PyTorch programs."""

from __future__ import annotations

from pathlib import Path

from edge_tester.compilers._shared import pt2e
from edge_tester.compilers._shared.calibration import Calibration
from edge_tester.compilers._shared.torch_weights import counted
from edge_tester.core.artifact import Weights
from edge_tester.core.backends import backend
from edge_tester.core.compiler import ModelCompiler
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import option
from edge_tester.core.system import torchprograms
from edge_tester.core.system.quiet import quiet


class PT2ECompiler(ModelCompiler):
    """Quantizes PyTorch models by PyTorch's export flow (PT2E) to programs of torch.export (.pt2).

    Weights become int8, symmetric and per channel; inputs and outputs stay floats, and the batch
    stays open. The program says where it rounds, and computes with floats in PyTorch itself: it
    gets fast where the compilers ``executorch`` and ``onnx`` make something of it.
    """

    input_formats = ("torch", "torch-exported")
    output_format = "torch-exported"
    variants = {
        "int8": {},
        "dynamic-int8": {"target": "dynamic_int8"},
        "weights-int8": {"target": "weight_only_int8"},
    }
    packages = ("torch", "torchao", "executorch")
    distributions = ("torch", "torchao", "executorch")

    target: str = option(
        "int8",
        choices=("int8", "dynamic_int8", "weight_only_int8"),
        help="int8 has activations of calibrated ranges, dynamic_int8 those of each batch's own in "
        "dense layers, and leaves convolutions in float; weight_only_int8 has none",
    )

    @property
    def quantizes(self) -> bool:
        """All targets have integer weights."""
        return True

    @property
    def calibrates(self) -> bool:
        """Whether ranges of activations are found beforehand."""
        return self.target == "int8"

    def convert(self, model: ModelWrapper, calibration: Calibration, output: Path) -> None:
        """Export, quantize, and export what came out with the sizes left open that were."""
        torch = backend("torch", self)
        model.load()
        with quiet():
            program = model.export()
            pt2e.require_float(model, program, self)
            module, (examples, _) = program.module(), program.example_inputs
            shapes = torchprograms.open_sizes(program, self)
            if self.calibrates:
                # An open batch takes the samples one by one.
                ones = examples if shapes is None else tuple(one[:1] for one in examples)
                module = pt2e.calibrated(module, ones, calibration, self)
            elif self.target == "dynamic_int8":
                quantizer = torchprograms.quantizer(self, is_dynamic=True)
                module = pt2e.weighed(module, examples, quantizer, self)
            else:
                quantizer = pt2e.weights_quantizer(self)
                module = pt2e.weighed(module, examples, quantizer, self)
            program = torch.export.export(module, examples, dynamic_shapes=shapes)
            output.write_bytes(torchprograms.content_of(program, self))

    def read_weights(self, path: Path) -> Weights:
        """Read the program back and count its tensors."""
        return counted(torchprograms.tensors_of(torchprograms.loaded(path, self)))
