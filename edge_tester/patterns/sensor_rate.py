"""A frame at a fixed rate, as a camera or another sensor gives it."""

from __future__ import annotations

from edge_tester.core.errors import OptionError
from edge_tester.core.options import option
from edge_tester.core.pattern import LoadPattern, Schedule, Situation, paced
from edge_tester.core.results.parts import PatternFacts


class SensorRate(LoadPattern):
    """A frame comes in every period, and should be done when the next one comes.

    None is dropped: one that comes too early waits, and those behind it do so too.

    Notes
    -----
    The periodic task of C. L. Liu & J. W. Layland, "Scheduling Algorithms for Multiprogramming in a
    Hard-Real-Time Environment", Journal of the ACM 20 (1973): its deadline is the next request.
    """

    period_ms: float = option(
        100.0, minimum=0.001, unit="ms", help="Time from one frame to the next"
    )
    power_mw: float | None = option(
        None,
        minimum=0.001,
        unit="mW",
        help="What the target draws while it infers, for an estimate of a frame's energy",
    )
    battery_mwh: float | None = option(
        None,
        minimum=0.001,
        unit="mWh",
        help="What a battery holds, for an estimate of how long it lasts with --power-mw",
    )

    def block(self, situation: Situation) -> Schedule:
        """Take as many frames as come in about a second."""
        count = min(situation.most, situation.left)
        return paced(situation, [self._period_ns] * count)

    def facts(self) -> PatternFacts:
        """Return the deadline, and what estimates are made with."""
        if self.battery_mwh is not None and self.power_mw is None:
            raise OptionError(
                "SensorRate.battery_mwh needs power_mw: how long a battery lasts depends on it."
            )
        return PatternFacts(
            kind="deadline",
            deadline_ns=self._period_ns,
            power_mw=self.power_mw,
            battery_mwh=self.battery_mwh,
        )

    @property
    def _period_ns(self) -> int:
        return round(self.period_ms * 1e6)
