"""Runtimes that tell times of operators, right or wrong, in an agent or in a test."""

import ctypes
import time

from edge_tester.core.options import option
from edge_tester.core.profiles import OperatorTime, Profile, Profiles, told
from edge_tester.core.tensors import require_fitting
from edge_tester.runtimes.echo import EchoRuntime


def operators(*times_ns, **facts):
    return [
        OperatorTime(place=place, type=f"Op{place}", time_ns=time_ns, **facts)
        for place, time_ns in enumerate(times_ns)
    ]


class ProfilingEcho(Profiles, EchoRuntime):
    """Tells of two operators; in its profile it does what ``fault`` says."""

    fault: str = option("none", help="What goes wrong")

    def load(self, path, batch_size):
        specs = super().load(path, batch_size)
        self._specs = specs[0]
        return specs

    def profile(self, inputs, count):
        require_fitting(self, self._specs, inputs)
        return FAULTS[self.fault](count)


def _good(count):
    return told("a test", operators(200_000, 100_000, shapes=[[1, 4]], delegate="cpu"), count)


def _crash(count):
    ctypes.string_at(0)


def _error(count):
    raise ValueError("the profiler is upside down")


def _none(count):
    return None


def _huge(count):
    return told("a test", operators(*range(70_000), name="x" * 99), count)


def _nonsense(count):
    return Profile(tool="a test", operators=operators(1)[:1] * 2, inferences=count)


def _escapes(count):
    return Profile(tool="a test\x1b[2J", operators=operators(1, name="y" * 999), inferences=count)


def _hang(count):
    time.sleep(60)


FAULTS = {
    "none": _good,
    "crash": _crash,
    "error": _error,
    "no profile": _none,
    "huge": _huge,
    "nonsense": _nonsense,
    "escapes": _escapes,
    "hang": _hang,
}
