import zipfile

import numpy as np
import pytest

from edge_tester.core.errors import DatasetError
from edge_tester.core.tensors import TensorSpec
from edge_tester.datasets.npz_file import NpzDataset
from edge_tester.testing import DatasetConformance

X = np.arange(24.0, dtype=np.float32).reshape(6, 4)
Y = np.array([0, 1, 2, 0, 1, 2])


@pytest.fixture
def make(tmp_path):
    """Save arrays and return the prepared data set."""

    def prepared(save=np.savez, options=None, **arrays):
        path = tmp_path / "own.npz"
        save(path, **arrays)
        dataset = NpzDataset(dataset_path=path, **(options or {}))
        dataset.prepare()
        return dataset

    return prepared


class TestNpz(DatasetConformance):
    cls = NpzDataset
    options = {"dataset_path": "own.npz"}
    inputs = (TensorSpec("x", (1, 4), "float32"),)

    @pytest.fixture(params=[np.savez, np.savez_compressed])
    def fresh(self, tmp_path, request):
        request.param(tmp_path / "own.npz", x=X, y=Y)
        return NpzDataset(dataset_path=tmp_path / "own.npz")

    def test_holds_what_was_saved(self, dataset):
        samples = dataset.load(range(6))
        assert np.array_equal(X, samples.inputs[0])
        assert np.array_equal(Y, samples.truth)
        assert list(range(6)) == dataset.test_indices().tolist()


def test_uncompressed_arrays_stay_in_the_file(make):
    assert isinstance(make(x=X).inputs["x"], np.memmap)
    assert not isinstance(make(np.savez_compressed, x=X).inputs["x"], np.memmap)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("x", [np.asfortranarray(X), X[:, ::2], X.astype(">f4"), X[:, 0]])
def test_every_memory_order_is_read(make, save, x):
    assert np.array_equal(x, make(save, x=x).load(range(6)).inputs[0])


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        (Y, "classification"),
        (Y.astype(np.uint8)[:, np.newaxis], "classification"),
        (X[:, 0], "regression"),
        (X, "regression"),
    ],
)
def test_truth_tells_the_task(make, y, expected):
    dataset = make(x=X, y=y)
    assert expected == dataset.task
    assert (expected == "classification") == (dataset.labels() is not None)


def test_without_truth_there_is_no_task(make):
    dataset = make(x=X)
    assert "none" == dataset.task
    assert dataset.load([0]).truth is None


def test_class_names(make):
    assert ["cat", "dog", "owl"] == make(x=X, y=Y, class_names=["cat", "dog", "owl"]).class_names()


def test_numbered_inputs_are_in_numeric_order(make):
    arrays = {f"x_{index}": np.full((2, 1), index) for index in range(11)}
    inputs = make(**dict(reversed(arrays.items()))).load([0]).inputs
    assert list(range(11)) == [int(values[0, 0]) for values in inputs]


def test_named_inputs_are_in_the_models_order(make):
    dataset = make(tokens=X, mask=-X)
    dataset.bind([TensorSpec("mask", (1, 4), "float32"), TensorSpec("tokens", (1, 4), "float32")])
    mask, tokens = dataset.load([1]).inputs
    assert np.array_equal(-X[1:2], mask)
    assert np.array_equal(X[1:2], tokens)


def test_names_that_the_model_does_not_have_are_refused(make):
    specs = [TensorSpec(name, (1, 4), "float32") for name in ("ids", "mask")]
    with pytest.raises(DatasetError, match="tokens, mask.*the model's inputs are ids, mask"):
        make(tokens=X, mask=X).bind(specs)
    with pytest.raises(DatasetError, match="inputs are ids; .* and the truth y"):
        make(tokens=X, labels=Y).bind(specs[:1])


def test_one_array_is_that_of_the_one_input(make):
    dataset = make(pictures=X, y=Y)
    dataset.bind([TensorSpec("input_1", (1, 4), "float32")])
    assert np.array_equal(X[:1], dataset.load([0]).inputs[0])


@pytest.mark.parametrize("names", [("serving_default_{}:0",), ("{}",), ("{}:0",)])
def test_names_of_signatures_fit_those_of_tensors(make, names):
    (form,) = names
    dataset = make(zeta=X, alpha=-X)
    specs = [TensorSpec(form.format(name), (1, 4), "float32") for name in ("alpha", "zeta")]
    dataset.bind(specs)
    assert np.array_equal(-X[:1], dataset.load([0]).inputs[0])
    plain = make(**{"serving_default_zeta:0": X, "serving_default_alpha:0": -X})
    plain.bind(specs)
    assert np.array_equal(-X[:1], plain.load([0]).inputs[0])


