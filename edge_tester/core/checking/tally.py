"""How near one tensor comes to another, over samples that are seen one at a time.

The signal-to-quantization-noise ratio (SQNR) is ten times the decimal logarithm of the power of the
expected values over that of the differences [dB]. Source: A. V. Oppenheim and R. W. Schafer,
"Discrete-Time Signal Processing", 3rd edition, section 4.8.
"""

from __future__ import annotations

import math

import numpy as np

from edge_tester.core.tensors import Array

MOST_DB = 160.0
"""Ratios end here, and at minus this: no noise in float32, no signal."""


class Tally:
    """Sums over samples, of which nothing else is kept."""

    def __init__(self) -> None:
        self.signal = self.noise = self.product = self.power = 0.0
        self.largest = self.largest_difference = 0.0
        self.values = self.not_finite = 0
        self.lowest, self.highest = math.inf, -math.inf

    def see(self, expected: Array, got: Array) -> None:
        """Add one sample.

        Parameters
        ----------
        expected, got : ndarray of as many values, in the same order
        """
        wanted, found = (np.ravel(one).astype(np.float64) for one in (expected, got))
        finite = np.isfinite(wanted)
        broken = finite & ~np.isfinite(found)
        self.not_finite += int(broken.sum())
        both = finite & np.isfinite(found)
        wanted, found = wanted[both], found[both]
        difference = wanted - found
        self.values += wanted.size
        self.signal += float(wanted @ wanted)
        self.power += float(found @ found)
        self.product += float(wanted @ found)
        self.noise += float(difference @ difference)
        self.lowest = min(self.lowest, float(wanted.min(initial=math.inf)))
        self.highest = max(self.highest, float(wanted.max(initial=-math.inf)))
        self.largest = max(self.largest, float(np.abs(wanted).max(initial=0.0)))
        most = float(np.abs(difference).max(initial=0.0))
        self.largest_difference = max(self.largest_difference, most)

    @property
    def sqnr_db(self) -> float:
        """Signal over noise, within :data:`MOST_DB` of 0; of values not finite, the least."""
        if self.not_finite:
            return -MOST_DB
        if self.noise == 0.0:
            return MOST_DB
        if self.signal == 0.0:
            return -MOST_DB
        return min(MOST_DB, max(-MOST_DB, 10 * math.log10(self.signal / self.noise)))

    @property
    def span(self) -> float:
        """Largest less smallest of the expected values."""
        return self.highest - self.lowest if self.values else 0.0

    @property
    def cosine(self) -> float | None:
        """Cosine of the angle between both, None where one of them is zero."""
        size = math.sqrt(self.signal * self.power)
        return max(-1.0, min(1.0, self.product / size)) if size else None

    @property
    def rms_difference(self) -> float:
        """Root of the mean squared difference."""
        return math.sqrt(self.noise / self.values) if self.values else 0.0
