"""The capability of a runtime to tell the time of each operator."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edge_tester.core.results.profile import OperatorTime as OperatorTime
from edge_tester.core.results.profile import Profile as Profile

if TYPE_CHECKING:
    from edge_tester.core.tensors import Array


class Profiles:
    """A subclass must be a runtime as well, and tell the time of each operator of its model.

    It comes before the runtime among the bases. The target calls :meth:`profile` after a load, in
    a process whose inferences nobody times.

    * The times come from a copy of the model that is made for them, or from a profiler that is off
      again afterwards: later inferences take no longer than before.
    * Answers, inputs and a state that the model keeps stay as they were.
    * An operator is named as what really ran. Where operators were fused, the fused one has one
      time; where a shape or a name is not known, there is none. Nothing is guessed.
    * Where there are no times that mean something, there are none: ``unavailable`` says why.

    Conformance suite: :class:`edge_tester.testing.ProfilesConformance`.
    """

    def profile(self, inputs: Sequence[Array], count: int) -> Profile:
        """Run inferences in the profiler of the backend, and return what it tells.

        Parameters
        ----------
        inputs : sequence of ndarray
            As for :meth:`edge_tester.core.runtime.Runtime.set_inputs`.
        count : int
            From about how many inferences the times are to be computed, at least 1; those before,
            which warm caches, are the runtime's to add.

        Raises
        ------
        RuntimeStateError
            No model was loaded.
        InputError
            The inputs do not fit the model.
        """
        raise NotImplementedError


def median_ns(times_ns: Sequence[float]) -> int:
    """Return the median of the times of one operator, in whole nanoseconds.

    Parameters
    ----------
    times_ns : sequence of float
        One for each inference, at least one [ns].
    """
    return max(0, round(statistics.median(times_ns)))


def told(tool: str, operators: Sequence[OperatorTime], count: int, **facts: Any) -> Profile:
    """Return the times that a tool gave, or that it gave none that mean something.

    Parameters
    ----------
    tool : str
    operators : sequence of OperatorTime
        In the order in which they ran.
    count : int
        Inferences that each time was computed from.
    **facts
        Further fields of the profile.
    """
    profile = Profile(tool=tool, operators=list(operators), inferences=count, **facts)
    if not operators:
        return unavailable(tool, "It told of no operator.")
    # Where operators take less than a step in the mean, most of it is rounding.
    step_ns = profile.resolution_ns
    if profile.total_ns < (len(operators) * step_ns if step_ns > 1 else 1):
        return unavailable(
            tool,
            f"Its smallest step of {profile.resolution_ns} ns is too coarse: all {len(operators)} "
            f"operators together took {profile.total_ns} ns.",
        )
    return profile


def same_in_each(runs: Sequence[Sequence[Any]]) -> bool:
    """Tell whether every inference ran the same operators in the same order.

    Only then is there one time of an operator for each.
    """
    return len({tuple(run) for run in runs}) == 1


def unavailable(tool: str, reason: str) -> Profile:
    """Return that there are no times, and why."""
    return Profile(tool=tool, unavailable=reason)
