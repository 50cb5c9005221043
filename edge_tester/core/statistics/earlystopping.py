"""MLPerf's early-stopping estimate of a percentile, for those who must report it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from edge_tester.core.statistics.distributions import binomial_at_most
from edge_tester.core.tensors import Array

LOADGEN_CONFIDENCE: Final = 0.99


def early_stopping_estimate(
    latency_ns: Sequence[float] | Array, fraction: float, confidence: float = LOADGEN_CONFIDENCE
) -> float | None:
    """Return the latency that LoadGen reports for a percentile.

    Parameters
    ----------
    latency_ns : sequence of numbers or ndarray of shape (count,)
        One latency per query [ns].
    fraction : float
        Such as 0.9 for SingleStream, 0.99 for MultiStream.
    confidence : float
        LoadGen's is 0.99.

    Returns
    -------
    float or None
        An upper bound of the percentile *if latencies are independent of each other*. They are
        not: it holds much less often than the confidence says. None if there are too few; 64 are
        enough for the 90th percentile, 662 for the 99th.

    Notes
    -----
    The t-th largest latency, with the largest t such that t or fewer latencies above the percentile
    would have a probability below 1 - confidence. Source: MLCommons LoadGen,
    ``loadgen/early_stopping.cc`` and ``PerformanceSummary::EarlyStopping`` in
    ``loadgen/results.cc``, without tolerance, as there.
    """
    count = len(latency_ns)
    if not _allowed(1, count, fraction, confidence):
        return None
    low, high = 1, count
    while high - low > 1:
        middle = (low + high) // 2
        enough = _allowed(middle, count, fraction, confidence)
        low, high = (middle, high) if enough else (low, middle)
    found: float = np.partition(np.asarray(latency_ns), count - low)[count - low].item()
    return found


def _allowed(above: int, count: int, fraction: float, confidence: float) -> bool:
    """Return whether so many latencies may lie above what is reported."""
    return binomial_at_most(above, count, 1 - fraction) < 1 - confidence
