"""What gets lost on the way into a model, and what comes out that is no answer.

Nothing here changes a figure: it counts, so that a run can say why a figure is what it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edge_tester.core.run.batches import same_tensors
from edge_tester.core.tensors import Array, TensorSpec

# Shares above which a run is doubtful; a few values at the ends of a range are ordinary.
_DOUBTFUL_SATURATION, _DOUBTFUL_OUTSIDE = 0.01, 0.01
# Pixels as they come from a picture file.
_BRIGHTEST = 255.0
_UNSCALED = (
    "The answers are no better than guesses, and the model was given values of 0 to 255, as "
    "pictures have them: --preprocessing NAME scales pictures as published models want them, "
    "--input-scale 0.00392157 to 0 to 1."
)
# An input that uses less than this of what a quantized input can hold was made for another one.
_UNUSED = 1 / 50


class InputWatch:
    """Turns real values into tensors, and counts what the tensors cannot hold.

    Parameters
    ----------
    specs : sequence of TensorSpec
        Inputs of the model as it was loaded.
    calibrated : mapping of str to (float, float), optional
        Smallest and largest value of each input that a quantization was calibrated with, by
        name, or by position as text.
    """

    def __init__(
        self,
        specs: Sequence[TensorSpec],
        calibrated: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        calibrated = calibrated or {}
        self._inputs = [
            _Input(spec, calibrated.get(spec.name, calibrated.get(str(index))))
            for index, spec in enumerate(specs)
        ]
        self._begun = False

    def conform(
        self, values: Sequence[Array], *, counted: bool = True, inferences: int = 1
    ) -> list[Array]:
        """Return the tensors of one inference, or of several along the first axis.

        Parameters
        ----------
        values : sequence of ndarray
        counted : bool, default=True
            Whether to count; not where the same values were counted before.
        inferences : int, default=1

        Raises
        ------
        InputError
            They do not fit. Values that overflow are an error in the first inference, where the
            data evidently are not made for the model; later ones are counted.
        """
        tensors = [
            one.conform(real, self._begun, counted, inferences)
            for one, real in zip(self._inputs, values, strict=True)
        ]
        self._begun = True
        return tensors

    def facts(self) -> dict[str, dict[str, Any]]:
        """Return ranges and counts of all inputs, by name."""
        return {one.spec.name: one.facts() for one in self._inputs if one.values}

    def remarks(self, *, at_chance: bool = False) -> list[str]:
        """Return what was lost, in words, and what cures it.

        Parameters
        ----------
        at_chance : bool, default=False
            Whether the answers are no better than guesses: then inputs that look like pixels
            which nobody scaled are worth a word.
        """
        found = [text for one in self._inputs for text in one.remarks()]
        return found + [_UNSCALED for one in self._inputs if at_chance and one.like_pixels()]


class _Input:
    def __init__(self, spec: TensorSpec, calibrated: Sequence[float] | None) -> None:
        self.spec = spec
        self.values = self.saturated = self.overflown = self.outside = 0
        self.low, self.high = float("inf"), float("-inf")
        self.held = _held(spec)
        self.calibrated = calibrated

    def conform(self, real: Array, overflowing: bool, counted: bool, inferences: int) -> Array:
        tensor = self.spec.conform(real, overflowing=overflowing, inferences=inferences)
        if not counted:
            return tensor
        self.values += real.size
        if real.size and real.dtype.kind in "fiu":
            self._count(real, tensor)
        return tensor

    def _count(self, real: Array, tensor: Array) -> None:
        finite = real[np.isfinite(real)] if real.dtype.kind == "f" else real
        if not finite.size:
            return
        low, high = float(finite.min()), float(finite.max())
        self.low, self.high = min(self.low, low), max(self.high, high)
        if self.held and (low < self.held[0] or high > self.held[1]):
            self.saturated += int(((real < self.held[0]) | (real > self.held[1])).sum())
        if tensor.dtype.kind == "f" and real.dtype.kind == "f":
            self.overflown += int((np.isinf(tensor) & np.isfinite(real)).sum())
        if self.calibrated:
            slack = 1e-6 * (self.calibrated[1] - self.calibrated[0])
            bounds = self.calibrated[0] - slack, self.calibrated[1] + slack
            if low < bounds[0] or high > bounds[1]:
                self.outside += int(((real < bounds[0]) | (real > bounds[1])).sum())

    def like_pixels(self) -> bool:
        """Tell whether real values go over the range of pixels, into an input that has no range."""
        image = len(self.spec.shape) in (3, 4) and not self.held
        return image and self.low >= 0 and _BRIGHTEST / 2 < self.high <= _BRIGHTEST

    def facts(self) -> dict[str, Any]:
        found: dict[str, Any] = {"values": self.values}
        if self.low <= self.high:
            found |= {"minimum": self.low, "maximum": self.high}
        if self.held:
            found |= {"saturated": self.saturated, "holds": list(self.held)}
        if self.calibrated:
            found |= {"outside_calibration": self.outside, "calibrated": list(self.calibrated)}
        if self.overflown:
            found["overflown"] = self.overflown
        return found

    def remarks(self) -> list[str]:
        name, found = self.spec.name, []
        if self.overflown:
            found.append(
                f"{self.overflown} values of input {name!r} are beyond {self.spec.dtype}: they "
                "became infinite."
            )
        saturated = self.held and self.saturated > _DOUBTFUL_SATURATION * self.values
        if self.held and saturated:
            found.append(
                f"{_percent(self.saturated, self.values)} of the values of input {name!r} were "
                f"clipped: the {self.spec.dtype} input holds {self.held[0]:.4g} to "
                f"{self.held[1]:.4g}, the samples go from {self.low:.4g} to {self.high:.4g}."
                + _advice(self.low, self.high, self.held)
            )
        elif self.held and 0 < self.high - self.low < _UNUSED * (self.held[1] - self.held[0]):
            found.append(
                f"The samples use {_percent(self.high - self.low, self.held[1] - self.held[0])} of "
                f"what the {self.spec.dtype} input {name!r} holds: they go from {self.low:.4g} to "
                f"{self.high:.4g}, it from {self.held[0]:.4g} to {self.held[1]:.4g}."
                + _advice(self.low, self.high, self.held)
            )
        if self.outside > _DOUBTFUL_OUTSIDE * self.values and self.calibrated and not saturated:
            found.append(
                f"{_percent(self.outside, self.values)} of the values of input {name!r} are "
                f"outside of what the model was calibrated with: {self.calibrated[0]:.4g} to "
                f"{self.calibrated[1]:.4g}, the samples go from {self.low:.4g} to {self.high:.4g}."
            )
        return found


class OutputWatch:
    """Counts answers that are none: not a number, infinite, or the same for every sample."""

    def __init__(self, specs: Sequence[TensorSpec]) -> None:
        self._names = [spec.name for spec in specs]
        self._inferences = 0
        self._nan = [0] * len(specs)
        self._infinite = [0] * len(specs)
        self._first: tuple[list[Array], Array] | None = None
        self._differ = False
        self._constant = True

    def see(
        self, tensors: Sequence[Sequence[Array]], outputs: Sequence[Array], answers: Array
    ) -> None:
        """Take what went through some inferences.

        Parameters
        ----------
        tensors : sequence of sequences of ndarray
            Inputs of each inference.
        outputs : sequence of ndarray
            Real-valued; of several inferences one after the other along the first axis.
        answers : ndarray
            What is evaluated of them, likewise.
        """
        count = len(tensors)
        self._inferences += count
        for index, values in enumerate(outputs):
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                rows = values.reshape(count, -1)
                self._nan[index] += int(np.isnan(rows).any(axis=1).sum())
                self._infinite[index] += int(np.isinf(rows).any(axis=1).sum())
        size = len(answers) // count
        for number, given in enumerate(tensors):
            if not self._constant:
                return
            self._compare(given, answers[number * size : (number + 1) * size])

    def _compare(self, tensors: Sequence[Array], answer: Array) -> None:
        if self._first is None:
            self._first = [np.array(one) for one in tensors], np.array(answer)
            return
        self._constant = same_tensors(self._first[1], answer)
        if not self._differ:
            pairs = zip(self._first[0], tensors, strict=True)
            self._differ = not all(same_tensors(mine, theirs) for mine, theirs in pairs)

    def remarks(self) -> list[str]:
        """Return what was seen, in words."""
        found = []
        for name, nan, infinite in zip(self._names, self._nan, self._infinite, strict=True):
            for count, what in ((nan, "NaN"), (infinite, "infinite values")):
                if count:
                    found.append(
                        f"Output {name!r} has {what} in {count} of {self._inferences} inferences."
                    )
        if self._constant and self._differ:
            found.append(
                f"The model gives the same answer in all {self._inferences} inferences, although "
                "the inputs differ."
            )
        return found


def _held(spec: TensorSpec) -> tuple[float, float] | None:
    """Return the smallest and largest real value that a quantized input can hold.

    A value that rounds to one at the end of the range is held too.
    """
    if spec.scale is None or spec.scale == 0:
        return None
    limits, zero_point = np.iinfo(spec.dtype), spec.zero_point or 0
    return (
        (int(limits.min) - zero_point - 0.5) * spec.scale,
        (int(limits.max) - zero_point + 0.5) * spec.scale,
    )


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.3g} %"


def _advice(low: float, high: float, held: tuple[float, float]) -> str:
    """Return the flags that bring pixels into the range of an input, where they seem to be some."""
    # Rounded to what people scale to: 1, 2, 16, 255.
    least, most = (round(end, 1) if abs(end) < 3 else round(end) for end in held)
    if low >= 0 and 0 < most and 2 * most < high <= _BRIGHTEST:
        if least > -0.1 * most:
            return f" Pixels of 0 to 255 need --input-scale {most / _BRIGHTEST:.6g}."
        if abs(least + most) < 0.1 * most:
            return (
                f" Pixels of 0 to 255 need --input-scale {2 * most / _BRIGHTEST:.6g} "
                f"--input-mean {most:g}."
            )
        return " Pixels of 0 to 255 need the preprocessing that the model was trained with."
    if low >= 0 and high <= 1 and least > -1 and most >= 100:
        return " Values of 0 to 1 need --input-scale 255."
    return ""
