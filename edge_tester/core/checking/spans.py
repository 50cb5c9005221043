"""What lies between the tensors of a conversion that its source has as well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edge_tester.core.checking.findings import LIMITS_DB
from edge_tester.core.checking.matching import Pair, moved
from edge_tester.core.checking.tally import Tally
from edge_tester.core.inspects import INPUT, Tensor
from edge_tester.core.tensors import Array

# No operator takes so much noise away; what seems to do so undoes what the one before did [dB].
_UNDONE_DB = 30.0
# More noise than this makes another tensor of it.
_LIKE_DB = 10.0


class Spans:
    """The graph of a conversion, seen from matched tensor to matched tensor.

    Parameters
    ----------
    tensors : mapping of str to Tensor
        Of the conversion, by name.
    matched : sequence of str
        Names, in the order of the graph.
    """

    def __init__(self, tensors: Mapping[str, Tensor], matched: Sequence[str]) -> None:
        self._tensors = tensors
        self._matched = list(matched)

    def span(self, name: str) -> list[Tensor]:
        """Return what is computed from the matched tensors before, to give this one, in order."""
        tensor = self._tensors[name]
        found, waiting, matched = {name: tensor}, [tensor], set(self._matched)
        while waiting:
            for other in waiting.pop().inputs or ():
                one = self._tensors[other]
                if other not in matched and other not in found and one.type != INPUT:
                    found[other] = one
                    waiting.append(one)
        return sorted(found.values(), key=lambda one: one.place)

    def before(self, name: str) -> list[str]:
        """Return the matched tensors that one is computed from.

        Where nothing tells, that is the one before in the order.
        """
        span = self.span(name)
        inside = {one.name for one in span}
        if all(one.inputs is not None for one in span):
            read = (other for one in span for other in one.inputs or () if other not in inside)
            return [other for other in dict.fromkeys(read) if other in self._matched]
        return self._matched[: self._matched.index(name)][-1:]


def as_conversion(values: Array, tensor: Tensor, pair: Pair) -> Array:
    """Return the source's values in the order and shape of the conversion's tensor."""
    return moved(values, pair.moved).reshape(np.shape(tensor.values))


def without_undone(
    pairs: Sequence[Pair], ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]
) -> list[Pair]:
    """Leave out pairs of tensors that are not the same on purpose.

    A converter may add a bias one operator later, for instance. Then the tensor differs, and all
    that is computed from it agrees again, which no error does. Or it may not agree because that is
    broken: so what is in a layer, and only like what the layer gives, is left out as well where its
    own inputs agree. An error there shows in the next layer, whose span then has both. What has the
    same name stays.
    """
    ratios_db = {}
    for pair in pairs:
        tally, tensor = Tally(), theirs[pair.conversion]
        tally.see(as_conversion(ours[pair.source].values, tensor, pair), tensor.values)
        ratios_db[pair.conversion] = tally.sqnr_db
    spans = Spans(theirs, [pair.conversion for pair in pairs])
    readers: dict[str, list[str]] = {}
    for pair in pairs:
        if theirs[pair.conversion].type != INPUT:
            for other in spans.before(pair.conversion):
                readers.setdefault(other, []).append(pair.conversion)

    def undone(pair: Pair) -> bool:
        name, ratio_db = pair.conversion, ratios_db[pair.conversion]
        limit_db = LIMITS_DB[theirs[name].precision]
        if pair.rule == "name" or name not in readers or ratio_db >= limit_db:
            return False
        agree = all(ratios_db[one] > ratio_db + _UNDONE_DB for one in readers[name])
        like = theirs[name].precision == "float32" and ratio_db > _LIKE_DB
        sound = all(ratios_db[one] >= limit_db for one in spans.before(name))
        return agree or (pair.rule == "scope" and like and sound)

    return [pair for pair in pairs if not undone(pair)]
