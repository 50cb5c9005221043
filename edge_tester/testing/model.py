"""The conformance suite of model wrappers."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from msgspec import structs

from edge_tester.core import registry
from edge_tester.core.dataset import Dataset
from edge_tester.core.errors import EdgeTesterError, InputError, ModelError
from edge_tester.core.model import ModelWrapper, TrainingPlan
from edge_tester.core.run.feed import Feed
from edge_tester.core.system.files import sha256_of
from edge_tester.core.tensors import Array
from edge_tester.testing.plugin import PluginConformance


class ModelWrapperConformance(PluginConformance):
    """A subclass must name the wrapper and give a model file and a data set for it.

    The class attributes say what the wrapper can do, and are the only reasons to
    skip a check or to expect a refusal instead.
    """

    cls: ClassVar[type[ModelWrapper]]
    options: ClassVar[dict[str, Any]] = {"model_path": "model"}
    saves: ClassVar[bool] = False
    exports_onnx: ClassVar[bool] = False
    trains: ClassVar[bool] = False
    supports_batching: ClassVar[bool] = True
    tolerance: ClassVar[float] = 1e-5
    """Largest difference between answers that should be the same."""

    @pytest.fixture
    def model_file(self) -> Path:
        """Return a valid model file or folder."""
        raise self.lacking("model_file")

    @pytest.fixture
    def dataset(self) -> Dataset:
        """Return a prepared data set that fits the model."""
        raise self.lacking("dataset")

    @pytest.fixture
    def model(self, model_file: Path) -> ModelWrapper:
        """Return a wrapper of the model file that is not loaded."""
        return self._wrapper(model_file)

    @pytest.fixture
    def loaded(self, model: ModelWrapper) -> ModelWrapper:
        """Return a loaded wrapper."""
        model.load()
        return model

    def test_format_needs_no_loading(self, model: ModelWrapper) -> None:
        """A file is deployed without its framework."""
        assert model.format != ""

    def test_use_before_loading_is_refused(self, model: ModelWrapper, dataset: Dataset) -> None:
        """Nothing works on a model that is not there."""
        with pytest.raises(ModelError, match="load"):
            model.specs()
        with pytest.raises(ModelError, match="load"):
            model.run(list(dataset.load([0]).inputs))

    def test_missing_file_is_named(self, model_file: Path, tmp_path: Path) -> None:
        """The message says which file is missing."""
        missing = tmp_path / f"missing{model_file.suffix}"
        with pytest.raises(ModelError, match=re.escape(str(missing))):
            self._wrapper(missing).load()

    @pytest.mark.parametrize("content", [b"", b"no model at all" * 20])
    def test_corrupt_file_is_named(self, model_file: Path, tmp_path: Path, content: bytes) -> None:
        """What is in no format that the wrapper takes is refused."""
        suffix = model_file.suffix or ".keras"
        corrupt = tmp_path / f"corrupt{suffix}"
        corrupt.write_bytes(content)
        with pytest.raises(ModelError, match=re.escape(str(corrupt))):
            self._wrapper(corrupt).load()

    def test_specs_describe_the_answers(self, loaded: ModelWrapper, dataset: Dataset) -> None:
        """Shapes and dtypes are those that really come out."""
        inputs, outputs = loaded.specs()
        for specs in (inputs, outputs):
            assert len(specs) == len({spec.name for spec in specs}) > 0
        answers = loaded.run(self._inputs(loaded, dataset, [0]))
        assert len(outputs) == len(answers)
        for spec, answer in zip(outputs, answers, strict=True):
            assert spec.accepts(answer.shape)
            if not spec.quantized:
                assert spec.dtype == answer.dtype

    def test_preprocessing_gives_what_the_model_takes(
        self, loaded: ModelWrapper, dataset: Dataset
    ) -> None:
        """It fits the specs, and leaves the data set's values alone."""
        samples = dataset.load([0])
        kept = [values.copy() for values in samples.inputs]
        inputs, _ = loaded.specs()
        for spec, values in zip(inputs, loaded.preprocess(samples.inputs, inputs), strict=True):
            spec.conform(values)
        for expected, actual in zip(kept, samples.inputs, strict=True):
            assert np.array_equal(expected, actual)

    def test_postprocessing_gives_one_row_per_sample(
        self, loaded: ModelWrapper, dataset: Dataset
    ) -> None:
        """Scores or values have the batch first."""
        answers = loaded.run(self._inputs(loaded, dataset, [0]))
        assert 1 == len(loaded.postprocess(answers))

    def test_batch_answers_like_single_samples(
        self, loaded: ModelWrapper, dataset: Dataset
    ) -> None:
        """A sample's answer does not depend on its batch, nor on earlier batch sizes."""
        if not self.supports_batching:
            pytest.skip("the model has a fixed batch size")
        single = [self._answers(loaded, dataset, [index]) for index in (0, 1, 2)]
        together = self._answers(loaded, dataset, [0, 1, 2])
        self._assert_close(
            [np.concatenate(column) for column in zip(*single, strict=True)], together
        )
        self._assert_close(single[0], self._answers(loaded, dataset, [0]))

    def test_answers_belong_to_the_caller(self, loaded: ModelWrapper, dataset: Dataset) -> None:
        """The next run changes neither earlier answers nor the inputs."""
        inputs = self._inputs(loaded, dataset, [0])
        kept_inputs = [values.copy() for values in inputs]
        answers = loaded.run(inputs)
        kept = [answer.copy() for answer in answers]
        loaded.run(self._inputs(loaded, dataset, [1]))
        for expected, actual in zip(kept + kept_inputs, answers + inputs, strict=True):
            assert np.array_equal(expected, actual)

    def test_inputs_that_do_not_fit_are_refused(
        self, loaded: ModelWrapper, dataset: Dataset
    ) -> None:
        """A wrong count or shape is the caller's error, and said so."""
        inputs = self._inputs(loaded, dataset, [0])
        with pytest.raises(InputError):
            loaded.run([*inputs, inputs[0]])
        with pytest.raises(InputError):
            loaded.run([values[..., np.newaxis] for values in inputs])

    def test_loading_twice_and_running_leave_the_file_alone(
        self, loaded: ModelWrapper, dataset: Dataset
    ) -> None:
        """The user's model file is only read."""
        before = _checksums(loaded.model_path)
        loaded.load()
        self._answers(loaded, dataset, [0])
        assert before == _checksums(loaded.model_path)

    def test_saving_keeps_the_answers(
        self, loaded: ModelWrapper, dataset: Dataset, tmp_path: Path
    ) -> None:
        """A saved model loads again and answers the same; or saving is refused."""
        path = tmp_path / "saved" / f"saved{loaded.model_path.suffix}"
        if not self.saves:
            with pytest.raises(ModelError, match="save"):
                loaded.save(path)
            return
        loaded.save(path)
        again = self._wrapper(path)
        again.load()
        expected = self._answers(loaded, dataset, [0])
        self._assert_close(expected, self._answers(again, dataset, [0]))

    def test_onnx_answers_like_the_model(
        self, loaded: ModelWrapper, dataset: Dataset, tmp_path: Path
    ) -> None:
        """The export is one file that ONNX Runtime runs alike; or it is refused."""
        path = tmp_path / "exported" / "model.onnx"
        if not self.exports_onnx:
            with pytest.raises(ModelError, match="ONNX"):
                loaded.save_to_onnx(path)
            return
        loaded.save_to_onnx(path)
        assert [path] == list(path.parent.iterdir())
        exported = registry.load("modelwrappers", "onnx_file").from_options({"model_path": path})
        assert isinstance(exported, ModelWrapper)
        exported.load()
        inputs = self._inputs(loaded, dataset, [0])
        self._assert_close(loaded.run(inputs), exported.run(inputs))

    def test_training_is_reproducible(self, dataset: Dataset, tmp_path: Path) -> None:
        """The same seed trains the same model, another one another; or it is refused."""
        suffix = Path(str(self.options["model_path"])).suffix
        plan = TrainingPlan.from_options({"num_epochs": 1})
        if not self.trains:
            with pytest.raises(EdgeTesterError, match="train"):
                self._wrapper(tmp_path / f"trained{suffix}").train(dataset, plan)
            return
        answers = []
        for name, seed, logdir in (
            ("first", 0, None),
            ("again", 0, None),
            ("other", 1, tmp_path / "logs"),
        ):
            trained = self._wrapper(tmp_path / f"{name}{suffix}")
            plan.seed, plan.logdir = seed, logdir
            metrics = trained.train(dataset, plan)
            assert metrics
            assert all(math.isfinite(value) for value in metrics.values())
            assert trained.model_path.exists()
            answers.append(self._answers(trained, dataset, [0])[0])
        assert np.array_equal(answers[0], answers[1])
        assert not np.array_equal(answers[0], answers[2])
        assert any((tmp_path / "logs").rglob("events.*"))

    def _wrapper(self, path: Path) -> ModelWrapper:
        model = self.cls.from_options({**self.options, "model_path": path})
        assert isinstance(model, ModelWrapper)
        return model

    def _inputs(self, model: ModelWrapper, dataset: Dataset, indices: list[int]) -> list[Array]:
        inputs, outputs = model.specs()
        if self.supports_batching:
            # A file may have the batch of its last run in its specs; any other fits too.
            inputs = [structs.replace(spec, shape=(None, *spec.shape[1:])) for spec in inputs]
        feed = Feed(model, dataset, inputs, outputs, np.asarray(indices), size=len(indices))
        return feed.values(next(feed.loaded()))

    def _answers(self, model: ModelWrapper, dataset: Dataset, indices: list[int]) -> list[Array]:
        return model.run(self._inputs(model, dataset, indices))

    def _assert_close(self, expected: list[Array], actual: list[Array]) -> None:
        for wanted, got in zip(expected, actual, strict=True):
            assert wanted.shape == got.shape
            assert np.abs(wanted - got).max() <= self.tolerance


def _checksums(path: Path) -> dict[Path, str]:
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return {file: sha256_of(file) for file in files}
