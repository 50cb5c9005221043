"""ExecuTorch's event tracer, whose events (ETDump) its developer tools read.

Source: executorch/runtime/__init__.py, ``write_etdump_result_to_file``; devtools/inspector. XNNPACK
tells of its operators in whole microseconds, ExecuTorch of its own in nanoseconds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_tester.core.backends import backend
from edge_tester.core.profiles import OperatorTime, Profile, median_ns, told, unavailable
from edge_tester.core.system.quiet import quiet
from edge_tester.core.system.temporary import TemporaryFolder

TOOL = "ExecuTorch's event tracer"
_WARM_UP = 2
_STEP_NS = 1000
_BLOCK, _WHOLE = "Execute", "Method::execute"
# Around what a delegate or a kernel tells of itself; they end, and are told of, after it.
_AROUND = ("DELEGATE_CALL", "OPERATOR_CALL")
_NS_PER_MS = 1e6
# Behind what a delegate calls its operators: which one of that kind.
_NUMBER = re.compile(r" #\d+$")
_CALL = "native_call_"
_KERNELS = "ExecuTorch's kernels"


def profile(
    library: Any, path: Path, tensors: Sequence[Any], delegates: Sequence[str], count: int
) -> Profile:
    """Return the times of the operators of a program that is loaded for it.

    Parameters
    ----------
    library : module
        The binding.
    path : Path
    tensors : sequence of torch.Tensor
    delegates : sequence of str
        Names of those that the program uses.
    count : int
        Inferences.
    """
    with quiet(), TemporaryFolder() as folder:
        events = Path(folder) / "events.etdp"
        program = library.Runtime.get().load_program(path, enable_etdump=True)
        method = program.load_method("forward")
        for _ in range(_WARM_UP + count):
            method.execute(tensors)
        try:
            program.write_etdump_result_to_file(str(events), str(Path(folder) / "values.bin"))
            if not events.exists() or not events.stat().st_size:
                return unavailable(TOOL, "This build of ExecuTorch was made without it.")
            inspector = backend("executorch.devtools", "ExecuTorchRuntime").Inspector
            blocks = list(inspector(etdump_path=str(events)).event_blocks)
        except (ImportError, RuntimeError) as error:
            return unavailable(TOOL, f"It cannot be read here: {error}")
    found = [block for block in blocks if block.name == _BLOCK]
    if len(found) != 1:
        return unavailable(TOOL, "The operators that ran differed from inference to inference.")
    return profile_in(found[0].events, delegates, count)


def profile_in(events: Sequence[Any], delegates: Sequence[str], count: int) -> Profile:
    """Return the times in the events of an execution, which come when something has ended."""
    whole_ns: int | None = None
    operators: list[OperatorTime] = []
    coarse = told_of = False
    # Of several delegates, nothing tells whose an operator is.
    delegate = delegates[0] if len(delegates) == 1 else None
    for event in events:
        times_ns = [_NS_PER_MS * time_ms for time_ms in event.perf_data.raw]
        if len(times_ns) != _WARM_UP + count:
            return unavailable(
                TOOL, f"{event.name} has {len(times_ns)} times in {_WARM_UP + count} inferences."
            )
        around = event.name in _AROUND
        if event.name == _WHOLE:
            whole_ns = median_ns(times_ns[_WARM_UP:])
        elif not (around and told_of):
            inside = event.is_delegated_op or event.name == _AROUND[0]
            operators.append(
                OperatorTime(
                    place=len(operators),
                    type=_NUMBER.sub("", event.name).removeprefix(_CALL),
                    time_ns=median_ns(times_ns[_WARM_UP:]),
                    delegate=delegate if inside else _KERNELS,
                )
            )
            coarse = coarse or bool(event.is_delegated_op)
        told_of = not around
    return told(TOOL, operators, count, whole_ns=whole_ns, resolution_ns=_STEP_NS if coarse else 1)
