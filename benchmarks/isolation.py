"""What it costs to isolate a session: once at its start, and for each system call after that.

Run: ``python benchmarks/isolation.py``. Each line is of a fresh process.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from edge_tester.core.agent.isolation import LEVELS, Isolation, isolate

CALLS = 20_000
PROCESSES = 5


def per_call_ns() -> float:
    """Return the time of a system call that does nothing, of the fastest of five loops."""
    found = []
    for _ in range(5):
        begin_ns = time.perf_counter_ns()
        for _ in range(CALLS):
            os.getppid()
        found.append((time.perf_counter_ns() - begin_ns) / CALLS)
    return min(found)


def measure(level: str, folder: Path) -> None:
    """Print the time of isolating [ms], and that of a call before and after [ns]."""
    before_ns = per_call_ns()
    begin_ns = time.perf_counter_ns()
    isolate(Isolation(level=level), folder, folder)
    lasting_ms = (time.perf_counter_ns() - begin_ns) / 1e6
    print(lasting_ms, before_ns, per_call_ns())


def main() -> None:
    """Print a line for each level."""
    if len(sys.argv) > 2:
        measure(sys.argv[1], Path(sys.argv[2]))
        return
    for level in LEVELS:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, __file__, level, folder]
            runs = [
                [float(word) for word in subprocess.check_output(command, text=True).split()]
                for _ in range(PROCESSES)
            ]
        lasting_ms, before_ns, after_ns = (median(column) for column in zip(*runs, strict=True))
        print(
            f"{level:5}: {lasting_ms:5.1f} ms to isolate, a system call from Python "
            f"{before_ns:.0f} ns before and {after_ns:.0f} ns after"
        )


if __name__ == "__main__":
    main()
