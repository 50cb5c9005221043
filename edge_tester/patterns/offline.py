"""All samples are there at once: MLPerf's Offline."""

from __future__ import annotations

from edge_tester.core.pattern import LoadPattern, Schedule, Situation
from edge_tester.core.results.parts import PatternFacts

# An answer must come within minutes.
_LONGEST_NS = 10_000_000_000


class Offline(LoadPattern):
    """All samples are there from the beginning; how many are done in a second is the result.

    Notes
    -----
    Source: V. J. Reddi et al., "MLPerf Inference Benchmark", ISCA 2020, section III.C.
    """

    def block(self, situation: Situation) -> Schedule:
        """Fill the room for inputs on the target, but for no more than ten seconds."""
        fitting = max(1, _LONGEST_NS // max(1, situation.inference_ns))
        return Schedule(min(fitting, situation.most, situation.left), situation.untimed)

    def facts(self) -> PatternFacts:
        """Say that their number is the result."""
        return PatternFacts(kind="throughput")
