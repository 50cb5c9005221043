"""The ExecuTorch compiler."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

from edge_tester.compilers._shared import pt2e
from edge_tester.compilers._shared.calibration import Calibration
from edge_tester.compilers._shared.torch_batch import fixed_program
from edge_tester.core.artifact import Weights
from edge_tester.core.backends import backend
from edge_tester.core.compiler import ModelCompiler
from edge_tester.core.errors import CompilationError
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import option
from edge_tester.core.system.quiet import quiet
from edge_tester.core.system.temporary import TemporaryFolder

# Element types of XNNPACK's values -> dtype; those of 32 bits are biases.
# Source: executorch, backends/xnnpack/serialization/schema.fbs, XNNDatatype.
_XNNPACK_TYPES = {
    "xnn_datatype_fp32": "float32",
    "xnn_datatype_fp16": "float16",
    "xnn_datatype_bf16": "bfloat16",
    "xnn_datatype_qint8": "int8",
    "xnn_datatype_qcint8": "int8",
    "xnn_datatype_quint8": "uint8",
    "xnn_datatype_qcint4": "int4",
    "xnn_datatype_qbint4": "int4",
}
_TORCH_TYPES = {"FLOAT": "float32", "HALF": "float16", "CHAR": "int8", "BYTE": "uint8"}
_INTEGERS = ("int4", "int8", "uint8")


class ExecuTorchCompiler(ModelCompiler):
    """Compiles PyTorch models to ExecuTorch programs.

    Target int8 is static quantization by PyTorch's export flow (PT2E): int8 activations
    and int8 weights per channel, float inputs and outputs.
    """

    input_formats = ("torch", "torch-exported")
    output_format = "executorch"
    variants = {"": {}, "int8": {"target": "int8"}}
    packages = ("executorch", "torch")
    distributions = ("executorch", "torch", "torchao")

    target: str = option(
        "default",
        choices=("default", "int8"),
        help="default keeps float32; int8 has int8 weights and activations",
    )
    delegate: str = option(
        "xnnpack",
        choices=("xnnpack", "none"),
        help="Who runs the operations: XNNPACK what it can, or the portable kernels all of them",
    )
    batch_size: int = option(1, minimum=1, help="Samples of one inference, fixed in the program")

    @property
    def quantizes(self) -> bool:
        """Whether integer weights were asked for."""
        return self.target == "int8"

    @property
    def calibrates(self) -> bool:
        """Whether activations become integers."""
        return self.quantizes

    def convert(self, model: ModelWrapper, calibration: Calibration, output: Path) -> None:
        """Export for a fixed batch size, quantize if asked to, and lower."""
        if self.quantizes and self.delegate == "none":
            raise CompilationError(
                "ExecuTorchCompiler.delegate must be xnnpack for target int8: the portable kernels "
                "would keep the weights as integers and compute with floats."
            )
        torch = backend("torch", self)
        backend("executorch", self)
        model.load()
        with quiet():
            lowering: Any = backend("executorch.exir", self)
            exported = model.export()
            if self.quantizes:
                pt2e.require_float(model, exported, self)
            fixed, examples = fixed_program(exported, self.batch_size, self)
            module = fixed.module()
            _make_contiguous(torch, module)
            if self.quantizes:
                module = pt2e.calibrated(module, examples, calibration, self)
            program = torch.export.export(module, examples)
            edge = lowering.to_edge_transform_and_lower(program, partitioner=self._partitioners())
            output.write_bytes(edge.to_executorch().buffer)

    def read_weights(self, path: Path) -> Weights:
        """Read a program back and count its weights by dtype.

        Weights are the constants, in XNNPACK's graphs and outside, that are of a floating-point
        type or quantized to at most 8 bits and have more than one dimension above 1; others
        are biases.
        """
        with quiet():
            serialization: Any = backend("executorch.exir._serialize._program", self)
            program = serialization.deserialize_pte_binary(path.read_bytes()).program
        elements: dict[str, int] = {}

        def add(dtype: str | None, sizes: list[int]) -> None:
            if dtype is not None and sum(size > 1 for size in sizes) > 1:
                elements[dtype] = elements.get(dtype, 0) + math.prod(sizes)

        for plan in program.execution_plan:
            for value in plan.values:
                if getattr(value.val, "data_buffer_idx", 0):
                    add(_TORCH_TYPES.get(value.val.scalar_type.name), value.val.sizes)
            for one in plan.delegates:
                if one.id == "XnnpackBackend":
                    content = program.backend_delegate_data[one.processed.index].data
                    for dtype, sizes in self._xnnpack_constants(bytes(content)):
                        add(_XNNPACK_TYPES.get(dtype), sizes)
        total = sum(elements.values())
        integers = sum(count for dtype, count in elements.items() if dtype in _INTEGERS)
        return Weights(elements=elements, quantized_share=integers / total if total else 0.0)

    def _partitioners(self) -> list[Any]:
        if self.delegate == "none":
            return []
        module: Any = backend("executorch.backends.xnnpack.partition.xnnpack_partitioner", self)
        return [module.XnnpackPartitioner()]

    def _xnnpack_constants(self, content: bytes) -> list[tuple[str, list[int]]]:
        """Return element type and sizes of the constants of one of XNNPACK's graphs."""
        graphs: Any = backend("executorch.backends.xnnpack.serialization", self)
        format: Any = backend(f"{graphs.__name__}.xnnpack_graph_serialize", self)
        flatbuffer: Any = backend("executorch.exir._serialize._flatbuffer", self)
        header = format.XNNHeader.from_bytes(content[: format.XNNHeader.EXPECTED_LENGTH])
        end = header.flatbuffer_offset + header.flatbuffer_size
        with TemporaryFolder() as folder:
            binary = Path(folder) / "graph.bin"
            binary.write_bytes(content[header.flatbuffer_offset : end])
            schema = next(Path(place) / "schema.fbs" for place in graphs.__path__)
            flatbuffer._flatc_decompile(folder, str(schema), str(binary), ["--raw-binary"])
            content = binary.with_suffix(".json").read_bytes()
        # Bounds of activations may be infinite, which JSON spells in no way.
        graph = json.loads(re.sub(rb": [-+]?inf\b", b": null", content))
        values = [value["xvalue_union"] for value in graph["xvalues"]]
        tensors = [value.get("tensor_value", value) for value in values]
        return [(t["datatype"], t["dims"]) for t in tensors if t["constant_buffer_idx"]]


def _make_contiguous(torch: Any, module: Any) -> None:
    """Put weights and values that lie channels last in the usual order, which ExecuTorch needs."""
    with torch.no_grad():
        for values in (*module.parameters(), *module.buffers()):
            values.data = values.data.contiguous()
    for node in module.graph.nodes:
        if node.kwargs.get("memory_format") not in (None, torch.preserve_format):
            node.kwargs = {**node.kwargs, "memory_format": torch.contiguous_format}
    module.recompile()
