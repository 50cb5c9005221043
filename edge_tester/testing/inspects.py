"""The conformance suites of what tells intermediate tensors, and of what cuts parts out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np
import pytest

from edge_tester.core.checking.sides import Part
from edge_tester.core.errors import EdgeTesterError, InputError, ModelError, RuntimeStateError
from edge_tester.core.inspects import INPUT, Inspects, Tensor
from edge_tester.core.making.likeness import PRECISIONS
from edge_tester.core.model import ModelWrapper
from edge_tester.core.runtime import Runtime
from edge_tester.core.system.files import sha256_of
from edge_tester.core.tensors import Array
from edge_tester.testing.plugin import PluginConformance

_SCRIPT = """
import sys
import numpy as np

{function}
saved = np.load(sys.argv[2])
inputs = [saved[name] for name in sorted(saved.files)]
np.savez(sys.argv[3], *run_{format}(sys.argv[1], inputs))
assert not [name for name in sys.modules if name.startswith("edge_tester")]
"""


class InspectsConformance(PluginConformance):
    """A subclass must name the runtime or model wrapper, a model, two samples, known tensors.

    What the role must do beside, its own suite checks.
    """

    cls: ClassVar[type[Any]]
    tolerance: ClassVar[float] = 1e-5
    """How far values may be from known ones, as part of the largest."""

    @pytest.fixture
    def model_file(self) -> Path:
        """Return a model file of at least three operators."""
        raise self.lacking("model_file")

    @pytest.fixture
    def samples(self) -> list[list[Array]]:
        """Return inputs of two unlike samples, each of shape (1, ...), as the model takes them."""
        raise self.lacking("samples")

    @pytest.fixture
    def known(self) -> dict[str, Array]:
        """Return tensors of the first sample that were computed otherwise, by name.

        At least one is neither an input nor an output.
        """
        raise self.lacking("known")

    @pytest.fixture
    def fresh(self, model_file: Path) -> Any:
        """Return what has loaded no model yet."""
        if issubclass(self.cls, ModelWrapper):
            return self.cls.from_options({**self.options, "model_path": model_file})
        return self.cls.from_options(self.options)

    @pytest.fixture
    def loaded(self, model_file: Path, fresh: Any) -> Any:
        """Return what has loaded the model."""
        if isinstance(fresh, ModelWrapper):
            fresh.load()
        else:
            fresh.prepare()
            fresh.load(model_file, 1)
        return fresh

    def test_comes_before_its_role(self) -> None:
        """A role that knew the capability would hide it."""
        bases = self.cls.__mro__
        role = Runtime if issubclass(self.cls, Runtime) else ModelWrapper
        assert bases.index(Inspects) < bases.index(role)

    def test_refuses_without_a_model(self, fresh: Any, samples: list[list[Array]]) -> None:
        """There is nothing to look into."""
        with pytest.raises((RuntimeStateError, ModelError)):
            fresh.inspect(samples[0])

    def test_refuses_inputs_that_do_not_fit(self, loaded: Any, samples: list[list[Array]]) -> None:
        """Count and shape are checked, as for any inference."""
        for wrong in ([*samples[0], samples[0][0]], [one[np.newaxis] for one in samples[0]]):
            with pytest.raises(InputError):
                loaded.inspect(wrong)

    def test_tells_tensors_in_order(self, loaded: Any, samples: list[list[Array]]) -> None:
        """Inputs come first, names are unique, and values are real numbers."""
        found = _inspected(loaded, samples[0])
        assert len({one.name for one in found}) == len(found)
        assert sorted(one.place for one in found) == [one.place for one in found]
        earlier: set[str] = set()
        for one in found:
            assert (one.place == -1) == (one.type == INPUT)
            assert one.type
            assert one.values.dtype in (np.float32, np.float64)
            assert np.dtype(one.dtype).kind in "fiu"
            assert one.precision in PRECISIONS
            assert (one.scale is None) == (one.zero_point is None)
            assert set(one.inputs or ()) <= earlier
            earlier.add(one.name)
        assert sum(one.place >= 0 for one in found) >= 3

    def test_tells_known_values(
        self, loaded: Any, samples: list[list[Array]], known: dict[str, Array]
    ) -> None:
        """Those of inner tensors too, whatever memory later operators use."""
        found = {one.name: one for one in _inspected(loaded, samples[0])}
        assert any(found[n].type != INPUT and found[n].output is None for n in known)
        for name, expected in known.items():
            self._assert_near(expected, found[name].values)

    def test_outputs_are_those_of_an_inference(
        self, loaded: Any, samples: list[list[Array]]
    ) -> None:
        """Each output that is told is what the model answers."""
        expected = _answers(loaded, samples[0])
        outputs = [one for one in _inspected(loaded, samples[0]) if one.output is not None]
        assert outputs
        for one in outputs:
            self._assert_near(expected[one.output or 0], one.values)

    def test_quantized_values_lie_on_their_grid(
        self, loaded: Any, samples: list[list[Array]]
    ) -> None:
        """What has a scale is a multiple of it, counted from the zero point."""
        for one in _inspected(loaded, samples[0]):
            if one.scale is not None:
                steps = one.values / one.scale
                assert np.abs(steps - np.rint(steps)).max(initial=0) < 1e-2
                assert one.precision == "integers"

    def test_tells_the_same_again_and_other_of_another(
        self, loaded: Any, samples: list[list[Array]]
    ) -> None:
        """Equal inputs give equal tensors; unlike ones do not."""
        first, other = _inspected(loaded, samples[0]), _inspected(loaded, samples[1])
        again = _inspected(loaded, samples[0])
        assert [one.name for one in first] == [one.name for one in again]
        assert all(
            np.array_equal(one.values, two.values, equal_nan=True)
            for one, two in zip(first, again, strict=True)
        )
        assert any(
            not np.array_equal(one.values, two.values)
            for one, two in zip(first, other, strict=True)
            if one.place >= 0
        )

    def test_changes_no_answer(self, loaded: Any, samples: list[list[Array]]) -> None:
        """Neither the next one, nor those after it."""
        expected = _answers(loaded, samples[0])
        _inspected(loaded, samples[1])
        for one, other in zip(expected, _answers(loaded, samples[0]), strict=True):
            assert np.array_equal(one, other)

    def test_leaves_inputs_and_file_alone(
        self, loaded: Any, model_file: Path, samples: list[list[Array]]
    ) -> None:
        """Inputs may be views that nobody can write."""
        before = sha256_of(model_file)
        views = [np.frombuffer(one.tobytes(), one.dtype).reshape(one.shape) for one in samples[0]]
        _inspected(loaded, views)
        assert all(np.array_equal(a, b) for a, b in zip(samples[0], views, strict=True))
        assert before == sha256_of(model_file)

    def test_gives_values_away(self, loaded: Any, samples: list[list[Array]]) -> None:
        """Whoever writes to them changes nothing of what is told later."""
        first = _inspected(loaded, samples[0])
        kept = [one.values.copy() for one in first]
        for one in first:
            one.values[...] = 7
        for one, tensor in zip(kept, _inspected(loaded, samples[0]), strict=True):
            assert np.array_equal(one, tensor.values, equal_nan=True)

    def _assert_near(self, expected: Array, got: Array) -> None:
        assert np.shape(expected) == np.shape(got)
        largest = float(np.abs(expected).max(initial=0)) or 1.0
        assert float(np.abs(expected - got).max(initial=0)) <= self.tolerance * largest


class CutsConformance(InspectsConformance):
    """A subclass must name the runtime, a model, two samples and known tensors."""

    steps: ClassVar[float] = 1.0
    """How many steps of its grid a quantized value of a part may be off."""

    def test_every_operator_for_itself(
        self, loaded: Any, samples: list[list[Array]], tmp_path: Path
    ) -> None:
        """Cut at all tensors, and given them all, a model computes them all again."""
        found = _inspected(loaded, samples[0])
        wanted = [one for one in found if one.place >= 0]
        names, part = self._part(loaded, tmp_path, found, wanted)
        for one, got in zip(wanted, self._run(part, found, names), strict=True):
            self._assert_same(one, got)

    def test_a_part_depends_on_its_inputs_alone(
        self, loaded: Any, samples: list[list[Array]], tmp_path: Path
    ) -> None:
        """Given another sample's tensors, the end of the model answers as for that sample."""
        first, other = (_inspected(loaded, one) for one in samples)
        last = next(one for one in reversed(first) if one.output is not None)
        inner = [one for one in first if 0 <= one.place < last.place]
        names, part = self._part(loaded, tmp_path, inner, [last])
        assert set(names) <= {one.name for one in inner}
        expected = next(one for one in other if one.name == last.name)
        (got,) = self._run(part, other, names)
        self._assert_same(expected, got)

    def test_a_part_begins_where_it_is_told(
        self, loaded: Any, samples: list[list[Array]], tmp_path: Path
    ) -> None:
        """Whatever the end of the model is computed from may be an input of its part."""
        found = {one.name: one for one in _inspected(loaded, samples[0])}
        last = next(one for one in reversed(found.values()) if one.output is not None)
        before, waiting = {last.name}, [last]
        while waiting:
            new = set(waiting.pop().inputs or ()) - before
            before |= new
            waiting += [found[name] for name in new]
        inner = [found[name] for name in before - {last.name} if found[name].place >= 0]
        assert len(inner) >= 2
        for one in inner:
            assert one.name in loaded.cut(tmp_path / "part.bin", [one], [last])

    def test_the_whole_is_a_part(
        self, loaded: Any, samples: list[list[Array]], tmp_path: Path
    ) -> None:
        """Without inputs of its own, a part has those of the model."""
        found = _inspected(loaded, samples[0])
        last = next(one for one in reversed(found) if one.output is not None)
        names, part = self._part(loaded, tmp_path, [], [last])
        assert set(names) <= {one.name for one in found if one.type == INPUT}
        (got,) = self._run(part, found, names)
        self._assert_same(last, got)

    def test_refuses_tensors_that_no_part_has(
        self, loaded: Any, samples: list[list[Array]], tmp_path: Path
    ) -> None:
        """One that does not exist, and an input as an output."""
        found = _inspected(loaded, samples[0])
        unknown = msgspec.structs.replace(found[-1], name="no such tensor")
        for inputs, outputs in (([], [unknown]), ([unknown], found[-1:]), ([], found[:1])):
            with pytest.raises(ModelError):
                loaded.cut(tmp_path / "part.bin", inputs, outputs)

    def test_refuses_to_cut_without_a_model(self, fresh: Any, tmp_path: Path) -> None:
        """There is nothing to cut."""
        with pytest.raises(EdgeTesterError):
            fresh.cut(tmp_path / "part", [], [])

    def test_leaves_the_file_alone_when_it_cuts(
        self, loaded: Any, model_file: Path, samples: list[list[Array]], tmp_path: Path
    ) -> None:
        """A part is another file."""
        before = sha256_of(model_file)
        found = _inspected(loaded, samples[0])
        self._part(loaded, tmp_path, found, found[-1:])
        assert before == sha256_of(model_file)

    def test_runs_alone(
        self, loaded: Any, model_file: Path, samples: list[list[Array]], tmp_path: Path
    ) -> None:
        """The function that scripts have answers like the runtime, without this package."""
        script, given, got_file = (tmp_path / n for n in ("alone.py", "given.npz", "got.npz"))
        (format,) = self.cls.input_formats
        script.write_text(_SCRIPT.format(function=self.cls.standalone, format=format))
        np.savez(given, *samples[0])
        command = [sys.executable, "-I", *map(str, (script, model_file, given, got_file))]
        finished = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert finished.returncode == 0, finished.stderr
        got = np.load(got_file)
        for place, expected in enumerate(_answers(loaded, samples[0])):
            self._assert_near(expected, got[f"arr_{place}"])

    def _part(
        self, loaded: Any, folder: Path, inputs: list[Tensor], outputs: list[Tensor]
    ) -> tuple[list[str], Part]:
        (format,) = self.cls.input_formats
        path = folder / f"part.{format}"
        names = loaded.cut(path, inputs, outputs)
        return names, Part(loaded, path)

    def _run(self, part: Part, tensors: list[Tensor], names: list[str]) -> list[Array]:
        values = {one.name: one.values for one in tensors}
        return part.run([values[name] for name in names])

    def _assert_same(self, expected: Tensor, got: Array) -> None:
        off = float(np.abs(expected.values - got.reshape(expected.values.shape)).max(initial=0))
        largest = float(np.abs(expected.values).max(initial=0)) or 1.0
        # Kernels of integers may round another way.
        assert off <= self.tolerance * largest + self.steps * 1.01 * (expected.scale or 0.0)


def _inspected(loaded: Any, inputs: list[Array]) -> list[Tensor]:
    found: list[Tensor] = loaded.inspect(inputs)
    return found


def _answers(loaded: Any, inputs: list[Array]) -> list[Array]:
    if isinstance(loaded, ModelWrapper):
        return [np.array(one) for one in loaded.run(inputs)]
    loaded.set_inputs(inputs)
    loaded.run()
    return [one.copy() for one in loaded.get_outputs()]
