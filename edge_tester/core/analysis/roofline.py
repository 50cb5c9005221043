"""What the machine that this runs on can do at most: arithmetic and memory, both measured.

Source of the model: S. Williams, A. Waterman and D. Patterson, Roofline: an insightful visual
performance model for multicore architectures, CACM 52(4), 2009; of the triad: J. McCalpin, STREAM.
"""

from __future__ import annotations

import concurrent.futures
import functools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from edge_tester.core.errors import IsolationError
from edge_tester.core.system.machine import usable_processors
from edge_tester.core.system.processes import ended_with_this

# Large enough that the product is bound by arithmetic: about 2 ms to 50 ms.
_MATRIX = 768
# 64 MiB for each of the three arrays of all threads together.
_TRIAD_ELEMENTS = 16 * 2**20
_REPETITIONS = 10
# What the libraries that numpy may use read their number of threads from.
_THREADS = (
    *("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"),
    *("BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"),
)


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """The roof of one machine; each figure is the best of several repetitions.

    Attributes
    ----------
    threads : int
    peak_flops_per_s : float
        In float32, of a large product of matrices.
    bandwidth_bytes_per_s : float
        Of ``a = b + c`` over arrays beyond the caches, two read and one written.
    repetitions : int
    """

    threads: int
    peak_flops_per_s: float
    bandwidth_bytes_per_s: float
    repetitions: int = _REPETITIONS

    def time_ns(self, macs: int, moved_bytes: int) -> float:
        """Return the least time that this work takes: that of the longer one of the two [ns]."""
        return 1e9 * max(self.compute_s(macs), self.memory_s(moved_bytes))

    def compute_s(self, macs: int) -> float:
        """Return the least time of the arithmetic alone [s]."""
        return 2 * macs / self.peak_flops_per_s

    def memory_s(self, moved_bytes: int) -> float:
        """Return the least time of moving the data alone [s]."""
        return moved_bytes / self.bandwidth_bytes_per_s

    @property
    def ridge(self) -> float:
        """Operations per byte from which on arithmetic is the limit."""
        return self.peak_flops_per_s / self.bandwidth_bytes_per_s


def measured_machines() -> list[Machine]:
    """Measure this machine with one thread, and with as many as it has processors.

    Each is measured in a process of its own: libraries of linear algebra learn how many threads
    they may use when they are loaded.

    Returns
    -------
    list of Machine
        Of one thread, and of all processors if there are several.

    Raises
    ------
    IsolationError
        The process failed, as where the memory is too small.
    """
    count = usable_processors() or 1
    return [_in_own_process(threads) for threads in sorted({1, count})]


def _in_own_process(threads: int) -> Machine:
    limits = dict.fromkeys(_THREADS, str(threads))
    done = subprocess.run(
        [sys.executable, "-m", __name__, str(threads)],
        env={**os.environ, **limits},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=ended_with_this(),
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise IsolationError(
            f"This machine's roof could not be measured: {reason}. --no-roofline leaves it out."
        )
    return msgspec.json.decode(done.stdout, type=Machine)


def measured(threads: int) -> Machine:
    """Measure this machine with this many threads, which numpy's library must be set to."""
    generator = np.random.default_rng(0)
    shape = (_MATRIX, _MATRIX)
    left, right = (generator.random(shape, np.float32) for _ in range(2))
    result = np.empty(shape, np.float32)
    compute_s = _best_s([lambda: np.matmul(left, right, out=result)])
    size = _TRIAD_ELEMENTS // threads
    arrays = [[np.ones(size, np.float32) for _ in range(3)] for _ in range(threads)]
    memory_s = _best_s([functools.partial(np.add, *three) for three in arrays])
    return Machine(
        threads=threads,
        peak_flops_per_s=2 * _MATRIX**3 / compute_s,
        bandwidth_bytes_per_s=threads * 3 * 4 * size / memory_s,
    )


def _best_s(tasks: Sequence[Callable[[], object]]) -> float:
    """Return the least time of several repetitions in which all tasks run at a time [s]."""
    best = float("inf")
    with concurrent.futures.ThreadPoolExecutor(len(tasks)) as pool:
        for _ in range(_REPETITIONS):
            begun = time.perf_counter()
            for one in [pool.submit(task) for task in tasks]:
                one.result()
            best = min(best, time.perf_counter() - begun)
    return best


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(measured(int(sys.argv[1]))))
