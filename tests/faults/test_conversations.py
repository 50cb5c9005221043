"""Conversations of any kind with real agents: none is answered wrongly, and the next is served.

The rules are those of a host that may do everything: in the right order, in the wrong one, with
damage, in pieces, and leave at any time.
"""

import contextlib
import socket
import tempfile
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from edge_tester.core.wire import frames
from edge_tester.core.wire.frames import Flag, Type
from edge_tester.core.wire.payloads import Hello, encode
from edge_tester.scenarios import keys
from tests.agents import running_agent
from tests.core.agent.guarded import assert_runs, connected
from tests.faults.fuzzing import assert_answers
from tests.faults.seeds import conversations, frame

TYPES = st.sampled_from([*frames.TYPE_NAMES, 0, 200])
# Conversations, and what is said in each at most.
EXAMPLES, STEPS = 12, 12


@pytest.fixture(scope="module")
def agents(tmp_path_factory):
    """One that lets everybody in, and one that wants a token, by whether it does."""
    folder = tmp_path_factory.mktemp("faults")
    token = folder / "token"
    keys.main(["token", str(token)])
    limits = ["--time-limit-s", "2", "--idle-limit-s", "2", "--stall-limit-s", "2"]
    with contextlib.ExitStack() as stack:
        found = {}
        for guarded, words in ((False, []), (True, ["--token-file", str(token)])):
            place = folder / str(guarded)
            place.mkdir()
            found[guarded] = stack.enter_context(running_agent(place, *limits, *words))
            found[guarded].token = token if guarded else None
        yield found


class Host(RuleBasedStateMachine):
    """Says anything over one connection, and hears what is answered."""

    agent = None
    heard = 0

    @initialize()
    def connect(self):
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.connect(self.agent.host)
        self.connection.settimeout(0.02)
        self.answered = b""

    def say(self, what: bytes):
        with contextlib.suppress(OSError):
            self.connection.sendall(what)

    @rule(hello=st.builds(Hello, client=st.text(max_size=8), ask=st.sampled_from(["", "status"])))
    def greet(self, hello):
        self.say(frame(Type.HELLO, encode(hello)))

    @rule(
        name=st.sampled_from(sorted(n for n in conversations() if not n.startswith("framed"))),
        cut=st.floats(0, 1),
    )
    def converse(self, name, cut):
        content = conversations()[name][1:]
        self.say(content[: int(len(content) * cut)])

    @rule(
        type=TYPES,
        payload=st.binary(max_size=64),
        flags=st.sampled_from([0, Flag.MORE, Flag.CHECKSUM, Flag.MAC, 1 << 15]),
        sequence=st.integers(0, 2**32 - 1),
    )
    def say_frame(self, type, payload, flags, sequence):
        self.say(frame(type, payload, sequence, flags))

    @rule(type=TYPES, length=st.sampled_from([1 << 16, 1 << 20, 1 << 40, 1 << 63]))
    def promise(self, type, length):
        self.say(frames.encode_header(type, 0, 0, length) + b"x")

    @rule(content=st.binary(max_size=200))
    def babble(self, content):
        self.say(content)

    @rule()
    def hear(self):
        with contextlib.suppress(OSError):
            self.answered += self.connection.recv(1 << 20)

    @rule()
    def half_close(self):
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)

    def teardown(self):
        if not hasattr(self, "connection"):
            return
        self.half_close()
        self.connection.settimeout(10)
        with contextlib.suppress(ConnectionResetError):
            while piece := self.connection.recv(1 << 20):
                self.answered += piece
        self.connection.close()
        if self.agent.token is not None:
            # At most one Challenge.
            count = frames.HEADER_BYTES + self.challenge_bytes
            assert len(self.answered) in (0, count), self.answered
        assert_answers(self.answered)
        type(self).heard += len(self.answered)
        with tempfile.TemporaryDirectory() as folder:
            assert_runs(connected(self.agent.host, token_file=self.agent.token), Path(folder))

    # {"type": "Challenge", "nonce": 64 characters} as MessagePack.
    challenge_bytes = 1 + 5 + 10 + 6 + 2 + 64


@pytest.mark.parametrize("guarded", [False, True], ids=["open", "guarded"])
def test_no_host_gets_a_wrong_answer_or_keeps_the_next_one_out(agents, guarded):
    machine = type("Host", (Host,), {"agent": agents[guarded], "heard": 0})
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=True,
            suppress_health_check=checks,
        ),
    )
    assert machine.heard
    assert agents[guarded].process.poll() is None
