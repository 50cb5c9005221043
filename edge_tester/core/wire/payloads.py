"""What messages carry.

Maps, as MessagePack, where it does not matter how long they take; fixed structures of big-endian
integers where each sample passes. Everything is decoded into these types and nothing else, so
that a peer cannot send a structure that nobody expects.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec

from edge_tester.core.errors import RemoteProtocolError

Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
AtLeastOne = Annotated[int, msgspec.Meta(ge=1, lt=1 << 31)]


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """First message of a client.

    Attributes
    ----------
    client : str
        Who asks, for the agent's log and for other clients.
    runtime : str
        Name of the runtime; empty for the agent's first.
    runtime_options : dict
        Options that the client sets explicitly.
    wait : bool
        Queue behind a running session instead of failing with ``busy``.
    features : list of str
        What the client can use beyond the rest.
    beside : str
        Ticket of a session of this client's that lives; empty for a first session.
    nonce : str
        A random number, for a target that asks for a token.
    ask : str
        What is asked instead of a session, see :mod:`edge_tester.core.wire.standing`.
    lasting_s : float
        For how long to reserve the target.
    reservation : str
        Shown by whoever has reserved it.
    """

    client: str
    runtime: str = ""
    runtime_options: dict[str, Any] = {}
    wait: bool = False
    features: list[str] = []
    beside: str = ""
    nonce: str = ""
    ask: str = ""
    lasting_s: float = 0.0
    reservation: str = ""


class Challenge(msgspec.Struct, frozen=True, tag=True):
    """Interim answer to a HELLO: who asks has to prove that he has the token.

    Attributes
    ----------
    nonce : str
        A random number of the target's.
    """

    nonce: str


class Proof(msgspec.Struct, frozen=True):
    """What one side says to prove that it has the token, as :mod:`edge_tester.core.wire.tokens`.

    Attributes
    ----------
    proof : str
        64 hexadecimal digits.
    """

    proof: str


class Queued(msgspec.Struct, frozen=True, tag=True):
    """Interim answer to a HELLO: another session runs, or, without a reason, it takes a moment.

    Attributes
    ----------
    reason : str
        Who uses the target.
    ticket : str
        What opens further sessions beside this one; empty if none was asked for.
    position : int or None
        Place in line, from 1.
    wait_s : float or None
        How long that is likely to take, by the sessions before.
    """

    reason: str = ""
    ticket: str = ""
    position: int | None = None
    wait_s: float | None = None


class Welcome(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Final answer to HELLO: the session process is ready.

    Attributes
    ----------
    version : str
        Version of the target's software.
    runtime : str
        Name of the runtime that will be used.
    input_formats : list of str
        Model formats that it runs.
    runtime_options : dict
        All its options, as they will be used.
    machine : dict
        The target, as :class:`edge_tester.core.record.Machine`.
    features : list of str
        Those of the client's that the target has too.
    """

    version: str
    runtime: str
    input_formats: list[str]
    runtime_options: dict[str, Any]
    machine: dict[str, Any]
    features: list[str] = []


