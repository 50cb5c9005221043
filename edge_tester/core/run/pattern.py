"""When inferences begin: load patterns."""

from __future__ import annotations

from typing import NamedTuple

from edge_tester.core.errors import OptionError
from edge_tester.core.options import Configurable, option


class Situation(NamedTuple):
    """What a load pattern knows before a block.

    Attributes
    ----------
    most : int
        Inferences that a block may have: one where each is asked for by itself.
    left : int
        Inferences that are not measured yet.
    inference_ns : int
        About how long one takes.
    untimed : int
        Inferences before the block that let it begin with warm caches; 0 where nothing may run
        untimed.
    """

    most: int
    left: int
    inference_ns: int
    untimed: int


class Schedule(NamedTuple):
    """What a block is.

    Attributes
    ----------
    inferences : int
        Timed ones, from 1 to what the situation allows.
    untimed : int
        Inferences before the first timed one.
    arrivals_ns : tuple of int
        When each is to begin, from the start of the block [ns], in ascending order; empty where
        each begins when the one before has ended.
    """

    inferences: int
    untimed: int = 0
    arrivals_ns: tuple[int, ...] = ()


class LoadPattern(Configurable):
    """A subclass must say of each block how many inferences it has and when they begin.

    * Equal options and equal situations are equal schedules, but for random arrivals.
    * It asks for no more than the situation allows: a target has room for so many inputs.
    """

    def block(self, situation: Situation) -> Schedule:
        """Return what the next block is."""
        raise NotImplementedError


class BackToBack(LoadPattern):
    """Each inference begins when the one before has ended."""

    block_s: float = option(0.1, minimum=0, unit="s", help="About how long a block takes")

    def block(self, situation: Situation) -> Schedule:
        """Fill the time of a block."""
        wanted = int(self.block_s * 1e9) // max(1, situation.inference_ns)
        count = max(1, min(wanted, situation.most, situation.left))
        return Schedule(count, situation.untimed)


def scheduled(pattern: LoadPattern, situation: Situation) -> Schedule:
    """Return the next block of a pattern, which may be anybody's.

    Raises
    ------
    OptionError
        It is none that can be run.
    """
    schedule, owner = pattern.block(situation), type(pattern).__name__
    most = min(situation.most, situation.left)
    if not 1 <= schedule.inferences <= most:
        raise OptionError(f"A block of {owner} must have 1 to {most} inferences, got {schedule}.")
    arrivals_ns = schedule.arrivals_ns
    if arrivals_ns and (
        len(arrivals_ns) != schedule.inferences
        or list(arrivals_ns) != sorted(arrivals_ns)
        or arrivals_ns[0] < 0
    ):
        raise OptionError(
            f"A block of {owner} must have an arrival for each of its {schedule.inferences} "
            f"inferences, in ascending order from 0 on, got {len(arrivals_ns)}: {arrivals_ns[:5]}."
        )
    return schedule
