"""The conformance suite of runtimes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from edge_tester.core.errors import InputError, ModelError, RuntimeStateError
from edge_tester.core.record import require_encodable
from edge_tester.core.runtime import Runtime
from edge_tester.core.system.files import sha256_of
from edge_tester.core.tensors import Array, TensorSpec
from edge_tester.core.wire.payloads import encode
from edge_tester.testing.plugin import PluginConformance

# More than there are buffers in any ring.
_LATER_RUNS = 5


class RuntimeConformance(PluginConformance):
    """A subclass must name the runtime, give a model file and what it must answer.

    The model must not give the same answer to all inputs. The class attributes
    are the only reasons to skip a check.
    """

    cls: ClassVar[type[Runtime]]
    supports_batching: ClassVar[bool] = True
    """Whether the model file takes batches of any size."""
    deterministic: ClassVar[bool] = True
    """Whether the same inputs give the same outputs, bit by bit."""
    needs_backend: ClassVar[bool] = True
    """Whether it needs a package beyond numpy."""
    tolerance: ClassVar[float] = 1e-5
    """Largest difference from the expected outputs, in real values."""

    @pytest.fixture
    def model_file(self) -> Path:
        """Return a model file of one of the input formats."""
        raise self.lacking("model_file")

    @pytest.fixture
    def example(self) -> tuple[list[Array], list[Array]]:
        """Return inputs of one sample and the outputs that another implementation gives.

        Both are lists of ndarray of shape (1, ...), as the model takes and gives them.
        """
        raise self.lacking("example")

    @pytest.fixture
    def prepared(self) -> Runtime:
        """Return a runtime that is prepared and has no model."""
        runtime = self.cls.from_options(self.options)
        runtime.prepare()
        return runtime

    def test_names_its_formats(self) -> None:
        """Compilers and users find it by the formats."""
        assert self.cls.input_formats
        assert all(isinstance(name, str) for name in self.cls.input_formats)

    def test_importing_loads_no_numpy(self, tmp_path: Path) -> None:
        """The target's supervisor reads the options and must stay small."""
        script = "import importlib, sys; importlib.import_module(sys.argv[1])\n"
        assert [] == self.bare_python(script + "if 'numpy' in sys.modules: print(1)", tmp_path)

    def test_tells_what_to_install(self, tmp_path: Path) -> None:
        """Without its backend, it names the package."""
        if not self.needs_backend:
            pytest.skip("needs no backend")
        script = (
            "import importlib, sys\n"
            "from edge_tester.core.errors import BackendMissingError\n"
            f"cls = getattr(importlib.import_module(sys.argv[1]), {self.cls.__qualname__!r})\n"
            "try:\n"
            f"    cls.from_options({dict(self.options)!r}).prepare()\n"
            "except BackendMissingError as error:\n"
            "    print(error)\n"
        )
        assert ["pip", "install"] == self.bare_python(script, tmp_path)[-3:-1]

    def test_refuses_to_run_without_a_model(self, prepared: Runtime) -> None:
        """There is nothing to run, and nothing is made up."""
        with pytest.raises(RuntimeStateError):
            prepared.run()
        with pytest.raises(RuntimeStateError):
            prepared.set_inputs([])
        with pytest.raises(RuntimeStateError):
            prepared.get_outputs()

    def test_refuses_to_load_unprepared(self, model_file: Path) -> None:
        """The backend is imported when prepared, so that loading can be timed."""
        with pytest.raises(RuntimeStateError):
            self.cls.from_options(self.options).load(model_file, 1)

    def test_refuses_to_run_without_inputs(self, prepared: Runtime, model_file: Path) -> None:
        """Whatever lies in the buffers is no input."""
        prepared.load(model_file, 1)
        with pytest.raises(RuntimeStateError):
            prepared.run()

    def test_answers_as_the_specs_say(
        self, prepared: Runtime, model_file: Path, example: tuple[list[Array], list[Array]]
    ) -> None:
        """Shapes and dtypes of what goes in and comes out are those of the specs."""
        inputs, outputs = prepared.load(model_file, 1)
        assert len(example[0]) == len(inputs)
        for spec, values in zip(inputs, example[0], strict=True):
            assert spec.accepts(values.shape)
            assert spec.dtype == values.dtype
        answers = _answers(prepared, example[0])
        assert len(outputs) == len(answers)
        for spec, values in zip(outputs, answers, strict=True):
            assert spec.accepts(values.shape)
            assert spec.dtype == values.dtype

    def test_answers_right(
        self, prepared: Runtime, model_file: Path, example: tuple[list[Array], list[Array]]
    ) -> None:
        """The outputs are those of another implementation, within the tolerance."""
        _, outputs = prepared.load(model_file, 1)
        self._assert_close(outputs, example[1], _answers(prepared, example[0]))

    def test_answers_the_same_again(
        self, prepared: Runtime, model_file: Path, example: tuple[list[Array], list[Array]]
    ) -> None:
        """Neither a second run nor a second load changes the answer."""
        if not self.deterministic:
            pytest.skip("not deterministic")
        prepared.load(model_file, 1)
        expected = _answers(prepared, example[0])
        _assert_equal(expected, _answers(prepared, example[0]))
        prepared.load(model_file, 1)
        _assert_equal(expected, _answers(prepared, example[0]))

    def test_leaves_inputs_and_file_alone(
        self, prepared: Runtime, model_file: Path, example: tuple[list[Array], list[Array]]
    ) -> None:
        """Inputs are views that others read too, and the file may be loaded again."""
        before, copies = sha256_of(model_file), [values.copy() for values in example[0]]
        prepared.load(model_file, 1)
        _answers(prepared, example[0])
        _assert_equal(copies, example[0])
        assert before == sha256_of(model_file)

    def test_takes_views_that_cannot_be_written(
        self, prepared: Runtime, model_file: Path, example: tuple[list[Array], list[Array]]
    ) -> None:
        """Inputs come from a received message, at any address, one that suits them included."""
        prepared.load(model_file, 1)
        expected = _answers(prepared, example[0])
        for offset in (0, 1):
            views = []
            for values in example[0]:
                shifted = bytes(offset) + values.tobytes()
                view = np.frombuffer(shifted, values.dtype, offset=offset)
                views.append(view.reshape(values.shape))
            _assert_equal(expected, _answers(prepared, views))

    def test_outputs_stay_when_it_runs_again(
        self, prepared: Runtime, model_file: Path, example: tuple[list[Array], list[Array]]
    ) -> None:
        """Outputs are not the buffers of the next run, nor of any later one."""
        prepared.load(model_file, 1)
        outputs = _answers(prepared, example[0])
        expected = [values.copy() for values in outputs]
        for _ in range(_LATER_RUNS):
            others = _answers(prepared, [np.zeros_like(values) for values in example[0]])
            _assert_equal(expected, outputs)
        assert any(not np.array_equal(a, b) for a, b in zip(expected, others, strict=True))

    def test_takes_batches(
        self, prepared: Runtime, model_file: Path, example: tuple[list[Array], list[Array]]
    ) -> None:
        """A batch of three gives what the samples give one by one, or is refused when loading."""
        if not self.supports_batching:
            with pytest.raises(ModelError, match="batch size"):
                prepared.load(model_file, 3)
            return
        inputs, outputs = prepared.load(model_file, 3)
        batch = [np.repeat(values, 3, axis=0) for values in example[0]]
        assert [values.shape for values in batch] == [spec.shape for spec in inputs]
        answers = _answers(prepared, batch)
        self._assert_close(outputs, [np.repeat(v, 3, axis=0) for v in example[1]], answers)

    def test_refuses_inputs_that_do_not_fit(
        self, prepared: Runtime, model_file: Path, example: tuple[list[Array], list[Array]]
    ) -> None:
        """Count, shape and dtype are checked before the run."""
        prepared.load(model_file, 1)
        more = [*example[0], example[0][0]]
        deeper = [values[np.newaxis] for values in example[0]]
        complex_ones = [values.astype(np.complex128) for values in example[0]]
        for wrong in (more, deeper, complex_ones):
            with pytest.raises(InputError):
                prepared.set_inputs(wrong)
        # And it is still of use.
        _answers(prepared, example[0])

    def test_refuses_files_that_are_no_model(
        self, prepared: Runtime, model_file: Path, tmp_path: Path
    ) -> None:
        """A bad file is named, and leaves no earlier model behind."""
        content = model_file.read_bytes()
        bad = {
            "missing": None,
            "empty": b"",
            "text": b"This is no model at all.\n" * 9,
            "half": content[: len(content) // 2],
            "start": content[:40],
        }
        prepared.load(model_file, 1)
        for name, wrong in bad.items():
            path = tmp_path / f"{name}{model_file.suffix}"
            if wrong is not None:
                path.write_bytes(wrong)
            with pytest.raises(ModelError, match=name):
                prepared.load(path, 1)
            with pytest.raises(RuntimeStateError):
                prepared.run()

    def test_facts_can_be_recorded(self, prepared: Runtime, model_file: Path) -> None:
        """Facts travel in a message and go into a JSON file."""
        prepared.load(model_file, 1)
        facts = prepared.facts()
        require_encodable(facts=facts)
        assert encode(facts)
        assert facts == json.loads(json.dumps(facts))

    def _assert_close(
        self, specs: Sequence[TensorSpec], expected: Sequence[Array], actual: Sequence[Array]
    ) -> None:
        for spec, wanted, got in zip(specs, expected, actual, strict=True):
            difference = np.abs(spec.dequantize(wanted) - spec.dequantize(got)).max()
            assert difference <= self.tolerance


def _answers(runtime: Runtime, inputs: Sequence[Array]) -> list[Array]:
    runtime.set_inputs(inputs)
    runtime.run()
    return runtime.get_outputs()


def _assert_equal(expected: Sequence[Array], actual: Sequence[Array]) -> None:
    for wanted, got in zip(expected, actual, strict=True):
        assert wanted.dtype == got.dtype
        assert np.array_equal(wanted, got)
