"""The conformance suites reject plugins that are bad on purpose, each in one way.

The good plugins pass every check first, so that it is the one defect that is found.
"""

import inspect
import itertools
import sys

import numpy as np
import pytest

from edge_tester.core.artifact import Weights
from edge_tester.core.errors import EdgeTesterError
from edge_tester.core.options import state
from edge_tester.core.tensors import TensorSpec
from edge_tester.testing import CompilerConformance, RuntimeConformance
from edge_tester.testing.compiler import Made
from tests.doubling import HEADER, CopyCompiler, DoublingModel, DoublingRuntime, MeanDataset


class AliasingRuntime(DoublingRuntime):
    """Gives out the buffer that its next run writes to."""

    buffer: np.ndarray = state(default_factory=lambda: np.zeros((3, 4), np.float32))

    def run(self):
        super().run()
        self.buffer[: len(self.inputs)] = self.outputs
        self.outputs = self.buffer[: len(self.inputs)]


class NumpySpeakingRuntime(DoublingRuntime):
    """Says of itself what no record can keep."""

    def facts(self):
        return {"kernels": np.str_("fast")}


class InputChangingRuntime(DoublingRuntime):
    """Computes in place, in memory that is not its own."""

    def run(self):
        super().run()
        if self.inputs.flags.writeable:
            self.inputs[:] = self.outputs


class FileChangingRuntime(DoublingRuntime):
    """Appends to its model file."""

    def load(self, path, batch_size):
        specs = super().load(path, batch_size)
        path.write_bytes(path.read_bytes() + b"!")
        return specs


class WrongSpecRuntime(DoublingRuntime):
    """Says float64 and gives float32."""

    def load(self, path, batch_size):
        inputs, _ = super().load(path, batch_size)
        return inputs, [TensorSpec("numbers", (batch_size, 4), "float64")]


class CarelessRuntime(DoublingRuntime):
    """Runs on whatever there is."""

    def run(self):
        self.outputs = np.zeros((1, 4), np.float32)


class LenientRuntime(DoublingRuntime):
    """Loads any file."""

    def load(self, path, batch_size):
        self.model_loaded = True
        return [self.spec(batch_size)], [self.spec(batch_size)]


class WrongRuntime(DoublingRuntime):
    """Trebles."""

    def run(self):
        super().run()
        self.outputs = self.inputs * 3


class DriftingRuntime(DoublingRuntime):
    """Never gives the same answer twice."""

    count: itertools.count = state(default_factory=itertools.count)

    def run(self):
        super().run()
        self.outputs += np.float32(next(self.count) * 1e-7)


class SilentRuntime(DoublingRuntime):
    __doc__ = None  # Says nothing of itself.


class RuntimeSuite(RuntimeConformance):
    cls = DoublingRuntime
    needs_backend = False


class IdleCompiler(CopyCompiler):
    """Writes nothing."""

    def convert(self, model, calibration, output):
        model.load()


class SourceChangingCompiler(CopyCompiler):
    """Appends to its input file."""

    def convert(self, model, calibration, output):
        super().convert(model, calibration, output)
        model.model_path.write_bytes(model.model_path.read_bytes() + b"!")


class LitteringCompiler(CopyCompiler):
    """Leaves a file behind."""

    def convert(self, model, calibration, output):
        super().convert(model, calibration, output)
        (self.output_path().parent / "log.txt").write_text("done")


class BoastingCompiler(CopyCompiler):
    """Says that it quantizes and does not."""

    quantizes = True


class UnawareCompiler(CopyCompiler):
    """Quantizes and does not say so."""

    def read_weights(self, path):
        return Weights({"int8": 4}, 1.0)


class CredulousCompiler(CopyCompiler):
    """Compiles anything."""

    def convert(self, model, calibration, output):
        output.write_bytes(HEADER + b"x" * 99)


class HungryCompiler(CopyCompiler):
    """Consumes samples and does not say so."""

    def convert(self, model, calibration, output):
        list(calibration)
        super().convert(model, calibration, output)


class GarbageCompiler(CopyCompiler):
    """Writes what no runtime takes."""

    def convert(self, model, calibration, output):
        model.load()
        output.write_bytes(b"garbage")


class CompilerSuite(CompilerConformance):
    cls = CopyCompiler
    runtime = DoublingRuntime


@pytest.fixture
def values(tmp_path):
    model_file = tmp_path / "model.doubling"
    model_file.write_bytes(HEADER + b"x" * 99)
    numbers = np.array([[1, 2, 3, 4]], np.float32)
    return {
        "tmp_path": tmp_path,
        "model_file": model_file,
        "example": ([numbers], [numbers * 2]),
        "model": DoublingModel(model_path=model_file),
        "dataset": MeanDataset(),
    }


def check(suite, plugin, name, values):
    """Run one check of a suite on a plugin, as pytest would."""
    chosen = type("Chosen", (suite,), {"cls": plugin})()
    values = dict(values)
    if suite is RuntimeSuite:
        values["prepared"] = plugin()
        values["prepared"].prepare()
    else:
        values["compiler"] = chosen._compiler(values["tmp_path"] / "compiled")
    method = getattr(chosen, name)
    if "made" in inspect.signature(method).parameters:
        maker = chosen._compiler(values["tmp_path"] / "made")
        values["made"] = Made.by(maker, values["model"], values["dataset"])
    if "without_data" in inspect.signature(method).parameters:
        maker = chosen._compiler(values["tmp_path"] / "without_data")
        values["without_data"] = chosen._compiled_without_data(maker, values["model"])
    method(**{wanted: values[wanted] for wanted in inspect.signature(method).parameters})


