"""The meter role: what counts on the target beside time and memory, such as energy."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import ClassVar

from edge_tester.core.options import Configurable, option


class Meter(Configurable):
    """A subclass must read counters that only grow, on the target.

    The agent calls ``open`` once, ``read`` right before and right after each block of inferences,
    and ``close`` at the end. What grew between the two readings is the block's. A counter of
    energy has a name that ends in ``_j``: joules.
    """

    early: ClassVar[bool] = False
    """Whether ``open`` needs what an isolated process must not; then it starts no thread."""

    idle_s: float = option(
        0.0,
        minimum=0,
        maximum=60,
        unit="s",
        help="How long to read while nothing runs, before each load: what then grows is idle",
        target_only=True,
    )

    def open(self) -> None:
        """Find what is to be read.

        Raises
        ------
        RuntimeStateError
            It is not there, or this process may not read it.
        """
        raise NotImplementedError

    def read(self) -> dict[str, float]:
        """Return the counters as they are now, by names that end in their unit.

        Counters that cannot be read are left out. It should take little time.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Give back what was opened; may be called twice."""


class EnergyMeter(Meter):
    """A subclass must read counters of energy, whose names end in ``_j``."""

    idle_s: float = option(
        1.0,
        minimum=0,
        maximum=60,
        unit="s",
        help="How long to read while nothing runs, before each load: what then grows is idle",
        target_only=True,
    )


def idle_powers_w(meters: Sequence[Meter]) -> dict[str, float]:
    """Wait as long as meters want to, and return the powers meanwhile.

    Returns
    -------
    dict of str to float
        By the name of each counter of energy [W]; empty where no meter wants to wait.
    """
    wanted = [meter for meter in meters if meter.idle_s > 0]
    if not wanted:
        return {}
    before, begun_s = [meter.read() for meter in wanted], time.perf_counter()
    time.sleep(max(meter.idle_s for meter in wanted))
    after, lasted_s = [meter.read() for meter in wanted], time.perf_counter() - begun_s
    return {
        name: (now[name] - earlier[name]) / lasted_s
        for earlier, now in zip(before, after, strict=True)
        for name in earlier
        if name.endswith("_j") and name in now
    }
