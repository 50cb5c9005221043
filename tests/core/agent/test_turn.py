"""The turn is one session's at a time, and ends with its holder."""

import os
import signal
import subprocess
import sys
import threading

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
def shared(path):
    """Make the turn of one session, where there are others."""

    def make(say):
        turn = Turn(path, say)
        turn.share()
        return turn

    return make


def hold(path) -> subprocess.Popen:
    """Start another process, which has the turn when this returns."""
    command = [sys.executable, "-c", HOLDER, str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=PROJECT)
    assert b"mine\n" == process.stdout.readline()
    return process


def test_who_does_not_wait_says_nothing(shared):
    one, other = shared(pytest.fail), shared(pytest.fail)
    for turn in (one, other, other, one):
        with turn:
            pass


def test_who_is_alone_keeps_the_turn_until_there_are_others(path, shared):
    alone, said, done = Turn(path, pytest.fail), [], threading.Event()
    for _ in range(2):
        with alone:
            pass

    def say(activity):
        said.append(activity)
        if activity == Activity.IN_LINE:
            # As the second session does through the supervisor.
            threading.Thread(target=lambda: (alone.share(), done.set())).start()

    with shared(say):
        assert [Activity.IN_LINE, Activity.WAITING] == said
    assert done.wait(30)
    with alone:
        pass
    with shared(pytest.fail):
        pass


def test_a_block_is_not_shared_before_its_end(path, shared):
    alone, order = Turn(path, pytest.fail), []
    with alone:
        sharing = threading.Thread(target=alone.share)
        sharing.start()

        def wait():
            with shared(order.append):
                order.append("the other")

        waiting = threading.Thread(target=wait)
        waiting.start()
        # Both would have been through by then, if anything let them.
        waiting.join(0.5)
        order.append("the end")
    for thread in (sharing, waiting):
        thread.join(30)
    assert [Activity.IN_LINE, "the end", Activity.WAITING, "the other"] == order


def test_a_turn_ends_with_a_holder_that_is_killed(path, shared):
    said, holder = [], hold(path)

    def say(activity):
        said.append(activity)
        if activity == Activity.IN_LINE:
            assert holder.poll() is None
            holder.kill()

    with shared(say):
        assert [Activity.IN_LINE, Activity.WAITING] == said
    holder.communicate()


def test_a_turn_ends_when_a_model_raises(shared):
    turn = shared(pytest.fail)
    with pytest.raises(ValueError, match="weights"), turn:
        raise ValueError("the weights are upside down")
    with shared(pytest.fail):
        pass


def test_a_turn_that_a_model_has_closed_is_an_error_each_time(shared):
    turn = shared(pytest.fail)
    os.close(turn._descriptor)
    for _ in range(2):
        with pytest.raises(OSError, match="Bad file descriptor"), turn:
            pytest.fail("it has no turn")


def test_a_process_that_a_model_has_started_does_not_keep_the_turn(shared):
    with shared(pytest.fail):
        child = os.fork()
        if not child:
            signal.pause()
    try:
        with shared(pytest.fail):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
