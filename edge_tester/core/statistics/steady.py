"""Whether latencies settled, and from when on: warm-up, slow-down, or neither."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal

import msgspec
import numpy as np

from edge_tester.core.statistics.changepoints import SHORTEST, changepoints, noise_of
from edge_tester.core.tensors import Array

Kind = Literal["flat", "warm-up", "slow-down", "no steady state", "too short"]
RunKind = Literal["flat", "warm-up", "slow-down", "no steady state", "inconsistent", "too short"]
NEGLIGIBLE: Final = 0.02
"""Relative difference up to which two levels count as the same."""
_INFERENCES: Final = 5
_POINTS: Final = 1000
_STEADY_SHARE: Final = 0.25
_DISTURBED_SHARE: Final = 0.1


class Level(msgspec.Struct, frozen=True):
    """Latencies of one level.

    Attributes
    ----------
    begin : int
        The first inference of it, counted from 0.
    latency_ns : float
        Median of the medians of a few consecutive latencies each [ns].
    """

    begin: int
    latency_ns: float


class Steadiness(msgspec.Struct, frozen=True, kw_only=True):
    """How the latencies of one replicate went on.

    Attributes
    ----------
    kind : str
        ``flat``: one level, but for disturbances of at most a tenth of all inferences. ``warm-up``:
        it became faster, then steady. ``slow-down``: slower than it had been, as a throttling
        target does, steady then or still rising. ``no steady state``: the last quarter is not
        of one level, or more than a tenth was left for others and come back to. ``too short``:
        fewer than 30 latencies.
    begin : int or None
        The first inference of the steady state, from 0; None without one.
    begin_ns : float or None
        How long the inferences before it took together [ns].
    levels : tuple of Level
        All that were found, in their order.
    """

    kind: Kind
    begin: int | None
    begin_ns: float | None
    levels: tuple[Level, ...]


def steadiness_of(latency_ns: Sequence[float] | Array) -> Steadiness:
    """Judge the latencies of one replicate.

    Parameters
    ----------
    latency_ns : sequence of numbers or ndarray of shape (count,)
        In the order in which they were measured, all above 0, without the cold ones [ns].

    Notes
    -----
    Changepoints of the logarithms of medians of five or more consecutive latencies, so that single
    outliers change nothing. Classes and the steady last quarter are those of E. Barrett, C. F.
    Bolz-Tereick, R. Killick, S. Mount & L. Tratt, "Virtual Machine Warmup Blows Hot and Cold",
    OOPSLA 2017. Other than theirs, levels count as the same up to a relative difference
    (:data:`NEGLIGIBLE`), and a level to which latencies came back is no warm-up.
    """
    # What a clock calls nothing took less than a nanosecond.
    values = np.maximum(np.asarray(latency_ns, np.float64), 1.0)
    size = max(_INFERENCES, math.ceil(len(values) / _POINTS))
    count = len(values) // size
    if count < 2 * SHORTEST:
        return Steadiness(kind="too short", begin=None, begin_ns=None, levels=())
    medians = np.log(np.median(values[: count * size].reshape(count, size), axis=1))
    begins = np.array([0, *changepoints(medians, noise_of(medians).lasting)])
    ends = np.array([*begins[1:], count])
    levels = [float(np.median(medians[b:e])) for b, e in zip(begins, ends, strict=True)]
    # The level of most of the last quarter: a disturbance may be what comes last.
    lasting = ends - np.maximum(begins, (1 - _STEADY_SHARE) * count)
    kind, steady = _judged(levels - np.array(levels[int(np.argmax(lasting))]), begins, ends)
    begin = None if steady is None else steady * size
    return Steadiness(
        kind=kind,
        begin=begin,
        begin_ns=None if begin is None else float(values[:begin].sum()),
        levels=tuple(
            Level(int(b) * size, math.exp(v)) for b, v in zip(begins, levels, strict=True)
        ),
    )


def _judged(above: Array, begins: Array, ends: Array) -> tuple[Kind, int | None]:
    """Return the class, and where the steady state begins.

    Parameters
    ----------
    above : ndarray of shape (levels,)
        By how much each level is above the one in the end, on the scale of logarithms.
    begins, ends : ndarray of int, shape (levels,)
        Where levels begin and end.
    """
    limit, count = math.log1p(NEGLIGIBLE), int(ends[-1])
    away = np.abs(above) > limit
    # How much of all that follows is disturbed, from each level on.
    disturbed = np.cumsum((away * (ends - begins))[::-1])[::-1]
    steady = ~away & (disturbed <= _DISTURBED_SHARE * (count - begins))
    steady &= count - begins >= _STEADY_SHARE * count
    if not away[0]:
        return ("flat", 0) if steady[0] else ("no steady state", None)
    if steady.any():
        place = int(np.argmax(steady))
        slower = bool((above[:place] < -limit).any())
        return ("slow-down" if slower else "warm-up", int(begins[place]))
    rising = bool((np.diff(above) > -limit).all() and above[0] < -limit)
    return ("slow-down", None) if rising else ("no steady state", None)


def steadiness_of_run(replicates: Sequence[Steadiness]) -> RunKind:
    """Return the class of a run; replicates that are too short to judge do not count.

    Parameters
    ----------
    replicates : sequence of Steadiness

    Notes
    -----
    Flat replicates are no contradiction: they may have begun where others arrived, such as a
    replicate on a target that is hot already. Anything else must be the same in all.
    """
    kinds = {one.kind for one in replicates} - {"too short"}
    if not kinds:
        return "too short"
    for kind in ("flat", "warm-up", "slow-down"):
        if kinds <= {"flat", kind}:
            return kind
    return "no steady state" if kinds == {"no steady state"} else "inconsistent"
