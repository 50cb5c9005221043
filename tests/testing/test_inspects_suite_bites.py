"""The suites of what tells tensors, and cuts, reject what is bad in one way each."""

import inspect

import msgspec
import numpy as np
import pytest

from edge_tester.core.errors import EdgeTesterError
from edge_tester.core.inspects import Inspects
from edge_tester.core.runtime import Runtime
from edge_tester.runtimes.onnxruntime import ONNXRuntime
from edge_tester.testing import CutsConformance, InspectsConformance
from tests import small_models

replaced = msgspec.structs.replace


class Bad(ONNXRuntime):
    """Tells of the tensors what :meth:`changed` makes of them."""

    def inspect(self, inputs):
        return self.changed(super().inspect(inputs))

    def changed(self, tensors):
        return tensors


class Scrambled(Bad):
    """Tells the tensors in no order."""

    def changed(self, tensors):
        return tensors[::-1]


class SameNames(Bad):
    """Names all tensors alike."""

    def changed(self, tensors):
        return [replaced(one, name="tensor", inputs=()) for one in tensors]


class Integers(Bad):
    """Tells numbers that nobody can compare."""

    def changed(self, tensors):
        return [replaced(one, values=one.values.astype(np.int32)) for one in tensors]


class Overwritten(Bad):
    """Tells what later operators wrote into the same memory."""

    def changed(self, tensors):
        last = tensors[-2].values.ravel()[0]
        return [
            replaced(one, values=np.full_like(one.values, last)) if one.name == "2" else one
            for one in tensors
        ]


class WrongOutput(Bad):
    """Takes an inner tensor for the output."""

    def changed(self, tensors):
        return [replaced(one, output=0 if one.name == "7" else None) for one in tensors]


class OffGrid(Bad):
    """Tells a scale that the values do not have."""

    def changed(self, tensors):
        return [replaced(one, scale=0.5, zero_point=0) for one in tensors]


class Constant(Bad):
    """Tells the same of any sample."""

    def changed(self, tensors):
        return [replaced(one, values=np.zeros_like(one.values)) for one in tensors]


class Answering(Bad):
    """Leaves its own inputs behind."""

    def get_outputs(self):
        return [one + self.__dict__.get("told", 0) for one in super().get_outputs()]

    def changed(self, tensors):
        self.__dict__["told"] = 1
        return tensors


class Careless(ONNXRuntime):
    """Looks at no input."""

    def inspect(self, inputs):
        return super().inspect([small_models.cnn_sample()])


class Writing(ONNXRuntime):
    """Computes in memory that is not its own."""

    def inspect(self, inputs):
        inputs[0][...] = 0
        return super().inspect(inputs)


class Remembering(ONNXRuntime):
    """Gives the same arrays out again."""

    def inspect(self, inputs):
        return vars(self).setdefault("kept", super().inspect(inputs))


class Backwards(Runtime, Inspects):
    """Has the capability behind the runtime."""


class WholeModel(ONNXRuntime):
    """Cuts nothing out."""

    def cut(self, target, inputs, outputs):
        return super().cut(target, [], outputs)


class WrongNames(ONNXRuntime):
    """Names the inputs of a part in another order."""

    def cut(self, target, inputs, outputs):
        return super().cut(target, inputs, outputs)[::-1]


class Lenient(ONNXRuntime):
    """Takes any tensor for one of the model."""

    def cut(self, target, inputs, outputs):
        known = [one for one in outputs if one.place >= 0 and one.name == "y"]
        return super().cut(target, [], known)


class InPlace(ONNXRuntime):
    """Writes the part into the model's own file."""

    def cut(self, target, inputs, outputs):
        names = super().cut(target, inputs, outputs)
        self._file.write_bytes(target.read_bytes())
        return names


class NotAlone(ONNXRuntime):
    """Needs this package for its scripts."""

    standalone = "import edge_tester.core\n" + ONNXRuntime.standalone


@pytest.fixture
def values(tmp_path):
    first = small_models.cnn_sample()
    return {
        "model_file": small_models.write_cnn_onnx(tmp_path / "cnn.onnx"),
        "samples": [[first], [1 - first]],
        "tmp_path": tmp_path,
    }


@pytest.fixture
def known(values):
    """By the sound runtime; tests/runtimes/test_inspects.py asks PyTorch."""
    runtime = ONNXRuntime()
    runtime.prepare()
    runtime.load(values["model_file"], 1)
    return {one.name: one.values for one in runtime.inspect(values["samples"][0])}


def check(plugin, name, values, known):
    """Run one check of the suites on a plugin, as pytest would."""
    chosen = type("Chosen", (CutsConformance,), {"cls": plugin})()
    values = {**values, "known": known, "fresh": plugin()}
    method = getattr(chosen, name)
    wanted = inspect.signature(method).parameters
    if "loaded" in wanted:
        values["fresh"].prepare()
        values["fresh"].load(values["model_file"], 1)
        values["loaded"] = values["fresh"]
    method(**{name: values[name] for name in wanted})


OWN = [
    name
    for suite in (InspectsConformance, CutsConformance)
    for name in vars(suite)
    if name.startswith("test_")
]


@pytest.mark.parametrize("name", OWN)
def test_good_runtime_passes(name, values, known):
    check(ONNXRuntime, name, values, known)


BAD = [
    (Backwards, "test_comes_before_its_role"),
    (Careless, "test_refuses_inputs_that_do_not_fit"),
    (Scrambled, "test_tells_tensors_in_order"),
    (SameNames, "test_tells_tensors_in_order"),
    (Integers, "test_tells_tensors_in_order"),
    (Overwritten, "test_tells_known_values"),
    (WrongOutput, "test_outputs_are_those_of_an_inference"),
    (OffGrid, "test_quantized_values_lie_on_their_grid"),
    (Constant, "test_tells_the_same_again_and_other_of_another"),
    (Answering, "test_changes_no_answer"),
    (Writing, "test_leaves_inputs_and_file_alone"),
    (Remembering, "test_gives_values_away"),
    (WholeModel, "test_a_part_depends_on_its_inputs_alone"),
    (WholeModel, "test_a_part_begins_where_it_is_told"),
    (WrongNames, "test_every_operator_for_itself"),
    (Lenient, "test_refuses_tensors_that_no_part_has"),
    (InPlace, "test_leaves_the_file_alone_when_it_cuts"),
    (NotAlone, "test_runs_alone"),
]


@pytest.mark.parametrize(("plugin", "name"), BAD)
def test_bad_runtime_is_rejected(plugin, name, values, known):
    with pytest.raises((AssertionError, EdgeTesterError, ValueError, pytest.fail.Exception)):
        check(plugin, name, values, known)


@pytest.mark.parametrize(
    "name", ["test_refuses_without_a_model", "test_refuses_to_cut_without_a_model"]
)
def test_what_comes_too_early_is_refused_for_a_runtime_that_does_not_look(name, values, known):
    members = {
        "inspect": lambda self, inputs: [],
        "cut": lambda self, target, inputs, outputs: [],
    }
    hasty = type("Hasty", (ONNXRuntime,), {"__doc__": "Looks at nothing.", **members})
    check(hasty, name, values, known)
    bare = type("Bare", (ONNXRuntime,), {"__doc__": "The same, without the checks of the base."})
    bare.inspect, bare.cut = members["inspect"], members["cut"]
    with pytest.raises(pytest.fail.Exception):
        check(bare, name, values, known)
