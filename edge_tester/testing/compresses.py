"""The conformance suite of model wrappers that make their model smaller."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from edge_tester.core.compresses import Compressed, Compresses, Compression
from edge_tester.core.dataset import Dataset
from edge_tester.core.errors import EdgeTesterError, OptionError
from edge_tester.core.making.chain import wrapper_of
from edge_tester.core.model import ModelWrapper
from edge_tester.core.run.evaluation import evaluate
from edge_tester.core.system.files import sha256_of
from edge_tester.testing.plugin import PluginConformance


class CompressesConformance(PluginConformance):
    """A subclass must name the wrapper, and give its options, a model file and a data set.

    What a wrapper must do beside, :class:`edge_tester.testing.ModelWrapperConformance` checks.
    """

    cls: ClassVar[type[ModelWrapper]]
    compression: ClassVar[dict[str, Any]] = {"pruning": 0.5, "finetune_epochs": 1}
    """Options of a compression that removes something and learns a little."""

    @pytest.fixture
    def model_file(self) -> Path:
        """Return a trained model, as small as its format allows."""
        raise self.lacking("model_file")

    @pytest.fixture
    def dataset(self) -> Dataset:
        """Return a prepared data set of a dozen samples or more, with a validation split."""
        raise self.lacking("dataset")

    def test_is_a_wrapper_that_compresses(self) -> None:
        """The capability comes before what it is added to."""
        assert issubclass(self.cls, ModelWrapper)
        assert self.cls.__mro__.index(Compresses) < self.cls.__mro__.index(ModelWrapper)

    def test_says_of_the_file_what_it_is(
        self, model_file: Path, dataset: Dataset, tmp_path: Path
    ) -> None:
        """Path, checksum, size, and that of the file that it was made from."""
        made = self._made(self._loaded(model_file), dataset, tmp_path / "a.pt2")
        assert tmp_path / "a.pt2" == made.path
        assert sha256_of(made.path) == made.sha256
        assert made.path.stat().st_size == made.size_bytes
        assert [made.path] == list(tmp_path.iterdir())
        assert self._loaded(model_file).artifact().sha256 == made.source_sha256
        assert made.options == Compression(**self.compression).to_options()
        assert made.parameters_after < made.parameters_before
        assert made.macs_after < made.macs_before

    def test_the_file_answers_as_well_as_it_says(
        self, model_file: Path, dataset: Dataset, tmp_path: Path
    ) -> None:
        """Loaded from its options, and on the split that is promised."""
        model = self._loaded(model_file)
        made = self._made(model, dataset, tmp_path / "a.pt2")
        file = wrapper_of(made.path, made.format, dict(made.wrapper))
        file.load()
        validation = dataset.split().validation
        assert evaluate(model, dataset, validation) == made.quality_before
        assert evaluate(file, dataset, validation) == made.quality_after

    def test_takes_and_gives_what_the_model_does(
        self, model_file: Path, dataset: Dataset, tmp_path: Path
    ) -> None:
        """Numbers, shapes and order of the tensors, but for the batch."""
        model = self._loaded(model_file)
        made = self._made(model, dataset, tmp_path / "a.pt2")
        file = wrapper_of(made.path, made.format, dict(made.wrapper))
        file.load()
        for wanted, found in zip(model.specs(), file.specs(), strict=True):
            assert [s.shape[1:] for s in wanted] == [s.shape[1:] for s in found]
            assert [s.dtype for s in wanted] == [s.dtype for s in found]

    def test_leaves_all_else_as_it_was(
        self, model_file: Path, dataset: Dataset, tmp_path: Path
    ) -> None:
        """The file, the answers of the loaded model, the samples, the caller's random numbers."""
        model = self._loaded(model_file)
        dataset.bind(model.specs()[0])
        before = sha256_of(model_file), _samples(dataset), self._answers(model, dataset)
        np.random.seed(7)
        wanted = np.random.random(3)
        np.random.seed(7)
        self._made(model, dataset, tmp_path / "a.pt2")
        assert np.array_equal(wanted, np.random.random(3))
        assert before == (sha256_of(model_file), _samples(dataset), self._answers(model, dataset))

    def test_equal_options_make_equal_weights(
        self, model_file: Path, dataset: Dataset, tmp_path: Path
    ) -> None:
        """Whatever was made with the wrapper before."""
        model = self._loaded(model_file)
        made = [self._made(model, dataset, tmp_path / f"{name}.pt2") for name in "ab"]
        made.append(self._made(self._loaded(model_file), dataset, tmp_path / "c.pt2"))
        assert 1 == len({one.weights_sha256 for one in made})
        assert made[0].phases == made[1].phases == made[2].phases

    def test_another_order_of_samples_makes_other_weights(
        self, model_file: Path, dataset: Dataset, tmp_path: Path
    ) -> None:
        """The seed of the order is one that is used."""
        model = self._loaded(model_file)
        made = [
            self._made(model, dataset, tmp_path / f"{seed}.pt2", loader_seed=seed)
            for seed in (0, 1)
        ]
        assert made[0].weights_sha256 != made[1].weights_sha256
        assert [0, 1] == [one.loader_seed for one in made]

    def test_measured_samples_are_not_looked_at(
        self, model_file: Path, dataset: Dataset, tmp_path: Path
    ) -> None:
        """Whoever learns from them, or chooses by them, measures what he has seen."""
        seen: set[int] = set()
        load = dataset.load

        def noted(indices: Any) -> Any:
            seen.update(int(one) for one in indices)
            return load(indices)

        dataset.load = noted  # type: ignore[method-assign]
        try:
            self._made(self._loaded(model_file), dataset, tmp_path / "a.pt2")
        finally:
            dataset.load = load  # type: ignore[method-assign]
        split = dataset.split()
        assert seen
        assert seen <= {*map(int, split.train), *map(int, split.validation)}

    def test_refuses_before_it_is_loaded(
        self, model_file: Path, dataset: Dataset, tmp_path: Path
    ) -> None:
        """And leaves nothing behind."""
        with pytest.raises(EdgeTesterError):
            self._made(self._wrapper(model_file), dataset, tmp_path / "a.pt2")
        assert not list(tmp_path.iterdir())

    def test_refuses_a_file_of_another_format(
        self, model_file: Path, dataset: Dataset, tmp_path: Path
    ) -> None:
        """Its suffix would say what it is not."""
        with pytest.raises(OptionError):
            self._made(self._loaded(model_file), dataset, tmp_path / "a.onnx")
        assert not list(tmp_path.iterdir())

    def _wrapper(self, model_file: Path) -> ModelWrapper:
        return self.cls.from_options({**self.options, "model_path": str(model_file)})

    def _loaded(self, model_file: Path) -> ModelWrapper:
        model = self._wrapper(model_file)
        model.load()
        return model

    def _made(self, model: ModelWrapper, dataset: Dataset, path: Path, **more: Any) -> Compressed:
        assert isinstance(model, Compresses)
        return model.compress(dataset, Compression(**{**self.compression, **more}), path)

    def _answers(self, model: ModelWrapper, dataset: Dataset) -> list[bytes]:
        specs = model.specs()[0]
        dataset.bind(specs)
        samples = dataset.load(dataset.split().train[:2])
        return [one.tobytes() for one in model.run(model.preprocess(samples.inputs, specs))]


def _samples(dataset: Dataset) -> str:
    samples = dataset.load(dataset.split().train)
    parts = [*samples.inputs, *(() if samples.truth is None else (samples.truth,))]
    return hashlib.sha256(
        b"".join(np.ascontiguousarray(one).tobytes() for one in parts)
    ).hexdigest()
