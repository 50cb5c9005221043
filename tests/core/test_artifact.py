import hashlib
import io
import tarfile

import msgspec
import pytest

from edge_tester.core.artifact import Artifact
from edge_tester.core.errors import ModelError
from edge_tester.core.formats import format_of


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"weights")
    return path


def test_a_file_is_described(model):
    artifact = Artifact.from_file(model, producer="someone")
    assert (model, "tflite", 7, "someone") == (
        artifact.path,
        artifact.format,
        artifact.size_bytes,
        artifact.producer,
    )
    assert hashlib.sha256(b"weights").hexdigest() == artifact.sha256


def test_a_given_format_stands(model):
    assert "other" == Artifact.from_file(model, "other").format


def test_descriptions_do_not_share_their_options(model):
    first, second = Artifact.from_file(model), Artifact.from_file(model)
    first.options["changed"] = True
    assert {} == second.options


def test_descriptions_can_be_written(model):
    artifact = Artifact.from_file(model, parent=Artifact.from_file(model))
    encoded = msgspec.json.encode(artifact, enc_hook=str)
    assert b'"sha256"' in encoded


def test_unusable_files_are_refused(tmp_path):
    path = tmp_path / "model.tflite"
    with pytest.raises(ModelError, match="model.tflite does not exist"):
        Artifact.from_file(path)
    path.touch()
    with pytest.raises(ModelError, match="model.tflite is empty"):
        Artifact.from_file(path)
    with pytest.raises(ModelError, match="format of .* is unknown"):
        Artifact.from_file(tmp_path)


def test_a_model_folder_is_described_by_an_archive_of_its_names_and_contents(tmp_path):
    artifacts = []
    for name in ("first", "second"):
        folder = tmp_path / name
        (folder / "variables").mkdir(parents=True)
        (folder / "saved_model.pb").write_bytes(b"graph")
        (folder / "variables" / "data").write_bytes(b"weights" * 1000)
        artifacts.append(Artifact.from_file(folder))
    first, second = artifacts
    assert ("savedmodel", first.sha256) == (second.format, second.sha256)
    with first.open() as file:
        content = file.read()
    assert first.size_bytes == len(content)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        assert ["saved_model.pb", "variables/data"] == archive.getnames()
    (folder / "variables" / "data").write_bytes(b"others!" * 1000)
    assert first.sha256 != Artifact.from_file(folder).sha256


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.tflite", "tflite"),
        ("a.ONNX", "onnx"),
        ("a.keras", "keras"),
        ("a.h5", "keras"),
        ("a.pth", "torch"),
        ("a.pt", "torchscript"),
        ("a.pt2", "torch-exported"),
    ],
)
def test_formats_by_suffix(tmp_path, name, expected):
    assert expected == format_of(tmp_path / name)


def test_a_saved_model_is_a_folder(tmp_path):
    (tmp_path / "saved_model.pb").touch()
    assert "savedmodel" == format_of(tmp_path)


@pytest.mark.parametrize("name", ["model", "model.bin", "."])
def test_unknown_formats_are_refused(tmp_path, name):
    with pytest.raises(ModelError, match="unknown; known suffixes are .tflite"):
        format_of(tmp_path / name)
