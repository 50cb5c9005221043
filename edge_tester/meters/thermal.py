"""How hot the target was, how fast its clock ran, and whether it throttled."""

from __future__ import annotations

import os
import time
from pathlib import Path

from edge_tester.core.errors import RuntimeStateError
from edge_tester.core.meter import Meter
from edge_tester.core.options import option, state
from edge_tester.meters._sysfs.files import NumberFile

# Reading a clock may interrupt its processor: of machines with many, some will do.
_MOST_CLOCKS = 8
_KELVIN = 273.15


class ThermalMeter(Meter):
    """Counts temperature and clock over time, so that what grew over the time of it is their mean.

    Every agent has it. The temperature is that of the hottest zone, the clock the mean of the
    processors that the agent may use. What the kernel does not tell is left out. Sources: the
    kernel's "Generic Thermal Sysfs driver" (``temp`` in thousandths of a degree Celsius), "CPU
    Performance Scaling" (``scaling_cur_freq`` in kHz), and ``thermal_throttle`` of x86, which
    counts events.
    """

    sysfs: Path = option(Path("/sys"), target_only=True, help="Where the kernel's files are")

    _zones: list[NumberFile] = state(default_factory=list)
    _clocks: list[NumberFile] = state(default_factory=list)
    _throttles: list[NumberFile] = state(default_factory=list)
    _sums: dict[str, float] = state(default_factory=dict)
    _last: tuple[float, dict[str, float]] | None = state()

    def open(self) -> None:
        """Find what there is."""
        processors = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        places = [self.sysfs / f"devices/system/cpu/cpu{number}" for number in processors]
        self._zones = _opened(sorted(self.sysfs.glob("class/thermal/thermal_zone*/temp")))
        self._clocks = _opened(
            [place / "cpufreq/scaling_cur_freq" for place in places[:_MOST_CLOCKS]]
        )
        self._throttles = _opened(
            [place / "thermal_throttle/core_throttle_count" for place in places]
        )
        self._sums, self._last = {}, None
        self.read()

    def read(self) -> dict[str, float]:
        """Return degrees and cycles times seconds, and the seconds; and events of throttling."""
        now_s, told = time.perf_counter(), self._told()
        if self._last is not None:
            earlier_s, earlier = self._last
            grown_s = now_s - earlier_s
            for name in told.keys() & earlier.keys():
                mean = (told[name] + earlier[name]) / 2
                self._sums[name] = self._sums.get(name, 0.0) + mean * grown_s
            self._sums["observed_s"] = self._sums.get("observed_s", 0.0) + grown_s
        self._last = now_s, told
        found = dict(self._sums) if told else {}
        counts = [count for one in self._throttles if (count := one.read()) is not None]
        if counts:
            found["throttle_events"] = float(sum(counts))
        return found

    def close(self) -> None:
        """Close all files."""
        for one in [*self._zones, *self._clocks, *self._throttles]:
            one.close()

    def _told(self) -> dict[str, float]:
        """Return temperature [K s per s] and clock [Hz] as they are now."""
        found = {}
        zones = [value for one in self._zones if (value := one.read()) is not None]
        clocks = [value for one in self._clocks if (value := one.read()) is not None]
        if zones:
            # From absolute zero on, so that it grows in a freezer too.
            found["temperature_k_s"] = max(zones) / 1e3 + _KELVIN
        if clocks:
            found["clock_cycles"] = sum(clocks) / len(clocks) * 1e3
        return found


def _opened(paths: list[Path]) -> list[NumberFile]:
    found = []
    for path in paths:
        try:
            one = NumberFile(path)
        except RuntimeStateError:
            # It is not there, or not for this user: then it is not told.
            continue
        if one.read() is None:
            one.close()
        else:
            found.append(one)
    return found
