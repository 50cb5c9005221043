"""What pyproject.toml promises of the package."""

import email.parser
import io
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import tomllib

import edge_tester
from edge_tester.core.backends import EXTRAS
from edge_tester.core.system.files import extract_data

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The source distribution and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    program = (
        "import os, sys\n"
        "from setuptools import build_meta as b\n"
        "if sys.argv[2] == 'sdist': print(b.build_sdist(sys.argv[1]))\n"
        "else: print(b.build_wheel(sys.argv[1]))\n"
    )

    def build(kind, source):
        command = [sys.executable, "-c", program, str(folder), kind]
        done = subprocess.run(command, cwd=source, capture_output=True, text=True)
        assert 0 == done.returncode, done.stderr
        return folder / done.stdout.splitlines()[-1]

    # Building leaves files in the source.
    copy = tmp_path_factory.mktemp("source") / "copy"
    ignored = (".*cache", ".git", ".venv*", "build", "dist", "__pycache__", "*.egg-info")
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*ignored))
    sdist = build("sdist", copy)
    with tarfile.open(sdist) as archive:
        extract_data(archive, copy.parent)
    unpacked = copy.parent / sdist.name.removesuffix(".tar.gz")
    return sdist, build("wheel", unpacked)


def test_a_source_distribution_can_be_tested(built):
    with tarfile.open(built[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for name in ("docs/architecture.rst", "tests/test_packaging.py", "CHANGELOG.rst", "Makefile"):
        assert name in names


def test_a_wheel_has_what_it_needs_and_no_tests(built):
    with zipfile.ZipFile(built[1]) as archive:
        names = archive.namelist()
        metadata = next(name for name in names if name.endswith("/METADATA"))
        told = email.parser.Parser().parsestr(archive.read(metadata).decode())
    for name in ("py.typed", "resources/digits.tflite", "report/templates/report.html.j2"):
        assert f"edge_tester/{name}" in names
    assert not [name for name in names if name.startswith("tests")]
    assert edge_tester.__version__ == told["Version"]
    assert "Apache-2.0" == told["License-Expression"]
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert ">=3.10" == told["Requires-Python"]
    for version in ("3.10", "3.11", "3.12", "3.13"):
        assert f"Programming Language :: Python :: {version}" in told.get_all("Classifier")


def test_every_hint_to_install_names_an_extra_that_exists():
    assert set() == set(EXTRAS.values()) - set(PROJECT["optional-dependencies"])


def archive_of(*entries):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for entry in entries:
            archive.addfile(entry, io.BytesIO(b"x" * entry.size))
    content.seek(0)
    return tarfile.open(fileobj=content)


def entry_of(name, **attributes):
    entry = tarfile.TarInfo(name)
    for key, value in attributes.items():
        setattr(entry, key, value)
    return entry


@pytest.mark.parametrize("filters", [True, False], ids=["filter", "none"])
@pytest.mark.parametrize(
    "bad",
    [
        entry_of("../out", size=1),
        entry_of("a/../../out", size=1),
        entry_of("link", type=tarfile.SYMTYPE, linkname="../out"),
        entry_of("link", type=tarfile.LNKTYPE, linkname="/etc/passwd"),
        entry_of("pipe", type=tarfile.FIFOTYPE),
    ],
    ids=["up", "up-and-down", "symbolic", "hard", "pipe"],
)
def test_archives_write_nothing_elsewhere(tmp_path, monkeypatch, bad, filters):
    """Pythons before 3.10.12 and 3.11.4 have no filters for archives."""
    if not filters:
        monkeypatch.delattr(tarfile, "data_filter")
    folder = tmp_path / "in"
    folder.mkdir()
    with pytest.raises(tarfile.TarError):
        extract_data(archive_of(entry_of("good", size=1), bad), folder)
    assert [folder] == list(tmp_path.iterdir())
    extract_data(archive_of(entry_of("a/good", size=1)), folder)
    assert b"x" == (folder / "a" / "good").read_bytes()
