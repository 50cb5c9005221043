"""What models and peers do to the agent on purpose; each time the next client is served."""

import contextlib
import os
import re
import signal
import sys
import time
from pathlib import Path

import pytest

from edge_tester.core.agent import process as process_module
from edge_tester.core.errors import ProtocolError, TargetError
from edge_tester.core.wire.payloads import Hello
from edge_tester.runtimeprotocols.network import NetworkProtocol
from tests.agents import FAULTY, children_of, echo_model, running_agent, sample

GOOD = (0, 2, 3, 4)
BAD = (1, 2, 3, 4)
# Generous: the machine that runs the tests has other things to do.
NEXT_CLIENT_S = 5.0

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def assert_serves(agent, folder, limit_s: float = NEXT_CLIENT_S) -> None:
    """A whole session works, and soon."""
    start_s = time.monotonic()
    client = NetworkProtocol(host=agent.host)
    client.answer_limit_s = 3 * limit_s
    client.connect(Hello(client="a test", wait=True))
    client.upload_model(echo_model(folder))
    assert [list(GOOD)] == client.run_sample(sample(*GOOD)).outputs[0].tolist()
    client.disconnect()
    assert time.monotonic() - start_s < limit_s


def attack(agent, folder) -> str:
    """Run the model until it goes wrong; return what the client is told."""
    client = agent.connect()
    client.upload_model(echo_model(folder))
    try:
        client.run_sample(sample(*BAD))
    except (TargetError, ProtocolError) as error:
        return str(error)
    finally:
        client.disconnect()
    return ""


def descriptors_of(agent) -> int:
    return len(os.listdir(f"/proc/{agent.process.pid}/fd"))


def sleeping(seconds: int) -> list[int]:
    """The processes that a model has started and left behind."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.read_bytes() == b"sleep\0%d\0" % seconds:
                found.append(int(path.parent.name))
    return found


HOSTILE_MODELS = {
    "half a report": "The model wrote to a socket that is not its own",
    "one byte of a report": "The model wrote to a socket that is not its own",
    "reports without end": "The model wrote to a socket that is not its own",
    "descriptors without end": "The model wrote to a socket that is not its own",
    "shut down": "",
    "close all": "",
    "truncated status": "",
    "status of a liar": "",
    "real-time signal": r"with signal 40 \(Real-time signal 6\) during an inference",
    "ignore signals": "took longer than the target's limit",
    "fork": "",
    "daemon": "",
    "daemon and hang": "took longer",
    "scribble": "",
    "litter": "exit status 5",
}


@linux
@pytest.mark.parametrize("fault", HOSTILE_MODELS)
def test_no_model_makes_the_agent_deaf(tmp_path, fault):
    words = ("--fault", fault, "--time-limit-s", "1", "--idle-limit-s", "2")
    with running_agent(tmp_path, *words, runtime=FAULTY) as running:
        assert_serves(running, tmp_path)
        before = descriptors_of(running)
        for _ in range(2):
            said = attack(running, tmp_path)
            if expected := HOSTILE_MODELS[fault]:
                assert re.search(expected, said), said
            assert_serves(running, tmp_path)
        assert descriptors_of(running) <= before
        assert [] == sleeping(4712) + sleeping(4713)
        assert len(children_of(running.process.pid)) <= 1


def test_every_signal_has_words():
    for number in signal.valid_signals():
        assert process_module._signal_name(number)
    assert "SIGSEGV (Segmentation fault)" == process_module._signal_name(11)
    assert "signal 40 (Real-time signal 6)" == process_module._signal_name(40)
