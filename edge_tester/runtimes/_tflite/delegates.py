"""Delegates of LiteRT (TensorFlow Lite): what they need and what they really took."""

from __future__ import annotations

import re
from typing import Any

# What the file name of a library contains -> what the library is made for.
_NEEDS = {
    "edgetpu": "a Coral Edge TPU (USB, PCIe or M.2) and its runtime, the package libedgetpu1-std",
    "gpu": "a GPU with OpenCL or OpenGL ES and the delegate built for it (Android or Linux)",
    "nnapi": "Android 8.1 or later; NNAPI is deprecated since Android 15",
    "hexagon": "a Qualcomm Snapdragon with a Hexagon DSP, and Qualcomm's libhexagon_nn_skel",
    "qnn": "a Qualcomm Snapdragon and the libraries of Qualcomm's AI Engine Direct (QNN)",
    "coreml": "iOS 12 or macOS 10.15, or later, on an Apple device",
    "vx_delegate": "a VeriSilicon NPU, as in NXP's i.MX 8M Plus, and its TIM-VX driver",
    "ethosu": "an Arm Ethos-U NPU, as in NXP's i.MX 93, and its Linux driver",
    "armnn": "Arm NN, for Arm Cortex-A processors and Mali GPUs",
}

Counts = dict[str, int]


def needs_of(library: str) -> str:
    """Return a sentence on what a well-known delegate needs; empty for another one."""
    name = re.split(r"[/\\]", library.lower())[-1]
    found = next((needs for part, needs in _NEEDS.items() if part in name), None)
    return f" It needs {found}." if found else ""


def count_delegates(interpreter: Any) -> int:
    """Return how many parts of the graph delegates have taken so far."""
    return sum(operation["op_name"] == "DELEGATE" for operation in _operations(interpreter) or [])


def executors(interpreter: Any, asked_for: int) -> list[tuple[dict[str, Any], int]] | None:
    """Return each operation of the file with who runs it; None where that is not told.

    Parameters
    ----------
    interpreter : Interpreter
        With its tensors allocated.
    asked_for : int
        Parts that were taken before the tensors were allocated. XNNPACK, which nobody
        needs to ask for, comes only then and takes of what is left.

    Returns
    -------
    list of (dict, int)
        In the order of the file; 0 is a delegate asked for, 1 XNNPACK, 2 a built-in kernel.
    """
    operations = _operations(interpreter)
    if operations is None:
        return None
    real = [operation for operation in operations if operation["op_name"] != "DELEGATE"]
    parts = [operation for operation in operations if operation["op_name"] == "DELEGATE"]
    # Below 0 is what an operation leaves out: no tensor, and the same for all of them.
    producers = {
        tensor: operation
        for operation in real
        for tensor in operation["outputs"].tolist()
        if tensor >= 0
    }
    inside_asked, inside_xnnpack = (
        _inside(some, producers) for some in (parts[:asked_for], parts[asked_for:])
    )
    return [
        (one, 0 if one["index"] in inside_asked else 1 if one["index"] in inside_xnnpack else 2)
        for one in real
    ]


def operations_by_executor(
    interpreter: Any, asked_for: int
) -> tuple[Counts, Counts, Counts] | None:
    """Count the operations by name: of delegates asked for, of XNNPACK, of built-in kernels.

    Parameters
    ----------
    interpreter, asked_for
        As for :func:`executors`.

    Returns
    -------
    tuple of three dicts of str to int, or None
        None where the interpreter does not tell.
    """
    found = executors(interpreter, asked_for)
    if found is None:
        return None
    counts: tuple[Counts, Counts, Counts] = ({}, {}, {})
    for operation, executor in found:
        count, name = counts[executor], operation["op_name"]
        count[name] = count.get(name, 0) + 1
    return counts


def _operations(interpreter: Any) -> list[dict[str, Any]] | None:
    try:
        found: list[dict[str, Any]] = interpreter._get_ops_details()
    except (AttributeError, ValueError):
        return None
    return found


def _inside(parts: list[dict[str, Any]], producers: dict[int, dict[str, Any]]) -> set[int]:
    """Return the indices of the operations that delegates replaced.

    The interpreter's list keeps them. They are those from which the delegate's outputs are
    reached without passing its inputs.
    """
    inside: set[int] = set()
    for part in parts:
        borders = set(part["inputs"].tolist())
        pending = part["outputs"].tolist()
        while pending:
            operation = producers.get(pending.pop())
            if operation is not None and operation["index"] not in inside:
                inside.add(operation["index"])
                pending += set(operation["inputs"].tolist()) - borders
    return inside
