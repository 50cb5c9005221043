"""Which tensor of a conversion is which of its source.

A wrong match is worse than a missing one: it makes a sound layer look broken. So of each pair both
sizes must agree, a name is believed only where no neighbour's values fit far better, and what is
neither named alike nor alike is left alone unless it is the only one between two matches.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec
import numpy as np

from edge_tester.core.inspects import INPUT, Tensor
from edge_tester.core.tensors import Array

Rule = Literal["name", "scope", "order", "correlation"]
# Concordance from which on two tensors are taken for the same: 10 dB of noise leave as much.
ALIKE = 0.95
# A name is doubted where its values correlate less than this, and another's are alike.
DOUBTFUL = 0.95
# Keras numbers layers anew in each graph that it makes.
_NUMBERED = re.compile(r"_\d+$")
# How far, in the order of the source, the one that a name really means may be.
_NEAR = 4
# What these give has another order of values where the channels lie elsewhere.
_MOVING = ("flatten", "reshape", "view", "permute", "transpose")


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """One match.

    Attributes
    ----------
    source, conversion : str
        Names of the tensors.
    rule : str
        ``name``: they have the same one. ``scope``: the last of the conversion that is in the
        layer. ``order``: inputs, outputs, or the only one of its size between two matches.
        ``correlation``: their values are as near as those of no other of this size.
    correlation : float or None
        Pearson's, of their values in the first sample; None where one is constant.
    moved : int
        0 if the axes are the same, 1 if the source's channels were moved from the first place
        behind the batch to the last, -1 the other way.
    """

    source: str
    conversion: str
    rule: Rule
    correlation: float | None
    moved: int = 0


def match(source: Sequence[Tensor], conversion: Sequence[Tensor]) -> list[Pair]:
    """Match the tensors of two models in one inference of the same sample.

    Parameters
    ----------
    source, conversion : sequences of Tensor
        In the order of their graphs.

    Returns
    -------
    list of Pair
        In the order of the conversion's graph; no tensor is in two.
    """
    return _Matching(source, conversion).pairs()


class _Matching:
    def __init__(self, source: Sequence[Tensor], conversion: Sequence[Tensor]) -> None:
        self._source, self._conversion = source, conversion
        # Places: of the conversion's tensor -> of the source's, and by which rule.
        self._found: dict[int, tuple[int, Rule]] = {}
        self._usual = 0
        self._known: dict[tuple[int, int], tuple[float | None, float, int]] = {}

    def pairs(self) -> list[Pair]:
        self._by_ports()
        self._by_names()
        self._usual = self._usual_move()
        self._known.clear()
        self._doubt_names()
        self._by_correlation()
        self._by_order()
        return [self._pair(place) for place in sorted(self._found)]

    def _pair(self, place: int) -> Pair:
        other, rule = self._found[place]
        correlation, _, moved = self._likeness(other, place)
        return Pair(
            source=self._source[other].name,
            conversion=self._conversion[place].name,
            rule=rule,
            correlation=None if correlation is None else round(correlation, 6),
            moved=moved,
        )

    def _by_ports(self) -> None:
        """Match inputs and outputs by their places, if both have as many."""
        keys: list[Callable[[Tensor], int | None]] = [
            lambda one: one.output,
            lambda one: 0 if one.type == INPUT else None,
        ]
        for key in keys:
            ours, theirs = (
                [place for place, one in enumerate(side) if key(one) is not None]
                for side in (self._source, self._conversion)
            )
            ours.sort(key=lambda place: key(self._source[place]) or 0)
            theirs.sort(key=lambda place: key(self._conversion[place]) or 0)
            if len(ours) == len(theirs):
                for one, other in zip(ours, theirs, strict=True):
                    self._take(one, other, "order")

    def _by_names(self) -> None:
        names: Counter[str] = Counter()
        places: dict[str, int] = {}
        for place, one in enumerate(self._source):
            for name in (one.name, *one.aliases):
                names[name] += 1
                places[name] = place
        for place, one in enumerate(self._conversion):
            if names[one.name] == 1:
                self._take(places[one.name], place, "name")
        for name, place in self._last_in_layers(names).items():
            self._take(places[name], place, "scope")

    def _last_in_layers(self, names: Mapping[str, int]) -> dict[str, int]:
        """Return the last tensor of the conversion in each layer, which is what the layer gives.

        A converter may have numbered all layers anew: it is one or the other for all of them, since
        a network has ``relu`` and ``relu_1`` itself.
        """
        plain: dict[str, int] = {}
        numbered: dict[str, int] = {}
        for place, one in enumerate(self._conversion):
            for scope in one.scopes:
                plain[scope] = place
                numbered[_NUMBERED.sub("", scope)] = place
        known, renamed = (
            {name: place for name, place in found.items() if names[name] == 1}
            for found in (plain, numbered)
        )
        return known if len(known) >= len(renamed) else renamed

    def _take(self, source: int, conversion: int, rule: Rule) -> None:
        taken = {other for other, _ in self._found.values()}
        if conversion not in self._found and source not in taken:
            if self._forms(source, conversion):
                self._found[conversion] = source, rule

    def _doubt_names(self) -> None:
        """Give names up for a neighbour whose values fit, where their own do not.

        Converters fuse operators, and leave one name of several to what they make.
        """
        for place, (named, _) in list(self._found.items()):
            correlation = self._likeness(named, place)[0]
            if self._conversion[place].type == INPUT or (correlation or 0.0) >= DOUBTFUL:
                continue
            near = range(max(0, named - _NEAR), min(len(self._source), named + _NEAR + 1))
            best = max(near, key=lambda one: self._alike(one, place))
            taken = {other: at for at, (other, _) in self._found.items()}
            if self._alike(best, place) >= ALIKE:
                # One that has its own counterpart is none: what adds little may look alike.
                if best not in taken or self._alike(best, taken[best]) < ALIKE:
                    self._found.pop(taken.get(best, place), None)
                    self._found[place] = best, "correlation"
            elif self._source[named].type.lower().startswith(_MOVING):
                # As many values in another order, such as an image flattened channels last.
                del self._found[place]

    def _by_correlation(self) -> None:
        """Match what is alike, between the neighbours that are matched already."""
        for place in self._open():
            between = self._between(place)
            alike = [one for one in between if self._alike(one, place) >= ALIKE]
            if alike:
                best = max(alike, key=lambda one: self._alike(one, place))
                self._found[place] = best, "correlation"

    def _by_order(self) -> None:
        """Match what is the only one of its size between two matches, on both sides.

        Whose values are unlike may be broken, or something else: it must be computed by what
        computes in the same way.
        """
        for place in self._open():
            between = [
                one
                for one in self._between(place)
                if _family(self._source[one]) == _family(self._conversion[place]) != ""
            ]
            beside = [
                other
                for other in self._open()
                if other != place
                and self._between(other) == self._between(place)
                and _family(self._conversion[other]) == _family(self._conversion[place])
                and between
                and self._forms(between[0], other)
            ]
            if len(between) == 1 and not beside:
                self._found[place] = between[0], "order"

    def _open(self) -> list[int]:
        return [
            place
            for place, one in enumerate(self._conversion)
            if place not in self._found and one.type != INPUT
        ]

    def _between(self, place: int) -> list[int]:
        """Return the open source's tensors of this size between the matches around a place."""
        before = [other for at, (other, _) in self._found.items() if at < place]
        after = [other for at, (other, _) in self._found.items() if at > place]
        # Branches run in another order; what is certain is what all before, or after, have.
        low = max((one for one in before if all(one < late for late in after)), default=-1)
        high = min((one for one in after if all(one > early for early in before)), default=None)
        taken = {other for other, _ in self._found.values()}
        return [
            one
            for one in range(low + 1, len(self._source) if high is None else high)
            if one not in taken and self._source[one].type != INPUT and self._forms(one, place)
        ]

    def _usual_move(self) -> int:
        """Return how channels are moved where only one way is possible, 0 if nowhere."""
        votes = Counter(
            forms[0]
            for place, (other, _) in self._found.items()
            if len(forms := self._forms(other, place)) == 1
            and np.squeeze(self._conversion[place].values).ndim > 1
        )
        return votes.most_common(1)[0][0] if votes else 0

    def _forms(self, source: int, conversion: int) -> list[int]:
        one, other = self._source[source].values, self._conversion[conversion].values
        return forms(np.shape(one), np.shape(other))

    def _alike(self, source: int, conversion: int) -> float:
        return self._likeness(source, conversion)[1]

    def _likeness(self, source: int, conversion: int) -> tuple[float | None, float, int]:
        """Return correlation, concordance and how the channels are moved."""
        key = source, conversion
        if key not in self._known:
            self._known[key] = self._computed(source, conversion)
        return self._known[key]

    def _computed(self, source: int, conversion: int) -> tuple[float | None, float, int]:
        possible = self._forms(source, conversion)
        if not possible:
            return None, 0.0, 0
        one, other = self._source[source].values, self._conversion[conversion].values
        found = {move: likeness_of(moved(one, move), other) for move in possible}
        best = max(possible, key=lambda move: found[move][1])
        if found[best][1] < ALIKE and self._usual in possible:
            # Both unlike: chance would decide.
            best = self._usual
        return *found[best], best


