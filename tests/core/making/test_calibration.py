"""What a quantization is calibrated with: a folder instead of the data set, how many, how said."""

from pathlib import Path

import numpy as np
import pytest

import edge_tester.resources
from edge_tester.compilers.coreml import CoreMLCompiler
from edge_tester.compilers.onnx import ONNXCompiler
from edge_tester.compilers.tflite import TFLiteCompiler
from edge_tester.core.errors import CompilationError, DatasetError, OptionError
from edge_tester.core.making.cache import ingredients_of
from edge_tester.core.samples.choosing import write_samples
from edge_tester.datasets.digits import DigitsDataset
from edge_tester.datasets.random_inputs import RandomDataset
from edge_tester.modelwrappers.generic.onnx_file import ONNXFile
from edge_tester.modelwrappers.generic.tflite_file import TFLiteFile

RESOURCES = Path(edge_tester.resources.__file__).parent


def model(kind=ONNXFile, **options):
    suffix = "onnx" if kind is ONNXFile else "tflite"
    return kind(model_path=RESOURCES / f"digits.{suffix}", **options)


@pytest.fixture
def digits():
    dataset = DigitsDataset()
    dataset.prepare()
    return dataset


@pytest.fixture
def folder(tmp_path, digits):
    write_samples(digits, model(), 200, 0, tmp_path / "samples")
    return tmp_path / "samples"


def plain(path, values):
    path.mkdir()
    for number, one in enumerate(values):
        np.save(path / f"{number:03}.npy", one)
    return path


def compiled(tmp_path, dataset, source=None, cls=ONNXCompiler, **options):
    path = tmp_path / "made"
    return cls(compiled_model_path=path, target="int8", **options).compile(
        source or model(), dataset
    )


@pytest.mark.parametrize(("cls", "kind"), [(ONNXCompiler, ONNXFile), (TFLiteCompiler, TFLiteFile)])
def test_a_folder_replaces_the_calibration_split(tmp_path, folder, digits, cls, kind):
    artifact = compiled(tmp_path, digits, model(kind), cls, calibration_samples=folder)
    facts = artifact.facts["calibration"]
    assert ("folder", 200, True) == (facts["source"], facts["samples"], facts["preprocessed"])
    assert [0.0, 1.0] == artifact.facts["calibrated"]["0"]
    assert () == artifact.remarks
    assert {} == digits.reserved
    # Half of the values: half of the range.
    halves = plain(tmp_path / "halves", digits.load(range(200)).inputs[0] / 2)
    artifact = compiled(tmp_path, digits, model(kind), cls, calibration_samples=halves)
    assert [0.0, 0.5] == artifact.facts["calibrated"]["0"]


def test_raw_samples_are_preprocessed_as_the_model_s_are(tmp_path, digits):
    write_samples(digits, None, 200, 0, tmp_path / "samples")
    source = model(input_scale=2.0, input_mean=(1.0,))
    artifact = compiled(
        tmp_path, digits, source, calibration_samples=tmp_path / "samples", self_check=False
    )
    assert [-1.0, 1.0] == artifact.facts["calibrated"]["0"]
    assert () == artifact.remarks


@pytest.mark.parametrize(("factor", "shift"), [(255, 0), (2, -1), (1 / 16, 0)])
def test_another_range_than_the_model_is_fed_with_is_told(tmp_path, digits, factor, shift):
    values = digits.load(range(220)).inputs[0] * factor + shift
    path = plain(tmp_path / "odd", values.astype(np.float32))
    artifact = compiled(tmp_path, digits, calibration_samples=path, self_check=False)
    (remark,) = artifact.remarks
    assert f"go from {shift} to {factor + shift:.4g}, but what the model is fed with" in remark
    assert "from 0 to 1" in remark


def test_what_the_check_of_the_result_finds_is_said_with_it(tmp_path, digits):
    values = digits.load(range(220)).inputs[0] * 1e6
    path = plain(tmp_path / "odd", values)
    with pytest.raises(CompilationError, match="does not depend on the input.*go from 0 to 1e.06"):
        compiled(tmp_path, digits, calibration_samples=path)


def test_samples_of_another_model_s_preprocessing_are_told(tmp_path, digits):
    write_samples(digits, model(input_scale=0.9), 200, 0, tmp_path / "s")
    artifact = compiled(tmp_path, digits, calibration_samples=tmp_path / "s")
    assert any("preprocessed for another model" in one for one in artifact.remarks)


def test_samples_in_the_folder_are_not_measured(tmp_path, folder):
    dataset = DigitsDataset(split_seed=7)
    dataset.prepare()
    before = set(dataset.split().test)
    compiler = ONNXCompiler(target="int8", calibration_samples=folder)
    found = compiler.check_calibration(dataset)
    inside = {one.index for one in found.manifest.samples}
    assert before & inside
    assert before - inside == set(dataset.split().test)
    assert f"{len(before & inside)} of the samples to be measured are" in dataset.remarks()[0]


