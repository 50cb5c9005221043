"""Folders of samples, ours and those from elsewhere: what is taken, and what is refused."""

import json
import re

import numpy as np
import pytest

from edge_tester.core.errors import DatasetError
from edge_tester.core.samples.folder import read_folder
from edge_tester.core.tensors import TensorSpec

IMAGE = TensorSpec("image", (None, 4, 4), "float32")
LENGTH = TensorSpec("length", (None, 2), "int64")


def written(folder, arrays):
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in arrays.items():
        (folder / name).parent.mkdir(exist_ok=True)
        np.save(folder / name, values, allow_pickle=True)
    return folder


def one(**more):
    return np.arange(16, dtype=np.float32).reshape(4, 4)


def test_files_side_by_side_are_samples_of_the_only_input_with_or_without_a_batch_axis(tmp_path):
    folder = read_folder(written(tmp_path / "a", {"0.npy": one(), "1.npy": one() + 1}))
    assert 2 == len(folder) and folder.manifest is None
    columns = folder.ordered([IMAGE])
    (values,) = folder.fitted(1, columns, [IMAGE])
    assert (1, 4, 4) == values.shape
    np.testing.assert_array_equal(one() + 1, values[0])
    batched = read_folder(written(tmp_path / "b", {"0.npy": one()[np.newaxis]}))
    np.testing.assert_array_equal(one()[np.newaxis], batched.fitted(0, [""], [IMAGE])[0])


@pytest.mark.parametrize("names", [("image", "length"), ("input_0", "input_1")])
def test_sub_folders_are_inputs_by_name_or_number(tmp_path, names):
    counts = np.array([3, 4], np.int64)
    files = {f"{names[0]}/0.npy": one(), f"{names[1]}/0.npy": counts}
    folder = read_folder(written(tmp_path / "two", files))
    image, length = folder.fitted(0, folder.ordered([IMAGE, LENGTH]), [IMAGE, LENGTH])
    assert (1, 4, 4) == image.shape and [[3, 4]] == length.tolist()


def test_a_file_of_a_model_with_a_batch_of_its_own_is_one_sample(tmp_path):
    folder = read_folder(written(tmp_path / "a", {"0.npy": one()}))
    fixed = TensorSpec("image", (8, 4, 4), "float32")
    assert (1, 4, 4) == folder.fitted(0, [""], [fixed])[0].shape


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({}, "it is empty"),
        ({"0.npy": one(), "1.npy": one()[:3]}, r"one shape and dtype, got \(4, 4\) float32 in 0"),
        ({"0.npy": one(), "1.npy": one().astype("f8")}, "float64 in 1.npy"),
        ({"0.npy": np.full((4, 4), np.nan, np.float32)}, r"0.npy must hold finite .*16 of 16"),
        ({"0.npy": np.array([[np.inf, 1]], np.float32)}, "infinite"),
        ({"0.npy": np.array([{}, 1], object)}, "0.npy .* pickled objects"),
        ({"0.npy": np.array(["a"])}, "must hold numbers, got dtype <U1"),
        ({"0.npy": np.empty((0, 4), np.float32)}, "empty array"),
        ({"0.npy": one(), "image/0.npy": one()}, "both 0.npy and the sub-folder image"),
        ({"a/0.npy": one(), "b/1.npy": one()}, r"[01].npy is in one of a and b alone"),
    ],
)
def test_what_is_no_such_folder_is_refused_and_named(tmp_path, arrays, said):
    with pytest.raises(DatasetError, match=said):
        read_folder(written(tmp_path / "odd", arrays))


def test_text_that_is_called_npy_is_refused(tmp_path):
    (tmp_path / "0.npy").write_text("no array")
    with pytest.raises(DatasetError, match="0.npy must be a .npy file of numbers"):
        read_folder(tmp_path)
    huge = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000000,), }"
    header = huge.ljust(117) + b"\n"
    (tmp_path / "0.npy").write_bytes(b"\x93NUMPY\x01\x00" + bytes([len(header), 0]) + header)
    with pytest.raises(DatasetError, match="0.npy must be a .npy file of numbers"):
        read_folder(tmp_path)
    with pytest.raises(DatasetError, match="it is no folder"):
        read_folder(tmp_path / "0.npy")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.zeros((1, 5), np.float32), r"takes \(any, 4, 4\) float32.*got \(1, 5\) float32"),
        (np.zeros((2, 4, 4), np.float32), r"one sample to a file; got \(2, 4, 4\)"),
        (np.zeros((4, 4), np.uint8), "got dtype uint8. Integers are no values of such an input"),
    ],
)
def test_what_the_model_does_not_take_is_refused(tmp_path, values, said):
    folder = read_folder(written(tmp_path / "a", {"0.npy": values}))
    with pytest.raises(DatasetError, match=said):
        folder.fitted(0, folder.ordered([IMAGE]), [IMAGE])


def test_other_inputs_than_those_of_the_model_are_named(tmp_path):
    folder = read_folder(written(tmp_path / "two", {"a/0.npy": one(), "b/0.npy": one()}))
    with pytest.raises(DatasetError, match="sub-folders a, b, the model has 2 inputs: image, leng"):
        folder.ordered([IMAGE, LENGTH])


def test_a_manifest_that_is_none_is_refused(tmp_path):
    written(tmp_path, {"0.npy": one()})
    (tmp_path / "manifest.json").write_text(json.dumps({"version": 9}))
    with pytest.raises(DatasetError, match=re.escape("manifest.json is no manifest of samples")):
        read_folder(tmp_path)
