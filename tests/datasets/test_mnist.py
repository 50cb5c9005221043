import gzip
import hashlib
import re
import struct

import numpy as np
import pytest

from edge_tester.core.errors import DatasetError
from edge_tester.core.system.download import PublishedFile
from edge_tester.core.tensors import TensorSpec
from edge_tester.datasets.fashion_mnist import FashionMNISTDataset
from edge_tester.datasets.mnist import MNISTDataset
from edge_tester.testing import DatasetConformance
from tests.file_server import running_file_server

NHWC = TensorSpec("image", (None, 28, 28, 1), "float32")
NCHW = TensorSpec("image", (None, 1, 28, 28), "float32")
NAMES = [file.name for file in MNISTDataset.files]
TRAINING, TEST = 40, 20


def compressed(content: bytes) -> bytes:
    """The same bytes whenever it is called; they name test cases, in every process alike."""
    return gzip.compress(content, mtime=0)


def idx(array):
    """The bytes of an IDX file, written independently of how it is read."""
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return b"\x00\x00\x08" + bytes([array.ndim]) + sizes + array.tobytes()


def contents(size=28):
    generator = np.random.default_rng(0)
    arrays = []
    for count in (TRAINING, TEST):
        arrays.append(generator.integers(0, 256, (count, size, size), np.uint8))
        arrays.append((np.arange(count) % 10).astype(np.uint8))
    return dict(zip(NAMES, arrays, strict=True))


@pytest.fixture
def folder(tmp_path):
    for name, array in contents().items():
        (tmp_path / name).write_bytes(compressed(idx(array)))
    return tmp_path


def prepared(folder, cls=MNISTDataset, **options):
    dataset = cls(dataset_root=folder, **options)
    dataset.prepare()
    return dataset


class IdxConformance(DatasetConformance):
    options = {"dataset_root": "data"}
    inputs = (NHWC,)

    @pytest.fixture
    def fresh(self, folder):
        return self.cls(dataset_root=folder)


class TestMNIST(IdxConformance):
    cls = MNISTDataset


class TestFashionMNIST(IdxConformance):
    cls = FashionMNISTDataset


def test_samples_are_those_of_the_files(folder):
    dataset = prepared(folder)
    expected = contents()
    images, truth = dataset.load(range(len(dataset))).inputs[0], dataset.labels()
    pixels = np.concatenate([expected[NAMES[0]], expected[NAMES[2]]])
    assert np.array_equal(pixels, np.rint(images[..., 0] * 255))
    assert (np.float32, 0.0, 1.0) == (images.dtype, images.min(), images.max())
    assert [*range(10)] * 6 == truth.tolist()
    assert [str(digit) for digit in range(10)] == dataset.class_names()
    assert "Ankle boot" == prepared(folder, FashionMNISTDataset).class_names()[9]


def test_the_published_test_samples_are_measured(folder):
    split = prepared(folder).split()
    assert [*range(TRAINING, TRAINING + TEST)] == split.test.tolist()
    assert 4 == len(split.validation)
    assert 5 == len(split.calibration)


def test_a_fraction_takes_test_samples_of_all(folder):
    split = prepared(folder, test_fraction=0.5).split()
    assert 30 == len(split.test)
    assert split.test.min() < TRAINING


def test_training_samples_are_split_by_class_and_seed(folder):
    options = {"validation_fraction": 0.25, "calibration_fraction": 0.5}
    dataset = prepared(folder, **options)
    split = dataset.split()
    assert [*range(10)] == sorted(dataset.labels()[split.validation])
    assert split.train.tolist() == prepared(folder, **options).split().train.tolist()
    other = prepared(folder, split_seed=1, **options).split()
    assert split.train.tolist() != other.train.tolist()
    assert split.test.tolist() == other.test.tolist()


def test_layouts_hold_the_same_image(folder):
    last, first = prepared(folder), prepared(folder)
    last.bind([NHWC])
    first.bind([NCHW])
    assert (2, 1, 28, 28) == first.load([0, 1]).inputs[0].shape
    assert np.array_equal(
        last.load([0, 1]).inputs[0], np.moveaxis(first.load([0, 1]).inputs[0], 1, -1)
    )


def test_uncompressed_files_do(folder):
    expected = prepared(folder).load([0, 50]).inputs[0]
    for name in NAMES:
        content = gzip.decompress((folder / name).read_bytes())
        (folder / name).unlink()
        (folder / name.removesuffix(".gz")).write_bytes(content)
    assert np.array_equal(expected, prepared(folder).load([0, 50]).inputs[0])


def test_missing_files_are_downloaded_where_that_is_asked_for(tmp_path, monkeypatch):
    with running_file_server() as server:
        server.files = {name: compressed(idx(array)) for name, array in contents().items()}
        files = tuple(
            PublishedFile(name, (server.url(name),), f"md5:{hashlib.md5(content).hexdigest()}")
            for name, content in server.files.items()
        )
        monkeypatch.setattr(MNISTDataset, "files", files)
        missing = re.escape(f"{tmp_path / NAMES[0]} does not exist; --download")
        with pytest.raises(DatasetError, match=f"MNISTDataset: {missing}.*by hand"):
            prepared(tmp_path)
        assert TRAINING + TEST == len(prepared(tmp_path, download=True))
        assert set(NAMES) == {path.name for path in tmp_path.iterdir()}
        assert TRAINING + TEST == len(prepared(tmp_path))
        assert 4 == len(server.requests)


IMAGES = contents()[NAMES[0]]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (NAMES[0], b"no gzip", "cannot be unpacked"),
        (NAMES[0], compressed(idx(IMAGES))[:-20], "cannot be unpacked"),
        (NAMES[0], compressed(b""), "must begin with 00000803, got b''"),
        (NAMES[0], compressed(b"\x00\x00\x08\x03\x00"), "must have 16 bytes, got 5"),
        (NAMES[0], compressed(idx(IMAGES[:, 0])), "must begin with 00000803"),
        (NAMES[0], compressed(idx(IMAGES)[:-1]), "must have 31376 bytes, got 31375"),
        (NAMES[0], compressed(idx(IMAGES) + b"?"), "must have 31376 bytes, got 31377"),
        (NAMES[0], compressed(idx(IMAGES[:0])), "is empty"),
        (NAMES[0], compressed(idx(IMAGES[:5])), "holds 5 images"),
        (NAMES[2], compressed(idx(IMAGES[:TEST, :9, :9])), "must be of one size"),
        (NAMES[3], compressed(idx(np.full(TEST, 10, np.uint8))), "must be below 10, got 10"),
    ],
)
def test_corrupt_files_are_named(folder, name, content, said):
    (folder / name).write_bytes(content)
    with pytest.raises(DatasetError, match=f"MNISTDataset.*{said}") as refused:
        prepared(folder)
    assert str(folder) in str(refused.value)
