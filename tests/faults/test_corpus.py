"""Conversations that were seeds of a fuzzer or found something: the agent's own code takes each."""

import pytest

from edge_tester.core.wire import frames
from edge_tester.core.wire.frames import Type
from tests.faults.fuzzing import CORPUS, converse, require_defined
from tests.faults.seeds import conversations


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.bin")), ids=lambda path: path.stem)
def test_of_the_corpus(path):
    require_defined(path.read_bytes())


def test_the_seeds_are_those_of_this_protocol():
    """Otherwise the fuzzer would begin with what nobody says any more."""
    for name, content in conversations().items():
        assert content == (CORPUS / f"{name}.bin").read_bytes(), name


def test_a_whole_conversation_is_answered():
    answered, types = converse(conversations()["whole"]), []
    while answered:
        type, _, _, length = frames.decode_header(answered[: frames.HEADER_BYTES])
        types.append(type)
        answered = answered[frames.HEADER_BYTES + length :]
    # HELLO is answered twice, since a runtime is prepared, and so is PROCESS.
    assert [Type.OK] * (4 + 5 + 5) == types
