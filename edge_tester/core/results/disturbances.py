"""What would have somebody distrust a figure, in one line each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from edge_tester.core.results.conditions import clocks_hz, quarters, temperatures_c
from edge_tester.core.results.energy import lasting_s
from edge_tester.core.results.parts import Block, Machine

# Of what lasted less, ticks of 10 ms tell nothing.
_LEAST_S: Final = 0.3
# Processors that others keep busy, share of time that a hypervisor takes, and interruptions of
# the model's process above which figures are not those of a quiet machine.
_OTHERS, _STOLEN, _INTERRUPTED_PER_S = 0.2, 0.02, 200.0
# Part of its clock that it lost from the first quarter to the last, and heat at which most
# processors are about to lose some.
_SLOWED, _HOT_C = 0.03, 80.0


def disturbances(blocks: Sequence[Block], target: Machine) -> list[str]:
    """Return what disturbed a run.

    Parameters
    ----------
    blocks : sequence of Block
        Of all replicates.
    target : Machine
    """
    found = []
    if target.governor not in (None, "performance"):
        found.append(
            f"The target's frequency governor is {target.governor!r}: with 'performance' its clock "
            "does not depend on what ran before."
        )
    found += _heat(blocks)
    measured = [one for one in blocks if "involuntary_switches" in one.readings]
    lasted_s = sum(map(lasting_s, measured))
    if lasted_s < _LEAST_S:
        return found
    total = {
        name: sum(one.readings.get(name, 0.0) for one in measured) for name in measured[0].readings
    }
    used_s = sum(one.cpu_time_ns or 0 for one in measured) / 1e9
    others = (total.get("machine_busy_s", 0.0) - used_s) / lasted_s
    if others > _OTHERS:
        found.append(
            f"Other processes kept {others:.1f} of the target's processors busy during inferences: "
            "the figures are those of a busy machine."
        )
    stolen = total.get("steal_s", 0.0) / lasted_s
    if stolen > _STOLEN:
        found.append(
            f"A hypervisor took the target's processors away for {100 * stolen:.0f} % of the time "
            "of inferences."
        )
    interrupted = total.get("involuntary_switches", 0.0) / lasted_s
    if interrupted > _INTERRUPTED_PER_S:
        found.append(
            f"The model's process was interrupted {interrupted:.0f} times a second: something else "
            "wanted its processor, or it has more threads than processors."
        )
    if total.get("major_page_faults", 0.0) > 0:
        found.append(
            f"During inferences {total['major_page_faults']:.0f} pages had to be read from disk: "
            "the target is short of memory."
        )
    return found


def _heat(blocks: Sequence[Block]) -> list[str]:
    found = []
    before_hz, after_hz = quarters(clocks_hz(blocks))
    if after_hz < (1 - _SLOWED) * before_hz:
        found.append(
            f"The target's clock fell from {before_hz / 1e9:.2f} to {after_hz / 1e9:.2f} GHz while "
            "it was measured: it got too hot, or saves power."
        )
    events = sum(one.readings.get("throttle_events", 0.0) for one in blocks)
    if events > 0:
        found.append(
            f"The target's processor lowered its clock {events:.0f} times because it was too hot."
        )
    hottest_c = max((one for one, _ in temperatures_c(blocks)), default=0.0)
    if hottest_c > _HOT_C:
        found.append(
            f"The target reached {hottest_c:.0f} °C: at about that heat processors lower their "
            "clock."
        )
    return found
