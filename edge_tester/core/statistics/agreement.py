"""How far two sets of numbers agree that should be the same: outputs of a model and another."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np

from edge_tester.core.tensors import Array

# Outputs that vary by less, as part of the largest value, may well become one quantized value.
_VARIES = 0.05
# Sums of probabilities are 1 within this, also where each was rounded to 1/256.
_SUM, _LEAST = 0.05, 1e-12


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """How an output of a conversion agrees with that of its source, over all samples.

    Values that are not finite on either side count in ``not_finite`` alone.

    Attributes
    ----------
    samples : int
    l2_mean, l2_max : float
        Euclidean distance of the two outputs of a sample.
    max_absolute : float
        Largest difference of two values.
    max_relative : float
        The same as part of the source's largest absolute value, or as it is if all are 0.
    cosine_mean, cosine_min : float or None
        Cosine of the angle between the two outputs of a sample; None where all are zeros.
    signal_to_noise_db : float or None
        Ten times the decimal logarithm of the squared values over the squared differences (the
        signal-to-quantization-noise ratio); None without a signal, or without a difference.
    kl_mean : float or None
        Kullback-Leibler divergence of the conversion's probabilities from the source's [nat];
        None where they are no probabilities.
    top1 : float or None
        Part of the samples whose largest score is of the same class; None where nothing is
        scored.
    not_finite : int
        Values that are NaN or infinite in the conversion and finite in the source.
    constant : bool
        Whether the output is one value throughout, or the same for every sample, where that of
        the source clearly varies.
    identical : bool
        Whether all values are equal.
    """

    samples: int
    l2_mean: float
    l2_max: float
    max_absolute: float
    max_relative: float
    cosine_mean: float | None
    cosine_min: float | None
    signal_to_noise_db: float | None
    kl_mean: float | None
    top1: float | None
    not_finite: int
    constant: bool
    identical: bool


class Agreeing:
    """Takes the outputs of some samples at a time; keeps nothing that grows with their number.

    Parameters
    ----------
    scores : bool, default=False
        Whether an output has a score per class along its last axis, so that the largest one and
        the probabilities count. Scores that are none become some by a softmax.
    """

    def __init__(self, *, scores: bool = False) -> None:
        self._scores = scores
        self._probabilities: bool | None = None
        self._samples = self._same_class = self._not_finite = self._differing = 0
        self._distances, self._distance = 0.0, 0.0
        self._cosines: list[Array] = []
        self._largest = self._most = self._signal = self._noise = self._divergence = 0.0
        self._wanted, self._found = _Range(), _Range()

    def update(self, wanted: Array, found: Array) -> None:
        """Take the outputs of some samples.

        Parameters
        ----------
        wanted, found : ndarray of shape (samples, ...)
            Real values of the source and of the conversion, of the same shape.
        """
        self._samples += len(wanted)
        self._differing += int(np.sum((wanted != found) & ~(_is_nan(wanted) & _is_nan(found))))
        mine = np.asarray(wanted, np.float64).reshape(len(wanted), -1)
        theirs = np.asarray(found, np.float64).reshape(len(found), -1)
        finite = np.isfinite(mine)
        self._not_finite += int(np.sum(finite & ~np.isfinite(theirs)))
        both = finite & np.isfinite(theirs)
        signal, answer = np.where(both, mine, 0), np.where(both, theirs, 0)
        noise = signal - answer
        self._wanted.widen(signal)
        self._found.widen(answer)
        distances = np.sqrt(np.square(noise).sum(1))
        self._distances += float(distances.sum())
        self._distance = max(self._distance, float(distances.max(initial=0)))
        self._largest = max(self._largest, float(np.abs(signal).max(initial=0)))
        self._most = max(self._most, float(np.abs(noise).max(initial=0)))
        self._signal += float(np.square(signal).sum())
        self._noise += float(np.square(noise).sum())
        norms = np.linalg.norm(signal, axis=1) * np.linalg.norm(answer, axis=1)
        products = (signal * answer).sum(1)
        self._cosines.append(np.clip(products[norms > 0] / norms[norms > 0], -1, 1))
        if self._scores and wanted.ndim > 1:
            self._classes(signal, answer, wanted.shape[-1])

    def result(self) -> Agreement:
        """Return how far all samples that were taken agree."""
        samples = max(1, self._samples)
        cosines = np.concatenate([*self._cosines, np.empty(0)])
        ratio = (
            10 * math.log10(self._signal / self._noise) if self._signal and self._noise else None
        )
        scored = self._scores and self._probabilities is not None
        return Agreement(
            samples=self._samples,
            l2_mean=self._distances / samples,
            l2_max=self._distance,
            max_absolute=self._most,
            max_relative=self._most / (self._largest or 1.0),
            cosine_mean=float(cosines.mean()) if len(cosines) else None,
            cosine_min=float(cosines.min()) if len(cosines) else None,
            signal_to_noise_db=ratio,
            kl_mean=max(0.0, self._divergence / samples) if scored else None,
            top1=self._same_class / samples if scored else None,
            not_finite=self._not_finite,
            constant=self._found.became_constant(self._wanted, self._largest),
            identical=self._differing == 0,
        )

    def _classes(self, wanted: Array, found: Array, count: int) -> None:
        """Take scores, classes along the last axis."""
        mine, theirs = wanted.reshape(-1, count), found.reshape(-1, count)
        places = len(mine) // len(wanted)
        if self._probabilities is None:
            self._probabilities = _is_distribution(mine)
        same = mine.argmax(1) == theirs.argmax(1)
        # One score alone tells two classes by its sign, or as a probability.
        if count == 1:
            least = 0.5 if 0 <= mine.min() and mine.max() <= 1 else 0.0
            same = (mine[:, 0] > least) == (theirs[:, 0] > least)
        self._same_class += int(same.reshape(len(wanted), places).all(1).sum())
        p, q = (self._distribution(one) for one in (mine, theirs))
        self._divergence += float((p * np.log(np.maximum(p, _LEAST) / q)).sum()) / places

    def _distribution(self, values: Array) -> Array:
        if self._probabilities:
            kept = np.maximum(values, _LEAST)
        else:
            kept = np.maximum(np.exp(values - values.max(1, keepdims=True)), _LEAST)
        shares: Array = kept / kept.sum(1, keepdims=True)
        return shares


class _Range:
    """Least and greatest value of each element over all samples, and of each within a sample."""

    def __init__(self) -> None:
        self._low: Any = None
        self._high: Any = None

    def widen(self, values: Array) -> None:
        low, high = values.min(0), values.max(0)
        self._low = low if self._low is None else np.minimum(self._low, low)
        self._high = high if self._high is None else np.maximum(self._high, high)

    @property
    def across(self) -> float:
        """By how much the element that varies most from sample to sample does so."""
        if self._low is None or not self._low.size:
            return 0.0
        return float((self._high - self._low).max())

    @property
    def throughout(self) -> float:
        """By how much all values vary."""
        if self._low is None or not self._low.size:
            return 0.0
        return float(self._high.max() - self._low.min())

    def became_constant(self, source: _Range, largest: float) -> bool:
        """Tell whether this is one value where the source clearly is not."""
        clear = _VARIES * largest
        return (source.throughout > clear and self.throughout == 0) or (
            source.across > clear and self.across == 0
        )


def agreement(wanted: Array, found: Array, *, scores: bool = False) -> Agreement:
    """Compare two outputs at once; see :class:`Agreeing`.

    Parameters
    ----------
    wanted, found : ndarray of shape (samples, ...)
    scores : bool, default=False
        Whether the last axis has a score per class.
    """
    agreeing = Agreeing(scores=scores)
    agreeing.update(wanted, found)
    return agreeing.result()


def _is_nan(values: Array) -> Any:
    return np.isnan(values) if np.issubdtype(values.dtype, np.floating) else np.zeros(1, bool)


def _is_distribution(rows: Array) -> bool:
    if rows.shape[1] < 2:
        return False
    return bool(rows.min() >= 0 and np.all(np.abs(rows.sum(1) - 1) < _SUM))
