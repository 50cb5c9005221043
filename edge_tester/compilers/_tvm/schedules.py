"""Schedules for processors.

TVM's own pipeline leaves loops as they are written, which uses neither vectors nor
registers well.
"""

from __future__ import annotations

import math
from typing import Any

from edge_tester.core.backends import backend

# Vector registers for sums; two of the usual 16 are for what is multiplied.
_ACCUMULATORS = 14
# Below this many values, waking other threads takes longer than what they do.
_SMALL = 1 << 14
# More than any block of a usual network has: the longest are activations after normalization.
_MOST_READS = 256


def applied(tvm: Any, module: Any, lanes: int) -> Any:
    """Return the module with every function scheduled that this module knows how to.

    Parameters
    ----------
    tvm : module
    module : tvm.IRModule
    lanes : int
        float32 values in a vector register.
    """
    for name, function in module.functions_items():
        if not isinstance(function, tvm.tirx.PrimFunc) or function.attrs.get("tirx.is_scheduled"):
            continue
        schedule = scheduled(tvm, function, lanes)
        if schedule is not None:
            module[name] = schedule.mod["main"].with_attr("tirx.is_scheduled", True)
    return module


def scheduled(tvm: Any, function: Any, lanes: int) -> Any | None:
    """Return the schedule of one function, None if the form of its loops is not known here.

    Parameters
    ----------
    tvm : module
    function : tvm.tirx.PrimFunc or tvm.IRModule
        An IRModule has it as ``main``.
    lanes : int
        float32 values in a vector register.

    Returns
    -------
    tvm.s_tir.Schedule or None
    """
    schedule = tvm.s_tir.Schedule(function)
    try:
        return schedule if _Function(tvm, schedule, lanes).scheduled() else None
    except tvm.s_tir.ScheduleError:
        return None


class _Function:
    """One function while it is scheduled."""

    def __init__(self, tvm: Any, schedule: Any, lanes: int) -> None:
        self._tvm = tvm
        self._schedule = schedule
        self._lanes = lanes

    def scheduled(self) -> bool:
        """Give the function new loops, and tell whether its form is known."""
        analysis: Any = backend("tvm.s_tir.dlight.analysis", "TVMCompiler")
        common: Any = backend("tvm.s_tir.dlight.base", "TVMCompiler")
        blocks = analysis.normalize_prim_func(self._schedule)
        if blocks is None or not all(_is_fixed(block) for block in blocks):
            return False
        # Of a sum over a single element, as a matrix product of inner size 1 has it, no loop is
        # left; inlining would take it for an assignment, and add what follows twice.
        if any(self._is_sum(block) and "R" not in block.dom_kind() for block in blocks):
            return False
        # Each reader of a value computes it anew: where every step of a chain reads the one before
        # twice, inlining doubles with every step.
        if self._inlined_reads(blocks) > _MOST_READS:
            return False
        sums = [number for number, block in enumerate(blocks) if not block.is_injective()]
        if len(sums) > 1:
            return False
        # What comes before a sum, such as padding, would be computed anew for each summand.
        before = blocks[: sums[0] + 1] if sums else []
        blocks = before + common.try_inline(self._schedule, blocks[len(before) :])
        if not sums:
            for block in blocks:
                self._vectorize(block.block_rv)
            return True
        if len(blocks) > len(before) + 1:
            return False
        after = blocks[-1].block_rv if len(blocks) > len(before) else None
        if not self._tile(before[-1], after):
            return False
        for block in before[:-1]:
            self._vectorize(block.block_rv)
        return True

    def _inlined_reads(self, blocks: list[Any]) -> int:
        """Return how many values a block would read at most if all before it were inlined."""
        walk: Any = backend("tvm_ffi", "TVMCompiler").structural_walk
        reads: dict[Any, int] = {}
        for block in blocks:
            body, found = self._schedule.get(block.block_rv), list[Any]()
            walk(body.body, (self._tvm.ir.TensorLoad, found.append))
            reads[body.writes[0].source] = sum(reads.get(load.source, 1) for load in found)
        return max(reads.values())

    def _is_sum(self, block: Any) -> bool:
        return self._schedule.get(block.block_rv).init is not None

    def _tile(self, block: Any, after: Any | None) -> bool:
        """Sum in registers: a tile of rows and columns at a time, columns in vectors."""
        schedule, kinds = self._schedule, block.dom_kind()
        sizes = [int(one.dom) for one in block.iters]
        # Every size of 1 is gone; spatial loops come first in what TVM makes.
        spatial, reduced = kinds.count("S"), kinds.count("R")
        if not spatial or not reduced or kinds != "S" * spatial + "R" * reduced:
            return False
        if after is None:
            after = schedule.cache_write(block.block_rv, 0, "local")
        loops = schedule.get_loops(block.block_rv)
        if len(loops) != len(sizes):
            return False
        rows, columns = self._tile_of(sizes[spatial - 2] if spatial > 1 else 1, sizes[spatial - 1])
        outer, inner = list(loops[:spatial]), []
        for position, size in ((-2, rows), (-1, columns))[2 - min(spatial, 2) :]:
            outer[position], loop = schedule.split(outer[position], [None, size])
            inner.append(loop)
        schedule.reorder(*outer, *loops[spatial:], *inner)
        fused = schedule.fuse(*outer)
        schedule.reverse_compute_at(after, fused)
        # Before the block is taken apart, which hides that both are safe.
        if math.prod(sizes) >= _SMALL:
            schedule.parallel(fused)
        self._unroll(inner)
        zeros = schedule.decompose_reduction(block.block_rv, loops[spatial])
        self._unroll(schedule.get_loops(zeros)[1:])
        self._unroll(schedule.get_loops(after)[1:])
        return True

    def _tile_of(self, rows: int, columns: int) -> tuple[int, int]:
        """Return the sizes of the tile that leaves the fewest registers unused."""
        best = (0, 1, 1)
        for vectors in (4, 2, 1):
            width = vectors * self._lanes
            if columns % width == 0:
                height = _divisor(rows, _ACCUMULATORS // vectors)
                best = max(best, (height * vectors, height, width))
        if best[0]:
            return best[1:]
        return _divisor(rows, _ACCUMULATORS // 2), _divisor(columns, self._lanes)

    def _unroll(self, loops: list[Any]) -> None:
        if not loops:
            # The tile is a single value.
            return
        *others, last = loops
        self._schedule.vectorize(last)
        for loop in others:
            self._schedule.unroll(loop)

    def _vectorize(self, block: Any) -> None:
        schedule = self._schedule
        *outer, last = schedule.get_loops(block)
        sizes = [int(schedule.get(loop).extent) for loop in (*outer, last)]
        rest, vector = schedule.split(last, [None, _divisor(sizes[-1], self._lanes)])
        schedule.vectorize(vector)
        fused = schedule.fuse(*outer, rest)
        if math.prod(sizes) >= _SMALL:
            schedule.parallel(fused)


def _is_fixed(block: Any) -> bool:
    return bool(block.iters) and all(isinstance(one.dom, int) for one in block.iters)


def _divisor(number: int, most: int) -> int:
    """Return the largest divisor of a number that is at most ``most``."""
    return max(divisor for divisor in range(1, most + 1) if number % divisor == 0)
