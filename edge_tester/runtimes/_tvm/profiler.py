"""The instrument of Relax' virtual machine, which is called around each call of the program.

Source: tvm/runtime/vm.py, ``VirtualMachine.set_instrument``; TVM 0.27 has no profiler of Relax.
What the machine calls of its own (``vm.builtin``: memory, shapes) is no operator and is left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from edge_tester.core.profiles import (
    OperatorTime,
    Profile,
    median_ns,
    same_in_each,
    told,
    unavailable,
)

TOOL = "calls of TVM's virtual machine, between two calls of its instrument"
_WARM_UP = 2
_OWN = "vm.builtin."
_ALLOCATION = "vm.builtin.alloc_tensor"
# What the instrument answers for "go on". Source: VMInstrumentReturnKind.
_GO_ON = 0


class _Call:
    """One call of a compiled function.

    Of its tensors, those are its outputs into whose memory nothing was written since it was
    allocated: compiled functions get the memory of their results as arguments.
    """

    def __init__(self, symbol: str, outputs: Sequence[Any]) -> None:
        self.symbol = symbol
        self.shapes = [[int(size) for size in one.shape] for one in outputs]
        self.dtypes = [str(one.dtype) for one in outputs]
        self.begin_ns = self.time_ns = 0


class _Instrument:
    """What the machine calls before and after each call.

    Parameters
    ----------
    finish : callable
        Waits until what was called is done.
    """

    def __init__(self, finish: Callable[[], None]) -> None:
        self.calls: list[_Call] = []
        self._open: list[_Call] = []
        self._unwritten: set[int] = set()
        self._finish = finish

    def __call__(self, function: Any, symbol: str, before: bool, result: Any, *values: Any) -> int:
        if symbol.startswith(_OWN):
            if symbol == _ALLOCATION and not before:
                self._unwritten.add(result.data_ptr())
            return _GO_ON
        if before:
            outputs = [one for one in values if hasattr(one, "data_ptr") and self._is_new(one)]
            self._open.append(_Call(symbol, outputs))
            self._open[-1].begin_ns = time.perf_counter_ns()
            return _GO_ON
        self._finish()
        end_ns = time.perf_counter_ns()
        call = self._open.pop()
        call.time_ns = end_ns - call.begin_ns
        # The time of a function holds that of those which it calls.
        if not self._open:
            self.calls.append(call)
        return _GO_ON

    def _is_new(self, tensor: Any) -> bool:
        place = tensor.data_ptr()
        new = place in self._unwritten
        self._unwritten.discard(place)
        return new


def _nothing() -> None:
    """Wait for nobody: the processor has done it when the call returns."""


def profile(
    machine: Any, tensors: Sequence[Any], device: str, count: int, wait: Callable[[], None] | None
) -> Profile:
    """Return the times of the functions that a program calls.

    Parameters
    ----------
    machine : VirtualMachine
        Made for this alone.
    tensors : sequence of Tensor
    device : str
    count : int
        Inferences.
    wait : callable, optional
        Waits until the device is done; without it, calls return when it is.
    """
    instrument = _Instrument(wait or _nothing)
    machine.set_instrument(instrument)
    main = machine["main"]
    runs, wholes_ns = [], []
    for _ in range(_WARM_UP + count):
        instrument.calls = []
        begin_ns = time.perf_counter_ns()
        main(*tensors)
        (wait or _nothing)()
        wholes_ns.append(time.perf_counter_ns() - begin_ns)
        runs.append(instrument.calls)
    runs, wholes_ns = runs[-count:], wholes_ns[-count:]
    if not same_in_each([[call.symbol for call in run] for run in runs]):
        return unavailable(TOOL, "The functions that ran differed from inference to inference.")
    operators = [
        OperatorTime(
            place=place,
            type=call.symbol,
            time_ns=median_ns([run[place].time_ns for run in runs]),
            shapes=call.shapes or None,
            dtypes=call.dtypes or None,
            delegate=device,
        )
        for place, call in enumerate(runs[-1])
    ]
    return told(TOOL, operators, count, whole_ns=median_ns(wholes_ns))
