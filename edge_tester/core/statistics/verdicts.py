"""What a comparison comes to: a verdict, and the sentence that says it."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Final, Literal

import msgspec

from edge_tester.core.statistics.distributions import CONFIDENCE, student_quantile, student_tail

Verdict = Literal["faster", "slower", "equivalent", "unknown"]
DIFFERENCE_ERROR: Final = 0.02
"""How often two of the same are told apart: by a wrong sign once in a hundred."""
EQUIVALENCE_ERROR: Final = 1 - CONFIDENCE
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
        That of the interval, by which the verdict holds: 0.95 for ``equivalent``, 0.98 for the
        others, and more in a family of comparisons.
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


def settled(
    middle: float,
    error: float,
    degrees: float,
    replicates: int,
    margin: float,
    *,
    difference: float,
    equality: float,
) -> Comparison:
    """Judge an estimate of the ratio's logarithm.

    Parameters
    ----------
    middle, error, degrees : float
        The estimate, its standard error and the degrees of freedom of that.
    replicates : int
        From how many of each it is.
    margin : float
        Relative difference that does not matter.
    difference, equality : float
        Errors allowed of the test that there is a difference, and that it is within the margin.
    """
    limit = math.log1p(margin)
    equivalence_p = min(1.0, 2 * _tail(limit - abs(middle), error, degrees))
    difference_p = min(1.0, 2 * _tail(abs(middle), error, degrees))
    verdict: Verdict = "unknown"
    allowed, more = min(difference, equality), None
    if equivalence_p < equality:
        verdict, allowed = "equivalent", equality
    elif difference_p < difference:
        verdict, allowed = "slower" if middle > 0 else "faster", difference
    else:
        needed = min(
            _needed(abs(middle), difference, _POWER, error, degrees, replicates),
            # Either of two tests may fail.
            _needed(limit - abs(middle), equality, (1 + _POWER) / 2, error, degrees, replicates),
        )
        more = None if needed >= _MOST_REPLICATES else max(1, needed - replicates)
    half = student_quantile(1 - allowed / 2, degrees) * error
    return Comparison(
        ratio=math.exp(middle),
        low=math.exp(middle - half),
        high=math.exp(middle + half),
        confidence=1 - allowed,
        verdict=verdict,
        margin=margin,
        difference_p=difference_p,
        equivalence_p=equivalence_p,
        replicates=replicates,
        more=more,
        error=error,
        degrees=degrees,
    )


def _tail(distance: float, error: float, degrees: float) -> float:
    """Return how probable an estimate is so far beyond what is tested."""
    if error == 0:
        return 0.0 if distance > 0 else 0.5 if distance == 0 else 1.0
    return student_tail(distance / error, degrees)


def _needed(
    distance: float, allowed: float, power: float, error: float, degrees: float, replicates: int
) -> int:
    """Return with how many replicates a test would pass with a probability.

    Notes
    -----
    Source: S. Julious, "Sample Sizes for Clinical Trials with Normal Data", Statistics in Medicine
    23 (2004), with the quantiles of t that the resulting number has.
    """
    if distance <= 0:
        return _MOST_REPLICATES
    spread, count, freedom = error * math.sqrt(replicates), 2, math.inf
    for _ in range(_STEPS):
        quantiles = _quantile(1 - allowed / 2, freedom) + _quantile(power, freedom)
        count = max(2, math.ceil((quantiles * spread / distance) ** 2))
        freedom = degrees * (count - 1) / (replicates - 1)
    return count


def _quantile(probability: float, degrees: float) -> float:
    if degrees > _LIKE_NORMAL:
        return NormalDist().inv_cdf(probability)
    return student_quantile(probability, degrees)


def _span(low: float, high: float) -> str:
    """Say by how much two ratios, which may be the same, are above or below 1."""
    ends = sorted([100 * (low - 1), 100 * (high - 1)], key=abs)
    texts = [f"{abs(end):.2f}" if abs(end) < 10 else f"{abs(end):,.1f}" for end in ends]
    words = ["more" if end >= 0 else "less" for end in ends]
    if low == high:
        return f"{texts[0]} % {words[0]}"
    if words[0] == words[1]:
        return f"{texts[0]} to {texts[1]} % {words[0]}"
    return f"between {texts[words.index('less')]} % less and {texts[words.index('more')]} % more"
