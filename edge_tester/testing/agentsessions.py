"""What the conformance suite of agents checks of several sessions of one host."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import numpy as np
import pytest

from edge_tester.core.artifact import Artifact
from edge_tester.core.errors import TargetError
from edge_tester.core.runtimeprotocol import RuntimeProtocol
from edge_tester.core.tensors import Array
from edge_tester.core.wire.client import BlockAnswer, Client
from edge_tester.core.wire.payloads import Hello

_BLOCKS = 10
_BLOCK_NS = 20_000_000
_INFERENCES = 1000


class AgentSessions:
    """Part of :class:`edge_tester.testing.AgentConformance`, for agents with ``beside``."""

    time_limit_s: ClassVar[float]

    @pytest.fixture
    def pair(self, protocol: RuntimeProtocol, model: Artifact) -> Iterator[tuple[Client, Client]]:
        """Return two sessions of one host, each with the model."""
        hello = Hello(client="conformance", wait=True, features=["beside"])
        with contextlib.ExitStack() as stack:
            first = Client(protocol)
            stack.callback(first.disconnect)
            first.connect(hello, answer_limit_s=self.time_limit_s)
            if not first.ticket:
                pytest.skip("has no feature 'beside'")
            second = first.beside(hello, answer_limit_s=self.time_limit_s)
            stack.callback(second.disconnect)
            for one in (first, second):
                one.upload_model(model, slots=3)
            yield first, second

    def test_sessions_of_one_host_are_each_its_own(
        self, pair: tuple[Client, Client], samples: Sequence[Sequence[Array]]
    ) -> None:
        """With inputs and counters of its own, while others wait for both to end."""
        first, second = pair
        expected = [_answers(second, one) for one in samples[:2]]
        for _ in range(2):
            for client, sample, outputs in zip(pair, samples, expected, strict=False):
                assert _equal(outputs, _answers(client, sample))
        assert 2 == first.counters().inferences
        assert 4 == second.counters().inferences
        self._assert_busy(first.protocol.another())
        first.disconnect()
        assert _equal(expected[0], _answers(second, samples[0]))
        self._assert_busy(first.protocol.another())

    def test_runs_one_block_at_a_time(
        self, pair: tuple[Client, Client], samples: Sequence[Sequence[Array]]
    ) -> None:
        """Whatever both sessions are sent; their times are of one clock."""
        welcome = pair[0].welcome
        scheduled = welcome is not None and "schedule" in welcome.features
        arrivals_ns = [0, _BLOCK_NS] if scheduled else []
        count = len(arrivals_ns) or _INFERENCES

        def blocks_of(client: Client) -> list[BlockAnswer]:
            return [
                client.run_block(samples[:1], count=count, arrivals_ns=arrivals_ns)
                for _ in range(_BLOCKS)
            ]

        with ThreadPoolExecutor() as pool:
            found = [one for blocks in pool.map(blocks_of, pair) for one in blocks]
        found.sort(key=lambda block: block.begin_ns)
        assert 2 * _BLOCKS == len(found)
        for earlier, later in zip(found, found[1:], strict=False):
            assert earlier.end_ns[-1] <= later.begin_ns

    def test_serves_nobody_beside_without_a_valid_ticket(self, pair: tuple[Client, Client]) -> None:
        """Neither a guess nor one whose session has ended; the sessions go on."""
        first, second = pair
        for wrong in ("0" * 32, first.ticket[:-1], f"{first.ticket}0", "\u00e9" * 1000):
            self._assert_refused(first.protocol.another(), wrong)
        assert first.ticket != second.ticket
        first.disconnect()
        self._assert_refused(first.protocol.another(), first.ticket)
        hello = Hello(client="conformance")
        second.beside(hello, answer_limit_s=self.time_limit_s).disconnect()
        second.disconnect()
        self._assert_refused(first.protocol.another(), second.ticket)

    def _assert_busy(self, protocol: RuntimeProtocol) -> None:
        with pytest.raises(TargetError) as caught:
            Client(protocol).connect(Hello(client="somebody else"))
        assert "busy" == caught.value.code

    def _assert_refused(self, protocol: RuntimeProtocol, ticket: str) -> None:
        with pytest.raises(TargetError) as caught:
            Client(protocol).connect(Hello(client="somebody else", wait=True, beside=ticket))
        assert "ticket" == caught.value.code
        assert ticket not in str(caught.value)


def _answers(client: Client, sample: Sequence[Array]) -> list[Array]:
    return [one.copy() for one in client.run_block([sample]).outputs[0]]


def _equal(mine: Sequence[Array], theirs: Sequence[Array]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(mine, theirs, strict=True))
