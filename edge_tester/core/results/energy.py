"""Energy of an inference, from what meters counted over blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from edge_tester.core.results.parts import Block, Replicate
from edge_tester.core.statistics.intervals import Interval, replicate_interval

# A step of the counter more or less is then a twentieth.
_LEAST_STEPS = 20


class Energy(NamedTuple):
    """What one counter says of an inference.

    Attributes
    ----------
    name : str
        Of the counter, without its unit.
    whole_j : float
        All that the counter grew, for each inference [J].
    idle_w : float or None
        Power while nothing ran [W]; None where it was not measured.
    above_idle_j : float
        Without what idling would have taken; all of it where that is not known [J].
    interval : (float, float), or None
        Of the latter, over replicates [J].
    power_w : float
        Mean over all blocks, idling included [W].
    power_interval_w : (float, float), or None
        Of the latter, over replicates [W].
    least_j : float
        Above idle, of the replicate with the least [J].
    coarse : str
        That the counter moves in steps too coarse for the time that was measured, in words;
        empty if it does not.
    """

    name: str
    whole_j: float
    idle_w: float | None
    above_idle_j: float
    interval: Interval | None
    power_w: float
    power_interval_w: Interval | None
    least_j: float
    coarse: str = ""

    @property
    def doubt(self) -> str:
        """Why the energy above idling is no figure, in words; empty if it is one."""
        if self.coarse:
            return self.coarse
        if self.least_j <= 0:
            return "not told apart from idling; a longer measurement may (--min-duration-s)"
        return ""


def energies_of(replicates: Sequence[Replicate]) -> list[Energy]:
    """Return the energy of an inference by each counter of energy that all replicates have.

    Notes
    -----
    Idling is taken to go on during blocks, with all that lies between their inferences.
    """
    measured = [one for one in replicates if one.target_ns]
    if not measured:
        return []
    names = set.intersection(*(_counters(one) for one in measured))
    return [_energy(name, measured) for name in sorted(names)]


def lasting_s(block: Block) -> float:
    """Return how long a block took, with waiting, setting inputs and taking outputs [s].

    Where nothing told it, it is as long as its inferences.
    """
    told_s = block.readings.get("elapsed_s")
    if told_s is not None:
        return told_s
    if block.begins_ns:
        return (block.begins_ns[-1] + block.target_ns[-1]) / 1e9
    return sum(block.target_ns) / 1e9


def estimated_j(replicates: Sequence[Replicate], power_w: float) -> float | None:
    """Return the mean latency times a power, which is no measurement [J]."""
    latency_ns = [time_ns for one in replicates for time_ns in one.target_ns]
    return sum(latency_ns) / len(latency_ns) * 1e-9 * power_w if latency_ns else None


def _coarseness(name: str, replicates: Sequence[Replicate]) -> str:
    """Say if a counter moved too seldom for the energy to be known to within a twentieth.

    Notes
    -----
    A counter that its driver renews in steps, such as NVML's, is off by up to one step in each
    replicate: by sqrt(replicates) / steps in their sum. Of one that moves in every block the steps
    are not seen, and are short.
    """
    blocks = [block for one in replicates for block in one.blocks]
    moved = sum(block.readings[name] != 0 for block in blocks)
    if moved == len(blocks):
        return ""
    needed = _LEAST_STEPS * math.sqrt(len(replicates))
    if moved >= needed:
        return ""
    lasted_s = sum(map(lasting_s, blocks))
    longer = f"about {needed / moved:.1f} times as long" if moved else "much longer"
    return (
        f"the counter moved {moved} times in {lasted_s:.2g} s, which is too coarse: measure "
        f"{longer} (--min-duration-s)"
    )


def _counters(replicate: Replicate) -> set[str]:
    """Return the counters of energy that every block has."""
    named = [set(block.readings) for block in replicate.blocks]
    return {name for name in set.intersection(*named) if name.endswith("_j")}


def _energy(name: str, replicates: Sequence[Replicate]) -> Energy:
    whole, above, counts, powers = [], [], [], []
    idle = [one.idle_w.get(name) for one in replicates]
    known = [power_w for power_w in idle if power_w is not None]
    all_known = len(known) == len(idle)
    for one, idle_w in zip(replicates, idle, strict=True):
        energy_j = sum(block.readings[name] for block in one.blocks)
        count, lasted_s = len(one.target_ns), sum(map(lasting_s, one.blocks))
        counts.append(count)
        whole.append(energy_j / count)
        powers.append(energy_j / lasted_s if lasted_s else 0.0)
        above.append((energy_j - (idle_w or 0.0) * lasted_s * all_known) / count)
    total = sum(counts)

    def mean(values: Sequence[float]) -> float:
        return sum(value * count for value, count in zip(values, counts, strict=True)) / total

    interval = replicate_interval(above)
    number = mean(above)
    if interval is not None:
        interval = min(number, interval[0]), max(number, interval[1])
    return Energy(
        name.removesuffix("_j"),
        mean(whole),
        sum(known) / len(known) if all_known else None,
        number,
        interval,
        sum(powers) / len(powers),
        replicate_interval(powers),
        min(above),
        _coarseness(name, replicates),
    )
