"""Energy by a meter outside of the target: its readings, laid over the blocks of a record."""

from __future__ import annotations

import csv
import datetime
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np

from edge_tester.core.errors import RecordError
from edge_tester.core.results.energy import lasting_s
from edge_tester.core.results.parts import Block, Replicate
from edge_tester.core.tensors import Array

COUNTER: Final = "external_j"
_UNITS: Final = {
    "time": {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9},
    "power": {"w": 1.0, "mw": 1e-3, "uw": 1e-6, "µw": 1e-6},
    "voltage": {"v": 1.0, "mv": 1e-3, "uv": 1e-6, "µv": 1e-6},
    "current": {"a": 1.0, "ma": 1e-3, "ua": 1e-6, "µa": 1e-6},
}
# Whoever idles does so from a moment after the last block on.
_REST_S, _LEAST_IDLE_S = 0.5, 1.0
# Correlation of power and blocks from which on they belong together, and by how much less any
# other place must have.
_ALIKE, _CLEARLY = 0.65, 0.75
_MOST_POINTS = 1 << 19


class Trace(NamedTuple):
    """What a meter read.

    Attributes
    ----------
    times_s : ndarray of shape (readings,)
        Growing; Unix time, or from wherever the meter counts [s].
    power_w : ndarray of shape (readings,)
    """

    times_s: Array
    power_w: Array


def read_trace(path: Path) -> Trace:
    """Read a CSV file with a header, and columns of time and power, or of voltage and current.

    The first column of each kind counts, by the begin of its name; its unit stands at the end of
    the name, as in ``time_s``, ``Power (mW)`` or ``current ma``. Times may be ISO 8601.

    Raises
    ------
    RecordError
        It cannot be read, lacks a column, or a name has no unit.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RecordError(f"The readings {path} cannot be read: {error}.") from error
    if len(rows) < 3:
        raise RecordError(f"{path} needs a line of names and at least two readings.")
    head, *lines = rows
    times_s = _column(path, head, lines, "time")
    if any(_kind(name) == "power" for name in head):
        power_w = _column(path, head, lines, "power")
    else:
        power_w = _column(path, head, lines, "voltage") * _column(path, head, lines, "current")
    if not (np.isfinite(power_w).all() and (np.diff(times_s) > 0).all()):
        raise RecordError(f"{path} must have growing times and powers that are numbers.")
    return Trace(times_s, np.abs(power_w))


def begin_by_clock(trace: Trace, clock_epoch_ns: int | None) -> float:
    """Return where the target's clock was 0, by the meter's times [s].

    Parameters
    ----------
    trace : Trace
    clock_epoch_ns : int or None
        Unix time at which the target's clock was 0 [ns].

    Raises
    ------
    RecordError
        The record does not tell, or the times of the meter are no Unix times.
    """
    if clock_epoch_ns is None or trace.times_s[0] < 1e9:
        raise RecordError(
            "The readings cannot be aligned by time: the record has no clock, or their times are "
            "no Unix times. --align blocks finds the blocks in the readings."
        )
    return clock_epoch_ns / 1e9


def begin_by_blocks(trace: Trace, replicates: Sequence[Replicate]) -> float:
    """Return where the target's clock was 0, by the meter's times [s]: where blocks fit best.

    Notes
    -----
    The place of the largest correlation of the power with whether a block runs, which must be
    large, and much larger than at any other place. Pulses as markers are blocks of a run that is
    long enough.

    Raises
    ------
    RecordError
        There is no such place, or more than one.
    """
    spans = _spans_s(replicates)
    step_s = max(
        float(np.median(np.diff(trace.times_s))),
        float(trace.times_s[-1] - trace.times_s[0]) / _MOST_POINTS,
    )
    power = np.interp(np.arange(trace.times_s[0], trace.times_s[-1], step_s), *trace)
    busy = _busy(spans, step_s)
    places = len(power) - len(busy) + 1
    if places < 1 or busy.std() == 0 or power.std() == 0:
        raise RecordError(
            f"The run of {spans[-1][1] - spans[0][0]:.1f} s does not fit into readings of "
            f"{len(power) * step_s:.1f} s, or nothing changes in them: let the meter read from "
            "before it until after it."
        )
    alike = _correlations(power, busy)
    best = int(np.argmax(alike))
    # What is near the best place is the same place.
    near = max(2, round(0.02 * len(busy)))
    others = np.concatenate([alike[: max(0, best - near)], alike[best + near + 1 :]])
    second = float(others.max(initial=0.0))
    if alike[best] < _ALIKE or second > _CLEARLY * alike[best]:
        raise RecordError(
            f"The blocks are not found in the readings: the best place has a correlation of "
            f"{alike[best]:.2f} (at least {_ALIKE}), another one {second:.2f}. Measure for longer, "
            "with replicates (their loads are pauses), or say --offset-s."
        )
    return float(trace.times_s[0]) + best * step_s - spans[0][0]


def with_energy(
    replicates: Sequence[Replicate], trace: Trace, zero_s: float
) -> tuple[list[Replicate], float | None]:
    """Return replicates with the energy of each block, and the power of idling [W].

    Parameters
    ----------
    replicates : sequence of Replicate
    trace : Trace
    zero_s : float
        Where the target's clock was 0, by the meter's times [s].

    Notes
    -----
    Trapezoids between readings. Idle power is the mean from 0.5 s after the last block on, where
    there is at least a second of it; None otherwise.

    Raises
    ------
    RecordError
        The readings do not cover the run, or come too seldom for its blocks.
    """
    spans = _spans_s(replicates)
    begin_s, end_s = spans[0][0] + zero_s, max(end for _, end in spans) + zero_s
    if begin_s < trace.times_s[0] or end_s > trace.times_s[-1]:
        raise RecordError(
            f"The readings go from {trace.times_s[0]:.3f} to {trace.times_s[-1]:.3f} s, the run "
            f"from {begin_s:.3f} to {end_s:.3f} s: they must cover it."
        )
    interval_s = float(np.median(np.diff(trace.times_s)))
    lasts_s = float(np.median([end - begin for begin, end in spans]))
    if lasts_s < 2 * interval_s:
        raise RecordError(
            f"The meter reads every {1e3 * interval_s:.3g} ms, a block lasts {1e3 * lasts_s:.3g} "
            "ms: it takes a faster meter, or a slower model, to tell its energy from that of "
            "pauses."
        )
    steps_j = np.diff(trace.times_s) * (trace.power_w[1:] + trace.power_w[:-1]) / 2
    energy_j = np.concatenate([[0.0], steps_j.cumsum()])

    def used_j(block: Block) -> float:
        ends_s = [moment + zero_s for moment in _span_s(block)]
        first, last = np.interp(ends_s, trace.times_s, energy_j)
        return float(last - first)

    idle = trace.power_w[trace.times_s > end_s + _REST_S]
    long_enough = len(idle) > 1 and trace.times_s[-1] - end_s - _REST_S >= _LEAST_IDLE_S
    idle_w = float(idle.mean()) if long_enough else None
    found = []
    for one in replicates:
        blocks = [
            msgspec.structs.replace(block, readings={**block.readings, COUNTER: used_j(block)})
            for block in one.blocks
        ]
        known = {} if idle_w is None else {COUNTER: idle_w}
        found.append(msgspec.structs.replace(one, blocks=blocks, idle_w={**one.idle_w, **known}))
    return found, idle_w


def _spans_s(replicates: Sequence[Replicate]) -> list[tuple[float, float]]:
    """Return begin and end of each block by the target's clock [s], in their order."""
    spans = sorted(_span_s(block) for one in replicates for block in one.blocks)
    if not spans:
        raise RecordError("The record has no block.")
    return spans


