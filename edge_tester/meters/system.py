"""What else the target did during inferences: other processes, a hypervisor, switches, faults."""

from __future__ import annotations

import os
import resource

from edge_tester.core.meter import Meter
from edge_tester.core.options import state

# The first line of /proc/stat. Source: proc(5): ticks since the start of the machine.
_FIELDS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
_BUSY = ("user", "nice", "system", "irq", "softirq")
_LINE_BYTES = 256


class SystemMeter(Meter):
    """Counts the work of all processors, what a hypervisor took, switches and page faults.

    Every agent has it: it tells whether somebody else disturbed a measurement. What the system
    does not tell is left out.
    """

    _stat: int | None = state()
    _tick_s: float = state(0.01)

    def open(self) -> None:
        """Open what the kernel tells of all processors, if it does."""
        try:
            self._stat = os.open("/proc/stat", os.O_RDONLY | os.O_CLOEXEC)
            self._tick_s = 1 / os.sysconf("SC_CLK_TCK")
        except (OSError, ValueError):
            self._stat = None

    def read(self) -> dict[str, float]:
        """Return processor seconds of the whole machine, and counts of this process."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        found = {
            "voluntary_switches": float(usage.ru_nvcsw),
            "involuntary_switches": float(usage.ru_nivcsw),
            "minor_page_faults": float(usage.ru_minflt),
            "major_page_faults": float(usage.ru_majflt),
        }
        if self._stat is not None:
            words = os.pread(self._stat, _LINE_BYTES, 0).split(b"\n", 1)[0].split()[1:]
            ticks = dict(zip(_FIELDS, map(int, words), strict=False))
            found["machine_busy_s"] = sum(ticks.get(name, 0) for name in _BUSY) * self._tick_s
            if "steal" in ticks:
                found["steal_s"] = ticks["steal"] * self._tick_s
        return found

    def close(self) -> None:
        """Close it."""
        if self._stat is not None:
            os.close(self._stat)
            self._stat = None
