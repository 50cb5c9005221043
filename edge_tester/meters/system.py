"""What else the target did during inferences: other processes, a hypervisor, switches, faults."""

from __future__ import annotations

import os
import resource
import time

from edge_tester.core.meter import Meter
from edge_tester.core.options import state

# The first line of /proc/stat. Source: proc(5): ticks since the start of the machine.
_FIELDS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
_BUSY = ("user", "nice", "system", "irq", "softirq")
_STAT_BYTES = 4096
# Of machines with many processors, those of each are not told apart.
_MOST_PROCESSORS = 8


class SystemMeter(Meter):
    """Counts the work of all processors and of each, what a hypervisor took, switches and faults.

    Every agent has it: it tells whether somebody else disturbed a measurement. What the system
    does not tell is left out.
    """

    _stat: int | None = state()
    _tick_s: float = state(0.01)
    _each: frozenset[bytes] = state(frozenset())

    def open(self) -> None:
        """Open what the kernel tells of all processors, if it does."""
        try:
            self._stat = os.open("/proc/stat", os.O_RDONLY | os.O_CLOEXEC)
            self._tick_s = 1 / os.sysconf("SC_CLK_TCK")
            numbers = os.sched_getaffinity(0)
            if len(numbers) <= _MOST_PROCESSORS:
                self._each = frozenset(b"cpu%d" % number for number in numbers)
        except (OSError, ValueError):
            self._stat = None

    def read(self) -> dict[str, float]:
        """Return the time, processor seconds of the whole machine, and counts of this process."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        found = {
            "elapsed_s": time.perf_counter(),
            "voluntary_switches": float(usage.ru_nvcsw),
            "involuntary_switches": float(usage.ru_nivcsw),
            "minor_page_faults": float(usage.ru_minflt),
            "major_page_faults": float(usage.ru_majflt),
        }
        if self._stat is not None:
            for line in os.pread(self._stat, _STAT_BYTES, 0).splitlines()[:-1]:
                first, *words = line.split()
                ticks = dict(zip(_FIELDS, map(int, words), strict=False))
                busy_s = sum(ticks.get(name, 0) for name in _BUSY) * self._tick_s
                if first == b"cpu":
                    found["machine_busy_s"] = busy_s
                    if "steal" in ticks:
                        found["steal_s"] = ticks["steal"] * self._tick_s
                elif first in self._each:
                    found[f"{first.decode()}_busy_s"] = busy_s
                elif not first.startswith(b"cpu"):
                    break
        return found

    def close(self) -> None:
        """Close it."""
        if self._stat is not None:
            os.close(self._stat)
            self._stat = None
