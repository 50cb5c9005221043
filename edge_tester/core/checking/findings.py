"""What a comparison of two models found, layer by layer."""

from __future__ import annotations

from typing import Literal

import msgspec

from edge_tester.core.checking.matching import Pair, Rule
from edge_tester.core.making.likeness import LOW_SIGNAL_TO_NOISE_DB

# A difference of a thousandth, and of a twentieth, as in likeness.py.
LIMITS_DB = {"float32": 60.0, "float16": 26.0, "integers": LOW_SIGNAL_TO_NOISE_DB}
"""SQNR that a precision explains; a layer that is below it by its own error breaks [dB]."""
COARSE_STEPS = 51
"""A fifth of the 255 that an int8 has: what uses fewer has too large a scale."""
# Operators that only turn numbers into others of the same value.
_RECODING = ("quantize", "dequantize", "cast", "identity")


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """One tensor that both models have.

    Attributes
    ----------
    place : int
        Of what computes it in the conversion's graph.
    name, type : str
        Of the conversion.
    operators : list of str
        Types of all that computes it in the conversion from the matched tensors before, in order.
    places : list of int
        Theirs in the conversion's graph.
    source, source_type : str
    rule : str
        How it was matched; see :class:`edge_tester.core.checking.matching.Pair`.
    correlation : float or None
    moved : int
        As of the pair.
    precision : str
        The coarsest type of what computes it.
    sqnr_db : float
        Of the whole models; 160 where there is no difference.
    cosine : float or None
        None where one of both is zero throughout.
    largest_difference, largest_value : float
        Of the whole models; the value is the source's.
    own_sqnr_db : float or None
        Given the source's tensors; None where the conversion cannot be cut.
    own_rms_difference, rms_difference : float
        Roots of the mean squared differences, given the source's tensors and of the whole models.
    scale, zero_point : float and int, or None
        Of the conversion's tensor.
    steps_used : float or None
        Over how many steps of its grid the source's values go; None of what has none.
    verdict : str
        ``breaks``, ``inherits`` (its own error is explained, the whole one is not) or ``sound``.
    """

    place: int
    name: str
    type: str
    operators: list[str]
    places: list[int] = []
    source: str
    source_type: str
    rule: Rule
    correlation: float | None
    moved: int = 0
    precision: str
    sqnr_db: float
    cosine: float | None
    largest_difference: float
    largest_value: float
    rms_difference: float
    own_sqnr_db: float | None = None
    own_rms_difference: float | None = None
    scale: float | None = None
    zero_point: int | None = None
    steps_used: float | None = None
    verdict: Literal["breaks", "inherits", "sound"] = "sound"

    @property
    def kind(self) -> str:
        """The first operator of it that computes something."""
        computing = [one for one in self.operators if not _recodes(one)]
        return (computing or [self.type])[-1]


class Layers(msgspec.Struct, frozen=True, kw_only=True):
    """A comparison of two models.

    Attributes
    ----------
    source, conversion : str
        Names of the files.
    source_format, conversion_format : str
    samples : int
    layers : list of Layer
        In the order of the conversion's graph, inputs left out.
    inputs : list of Pair
        How the inputs were matched.
    first : str or None
        Name of the first layer that breaks; None if none stands out.
    source_tensors, conversion_tensors : int
        How many tensors either has, inputs left out.
    unmatched : list of str
        Tensors of the conversion that have no counterpart.
    remarks : list of str
    """

    source: str
    conversion: str
    source_format: str
    conversion_format: str
    samples: int
    layers: list[Layer]
    inputs: list[Pair] = []
    first: str | None = None
    source_tensors: int
    conversion_tensors: int
    unmatched: list[str] = []
    remarks: list[str] = []

    @property
    def broken(self) -> Layer | None:
        """The first layer that breaks."""
        return next((one for one in self.layers if one.name == self.first), None)

    @property
    def words(self) -> str:
        """What was found, in sentences."""
        said = f"{len(self.layers)} of {self.conversion_tensors} tensors of {self.conversion} were "
        said += f"found in {self.source}, and compared on {self.samples} samples."
        if not self.layers:
            return said
        if (one := self.broken) is None:
            lowest = min(self.layers, key=lambda layer: judged_db(layer))
            return (
                f"{said} No layer stands out: the lowest is {lowest.kind} {lowest.name!r}, with "
                f"{judged_db(lowest):.1f} dB, and {lowest.precision} explains that."
            )
        own = (
            "" if one.own_sqnr_db is None else f", {one.own_sqnr_db:.1f} dB given the right inputs"
        )
        coarse = one.own_sqnr_db is not None and one.own_sqnr_db >= LIMITS_DB[one.precision]
        grid = (
            f" Its values go over {one.steps_used:.0f} steps of its scale alone."
            if coarse and one.steps_used is not None and one.steps_used < COARSE_STEPS
            else ""
        )
        return (
            f"{said} The first that breaks is {one.kind} {one.name!r}, {one.source!r} in the "
            f"source: {one.sqnr_db:.1f} dB{own}, where {one.precision} explains "
            f"{LIMITS_DB[one.precision]:.0f} dB.{grid}"
        )


def judged_db(layer: Layer) -> float:
    """Return the SQNR that a layer is judged by: its own, or the whole one where there is none."""
    return layer.sqnr_db if layer.own_sqnr_db is None else layer.own_sqnr_db


def _recodes(operator: str) -> bool:
    kind = operator.lower().removesuffix("linear")
    return kind in _RECODING
