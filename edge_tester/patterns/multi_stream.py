"""Queries of several inferences: MLPerf's MultiStream."""

from __future__ import annotations

from edge_tester.core.errors import OptionError
from edge_tester.core.options import option
from edge_tester.core.pattern import LoadPattern, Schedule, Situation
from edge_tester.core.results.parts import PatternFacts

_BLOCK_NS = 100_000_000


class MultiStream(LoadPattern):
    """A query is several inferences, one after another; the next one follows when it has ended.

    Its latency is from the begin of its first inference to the end of its last one.

    Notes
    -----
    Source: V. J. Reddi et al., "MLPerf Inference Benchmark", ISCA 2020, section III.C, as LoadGen
    has it since version 1.1: the next query is issued when the one before is completed.
    """

    samples_per_query: int = option(8, minimum=1, help="Inferences of a query")

    def block(self, situation: Situation) -> Schedule:
        """Fill about a tenth of a second with whole queries."""
        size = self.samples_per_query
        if size > situation.most:
            raise OptionError(
                f"MultiStream.samples_per_query must be 1 to {situation.most}, the inputs that a "
                f"block has room for here, got {size}."
            )
        queries = _BLOCK_NS // max(1, size * situation.inference_ns)
        queries = max(1, min(queries, situation.most // size))
        return Schedule(min(queries * size, situation.left), situation.untimed)

    def facts(self) -> PatternFacts:
        """Say how many are a query."""
        return PatternFacts(kind="query", inferences_per_query=self.samples_per_query)
