"""PyTorch's models as ONNX files."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_tester.core.backends import backend
from edge_tester.core.onnxconversion import ModelEntry, ONNXConversion
from edge_tester.core.quiet import quiet
from edge_tester.core.tensors import Array
from edge_tester.onnxconverters._torch_models import MODELS


class PyTorchONNXConversion(ONNXConversion):
    """Exports PyTorch models by torch.export; PyTorch has no importer of ONNX files."""

    framework = "PyTorch"

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
        with torch.inference_mode():
            results = model(*(torch.from_numpy(values) for values in inputs))
        results = results if isinstance(results, tuple) else (results,)
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

    def _made(self, name: str) -> Any:
        torch = backend("torch", self)
        build, shape, dtype = MODELS[name]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = build(torch.nn, torch)
            _settle(torch, model, shape)
        model.input_shape, model.input_dtype = shape, dtype
        return model.eval()


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