def test_the_order_that_was_found_first_stays(make):
    dataset = make(zeta=X, alpha=-X)
    dataset.bind([TensorSpec(name, (1, 4), "float32") for name in ("zeta", "alpha")])
    dataset.bind([TensorSpec(name, (1, 4), "float32") for name in ("input_1", "input_0")])
    assert np.array_equal(X[:1], dataset.load([0]).inputs[0])
    dataset.bind([TensorSpec(name, (1, 4), "float32") for name in ("alpha:0", "zeta:0")])
    assert np.array_equal(-X[:1], dataset.load([0]).inputs[0])
    with pytest.raises(DatasetError, match="inputs are only"):
        dataset.bind([TensorSpec("only", (1, 4), "float32")])


def test_calibration_samples_can_be_set_apart_beside_given_ones(make):
    dataset = make(x=X, y=Y, x_calibration=X[:2])
    dataset.ensure_calibration(4)
    split = dataset.split()
    assert [2, 4] == [sum(split.calibration >= 6), len(split.calibration)]
    assert 4 == len(split.test)


def test_calibration_samples_come_last(make):
    dataset = make(x=X, y=Y, x_calibration=X[:3] + 100, options={"calibration_fraction": 0.0})
    assert 9 == len(dataset)
    split = dataset.split()
    assert list(range(6)) == split.test.tolist()
    assert [6, 7, 8] == split.calibration.tolist()
    assert np.array_equal(X[:3] + 100, dataset.load(split.calibration).inputs[0])
    mixed = dataset.load([7, 0])
    assert np.array_equal(np.stack([X[1] + 100, X[0]]), mixed.inputs[0])
    assert mixed.truth is None
    assert np.array_equal(Y, dataset.load(split.test).truth)
    assert [*Y, -1, -1, -1] == dataset.labels().tolist()


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"y": Y}, "needs the array x"),
        ({"x": X, "z": X}, "needs the array x.*it has x, z"),
        ({"x_0": X, "x_2": X}, "needs the array x"),
        ({"x": X, "y": Y[:5]}, "unequal lengths: x 6, y 5"),
        ({"a": X, "b": X[:2]}, "unequal lengths"),
        ({"x": np.array([{}, {}])}, "Python objects"),
        ({"x": X[:0]}, "no samples in array 'x'"),
        ({"x": np.float32(1)}, "no samples in array 'x'"),
        ({"x": X, "y": -Y}, "y that has -2 .* samples below 0.*leave out"),
        ({"x": X, "y": Y, "class_names": ["a", "b"]}, "class index 2, but 2 class_names"),
        ({"x": X, "x_calibration": X[:, :2]}, "of shape"),
        ({"x": X, "z_calibration": X}, "calibration arrays z_calibration"),
    ],
)
def test_unusable_arrays_are_refused(make, arrays, reason):
    with pytest.raises(DatasetError, match=f"own.npz.*{reason}"):
        make(**arrays)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer"),
        (b"<!DOCTYPE html><html>", "is a web page"),
        (b"", "is empty"),
        (b"\x93NUMPY\x01\x00", r"is a single array \(.npy\)"),
        (b"\x89HDF\r\n\x1a\n\0\0", "is an HDF5 file"),
    ],
)
def test_other_kinds_of_files_are_named(tmp_path, content, said):
    path = tmp_path / "own.npz"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=f"own.npz is no readable .npz file: it {said}"):
        NpzDataset(dataset_path=path).prepare()


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "own.npz"
    with pytest.raises(DatasetError, match="own.npz does not exist"):
        NpzDataset(dataset_path=path).prepare()
    for content in (b"nothing of the kind" * 50,):
        path.write_bytes(content)
        with pytest.raises(DatasetError, match="no readable .npz"):
            NpzDataset(dataset_path=path).prepare()
    np.savez(path, x=X)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DatasetError, match="no readable .npz"):
        NpzDataset(dataset_path=path).prepare()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY broken")
    with pytest.raises(DatasetError, match="no readable .npz"):
        NpzDataset(dataset_path=path).prepare()