def forms(source: Sequence[int], conversion: Sequence[int]) -> list[int]:
    """Return by which moves of the channels one shape becomes the other, sizes of 1 left out."""
    wanted = [size for size in conversion if size != 1]
    found = []
    for move in (0, 1, -1):
        if move and len(source) < 3:
            continue
        shape = [*source]
        if move == 1:
            shape = [shape[0], *shape[2:], shape[1]]
        elif move == -1:
            shape = [shape[0], shape[-1], *shape[1:-1]]
        if [size for size in shape if size != 1] == wanted:
            found.append(move)
    return found


def moved(values: Array, move: int) -> Array:
    """Return values with their channels last (1), first behind the batch (-1) or as they are."""
    if move == 1:
        return np.moveaxis(values, 1, -1)
    return np.moveaxis(values, -1, 1) if move == -1 else values


def likeness_of(one: Array, other: Array) -> tuple[float | None, float]:
    """Return Pearson's correlation and the concordance of two arrays of as many values.

    Concordance also sees another scale or offset, which correlation does not. Values that are not
    finite in either are left out; where one is constant, there is no correlation (None).
    Source: L. I.-K. Lin, "A concordance correlation coefficient to evaluate reproducibility",
    Biometrics 45, 1989.
    """
    left, right = np.ravel(one).astype(np.float64), np.ravel(other).astype(np.float64)
    finite = np.isfinite(left) & np.isfinite(right)
    left, right = left[finite], right[finite]
    if left.size < 2:
        return None, 0.0
    apart = float(left.mean() - right.mean())
    left, right = left - left.mean(), right - right.mean()
    common = float(left @ right)
    powers = float(left @ left), float(right @ right)
    size = float(np.sqrt(powers[0] * powers[1]))
    whole = sum(powers) + left.size * apart**2
    return common / size if size else None, 2 * common / whole if whole else 0.0


# Beginning of a type, in small letters without underscores -> what computes in the same way.
_FAMILIES: Mapping[str, str] = {
    "depthwiseconv": "convolution",
    "convtranspose": "convolution",
    "transposeconv": "convolution",
    "conv": "convolution",
    "qlinearconv": "convolution",
    "fullyconnected": "matrix",
    "gemm": "matrix",
    "matmul": "matrix",
    "batchmatmul": "matrix",
    "linear": "matrix",
    "dense": "matrix",
    "add": "sum",
    "sum": "sum",
    "concat": "concatenation",
    "mul": "product",
    "scaled": "product",
    "softmax": "softmax",
}


def _family(tensor: Tensor) -> str:
    kind = tensor.type.lower().replace("_", "")
    return next((name for start, name in _FAMILIES.items() if kind.startswith(start)), "")
