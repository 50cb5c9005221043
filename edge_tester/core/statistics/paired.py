"""A model and its conversion on the same samples: is one right more often than the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import msgspec
import numpy as np

from edge_tester.core.errors import RecordError
from edge_tester.core.statistics.distributions import CONFIDENCE, binomial_at_most


class PairedAnswers(msgspec.Struct, frozen=True, kw_only=True):
    """How two models answered the same samples.

    Attributes
    ----------
    samples : int
        At least 1.
    now_right : int
        Answered wrongly by the first and rightly by the second.
    now_wrong : int
        Answered rightly by the first and wrongly by the second.
    """

    samples: int
    now_right: int
    now_wrong: int

    @property
    def loss(self) -> float:
        """Accuracy of the first minus that of the second, from -1 to 1."""
        return (self.now_wrong - self.now_right) / self.samples

    @property
    def p_value(self) -> float:
        """Probability of so unequal numbers where both are right equally often.

        Notes
        -----
        The exact test, two-sided, of Q. McNemar, "Note on the Sampling Error of the Difference
        between Correlated Proportions or Percentages", Psychometrika 12 (1947).
        """
        changed = self.now_right + self.now_wrong
        return min(1.0, 2 * binomial_at_most(min(self.now_right, self.now_wrong), changed, 0.5))

    @property
    def difference_shown(self) -> bool:
        """Whether one of the two is shown to be right more often."""
        return self.p_value < 1 - CONFIDENCE

    @property
    def largest_loss(self) -> float:
        """The loss of accuracy that is not ruled out at 95 %, from 0 to 1; none is larger.

        Notes
        -----
        One-sided score interval of the difference of paired shares, which is right where few
        samples or none changed too. Source: T. Tango, "Equivalence Test and Confidence Interval
        for the Difference in Proportions for the Paired-Sample Design", Statistics in Medicine 17
        (1998).
        """
        return max(0.0, self._bound(-NormalDist().inv_cdf(CONFIDENCE)))

    @property
    def least_loss(self) -> float:
        """The loss of accuracy that is shown at 95 %, from -1 to 1; the same method."""
        return self._bound(NormalDist().inv_cdf(CONFIDENCE))

    def _bound(self, score: float) -> float:
        """Return the true loss at which what was seen has this score, which falls with it."""
        low, high = -1.0, 1.0
        while high - low > 1e-9:
            middle = (low + high) / 2
            low, high = (middle, high) if self._score(middle) > score else (low, middle)
        return high

    def _score(self, loss: float) -> float:
        """Return by how many standard errors the loss seen is above a true one (Tango's z)."""
        count, gained, lost = self.samples, self.now_right, self.now_wrong
        a, b = 2 * count, (2 * count - lost + gained) * loss - lost - gained
        c = -gained * loss * (1 - loss)
        share = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
        variance = count * (2 * share + loss * (1 - loss))
        distance = lost - gained - count * loss
        return distance / math.sqrt(variance) if variance > 0 else math.copysign(0.0, distance)

    def sentence(self, first: str = "the model", second: str = "its conversion") -> str:
        """Say it to somebody who must decide on it.

        Parameters
        ----------
        first, second : str
            Names of the two.
        """
        changed = (
            f"of {self.samples:,} samples, {self.now_right:,} are now right and "
            f"{self.now_wrong:,} now wrong"
        )
        bound = f"a loss of more than {100 * self.largest_loss:.2f} points is ruled out at 95 %"
        if not self.difference_shown:
            return (
                f"No difference in accuracy shown between {first} and {second}: {changed}; {bound}."
            )
        word = "less" if self.loss > 0 else "more"
        return (
            f"The accuracy of {second} is {100 * abs(self.loss):.2f} points {word} than that of "
            f"{first}: {changed}; {bound}."
        )


def paired_answers(first: Sequence[bool], second: Sequence[bool]) -> PairedAnswers:
    """Count how two models answered the same samples.

    Parameters
    ----------
    first, second : sequences of bool, of the same length
        Whether each answer was right.

    Raises
    ------
    RecordError
        No samples, or not the same number of them.
    """
    if len(first) != len(second) or len(first) == 0:
        raise RecordError(
            f"Paired answers need the same samples of both, got {len(first)} and {len(second)}."
        )
    one, other = np.asarray(first, bool), np.asarray(second, bool)
    return PairedAnswers(
        samples=len(one),
        now_right=int((~one & other).sum()),
        now_wrong=int((one & ~other).sum()),
    )
