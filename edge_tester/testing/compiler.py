"""The conformance suite of compilers."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytest

from edge_tester.core import registry
from edge_tester.core.artifact import Artifact
from edge_tester.core.compiler import ModelCompiler
from edge_tester.core.dataset import Dataset
from edge_tester.core.errors import CompilationError, ModelError
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import path_of
from edge_tester.core.record import require_encodable
from edge_tester.core.run.feed import Feed
from edge_tester.core.runtime import Runtime
from edge_tester.core.system.files import sha256_of
from edge_tester.core.tensors import Array
from edge_tester.testing.plugin import PluginConformance


class Made(NamedTuple):
    """What one compilation came to, for all checks that only look at it.

    Attributes
    ----------
    compiler : ModelCompiler
    artifact : Artifact
    before, after : dict of Path to str
        Checksums of the model's files around it.
    files : list of Path
        What was in the folder of the result then.
    """

    compiler: ModelCompiler
    artifact: Artifact
    before: dict[Path, str]
    after: dict[Path, str]
    files: list[Path]

    @classmethod
    def by(cls, compiler: ModelCompiler, model: ModelWrapper, dataset: Dataset) -> Made:
        """Compile, with the compiler's own check."""
        compiler.self_check = True
        before = _checksums(model.model_path)
        artifact = compiler.compile(model, dataset)
        after = _checksums(model.model_path)
        return cls(compiler, artifact, before, after, list(compiler.output_path().parent.iterdir()))


# Test class -> what its compiler made: compiling takes longer than all checks of it.
_MADE: dict[type, Made] = {}
# The same without a data set, or why not.
_WITHOUT_DATA: dict[type, Artifact | CompilationError] = {}


