"""How a host introduces itself, and what it hears until it is welcome."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from edge_tester.core.errors import RemoteProtocolError, UnreachableError
from edge_tester.core.wire import frames, payloads
from edge_tester.core.wire.conversation import Conversation
from edge_tester.core.wire.frames import Type
from edge_tester.core.wire.payloads import Hello, Queued, Welcome
from edge_tester.core.wire.states import FEATURES

# Whoever answers within this time may take longer for what it then does.
HELLO_LIMIT_S = 10.0
_QUEUE_LIMIT_S = 86400.0
# Named by those alone who mean to use them, since the target prepares for it.
_ON_REQUEST = ("beside",)


def greet(
    conversation: Conversation,
    hello: Hello,
    on_queued: Callable[[str], None],
    answer_limit_s: float,
) -> tuple[Welcome, str]:
    """Say HELLO over a connection that was just made, and wait for the welcome.

    Parameters
    ----------
    conversation : Conversation
    hello : Hello
    on_queued : callable
        Called with the reason when there is something to wait for.
    answer_limit_s : float
        Time that the target may take for an answer.

    Returns
    -------
    welcome : Welcome
    ticket : str
        What opens further sessions; empty if the target gave none.

    Raises
    ------
    UnreachableError, RemoteProtocolError, TargetError
    """
    conversation.wait_up_to(HELLO_LIMIT_S)
    ticket = ""
    sequence, answer = _first_answer(conversation, payloads.encode(_with_features(hello)))
    while isinstance(answer, Queued):
        # Of a target that began twice, the last one counts.
        ticket = answer.ticket or ticket
        if answer.reason:
            on_queued(answer.reason)
        conversation.wait_up_to(_QUEUE_LIMIT_S if answer.reason else answer_limit_s)
        answer = _answer(conversation, sequence)
    conversation.wait_up_to(answer_limit_s)
    if hello.runtime not in ("", answer.runtime):
        raise RemoteProtocolError(
            f"{conversation.protocol.address} was asked for the runtime {hello.runtime!r} and "
            f"gives {answer.runtime!r}."
        )
    return answer, ticket if "beside" in answer.features else ""


def _first_answer(conversation: Conversation, hello: bytes) -> tuple[int, Queued | Welcome]:
    """Say HELLO and return the first answer; what it is not says what listens there."""
    try:
        sequence = conversation.request(Type.HELLO, [hello])
        return sequence, _answer(conversation, sequence)
    except frames.VersionMismatchError:
        raise
    except (UnreachableError, RemoteProtocolError) as error:
        raise type(error)(
            f"Something listens at {conversation.protocol.address}, but no agent of edge_tester "
            f"answers within {HELLO_LIMIT_S:g} s: {error}"
        ) from error


def _answer(conversation: Conversation, sequence: int) -> Queued | Welcome:
    content = conversation.answer(sequence, frames.DESCRIPTION_LIMIT_BYTES).payload
    answer: Queued | Welcome = payloads.decode(content, Queued | Welcome)  # type: ignore[arg-type]
    return answer


def _with_features(hello: Hello) -> Hello:
    features = [one for one in FEATURES if one not in _ON_REQUEST or one in hello.features]
    return replace(hello, features=features)
