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

# Who is killed forks a moment before, and has ended when it is looked at again.
FORKS = """
import os
from pathlib import Path
from edge_tester.core.agent import descendants

adopted = descendants.Adopted(Path("/nowhere"))
(asked, ask), (told, tell) = os.pipe(), os.pipe()
if os.fork() == 0:
    os.read(asked, 1)
    if child := os.fork():
        os.write(tell, b"%d" % child)
    os.read(asked, 1)
kill, forked = descendants.kill, []

def kill_late(pids):
    if not forked:
        os.write(ask, b"-")
        forked.append(int(os.read(told, 20)))
    kill(pids)
    for pid in pids:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

descendants.kill = kill_late
found = adopted.end(0)
assert found and forked[0] not in found
while adopted.end(0):
    pass
try:
    os.kill(forked[0], 0)
except ProcessLookupError:
    print("over")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="adopts orphans")
@pytest.mark.parametrize("script", [ENDLESS, FORKS], ids=["ends without end", "forks"])
def test_what_a_model_leaves_holds_nobody_up_and_is_gone(script):
    command = [sys.executable, "-c", script]
    ended = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=60)
    assert (0, "over\n", "") == (ended.returncode, ended.stdout, ended.stderr)
