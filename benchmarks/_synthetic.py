"""Latencies with known truth: what machines do to them, one effect a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Shape = tuple[int, int, int]
"""Experiments, replicates of each, latencies of each replicate."""
Machine = Callable[[np.random.Generator, Shape], Array]
TYPICAL_NS = 100_000.0


def normal_noise(generator: np.random.Generator, shape: Shape, correlation: float) -> Array:
    """Return noise of variance 1 that depends on the value before (autoregressive, order 1)."""
    fresh = generator.standard_normal(shape)
    if correlation == 0:
        return fresh
    scale = np.sqrt(1 - correlation**2)
    for place in range(1, shape[-1]):
        fresh[..., place] = correlation * fresh[..., place - 1] + scale * fresh[..., place]
    return fresh


def episodes(generator: np.random.Generator, shape: Shape, share: float, length: float) -> Array:
    """Return whether something lasts at each latency: a Markov chain in its steady state.

    ``share`` of all latencies are in such an episode, ``length`` in a row on average.
    """
    inside = np.empty(shape, bool)
    inside[..., 0] = generator.random(shape[:-1]) < share
    end, begin = 1 / length, share / (1 - share) / length
    chance = generator.random(shape)
    for place in range(1, shape[-1]):
        before = inside[..., place - 1]
        inside[..., place] = np.where(before, chance[..., place] >= end, chance[..., place] < begin)
    return inside


def independent(generator: np.random.Generator, shape: Shape) -> Array:
    """Every latency by itself, 5 % about the typical one."""
    return TYPICAL_NS * np.exp(0.05 * normal_noise(generator, shape, 0))


def autocorrelated(generator: np.random.Generator, shape: Shape) -> Array:
    """Each latency depends on those before: 20 of them are worth one."""
    return TYPICAL_NS * np.exp(0.05 * normal_noise(generator, shape, 0.905))


def drifting(generator: np.random.Generator, shape: Shape) -> Array:
    """Each replicate becomes slower or faster by some per cent from begin to end."""
    slopes = 0.03 + 0.03 * generator.standard_normal((*shape[:2], 1))
    course = np.linspace(-0.5, 0.5, shape[-1])
    return TYPICAL_NS * np.exp(slopes * course + 0.03 * normal_noise(generator, shape, 0.5))


def level_shifts(generator: np.random.Generator, shape: Shape) -> Array:
    """Each process has a level of its own, as different as its latencies are."""
    levels = 0.03 * generator.standard_normal((*shape[:2], 1))
    return TYPICAL_NS * np.exp(levels + 0.03 * normal_noise(generator, shape, 0.7))


def bimodal(generator: np.random.Generator, shape: Shape) -> Array:
    """Three in ten latencies are of a slower mode, a dozen in a row."""
    slower = episodes(generator, shape, 0.3, 12)
    return (
        TYPICAL_NS * np.where(slower, 1.3, 1) * np.exp(0.02 * normal_noise(generator, shape, 0.3))
    )


def heavy_tails(generator: np.random.Generator, shape: Shape) -> Array:
    """Three in a hundred latencies are disturbed, in bursts, without a bound (Pareto, 2.5)."""
    disturbed = episodes(generator, shape, 0.03, 3)
    tail = 1 + generator.pareto(2.5, shape)
    noise = np.exp(0.03 * normal_noise(generator, shape, 0.5))
    return TYPICAL_NS * noise * np.where(disturbed, tail, 1)


def all_at_once(generator: np.random.Generator, shape: Shape) -> Array:
    """Level, drift, dependence and bursts together: a busy machine."""
    levels = 0.02 * generator.standard_normal((*shape[:2], 1))
    slopes = 0.02 * generator.standard_normal((*shape[:2], 1)) * np.linspace(-0.5, 0.5, shape[-1])
    disturbed = episodes(generator, shape, 0.03, 3)
    noise = 0.03 * normal_noise(generator, shape, 0.8)
    tail = 1 + 0.3 * generator.pareto(2.5, shape)
    return TYPICAL_NS * np.exp(levels + slopes + noise) * np.where(disturbed, tail, 1)


MACHINES: dict[str, Machine] = {
    "independent": independent,
    "autocorrelated": autocorrelated,
    "drifting": drifting,
    "level shifts": level_shifts,
    "bimodal": bimodal,
    "heavy tails": heavy_tails,
    "all at once": all_at_once,
}


def in_turns(
    generator: np.random.Generator, shape: Shape, ratio: float, *, state: float, own: float
) -> tuple[Array, Array]:
    """Return latencies of A and of B, whose blocks took turns, each of shape (..., turns, count).

    ``shape`` is experiments, pairs of replicates, turns of each; a block has 20 latencies. The
    machine's ``state`` (its deviation) lasts for some blocks, ``own`` is what each replicate has.
    """
    course = state * normal_noise(generator, (*shape[:2], 2 * shape[2]), 0.8)
    course = course.reshape(*shape, 2)
    first = generator.integers(0, 2, shape)
    places = [first, 1 - first]
    series = []
    for place, typical in zip(places, (TYPICAL_NS, TYPICAL_NS * ratio), strict=True):
        there = np.take_along_axis(course, place[..., None], axis=-1)
        levels = own * generator.standard_normal((*shape[:2], 1, 1))
        noise = 0.01 * generator.standard_normal((*shape, 20))
        series.append(typical * np.exp(there + levels + noise))
    return series[0], series[1]
