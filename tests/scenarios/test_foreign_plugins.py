"""Plugins of other distributions, found by real entry points: whole, needy and broken ones."""

import json
import os
import subprocess
import sys

import pytest

from tests.scenarios.conftest import ROOT

GOOD = """
from edge_tester.core.backends import backend
from edge_tester.datasets.random_inputs import RandomDataset

class Foreign(RandomDataset):
    '''Random inputs from elsewhere.'''

class Needy(RandomDataset):
    '''Needs what its own distribution brings.'''
    packages = ("foreign_backend",)
    def prepare(self):
        backend("foreign_backend", self)

class Demanding(RandomDataset):
    '''Needs what an extra of this package would bring, too.'''
    packages = ("no_such_keras",)
"""
ENTRY_POINTS = """
[edge_tester.datasets]
foreign = foreign_plugin:Foreign
needy = foreign_plugin:Needy
demanding = foreign_plugin:Demanding
broken = foreign_plugin_broken:Broken
exiting = foreign_plugin_exiting
[edge_tester.runtimes]
broken_runtime = foreign_plugin_broken:Broken
"""
METADATA = """Metadata-Version: 2.1
Name: foreign-plugin
Version: 1.0
Requires-Dist: foreign-backend; extra == "fast"
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder as an installer leaves it."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "foreign_plugin.py").write_text(GOOD)
    (folder / "foreign_plugin_broken.py").write_text("import a_module_that_nobody_has\n")
    (folder / "foreign_plugin_exiting.py").write_text("import sys; sys.exit(3)\n")
    information = folder / "foreign_plugin-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(METADATA)
    (information / "entry_points.txt").write_text(ENTRY_POINTS)
    return folder


@pytest.fixture
def does(site, user):
    def run(*words, status=0):
        done = subprocess.run(
            [sys.executable, "-m", "edge_tester", *words],
            cwd=user.folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(site)])},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert status == done.returncode, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout if status == 0 else done.stderr

    return run


def test_a_broken_plugin_is_a_row_with_its_reason(does):
    rows = {row["name"]: row for row in json.loads(does("list", "datasets", "--json"))}
    assert "installed" == rows["foreign"]["status"]
    assert "broken" == rows["broken"]["status"] == rows["exiting"]["status"]
    assert "a_module_that_nobody_has" in rows["broken"]["reason"]
    assert "digits" in rows
    assert "a_module_that_nobody_has" in does("list")


def test_what_is_missing_is_brought_by_the_plugin_s_own_distribution(does):
    rows = {row["name"]: row for row in json.loads(does("list", "datasets", "--json"))}
    assert "pip install 'foreign-plugin[fast]'" == rows["needy"]["install"]
    assert "pip install foreign-plugin" == rows["demanding"]["install"]
    told = does("client", "m.tflite", "needy", "r", "n", "--start-agent", status=2)
    assert "Needy needs foreign_backend: pip install 'foreign-plugin[fast]'" in told
    assert "edge_tester[" not in told


def test_commands_that_do_not_name_a_broken_plugin_work(does):
    schema = json.loads(does("schema"))
    assert "broken" not in json.dumps(schema)
    assert '"foreign"' in json.dumps(schema)
    json.loads(does("schema", "matrix"))
    words = "client m.tflite foreign r fine --start-agent --num-samples 20"
    assert "Latency p50" in does(*words.split())
    does("client", "m.tflite", "foreign", "-h")


def test_a_command_that_names_a_broken_plugin_ends_with_its_reason(does):
    told = does("client", "m.tflite", "broken", "r", "n", "--start-agent", status=2)
    assert "a_module_that_nobody_has" in told
    assert 1 == len(told.splitlines())
