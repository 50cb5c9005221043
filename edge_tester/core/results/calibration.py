"""What a machine's own noise makes of comparisons: the same model compared with itself."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from edge_tester.core.errors import RecordError
from edge_tester.core.record import RunRecord
from edge_tester.core.results.verdicts import medians_ns, ratios_of
from edge_tester.core.statistics.comparing import compare_pairs
from edge_tester.core.statistics.distributions import student_quantile
from edge_tester.core.statistics.intervals import replicate_interval
from edge_tester.core.statistics.verdicts import DIFFERENCE_ERROR
from edge_tester.core.tensors import Array

_SELECTIONS: Final = 2000
_POWER: Final = 0.8
_SIZES: Final = (5, 10, 20, 40)


class Detectable(msgspec.Struct, frozen=True):
    """The smallest change that is called faster or slower in 80 % of comparisons.

    Attributes
    ----------
    pairs : int
        Of replicates.
    change : float
        Relative.
    duration_s : float
        Time that so many pairs take [s].
    """

    pairs: int
    change: float
    duration_s: float


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """What comparing a model with itself came to.

    Attributes
    ----------
    pairs : int
        Of replicates that were measured.
    replicates : int
        Of each comparison and interval that was judged.
    false_alarms : float
        Share of comparisons that called it faster or slower than itself.
    coverage : float
        Share of intervals that held the median of all replicates.
    spread : float
        Standard deviation of the logarithm of a pair's ratio.
    detectable : list of Detectable
    """

    pairs: int
    replicates: int
    false_alarms: float
    coverage: float
    spread: float
    detectable: list[Detectable]


def calibrated(
    first: RunRecord,
    second: RunRecord,
    *,
    replicates: int,
    margin: float,
    duration_s: float,
    seed: int = 0,
) -> Calibration:
    """Judge comparisons by two runs of the same model, which were measured together.

    Parameters
    ----------
    first, second : RunRecord
    replicates : int
        Of a comparison: so many of those that were measured are drawn again and again.
    margin : float
        Relative difference that does not matter.
    duration_s : float
        How long all pairs took [s].
    seed : int

    Raises
    ------
    RecordError
        They have fewer pairs than a comparison.

    Notes
    -----
    Both are the same, so in each pair either might have been the first: the sign of the logarithm
    of each ratio is drawn too, as in a permutation test (R. A. Fisher, "The Design of Experiments",
    1935, section 21). What was drawn overlaps, so shares are known to a few percent.
    """
    ratios = ratios_of(first, second)
    if ratios is None or len(ratios) < replicates:
        raise RecordError(
            f"A calibration needs at least {replicates} pairs of replicates, got "
            f"{len(ratios or [])}."
        )
    generator = np.random.default_rng(seed)
    logarithms: Array = np.log(ratios)
    medians: Array = np.array(medians_ns(first) + medians_ns(second))
    typical = float(np.median(medians))
    alarms = held = 0
    for _ in range(_SELECTIONS):
        drawn = generator.choice(logarithms, replicates, replace=False)
        signs = generator.choice([-1.0, 1.0], replicates)
        alarms += compare_pairs(np.exp(signs * drawn).tolist(), margin).verdict in (
            "faster",
            "slower",
        )
        interval = replicate_interval(generator.choice(medians, replicates, replace=False).tolist())
        held += interval is not None and interval[0] <= typical <= interval[1]
    # Two of the same have no difference but noise.
    spread = float(np.sqrt((logarithms**2).mean()))
    return Calibration(
        pairs=len(ratios),
        replicates=replicates,
        false_alarms=alarms / _SELECTIONS,
        coverage=held / _SELECTIONS,
        spread=spread,
        detectable=[
            Detectable(pairs, _detectable(spread, pairs), duration_s * pairs / len(ratios))
            for pairs in _SIZES
        ],
    )


def _detectable(spread: float, pairs: int) -> float:
    """Return the relative change that is shown in 80 % of comparisons of so many pairs.

    Notes
    -----
    Source: S. Julious, "Sample Sizes for Clinical Trials with Normal Data", Statistics in Medicine
    23 (2004), equation 6, with quantiles of t for those of the normal distribution.
    """
    reach = student_quantile(1 - DIFFERENCE_ERROR / 2, pairs - 1) + student_quantile(
        _POWER, pairs - 1
    )
    return float(np.expm1(reach * spread / np.sqrt(pairs)))
