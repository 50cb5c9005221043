"""The conformance suite of compilers that can leave layers in float."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from edge_tester.core.artifact import Artifact
from edge_tester.core.dataset import Dataset
from edge_tester.core.errors import OptionError
from edge_tester.core.model import ModelWrapper
from edge_tester.core.run.feed import Feed
from edge_tester.core.selectivecompiler import SelectiveCompiler

# Rounding between one way of running a model and another, as part of a range.
_ROUNDING = 1e-3
_SAMPLES = 8


class SelectiveConformance:
    """A subclass must name the compiler and give a model and a data set.

    It is inherited beside :class:`edge_tester.testing.CompilerConformance`, or alone. ``selective``
    are options with which the compiler quantizes and calibrates.
    """

    cls: ClassVar[type[SelectiveCompiler]]
    selective: ClassVar[dict[str, Any]] = {"target": "int8"}

    @pytest.fixture
    def model(self) -> ModelWrapper:
        """Return a wrapper of a model in float with several layers, of which names last."""
        raise NotImplementedError(f"{type(self).__name__} must give the fixture 'model'.")

    @pytest.fixture
    def dataset(self) -> Dataset:
        """Return a prepared data set with calibration samples for the model."""
        raise NotImplementedError(f"{type(self).__name__} must give the fixture 'dataset'.")

    def test_layers_are_told_once_each(
        self, model: ModelWrapper, dataset: Dataset, tmp_path: Path
    ) -> None:
        """What can be named has a name of its own, and some have weights."""
        compiler, _ = self._made(model, dataset, tmp_path)
        names = [layer.name for layer in compiler.layers]
        assert len(names) > 1
        assert len(names) == len(set(names))
        assert all(layer.name == layer.outputs[0] for layer in compiler.layers)
        assert any(layer.weights for layer in compiler.layers)

    def test_a_named_layer_stays_in_float_and_no_other_does(
        self, model: ModelWrapper, dataset: Dataset, tmp_path: Path
    ) -> None:
        """Its weights are floats in the file, and so many more than without."""
        whole, before = self._made(model, dataset, tmp_path)
        layer = next(one for one in whole.layers if one.weights)
        _, after = self._made(model, dataset, tmp_path, layer.name)
        assert _floats(after) - _floats(before) == layer.weights
        told = after.facts["kept_in_float"]
        assert (1, len(whole.layers)) == (told["layers"], told["of_layers"])

    def test_a_name_of_nothing_is_refused(
        self, model: ModelWrapper, dataset: Dataset, tmp_path: Path
    ) -> None:
        """A typing error must not quantize what was to be left alone."""
        with pytest.raises(OptionError, match="no such layer, surely"):
            self._made(model, dataset, tmp_path, "no such layer, surely")

    def test_ranges_hold_the_values_that_were_calibrated_with(
        self, model: ModelWrapper, dataset: Dataset, tmp_path: Path
    ) -> None:
        """The tensors have the names of the ranges, and their values are those of the model."""
        compiler, _ = self._made(model, dataset, tmp_path)
        ranges = compiler.tensor_ranges
        inputs = model.specs()[0]
        feed = Feed(model, dataset, inputs, indices=dataset.split().calibration[:_SAMPLES])
        seen = 0
        for tensors in compiler.tensors(model, (feed.values(one) for one in feed.loaded())):
            seen += 1
            assert ranges.keys() <= tensors.keys()
            for name, (low, high) in ranges.items():
                room = _ROUNDING * (high - low)
                assert low - room <= np.min(tensors[name])
                assert np.max(tensors[name]) <= high + room
        assert seen == _SAMPLES
        assert ranges

    def test_calibrating_once_makes_the_same(
        self, model: ModelWrapper, dataset: Dataset, tmp_path: Path
    ) -> None:
        """Ranges that were found for another choice of layers are the same ranges."""
        whole, _ = self._made(model, dataset, tmp_path)
        name = whole.layers[0].name
        _, alone = self._made(model, dataset, tmp_path, name)
        compiler = self._compiler(tmp_path)
        with compiler.calibrating_once():
            compiler.compile(model, dataset)
            compiler.keep_float = (name,)
            again = compiler.compile(model, dataset)
        assert alone.sha256 == again.sha256
        assert alone.facts["calibrated"] == again.facts["calibrated"]

    def _compiler(self, folder: Path, *names: str) -> SelectiveCompiler:
        options = {"compiled_model_path": folder / "made", "self_check": False}
        return self.cls.from_options({**self.selective, **options, "keep_float": names})

    def _made(
        self, model: ModelWrapper, dataset: Dataset, folder: Path, *names: str
    ) -> tuple[SelectiveCompiler, Artifact]:
        compiler = self._compiler(folder, *names)
        return compiler, compiler.compile(model, dataset)


def _floats(artifact: Artifact) -> int:
    weights = artifact.weights
    return weights.elements.get("float32", 0) if weights else 0
