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
<<<<<<< HEAD
_ERROR: Final = 1 - CONFIDENCE
_POWER: Final = 0.8
_MOST_REPLICATES: Final = 1_000_000
_LIKE_NORMAL: Final = 1000
_STEPS: Final = 5


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of B's time divided by A's.

    Attributes
    ----------
    ratio : float
        Geometric mean; above 1 where B is slower.
    low, high : float
        Its interval.
    confidence : float
        That of the interval: 0.95, or more where it is one of a family (:func:`corrected`).
    verdict : str
        ``equivalent``: the whole interval lies within the margin, even where it does not hold 1 and
        so shows a small difference. ``faster`` or ``slower``: B is, as the interval does not hold 1
        and reaches beyond the margin. ``unknown``: neither.
    margin : float
        Relative, such as 0.02: from 1 / 1.02 to 1.02 is within.
    difference_p : float
        Of the test that the ratio is 1.
    equivalence_p : float
        Of two one-sided tests that the ratio lies beyond the margin: twice the larger, so that
        below 0.05 means that the 95 % interval lies within.
    replicates : int
        Pairs; of replicates that were measured apart, those of A or of B, whichever are fewer.
    more : int or None
        About how many further replicates of each would give a verdict in 80 % of cases or more, if
        ratio and spread are what they seem. None but for ``unknown``.
    error, degrees : float
        Standard error of the ratio's logarithm, and its degrees of freedom.
    """

    ratio: float
    low: float
    high: float
    confidence: float
    verdict: Verdict
    margin: float
    difference_p: float
    equivalence_p: float
    replicates: int
    more: int | None
    error: float
    degrees: float

    @property
    def difference_shown(self) -> bool:
        """Whether the interval does not hold 1, however small the difference is."""
        return not self.low <= 1 <= self.high

    def one_sided(self) -> tuple[float, float]:
        """Return two bounds of the ratio, each of which alone holds at 95 %."""
        half = student_quantile(CONFIDENCE, self.degrees) * self.error
        return self.ratio * math.exp(-half), self.ratio * math.exp(half)

    def sentence(self, a: str = "A", b: str = "B") -> str:
        """Say it to somebody who must decide on it.

        Parameters
        ----------
        a, b : str
            Names of the two.
        """
        interval = f"{100 * self.confidence:.3g} % interval"
        span, margin = _span(self.low, self.high), f"the margin of {100 * self.margin:.3g} %"
        if self.verdict == "equivalent":
            shown = "a difference, but one" if self.difference_shown else "all"
            return (
                f"{a} and {b} are equivalent: {b} takes {span} time ({interval}), {shown} within "
                f"{margin}."
            )
        if self.verdict == "unknown":
            needs = "more" if self.more is None else f"about {self.more:,} more"
            return (
                f"It is not known whether {a} or {b} is faster: {b} takes {span} time "
                f"({interval}), which shows neither a difference nor that it is within {margin}. "
                f"It needs {needs} replicates of each."
            )
        if self.ratio >= 2:
            return (
                f"{b} is slower than {a}: it takes {self.ratio:.2f} times as long ({interval}: "
                f"{self.low:.2f} to {self.high:.2f} times)."
            )
        nearer = min(abs(math.log(self.low)), abs(math.log(self.high)))
        doubt = "" if nearer > math.log1p(self.margin) else f" It may be less than {margin}."
        return (
            f"{b} is {self.verdict} than {a}: it takes {_span(self.ratio, self.ratio)} time "
            f"({interval}: {span}).{doubt}"
        )
=======
>>>>>>> statistics


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
    logarithms = np.log(ratios)
    means = (logarithms[:, np.newaxis] + logarithms) / 2
    return math.exp(np.median(means[np.triu_indices(len(means))]))


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
