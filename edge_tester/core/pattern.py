"""The pattern role: when inferences begin, and what of them is a result."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from edge_tester.core.errors import OptionError
from edge_tester.core.options import Configurable
from edge_tester.core.results.parts import PatternFacts


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
    replicate : int
        Which one this is, from 0 on.
    done : int
        Inferences of this replicate that are measured.
    since_ns : int
        Time between the last arrival and the end of the last block [ns]. The clock of arrivals
        stands still between two blocks; it begins with the replicate.
    """

    most: int
    left: int
    inference_ns: int
    untimed: int
    replicate: int = 0
    done: int = 0
    since_ns: int = 0


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
        each begins when the one before has ended. What arrived while the block before went on is
        below 0: it has waited since then.
    """

    inferences: int
    untimed: int = 0
    arrivals_ns: tuple[int, ...] = ()


class LoadPattern(Configurable):
    """A subclass must say of each block how many inferences it has and when they begin.

    * Equal options and equal situations are equal schedules: random arrivals follow from a seed.
    * It asks for no more than the situation allows: a target has room for so many inputs.
    * Blocks with arrivals take about a second, so that others have their turn.

    Its suite is :class:`edge_tester.testing.PatternConformance`.
    """

    def block(self, situation: Situation) -> Schedule:
        """Return what the next block is."""
        raise NotImplementedError

    def facts(self) -> PatternFacts:
        """Return what of the inferences is a result; the record keeps it.

        Raises
        ------
        OptionError
            Options contradict each other.
        """
        return PatternFacts()


def paced(situation: Situation, gaps_ns: list[int], longest_ns: int = 1_000_000_000) -> Schedule:
    """Return a block of arrivals, short enough for others to have their turn.

    Parameters
    ----------
    situation : Situation
    gaps_ns : list of int
        Time from each arrival to the next one, the first from the last of the block before [ns]; at
        least one, and no more than the situation allows.
    longest_ns : int
        How long a block takes at most, unless a single arrival takes longer [ns].
    """
    at_ns = -situation.since_ns
    arrivals_ns: list[int] = []
    fitting = max(1, longest_ns // max(1, situation.inference_ns))
    for gap_ns in gaps_ns[:fitting]:
        at_ns += gap_ns
        if arrivals_ns and at_ns > longest_ns:
            break
        arrivals_ns.append(at_ns)
    return Schedule(len(arrivals_ns), situation.untimed, tuple(arrivals_ns))


def facts_of(pattern: LoadPattern) -> PatternFacts:
    """Return what of the inferences of a pattern, which may be anybody's, is a result.

    Raises
    ------
    OptionError
        Its options contradict each other, or it says what no record can.
    """
    try:
        return msgspec.convert(msgspec.to_builtins(pattern.facts()), PatternFacts)
    except (msgspec.ValidationError, TypeError) as error:
        raise OptionError(
            f"{type(pattern).__name__}.facts() cannot be recorded: {error}."
        ) from error


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
    arrivals_ns, earliest_ns = schedule.arrivals_ns, -situation.since_ns
    if arrivals_ns and (
        len(arrivals_ns) != schedule.inferences
        or list(arrivals_ns) != sorted(arrivals_ns)
        or arrivals_ns[0] < earliest_ns
    ):
        raise OptionError(
            f"A block of {owner} must have an arrival for each of its {schedule.inferences} "
            f"inferences, in ascending order from {earliest_ns} on, got {len(arrivals_ns)}: "
            f"{arrivals_ns[:5]}."
        )
    return schedule
