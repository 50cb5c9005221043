"""What models leave behind is met in bounded time."""

import subprocess
import sys

import pytest

from tests.agents import PROJECT

# As where a model forks and ends faster than this process can look.
ENDLESS = """
import itertools, os, sys, types
from pathlib import Path
from edge_tester.core.agent import descendants

adopted = descendants.Adopted(Path("/nowhere"))
numbers = itertools.count(1 << 30)
os.waitid = lambda *words: types.SimpleNamespace(si_pid=next(numbers))
adopted.reap()
print("over")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="adopts orphans")
def test_children_that_never_cease_to_end_hold_nobody_up():
    command = [sys.executable, "-c", ENDLESS]
    ended = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=60)
    assert (0, "over\n", "") == (ended.returncode, ended.stdout, ended.stderr)
