import hashlib
import io
import os
import pickle
import re
import struct
import tarfile

import numpy as np
import pytest

from edge_tester.core.errors import DatasetError
from edge_tester.core.system.download import PublishedFile
from edge_tester.core.tensors import TensorSpec
from edge_tester.datasets.cifar10 import FOLDER, CIFAR10Dataset
from edge_tester.testing import DatasetConformance
from tests.file_server import running_file_server

PER_FILE = 20
FILES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
CLASSES = [b"airplane", b"automobile", b"bird", b"cat", b"deer"]


def text(value):
    """Opcodes of a string of Python 2."""
    return b"U" + bytes([len(value)]) + value if len(value) < 256 else _long_text(value)


def _long_text(value):
    return b"T" + struct.pack("<i", len(value)) + value


def integer(value):
    return b"J" + struct.pack("<i", value)


def original(data, labels):
    """A pickle as Python 2 wrote the published files, opcode by opcode (pickletools)."""
    dtype = (
        b"cnumpy\ndtype\n(" + text(b"u1") + integer(0) + integer(1) + b"tR"
        b"(" + integer(3) + text(b"|") + b"NNN" + integer(-1) + integer(-1) + integer(0) + b"tb"
    )
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n("
        + (integer(0) + b"t" + text(b"b") + b"tR")
        + (b"(" + integer(1) + b"(" + b"".join(map(integer, data.shape)) + b"t")
        + (dtype + b"\x89" + text(data.tobytes()) + b"tb")
    )
    return (
        (b"\x80\x02}(" + text(b"batch_label") + text(b"training batch 1 of 5"))
        + (text(b"labels") + b"](" + b"".join(map(integer, labels)) + b"e")
        + (text(b"data") + array + b"u.")
    )


def batch(number):
    generator = np.random.default_rng(number)
    labels = (np.arange(PER_FILE) % len(CLASSES)).tolist()
    return generator.integers(0, 256, (PER_FILE, 3072), np.uint8), labels


def content_of(name):
    if name == "batches.meta":
        names = b"".join(map(text, CLASSES))
        return b"\x80\x02}(" + text(b"label_names") + b"](" + names + b"eu."
    return original(*batch(FILES.index(name)))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / FOLDER).mkdir()
    for name in (*FILES, "batches.meta"):
        (tmp_path / FOLDER / name).write_bytes(content_of(name))
    return tmp_path


def prepared(folder, **options):
    dataset = CIFAR10Dataset(dataset_root=folder, **options)
    dataset.prepare()
    return dataset


class TestCIFAR10(DatasetConformance):
    cls = CIFAR10Dataset
    options = {"dataset_root": "data"}
    inputs = (TensorSpec("image", (None, 32, 32, 3), "float32"),)

    @pytest.fixture
    def fresh(self, folder):
        return CIFAR10Dataset(dataset_root=folder)


def test_samples_are_those_of_the_files(folder):
    dataset = prepared(folder)
    (images,) = dataset.load(range(len(dataset))).inputs
    assert (120, 32, 32, 3) == images.shape
    for number in range(6):
        data, _ = batch(number)
        mine = images[number * PER_FILE :][:PER_FILE]
        # A row holds all red pixels line by line, then the green, then the blue ones.
        assert np.array_equal(data[:, 1024:2048], np.rint(mine[..., 1] * 255).reshape(-1, 1024))
    assert [0, 1, 2, 3, 4] * 24 == dataset.labels().tolist()
    assert [name.decode() for name in CLASSES] == dataset.class_names()
    assert [*range(100, 120)] == dataset.split().test.tolist()


@pytest.mark.parametrize("protocol", [3, 4])
def test_files_of_newer_pythons_do(folder, protocol):
    expected = prepared(folder).load([0]).inputs[0]
    data, labels = batch(0)
    content = pickle.dumps({b"data": data, b"labels": labels}, protocol)
    (folder / FOLDER / FILES[0]).write_bytes(content)
    assert np.array_equal(expected, prepared(folder).load([0]).inputs[0])