class CompilerConformance(PluginConformance):
    """A subclass must name the compiler and give a model and a data set.

    ``options`` leaves out ``compiled_model_path``, which the suite chooses. The
    class attributes are the only reasons to skip a check.
    """

    cls: ClassVar[type[ModelCompiler]]
    runtime: ClassVar[type[Runtime] | None] = None
    """What runs the result; found by its format if not given."""
    runnable: ClassVar[bool] = True
    """Whether any runtime of this package takes the output format."""
    tolerance: ClassVar[float] = 1e-4
    """Largest difference from the outputs of the model, in real values."""

    @pytest.fixture
    def model(self) -> ModelWrapper:
        """Return a wrapper of a model file in one of the input formats."""
        raise self.lacking("model")

    @pytest.fixture
    def dataset(self) -> Dataset:
        """Return a prepared data set with calibration samples for the model."""
        raise self.lacking("dataset")

    @pytest.fixture
    def compiler(self, tmp_path: Path) -> ModelCompiler:
        """Return the compiler, writing into an empty folder."""
        return self._compiler(tmp_path / "compiled")

    @pytest.fixture
    def made(
        self, model: ModelWrapper, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory
    ) -> Made:
        """Return what the compiler made of the model, once for the class, checked by itself."""
        found = _MADE.get(type(self))
        if found is None:
            compiler = self._compiler(tmp_path_factory.mktemp("made") / "compiled")
            found = _MADE[type(self)] = Made.by(compiler, model, dataset)
        return found

    @pytest.fixture
    def without_data(
        self, model: ModelWrapper, tmp_path_factory: pytest.TempPathFactory
    ) -> Artifact | CompilationError:
        """Return what the compiler made of the model alone, once for the class."""
        if type(self) not in _WITHOUT_DATA:
            compiler = self._compiler(tmp_path_factory.mktemp("without_data") / "compiled")
            _WITHOUT_DATA[type(self)] = self._compiled_without_data(compiler, model)
        return _WITHOUT_DATA[type(self)]

    def test_flags_and_mapping_give_the_same(self) -> None:
        """The command line, YAML and Python are three spellings of one thing."""
        expected = self._compiler(Path("compiled"))
        parser, _ = self.cls.form_argparse()
        actual = self.cls.from_argparse(parser.parse_args(self._flags(expected.to_options())))
        assert expected == actual
        assert expected == self.cls.from_options(expected.to_options())

    def test_names_its_formats(self) -> None:
        """Chains are found by the formats."""
        assert self.cls.input_formats
        assert isinstance(self.cls.output_format, str)

    def test_describes_what_it_wrote(self, made: Made) -> None:
        """The artifact is the file, and says how it was made."""
        artifact = made.artifact
        assert made.compiler.compiled_model_path == artifact.path
        assert self.cls.output_format == artifact.format
        with artifact.open() as file:
            content = file.read()
        assert len(content) == artifact.size_bytes > 0
        assert hashlib.sha256(content).hexdigest() == artifact.sha256
        assert path_of(self.cls) == artifact.producer
        require_encodable(options=artifact.options, facts=artifact.facts)
        assert made.compiler.to_options() == json.loads(json.dumps(artifact.options))
        assert artifact.tool_versions
        assert artifact.weights is not None
        assert sum(artifact.weights.elements.values()) > 0

    def test_quantizes_if_it_says_so(self, made: Made) -> None:
        """Integer weights are there if, and only if, they were asked for."""
        weights = made.artifact.weights
        assert weights is not None
        assert made.compiler.quantizes == (weights.quantized_share > 0)
        assert 0 <= weights.quantized_share <= 1

    def test_leaves_the_model_alone_and_nothing_behind(self, made: Made) -> None:
        """The model's file stays as it is; beside the result there is no other file."""
        assert made.before == made.after
        assert [made.compiler.output_path()] == made.files

    def test_result_answers_like_the_model(
        self, made: Made, model: ModelWrapper, dataset: Dataset
    ) -> None:
        """A runtime takes the result, and it answers as the model does."""
        if not self.runnable:
            pytest.skip("no runtime takes the output format")
        expected, actual = self._compared(made.artifact, model, dataset)
        for wanted, got in zip(expected, actual, strict=True):
            assert wanted.shape == got.shape
            assert np.abs(wanted - got).max() <= self.tolerance

    def test_result_passes_the_compilers_own_check(self, made: Made) -> None:
        """What was made is run and compared before it counts as made, and that is said."""
        facts = made.artifact.facts["self_check"]
        # A runtime that is no installed plugin, or none at all, is an ordinary reason.
        assert facts.get("compared") or (not facts["run"] and facts["reason"])

    def test_same_model_gives_the_same_answers(
        self,
        made: Made,
        compiler: ModelCompiler,
        model: ModelWrapper,
        dataset: Dataset,
        without_data: Artifact | CompilationError,
    ) -> None:
        """Compiling again changes nothing, calibration included; nor do samples of no use."""
        if not self.runnable:
            pytest.skip("no runtime takes the output format")
        _, first = self._compared(made.artifact, model, dataset)
        again = compiler.compile(model, dataset) if compiler.calibrates else without_data
        if isinstance(again, CompilationError):
            raise again
        _, second = self._compared(again, model, dataset)
        for wanted, got in zip(first, second, strict=True):
            assert np.array_equal(wanted, got)

    def test_refuses_another_format(
        self, compiler: ModelCompiler, model: ModelWrapper, dataset: Dataset, tmp_path: Path
    ) -> None:
        """What the user says the model is must be what it is."""
        compiler.model_framework = "no-such-format"
        with pytest.raises(CompilationError, match="no-such-format"):
            compiler.compile(model, dataset)
        assert not compiler.output_path().exists()

    def test_refuses_a_corrupt_model_and_keeps_the_earlier_result(
        self,
        made: Made,
        compiler: ModelCompiler,
        model: ModelWrapper,
        dataset: Dataset,
        tmp_path: Path,
    ) -> None:
        """What was compiled before is still there, whole."""
        earlier, path = made.compiler.output_path(), compiler.output_path()
        path.parent.mkdir()
        (shutil.copytree if earlier.is_dir() else shutil.copyfile)(earlier, path)
        before = _checksums(compiler.output_path())
        with pytest.raises((CompilationError, ModelError)):
            compiler.compile(_corrupt(model, tmp_path), dataset)
        assert before == _checksums(compiler.output_path())
        folder = compiler.output_path().parent
        assert [compiler.output_path()] == list(folder.iterdir())

    def test_compiles_without_data_unless_it_calibrates(
        self, compiler: ModelCompiler, without_data: Artifact | CompilationError
    ) -> None:
        """Samples are missed only where they are used, and then by name."""
        if isinstance(without_data, CompilationError):
            assert compiler.quantizes
            assert "data set" in str(without_data)

    def _compiler(self, folder: Path) -> ModelCompiler:
        options: Mapping[str, Any] = {
            "compiled_model_path": folder / f"model.{self.cls.output_format}",
            # What is made for all checks has it on; the rest would take twice as long.
            "self_check": False,
            **self.options,
        }
        return self.cls.from_options(options)

    def _compiled_without_data(
        self, compiler: ModelCompiler, model: ModelWrapper
    ) -> Artifact | CompilationError:
        try:
            return compiler.compile(model, None)
        except CompilationError as error:
            return error

    def _compared(
        self, artifact: Artifact, model: ModelWrapper, dataset: Dataset
    ) -> tuple[list[Array], list[Array]]:
        runtime = self._runtime()()
        runtime.prepare()
        inputs, outputs = runtime.load(artifact.path, 1)
        model.load()
        chosen = dataset.split().test[:8]
        source = Feed(model, dataset, *model.specs(), chosen)
        expected = [model.run(source.values(samples)) for samples in source.loaded()]
        result = Feed(model, dataset, inputs, outputs, chosen)
        actual: list[list[Array]] = []
        for batch in result.batches():
            runtime.set_inputs(batch.tensors)
            runtime.run()
            actual.append(result.real(runtime.get_outputs()))
        return _stacked(expected), _stacked(actual)

    def _runtime(self) -> type[Runtime]:
        if self.runtime is not None:
            return self.runtime
        for name in registry.names("runtimes"):
            found: Any = registry.load("runtimes", name)
            if self.cls.output_format in found.input_formats:
                return found  # type: ignore[no-any-return]
        raise LookupError(f"no runtime takes {self.cls.output_format!r}; name one as `runtime`")


def _stacked(answers: list[list[Array]]) -> list[Array]:
    return [np.concatenate(one) for one in zip(*answers, strict=True)]


def _checksums(path: Path) -> dict[Path, str]:
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return {file: sha256_of(file) for file in files}


def _corrupt(model: ModelWrapper, folder: Path) -> ModelWrapper:
    """Return a wrapper of a copy of the model, every file of it cut in half."""
    path = folder / f"corrupt{model.model_path.suffix}"
    if model.model_path.is_dir():
        shutil.copytree(model.model_path, path)
    else:
        shutil.copyfile(model.model_path, path)
    for file in _checksums(path):
        content = file.read_bytes()
        file.write_bytes(content[: len(content) // 2])
    return type(model).from_options({**model.to_options(), "model_path": path})
