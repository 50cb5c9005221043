"""Processes whose parent is killed."""

import ast
import os
import subprocess
import sys
import time

import pytest

from tests.agents import PROJECT, wait_until

# What ends with its parent without being asked to, and why.
BY_THEMSELVES = {
    "core/agent/greeter.py": "asks the kernel itself",
    "core/agent/process.py": "asks the kernel itself",
    "core/making/isolation.py": "asks the kernel itself",
    "core/system/throttling.py": "has five seconds",
    "runtimeprotocols/_ssh.py": "ends with its input, and so does what it has started on a board",
    "runtimeprotocols/adb.py": "starts a server that others use too",
    "runtimeprotocols/stdio.py": "ends with its input",
}
STARTS = {f"subprocess.{name}" for name in ("run", "Popen", "call", "check_output", "check_call")}
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs prctl")


def parent_that(script: str) -> subprocess.Popen:
    """Start a process that prints the number of one that it has started."""
    return subprocess.Popen(
        [sys.executable, "-c", script], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    )


def lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return "Z" != file.read().rpartition(")")[2].split()[0]
    except OSError:
        return False


def tell_and_sleep() -> None:
    print(os.getpid(), flush=True)
    time.sleep(600)


def test_what_compiles_ends_with_whoever_asked_for_it():
    """In the middle of a call that would take ten minutes."""
    parent = parent_that(
        "from edge_tester.core.making.isolation import isolated\n"
        "from tests.core.system.test_processes import tell_and_sleep\n"
        "isolated(tell_and_sleep)\n"
    )
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    wait_until(lambda: not lives(child))


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_child_ends_with_its_parent_whenever_that_is_killed(moment):
    """Also before the kernel was asked, when nobody would tell it any more."""
    parent = parent_that(
        "import os, signal, subprocess, time\n"
        "from edge_tester.core.system.processes import ended_with_this\n"
        "ask, parent = ended_with_this(signal.SIGTERM), os.getpid()\n"
        "def begin():\n"
        "    os.write(1, b'%d\\n' % os.getpid())\n"
        f"    if {moment == 'after'}: ask()\n"
        "    os.kill(parent, 9)\n"
        "    while os.getppid() == parent: time.sleep(0.01)\n"
        f"    if {moment == 'before'}: ask()\n"
        "subprocess.Popen(['sleep', '600'], preexec_fn=begin)\n"
    )
    child = int(parent.stdout.readline())
    parent.wait()
    wait_until(lambda: not lives(child))


def test_no_program_is_started_that_would_outlive_this_process():
    found = set()
    package = PROJECT / "edge_tester"
    for path in sorted({*package.rglob("*.py")} - {*package.glob("testing/*.py")}):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in STARTS:
                if "preexec_fn" not in [one.arg for one in node.keywords]:
                    found.add(str(path.relative_to(package)))
    assert set(BY_THEMSELVES) == found
