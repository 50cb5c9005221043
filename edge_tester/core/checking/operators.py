"""Why a model is slower than another: two profiles side by side.

Profiles of two runtimes, or of two optimizations of one model, have other operators, so only those
are paired that are surely the same: by name, or as the only ones of their type and sizes. What is
left over is counted by type. Times are those of profiled runs; shares count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence

import msgspec

from edge_tester.core.errors import RecordError
from edge_tester.core.results.profile import OperatorTime, Profile

UNKNOWN = "unknown"
# Type in small letters, without a namespace and underscores -> what it converts.
_CONVERSIONS = {
    "transpose": "layout",
    "permute": "layout",
    "reorder": "layout",
    "reorderinput": "layout",
    "reorderoutput": "layout",
    "cast": "type",
    "convert": "type",
    "tocopy": "type",
    "quantize": "quantization",
    "dequantize": "quantization",
    "quantizelinear": "quantization",
    "dequantizelinear": "quantization",
}
# What undoes a conversion, where that is not one of the same type.
_UNDONE_BY = {
    "reorderinput": "reorderoutput",
    "reorderoutput": "reorderinput",
    "quantize": "dequantize",
    "dequantize": "quantize",
    "quantizelinear": "dequantizelinear",
    "dequantizelinear": "quantizelinear",
}


class Timed(msgspec.Struct, frozen=True, kw_only=True):
    """An operator in both profiles.

    Attributes
    ----------
    type, name : str
        As the second profile has them.
    places : tuple of int and int
        In the first and in the second profile, as all pairs here.
    times_ns : tuple of int and int
    shares : tuple of float and float
        Of the time of all operators of a profile.
    delegates : tuple of (str or None) and (str or None)
        What ran it.
    """

    type: str
    name: str
    places: tuple[int, int]
    times_ns: tuple[int, int]
    shares: tuple[float, float]
    delegates: tuple[str | None, str | None]

    @property
    def slower_ns(self) -> int:
        """How much longer it takes in the second profile; below 0 if shorter."""
        return self.times_ns[1] - self.times_ns[0]

    @property
    def moved(self) -> bool:
        """Whether something else runs it in the second profile."""
        return None not in self.delegates and self.delegates[0] != self.delegates[1]


class ThereAndBack(msgspec.Struct, frozen=True, kw_only=True):
    """A conversion that a later one undoes.

    Attributes
    ----------
    converts : str
        ``layout``, ``type`` or ``quantization``.
    types : tuple of str and str
        Of both operators.
    places : tuple of int and int
    between : int
        How many other operators ran between them.
    share : float
        Of both in the time of all operators.
    """

    converts: str
    types: tuple[str, str]
    places: tuple[int, int]
    between: int
    share: float


class Conversions(msgspec.Struct, frozen=True, kw_only=True):
    """What one profile spends on layouts and types instead of computing.

    Attributes
    ----------
    count : int
    share : float
        In the time of all operators.
    by_type : dict of str to float
        Share by type of operator.
    there_and_back : list of ThereAndBack
        By order and sizes: profiles do not tell which operator reads which.
    """

    count: int
    share: float
    by_type: dict[str, float]
    there_and_back: list[ThereAndBack]


class Operators(msgspec.Struct, frozen=True, kw_only=True):
    """Two profiles side by side; of each pair, the first profile comes first.

    Attributes
    ----------
    timed : list of Timed
        What is in both, the one that got slower by most first.
    left_over : tuple of two dicts of str to int
        Times of what is in one profile alone, by type [ns].
    totals_ns : tuple of int and int
    by_delegate : tuple of two dicts of str to float
        Shares of the time by what ran the operators; ``unknown`` where nothing tells.
    conversions : tuple of Conversions and Conversions
    """

    timed: list[Timed]
    left_over: tuple[dict[str, int], dict[str, int]]
    totals_ns: tuple[int, int]
    by_delegate: tuple[dict[str, float], dict[str, float]]
    conversions: tuple[Conversions, Conversions]

    @property
    def moved(self) -> list[Timed]:
        """What something else runs in the second profile, such as the CPU that it fell back to."""
        return [one for one in self.timed if one.moved]


def compare_operators(first: Profile, second: Profile) -> Operators:
    """Put two profiles side by side.

    Parameters
    ----------
    first, second : Profile
        Of run records, which have them in ``profile`` if they were made with ``--profile``.

    Raises
    ------
    RecordError
        One of them has no times; the message says why.
    """
    for which, profile in (("first", first), ("second", second)):
        if not profile.operators:
            raise RecordError(
                f"The {which} profile has no times: {profile.unavailable or 'nobody knows why'}"
            )
    pairs = _paired(first.operators, second.operators)
    timed = [
        Timed(
            type=two.type,
            name=two.name,
            places=(one.place, two.place),
            times_ns=(one.time_ns, two.time_ns),
            shares=(first.share(one), second.share(two)),
            delegates=(one.delegate, two.delegate),
        )
        for one, two in pairs
    ]
    known = [{one.place for one, _ in pairs}, {two.place for _, two in pairs}]
    return Operators(
        timed=sorted(timed, key=lambda one: -one.slower_ns),
        left_over=(_by_type(first, known[0]), _by_type(second, known[1])),
        totals_ns=(first.total_ns, second.total_ns),
        by_delegate=(_by_delegate(first), _by_delegate(second)),
        conversions=(_conversions(first), _conversions(second)),
    )


def _paired(
    first: Sequence[OperatorTime], second: Sequence[OperatorTime]
) -> list[tuple[OperatorTime, OperatorTime]]:
    """Return operators that are the same, in the order of the second profile."""
    found: dict[int, tuple[OperatorTime, OperatorTime]] = {}
    taken: set[int] = set()
    keys: list[Callable[[OperatorTime], Hashable]] = [
        lambda one: (_plain(one.type), one.name) if one.name else None,
        lambda one: one.name or None,
        lambda one: (_plain(one.type), _sizes(one)) if one.shapes else None,
    ]
    for key in keys:
        ours = _only({key(one): one for one in first}, [key(o) for o in first])
        theirs = _only({key(one): one for one in second}, [key(o) for o in second])
        for common in ours.keys() & theirs.keys():
            one, two = ours[common], theirs[common]
            if one.place not in taken and two.place not in found:
                taken.add(one.place)
                found[two.place] = one, two
    return [found[place] for place in sorted(found)]


def _only(
    found: dict[Hashable, OperatorTime], keys: Sequence[Hashable]
) -> dict[Hashable, OperatorTime]:
    """Return what has a key that no other has."""
    counts = Counter(keys)
    return {key: one for key, one in found.items() if key is not None and counts[key] == 1}


def _plain(kind: str) -> str:
    """Return a type as all runtimes may write it: ``aten::_to_copy`` is ``tocopy``."""
    return kind.rpartition("::")[2].lower().replace("_", "")


def _sizes(one: OperatorTime) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(shape) for shape in one.shapes or [])


def _by_type(profile: Profile, known: set[int]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for one in profile.operators:
        if one.place not in known:
            found[one.type] += one.time_ns
    return dict(found.most_common())


def _by_delegate(profile: Profile) -> dict[str, float]:
    found: dict[str, float] = {}
    for one in profile.operators:
        name = one.delegate or UNKNOWN
        found[name] = found.get(name, 0.0) + profile.share(one)
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))


def _conversions(profile: Profile) -> Conversions:
    converting = [one for one in profile.operators if _plain(one.type) in _CONVERSIONS]
    by_type: dict[str, float] = {}
    for one in converting:
        by_type[one.type] = by_type.get(one.type, 0.0) + profile.share(one)
    open_ones: list[OperatorTime] = []
    pairs = []
    for one in converting:
        # The last one that is still open: conversions lie within each other.
        begun = next((other for other in reversed(open_ones) if _undoes(one, other)), None)
        if begun is None:
            open_ones.append(one)
            continue
        open_ones.remove(begun)
        pairs.append(
            ThereAndBack(
                converts=_CONVERSIONS[_plain(one.type)],
                types=(begun.type, one.type),
                places=(begun.place, one.place),
                between=one.place - begun.place - 1,
                share=profile.share(begun) + profile.share(one),
            )
        )
    return Conversions(
        count=len(converting),
        share=sum(map(profile.share, converting)),
        by_type=dict(sorted(by_type.items(), key=lambda pair: -pair[1])),
        there_and_back=pairs,
    )


def _undoes(later: OperatorTime, earlier: OperatorTime) -> bool:
    """Tell whether one conversion may take back another, by its type, sizes and types of values.

    Between them may lie what changes sizes; then it is another tensor that is taken back.
    """
    kind = _plain(earlier.type)
    if _plain(later.type) != _UNDONE_BY.get(kind, kind):
        return False
    converts = _CONVERSIONS[kind]
    if converts == "layout":
        # The same tensor has the same sizes, in another order.
        ours, theirs = _sizes(later), _sizes(earlier)
        return len(ours) == len(theirs) and all(
            sorted(a) == sorted(b) for a, b in zip(ours, theirs, strict=True)
        )
    if converts == "type":
        return later.dtypes is None or earlier.dtypes is None or later.dtypes != earlier.dtypes
    return True
