"""Models as ONNX files, each exported once for all tests of a file."""

import functools
from pathlib import Path

import pytest

from edge_tester.core.making.toolenvironment import default_tools_folder

TOOLS = Path(__file__).parents[2] / "build" / "tools"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Exports a model once; what it gives is the cell of that and the folder."""
    folder = tmp_path_factory.mktemp("exported")
    return functools.cache(lambda cls, name: (cls().exported(name, folder), folder))


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """Where the tools of importers are made once and kept."""
    TOOLS.mkdir(parents=True, exist_ok=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    default_tools_folder().parent.mkdir(parents=True)
    default_tools_folder().symlink_to(TOOLS)
