"""How well scores tell two classes apart: the area under the ROC curve."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from edge_tester.core.errors import RecordError
from edge_tester.core.statistics.distributions import CONFIDENCE
from edge_tester.core.statistics.percentiles import midranks
from edge_tester.core.tensors import Array


class Area(NamedTuple):
    """Area under the ROC curve.

    Attributes
    ----------
    area : float
        Probability that a positive sample scores higher than a negative one, half of ties.
    low, high : float
        95 % interval.
    """

    area: float
    low: float
    high: float


def roc_area(scores: Sequence[float] | Array, positive: Sequence[bool] | Array) -> Area:
    """Return the area under the ROC curve and its interval.

    Parameters
    ----------
    scores : sequence of float or ndarray of shape (samples,)
    positive : sequence of bool or ndarray of shape (samples,)
        Whether each sample is of the class that shall have high scores.

    Raises
    ------
    RecordError
        Only one class, another number of scores than samples, or a score that is no number.

    Notes
    -----
    Source: E. R. DeLong, D. M. DeLong & D. L. Clarke-Pearson, "Comparing the Areas under Two or
    More Correlated Receiver Operating Characteristic Curves: A Nonparametric Approach",
    Biometrics 44 (1988), by the ranks of X. Sun & W. Xu, IEEE Signal Processing Letters 21
    (2014), on the scale of the log odds, on which it stays below 1. Where that variance is 0, as
    for classes told apart without a mistake, it is method 5 of R. G. Newcombe, "Confidence
    Intervals for an Effect Size Measure Based on the Mann-Whitney Statistic. Part 2", Statistics
    in Medicine 25 (2006).
    """
    values, labels = np.asarray(scores, np.float64), np.asarray(positive, bool)
    if values.shape != labels.shape or labels.all() or not labels.any() or np.isnan(values).any():
        raise RecordError(
            f"An area under the ROC curve needs one number per sample and both classes, got "
            f"{len(values)} scores of {len(labels)} samples, {labels.sum()} of them positive."
        )
    positives, negatives = int(labels.sum()), int((~labels).sum())
    ranks = midranks(values)
    above = (ranks[labels] - midranks(values[labels])) / negatives
    below = 1 - (ranks[~labels] - midranks(values[~labels])) / positives
    area = float(above.mean())
    variance = sum(float(part.var(ddof=1)) / len(part) for part in (above, below) if len(part) > 1)
    if min(positives, negatives) == 1 or variance == 0:
        return Area(area, *_without_variance(area, positives, negatives))
    quantile = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    middle = math.log(area / (1 - area))
    half = quantile * math.sqrt(variance) / (area * (1 - area))
    return Area(area, _share(middle - half), _share(middle + half))


def _share(odds_logarithm: float) -> float:
    return 1 / (1 + math.exp(-odds_logarithm))


def _without_variance(area: float, positives: int, negatives: int) -> tuple[float, float]:
    """Return the areas whose own standard error reaches to the one seen."""
    quantile = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    mean = (positives + negatives) / 2

    def reached(true: float) -> bool:
        shape = (1 - true) / (2 - true) + true / (1 + true)
        variance = true * (1 - true) * (1 + (mean - 1) * shape) / (positives * negatives)
        return abs(area - true) <= quantile * math.sqrt(variance)

    return _last(reached, area, 0.0), _last(reached, area, 1.0)


def _last(holds: Callable[[float], bool], inside: float, outside: float) -> float:
    """Return the last value on the way from one to another for which something holds."""
    if inside == outside:
        return inside
    for _ in range(60):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if holds(middle) else (inside, middle)
    return inside
