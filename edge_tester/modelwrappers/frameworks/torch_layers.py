"""Outputs of the modules of a PyTorch network, by forward hooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edge_tester.core.inspects import INPUT, Tensor
from edge_tester.core.tensors import Array, TensorSpec


def inspect(
    torch: Any, network: Any, specs: Sequence[TensorSpec], inputs: Sequence[Array]
) -> list[Tensor]:
    """Return what each module gives in one inference.

    A module that is called again has the number of the call behind its name, and one with
    several outputs theirs. What a function gives outside of any module is not told.

    Parameters
    ----------
    torch : module
    network : torch.nn.Module
    specs : sequence of TensorSpec
        Of the inputs.
    inputs : sequence of ndarray
    """
    seen = _Seen(torch)
    # The network itself is one of them: what no module inside gives has its name.
    handles = [
        module.register_forward_hook(seen.hook(name or "output"))
        for name, module in network.named_modules()
    ]
    was_training = network.training
    network.eval()
    buffers = {name: value.clone() for name, value in network.named_buffers()}
    try:
        with torch.no_grad():
            tensors = tuple(torch.tensor(values) for values in inputs)
            answers = torch.func.functional_call(network, buffers, tensors)
    finally:
        network.train(was_training)
        for handle in handles:
            handle.remove()
    given = [
        Tensor(
            name=spec.name,
            type=INPUT,
            place=-1,
            values=np.array(values, np.result_type(values, np.float32)),
            dtype=values.dtype.name,
        )
        for spec, values in zip(specs, inputs, strict=True)
        if values.dtype.kind == "f"
    ]
    return given + seen.told(torch.utils._pytree.tree_leaves(answers))


class _Seen:
    """What hooks saw, in the order in which modules ended."""

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self._found: list[dict[str, Any]] = []
        self._calls: dict[str, int] = {}
        # Whose memory and which version of it: in-place modules write to what others gave.
        self._known: dict[tuple[int, int], int] = {}
        self._alive: list[Any] = []

    def hook(self, name: str) -> Any:
        def seen(module: Any, inputs: Any, answers: Any) -> None:
            call = self._calls[name] = self._calls.get(name, 0) + 1
            called = name if call == 1 else f"{name}:{call}"
            leaves = [
                one
                for one in self._torch.utils._pytree.tree_leaves(answers)
                if isinstance(one, self._torch.Tensor) and one.is_floating_point()
            ]
            for index, leaf in enumerate(leaves):
                own = called if len(leaves) == 1 else f"{called}.{index}"
                self._add(own, type(module).__name__, leaf)

        return seen

    def _add(self, name: str, kind: str, tensor: Any) -> None:
        key = id(tensor), tensor._version
        if key in self._known:
            self._found[self._known[key]]["aliases"].append(name)
            return
        self._known[key] = len(self._found)
        self._alive.append(tensor)
        values = tensor.detach().to(self._torch.float32).numpy().copy()
        dtype = str(tensor.dtype).removeprefix("torch.")
        self._found.append(
            {"name": name, "type": kind, "values": values, "dtype": dtype, "aliases": []}
        )

    def told(self, answers: Sequence[Any]) -> list[Tensor]:
        outputs = {
            self._known[(id(one), one._version)]: place
            for place, one in enumerate(answers)
            if (id(one), one._version) in self._known
        }
        return [
            Tensor(
                name=one["name"],
                type=one["type"],
                place=place,
                values=one["values"],
                dtype=one["dtype"],
                precision="float16" if one["dtype"] in ("float16", "bfloat16") else "float32",
                aliases=tuple(one["aliases"]),
                output=outputs.get(place),
            )
            for place, one in enumerate(self._found)
        ]
