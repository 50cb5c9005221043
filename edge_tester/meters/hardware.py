"""Instructions, cycles and cache misses, as the processor counts them."""

from __future__ import annotations

import ctypes
import os
import platform
import struct

from edge_tester.core.meter import Meter
from edge_tester.core.options import state

# Source: perf_event_open(2) and the kernel's include/uapi/linux/perf_event.h. The call has other
# numbers on other processors.
_NUMBERS = {"x86_64": 298, "aarch64": 241, "riscv64": 241, "armv7l": 364, "armv6l": 364}
_HARDWARE = 0
_EVENTS = {"instructions": (_HARDWARE, 1), "cycles": (_HARDWARE, 0), "cache_misses": (_HARDWARE, 3)}
_INHERIT, _EXCLUDE_KERNEL, _EXCLUDE_HYPERVISOR = 1 << 1, 1 << 5, 1 << 6
# With a number come the times that the event was wanted and was counted.
_TIMES = 1 | 2
_CLOSE_ON_EXEC = 8
_ATTRIBUTES_BYTES = 64
_VALUE = struct.Struct("=QQQ")


class HardwareMeter(Meter):
    """Counts what the model's process, with all its threads, has the processor do.

    Every agent has it. Where there are no such counters (virtual machines mostly hide them) or the
    system does not allow them (``perf_event_paranoid``), they are left out. Work of the kernel
    does not count. Where there are more events than counters, each is scaled to the whole time.
    """

    early = True

    _descriptors: dict[str, int] = state(default_factory=dict)

    def open(self) -> None:
        """Begin to count, before the process has further threads."""
        for name, event in _EVENTS.items():
            descriptor = opened(*event)
            if descriptor is not None:
                self._descriptors[name] = descriptor

    def read(self) -> dict[str, float]:
        """Return what was counted since the meter was opened."""
        found = {name: counted(descriptor) for name, descriptor in self._descriptors.items()}
        return {name: count for name, count in found.items() if count is not None}

    def close(self) -> None:
        """Close all."""
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])


def opened(kind: int, event: int) -> int | None:
    """Return a descriptor that counts an event of this process; None where there is none."""
    number = _NUMBERS.get(platform.machine())
    if number is None or platform.system() != "Linux":
        return None
    # type, size, config, sample_period, sample_type, read_format, flags, and nothing else.
    flags = _INHERIT | _EXCLUDE_KERNEL | _EXCLUDE_HYPERVISOR
    attributes = struct.pack(
        "=IIQQQQQQQ", kind, _ATTRIBUTES_BYTES, event, 0, 0, _TIMES, flags, 0, 0
    )
    library = ctypes.CDLL(None, use_errno=True)
    descriptor: int = library.syscall(number, attributes, 0, -1, -1, _CLOSE_ON_EXEC)
    return descriptor if descriptor >= 0 else None


def counted(descriptor: int) -> float | None:
    """Return what an event counted; None where it was never on a counter."""
    count, wanted_ns, running_ns = map(int, _VALUE.unpack(os.read(descriptor, _VALUE.size)))
    if not running_ns:
        return None if wanted_ns else 0.0
    return count * wanted_ns / running_ns
