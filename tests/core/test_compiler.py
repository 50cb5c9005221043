"""Calibration as every compiler gets it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import edge_tester.resources
from edge_tester.compilers.tflite import TFLiteCompiler
from edge_tester.core.errors import DatasetError
from edge_tester.datasets.digits import DigitsDataset
from edge_tester.datasets.image_folder import ImageFolderDataset
from edge_tester.datasets.random_inputs import RandomDataset
from edge_tester.modelwrappers.generic.tflite_file import TFLiteFile


@pytest.fixture
def model() -> TFLiteFile:
    path = Path(edge_tester.resources.__file__).with_name("digits.tflite")
    return TFLiteFile(model_path=path, input_scale=1 / 255)


@pytest.fixture
def compiler(tmp_path) -> TFLiteCompiler:
    return TFLiteCompiler(compiled_model_path=tmp_path / "int8.tflite", target="int8")


@pytest.fixture
def images(tmp_path) -> ImageFolderDataset:
    generator = np.random.default_rng(0)
    for index in range(220):
        path = tmp_path / "images" / str(index % 10) / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (9, 12), np.uint8)).save(path)
    return ImageFolderDataset(
        dataset_root=tmp_path / "images", test_fraction=0.05, calibration_fraction=0.95
    )


def test_data_sets_that_fit_themselves_to_the_model_learn_its_shape_first(model, compiler, images):
    random_inputs = RandomDataset(num_samples=210, test_fraction=0, calibration_fraction=1)
    for dataset in (images, random_inputs):
        dataset.prepare()
        artifact = compiler.compile(model, dataset)
        assert 1.0 == artifact.weights.quantized_share


def test_calibration_samples_are_those_of_the_calibration_split(model, compiler):
    dataset = DigitsDataset()
    dataset.prepare()
    split = dataset.split()
    expected = dataset.load(split.calibration).inputs[0] / 255
    found = np.concatenate([inputs[0] for inputs in compiler._calibration(model, dataset)])
    assert len(found) >= 200
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert not set(split.calibration) & (set(split.test) | set(split.train) | set(split.validation))


def test_too_few_calibration_samples_are_refused_and_leave_no_file(model, compiler):
    dataset = RandomDataset(num_samples=100, test_fraction=0, calibration_fraction=1)
    dataset.prepare()
    with pytest.raises(DatasetError, match="RandomDataset has 100 samples .*, 200 are needed"):
        compiler.compile(model, dataset)
    assert not compiler.compiled_model_path.exists()
