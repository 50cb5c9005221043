"""PyTorch's profiler: the operators that a module calls, with all that they call themselves.

Source: torch/autograd/profiler_util.py, ``FunctionEvent``. An operator of a module is a call that
no other operator made; its time holds that of the calls which it makes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from edge_tester.core.backends import backend
from edge_tester.core.profiles import (
    OperatorTime,
    Profile,
    median_ns,
    same_in_each,
    told,
    unavailable,
)
from edge_tester.core.system.quiet import quiet

TOOL = "PyTorch's profiler"
_WARM_UP = 3
_INFERENCE = "edge_tester.inference"
# Of a call: an operator, and not a range that a user, or a module of TorchScript, has named.
# Source: at::RecordScope.
_OPERATOR = 0
_PREFIX = "aten::"


def profile(call: Callable[[], Any], count: int) -> Profile:
    """Return the times of the operators that a call makes.

    Parameters
    ----------
    call : callable
        Runs the module once.
    count : int
        Inferences.
    """
    profiler: Any = backend("torch.profiler", "TorchScriptRuntime")
    for _ in range(_WARM_UP):
        call()
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with profiler.profile(activities=[profiler.ProfilerActivity.CPU]) as recorded:
            for _ in range(count):
                with profiler.record_function(_INFERENCE):
                    call()
        events = list(recorded.events())
    return profile_in(events, count)


def profile_in(events: Sequence[Any], count: int) -> Profile:
    """Return the times in the events of as many inferences."""
    inferences = sorted(
        (one for one in events if one.name == _INFERENCE), key=lambda one: one.time_range.start
    )
    calls = sorted((one for one in events if _is_outer(one)), key=lambda one: one.time_range.start)
    runs: list[list[Any]] = [[] for _ in inferences]
    for one in calls:
        for run, inference in zip(runs, inferences, strict=True):
            if inference.time_range.start <= one.time_range.start < inference.time_range.end:
                run.append(one)
                break
    if len(runs) != count or not same_in_each([[one.name for one in run] for run in runs]):
        return unavailable(TOOL, "The operators that ran differed from inference to inference.")
    operators = [
        OperatorTime(
            place=place,
            type=one.name.removeprefix(_PREFIX),
            time_ns=median_ns([1000 * run[place].cpu_time_total for run in runs]),
            delegate="cpu",
        )
        for place, one in enumerate(runs[0])
    ]
    whole_ns = median_ns([1000 * one.cpu_time_total for one in inferences])
    return told(TOOL, operators, count, whole_ns=whole_ns)


def named(profile: Profile, nodes: Sequence[Any]) -> Profile:
    """Return a profile with the names and shapes of a graph, if its nodes are what ran.

    Parameters
    ----------
    profile : Profile
    nodes : sequence of torch.fx.Node
        The calls of the graph, in their order.
    """
    import msgspec

    called = [str(getattr(node.target, "_schema", node.target)).partition("(")[0] for node in nodes]
    types = [name.partition(".")[0].removeprefix(_PREFIX) for name in called]
    if types != [one.type for one in profile.operators]:
        return profile
    operators = [
        msgspec.structs.replace(one, name=node.name, **_tensors(node))
        for one, node in zip(profile.operators, nodes, strict=True)
    ]
    return msgspec.structs.replace(profile, operators=operators)


def _tensors(node: Any) -> dict[str, Any]:
    value = node.meta.get("val")
    tensors = list(value) if isinstance(value, tuple | list) else [value]
    if not tensors or not all(hasattr(one, "shape") for one in tensors):
        return {}
    shapes = [list(one.shape) for one in tensors]
    # An open size has a name instead.
    known = all(isinstance(size, int) for shape in shapes for size in shape)
    return {
        "shapes": shapes if known else None,
        "dtypes": [str(one.dtype).removeprefix("torch.") for one in tensors],
    }


def _is_outer(event: Any) -> bool:
    if event.scope != _OPERATOR or event.name == _INFERENCE:
        return False
    parent = event.cpu_parent
    while parent is not None:
        if parent.scope == _OPERATOR and parent.name != _INFERENCE:
            return False
        parent = parent.cpu_parent
    return True
