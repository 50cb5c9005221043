"""The parts of the documentation that come from the code are up to date."""

import doctest
import importlib.util
import json
import re
import shutil
import textwrap
from pathlib import Path

import docutils.core
import pytest

from edge_tester.core import registry
from edge_tester.core.record import read_record, write_record

ROOT = Path(__file__).parent.parent


def generator():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["wire-states.rst", "run-record.schema.json"])
def test_generated_files_are_up_to_date(name):
    module = generator()
    assert set(module.GENERATED) == {"wire-states.rst", "run-record.schema.json"}
    assert module.GENERATED[name]() == (ROOT / "docs" / name).read_text()


@pytest.mark.parametrize(
    "path", sorted([*ROOT.glob("*.rst"), *ROOT.glob("docs/*.rst")]), ids=lambda p: p.name
)
def test_documents_have_no_markup_error(path):
    docutils.core.publish_doctree(
        path.read_text(),
        source_path=str(path),
        settings_overrides={"halt_level": 2, "report_level": 2, "input_encoding": "utf-8"},
    )


def test_every_runtime_is_listed_with_whether_its_models_are_code():
    text = (ROOT / "docs" / "security.rst").read_text()
    listed = dict(re.findall(r"^``(\w+)`` .*? (yes|no) ", text, re.MULTILINE))
    runtimes = {name: registry.load("runtimes", name) for name in registry.names("runtimes")}
    assert {n: "yes" if cls.runs_code else "no" for n, cls in runtimes.items()} == listed
    # A plugin from elsewhere that says nothing counts as code.
    assert registry.base_of("runtimes").runs_code
    assert all("runs_code" in vars(cls) for cls in runtimes.values())


def test_the_record_that_run_record_rst_shows_is_one(tmp_path):
    text = (ROOT / "docs/run-record.rst").read_text()
    block = re.search(r"code-block:: json\n\n((?:   .*\n)+)", text).group(1)
    (tmp_path / "shown.json").write_text(textwrap.dedent(block))
    record = read_record(tmp_path / "shown.json")
    assert 3 == len(record.target_ns)
    write_record(record, tmp_path / "written.json")
    # Nothing that is written is missing.
    shown, written = (
        json.loads((tmp_path / f"{n}.json").read_text()) for n in ("shown", "written")
    )
    assert shown == written


def test_what_run_record_rst_shows_in_python_is_so(tmp_path, monkeypatch):
    pytest.importorskip("pandas")
    (tmp_path / "build/report").mkdir(parents=True)
    shutil.copy(ROOT / "tests/records/version-1.json", tmp_path / "build/report/my-model.json")
    monkeypatch.chdir(tmp_path)
    document = str(ROOT / "docs/run-record.rst")
    failed, tried = doctest.testfile(document, module_relative=False, encoding="utf-8")
    assert (0, 8) == (failed, tried)
