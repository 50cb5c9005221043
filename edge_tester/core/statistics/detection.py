"""Average precision of detections, and how much it would differ on other pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from edge_tester.core.statistics.distributions import CONFIDENCE
from edge_tester.core.statistics.intervals import Interval
from edge_tester.core.tensors import Array

OVERLAPS: Final = np.round(np.arange(0.5, 1.0, 0.05), 2)
"""Overlaps (intersection over union) from which on a detection counts, of COCO."""
MOST_DETECTIONS: Final = 100
"""Of a class in a picture, those with the highest scores."""
_RECALLS: Final = np.linspace(0, 1, 101)
_RESAMPLES, _FEWEST = 200, 50


class Matched(NamedTuple):
    """What became of the detections of one class in some pictures.

    Attributes
    ----------
    scores : ndarray of shape (detections,)
    hits : ndarray of bool, shape (detections, 10)
        Whether each found an object, by the overlaps of :data:`OVERLAPS`.
    pictures : ndarray of int, shape (detections,)
    objects : ndarray of int, shape (pictures,)
        How many there are in each picture.
    """

    scores: Array
    hits: Array
    pictures: Array
    objects: Array


class Precision(NamedTuple):
    """Mean average precision, 0 to 1; None where there are no objects.

    Attributes
    ----------
    all : float or None
        Mean over the overlaps from 0.50 to 0.95.
    half : float or None
        At the overlap 0.50.
    """

    all: float | None
    half: float | None


def overlaps(mine: Array, theirs: Array) -> Array:
    """Return intersection over union of boxes, each with each.

    Parameters
    ----------
    mine, theirs : ndarray of shape (n, 4) and (m, 4)
        Top, left, bottom, right.

    Returns
    -------
    ndarray of shape (n, m)
    """
    low = np.maximum(mine[:, np.newaxis, :2], theirs[np.newaxis, :, :2])
    high = np.minimum(mine[:, np.newaxis, 2:], theirs[np.newaxis, :, 2:])
    shared = np.maximum(high - low, 0).prod(axis=2)
    sizes = [np.maximum(one[:, 2:] - one[:, :2], 0).prod(axis=1) for one in (mine, theirs)]
    union = sizes[0][:, np.newaxis] + sizes[1] - shared
    found: Array = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return found


def matched(scores: Array, boxes: Array, objects: Array) -> tuple[Array, Array]:
    """Give objects of one class in one picture to its detections.

    Returns
    -------
    scores : ndarray of shape (detections,)
        Descending, at most :data:`MOST_DETECTIONS`.
    hits : ndarray of bool, shape (detections, 10)
        Whether each found an object that no detection with a higher score had found.

    Notes
    -----
    Each takes the object that it overlaps most among those left. Source: COCO's detection
    evaluation, T.-Y. Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014, and
    ``evaluateImg`` of its tools.
    """
    order = np.argsort(-scores, kind="stable")[:MOST_DETECTIONS]
    hits = np.zeros((len(order), len(OVERLAPS)), bool)
    if len(objects):
        shared = overlaps(boxes[order], objects)
        for place, least in enumerate(OVERLAPS):
            free = np.ones(len(objects), bool)
            for number in range(len(order)):
                best = int(np.argmax(np.where(free, shared[number], -1.0)))
                if free[best] and shared[number, best] >= least:
                    free[best], hits[number, place] = False, True
    return scores[order], hits


def mean_average_precision(classes: Sequence[Matched], weights: Array | None = None) -> Precision:
    """Return the mean over the classes that have objects.

    Parameters
    ----------
    classes : sequence of Matched
    weights : ndarray of int, shape (pictures,), optional
        How often each picture counts; once by default.

    Notes
    -----
    Of each class and overlap the precision at 101 recalls from 0 to 1, each the highest one at that
    recall or a higher one, and their mean; as COCO's tools (``accumulate``).
    """
    found = [_average_precision(one, weights) for one in classes]
    known = [one for one in found if one is not None]
    if not known:
        return Precision(None, None)
    each = np.array(known)
    return Precision(float(each.mean()), float(each[:, 0].mean()))


def precision_intervals(
    classes: Sequence[Matched], seed: int = 0
) -> tuple[Interval | None, Interval | None]:
    """Return the 95 % intervals of both figures of :class:`Precision`, None for few pictures.

    Notes
    -----
    The basic bootstrap over pictures, which mirrors the quantiles at the figure: A. C. Davison & D.
    V. Hinkley, "Bootstrap Methods and their Application", 1997, section 5.2. Average precision is
    too high in few pictures, and in resamples once more, so that their quantiles themselves held
    the figure of very many pictures in 57 to 85 % of simulated cases (60 and 200 pictures), these
    in 87 to 93 %.
    """
    pictures = len(classes[0].objects) if classes else 0
    if pictures < _FEWEST:
        return None, None
    generator = np.random.default_rng(seed)
    weights = generator.multinomial(pictures, np.full(pictures, 1 / pictures), _RESAMPLES)
    found = [mean_average_precision(classes, one) for one in weights]
    kept = [(one.all, one.half) for one in found if one.all is not None]
    if not kept:
        return None, None
    tail = (1 - CONFIDENCE) / 2
    seen = np.array(mean_average_precision(classes), np.float64)
    ends = 2 * seen - np.quantile(np.array(kept, np.float64), [1 - tail, tail], axis=0)
    low, high = np.clip(ends, 0.0, 1.0)
    return (float(low[0]), float(high[0])), (float(low[1]), float(high[1]))


def _average_precision(one: Matched, weights: Array | None) -> Array | None:
    """Return it for each overlap, None where the class has no objects."""
    counts = np.ones(len(one.objects), np.int64) if weights is None else weights
    objects = int(one.objects @ counts)
    if not objects:
        return None
    order = np.argsort(-one.scores, kind="stable")
    times = counts[one.pictures[order]][:, np.newaxis]
    hits = (one.hits[order] * times).cumsum(axis=0)
    all_ = times.cumsum(axis=0)
    precision = np.divide(hits, all_, out=np.zeros(hits.shape), where=all_ > 0)
    # The highest precision at this recall or a higher one.
    highest = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    recall = hits / objects
    found = np.zeros(len(OVERLAPS))
    for place in range(len(OVERLAPS)):
        begins = np.searchsorted(recall[:, place], _RECALLS, side="left")
        reached = begins < len(recall)
        found[place] = highest[begins[reached], place].sum() / len(_RECALLS)
    return found
