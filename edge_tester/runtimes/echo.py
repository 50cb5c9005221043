"""The trivial runtime: gives inputs back, takes as long as it is told."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edge_tester.core.errors import ModelError
from edge_tester.core.options import state
from edge_tester.core.runtime import Runtime

if TYPE_CHECKING:
    from edge_tester.core.tensors import Array, TensorSpec


class EchoRuntime(Runtime):
    """Measures a link without a model: inputs come back as outputs.

    Its "model" is a JSON file with ``inputs``, ``outputs`` (lists of tensor
    specs) and ``inference_ns``, the time to spend in each run. An output whose
    spec equals that of the input at its position is that input; any other is
    zeros.
    """

    input_formats = ("echo",)
    runs_code = False

    _inference_ns: int = state(0)
    _inputs: Sequence[Array] = state(())
    _outputs: list[Array] = state(default_factory=list)
    _echoed: list[int] = state(default_factory=list)

    def prepare(self) -> None:
        """Need nothing."""

    def load(self, path: Path, batch_size: int) -> tuple[list[TensorSpec], list[TensorSpec]]:
        """Read the JSON file; open dimensions become the batch size."""
        import numpy as np

        from edge_tester.core.tensors import TensorSpec

        try:
            model = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
            self._inference_ns = msgspec.convert(model.get("inference_ns", 0), int)
            inputs, outputs = (
                [
                    msgspec.structs.replace(spec, shape=tuple(n or batch_size for n in spec.shape))
                    for spec in msgspec.convert(model[key], list[TensorSpec])
                ]
                for key in ("inputs", "outputs")
            )
        except (msgspec.MsgspecError, KeyError) as error:
            raise ModelError(f"EchoRuntime cannot read {path.name}: {error}.") from error
        self._outputs = [np.zeros(spec.shape, spec.dtype) for spec in outputs]  # type: ignore[arg-type]
        pairs = enumerate(zip(inputs, outputs, strict=False))
        self._echoed = [i for i, (mine, theirs) in pairs if mine == theirs]
        return inputs, outputs

    def set_inputs(self, inputs: Sequence[Array]) -> None:
        """Keep the views."""
        self._inputs = inputs

    def run(self) -> None:
        """Spend the time, then copy what is echoed."""
        end_ns = time.perf_counter_ns() + self._inference_ns
        for index in self._echoed:
            self._outputs[index] = self._inputs[index].copy()
        while time.perf_counter_ns() < end_ns:
            continue

    def get_outputs(self) -> list[Array]:
        """Return the outputs."""
        return self._outputs
