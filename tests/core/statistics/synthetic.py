"""Latencies with known truth, those of benchmarks/honesty.py, and how often something holds."""

import importlib.util
from pathlib import Path

import numpy as np

_PATH = Path(__file__).parents[3] / "benchmarks/_synthetic.py"
_SPEC = importlib.util.spec_from_file_location("synthetic", _PATH)
machines = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(machines)


def latencies(name, experiments, replicates, count, seed=0):
    """Latencies of a machine, of shape (experiments, replicates, count)."""
    generator = np.random.default_rng(seed)
    return machines.MACHINES[name](generator, (experiments, replicates, count))


def truth(name, figure, count, seed=1):
    """A figure of all the replicates that a machine could run."""
    return figure(latencies(name, 1, 2000, count, seed)[0])


def covered(intervals, value):
    """In which share of experiments the interval held the truth."""
    return np.mean([low <= value <= high for low, high in intervals])
