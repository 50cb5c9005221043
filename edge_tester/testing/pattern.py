"""What every load pattern must keep to."""

from __future__ import annotations

import itertools
from typing import ClassVar

from edge_tester.core.errors import OptionError
from edge_tester.core.pattern import LoadPattern, Schedule, Situation, facts_of, scheduled
from edge_tester.testing.plugin import PluginConformance

_SECOND_NS = 1_000_000_000
SITUATIONS = [
    Situation(*values)
    for values in itertools.product(
        (1, 16, 256), (1, 7, 1000), (1, 1_000_000, 3 * _SECOND_NS), (0, 1), (0, 3), (0, 40), (0, 77)
    )
]


class PatternConformance(PluginConformance):
    """A subclass must name the load pattern, and a block of it must fit into every situation.

    A pattern may refuse a target that has too little room for it, with an OptionError.
    """

    cls: ClassVar[type[LoadPattern]]

    def test_blocks_are_what_a_target_has_room_for(self) -> None:
        """Also where there is room for little, and where little is left."""
        assert any(self._schedule(situation) is not None for situation in SITUATIONS)

    def test_equal_situations_are_equal_blocks(self) -> None:
        """Whoever repeats a measurement repeats its arrivals."""
        first, second = (list(map(self._schedule, SITUATIONS)) for _ in range(2))
        assert first == second

    def test_others_have_their_turn(self) -> None:
        """A block that has to wait for arrivals takes a second, or has a single one."""
        for situation in SITUATIONS:
            schedule = self._schedule(situation)
            if schedule is not None and len(schedule.arrivals_ns) > 1:
                assert schedule.arrivals_ns[-1] <= _SECOND_NS

    def test_facts_can_be_recorded(self) -> None:
        """The figures are computed with what the record says of the pattern."""
        facts_of(self._fresh())

    def _fresh(self) -> LoadPattern:
        return self.cls.from_options(self.options)

    def _schedule(self, situation: Situation) -> Schedule | None:
        pattern = self._fresh()
        try:
            pattern.block(situation)
        except OptionError:
            return None
        return scheduled(pattern, situation)
