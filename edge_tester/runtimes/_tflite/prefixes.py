"""Beginnings of a .tflite graph, and what each further operator adds to their time.

LiteRT's Python package has no profiler. So the graph is cut after each operator, the beginnings are
timed in blocks that take turns in random order, and the time of an operator is a difference: of the
beginning with it, and of the one without. That is no measurement of the operator itself. Where one
half of the blocks tells otherwise than the other, there are no times.

Each beginning has the first decile of its blocks: what disturbs a block makes it longer, never
shorter, and a difference of medians is mostly that where other processes run. Seen on two busy
processors, for a MobileNetV2 of 65 operators: rank correlations of the two halves of 0.3 by
medians, 0.9 to 0.98 by deciles. Source: J. Chen and J. Revels, "Robust benchmarking in noisy
environments", 2016 (for the minimum).

A beginning is the file with three lengths and one number changed: how many operators and outputs
the main graph has, which its output is, and that there are no signatures. The first one has no
operator. Source: schema.fbs of TensorFlow Lite for the fields.
"""

from __future__ import annotations

import itertools
import os
import random
import statistics
import struct
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from edge_tester.core.profiles import OperatorTime, Profile, told, unavailable
from edge_tester.runtimes._tflite.tables import root

TOOL = "beginnings of the graph, cut after each operator and timed in turns"
BUILT_IN = "built-in kernels"
# Places of fields in their tables.
_MODEL_SUBGRAPHS, _MODEL_SIGNATURES = 2, 7
_GRAPH_INPUTS, _GRAPH_OUTPUTS, _GRAPH_OPERATORS = 1, 2, 3
_OUTPUTS = 2
# Whole rounds over all beginnings; half of them is compared with the other half.
_LEAST_ROUNDS, _MOST_ROUNDS = 8, 200
# How long all rounds shall take, and how long the fewest may: a target ends what runs for a minute.
_WANTED_NS, _LIMIT_NS = 10_000_000_000, 30_000_000_000
_LEAST_BLOCK_NS = 200_000
_MOST_IN_BLOCK = 50
# Interpreters that are kept between rounds have copies of the file.
_LITTLE_BYTES = 1 << 24
# Below this rank correlation of the two halves, or above this part that they differ by, the
# differences are noise. Seen: 0.95 to 0.998 with built-in kernels, 0.57 to 0.98 with XNNPACK.
_LEAST_CORRELATION, _MOST_DIFFERING = 0.8, 0.25
_FEW = 4
_SEED = 0


class Operator(NamedTuple):
    """What is known of an operator without its time."""

    type: str
    name: str
    outputs: int
    dtypes: list[str]
    delegate: str | None


def beginning(content: bytes, operators: int) -> bytes:
    """Return the file of a graph that ends after so many operators, 0 included.

    Its output is the first one of the last operator that has any, or the first input.
    """
    made = bytearray(content)
    with memoryview(content) as view:
        model = root(view)
        graph = next(model.tables(_MODEL_SUBGRAPHS))
        kept = list(graph.tables(_GRAPH_OPERATORS))[:operators]
        made_by = (n for one in reversed(kept) for n in _numbers(view, one.vector(_OUTPUTS)))
        output = next(made_by, _numbers(view, graph.vector(_GRAPH_INPUTS))[0])
        _put(made, graph.vector(_GRAPH_OPERATORS), operators)
        _put(made, graph.vector(_GRAPH_OUTPUTS), 1)
        _put(made, graph.vector(_GRAPH_OUTPUTS) + 4, output)
        if place := model.vector(_MODEL_SIGNATURES):
            _put(made, place, 0)
    return bytes(made)


