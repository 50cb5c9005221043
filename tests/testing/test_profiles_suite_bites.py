"""The suite of runtimes that profile rejects those that are bad in one way each."""

import inspect

import numpy as np
import pytest

from edge_tester.core.errors import EdgeTesterError
from edge_tester.core.profiles import Profiles, told
from edge_tester.core.runtime import Runtime
from edge_tester.runtimes.echo import EchoRuntime
from edge_tester.testing import ProfilesConformance
from tests.agents import echo_model
from tests.profiling_runtimes import ProfilingEcho, operators

INFERENCE_NS = 300_000


class NumpySpeaking(ProfilingEcho):
    """Tells of numpy's numbers."""

    def profile(self, inputs, count):
        super().profile(inputs, count)
        return told("a test", operators(np.int64(200_000), 100_000), count)


class Scrambled(ProfilingEcho):
    """Tells the operators in no order."""

    def profile(self, inputs, count):
        found = super().profile(inputs, count)
        found.operators.reverse()
        return found


class OfAllInferences(ProfilingEcho):
    """Adds up the times of all inferences."""

    def profile(self, inputs, count):
        super().profile(inputs, count)
        return told("a test", operators(200_000 * count, 100_000 * count), count)


class MoreThanTheWhole(ProfilingEcho):
    """Counts what calls others with these."""

    def profile(self, inputs, count):
        super().profile(inputs, count)
        times_ns = operators(300_000, 200_000, 100_000)
        return told("a test", times_ns, count, whole_ns=INFERENCE_NS)


class Forgetful(ProfilingEcho):
    """Tells of another operator each time."""

    def profile(self, inputs, count):
        super().profile(inputs, count)
        return told("a test", operators(*[INFERENCE_NS // 20] * min(20, 1 + count)), count)


class Answering(ProfilingEcho):
    """Leaves its own answer behind."""

    def profile(self, inputs, count):
        self._outputs[0] = inputs[0].copy()
        return super().profile(inputs, count)


class Feeding(ProfilingEcho):
    """Leaves its own inputs behind."""

    def profile(self, inputs, count):
        self._inputs = inputs
        return super().profile(inputs, count)


class Writing(ProfilingEcho):
    """Computes in memory that is not its own."""

    def profile(self, inputs, count):
        inputs[0][:] = 0
        return super().profile(inputs, count)


class StillOn(ProfilingEcho):
    """Never ends its profiler."""

    def profile(self, inputs, count):
        self._inference_ns *= 5
        return super().profile(inputs, count)


class Careless(ProfilingEcho):
    """Looks at no input."""

    def profile(self, inputs, count):
        return told("a test", operators(200_000, 100_000), count)


class Silent(ProfilingEcho):
    """Tells nothing, and not why."""

    def profile(self, inputs, count):
        super().profile(inputs, count)
        return told("", operators(200_000, 100_000), count)


class Backwards(EchoRuntime, Profiles):
    """Has the capability behind the runtime."""


@pytest.fixture
def values(tmp_path):
    path = echo_model(tmp_path, 4, INFERENCE_NS).path
    return {"model_file": path, "sample": [np.array([[1, 2, 3, 4]], np.uint8)]}


def check(plugin, name, values):
    """Run one check of the suite on a plugin, as pytest would."""
    chosen = type("Chosen", (ProfilesConformance,), {"cls": plugin})()
    if "loaded" in inspect.signature(getattr(chosen, name)).parameters:
        runtime = plugin()
        runtime.prepare()
        runtime.load(values["model_file"], 1)
        values = {**values, "loaded": runtime}
    method = getattr(chosen, name)
    method(**{wanted: values[wanted] for wanted in inspect.signature(method).parameters})


OWN = [name for name in vars(ProfilesConformance) if name.startswith("test_")]


@pytest.mark.parametrize("name", OWN)
def test_good_runtime_passes(name, values):
    check(ProfilingEcho, name, values)


@pytest.mark.parametrize(
    ("plugin", "name"),
    [
        (Backwards, "test_is_a_runtime_that_profiles"),
        (EchoRuntime, "test_is_a_runtime_that_profiles"),
        (Careless, "test_refuses_inputs_that_do_not_fit"),
        (NumpySpeaking, "test_tells_times_that_can_be_kept"),
        (Scrambled, "test_tells_times_that_can_be_kept"),
        (Silent, "test_tells_times_that_can_be_kept"),
        (OfAllInferences, "test_times_are_those_of_an_inference"),
        (MoreThanTheWhole, "test_times_are_those_of_an_inference"),
        (Forgetful, "test_tells_the_same_operators_again"),
        (Answering, "test_changes_no_answer"),
        (Feeding, "test_changes_no_answer"),
        (Writing, "test_leaves_inputs_and_file_alone"),
        (StillOn, "test_is_off_afterwards"),
    ],
)
def test_bad_runtime_is_rejected(plugin, name, values):
    refused = (AssertionError, EdgeTesterError, TypeError, ValueError, pytest.fail.Exception)
    with pytest.raises(refused):
        check(plugin, name, values)


def test_what_comes_too_early_is_refused_for_a_runtime_that_does_not_look(values):
    check(Careless, "test_refuses_to_profile_without_a_model", values)
    bare = type("Bare", (Careless,), {})
    bare.profile = inspect.unwrap(Careless.profile)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        check(bare, "test_refuses_to_profile_without_a_model", values)
    assert issubclass(bare, Runtime)