def test_the_archive_is_downloaded_and_unpacked(folder, tmp_path_factory, monkeypatch):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(folder / FOLDER, FOLDER)
    root = tmp_path_factory.mktemp("root")
    with running_file_server() as server:
        server.files["cifar"] = packed.getvalue()
        checksum = f"md5:{hashlib.md5(packed.getvalue()).hexdigest()}"
        file = PublishedFile("cifar-10-python.tar.gz", (server.url("cifar"),), checksum)
        monkeypatch.setattr(CIFAR10Dataset, "archive", file)
        with pytest.raises(DatasetError, match="cifar-10-python.tar.gz does not exist; --download"):
            prepared(root)
        assert 120 == len(prepared(root, download=True))
    assert 120 == len(prepared(root))


class Malicious:
    """A pickle of it calls a function when it is read in the usual way."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def test_nothing_that_a_file_names_is_run(folder, tmp_path):
    path, witness = folder / FOLDER / "data_batch_2", tmp_path / "witness"
    for malicious in (
        Malicious(os.mkdir, str(witness)),
        Malicious(eval, f"open({str(witness)!r})"),
    ):
        path.write_bytes(pickle.dumps({b"data": malicious, b"labels": [malicious]}))
        with pytest.raises(DatasetError, match=r"data_batch_2.*names \w+\.\w+, which is no data"):
            prepared(folder)
        assert not witness.exists()
    # The file does harm when it is read in the usual way, so it was a test.
    path.write_bytes(pickle.dumps(Malicious(os.mkdir, str(witness))))
    pickle.loads(path.read_bytes())
    assert witness.is_dir()


def test_arrays_that_claim_to_be_huge_take_no_memory(folder):
    content = original(np.zeros((1, 3072), np.uint8), [0])
    huge = content.replace(integer(1) + integer(3072), integer(2**31 - 1) + integer(3072))
    assert content != huge
    (folder / FOLDER / "data_batch_1").write_bytes(huge)
    with pytest.raises(DatasetError, match="data_batch_1.*rows of 3072 bytes"):
        prepared(folder)


ROWS = np.zeros((2, 3072), np.uint8)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "Ran out of input"),
        (b"no pickle", "is no file of CIFAR-10"),
        (original(ROWS, [0, 1])[:-100], "is no file of CIFAR-10"),
        (pickle.dumps([1]), "must hold a dictionary, got list"),
        (pickle.dumps({}), "rows of 3072 bytes"),
        (pickle.dumps({b"data": ROWS.astype(np.float32), b"labels": [0, 1]}, 4), "rows of 3072"),
        (pickle.dumps({b"data": ROWS[:, :9].copy(), b"labels": [0, 1]}, 4), "rows of 3072"),
        (original(ROWS, [0]), "list of 2 classes"),
        (original(ROWS[:0], []), "list of 0 classes"),
        (original(ROWS, [0, 5]), "from 0 to below 5"),
        (original(ROWS, [0, -1]), "from 0 to below 5"),
    ],
)
def test_corrupt_files_are_named(folder, content, said):
    path = folder / FOLDER / "data_batch_3"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=f"{re.escape(str(path))}.*{said}"):
        prepared(folder)


@pytest.mark.parametrize("name", [*FILES, "batches.meta"])
def test_missing_files_are_named(folder, name):
    (folder / FOLDER / name).unlink()
    with pytest.raises(DatasetError, match=f"{name}: No such file.*must hold data_batch_1"):
        prepared(folder)


def test_names_are_needed(folder):
    (folder / FOLDER / "batches.meta").write_bytes(pickle.dumps({b"label_names": [1]}))
    with pytest.raises(DatasetError, match="batches.meta.*list of label_names"):
        prepared(folder)
