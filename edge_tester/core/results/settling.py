"""Whether the latencies of a record settled, for readers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

from edge_tester.core.results.parts import Replicate
from edge_tester.core.results.words import NOT_AVAILABLE, amount, plural, span, unit_for
from edge_tester.core.statistics.intervals import replicate_interval
from edge_tester.core.statistics.steady import RunKind, Steadiness, steadiness_of, steadiness_of_run

DOUBTS: Final[dict[RunKind, str]] = {
    "slow-down": "slowing down",
    "no steady state": "without a steady state",
    "inconsistent": "replicates disagree",
}
"""What figures of latency carry where they are not those of a steady state."""

_LEAST_REPLICATES: Final = 3


class Settling(NamedTuple):
    """How the replicates of a run went on.

    Attributes
    ----------
    kind : str
    replicates : list of Steadiness
        Of those that have a latency.
    """

    kind: RunKind
    replicates: list[Steadiness]

    @property
    def text(self) -> str:
        """The class."""
        return NOT_AVAILABLE if self.kind == "too short" else self.kind

    @property
    def detail(self) -> str:
        """How many replicates did what."""
        if self.kind == "too short":
            return "needs longer replicates: --min-duration-s"
        counts = Counter(one.kind for one in self.replicates)
        if len(counts) == 1:
            return plural(len(self.replicates), "replicate")
        parts = [f"{count} {kind}" for kind, count in counts.most_common()]
        return f"of {plural(len(self.replicates), 'replicate')}: {', '.join(parts)}"

    @property
    def warm_up(self) -> tuple[str, str] | None:
        """How long it took until the steady state, and its interval; None where nothing did."""
        times_ns = [one.begin_ns for one in self.replicates if one.kind == "warm-up"]
        known = [time_ns for time_ns in times_ns if time_ns]
        if self.kind != "warm-up" or not known:
            return None
        typical = sorted(known)[len(known) // 2]
        # Of two, it would go from nothing to hours.
        found = replicate_interval(known) if len(known) >= _LEAST_REPLICATES else None
        interval = span(found, unit_for("time", [typical]))
        inferences = [one.begin for one in self.replicates if one.kind == "warm-up" and one.begin]
        about = f"about {plural(sorted(inferences)[len(inferences) // 2], 'inference')}"
        return amount(typical, "time"), f"{about}; 95 % interval {interval}" if interval else about


def settling_of(replicates: Sequence[Replicate]) -> Settling:
    """Judge the latencies of each replicate, and of all."""
    judged = [steadiness_of(one.target_ns) for one in replicates if one.target_ns]
    return Settling(steadiness_of_run(judged), judged)
