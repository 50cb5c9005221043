"""The profiler of ONNX Runtime's sessions, and the file that it writes.

Source: onnxruntime/core/common/profiler.cc (a list of events of the Trace Event Format) and
core/framework/sequential_executor.cc (what an event of a kernel says, at the kernel's end). Times
are whole microseconds, cut off.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_tester.core.profiles import (
    OperatorTime,
    Profile,
    median_ns,
    same_in_each,
    told,
    unavailable,
)
from edge_tester.core.system.temporary import TemporaryFolder

TOOL = "ONNX Runtime's session profiler"
_STEP_NS = 1000
_KERNEL = "_kernel_time"
# Of a run: later ones than the first, whose memory is not there yet.
_WARM_UP = 2
_CPU = "CPUExecutionProvider"
# Their time holds that of the nodes of their graphs, whose events come before theirs.
_WITH_GRAPHS = ("If", "Loop", "Scan", "SequenceMap")
# ONNX Runtime's names of element types -> numpy's.
_DTYPES = {"float": "float32", "double": "float64"}


def profile(
    session_of: Callable[[str], Any],
    output_names: Sequence[str],
    feeds: Mapping[str, Any],
    count: int,
) -> Profile:
    """Return the times of the nodes of a session that is made for it.

    Parameters
    ----------
    session_of : callable
        Makes a session that writes a profile whose file name begins so.
    output_names : sequence of str
    feeds : mapping of str to ndarray
    count : int
        Inferences.
    """
    with TemporaryFolder() as folder:
        session = session_of(str(Path(folder) / "profile"))
        for _ in range(_WARM_UP + count):
            session.run(list(output_names), dict(feeds))
        events = json.loads(Path(session.end_profiling()).read_text("utf-8", "replace"))
    return profile_in(events, count)


def profile_in(events: Sequence[Mapping[str, Any]], count: int) -> Profile:
    """Return the times in the events of a profile, of its last inferences."""
    runs = [
        (one["ts"], one["ts"] + one["dur"], one["dur"])
        for one in events
        if one.get("cat") == "Session" and one["name"] == "model_run"
    ]
    kernels = [one for one in events if one.get("cat") == "Node" and one["name"].endswith(_KERNEL)]
    each = [
        _outermost([one for one in kernels if begin <= one["ts"] <= end])
        for begin, end, _ in sorted(runs)[-count:]
    ]
    if not each or not same_in_each([[_key(k) for k in run] for run in each]):
        return unavailable(
            TOOL, "The nodes that ran, or their order, differed from inference to inference."
        )
    operators = [
        _operator(place, kernel, median_ns([run[place]["dur"] * _STEP_NS for run in each]))
        for place, kernel in enumerate(each[-1])
    ]
    whole_ns = median_ns([duration * _STEP_NS for _, _, duration in sorted(runs)[-count:]])
    others = sorted({one.delegate for one in operators if one.delegate} - {_CPU})
    remarks = [f"What {one} does while the processor goes on is in no time." for one in others]
    return told(
        TOOL, operators, len(each), resolution_ns=_STEP_NS, whole_ns=whole_ns, remarks=remarks
    )


def _outermost(kernels: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the kernels of the main graph, in the order in which they ended."""
    found: list[Mapping[str, Any]] = []
    for kernel in kernels:
        if kernel["args"].get("op_name") in _WITH_GRAPHS:
            while found and found[-1]["ts"] >= kernel["ts"]:
                found.pop()
        found.append(kernel)
    return found


def _key(kernel: Mapping[str, Any]) -> tuple[str, str]:
    return kernel["name"], str(kernel["args"].get("node_index"))


def _operator(place: int, kernel: Mapping[str, Any], time_ns: int) -> OperatorTime:
    about = kernel["args"]
    outputs = about.get("output_type_shape")
    pairs = [pair for one in outputs or [] for pair in one.items()]
    # A subgraph's sizes, or those of an output that is no tensor, need not be there.
    known = bool(pairs)
    return OperatorTime(
        place=place,
        type=str(about.get("op_name", "")),
        name=str(kernel["name"]).removesuffix(_KERNEL),
        time_ns=time_ns,
        shapes=[list(map(int, shape)) for _, shape in pairs] if known else None,
        dtypes=[_DTYPES.get(kind, kind) for kind, _ in pairs] if known else None,
        delegate=about.get("provider"),
    )
