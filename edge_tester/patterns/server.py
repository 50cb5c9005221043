"""Queries that come when they come: MLPerf's Server."""

from __future__ import annotations

import numpy as np

from edge_tester.core.options import option
from edge_tester.core.pattern import LoadPattern, Schedule, Situation, paced
from edge_tester.core.results.parts import PatternFacts


class Server(LoadPattern):
    """Inferences arrive at random, as requests of many independent users do.

    Latency counts from the scheduled arrival, so that waiting for those before is part of it.
    Replicates have arrivals of their own.

    Notes
    -----
    Source: V. J. Reddi et al., "MLPerf Inference Benchmark", ISCA 2020, section III.C: a Poisson
    process, whose gaps are independent and exponentially distributed with mean 1 / rate.
    """

    target_rate_hz: float = option(
        10.0, minimum=1e-6, unit="Hz", help="Inferences that arrive in a second on average"
    )
    seed: int = option(0, minimum=0, gives_way=True, help="Seed of the arrivals")

    def block(self, situation: Situation) -> Schedule:
        """Take as many as arrive in about a second."""
        done, count = situation.done, min(situation.most, situation.left)
        generator = np.random.default_rng([self.seed, situation.replicate])
        # From the first one on, so that they do not depend on how blocks divide them.
        gaps_s = generator.exponential(1 / self.target_rate_hz, done + count)[done:]
        return paced(situation, [round(gap_s * 1e9) for gap_s in gaps_s.tolist()])

    def facts(self) -> PatternFacts:
        """Say that each is a query."""
        return PatternFacts(kind="query")
