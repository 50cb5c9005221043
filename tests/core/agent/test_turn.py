"""The turn is one session's at a time, and ends with its holder."""

import os
import signal
import subprocess
import sys

import pytest

from edge_tester.core.agent.status import Activity
from edge_tester.core.agent.turn import Turn
from tests.agents import PROJECT

HOLDER = """
import sys, time
from pathlib import Path
from edge_tester.core.agent.turn import Turn
with Turn(Path(sys.argv[1]), print):
    print("mine", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "turn"


@pytest.fixture
def holder(path):
    """Another process, which has the turn."""
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=PROJECT) as process:
        assert b"mine\n" == process.stdout.readline()
        yield process
        process.kill()


def test_who_does_not_wait_says_nothing(path):
    said = []
    for _ in range(2):
        with Turn(path, said.append):
            pass
    assert [] == said


def test_a_turn_ends_with_a_holder_that_is_killed(path, holder):
    said = []

    def say(activity):
        said.append(activity)
        if activity == Activity.IN_LINE:
            assert holder.poll() is None
            holder.send_signal(signal.SIGKILL)

    with Turn(path, say):
        assert [Activity.IN_LINE, Activity.WAITING] == said


def test_a_turn_ends_when_a_model_raises(path):
    with pytest.raises(ValueError, match="weights"), Turn(path, print):
        raise ValueError("the weights are upside down")
    with Turn(path, pytest.fail):
        pass


def test_a_process_that_a_model_has_started_does_not_keep_the_turn(path):
    turn = Turn(path, print)
    with turn:
        child = os.fork()
        if not child:
            signal.pause()
    try:
        with Turn(path, pytest.fail):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
