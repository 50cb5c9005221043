"""PyTorch's models as ONNX files, and back."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_tester.core.backends import backend
from edge_tester.core.errors import ModelError
from edge_tester.core.onnxconversion import ModelEntry, ONNXConversion
from edge_tester.core.system.quiet import quiet
from edge_tester.core.tensors import Array
from edge_tester.onnxconverters._torch_models import MODELS

# The newest operators that onnx2torch has are of opset 17; most are of 13.
_NEWEST_OPSET = 17


class PyTorchONNXConversion(ONNXConversion):
    """Exports PyTorch models by torch.export; imports ONNX files by onnx2torch."""

    framework = "PyTorch"
    import_tools = "onnx2torch"

    def prepare(self) -> None:
        """Import onnx2torch."""
        self._onnx2torch()

    def models(self) -> Sequence[ModelEntry]:
        """Return the models with random weights from a fixed seed."""
        return [ModelEntry(name, functools.partial(self._made, name)) for name in MODELS]

    def inputs_of(self, model: Any) -> list[Array]:
        """Return images from a fixed seed, or token numbers for an embedding."""
        generator = np.random.default_rng(0)
        if model.input_dtype == "int64":
            return [generator.integers(0, 100, model.input_shape)]
        return [generator.random(model.input_shape, np.float32)]

    def run(self, model: Any, inputs: Sequence[Array]) -> list[Array]:
        """Run the module once."""
        torch = backend("torch", self)
        # onnx2torch's modules index in a way that PyTorch warns of.
        with torch.inference_mode(), quiet():
            results = model(*(torch.from_numpy(values) for values in inputs))
        results = results if isinstance(results, tuple | list) else (results,)
        return [result.numpy() for result in results]

    def export_model(self, model: Any, path: Path) -> None:
        """Write one file, weights included, of fixed shapes."""
        torch = backend("torch", self)
        backend("onnxscript", self)
        examples = tuple(torch.from_numpy(values) for values in self.inputs_of(model))
        with quiet():
            torch.onnx.export(
                model, examples, path, dynamo=True, external_data=False, verbose=False
            )

    def import_model(self, path: Path) -> Any:
        """Return a module made of the file's operators.

        Those of later opsets are taken back to the newest one that onnx2torch knows, by ONNX's
        own converter: onnx2torch refuses a later version even of what did not change.
        """
        onnx: Any = backend("onnx", self)
        convert = self._onnx2torch().convert
        versions: Any = backend("onnx.version_converter", self)
        with quiet():
            model = onnx.load(path)
            if any(not one.domain and one.version > _NEWEST_OPSET for one in model.opset_import):
                model = versions.convert_version(model, _NEWEST_OPSET)
            _drop_allowed_zeros(onnx, model.graph)
            try:
                return convert(model).eval()
            except NotImplementedError as error:
                # Of this operator, not of importing as such.
                raise ModelError(f"onnx2torch: {error}") from error

    def _onnx2torch(self) -> Any:
        backend("torchvision", self)
        return backend("onnx2torch", self)

    def _made(self, name: str) -> Any:
        torch = backend("torch", self)
        build, shape, dtype = MODELS[name]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = build(torch.nn, torch)
            _settle(torch, model, shape)
        model.input_shape, model.input_dtype = shape, dtype
        return model.eval()


def _drop_allowed_zeros(onnx: Any, graph: Any) -> None:
    """Leave out what shapes without zeros do not need, and what onnx2torch has not."""
    shapes = {constant.name: constant for constant in graph.initializer}
    for node in graph.node:
        if node.op_type == "Reshape" and node.input[1] in shapes:
            if onnx.numpy_helper.to_array(shapes[node.input[1]]).all():
                kept = [attribute for attribute in node.attribute if attribute.name != "allowzero"]
                del node.attribute[:]
                node.attribute.extend(kept)


def _settle(torch: Any, model: Any, shape: tuple[int, ...]) -> None:
    """Let normalizing layers learn their statistics: without, deep signals vanish.

    What is then left of the input in the output is too little to compare.
    """
    layers = [one for one in model.modules() if isinstance(one, torch.nn.BatchNorm2d)]
    for layer in layers:
        # The plain average over the batches.
        layer.momentum = None
    with torch.no_grad():
        for _ in range(2 if layers else 0):
            model.train()(torch.rand((8, *shape[1:])))
