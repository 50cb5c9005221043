"""The conformance suite of target agents, whatever they are written in."""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
import pytest

from edge_tester.core.artifact import Artifact
from edge_tester.core.errors import ProtocolError, TargetError, UnreachableError
from edge_tester.core.run.heard import profile_in
from edge_tester.core.runtimeprotocol import RuntimeProtocol
from edge_tester.core.tensors import Array
from edge_tester.core.wire import payloads
from edge_tester.core.wire.client import Client
from edge_tester.core.wire.frames import MAGIC, VERSION, Flag, Type, encode_header
from edge_tester.core.wire.payloads import Block, Failure, Hello
from edge_tester.core.wire.profiling import FEATURE, profiled
from edge_tester.core.wire.states import flight_limit
from edge_tester.core.wire.writing import write
from edge_tester.testing.agentsessions import AgentSessions
from edge_tester.testing.plugin import lacking

_EVERYTHING = {Type.OK: 1 << 30, Type.ERROR: 1 << 16}
_UNKNOWN_TYPE = 200


class AgentConformance(AgentSessions):
    """A subclass must say how to reach a running agent, and give it a model that answers.

    It sees the agent through its address alone. The agent serves one client at a time, and at
    least one runtime that takes the model. The class attributes are the only reasons to skip.
    """

    time_limit_s: ClassVar[float] = 30.0
    """Time in which the agent must answer, and serve the next client."""
    hostile_sessions: ClassVar[int] = 200
    """How many clients misbehave before a good one comes."""

    @pytest.fixture
    def protocol(self) -> RuntimeProtocol:
        """Return a link to the agent, not connected; a new one for each call."""
        raise lacking(type(self), "protocol")

    @pytest.fixture
    def model(self) -> Artifact:
        """Return a model that the agent runs, whose answer depends on its input."""
        raise lacking(type(self), "model")

    @pytest.fixture
    def samples(self) -> Sequence[Sequence[Array]]:
        """Return the inputs of at least three samples, each with another answer."""
        raise lacking(type(self), "samples")

    @pytest.fixture
    def client(self, protocol: RuntimeProtocol) -> Iterator[Client]:
        """Return a connected client."""
        client = Client(protocol)
        client.connect(Hello(client="conformance", wait=True), answer_limit_s=self.time_limit_s)
        yield client
        client.disconnect()

    @pytest.fixture
    def loaded(self, client: Client, model: Artifact) -> Client:
        """Return a client whose model is loaded."""
        client.upload_model(model, slots=3)
        return client

    def test_introduces_itself(self, client: Client, model: Artifact) -> None:
        """Who it is, what it runs and what it can."""
        welcome = client.welcome
        assert welcome is not None
        assert welcome.version
        assert model.format in welcome.input_formats
        assert {"hostname", "system", "architecture"} <= set(welcome.machine)

    def test_answers_alike_in_blocks_and_one_after_another(
        self, loaded: Client, samples: Sequence[Sequence[Array]]
    ) -> None:
        """However the requests travel, and in whichever slot a sample is."""
        single = [
            _copied(loaded.run_block([one], classical=True).outputs)[0] for one in samples[:3]
        ]
        assert not _equal(single[0], single[1])
        size = loaded.slots
        for first in range(0, 3, size):
            some = samples[first : min(first + size, 3)]
            found = _copied(loaded.run_block(some, untimed=2).outputs)
            for expected, actual in zip(single[first:], found, strict=False):
                assert _equal(expected, actual)

    def test_runs_a_sample_as_often_as_asked(
        self, loaded: Client, samples: Sequence[Sequence[Array]]
    ) -> None:
        """Inputs are set again before each inference; times are in order, and counted."""
        before = loaded.counters().inferences
        once = _copied(loaded.run_block(samples[:1]).outputs)
        answer = loaded.run_block(samples[:1], count=20, untimed=5)
        assert _equal(once[0], answer.outputs[0])
        assert len(answer.start_ns) == len(answer.end_ns) == 20
        assert before + 21 == answer.counters.inferences

    def test_a_slot_without_a_turn_keeps_its_inputs(
        self, loaded: Client, samples: Sequence[Sequence[Array]]
    ) -> None:
        """Fewer inferences than slots: the rest can be run later."""
        if loaded.slots < 2:
            pytest.skip("has one slot")
        loaded.run_block(samples[:2], count=1)
        talk = loaded.conversation
        run = talk.request(Type.PROCESS, [Block(1, 1, 1, 0).encoded()])
        talk.answer(run, 0)
        talk.answer(run, 1 << 10)
        wanted = talk.request(Type.OUTPUT, [payloads.OUTPUT.pack(1, 0)])
        assert len(talk.answer(wanted, 1 << 30).payload) > payloads.TENSORS.size

    def test_measures_within_the_host_s_time(
        self, loaded: Client, samples: Sequence[Sequence[Array]]
    ) -> None:
        """What the target timed cannot have taken longer than what the host did."""
        answer = loaded.run_block(samples[:1], count=50)
        assert answer.end_ns[-1] - answer.begin_ns <= answer.host_ns[0]

    def test_begins_inferences_when_asked(
        self, loaded: Client, samples: Sequence[Sequence[Array]]
    ) -> None:
        """Never before, if it can do so at all."""
        welcome = loaded.welcome
        if welcome is None or "schedule" not in welcome.features:
            pytest.skip("has no feature 'schedule'")
        arrivals_ns = [0, 20_000_000, 20_000_000, 50_000_000]
        answer = loaded.run_block(samples[:1], count=4, arrivals_ns=arrivals_ns)
        for start_ns, arrival_ns in zip(answer.start_ns, arrivals_ns, strict=True):
            assert start_ns - answer.begin_ns >= arrival_ns

    def test_takes_the_same_model_again(
        self, loaded: Client, model: Artifact, samples: Sequence[Sequence[Array]]
    ) -> None:
        """A second upload begins anew, and needs no bytes if it can keep models."""
        first = _copied(loaded.run_block(samples[:1]).outputs)
        told: list[int] = []
        loaded.upload_model(model, progress=told.append)
        assert 0 == loaded.counters().inferences
        assert _equal(first[0], loaded.run_block(samples[:1]).outputs[0])
        welcome = loaded.welcome
        if welcome is not None and "offer" in welcome.features:
            assert model.size_bytes == told[0]

    def test_refuses_a_model_that_was_damaged(self, client: Client, model: Artifact) -> None:
        """And goes on."""
        from msgspec.structs import replace

        with pytest.raises(TargetError) as caught:
            client.upload_model(replace(model, sha256="0" * 64))
        assert "model" == caught.value.code
        client.upload_model(model)

    def test_refuses_inputs_that_do_not_fit(
        self, loaded: Client, samples: Sequence[Sequence[Array]]
    ) -> None:
        """The rest of the flight is skipped, and the session goes on."""
        wrong = [np.concatenate([one.reshape(-1), one.reshape(-1)]) for one in samples[0]]
        with pytest.raises(TargetError) as caught:
            loaded.run_block([wrong])
        assert "input" == caught.value.code
        loaded.run_block(samples[:1])

    def test_refuses_a_runtime_that_it_does_not_have(self, protocol: RuntimeProtocol) -> None:
        """No name of the client's is anything but a name."""
        with pytest.raises(TargetError) as caught:
            Client(protocol).connect(Hello(client="conformance", runtime="os.system", wait=True))
        assert "refused" == caught.value.code

    def test_answers_what_it_does_not_know(self, loaded: Client) -> None:
        """A request of a later version is unsupported; a field of one is ignored."""
        with pytest.raises(TargetError) as caught:
            loaded.conversation.answer(loaded.conversation.request(_UNKNOWN_TYPE, [b"later"]), 0)
        assert "unsupported" == caught.value.code
        loaded.counters()

    def test_profiles_if_it_says_so(
        self, loaded: Client, samples: Sequence[Sequence[Array]]
    ) -> None:
        """Whoever names the feature tells times, or why there are none; others know no such thing.

        Either way the answers stay as they were, and the session goes on.
        """
        expected = [one.copy() for one in loaded.run_block(samples[:1]).outputs[0]]
        if loaded.welcome is not None and FEATURE in loaded.welcome.features:
            profile_in(profiled(loaded, samples[0], 3))
        else:
            request = loaded.conversation.request(Type.PROFILE, [payloads.PROFILE.pack(0, 3)])
            with pytest.raises(TargetError) as caught:
                loaded.conversation.answer(request, 0)
            assert "unsupported" == caught.value.code
        again = loaded.run_block(samples[:1]).outputs[0]
        assert all(np.array_equal(a, b) for a, b in zip(expected, again, strict=True))

    def test_ignores_fields_of_later_versions(self, protocol: RuntimeProtocol) -> None:
        """A map may have more than this version knows."""
        later = {"client": "conformance", "wait": True, "mood": ["good"], "features": ["dreams"]}
        answers = self._said(protocol, [_frame(Type.HELLO, payloads.encode(later))], 2)
        assert Type.OK == answers[0][0]

    @pytest.mark.parametrize("version", [0, VERSION + 1, 255])
    def test_names_its_versions(self, protocol: RuntimeProtocol, version: int) -> None:
        """A host of another time learns which versions it could speak."""
        hello = payloads.encode(Hello(client="conformance"))
        fields = struct.pack(">4sBBHIQ", MAGIC, version, Type.HELLO, 0, 1, len(hello))
        frame = fields + struct.pack(">I", zlib.crc32(fields)) + hello
        ((type, content),) = self._said(protocol, [frame], 1)
        assert Type.ERROR == type
        failure = payloads.decode(content, Failure)
        assert "version" == failure.code
        lowest, highest = failure.versions
        assert lowest <= VERSION <= highest

    @pytest.mark.parametrize(
        "wrong",
        [
            [encode_header(Type.DATA, 0, 1, 12) + bytes(12)],
            [encode_header(Type.HELLO, 0, 1, 0)],
            [encode_header(Type.OK, 0, 1, 0)],
            [encode_header(Type.MODEL, 0, 1, 1 << 50)],
            [encode_header(Type.STATS, 0x4000, 1, 0)],
            [encode_header(Type.STATS, 0, 1, 8) + bytes(8)],
            [b"\0" * 64],
            [b"GET / HTTP/1.1\r\n\r\n\r\n\r\n\r\n\r\n"],
        ],
        ids=["data", "hello", "answer", "huge", "flags", "payload", "zeros", "http"],
    )
    def test_ends_a_session_that_breaks_the_protocol(
        self, protocol: RuntimeProtocol, wrong: list[bytes]
    ) -> None:
        """With a reason, and without harm to the next."""
        client = Client(protocol)
        client.connect(Hello(client="conformance", wait=True), answer_limit_s=self.time_limit_s)
        write(protocol.connection, wrong)
        with pytest.raises((TargetError, UnreachableError)) as caught:
            client.conversation.answer(0, 0)
        if isinstance(caught.value, TargetError):
            assert "protocol" == caught.value.code
        client.disconnect()
        self._assert_serves(protocol)

    @pytest.mark.parametrize("case", ["empty", "beyond", "output", "long flight"])
    def test_ends_a_session_that_misuses_slots(
        self, loaded: Client, protocol: RuntimeProtocol, case: str
    ) -> None:
        """A slot is filled before it is run, and run before it is read."""
        talk, slots = loaded.conversation, loaded.slots
        requests = {
            "empty": [(Type.PROCESS, Block(0, 1, 1, 0).encoded())],
            "beyond": [(Type.PROCESS, Block(slots, 1, 1, 0).encoded())],
            "output": [(Type.OUTPUT, payloads.OUTPUT.pack(0, 0))],
            "long flight": [(Type.STATS, b"")] * (flight_limit(slots) + 1),
        }[case]
        with pytest.raises(TargetError) as caught:
            sent = [talk.request(type, [content], Flag.MORE) for type, content in requests]
            talk.request(Type.STATS)
            for sequence in sent:
                talk.answer(sequence, 1 << 20)
        assert "protocol" == caught.value.code
        loaded.disconnect()
        self._assert_serves(protocol)

    def test_serves_one_at_a_time(self, loaded: Client, protocol: RuntimeProtocol) -> None:
        """A second client is told so, at once."""
        with pytest.raises(TargetError) as caught:
            Client(protocol.another()).connect(Hello(client="a second one"))
        assert "busy" == caught.value.code
        loaded.counters()

    def test_hears_everybody_after_hostile_sessions(self, protocol: RuntimeProtocol) -> None:
        """Whatever strangers send, or do not."""
        generator = np.random.default_rng(0)
        hello = _frame(Type.HELLO, payloads.encode(Hello(client="x")))
        for number in range(self.hostile_sessions):
            sent = [hello[: int(generator.integers(0, len(hello)))], generator.bytes(100)]
            protocol.start_client()
            try:
                write(protocol.connection, sent[: number % 3])
            except OSError:
                # It has closed the connection before it had heard all.
                continue
            finally:
                protocol.disconnect()
        self._assert_serves(protocol)

    def _assert_serves(self, protocol: RuntimeProtocol) -> None:
        end_s = time.monotonic() + self.time_limit_s
        client = Client(protocol.another())
        client.connect(Hello(client="the next", wait=True), answer_limit_s=self.time_limit_s)
        client.disconnect()
        assert time.monotonic() < end_s

    def _said(
        self, protocol: RuntimeProtocol, frames: Sequence[bytes], count: int
    ) -> list[tuple[int, bytes]]:
        """Send frames, and return the types and payloads of the first answers."""
        protocol.start_client()
        try:
            protocol.connection.limit_wait(self.time_limit_s)
            channel = protocol.open_channel(_EVERYTHING)
            write(protocol.connection, frames)
            answers: list[tuple[int, bytes]] = []
            while len(answers) < count and (message := channel.receive()) is not None:
                answers.append((message.type, bytes(message.payload)))
            return answers
        except ProtocolError as error:
            pytest.fail(f"The agent did not answer: {error}")
        finally:
            protocol.disconnect()


def _frame(type: int, payload: bytes) -> bytes:
    return encode_header(type, 0, 1, len(payload)) + payload


def _copied(outputs: Sequence[Sequence[Array]]) -> list[list[Array]]:
    return [[one.copy() for one in each] for each in outputs]


def _equal(mine: Sequence[Array], theirs: Sequence[Array]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(mine, theirs, strict=True))
