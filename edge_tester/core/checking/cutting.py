"""The smallest part of a conversion that still shows a difference, as files that show it.

A part ends with the tensor in question and begins with tensors that both models have, of which it
is given the source's values. The later it begins, the smaller it is; how late it may begin is found
by bisection. It shows the difference of the whole if the root of its mean squared difference is at
least :data:`SHOWN` of the whole one, at the same tensor and for the same sample.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edge_tester.core.checking.findings import Layer, Layers
from edge_tester.core.checking.matching import moved
from edge_tester.core.checking.reproducing import EXPECTED, GOT, PartFile, Reproduction, script
from edge_tester.core.checking.sides import Part, Side
from edge_tester.core.checking.tally import Tally
from edge_tester.core.errors import InputError, ModelError
from edge_tester.core.inspects import Cuts, Tensor
from edge_tester.core.system.temporary import TemporaryFolder
from edge_tester.core.tensors import Array

SHOWN = 0.9
"""Part of the whole's difference that a smaller model must show."""


class CutDown(msgspec.Struct, frozen=True, kw_only=True):
    """A part that shows a difference, and where it was written.

    Attributes
    ----------
    layer : str
        The conversion's tensor.
    folder : str
    files : list of str
        Names of what was written there.
    sample : int
        Place of the one with the largest difference among the samples.
    inputs : list of str
        The conversion's tensors that the part begins with.
    operators : int
        How many told tensors the part computes, of ``operators_whole``.
    operators_whole : int
    rms_difference, whole_rms_difference : float
        Of the part and of the whole, at this tensor.
    largest_difference : float
        Of the part.
    sqnr_db : float
        Of the part.
    source_part : bool
        Whether the source was cut as well.
    remarks : list of str
    """

    layer: str
    folder: str
    files: list[str]
    sample: int
    inputs: list[str]
    operators: int
    operators_whole: int
    rms_difference: float
    whole_rms_difference: float
    largest_difference: float
    sqnr_db: float
    source_part: bool
    remarks: list[str] = []

    @property
    def share(self) -> float:
        """The part's difference in that of the whole."""
        whole = self.whole_rms_difference
        return self.rms_difference / whole if whole else 1.0


def cut_down(
    comparison: Layers,
    source: Side,
    conversion: Side,
    samples: Iterable[Sequence[Array]],
    folder: Path,
    layer: str | None = None,
) -> CutDown:
    """Cut a conversion down to what shows the difference, and write it with a script.

    Parameters
    ----------
    comparison : Layers
        Of these two.
    source, conversion : Side
    samples : iterable of sequences of ndarray of shape (1, ...)
        As for :func:`edge_tester.core.checking.layers.compare_layers`; anew, if it was an iterator.
    folder : Path
        Made if it is not there. It gets both parts (the source's, if its format can be cut),
        ``tensors.npz`` with their inputs and with the expected and the got values, the layer as
        ``layer.json``, and ``reproduce.py``, which needs nothing of this package.
    layer : str, optional
        The conversion's tensor; by default the first that breaks.

    Raises
    ------
    ModelError
        No layer stands out and none was named, there is no such layer, or the format of the
        conversion cannot be cut.
    InputError
        There is no sample.
    """
    cuts = conversion.cuts
    if cuts is None:
        raise ModelError(
            f"{conversion.path.name} is {conversion.format}, of which no part can be cut out."
        )
    found = _layer(comparison, layer)
    return _Cutting(comparison, found, source, conversion, cuts, samples).written(folder)


def _layer(comparison: Layers, name: str | None) -> Layer:
    wanted = comparison.first if name is None else name
    if wanted is None:
        raise ModelError(
            f"No layer of {comparison.conversion} stands out; name the one to cut down to."
        )
    found = next((one for one in comparison.layers if one.name == wanted), None)
    if found is None:
        raise ModelError(
            f"{comparison.conversion} has no compared layer {wanted!r}; there are "
            f"{', '.join(repr(one.name) for one in comparison.layers)}."
        )
    return found