class ModelDescription(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of a model before its bytes.

    Attributes
    ----------
    format : str
        Name of the file format.
    size_bytes : int
        Of the whole file.
    sha256 : str
        Of the whole file, 64 hexadecimal digits.
    batch_size : int
        Samples per inference.
    batch_axis : int or None
        Axis of the batch, None for a model that takes one sample.
    name : str
        What the client calls it, for messages alone.
    slots : int
        How many slots the client would like.
    offset : int
        Place in the file of the first byte that follows; the target has those before.
    """

    format: str
    size_bytes: Count
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    batch_size: AtLeastOne = 1
    batch_axis: int | None = 0
    name: str = ""
    slots: AtLeastOne = 1
    offset: Count = 0


class Offered(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to OFFER: how many bytes of this file, from the first, the target has."""

    stored_bytes: Count


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to MODEL: the model as the runtime really sees it.

    Attributes
    ----------
    inputs, outputs : list of dict
        Each as :class:`edge_tester.core.tensors.TensorSpec`.
    facts : dict
        What the runtime uses.
    slots : int
        How many there are; not more than the client asked for.
    """

    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    facts: dict[str, Any]
    slots: AtLeastOne = 1


class Counters(msgspec.Struct, kw_only=True):
    """Answer to STATS: what grew since the model was loaded; what is not known is absent.

    Attributes
    ----------
    inferences : int
        Timed ones.
    load_ns, first_inference_ns : int, optional
    cpu_time_ns : int, optional
        Processor time of all threads over the timed inferences, inputs and outputs included.
    peak_bytes, before_load_bytes : int, optional
        Resident memory: the most since the model began to load, and right before.
    load_peak_bytes, inference_peak_bytes : int, optional
        The most while it was loaded, and after that.
    readings : dict of str to float
        What the target's meters counted over the timed inferences, by names with units.
    idle_w : dict of str to float
        Power while nothing ran, right before the load, by the names of counters of energy.
    """

    inferences: Count = 0
    load_ns: Count | None = None
    first_inference_ns: Count | None = None
    cpu_time_ns: Count | None = None
    peak_bytes: Count | None = None
    before_load_bytes: Count | None = None
    load_peak_bytes: Count | None = None
    inference_peak_bytes: Count | None = None
    readings: dict[str, float] = {}
    idle_w: dict[str, float] = {}


class Failure(msgspec.Struct, frozen=True):
    """What an ERROR carries.

    Attributes
    ----------
    code : str
        One of :data:`edge_tester.core.wire.states.ERROR_CODES`.
    message : str
    versions : list of int
        With code ``version``: the lowest and the highest that the target speaks.
    """

    code: str
    message: str
    versions: list[int] = []


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


# DATA, and the answer to OUTPUT: slot, bytes of the shapes; shapes and tensors follow.
TENSORS = struct.Struct(">II")
# OUTPUT: slot, zero.
OUTPUT = struct.Struct(">II")
# PROCESS: first slot, number of slots, inferences, untimed ones before, arrivals, zero.
PROCESS = struct.Struct(">IIIIII")
# The second answer to PROCESS: inferences, zero, begin of the block; their starts and ends follow.
TIMES = struct.Struct(">IIQ")
INSTANT_BYTES = 8
INFERENCES_LIMIT = 1 << 16
# PROFILE: slot, inferences.
PROFILE = struct.Struct(">II")
PROFILE_INFERENCES_LIMIT = 1000


class Block(NamedTuple):
    """What PROCESS asks for.

    Attributes
    ----------
    first, slots : int
        Inference number i takes slot ``first + i % slots``.
    inferences : int
        Timed ones.
    untimed : int
        Inferences before these, over the same slots in the same order.
    arrivals_ns : sequence of int
        When each inference may begin, from the begin of the block on; empty for back to back.
    """

    first: int
    slots: int
    inferences: int
    untimed: int
    arrivals_ns: Sequence[int] = ()

    def encoded(self) -> bytes:
        """Return the payload of PROCESS."""
        head = PROCESS.pack(*self[:4], len(self.arrivals_ns), 0)
        return head + struct.pack(f">{len(self.arrivals_ns)}Q", *self.arrivals_ns)

    @classmethod
    def decoded(cls, payload: memoryview) -> Block:
        """Read the payload of PROCESS.

        Raises
        ------
        RemoteProtocolError
            It is none.
        """
        if len(payload) < PROCESS.size:
            raise RemoteProtocolError(f"A PROCESS of {len(payload)} bytes is too short.")
        first, slots, count, untimed, arrivals, _ = PROCESS.unpack_from(payload)
        if len(payload) != PROCESS.size + INSTANT_BYTES * arrivals or arrivals not in (0, count):
            raise RemoteProtocolError(
                f"A PROCESS of {count} inferences has {arrivals} arrivals in {len(payload)} bytes."
            )
        if not (slots and 1 <= count <= INFERENCES_LIMIT and untimed <= INFERENCES_LIMIT):
            raise RemoteProtocolError(
                f"A PROCESS takes at least one slot and 1 to {INFERENCES_LIMIT} inferences, got "
                f"{slots} slots, {count} inferences and {untimed} untimed."
            )
        found = struct.unpack_from(f">{arrivals}Q", payload, PROCESS.size)
        if any(earlier > later for earlier, later in zip(found, found[1:], strict=False)):
            raise RemoteProtocolError("The arrivals of a PROCESS must not go back in time.")
        return cls(first, slots, count, untimed, found)


def encode_times(begin_ns: int, start_ns: Sequence[int], end_ns: Sequence[int]) -> bytes:
    """Return the payload of the second answer to PROCESS."""
    count = len(start_ns)
    return TIMES.pack(count, 0, begin_ns) + struct.pack(f">{2 * count}Q", *start_ns, *end_ns)


def decode_times(payload: memoryview, count: int) -> tuple[int, list[int], list[int]]:
    """Read the payload of the second answer to PROCESS.

    Raises
    ------
    RemoteProtocolError
        It is not that of so many inferences, or its times cannot be.
    """
    if len(payload) != TIMES.size + 2 * INSTANT_BYTES * count:
        raise RemoteProtocolError(
            f"The times of {count} inferences cannot have {len(payload)} bytes."
        )
    found = struct.unpack_from(f">{2 * count}Q", payload, TIMES.size)
    start_ns, end_ns = list(found[:count]), list(found[count:])
    said, _, block_ns = TIMES.unpack_from(payload)
    # What is above is a negative number.
    if said != count or max(found) >= 1 << 63:
        raise RemoteProtocolError(f"The target gives impossible times: up to {max(found)} ns.")
    ends = [block_ns, *end_ns]
    for begin_ns, finish_ns, before_ns in zip(start_ns, end_ns, ends, strict=False):
        if not before_ns <= begin_ns <= finish_ns:
            raise RemoteProtocolError(
                f"The target gives impossible times: an inference from {begin_ns} to {finish_ns} "
                f"ns after one that ended at {before_ns} ns."
            )
    return block_ns, start_ns, end_ns
