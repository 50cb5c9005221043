"""Which time of a profile is that of which operator of a file: by name, or not at all."""

from __future__ import annotations

import collections
import dataclasses

from edge_tester.core.graphs import Graph
from edge_tester.core.results.profile import Profile
from edge_tester.core.results.words import plural


@dataclasses.dataclass(frozen=True)
class Matched:
    """What a profile says of the operators of a file.

    Attributes
    ----------
    times_ns : dict of str to int
        By the name of the operator.
    shares : dict of str to float
        Of all times of the profile, also of those that match none.
    notes : tuple of str
        What does not match, in sentences.
    """

    times_ns: dict[str, int] = dataclasses.field(default_factory=dict)
    shares: dict[str, float] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()


def matched(profile: Profile | None, graph: Graph) -> Matched:
    """Return the times whose names are those of an operator, or of what one operator gives.

    A name that two operators have, there or here, matches none. Nothing else is tried: what a
    runtime fused, split or put in has no counterpart.
    """
    if profile is None:
        return Matched()
    if not profile.operators:
        return Matched(notes=(f"There are no times of layers: {profile.unavailable}",))
    ways: dict[str, set[str]] = collections.defaultdict(set)
    for one in graph.operators:
        for name in (one.name, *one.outputs):
            ways[name].add(one.name)
    told = collections.Counter(one.name for one in profile.operators)
    times: dict[str, int] = {}
    shares: dict[str, float] = {}
    left = 0
    for timed in profile.operators:
        found = ways.get(timed.name, set())
        if not timed.name or told[timed.name] > 1 or len(found) != 1 or found & times.keys():
            left += 1
            continue
        (name,) = found
        times[name], shares[name] = timed.time_ns, profile.share(timed)
    notes = [profile.words]
    if left:
        lost = 100 * (1 - sum(shares.values()))
        notes.append(
            f"{plural(left, 'operator')} of the profile, {lost:.1f} % of its time, "
            f"{'has' if left == 1 else 'have'} no counterpart in the file and "
            f"{'is' if left == 1 else 'are'} in no layer."
        )
    if len(times) < len(graph.operators):
        notes.append(
            "Layers without a time may be a part of others: runtimes fuse operators, and one that "
            "has a time may hold others."
        )
    return Matched(times, shares, tuple(notes))