def checks(suite):
    return [name for name in dir(suite) if name.startswith("test_")]


@pytest.mark.parametrize("name", checks(RuntimeSuite))
def test_good_runtime_passes(name, values):
    # A module that imports numpy, such as this one, is no module for a runtime.
    if name not in ("test_importing_loads_no_numpy", "test_tells_what_to_install"):
        check(RuntimeSuite, DoublingRuntime, name, values)


@pytest.mark.parametrize("name", checks(CompilerSuite))
def test_good_compiler_passes(name, values):
    check(CompilerSuite, CopyCompiler, name, values)


@pytest.mark.parametrize(
    ("plugin", "name"),
    [
        (AliasingRuntime, "test_outputs_stay_when_it_runs_again"),
        (InputChangingRuntime, "test_leaves_inputs_and_file_alone"),
        (FileChangingRuntime, "test_leaves_inputs_and_file_alone"),
        (WrongSpecRuntime, "test_answers_as_the_specs_say"),
        (LenientRuntime, "test_refuses_files_that_are_no_model"),
        (WrongRuntime, "test_answers_right"),
        (DriftingRuntime, "test_answers_the_same_again"),
        (SilentRuntime, "test_has_a_summary"),
        (NumpySpeakingRuntime, "test_facts_can_be_recorded"),
    ],
)
def test_bad_runtime_is_rejected(plugin, name, values):
    with pytest.raises((AssertionError, EdgeTesterError, pytest.fail.Exception)):
        check(RuntimeSuite, plugin, name, values)


EARLY = [
    (CarelessRuntime, "test_refuses_to_run_without_inputs"),
    (CarelessRuntime, "test_refuses_to_run_without_a_model"),
    (LenientRuntime, "test_refuses_to_load_unprepared"),
]


@pytest.mark.parametrize(("plugin", "name"), EARLY)
def test_what_comes_too_early_is_refused_for_a_runtime_that_does_not_look(plugin, name, values):
    check(RuntimeSuite, plugin, name, values)
    bare = type("Bare", (plugin,), {"_refuse_to_run": lambda self: None})
    for method in ("load", "set_inputs", "run", "get_outputs"):
        setattr(bare, method, inspect.unwrap(getattr(plugin, method)))
    with pytest.raises((AssertionError, EdgeTesterError, pytest.fail.Exception)):
        check(RuntimeSuite, bare, name, values)


@pytest.mark.parametrize(
    ("plugin", "name"),
    [
        (IdleCompiler, "test_describes_what_it_wrote"),
        (SourceChangingCompiler, "test_leaves_the_model_alone_and_nothing_behind"),
        (LitteringCompiler, "test_leaves_the_model_alone_and_nothing_behind"),
        (BoastingCompiler, "test_quantizes_if_it_says_so"),
        (UnawareCompiler, "test_quantizes_if_it_says_so"),
        (CredulousCompiler, "test_refuses_a_corrupt_model_and_keeps_the_earlier_result"),
        (GarbageCompiler, "test_result_answers_like_the_model"),
        (HungryCompiler, "test_same_model_gives_the_same_answers"),
        (HungryCompiler, "test_compiles_without_data_unless_it_calibrates"),
    ],
)
def test_bad_compiler_is_rejected(plugin, name, values):
    with pytest.raises((AssertionError, EdgeTesterError, pytest.fail.Exception)):
        check(CompilerSuite, plugin, name, values)


@pytest.mark.parametrize("base", [DoublingRuntime, CopyCompiler])
def test_own_init_is_refused_where_it_is_written(base):
    with pytest.raises(TypeError, match="must not define __init__"):
        type("Own", (base,), {"__init__": lambda self: None})


@pytest.mark.parametrize(
    ("suite", "base"), [(RuntimeSuite, DoublingRuntime), (CompilerSuite, CopyCompiler)]
)
def test_own_init_that_came_later_is_rejected(suite, base, values):
    smuggled = type("Smuggled", (base,), {"__doc__": "Does work when constructed."})
    original = smuggled.__init__
    smuggled.__init__ = lambda self, **options: original(self, **options)
    with pytest.raises(AssertionError):
        check(suite, smuggled, "test_has_no_init_of_its_own", values)


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("import onnxruntime", "test_importing_loads_no_backend"),
        ("import numpy", "test_importing_loads_no_numpy"),
    ],
)
def test_eager_import_is_rejected(statement, name, values, tmp_path, monkeypatch):
    source = (
        f"{statement}\n"
        "from edge_tester.core.runtime import Runtime\n"
        "class Eager(Runtime):\n"
        "    '''Imports at once.'''\n"
        "    def prepare(self): pass\n"
    )
    module_name = f"eager_{statement.split()[1]}"
    (tmp_path / f"{module_name}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    module = __import__(module_name)
    values["tmp_path"] = tmp_path / "bare"
    values["tmp_path"].mkdir()
    try:
        with pytest.raises(AssertionError):
            check(RuntimeSuite, module.Eager, name, values)
    finally:
        del sys.modules[module_name]
