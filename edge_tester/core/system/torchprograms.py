"""Programs of torch.export as files (.pt2), and the quantization of PyTorch's export flow."""

from __future__ import annotations

import dataclasses
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge_tester.core.backends import backend
from edge_tester.core.system.quiet import quiet

# Where a node comes from: numbers that differ from process to process, and paths of this machine.
_ORIGINS = ("from_node", "stack_trace")
_QUANTIZED = "quantized_decomposed."


def content_of(program: Any, needed_by: object) -> bytes:
    """Return the file of a program; equal programs make equal bytes.

    Parameters
    ----------
    program : torch.export.ExportedProgram
        What its nodes tell of the code that they come from is removed.
    needed_by : object
        Who needs PyTorch.
    """
    torch = backend("torch", needed_by)
    for module in program.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            for node in module.graph.nodes:
                for key in _ORIGINS:
                    node.meta.pop(key, None)
    # Through memory: as a path it must have a suffix, and its random name would get into the file.
    content = io.BytesIO()
    with quiet():
        torch.export.save(program, content)
    return content.getvalue()


def loaded(path: Path, needed_by: object) -> Any:
    """Return the ``torch.export.ExportedProgram`` of a file.

    Whatever PyTorch raises for a file that is none is raised.
    """
    torch = backend("torch", needed_by)
    with quiet():
        # It registers the operators of quantized programs.
        backend("torch.ao.quantization.fx._decomposed", needed_by)
        return torch.export.load(path)


def tensors_of(program: Any) -> dict[str, Any]:
    """Return the weights, buffers and constants of a program by name."""
    return {**program.state_dict, **program.constants}


def is_quantized(program: Any) -> bool:
    """Tell whether a program quantizes or dequantizes."""
    return any(str(node.target).startswith(_QUANTIZED) for node in program.graph.nodes)


def open_sizes(program: Any, needed_by: object) -> tuple[dict[int, Any], ...] | None:
    """Return the sizes of the inputs that are open, as ``dynamic_shapes`` to export with.

    None if all are fixed. What was one size stays one; that of a first axis is called ``batch``.
    """
    names = program.graph_signature.user_inputs
    values = {n.name: n.meta["val"] for n in program.graph.nodes if n.op == "placeholder"}
    dimension = backend("torch", needed_by).export.Dim
    found: dict[str, Any] = {}
    shapes = []
    for name in names:
        sizes = {}
        for axis, size in enumerate(values[name].shape):
            if not isinstance(size, int):
                own = "batch" if axis == 0 and not found else f"size_{len(found)}"
                sizes[axis] = found.setdefault(str(size), dimension(own))
        shapes.append(sizes)
    return tuple(shapes) if found else None


def digest_of(program: Any) -> str:
    """Return the SHA-256 of names, types, shapes and values of all tensors, in hexadecimal."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors_of(program).items()):
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
        digest.update(values.flatten().view(dtype=_bytes_of(values)).numpy().tobytes())
    return digest.hexdigest()


def quantizer(needed_by: object, **settings: Any) -> Any:
    """Return XNNPACK's quantizer, symmetric int8 weights per channel.

    In a training, the ranges of weights are those that they have in each step. PyTorch's default is
    an average over some hundred steps: a channel that has grown meanwhile is cut off.

    Parameters
    ----------
    needed_by : object
    **settings
        Of ``get_symmetric_quantization_config``: ``is_qat``, ``is_dynamic``.
    """
    name = "executorch.backends.xnnpack.quantizer.xnnpack_quantizer"
    module: Any = backend(name, needed_by)
    chosen = module.get_symmetric_quantization_config(is_per_channel=True, **settings)
    if chosen.is_qat:
        given = chosen.weight.observer_or_fake_quant_ctr.p
        made = given.func.with_args(**given.keywords, averaging_constant=1)
        weight = dataclasses.replace(chosen.weight, observer_or_fake_quant_ctr=made)
        chosen = dataclasses.replace(chosen, weight=weight)
    return module.XNNPACKQuantizer().set_global(chosen)


def flow(needed_by: object) -> Any:
    """Return the module with ``prepare_pt2e``, ``prepare_qat_pt2e`` and ``convert_pt2e``."""
    return backend("torchao.quantization.pt2e.quantize_pt2e", needed_by)


def converted(prepared: Any, needed_by: object) -> Any:
    """Return what was calibrated or trained with integer weights, and without the float ones."""
    module = flow(needed_by).convert_pt2e(prepared)
    read = {str(node.target) for node in module.graph.nodes if node.op == "get_attr"}
    for name in list(_unread(module, read)):
        owner, _, own = name.rpartition(".")
        delattr(module.get_submodule(owner), own)
    return module


def _unread(module: Any, read: set[str]) -> Iterator[str]:
    for found in (module.named_parameters(), module.named_buffers()):
        yield from (name for name, _ in found if name not in read)


def _bytes_of(values: Any) -> Any:
    return backend("torch", values).uint8
