"""The performance counters of OpenVINO's CPU plugin.

Source: openvino/src/plugins/intel_cpu/src/perf_count.h: what ``get_profiling_info`` gives for a
layer is no time of one inference, but the average over all inferences of the request until then, in
whole microseconds, cut off. So the counters are read after the inferences that warm caches, and
again after those that count, and what was added is divided among these. A layer that takes less
than a microsecond is said not to have run once its average is that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edge_tester.core.profiles import (
    OperatorTime,
    Profile,
    same_in_each,
    told,
    unavailable,
)

TOOL = "OpenVINO's performance counters"
_STEP_NS = 1000
_WARM_UP = 2
_NOT_RUN = "Status.NOT_RUN"
# OpenVINO's names of element types -> numpy's; others are alike but for the letter.
_LETTERS = {"f": "float", "i": "int", "u": "uint"}


def profile(request: Any, compiled: Any, device: str, count: int) -> Profile:
    """Return the times of the layers that ran.

    Parameters
    ----------
    request : InferRequest
        Fresh, with inputs, of a model that was compiled with counters.
    compiled : CompiledModel
    device : str
    count : int
        Inferences.
    """
    for _ in range(_WARM_UP):
        request.infer()
    before = list(request.get_profiling_info())
    for _ in range(count):
        request.infer()
    after = list(request.get_profiling_info())
    if not same_in_each([[_key(one) for one in before], [_key(one) for one in after]]):
        return unavailable(TOOL, "The layers that ran differed from inference to inference.")
    layers = {layer.get_friendly_name(): layer for layer in _layers(compiled)}
    if len(layers) != len(_layers(compiled)):
        # Two of one name: whose shape is whose cannot be told.
        layers = {}
    ran = [
        pair
        for pair in zip(before, after, strict=True)
        if any(str(one.status) != _NOT_RUN for one in pair)
    ]
    operators = []
    for place, (early, late) in enumerate(ran):
        added_us = (_WARM_UP + count) * _us(late) - _WARM_UP * _us(early)
        time_ns = max(0, round(added_us * _STEP_NS / count))
        operators.append(_operator(place, late, time_ns, layers.get(late.node_name), device))
    return told(TOOL, operators, count, statistic="mean", resolution_ns=_STEP_NS)


def _layers(compiled: Any) -> Sequence[Any]:
    found: Sequence[Any] = compiled.get_runtime_model().get_ordered_ops()
    return found


def _us(layer: Any) -> int:
    return int(round(layer.real_time.total_seconds() * 1e6))


def _key(layer: Any) -> tuple[str, str]:
    return layer.node_name, layer.exec_type


def _operator(place: int, counted: Any, time_ns: int, layer: Any, device: str) -> OperatorTime:
    shapes = dtypes = None
    fused: list[str] = []
    if layer is not None:
        outputs = layer.outputs()
        if all(port.get_partial_shape().is_static for port in outputs):
            shapes = [[int(size) for size in port.get_shape()] for port in outputs]
        dtypes = [_dtype(port.get_element_type().get_type_name()) for port in outputs]
        told_names = layer.get_rt_info()
        if "originalLayersNames" in told_names:
            names = str(told_names["originalLayersNames"].value).split(",")
            fused = [name for name in names if name] if len(names) > 1 else []
    return OperatorTime(
        place=place,
        type=counted.node_type,
        name=counted.node_name,
        time_ns=time_ns,
        shapes=shapes,
        dtypes=dtypes,
        delegate=f"{device} {counted.exec_type}".strip(),
        fused=fused,
    )


def _dtype(name: str) -> str:
    return f"{_LETTERS[name[0]]}{name[1:]}" if name[:1] in _LETTERS and name[1:].isdigit() else name
