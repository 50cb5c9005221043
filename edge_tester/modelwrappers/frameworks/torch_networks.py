"""What PyTorch networks may do that files of other formats cannot say."""

from __future__ import annotations

import copy
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_tester.core.backends import backend
from edge_tester.core.errors import ModelError
from edge_tester.core.model import ModelWrapper
from edge_tester.core.system.files import atomic_path
from edge_tester.core.system.onnxmetadata import forget_origins
from edge_tester.core.system.quiet import quiet

# Of a module, what a run may change without keeping anything.
_NO_STATE = {"training"}


def named_outputs(torch: Any, answers: Any, model: ModelWrapper) -> dict[str, Any]:
    """Return all tensors of what a network gave, in its order, by name.

    Those of dictionaries are named by their keys, others ``output_0`` and so on.

    Raises
    ------
    ModelError
        There is something else than tensors.
    """
    leaves = torch.utils._pytree.tree_flatten_with_path(answers)[0]
    found: dict[str, Any] = {}
    for index, (path, leaf) in enumerate(leaves):
        if not isinstance(leaf, torch.Tensor):
            raise ModelError(
                f"{type(model).__name__}: the network of {model.model_path} must give tensors, "
                f"alone or in lists, tuples and dictionaries, got {type(leaf).__name__}."
            )
        keys = [str(key.key) for key in path if hasattr(key, "key")]
        name = ".".join(keys) or f"output_{index}"
        found[name if name not in found else f"{name}_{index}"] = leaf
    return found


def is_plain(torch: Any, answers: Any) -> bool:
    """Tell whether a network gave a tensor, or a list or tuple of tensors."""
    if isinstance(answers, list | tuple):
        return all(isinstance(answer, torch.Tensor) for answer in answers)
    return isinstance(answers, torch.Tensor)


def flattened(torch: Any, network: Any) -> Any:
    """Return a network of the same parts that gives all tensors of the answer in a tuple."""
    # Shallow: the weights are the same ones.
    plain = copy.copy(network)

    # Exporters read names and number of the inputs from the signature.
    @functools.wraps(network.forward)
    def forward(*inputs: Any) -> Any:
        return tuple(torch.utils._pytree.tree_leaves(network(*inputs)))

    plain.forward = forward
    return plain


def write_onnx(
    model: ModelWrapper,
    network: Any,
    examples: tuple[Any, ...] | None,
    path: Path,
    names: tuple[Sequence[str], Sequence[str]],
    dynamic_shapes: Any = None,
) -> None:
    """Export by torch.export into one file, weights included.

    Parameters
    ----------
    model : ModelWrapper
    network : torch.nn.Module or torch.export.ExportedProgram
    examples : tuple of torch.Tensor, optional
        Inputs of a module.
    path : Path
    names : pair of sequences of str
        Of the inputs and of the outputs.
    dynamic_shapes : optional
        As ``torch.export.export`` takes them, for a module.
    """
    torch = backend("torch", model)
    backend("onnxscript", model)
    with atomic_path(path) as temporary, quiet():
        program = torch.onnx.export(
            network,
            examples,
            dynamo=True,
            verbose=False,
            input_names=list(names[0]),
            output_names=list(names[1]),
            dynamic_shapes=dynamic_shapes,
        )
        made = program.model_proto
        forget_origins(made)
        temporary.write_bytes(made.SerializeToString())


def changed_by_a_run(torch: Any, network: Any, inputs: tuple[Any, ...]) -> list[str]:
    """Return the names of buffers and attributes that running a copy of a network changes."""
    tried = copy.deepcopy(network).eval()
    before = _state(torch, tried)
    with torch.no_grad():
        tried(*inputs)
    after = _state(torch, tried)
    return sorted(
        name for name in {**before, **after} if not _same(torch, before.get(name), after.get(name))
    )


def _state(torch: Any, network: Any) -> dict[str, Any]:
    found = {name: value.clone() for name, value in network.named_buffers()}
    for prefix, module in network.named_modules():
        for name, value in vars(module).items():
            if name in _NO_STATE or not (
                value is None or isinstance(value, torch.Tensor | int | float)
            ):
                continue
            kept = value.clone() if isinstance(value, torch.Tensor) else value
            found[f"{prefix}.{name}".lstrip(".")] = kept
    return found


def _same(torch: Any, one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one.shape == other.shape and bool(torch.equal(one, other))
    return type(one) is type(other) and (one is other or one == other)