def _span_s(block: Block) -> tuple[float, float]:
    return block.start_ns / 1e9, block.start_ns / 1e9 + lasting_s(block)


def _busy(spans: Sequence[tuple[float, float]], step_s: float) -> Array:
    """Return for each step of time which part of it blocks took."""
    begin_s = spans[0][0]
    count = int(np.ceil((spans[-1][1] - begin_s) / step_s)) + 1
    edges_s = np.arange(count + 1) * step_s
    times_s = [moment - begin_s for span in spans for moment in span]
    done_s = np.array([end - begin for begin, end in spans]).cumsum()
    passed_s = [
        passed for whole in zip([0.0, *done_s[:-1]], done_s, strict=True) for passed in whole
    ]
    parts: Array = np.diff(np.interp(edges_s, times_s, passed_s)) / step_s
    return parts


def _correlations(long: Array, short: Array) -> Array:
    """Return Pearson's correlation of a short series with each part of a long one."""
    count = len(short)
    size = 1 << (len(long) + count).bit_length()
    centered = short - short.mean()
    products = np.fft.irfft(np.fft.rfft(long, size) * np.conj(np.fft.rfft(centered, size)), size)
    sums = np.concatenate([[0.0], long.cumsum()])
    squares = np.concatenate([[0.0], (long**2).cumsum()])
    mean = (sums[count:] - sums[:-count]) / count
    spread = np.sqrt(np.maximum((squares[count:] - squares[:-count]) / count - mean**2, 0))
    whole = products[: len(mean)] / count
    found: Array = np.zeros_like(whole)
    np.divide(whole, spread * short.std(), out=found, where=spread > 0)
    return found


def _column(path: Path, head: Sequence[str], lines: Sequence[Sequence[str]], kind: str) -> Array:
    place = next((place for place, name in enumerate(head) if _kind(name) == kind), None)
    if place is None:
        raise RecordError(
            f"{path} has no column of {kind}; it needs time and power, or time, voltage and "
            f"current, and has {', '.join(head)}."
        )
    try:
        texts = [line[place] for line in lines]
        if kind == "time" and not re.fullmatch(r"[-+\d.eE]+", texts[0].strip()):
            moments = [datetime.datetime.fromisoformat(text.strip()) for text in texts]
            return np.array([moment.timestamp() for moment in moments])
        values = np.array([float(text) for text in texts])
    except (ValueError, IndexError) as error:
        raise RecordError(f"{path}: column {head[place]!r}: {error}.") from error
    unit = re.split(r"[^a-zµ]+", head[place].strip(" )]").lower())[-1]
    if unit not in _UNITS[kind]:
        raise RecordError(
            f"{path}: the name of column {head[place]!r} must end in its unit, one of "
            f"{', '.join(_UNITS[kind])}."
        )
    return values * _UNITS[kind][unit]


def _kind(name: str) -> str:
    plain = name.strip().lower()
    return next((kind for kind in _UNITS if plain.startswith(kind)), "")