@pytest.mark.parametrize("count", [10, 50, 1000])
def test_so_many_samples_as_are_asked_for(tmp_path, count):
    dataset = DigitsDataset()
    dataset.prepare()
    artifact = compiled(tmp_path, dataset, calibration_count=count)
    assert count == artifact.facts["calibration"]["samples"]
    assert (count < 200) == any(f"There are {count} samples" in one for one in artifact.remarks)


def test_a_part_of_a_folder_has_each_class_with_its_share(tmp_path, folder, digits):
    compiler = ONNXCompiler(target="int8", calibration_samples=folder, calibration_count=20)
    source = model()
    samples = list(compiler._calibration(source, digits))
    manifest = compiler.check_calibration(digits).manifest
    raw = digits.load([one.index for one in manifest.samples]).inputs[0]
    labels = [
        manifest.samples[int(np.argmin(np.abs(raw - one[0]).sum(axis=(1, 2, 3))))].label
        for one in samples
    ]
    assert 20 == len(samples) and 10 == len(set(labels))


def test_more_than_the_folder_has_is_refused(tmp_path, folder, digits):
    with pytest.raises(CompilationError, match="at most the 200 samples of .*, got 201"):
        compiled(tmp_path, digits, calibration_samples=folder, calibration_count=201)


def test_numbers_that_are_none_are_refused_from_a_data_set_too(tmp_path):
    from edge_tester.datasets.npz_file import NpzDataset

    x = np.zeros((220, 8, 8, 1), np.float32)
    x[100, 0, 0] = np.nan
    np.savez(tmp_path / "d.npz", x=x)
    dataset = NpzDataset(dataset_path=tmp_path / "d.npz", test_fraction=0, calibration_fraction=1)
    dataset.prepare()
    with pytest.raises(
        CompilationError, match="NaN or infinite values in input 0 of .* sample 100"
    ):
        compiled(tmp_path, dataset)


@pytest.mark.parametrize("name", ["calibration_samples", "calibration_count"])
def test_an_option_that_would_do_nothing_is_refused(tmp_path, digits, name):
    options = {name: tmp_path if name.endswith("samples") else 10}
    with pytest.raises(OptionError, match=f"ONNXCompiler.{name} is for a quantization that is"):
        ONNXCompiler(compiled_model_path=tmp_path / "m.onnx", **options).compile(model(), digits)
    with pytest.raises(OptionError, match="CoreMLCompiler"):
        CoreMLCompiler(**options).check_choices()
    dynamic = TFLiteCompiler(compiled_model_path=tmp_path / "m.tflite", target="dynamic", **options)
    with pytest.raises(CompilationError, match="nothing is calibrated"):
        dynamic.compile(model(TFLiteFile), digits)
    assert not (tmp_path / "m.tflite").exists()


def test_without_a_data_set_a_folder_is_enough(tmp_path, folder):
    artifact = compiled(tmp_path, None, calibration_samples=folder)
    assert "not: there is no data set" == artifact.facts["calibration"]["ranges_compared"]
    with pytest.raises(CompilationError, match="or --calibration-samples, got none"):
        compiled(tmp_path, None)


def test_random_numbers_are_measured_with_real_ranges(tmp_path, folder):
    dataset = RandomDataset()
    dataset.prepare()
    artifact = compiled(tmp_path, dataset, calibration_samples=folder)
    assert not any("to calibrate with" in one for one in artifact.remarks)
    assert "random" in artifact.facts["calibration"]["ranges_compared"]


def test_the_cache_sees_what_is_in_the_folder_and_how_many_are_taken(tmp_path, folder, digits):
    def key(**options):
        return ingredients_of(ONNXCompiler(target="int8", **options), model(), digits)

    before = key(calibration_samples=folder)
    assert before == key(calibration_samples=folder)
    assert "calibration samples" not in before
    write_samples(digits, model(), 200, 1, folder)
    after = key(calibration_samples=folder)
    assert ["content of compiler.calibration_samples"] == [
        name for name in before if before[name] != after[name]
    ]
    fewer, all_of_them = key(calibration_count=50), key()
    assert fewer["calibration samples"] != all_of_them["calibration samples"]


def test_the_cache_sees_samples_that_are_set_apart(tmp_path):
    """Two data sets without a calibration split are not the same one."""
    keys = []
    for seed in (0, 1):
        dataset = DigitsDataset(calibration_fraction=0, split_seed=seed)
        dataset.prepare()
        keys.append(ingredients_of(ONNXCompiler(target="int8"), model(), dataset))
    assert keys[0]["calibration samples"] != keys[1]["calibration samples"]


def test_a_broken_folder_is_refused_before_anything_is_made(tmp_path, folder, digits):
    np.save(folder / "000000.npy", np.zeros((1, 8, 8, 1), np.float32))
    compiler = ONNXCompiler(target="int8", calibration_samples=folder)
    with pytest.raises(DatasetError, match="000000.npy was changed"):
        compiler.check_calibration(digits)
