"""Student's t and the binomial distribution, both by the incomplete beta function."""

from __future__ import annotations

import functools
import math
from statistics import NormalDist
from typing import Final

CONFIDENCE: Final = 0.95
"""Of every interval, and 1 minus what a test may err by."""
_TINY: Final = 1e-300
_CONVERGED: Final = 1e-15
_MOST_TERMS: Final = 100_000
_MOST_STEPS: Final = 200


def incomplete_beta(x: float, a: float, b: float) -> float:
    """Return the regularized incomplete beta function.

    Parameters
    ----------
    x : float
        From 0 to 1.
    a, b : float
        Above 0.

    Notes
    -----
    Source: the continued fraction of the NIST Digital Library of Mathematical Functions, 8.17.22,
    summed by the method of W. J. Lentz, "Generating Bessel Functions in Mie Scattering
    Calculations Using Continued Fractions", Applied Optics 15 (1976). It converges fast below
    the mean; above, the symmetry 8.17.4 leads there.
    """
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - incomplete_beta(1 - x, b, a)
    logarithm = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(logarithm + a * math.log(x) + b * math.log1p(-x)) / a
    c, d = 1.0, 1 / _away_from_zero(1 - (a + b) * x / (a + 1))
    fraction = d
    for m in range(1, _MOST_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / _away_from_zero(1 + term * d)
            c = _away_from_zero(1 + term / c)
            fraction *= c * d
        if abs(c * d - 1) < _CONVERGED:
            break
    return front * fraction


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def student_tail(t: float, degrees: float) -> float:
    """Return the probability that Student's t exceeds a value.

    Parameters
    ----------
    t : float
    degrees : float
        Degrees of freedom, above 0, not necessarily whole.

    Notes
    -----
    Source: M. Abramowitz & I. A. Stegun, "Handbook of Mathematical Functions", 1964, 26.7.1. The
    tail is computed as such: 1 minus the rest would leave no digit of a small one.
    """
    if t < 0:
        return 1 - student_tail(-t, degrees)
    squared = t * t
    if squared < degrees:
        return (1 - incomplete_beta(squared / (degrees + squared), 0.5, degrees / 2)) / 2
    return incomplete_beta(degrees / (degrees + squared), degrees / 2, 0.5) / 2


@functools.lru_cache(maxsize=4096)
def student_quantile(probability: float, degrees: float) -> float:
    """Return what Student's t stays below with a probability.

    Parameters
    ----------
    probability : float
        Between 0 and 1.
    degrees : float
        Degrees of freedom, above 0, not necessarily whole.

    Notes
    -----
    Newton's method on :func:`student_tail` from the quantile of the normal distribution, which is
    on the side of a falling convex function from which it cannot overshoot.
    """
    if probability < 0.5:
        return -student_quantile(1 - probability, degrees)
    logarithm = math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2)
    scale = math.exp(logarithm) / math.sqrt(degrees * math.pi)
    quantile = NormalDist().inv_cdf(probability)
    for _ in range(_MOST_STEPS):
        density = scale * (1 + quantile * quantile / degrees) ** (-(degrees + 1) / 2)
        step = (student_tail(quantile, degrees) - (1 - probability)) / density
        quantile += step
        if abs(step) <= 1e-12 * quantile:
            break
    return quantile


def binomial_at_most(hits: int, count: int, share: float) -> float:
    """Return the probability of at most so many hits among independent tries.

    Parameters
    ----------
    hits : int
        From 0 to ``count``.
    count : int
        Tries.
    share : float
        Probability of a hit in each, from 0 to 1.

    Notes
    -----
    Source: NIST Digital Library of Mathematical Functions, 8.17.5.
    """
    return 1.0 if hits >= count else incomplete_beta(1 - share, count - hits, hits + 1)
