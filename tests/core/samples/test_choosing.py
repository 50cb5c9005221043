"""Choosing and writing samples: which they are, what is said of them, and what becomes of them."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import edge_tester.resources
from edge_tester.core.errors import DatasetError, InputError
from edge_tester.core.samples.checks import SampleWatch
from edge_tester.core.samples.choosing import indices_of, write_samples
from edge_tester.core.samples.folder import read_folder
from edge_tester.core.tensors import TensorSpec
from edge_tester.datasets.digits import DigitsDataset
from edge_tester.datasets.npz_file import NpzDataset
from edge_tester.datasets.random_inputs import RandomDataset
from edge_tester.modelwrappers.generic.onnx_file import ONNXFile
from edge_tester.modelwrappers.generic.tflite_file import TFLiteFile

MODEL = Path(edge_tester.resources.__file__).with_name("digits.tflite")


@pytest.fixture
def digits():
    dataset = DigitsDataset()
    dataset.prepare()
    return dataset


def npz(path, **arrays):
    np.savez(path, **arrays)
    dataset = NpzDataset(dataset_path=path, test_fraction=0.5, calibration_fraction=0.5)
    dataset.prepare()
    return dataset


def test_samples_are_of_the_calibration_split_each_class_with_its_share(tmp_path, digits):
    manifest = write_samples(digits, None, 200, 3, tmp_path / "s")
    indices = [one.index for one in manifest.samples]
    assert 200 == len(set(indices)) and set(indices) <= set(digits.split().calibration)
    assert not set(indices) & set(digits.split().test)
    counts = np.bincount(manifest.labels())
    assert 10 == len(counts) and counts.max() - counts.min() <= 4
    assert not manifest.preprocessed and not manifest.random
    folder = read_folder(tmp_path / "s")
    for number, index in enumerate(indices):
        (values,) = folder.load(number, folder.columns)
        np.testing.assert_array_equal(digits.load([index]).inputs[0], values)


def test_the_same_seed_gives_the_same_bytes_and_another_other_samples(tmp_path, digits):
    first, again, other = (tmp_path / name for name in "abc")
    write_samples(digits, None, 50, 0, first)
    write_samples(digits, None, 50, 0, again)
    write_samples(digits, None, 50, 1, other)
    assert read_folder(first).sha256 == read_folder(again).sha256 != read_folder(other).sha256


def test_with_a_model_they_are_what_its_preprocessing_gives(tmp_path, digits):
    model = TFLiteFile(model_path=MODEL, input_scale=2.0, input_mean=(1.0,))
    manifest = write_samples(digits, model, 20, 0, tmp_path / "s")
    assert manifest.preprocessed
    assert (-1.0, 1.0) == (manifest.inputs[0].minimum, manifest.inputs[0].maximum)
    folder = read_folder(tmp_path / "s")
    raw = digits.load([manifest.samples[7].index]).inputs[0]
    np.testing.assert_allclose(2 * raw - 1, folder.load(7, folder.columns)[0], atol=1e-6)
    assert manifest.model.scaling == model.scaling() and manifest.model.sha256


def test_random_numbers_have_their_range_and_are_said_to_be_random(tmp_path):
    dataset = RandomDataset(num_samples=30, float_low=(-3.0,), float_high=(5.0,))
    dataset.prepare()
    with pytest.raises(DatasetError, match="from a model: name one"):
        write_samples(dataset, None, 10, 0, tmp_path / "s")
    model = TFLiteFile(model_path=MODEL)
    manifest = write_samples(dataset, model, 40, 0, tmp_path / "s")
    assert manifest.random
    assert any("random numbers" in one for one in manifest.remarks)
    assert -3 <= manifest.inputs[0].minimum < -2.9 and 4.9 < manifest.inputs[0].maximum < 5
    assert not {one.index for one in manifest.samples} & set(dataset.test_indices())


def test_a_changed_a_missing_and_an_added_file_are_named(tmp_path, digits):
    folder = tmp_path / "s"
    write_samples(digits, None, 10, 0, folder)
    before = (folder / "000003.npy").read_bytes()
    np.save(folder / "000003.npy", np.zeros((1, 8, 8, 1), np.float32))
    with pytest.raises(DatasetError, match=r"000003.npy was changed since"):
        read_folder(folder)
    (folder / "000003.npy").unlink()
    with pytest.raises(DatasetError, match=r"000003.npy is missing"):
        read_folder(folder)
    (folder / "000003.npy").write_bytes(before)
    (folder / "more.npy").write_bytes(before)
    with pytest.raises(DatasetError, match=r"more.npy is not in manifest.json"):
        read_folder(folder)
    (folder / "more.npy").unlink()
    (folder / "manifest.json").unlink()
    assert 10 == len(read_folder(folder))


def test_what_is_not_ours_is_never_replaced(tmp_path, digits):
    folder = tmp_path / "s"
    write_samples(digits, None, 10, 0, folder)
    write_samples(digits, None, 12, 0, folder)
    assert 12 == len(read_folder(folder))
    (folder / "thesis.txt").write_text("the only copy")
    with pytest.raises(DatasetError, match="holds thesis.txt|holds 0000"):
        write_samples(digits, None, 10, 0, folder)
    assert "the only copy" == (folder / "thesis.txt").read_text()
    foreign = tmp_path / "web"
    foreign.mkdir()
    (foreign / "manifest.json").write_text("{}")
    with pytest.raises(DatasetError, match="holds manifest.json"):
        write_samples(digits, None, 10, 0, foreign)
    with pytest.raises(DatasetError, match="cannot be written"):
        write_samples(digits, None, 10, 0, folder / "thesis.txt" / "below")
    with pytest.raises(DatasetError, match="it is a file"):
        write_samples(digits, None, 10, 0, folder / "thesis.txt")


def test_doubts_are_told(tmp_path):
    generator = np.random.default_rng(0)
    x = generator.random((120, 6)).astype(np.float32)
    x[40:60] = x[:20] + 1e-6
    x[61] = 0.5
    dataset = npz(tmp_path / "d.npz", x=x, y=np.arange(120) % 3)
    dataset.test_fraction, dataset.calibration_fraction = 0.0, 1.0
    remarks = " ".join(write_samples(dataset, None, 120, 0, tmp_path / "s").remarks)
    assert (
        "20 samples of 120 nearly equal an earlier one (40 like 0, 41 like 1, 42 like 2" in remarks
    )
    assert "There are 120 samples" in remarks
    assert "1 sample of 120 have one value throughout" in remarks
    remarks = write_samples(dataset, None, 2, 0, tmp_path / "few").remarks
    assert any(one.startswith("No sample is of the class ") for one in remarks)


def test_real_samples_raise_no_doubt(tmp_path, digits):
    assert [] == write_samples(digits, None, 220, 0, tmp_path / "s").remarks


def test_an_input_that_never_changes_is_named():
    watch = SampleWatch(["image", "length"])
    for one in np.random.default_rng(0).random((300, 20)):
        watch.see([one, np.ones(2, np.int64)])
    assert ["Input 'length' is the same in all 300 samples."] == watch.remarks()


def test_several_inputs_take_the_order_of_a_model(tmp_path):
    """By position alone, two inputs of one shape could change places without a word."""
    generator = np.random.default_rng(0)
    arrays = {name: generator.random((40, 3)).astype(np.float32) for name in "ab"}
    dataset = npz(tmp_path / "d.npz", **arrays)
    with pytest.raises(DatasetError, match="has 2 inputs, whose order a model decides"):
        write_samples(dataset, None, 20, 0, tmp_path / "s")
    model = ONNXFile(model_path=difference(tmp_path / "ba.onnx", "b", "a"))
    manifest = write_samples(dataset, model, 20, 0, tmp_path / "s")
    assert ["b", "a"] == [one.name for one in manifest.inputs]
    assert (tmp_path / "s/input_1/000019.npy").is_file()
    folder = read_folder(tmp_path / "s")
    for names in ("ab", "ba"):
        specs = [TensorSpec(name, (None, 3), "float32") for name in names]
        values = folder.fitted(7, folder.ordered(specs), specs)
        index = manifest.samples[7].index
        for name, one in zip(names, values, strict=True):
            np.testing.assert_array_equal(arrays[name][index], one[0])


def difference(path, *names):
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 3]) for n in names]
    graph = helper.make_graph(
        [helper.make_node("Sub", list(names), ["y"])],
        "difference",
        inputs,
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), str(path))
    return path


def test_too_few_and_broken_samples_leave_no_folder(tmp_path, digits):
    with pytest.raises(DatasetError, match="1700 are needed"):
        write_samples(digits, None, 1700, 0, tmp_path / "s")
    dataset = npz(tmp_path / "d.npz", x=np.full((40, 3), np.nan, np.float32))
    with pytest.raises(InputError, match="NaN"):
        write_samples(dataset, None, 20, 0, tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_a_data_set_knows_its_samples_again_whatever_the_split(tmp_path, digits):
    manifest = write_samples(digits, None, 20, 0, tmp_path / "s")
    other = DigitsDataset(split_seed=5, test_fraction=1.0, validation_fraction=0)
    assert 20 == len(indices_of(manifest, other))
    dataset = npz(tmp_path / "d.npz", x=np.ones((40, 3), np.float32))
    assert 0 == len(indices_of(manifest, dataset))
