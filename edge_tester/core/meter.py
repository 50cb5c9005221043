"""The meter role: what counts on the target beside time and memory, such as energy."""

from __future__ import annotations

from edge_tester.core.options import Configurable


class Meter(Configurable):
    """A subclass must read counters that only grow, on the target.

    The agent calls ``open`` once, ``read`` right before and right after each block of inferences,
    and ``close`` at the end. What grew between the two readings is the block's.
    """

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
