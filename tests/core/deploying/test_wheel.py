"""The package as a wheel: that of the build tool, file for file, and always the same."""

import base64
import csv
import email.parser
import hashlib
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import tomllib

import edge_tester
from edge_tester.core.deploying import wheel
from edge_tester.core.errors import RuntimeStateError

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return wheel.write_wheel(tmp_path_factory.mktemp("wheel"))


def test_it_says_of_itself_what_the_project_says(written):
    with zipfile.ZipFile(written) as archive:
        info = f"edge_tester-{edge_tester.__version__}.dist-info"
        told = email.parser.Parser().parsestr(archive.read(f"{info}/METADATA").decode())
        commands = archive.read(f"{info}/entry_points.txt").decode()
        names = set(archive.namelist())
    assert "edge_tester" == told["Name"]
    assert edge_tester.__version__ == told["Version"]
    assert PROJECT["requires-python"] == told["Requires-Python"]
    assert sorted(PROJECT["dependencies"]) == sorted(told.get_all("Requires-Dist"))
    assert f"edge-tester = {PROJECT['scripts']['edge-tester']}" in commands.splitlines()
    files = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "edge_tester").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert files == {name for name in names if not name.startswith(info)}


def test_every_file_is_as_the_record_says(written):
    with zipfile.ZipFile(written) as archive:
        (record,) = [name for name in archive.namelist() if name.endswith("/RECORD")]
        rows = list(csv.reader(io.StringIO(archive.read(record).decode())))
        assert sorted(row[0] for row in rows) == sorted(archive.namelist())
        for name, digest, size in rows:
            if name == record:
                continue
            content = archive.read(name)
            expected = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode()
            assert (f"sha256={expected.rstrip('=')}", str(len(content))) == (digest, size)


def test_the_same_files_give_the_same_bytes(written, tmp_path):
    assert written.read_bytes() == wheel.write_wheel(tmp_path).read_bytes()


def test_any_change_of_a_file_is_another_package(monkeypatch, tmp_path):
    found = []
    for name, content in (("a", "1"), ("a", "2"), ("b", "2"), ("a", "1")):
        (tmp_path / name).write_text(content)
        monkeypatch.setattr(wheel, "_files", lambda name=name: {name: tmp_path / name})
        wheel.digest.cache_clear()
        found.append(wheel.digest())
    wheel.digest.cache_clear()
    assert 3 == len(set(found))
    assert found[0] == found[3]


def test_pip_takes_it(written, tmp_path):
    """Which reads all of the above."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    command += ["--disable-pip-version-check", "--target", str(tmp_path), str(written)]
    subprocess.run(command, check=True)
    script = "import edge_tester; print(edge_tester.__file__, edge_tester.__version__)"
    command = [
        sys.executable,
        "-I",
        "-c",
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {script}",
    ]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert [str(tmp_path / "edge_tester" / "__init__.py"), edge_tester.__version__] == told


def test_requirements_are_those_of_the_project_by_extra():
    found = wheel.requirements()
    assert PROJECT["dependencies"] == sorted(found[""], reverse=True)
    extras = PROJECT["optional-dependencies"]
    for name in ("tflite", "onnx", "openvino", "executorch"):
        assert sorted(extras[name]) == sorted(found[name])
    assert all(";" in one for one in found["tvm"] if one.startswith("xgboost"))


def test_a_package_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(wheel, "NAME", "edge_tester_that_is_nowhere")
    wheel.requirements.cache_clear()
    try:
        with pytest.raises(RuntimeStateError, match="used here without being installed"):
            wheel.requirements()
    finally:
        wheel.requirements.cache_clear()
