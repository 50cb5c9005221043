"""Where a conversion of a model differs from its source: layer by layer, over some samples.

Of each layer that both have there are two errors. The whole one is that of the two models as they
run, each on its own results: what came in wrong goes on. The own one is that of the layer alone:
the conversion is cut at every matched tensor, each piece gets the tensors of the *source*, and its
result is compared with the source's. Errors of int8 grow along a graph by whole tens of decibels,
in the whole ones; the own ones stay where they are, and a destroyed layer stands out.

A layer **breaks** if its own error is more than its precision explains, which is one of these:

* Its SQNR is below :data:`~edge_tester.core.checking.findings.LIMITS_DB`.
* Of integers: it is below :data:`OUTLIER_BELOW_DB`, and two bits (:data:`OUTLIER_DB`) below what
  three of four layers of integers do not exceed.
* Of integers: its scale is so large that its values go over less than
  :data:`~edge_tester.core.checking.findings.COARSE_STEPS` steps, and it is one bit and a half
  (:data:`COARSE_DB`) below the same. What has its scale by itself, as a softmax, is left out.

And the error is more than :data:`BY_ITSELF` times what its own result moves by where its inputs are
off by as much as rounding does: small differences of large numbers are no fault of a conversion.

Where nothing can be cut, a layer breaks if its whole SQNR is below the limit and more than
:data:`DROP_DB` below the worst of the layers that it is computed from.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from edge_tester.core.checking.findings import (
    COARSE_STEPS,
    LIMITS_DB,
    Layer,
    Layers,
    judged_db,
)
from edge_tester.core.checking.matching import Pair, match
from edge_tester.core.checking.sides import Part, Side
from edge_tester.core.checking.spans import Spans, as_conversion, without_undone
from edge_tester.core.checking.tally import Tally
from edge_tester.core.errors import InputError, ModelError
from edge_tester.core.inspects import INPUT, Tensor
from edge_tester.core.making.likeness import PRECISIONS
from edge_tester.core.system.temporary import TemporaryFolder
from edge_tester.core.tensors import Array

OUTLIER_BELOW_DB = 24.0
OUTLIER_DB = 12.0
COARSE_DB = 9.0
_USUAL = 0.75
BY_ITSELF = 3.0
DROP_DB = 10.0
# Of a value's grid or, without one, of the largest value: how far rounding moves inputs.
_HALF_A_STEP = 0.5
_ROUNDING = {"float32": 1e-6, "float16": 5e-4, "integers": 1 / 256}
_SEED = 0
# Beginnings of operators whose results lie between known limits.
_LIMITED = ("softmax", "logsoftmax", "logistic", "sigmoid", "tanh", "hardsigmoid")


def compare_layers(source: Side, conversion: Side, samples: Iterable[Sequence[Array]]) -> Layers:
    """Compare two models layer by layer.

    Tensors of one sample at a time are held, of both models.

    Parameters
    ----------
    source, conversion : Side
    samples : iterable of sequences of ndarray of shape (1, ...)
        Real values as the source takes them, one per input; the first one is matched by.

    Raises
    ------
    InputError
        There is no sample, or it does not fit.
    ModelError
        A model cannot be looked into, or no tensor was matched.
    """
    comparison: _Comparison | None = None
    with TemporaryFolder() as folder:
        for values in samples:
            ours, theirs = source.tensors(values), conversion.tensors(values)
            if comparison is None:
                comparison = _Comparison(source, conversion, ours, theirs, Path(folder))
            comparison.see(ours, theirs)
    if comparison is None:
        raise InputError("Layers are compared on at least one sample, got none.")
    return comparison.result()


class _Comparison:
    """Matches by the first sample, and sums up over all."""

    def __init__(
        self,
        source: Side,
        conversion: Side,
        ours: Sequence[Tensor],
        theirs: Sequence[Tensor],
        folder: Path,
    ) -> None:
        self._source, self._conversion = source, conversion
        self._first = {one.name: one for one in theirs}
        self._types = {one.name: one.type for one in ours}
        self._pairs = without_undone(
            match(ours, theirs), {one.name: one for one in ours}, self._first
        )
        self._inner = [p for p in self._pairs if self._first[p.conversion].type != INPUT]
        if not self._inner:
            raise ModelError(
                f"No tensor of {conversion.path.name} was found in {source.path.name}: neither "
                "names nor values agree."
            )
        self._counts = [sum(one.type != INPUT for one in side) for side in (ours, theirs)]
        self._spans = Spans(self._first, [pair.conversion for pair in self._inner])
        self._samples = 0
        self._whole = {pair.conversion: Tally() for pair in self._inner}
        self._own = {pair.conversion: Tally() for pair in self._inner}
        self._nudged = {pair.conversion: Tally() for pair in self._inner}
        self._generator = np.random.default_rng(_SEED)
        self._remarks: list[str] = []
        self._names: list[str] = []
        self._part = self._severed(folder)

    def _severed(self, folder: Path) -> Part | None:
        """Return the conversion, cut at every matched tensor; None if that cannot be."""
        cuts = self._conversion.cuts
        if cuts is None:
            return None
        path = folder / f"severed{self._conversion.path.suffix}"
        try:
            self._names = cuts.cut(
                path,
                [self._first[pair.conversion] for pair in self._pairs],
                [self._first[pair.conversion] for pair in self._inner],
            )
            return Part(cuts, path)
        # Whatever a backend raises of a graph that nobody has seen before: then it is said.
        except Exception as error:
            self._remarks.append(
                f"What a layer does by itself is not known: {self._conversion.path.name} could "
                f"not be cut ({type(error).__name__}: {' '.join(str(error).split())[:200]})."
            )
            return None

    def see(self, ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> None:
        """Add one sample."""
        self._samples += 1
        got = {one.name: one for one in theirs}
        values = {one.name: one.values for one in ours}
        expected = {
            pair.conversion: as_conversion(values[pair.source], got[pair.conversion], pair)
            for pair in self._pairs
        }
        for pair in self._inner:
            name = pair.conversion
            self._whole[name].see(expected[name], got[name].values)
        if self._part is None:
            return
        given = [expected.get(name, got[name].values) for name in self._names]
        found = self._part.run(given)
        again = self._part.run(
            [self._nudge(got[n], one) for n, one in zip(self._names, given, strict=True)]
        )
        for pair, one, other in zip(self._inner, found, again, strict=True):
            self._own[pair.conversion].see(expected[pair.conversion], one)
            self._nudged[pair.conversion].see(one, other)

    def _nudge(self, tensor: Tensor, values: Array) -> Array:
        """Return values that are off by what rounding does."""
        step = tensor.scale and _HALF_A_STEP * tensor.scale
        if step is None:
            step = _ROUNDING[tensor.precision] * float(np.abs(np.nan_to_num(values)).max(initial=0))
        off = self._generator.uniform(-step, step, values.shape)
        nudged: Array = (values + off).astype(values.dtype)
        return nudged

    def result(self) -> Layers:
        """Return what was found."""
        layers = [self._layer(pair) for pair in self._inner]
        integers = [judged_db(one) for one in layers if one.precision == "integers"]
        usual_db = float(np.quantile(integers, _USUAL)) if integers else 0.0
        by_name = {one.name: one for one in layers}
        judged = [
            msgspec.structs.replace(one, verdict=self._verdict(one, usual_db, by_name))
            for one in layers
        ]
        matched = {pair.conversion for pair in self._pairs}
        return Layers(
            source=self._source.path.name,
            conversion=self._conversion.path.name,
            source_format=self._source.format,
            conversion_format=self._conversion.format,
            samples=self._samples,
            layers=judged,
            inputs=[pair for pair in self._pairs if pair not in self._inner],
            first=next((one.name for one in judged if one.verdict == "breaks"), None),
            source_tensors=self._counts[0],
            conversion_tensors=self._counts[1],
            unmatched=[name for name in self._first if name not in matched],
            remarks=self._remarks,
        )

    def _layer(self, pair: Pair) -> Layer:
        tensor = self._first[pair.conversion]
        whole, own = self._whole[tensor.name], self._own[tensor.name]
        span = self._spans.span(tensor.name)
        scales = [one.scale for one in span if one.scale]
        return Layer(
            place=tensor.place,
            name=tensor.name,
            type=tensor.type,
            operators=[one.type for one in span],
            places=[one.place for one in span],
            source=pair.source,
            source_type=self._types[pair.source],
            rule=pair.rule,
            correlation=pair.correlation,
            moved=pair.moved,
            precision=max((one.precision for one in span), key=PRECISIONS.index),
            sqnr_db=round(whole.sqnr_db, 3),
            cosine=whole.cosine,
            largest_difference=whole.largest_difference,
            largest_value=whole.largest,
            rms_difference=whole.rms_difference,
            own_sqnr_db=None if self._part is None else round(own.sqnr_db, 3),
            own_rms_difference=None if self._part is None else own.rms_difference,
            scale=tensor.scale,
            zero_point=tensor.zero_point,
            steps_used=round(whole.span / scales[-1], 1) if scales else None,
        )

    def _verdict(
        self, layer: Layer, usual_db: float, layers: Mapping[str, Layer]
    ) -> Literal["breaks", "inherits", "sound"]:
        limit_db = LIMITS_DB[layer.precision]
        if layer.precision == "integers":
            limit_db = max(limit_db, min(OUTLIER_BELOW_DB, usual_db - OUTLIER_DB))
            limited = layer.kind.lower().startswith(_LIMITED)
            if (layer.steps_used or math.inf) < COARSE_STEPS and not limited:
                limit_db = max(limit_db, usual_db - COARSE_DB)
        falls = layer.sqnr_db < LIMITS_DB[layer.precision]
        if layer.own_sqnr_db is None:
            before = [
                layers[name].sqnr_db for name in self._spans.before(layer.name) if name in layers
            ]
            drops = min(before, default=160.0) - layer.sqnr_db > DROP_DB
            return "breaks" if falls and drops else "inherits" if falls else "sound"
        explained = (layer.own_rms_difference or 0.0) <= BY_ITSELF * self._moves(layer)
        if layer.own_sqnr_db < limit_db and not explained:
            return "breaks"
        return "inherits" if falls else "sound"

    def _moves(self, layer: Layer) -> float:
        """Return by how much a layer's result moves with its inputs, its own rounding left out.

        Both results were rounded to a grid, each with an error of a twelfth of its squared step.
        """
        moves = self._nudged[layer.name].rms_difference
        scales = [one.scale for one in self._spans.span(layer.name) if one.scale is not None]
        rounding = scales[-1] ** 2 / 6 if scales else 0.0
        return math.sqrt(max(0.0, moves**2 - rounding))
