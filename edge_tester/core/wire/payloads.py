"""What messages carry, as MessagePack.

Everything is decoded into these types and nothing else, so that a peer cannot
send a structure that nobody expects. Tensors travel raw and are not here.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from edge_tester.core.errors import RemoteProtocolError


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """First message of a client.

    Attributes
    ----------
    client : str
        Who asks, for the agent's log and for other clients.
    runtime : str
        Dotted path of the runtime; empty for the agent's first.
    runtime_options : dict
        Options that the client sets explicitly.
    wait : bool
        Queue behind a running session instead of failing with ``busy``.
    """

    client: str
    runtime: str = ""
    runtime_options: dict[str, Any] = {}
    wait: bool = False


class Queued(msgspec.Struct, frozen=True, tag=True):
    """Interim answer to a HELLO: another session runs, or, without a reason, it takes a moment."""

    reason: str = ""


class Welcome(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Final answer to HELLO: the session process is ready."""

    version: str
    runtime: str
    input_formats: list[str]
    runtime_options: dict[str, Any]
    machine: dict[str, Any]


class ModelDescription(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of a model before its bytes; its name is for messages alone."""

    format: str
    size_bytes: int
    sha256: str
    batch_size: int = 1
    batch_axis: int | None = 0
    name: str = ""


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to MODEL: the model as the runtime really sees it."""

    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    facts: dict[str, Any]


class Timing(msgspec.Struct, frozen=True, array_like=True):
    """Second answer to PROCESS: the target's own clock [ns]."""

    start_ns: int
    end_ns: int


class Statistics(msgspec.Struct, kw_only=True):
    """Answer to STATS; everything since the model was loaded."""

    inferences: int = 0
    load_ns: int | None = None
    first_inference_ns: int | None = None
    cpu_time_ns: int = 0
    peak_bytes: int | None = None
    before_load_bytes: int | None = None


class Failure(msgspec.Struct, frozen=True):
    """What an ERROR carries."""

    code: str
    message: str


# What msgspec raises on bytes that somebody made up: also texts that are no UTF-8 and
# nesting without end.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

Payload = TypeVar("Payload", bound=msgspec.Struct)
encode = msgspec.msgpack.Encoder().encode
_decoders: dict[Any, msgspec.msgpack.Decoder[Any]] = {}


def decode(payload: memoryview | bytes, type: type[Payload]) -> Payload:
    """Decode a payload into exactly one type.

    Raises
    ------
    RemoteProtocolError
        It does not hold this type.
    """
    decoder = _decoders.get(type)
    if decoder is None:
        decoder = _decoders[type] = msgspec.msgpack.Decoder(type)
    try:
        found: Payload = decoder.decode(payload)
    except UNREADABLE as error:
        name = getattr(type, "__name__", str(type))
        raise RemoteProtocolError(f"A payload is no {name}: {error}") from error
    return found
