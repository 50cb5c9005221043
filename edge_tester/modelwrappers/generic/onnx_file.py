"""Any ONNX file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from edge_tester.core.artifact import Artifact
from edge_tester.core.backends import backend
from edge_tester.core.graphs import Graph, Graphs, Shape
from edge_tester.core.options import state
from edge_tester.core.system.files import atomic_path
from edge_tester.core.system.onnxmetadata import (
    PREPROCESSING,
    SCALING,
    Preprocessing,
    read_metadata,
)
from edge_tester.core.tensors import Array, TensorSpec
from edge_tester.modelwrappers.frameworks.file import FileModel
from edge_tester.modelwrappers.frameworks.onnx_graph import onnx_graph
from edge_tester.modelwrappers.frameworks.scaling import ScalingModel

# Operations of files that compute in integers.
_QUANTIZED = {
    "ConvInteger",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "MatMulInteger",
    "QLinearConv",
    "QLinearMatMul",
    "QuantizeLinear",
}


class ONNXFile(Graphs, ScalingModel, FileModel):
    """Any ONNX file, run as it is."""

    packages = ("onnxruntime",)
    distributions = ("onnxruntime",)
    file_format = "onnx"
    runtime_name = "onnxruntime"

    adopted: str | None = state()

    def artifact(self) -> Artifact:
        """Describe the file, and what it says of the values that it takes."""
        described = super().artifact()
        remark = self._adopt_scaling()
        return msgspec.structs.replace(described, remarks=(remark,)) if remark else described

    def load(self) -> None:
        """Load the file on the host; its inputs are scaled as it says."""
        self._adopt_scaling()
        super().load()

    def preprocess(self, inputs: Sequence[Array], specs: Sequence[TensorSpec]) -> list[Array]:
        """Scale the values, by what the file says unless options say something."""
        self._adopt_scaling()
        return super().preprocess(inputs, specs)

    def scaling(self) -> dict[str, Any] | None:
        """Return the options that scale."""
        self._adopt_scaling()
        return super().scaling()

    def _adopt_scaling(self) -> str:
        """Take over what the file says, unless an option was given; return what to remark."""
        if self.adopted is None:
            self.adopted = self._scaling_remark()
        return self.adopted

    def _scaling_remark(self) -> str:
        text = read_metadata(self.model_path).get(PREPROCESSING)
        try:
            said = msgspec.json.decode(text, type=Preprocessing) if text else None
        except msgspec.DecodeError:
            return f"{self.model_path.name} has {PREPROCESSING} in a form that is not known here."
        chosen = [name for name in SCALING if name in self.chosen_options()]
        if said is None or chosen:
            return ""
        if said.options is None:
            return (
                f"{self.model_path.name} was made from {said.made_from}, which prepares its inputs "
                "in a way that no option here says: give it prepared inputs, or compile from there."
            )
        if not said.options:
            return ""
        for name, value in said.options.items():
            if name in SCALING:
                setattr(self, name, tuple(value) if isinstance(value, list) else float(value))
        told = ", ".join(f"{name} {value}" for name, value in said.options.items())
        return f"{self.model_path.name} says how its inputs are scaled, and so they are: {told}."

    def precision(self) -> str:
        """Tell whether operations are quantized; float16 is what the specs and weights say."""
        model = backend("onnx", self).load(str(self.model_path), load_external_data=False)
        kinds = {node.op_type for node in model.graph.node}
        return "integers" if kinds & _QUANTIZED else "float32"

    def graph(self, batch_size: int | None = None, shapes: Sequence[Shape] = ()) -> Graph:
        """Return the graph of the file, its functions put in place."""
        return onnx_graph(self, batch_size, shapes)

    def save_to_onnx(self, path: Path) -> None:
        """Copy the model; weights that lie in files beside it are taken in."""
        onnx = backend("onnx", self)
        with atomic_path(path) as temporary:
            onnx.save(onnx.load(self.model_path), temporary)