def profile(
    content: bytes,
    interpreter_of: Callable[[bytes], Any],
    feed: Callable[[Any], None],
    operators: Sequence[Operator],
) -> Profile:
    """Return the differences between beginnings of a graph.

    Parameters
    ----------
    content : bytes
        The file.
    interpreter_of : callable
        Makes an interpreter of a file, its tensors allocated.
    feed : callable
        Sets its inputs.
    operators : sequence of Operator
        Those of the main graph, in their order.
    """
    begin_ns, total = time.perf_counter_ns(), len(operators)
    benches = _Benches(content, interpreter_of, feed, keep=_fits((total + 1) * len(content)))
    estimate_ns = {n: benches.time_ns(n, 1) for n in range(total + 1)}
    sizes = {
        n: min(_MOST_IN_BLOCK, max(1, -(-_LEAST_BLOCK_NS // max(1, time_ns))))
        for n, time_ns in estimate_ns.items()
    }
    times_ns: dict[int, list[int]] = {n: [] for n in estimate_ns}
    order, generator, rounds = list(estimate_ns), random.Random(_SEED), 0
    while rounds < _MOST_ROUNDS:
        lasted_ns = time.perf_counter_ns() - begin_ns
        # As many in one half as in the other.
        if rounds >= _LEAST_ROUNDS and rounds % 2 == 0 and lasted_ns > _WANTED_NS:
            break
        generator.shuffle(order)
        for n in order:
            if time.perf_counter_ns() - begin_ns > _LIMIT_NS:
                return unavailable(
                    TOOL,
                    f"{total} beginnings of the graph, {_LEAST_ROUNDS} times each, take longer "
                    f"than {_LIMIT_NS / 1e9:.0f} s.",
                )
            times_ns[n].append(benches.time_ns(n, sizes[n]))
        rounds += 1
    return _judged(times_ns, operators, benches.shapes, rounds * min(sizes.values()))


def _fits(size_bytes: int) -> bool:
    """Tell whether so much, and as much again that kernels make of it, is little of the memory."""
    try:
        free_bytes = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        free_bytes = 0
    return size_bytes <= max(_LITTLE_BYTES, free_bytes // 8)


def _judged(
    times_ns: dict[int, list[int]],
    operators: Sequence[Operator],
    shapes: dict[int, list[int]],
    inferences: int,
) -> Profile:
    """Return the differences, if the two halves of the rounds tell the same.

    ``shapes`` are of the last output of each beginning, by its number of operators.
    """
    early, late = (_differences(times_ns, slice(half, None, 2)) for half in (0, 1))
    differences = _differences(times_ns, slice(None))
    size = sum(map(abs, differences))
    differing = sum(abs(a - b) for a, b in zip(early, late, strict=True)) / size if size else 1.0
    correlation = _rank_correlation(early, late) if len(differences) >= _FEW else 1.0
    if correlation < _LEAST_CORRELATION or differing > _MOST_DIFFERING:
        delegated = any(one.delegate != BUILT_IN for one in operators)
        return unavailable(
            TOOL,
            "Its times did not repeat: of the two halves of the blocks, the rank correlation was "
            f"{correlation:.2f} (needed: {_LEAST_CORRELATION}), and they differed by "
            f"{100 * differing:.0f} % (at most: {100 * _MOST_DIFFERING:.0f} %). "
            + (
                "With built-in kernels (--no-xnnpack) they often do."
                if delegated
                else "They may where less else runs on the target."
            ),
        )
    remarks = [f"The two halves of the blocks differed by {100 * differing:.0f} %."]
    if len(differences) >= _FEW:
        remarks[0] = f"{remarks[0][:-1]}, with a rank correlation of {correlation:.2f}."
    if below := sum(one < 0 for one in differences):
        remarks.append(f"{below} of {len(differences)} differences were below 0, and are 0 here.")
    return told(
        TOOL,
        [
            OperatorTime(
                place=place,
                type=one.type,
                name=one.name,
                time_ns=max(0, round(differences[place])),
                # Of several outputs, the beginning gave one.
                shapes=[shapes[place + 1]] if one.outputs == 1 else None,
                dtypes=one.dtypes,
                delegate=one.delegate,
            )
            for place, one in enumerate(operators)
        ],
        inferences,
        differences=True,
        statistic="first decile",
        whole_ns=round(_decile(times_ns[max(times_ns)])),
        remarks=remarks,
    )


def _differences(times_ns: dict[int, list[int]], half: slice) -> list[float]:
    """Return how much longer each beginning takes than the one with an operator less."""
    deciles = [_decile(times_ns[n][half]) for n in sorted(times_ns)]
    return [late - early for early, late in itertools.pairwise(deciles)]


def _decile(times_ns: Sequence[int]) -> float:
    """Return what a tenth of the blocks is faster than."""
    import numpy as np

    return float(np.quantile(times_ns, 0.1))


def _rank_correlation(some: Sequence[float], others: Sequence[float]) -> float:
    import numpy as np

    from edge_tester.core.statistics.percentiles import midranks

    ranks = [midranks(np.array(one)) for one in (some, others)]
    if any(np.ptp(one) == 0 for one in ranks):
        return 0.0
    return float(np.corrcoef(ranks)[0, 1])


class _Benches:
    """Interpreters of beginnings, kept where there is memory for all of them."""

    def __init__(
        self,
        content: bytes,
        interpreter_of: Callable[[bytes], Any],
        feed: Callable[[Any], None],
        *,
        keep: bool,
    ) -> None:
        self._content = content
        self._interpreter_of = interpreter_of
        self._feed = feed
        self._keep = keep
        self._kept: dict[int, Any] = {}
        self.shapes: dict[int, list[int]] = {}

    def time_ns(self, operators: int, inferences: int) -> int:
        """Return the median time of a block of inferences, after one that nobody times."""
        interpreter = self._kept.get(operators)
        if interpreter is None:
            interpreter = self._interpreter_of(beginning(self._content, operators))
            if self._keep:
                self._kept[operators] = interpreter
        self._feed(interpreter)
        invoke, clock = interpreter.invoke, time.perf_counter_ns
        invoke()
        if operators not in self.shapes:
            # Some sizes are known only now.
            output = interpreter.get_output_details()[0]["index"]
            self.shapes[operators] = list(interpreter.get_tensor(output).shape)
        times_ns = []
        for _ in range(inferences):
            begin_ns = clock()
            invoke()
            times_ns.append(clock() - begin_ns)
        return round(statistics.median(times_ns))


def _numbers(content: memoryview, place: int) -> list[int]:
    if not place:
        return []
    (count,) = struct.unpack_from("<I", content, place)
    return list(struct.unpack_from(f"<{count}i", content, place + 4))


def _put(content: bytearray, place: int, number: int) -> None:
    struct.pack_into("<i", content, place, number)
