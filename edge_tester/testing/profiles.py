"""The conformance suite of runtimes that tell the time of each operator."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from edge_tester.core.errors import InputError, RuntimeStateError
from edge_tester.core.profiles import Profile, Profiles
from edge_tester.core.run.heard import profile_in
from edge_tester.core.runtime import Runtime
from edge_tester.core.system.files import sha256_of
from edge_tester.core.tensors import Array
from edge_tester.core.wire.payloads import decode, encode
from edge_tester.testing.plugin import PluginConformance

_INFERENCES = 20
# How many times the whole its operators may take together: a profiler takes time itself.
_MOST_OF_WHOLE = 3
# Later inferences may take this many times as long as earlier ones, and this much longer [ns]:
# machines are not quiet, and a profiler that is still on costs more.
_MOST_SLOWER, _SLACK_NS = 3, 50_000


class ProfilesConformance(PluginConformance):
    """A subclass must name the runtime, give a model of several operators and an input for it.

    What a runtime must do beside, :class:`edge_tester.testing.RuntimeConformance` checks.
    """

    cls: ClassVar[type[Runtime]]
    always_tells: ClassVar[bool] = True
    """Whether there are times for this model whatever else the machine does."""

    @pytest.fixture
    def model_file(self) -> Path:
        """Return a model file that takes some time in at least two operators."""
        raise self.lacking("model_file")

    @pytest.fixture
    def sample(self) -> list[Array]:
        """Return inputs of one sample, of shape (1, ...), as the model takes them."""
        raise self.lacking("sample")

    @pytest.fixture
    def loaded(self, model_file: Path) -> Runtime:
        """Return a runtime that has loaded the model."""
        runtime = self.cls.from_options(self.options)
        runtime.prepare()
        runtime.load(model_file, 1)
        return runtime

    def test_is_a_runtime_that_profiles(self) -> None:
        """The capability comes before what it is added to."""
        assert issubclass(self.cls, Runtime)
        bases = self.cls.__mro__
        assert bases.index(Profiles) < bases.index(Runtime)

    def test_refuses_to_profile_without_a_model(self, sample: list[Array]) -> None:
        """There is nothing to profile, and nothing is made up."""
        runtime = self.cls.from_options(self.options)
        with pytest.raises(RuntimeStateError):
            _profiled(runtime, sample)
        runtime.prepare()
        with pytest.raises(RuntimeStateError):
            _profiled(runtime, sample)

    def test_refuses_inputs_that_do_not_fit(self, loaded: Runtime, sample: list[Array]) -> None:
        """Count, shape and dtype are checked, as for any inference."""
        for wrong in (
            [*sample, sample[0]],
            [values[np.newaxis] for values in sample],
            [values.astype(np.complex128) for values in sample],
        ):
            with pytest.raises(InputError):
                _profiled(loaded, wrong)

    def test_tells_times_that_can_be_kept(self, loaded: Runtime, sample: list[Array]) -> None:
        """Operators have types, places in order, and whole nanoseconds; or a reason is told."""
        found = _profiled(loaded, sample)
        assert found.tool
        assert self.always_tells <= bool(found.operators)
        # As a host takes it, which refuses what cannot be.
        assert profile_in(decode(encode(found), Profile)) == found
        for one in found.operators:
            assert one.type
            assert type(one.time_ns) is int
            assert one.time_ns >= 0
            assert one.shapes is None or all(type(n) is int for size in one.shapes for n in size)
            assert one.dtypes is None or one.shapes is None or len(one.dtypes) == len(one.shapes)
        assert not found.operators or len(found.operators) > 1

    def test_times_are_those_of_an_inference(self, loaded: Runtime, sample: list[Array]) -> None:
        """Together the operators take about as long as the whole, and not as many inferences."""
        timed_ns = _timed_ns(loaded, sample)
        found = _profiled(loaded, sample)
        if not found.operators:
            return
        whole_ns = max(timed_ns, found.whole_ns or 0)
        steps_ns = len(found.operators) * found.resolution_ns
        assert 0 < found.total_ns <= _MOST_OF_WHOLE * whole_ns + steps_ns
        if found.whole_ns is not None and not found.differences:
            assert found.total_ns <= found.whole_ns + steps_ns

    def test_tells_the_same_operators_again(self, loaded: Runtime, sample: list[Array]) -> None:
        """Whatever their times: from one inference as from many."""
        some = _profiled(loaded, sample)
        other = loaded.profile(sample, 1)  # type: ignore[attr-defined]
        if some.operators and other.operators:
            assert [(one.type, one.name, one.shapes) for one in some.operators] == [
                (one.type, one.name, one.shapes) for one in other.operators
            ]

    def test_changes_no_answer(self, loaded: Runtime, sample: list[Array]) -> None:
        """Neither the last answer nor the next one, nor the inputs that were set."""
        expected = _answers(loaded, sample)
        _profiled(loaded, [np.zeros_like(values) for values in sample])
        _assert_equal(expected, loaded.get_outputs())
        loaded.run()
        _assert_equal(expected, loaded.get_outputs())
        _assert_equal(expected, _answers(loaded, sample))

    def test_leaves_inputs_and_file_alone(
        self, loaded: Runtime, model_file: Path, sample: list[Array]
    ) -> None:
        """Inputs are views that others read too, and that nobody can write."""
        before = sha256_of(model_file)
        views = [
            np.frombuffer(values.tobytes(), values.dtype).reshape(values.shape) for values in sample
        ]
        _profiled(loaded, views)
        _assert_equal(sample, views)
        assert before == sha256_of(model_file)

    def test_is_off_afterwards(self, loaded: Runtime, sample: list[Array]) -> None:
        """Inferences take no longer than before."""
        before_ns = _timed_ns(loaded, sample)
        _profiled(loaded, sample)
        assert _timed_ns(loaded, sample) <= _MOST_SLOWER * before_ns + _SLACK_NS


def _profiled(runtime: Runtime, inputs: list[Array]) -> Profile:
    found: Profile = runtime.profile(inputs, _INFERENCES)  # type: ignore[attr-defined]
    return found


def _answers(runtime: Runtime, inputs: list[Array]) -> list[Array]:
    runtime.set_inputs(inputs)
    runtime.run()
    return [values.copy() for values in runtime.get_outputs()]


def _timed_ns(runtime: Runtime, inputs: list[Array]) -> float:
    times_ns = []
    for _ in range(2 * _INFERENCES):
        runtime.set_inputs(inputs)
        begin_ns = time.perf_counter_ns()
        runtime.run()
        times_ns.append(time.perf_counter_ns() - begin_ns)
    return statistics.median(times_ns[_INFERENCES:])


def _assert_equal(expected: list[Array], actual: list[Array]) -> None:
    for wanted, got in zip(expected, actual, strict=True):
        assert wanted.dtype == got.dtype
        assert np.array_equal(wanted, got)
