"""One inference after another: MLPerf's SingleStream."""

from __future__ import annotations

from edge_tester.core.options import option
from edge_tester.core.pattern import LoadPattern, Schedule, Situation


class SingleStream(LoadPattern):
    """Each inference begins when the one before has ended.

    Notes
    -----
    Source: V. J. Reddi et al., "MLPerf Inference Benchmark", ISCA 2020, section III.C.
    """

    block_s: float = option(0.1, minimum=0, unit="s", help="About how long a block takes")

    def block(self, situation: Situation) -> Schedule:
        """Fill the time of a block."""
        wanted = int(self.block_s * 1e9) // max(1, situation.inference_ns)
        count = max(1, min(wanted, situation.most, situation.left))
        return Schedule(count, situation.untimed)