class _Cutting:
    """The sample with the largest difference, and parts that get the source's tensors of it."""

    def __init__(
        self,
        comparison: Layers,
        layer: Layer,
        source: Side,
        conversion: Side,
        cuts: Cuts,
        samples: Iterable[Sequence[Array]],
    ) -> None:
        self._layer, self._source, self._conversion, self._cuts = layer, source, conversion, cuts
        self._moves = {one.name: (one.source, one.moved) for one in comparison.layers}
        self._moves |= {one.conversion: (one.source, one.moved) for one in comparison.inputs}
        self._ours: dict[str, Tensor] = {}
        self._theirs: dict[str, Tensor] = {}
        self._sample, self._whole = -1, Tally()
        for place, values in enumerate(samples):
            ours = {one.name: one for one in source.tensors(values)}
            theirs = {one.name: one for one in conversion.tensors(values)}
            tally = Tally()
            tally.see(self._value(layer.name, ours, theirs), theirs[layer.name].values)
            if self._sample < 0 or tally.rms_difference > self._whole.rms_difference:
                self._sample, self._whole = place, tally
                self._ours, self._theirs = ours, theirs
        if self._sample < 0:
            raise InputError("A layer is cut out with at least one sample, got none.")
        before = {one.place for one in self._theirs.values() if one.place < layer.place}
        self._starts = sorted({*before} & {self._theirs[name].place for name in self._moves})

    def _value(self, name: str, ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> Array:
        source, move = self._moves[name]
        return moved(ours[source].values, move).reshape(np.shape(theirs[name].values))

    def written(self, folder: Path) -> CutDown:
        """Find the smallest part, and write it."""
        folder.mkdir(parents=True, exist_ok=True)
        start = self._start()
        expected = self._value(self._layer.name, self._ours, self._theirs)
        path = folder / f"conversion{self._conversion.path.suffix}"
        names, part = self._part(path, start)
        values = [self._given(name) for name in names]
        got = part.run(values)[0]
        tally = Tally()
        tally.see(expected, got)
        arrays: dict[str, Any] = {EXPECTED: expected, GOT: got}
        arrays |= {f"conversion_input_{n}": one for n, one in enumerate(part.given(values))}
        reproduction = Reproduction(
            layer=self._layer,
            comparison=(self._source.path.name, self._conversion.path.name),
            conversion=_described(path, self._conversion, part),
            rms_difference=tally.rms_difference,
            shown=SHOWN,
        )
        remarks: list[str] = []
        functions = {self._conversion.format: self._cuts.standalone}
        source = self._source_part(folder, start, expected, arrays, remarks)
        if source is not None and self._source.cuts is not None:
            functions[self._source.format] = self._source.cuts.standalone
        np.savez(folder / "tensors.npz", **arrays)
        (folder / "layer.json").write_bytes(
            msgspec.json.format(msgspec.json.encode(self._layer), indent=2)
        )
        text = script(msgspec.structs.replace(reproduction, source=source), functions)
        (folder / "reproduce.py").write_text(text, "utf-8")
        return CutDown(
            layer=self._layer.name,
            folder=str(folder),
            files=sorted(one.name for one in folder.iterdir() if one.is_file()),
            sample=self._sample,
            inputs=names,
            operators=self._computed(names),
            operators_whole=sum(one.place >= 0 for one in self._theirs.values()),
            rms_difference=tally.rms_difference,
            whole_rms_difference=self._whole.rms_difference,
            largest_difference=tally.largest_difference,
            sqnr_db=round(tally.sqnr_db, 3),
            source_part=source is not None,
            remarks=remarks,
        )

    def _start(self) -> int:
        """Return the latest place in the graph after which a part still shows the difference.

        A part may begin with matched tensors up to there.
        """
        with TemporaryFolder() as folder:

            def hides(place: int) -> bool:
                path = Path(folder) / f"{place}{self._conversion.path.suffix}"
                names, part = self._part(path, place)
                tally = Tally()
                expected = self._value(self._layer.name, self._ours, self._theirs)
                tally.see(expected, part.run([self._given(name) for name in names])[0])
                path.unlink()
                # Where the whole is not finite, so must be the part.
                if self._whole.not_finite:
                    return not tally.not_finite
                return tally.rms_difference < SHOWN * self._whole.rms_difference

            # Mostly the layer does it alone.
            if not self._starts or not hides(self._starts[-1]):
                return self._starts[-1] if self._starts else -1
            # From the inputs on it is the whole, which shows it.
            first = bisect.bisect_left(self._starts[1:-1], True, key=hides)
            return self._starts[first]

    def _given(self, name: str) -> Array:
        """Return the source's values of a tensor, the conversion's where it has none."""
        if name in self._moves:
            return self._value(name, self._ours, self._theirs)
        values: Array = self._theirs[name].values
        return values

    def _part(self, path: Path, start: int) -> tuple[list[str], Part]:
        ports = [
            one for one in self._theirs.values() if one.place <= start and one.name in self._moves
        ]
        output = self._theirs[self._layer.name]
        names = self._cuts.cut(path, ports, [output])
        return names, Part(self._cuts, path)

    def _source_part(
        self, folder: Path, start: int, expected: Array, arrays: dict[str, Any], remarks: list[str]
    ) -> PartFile | None:
        """Write the part of the source between the same tensors, if its format can be cut."""
        cuts = self._source.cuts
        if cuts is None:
            return None
        ports = {
            self._moves[one.name][0]
            for one in self._theirs.values()
            if one.place <= start and one.name in self._moves
        }
        output = self._ours[self._layer.source]
        path = folder / f"source{self._source.path.suffix}"
        try:
            names = cuts.cut(path, [self._ours[n] for n in ports if n != output.name], [output])
            part = Part(cuts, path)
            values = [self._ours[name].values for name in names]
            tally = Tally()
            tally.see(output.values, part.run(values)[0])
        # The source is whole without it, and whatever a backend raises is said.
        except Exception as error:
            path.unlink(missing_ok=True)
            said = " ".join(str(error).split())[:200]
            remarks.append(f"The source was not cut ({type(error).__name__}: {said}).")
            return None
        arrays.update({f"source_input_{n}": one for n, one in enumerate(part.given(values))})
        return _described(path, self._source, part)

    def _computed(self, inputs: Sequence[str]) -> int:
        """Return how many told tensors lie between the inputs and the layer, it included."""
        found, waiting = {self._layer.name}, [self._layer.name]
        while waiting:
            for name in self._theirs[waiting.pop()].inputs or ():
                if name not in found and name not in inputs and self._theirs[name].place >= 0:
                    found.add(name)
                    waiting.append(name)
        return len(found)


def _described(path: Path, side: Side, part: Part) -> PartFile:
    output = part.outputs[0]
    return PartFile(
        name=path.name,
        format=side.format,
        inputs=len(part.inputs),
        scale=output.scale,
        zero_point=output.zero_point or 0,
    )
