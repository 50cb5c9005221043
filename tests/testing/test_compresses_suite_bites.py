"""The suite of model wrappers that compress passes ours and rejects bad ones."""

import dataclasses
import inspect

import msgspec
import numpy as np
import pytest
import torch

from edge_tester.datasets.digits import DigitsDataset
from edge_tester.testing import CompressesConformance
from tests.compressible import Plain, untrained


@pytest.fixture
def dataset():
    # Most of it is measured, so that little has to be learned.
    dataset = DigitsDataset(test_fraction=0.8, validation_fraction=0.05)
    dataset.prepare()
    return dataset


@pytest.fixture
def model_file(tmp_path_factory):
    return untrained(Plain, tmp_path_factory.mktemp("plain")).model_path


class TestPlain(CompressesConformance):
    cls = Plain
    options = {"model_path": "model.pth"}

    @pytest.fixture
    def model_file(self, model_file):
        return model_file

    @pytest.fixture
    def dataset(self, dataset):
        return dataset


class Peeking(Plain):
    """Looks at samples that are measured."""

    def compress(self, dataset, compression, output):
        dataset.load(dataset.split().test[:1])
        return super().compress(dataset, compression, output)


class Spoiling(Plain):
    """Changes the loaded model."""

    def compress(self, dataset, compression, output):
        made = super().compress(dataset, compression, output)
        with torch.no_grad():
            next(self.network.parameters()).add_(1)
        return made


class Boasting(Plain):
    """Says a quality that the file does not have."""

    def compress(self, dataset, compression, output):
        made = super().compress(dataset, compression, output)
        better = msgspec.structs.replace(made.quality_after, accuracy=1.0)
        return msgspec.structs.replace(made, quality_after=better)


class Whimsical(Plain):
    """Draws the order of the samples as it likes."""

    def compress(self, dataset, compression, output):
        seed = int(np.random.default_rng().integers(1 << 30))
        return super().compress(dataset, dataclasses.replace(compression, loader_seed=seed), output)


class Stubborn(Plain):
    """Has one order of samples."""

    def compress(self, dataset, compression, output):
        fixed = dataclasses.replace(compression, loader_seed=0)
        made = super().compress(dataset, fixed, output)
        return msgspec.structs.replace(made, loader_seed=compression.loader_seed)


@pytest.mark.parametrize(
    ("cls", "check"),
    [
        (Peeking, "test_measured_samples_are_not_looked_at"),
        (Spoiling, "test_leaves_all_else_as_it_was"),
        (Boasting, "test_the_file_answers_as_well_as_it_says"),
        (Whimsical, "test_equal_options_make_equal_weights"),
        (Stubborn, "test_another_order_of_samples_makes_other_weights"),
    ],
)
def test_a_bad_one_is_rejected(cls, check, model_file, dataset, tmp_path):
    suite = type("Suite", (CompressesConformance,), {"cls": cls})()
    checks = dict(inspect.getmembers(suite, inspect.ismethod))
    with pytest.raises(AssertionError):
        checks[check](model_file, dataset, tmp_path)
