"""How a host introduces itself, and what it hears until it is welcome."""

from __future__ import annotations

import time
from collections.abc import Callable

from msgspec.structs import replace

from edge_tester.core.errors import OptionError, RemoteProtocolError, UnreachableError
from edge_tester.core.wire import frames, payloads, tokens
from edge_tester.core.wire.conversation import Conversation
from edge_tester.core.wire.frames import Type
from edge_tester.core.wire.payloads import Challenge, Hello, Proof, Queued, Welcome
from edge_tester.core.wire.standing import Reserved, Standing
from edge_tester.core.wire.states import FEATURES

_Answer = Challenge | Queued | Welcome | Standing | Reserved
_KNOWN_UNTIL = "by the version of edge_tester there, which may be an older one"
# Whoever answers within this time may take longer for what it then does.
HELLO_LIMIT_S = 10.0
# A connection that ends sooner, with nothing heard, is made once more.
_AT_ONCE_S = 1.0
_QUEUE_LIMIT_S = 86400.0
# Named by those alone who mean to use them, since the target prepares for it.
_ON_REQUEST = ("beside", "mac")


def greet(
    conversation: Conversation,
    hello: Hello,
    on_queued: Callable[[str], None],
    answer_limit_s: float,
) -> tuple[Welcome, str]:
    """Connect, say HELLO, and wait for the welcome.

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
    OptionError
        The target asks for a token, and there is none.
    """
    ticket = ""
    wanted = [*hello.features, *(["mac"] if conversation.protocol.authenticates_frames else [])]
    features = [one for one in FEATURES if one not in _ON_REQUEST or one in wanted]
    sequence, answer = _introduced(conversation, replace(hello, features=features))
    while isinstance(answer, Queued):
        # Of a target that began twice, the last one counts.
        ticket = answer.ticket or ticket
        if answer.reason:
            on_queued(_with_place(answer))
        conversation.wait_up_to(_QUEUE_LIMIT_S if answer.reason else answer_limit_s)
        answer = _later(conversation, sequence)
    if not isinstance(answer, Welcome):
        raise _unexpected(conversation, answer)
    conversation.wait_up_to(answer_limit_s)
    if hello.runtime not in ("", answer.runtime):
        raise RemoteProtocolError(
            f"{conversation.protocol.address} was asked for the runtime {hello.runtime!r} and "
            f"gives {answer.runtime!r}."
        )
    return answer, ticket if "beside" in answer.features else ""


def ask(conversation: Conversation, hello: Hello) -> Standing | Reserved:
    """Connect, and ask a target for something else than a session.

    Raises
    ------
    UnreachableError, RemoteProtocolError, TargetError, OptionError
        As :func:`greet`.
    """
    _, answer = _introduced(conversation, hello)
    if not isinstance(answer, Standing | Reserved):
        raise RemoteProtocolError(
            f"{conversation.protocol.address} cannot be asked for {hello.ask!r} {_KNOWN_UNTIL}."
        )
    return answer


def _introduced(conversation: Conversation, hello: Hello) -> tuple[int, _Answer]:
    """Connect, say HELLO, prove to have the token if that is asked for; return what comes then."""
    said = payloads.encode(replace(hello, nonce=tokens.new_nonce()))
    begin_s = time.monotonic()
    try:
        sequence, answer = _first_answer(conversation, said)
    except UnreachableError:
        if not conversation.protocol.several or time.monotonic() - begin_s > _AT_ONCE_S:
            raise
        # It may have been accepted by a process that was just ending, and has been replaced.
        conversation.end()
        sequence, answer = _first_answer(conversation, said)
    return sequence, _authenticated(conversation, said, sequence, answer)


def _with_place(queued: Queued) -> str:
    """Return why one waits, at which place and about how long."""
    parts = [queued.reason]
    if queued.position is not None:
        parts.append(f"Number {queued.position} in line")
        if queued.wait_s is not None:
            parts[-1] += f", for about {queued.wait_s:.0f} s by the sessions before"
        parts[-1] += "."
    return " ".join(parts)


def _authenticated(
    conversation: Conversation, hello: bytes, sequence: int, answer: _Answer
) -> _Answer:
    """Prove to have the token if the target asks for it; return what it says then.

    Raises
    ------
    OptionError
        It asks, and there is none here.
    RemoteProtocolError
        It does not ask, or does not have the token itself.
    UnreachableError
        It closes the connection, since it has another one.
    """
    address, known = conversation.protocol.address, conversation.protocol.tokens()
    if not isinstance(answer, Challenge):
        if known:
            raise RemoteProtocolError(
                f"{address} does not ask for the token that was given for it, so nothing tells "
                "that it is the one meant. Start the agent there with the token, or give none here."
            )
        return answer
    if not known:
        raise OptionError(
            f"{address} asks for a token: name the file that has it, by --token-file PATH, or put "
            f"it into the environment variable {tokens.VARIABLE}."
        )
    proofs = tokens.Proofs(known[0], hello, answer.nonce)
    try:
        request = conversation.request(Type.PROOF, [payloads.encode(Proof(proofs.host))])
        given = conversation.answer(request, frames.PROOF_LIMIT_BYTES).payload
    except UnreachableError as error:
        raise UnreachableError(
            f"{address} closed the connection when it had heard the proof: its token is another "
            "one than the one here."
        ) from error
    if not tokens.same(payloads.decode(given, Proof).proof, proofs.target):
        raise RemoteProtocolError(f"{address} does not have the token: it is not the one meant.")
    if "mac" in payloads.decode(hello, Hello).features:
        conversation.channel.trailers.authenticate(proofs.frame_key, host=True)
    return _later(conversation, sequence)


def _first_answer(conversation: Conversation, hello: bytes) -> tuple[int, _Answer]:
    """Connect, say HELLO and return the first answer; what it is not says what listens there."""
    conversation.begin()
    conversation.wait_up_to(HELLO_LIMIT_S)
    try:
        sequence = conversation.request(Type.HELLO, [hello])
        return sequence, _answer(conversation, sequence)
    except frames.VersionMismatchError:
        raise
    except (UnreachableError, RemoteProtocolError) as error:
        raise type(error)(
            f"Something listens at {conversation.protocol.address}, but no agent of edge_tester "
            f"answers within {HELLO_LIMIT_S:g} s: {error}{conversation.protocol.if_no_answer}"
        ) from error


def _answer(conversation: Conversation, sequence: int) -> _Answer:
    message = conversation.answer(sequence, frames.DESCRIPTION_LIMIT_BYTES)
    answer: _Answer = payloads.decode(message.payload, _Answer)  # type: ignore[arg-type]
    if isinstance(answer, Welcome):
        conversation.channel.trailers.require_authentic(message)
    return answer


def _later(conversation: Conversation, sequence: int) -> _Answer:
    """Return an answer that is not the first: nobody is challenged twice."""
    answer = _answer(conversation, sequence)
    if isinstance(answer, Challenge):
        raise _unexpected(conversation, answer)
    return answer


def _unexpected(conversation: Conversation, answer: _Answer) -> RemoteProtocolError:
    return RemoteProtocolError(
        f"{conversation.protocol.address} answers {type(answer).__name__} at the wrong time."
    )
