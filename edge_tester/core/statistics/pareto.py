"""Pareto fronts of two objectives: exact, and how sure membership is."""

from __future__ import annotations

import numpy as np

from edge_tester.core.errors import RecordError
from edge_tester.core.tensors import Array


def on_front(points: Array) -> Array:
    """Tell which points no other point dominates.

    Parameters
    ----------
    points : ndarray of float, of shape (..., n, 2)
        Both are better where they are smaller. Leading axes are fronts of their own.

    Returns
    -------
    ndarray of bool, of shape (..., n)
        One point dominates another that it is nowhere worse than and somewhere better. Of equal
        points none dominates the other.

    Notes
    -----
    Source: K. Miettinen, "Nonlinear Multiobjective Optimization", 1999, definition 2.2.1.
    """
    ours, theirs = points[..., :, None, :], points[..., None, :, :]
    dominated = (theirs <= ours).all(-1) & (theirs < ours).any(-1)
    return np.asarray(~dominated.any(-1))


def membership(points: Array) -> Array:
    """Return in what part of draws each point is on the front.

    Parameters
    ----------
    points : ndarray of float, of shape (draws, n, 2)
        What the n points may be, drawn together.

    Returns
    -------
    ndarray of float, of shape (n,)
        0 to 1.
    """
    # One draw at a time, since each compares all pairs.
    counts = sum((on_front(draw).astype(float) for draw in points), np.zeros(points.shape[1]))
    return counts / len(points)


def hypervolume(points: Array, reference: tuple[float, float]) -> float:
    """Return the area that points dominate, up to a reference.

    Parameters
    ----------
    points : ndarray of float, of shape (n, 2)
        Both are better where they are smaller.
    reference : (float, float)
        Points that are not below it in both add nothing.

    Raises
    ------
    RecordError
        A coordinate of the reference is no finite number.

    Notes
    -----
    Source: E. Zitzler & L. Thiele, "Multiobjective Optimization Using Evolutionary Algorithms - A
    Comparative Case Study", PPSN V, 1998, section 3.2: the size of the space covered.
    """
    if not np.isfinite(reference).all():
        raise RecordError(f"The reference of a hypervolume must be finite, got {reference}.")
    inside = points[(points < reference).all(1)] if len(points) else points
    area, height = 0.0, reference[1]
    # From left to right; each adds what lies between its own height and the lowest before.
    for x, y in sorted(map(tuple, inside)):
        if y < height:
            area += (reference[0] - x) * (height - y)
            height = y
    return float(area)
