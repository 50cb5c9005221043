"""Which of two is faster: comparisons that seldom tell two of the same apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from edge_tester.core.errors import RecordError
from edge_tester.core.statistics.verdicts import (
    DIFFERENCE_ERROR,
    EQUIVALENCE_ERROR,
    Comparison,
    settled,
)
from edge_tester.core.tensors import Array

__all__ = [
    "MARGIN",
    "Comparison",
    "adjusted",
    "compare_apart",
    "compare_pairs",
    "corrected",
    "ratio_in_turns",
]

MARGIN: Final = 0.01
"""Relative difference that does not matter, where nobody said otherwise."""
_MOST_TURNS: Final = 1000


def ratio_in_turns(a: Sequence[Array], b: Sequence[Array]) -> float:
    """Return B's time divided by A's in one pair of replicates that took turns.

    Parameters
    ----------
    a, b : sequences of ndarray of shape (count,)
        Latencies of each block, of as many of B as of A, in the order of the turns [ns].

    Raises
    ------
    RecordError
        Other numbers of blocks, none, or an empty one.

    Notes
    -----
    Of the logarithms of the ratios of the medians of each turn, the median of the means of all
    pairs (each with itself, too): what the machine did to both blocks of a turn cancels out, what
    it did to one of them is an outlier, and little is lost where there are none. Source: J. L.
    Hodges & E. L. Lehmann, "Estimates of Location Based on Rank Tests", Annals of Mathematical
    Statistics 34 (1963).
    """
    if len(a) != len(b) or not all(map(len, [*a, *b])) or len(a) == 0:
        raise RecordError(f"Turns need as many blocks of A as of B, got {len(a)} and {len(b)}.")
    ratios = [np.median(other) / np.median(one) for one, other in zip(a, b, strict=True)]
    logarithms = _fewer(np.log(ratios))
    means = (logarithms[:, np.newaxis] + logarithms) / 2
    return math.exp(np.median(means[np.triu_indices(len(means))]))


def _fewer(logarithms: Array) -> Array:
    """Return at most so many as fit into memory by pairs: means of consecutive ones."""
    groups = np.array_split(logarithms, min(len(logarithms), _MOST_TURNS))
    return np.array([group.mean() for group in groups])


def compare_pairs(ratios: Sequence[float], margin: float = MARGIN) -> Comparison:
    """Compare B with A where both were measured in turns.

    Parameters
    ----------
    ratios : sequence of float
        B's time divided by A's for each pair of fresh replicates; at least two.
    margin : float
        Relative difference that does not matter.

    Raises
    ------
    RecordError
        Fewer than two ratios, or one that is not positive.

    Notes
    -----
    Student's t on the logarithms of the ratios, against 1 and, as two one-sided tests, against the
    margin: D. J. Schuirmann, "A Comparison of the Two One-Sided Tests Procedure and the Power
    Approach for Assessing the Equivalence of Average Bioavailability", Journal of Pharmacokinetics
    and Biopharmaceutics 15 (1987).
    """
    logarithms = _logarithms(ratios, "ratios")
    count = len(ratios)
    error = math.sqrt(logarithms.var(ddof=1) / count)
    return settled(
        float(logarithms.mean()),
        error,
        count - 1,
        count,
        margin,
        difference=DIFFERENCE_ERROR,
        equality=EQUIVALENCE_ERROR,
    )


def compare_apart(a: Sequence[float], b: Sequence[float], margin: float = MARGIN) -> Comparison:
    """Compare B with A where each was measured by itself.

    Parameters
    ----------
    a, b : sequence of float
        One positive number for each replicate, such as its median latency [ns]; at least two each.
    margin : float
        Relative difference that does not matter.

    Raises
    ------
    RecordError
        Fewer than two of one, or a number that is not positive.

    Notes
    -----
    As :func:`compare_pairs` with the standard error and degrees of freedom of B. L. Welch, "The
    Generalization of 'Student's' Problem when Several Different Population Variances are
    Involved", Biometrika 34 (1947). What changed on the machine between the two runs is taken for
    a difference of A and B: nothing but measuring in turns can tell.
    """
    first, second = _logarithms(a, "replicates of A"), _logarithms(b, "replicates of B")
    parts = [one.var(ddof=1) / len(one) for one in (first, second)]
    variance = float(sum(parts))
    weights = sum(
        part**2 / (len(one) - 1) for part, one in zip(parts, (first, second), strict=True)
    )
    fewer = min(len(first), len(second))
    degrees = variance**2 / float(weights) if weights > 0 else fewer - 1
    middle = float(second.mean() - first.mean())
    return settled(
        middle,
        math.sqrt(variance),
        degrees,
        fewer,
        margin,
        difference=DIFFERENCE_ERROR,
        equality=EQUIVALENCE_ERROR,
    )


def corrected(family: Sequence[Comparison]) -> list[Comparison]:
    """Return comparisons with the verdicts that they have as a family.

    Among many comparisons one shows a difference by chance; here the chance that any of those
    given does is 2 %, and that of a false ``equivalent`` 5 %. Each interval is the one that fits
    its verdict.

    Notes
    -----
    Source: S. Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal
    of Statistics 6 (1979), once for the tests of difference and once for those of equivalence.
    """
    differences = _levels([one.difference_p for one in family], DIFFERENCE_ERROR)
    equalities = _levels([one.equivalence_p for one in family], EQUIVALENCE_ERROR)
    return [
        settled(
            math.log(one.ratio),
            one.error,
            one.degrees,
            one.replicates,
            one.margin,
            difference=difference,
            equality=equality,
        )
        for one, difference, equality in zip(family, differences, equalities, strict=True)
    ]


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Return p-values that, each below a level, err as a family with its probability (Holm)."""
    found, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        found[place] = largest
    return found


def _levels(p_values: Sequence[float], error: float) -> list[float]:
    """Return at which level each test passes exactly if its adjusted p-value passes at another."""
    return [
        error * one / together if together > 0 else error / len(p_values)
        for one, together in zip(p_values, adjusted(p_values), strict=True)
    ]


def _logarithms(values: Sequence[float], what: str) -> Array:
    if len(values) < 2 or min(values) <= 0:
        raise RecordError(
            f"A comparison needs at least two {what}, all above 0, got {list(values)!r:.80}."
        )
    return np.log(np.array(values, np.float64))
