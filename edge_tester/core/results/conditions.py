"""What the target was like meanwhile: heat, clock, its processors; and what these counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from edge_tester.core.results.energy import lasting_s
from edge_tester.core.results.parts import Block, Replicate
from edge_tester.core.results.values import Value, with_interval
from edge_tester.core.statistics.intervals import replicate_interval

COUNTED: Final = {
    "instructions": "Instructions per inference",
    "cycles": "Cycles per inference",
    "cache_misses": "Cache misses per inference",
}
"""Counters of processors, and what they are called."""
_KELVIN: Final = 273.15
# Of what lasted less, ticks of 10 ms tell nothing.
_LEAST_S: Final = 0.3


def temperatures_c(blocks: Sequence[Block]) -> list[tuple[float, float]]:
    """Return the mean temperature of each block that has one [°C], and how long it took [s]."""
    return [(mean - _KELVIN, time_s) for mean, time_s in _means(blocks, "temperature_k_s")]


def clocks_hz(blocks: Sequence[Block]) -> list[tuple[float, float]]:
    """Return the mean clock of each block that has one [Hz], and how long it took [s]."""
    return _means(blocks, "clock_cycles")


def quarters(means: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the means of the first and of the last quarter of the time; 0 where there is none."""
    return _of_first(means), _of_first(means[::-1])


def processors_busy(blocks: Sequence[Block]) -> dict[str, float]:
    """Return the share of time that each processor was busy with anything, by its name.

    Empty where blocks are too short together for ticks of the system to tell.
    """
    known = [one for one in blocks if "machine_busy_s" in one.readings]
    lasted_s = sum(map(lasting_s, known))
    if lasted_s < _LEAST_S:
        return {}
    found: dict[str, float] = {}
    for one in known:
        for name, busy_s in one.readings.items():
            if name.startswith("cpu") and name.endswith("_busy_s"):
                place = name.removesuffix("_busy_s")
                found[place] = found.get(place, 0.0) + busy_s / lasted_s
    return {name: min(1.0, share) for name, share in found.items()}


def counted(replicates: Sequence[Replicate], name: str) -> Value | None:
    """Return how often something happened in an inference, None where a block does not tell."""
    numbers = []
    for one in replicates:
        if any(name not in block.readings for block in one.blocks) or not one.target_ns:
            return None
        numbers.append(sum(block.readings[name] for block in one.blocks) / len(one.target_ns))
    if not numbers:
        return None
    counts = [len(one.target_ns) for one in replicates]
    mean = sum(n * count for n, count in zip(numbers, counts, strict=True)) / sum(counts)
    return with_interval(mean, replicate_interval(numbers) if min(numbers) > 0 else None)


def _means(blocks: Sequence[Block], name: str) -> list[tuple[float, float]]:
    known = [one.readings for one in blocks if one.readings.get("observed_s", 0.0) > 0]
    return [(one[name] / one["observed_s"], one["observed_s"]) for one in known if name in one]


def _of_first(means: Sequence[tuple[float, float]]) -> float:
    wanted_s = sum(time_s for _, time_s in means) / 4
    weighed = passed_s = 0.0
    for mean, time_s in means:
        part_s = min(time_s, wanted_s - passed_s)
        weighed += mean * part_s
        passed_s += part_s
    return weighed / passed_s if passed_s > 0 else 0.0
