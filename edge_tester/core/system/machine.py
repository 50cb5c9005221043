"""What this machine and this process are: facts for run records, memory counters."""

from __future__ import annotations

import os
import platform
import re
import resource
import time
from collections.abc import Iterable
from pathlib import Path

from edge_tester.core.backends import version
from edge_tester.core.results.parts import Machine

_PROC_SELF = Path("/proc/self")
# Unit of ru_maxrss. Source: getrusage(2): kilobytes on Linux; bytes on macOS.
_MAXRSS_BYTES = 1 if platform.system() == "Darwin" else 1024


def describe_machine(distributions: Iterable[str] = ()) -> Machine:
    """Return facts about this machine; what cannot be read is None.

    Parameters
    ----------
    distributions : iterable of str
        Packages whose versions to list beside Python's own.
    """
    versions = {"python": platform.python_version()}
    for name in ("edge_tester", "numpy", *distributions):
        if found := version(name):
            versions[name] = found
    return Machine(
        hostname=platform.node(),
        system=f"{platform.system()} {platform.release()}",
        architecture=platform.machine(),
        cpu_model=_cpu_model(),
        cpu_count=usable_processors(),
        cpus=_pinned_to(),
        priority=os.getpriority(os.PRIO_PROCESS, 0),
        cpu_installed=os.cpu_count(),
        governor=_text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        memory_bytes=_memory_bytes(),
        load_average=list(os.getloadavg()),
        clock_epoch_ns=time.time_ns() - time.perf_counter_ns(),
        boot_id=_text("/proc/sys/kernel/random/boot_id"),
        versions=versions,
    )


def usable_processors() -> int | None:
    """Return how many processors this process may use: fewer than there are under taskset."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _pinned_to() -> list[int] | None:
    """Return the processors that this process may use, None if it may use all."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    usable = sorted(os.sched_getaffinity(0))
    return usable if len(usable) < (os.cpu_count() or 0) else None


def cpu_features() -> str:
    """Return the instruction sets of this processor in alphabetic order, empty if unknown."""
    text = _text("/proc/cpuinfo") or ""
    found = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.MULTILINE)
    return " ".join(sorted(found.group(1).split())) if found else ""


def resident_bytes() -> int | None:
    """Return the resident set of this process, None where the system does not tell."""
    text = _text(str(_PROC_SELF / "statm"))
    return int(text.split()[1]) * resource.getpagesize() if text else None


def reset_peak_memory() -> bool:
    """Let the kernel's peak counter start again from the present resident set; tell if it does.

    Source: proc(5), ``/proc/[pid]/clear_refs``, value 5. Without it (not Linux,
    or not permitted) the peak is that of the whole life of the process.
    """
    try:
        (_PROC_SELF / "clear_refs").write_text("5")
    except OSError:
        return False
    return True


def peak_memory_bytes() -> int:
    """Return the peak resident set of this process since the last reset.

    Source: proc(5), ``VmHWM`` of ``/proc/[pid]/status``, in kB. Where there is none,
    getrusage(2), ``ru_maxrss``, whose peak is that of the whole life of the process: it
    survives ``clear_refs``, and exec, so that a small program has the peak of the large
    one that it replaced.
    """
    found = re.search(r"VmHWM:\s+(\d+) kB", _text(str(_PROC_SELF / "status")) or "")
    if found:
        return int(found.group(1)) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_BYTES


def _cpu_model() -> str | None:
    text = _text("/proc/cpuinfo") or ""
    found = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", text, re.MULTILINE)
    return found.group(1) if found else platform.processor() or None


def _memory_bytes() -> int | None:
    found = re.search(r"MemTotal:\s+(\d+) kB", _text("/proc/meminfo") or "")
    return int(found.group(1)) * 1024 if found else None


def available_memory_bytes(root: Path = Path("/")) -> int | None:
    """Return what processes could still take without swapping; None where nothing tells."""
    # Source: proc_meminfo(5), in KiB.
    found = re.search(r"^MemAvailable:\s*(\d+)", _text(f"{root}/proc/meminfo") or "", re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _text(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None
