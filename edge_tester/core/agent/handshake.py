"""Read a client's HELLO without trusting it: little time, few bytes, no detail."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import time
from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from edge_tester.core.errors import RemoteProtocolError
from edge_tester.core.system.text import printable
from edge_tester.core.wire import frames as wire
from edge_tester.core.wire import payloads
from edge_tester.core.wire.frames import HEADER_BYTES, Type
from edge_tester.core.wire.payloads import Challenge, Failure, Hello, Proof, Queued
from edge_tester.core.wire.tokens import Proofs, new_nonce

TIME_LIMIT_S = 5.0
# Of a name that a client gives itself.
_NAME_LIMIT = 80
# Where the system tells the end of the other side's half apart from data (Linux).
_LEFT = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR | select.POLLNVAL
# What one subscriber or one network of a building has: RFC 4291, section 2.5.4, and RFC 6177.
_ORIGIN_BITS = 64
# Source: socket(7): whether, and how long [s].
_NO_LINGER = struct.pack("ii", 0, 0)
_CREDENTIALS = struct.Struct("iII")


class Peer:
    """A client that has connected; nothing here waits for it.

    Parameters
    ----------
    connection : socket
    address : object
        As ``accept`` gives it.

    Attributes
    ----------
    connection : socket
        Non-blocking until it is handed over.
    name : str
        Where it comes from, for people.
    origin : str
        What it is counted by: its address, of IPv6 the network of 64 bits, or its process where
        that is on this machine.
    hello : Hello or None
        Its first message, once that has arrived.
    attempts : int
        How often it was given to a session process.
    nonce : str
        With which it was challenged; empty before.
    frame_key : bytes
        By which frames are authenticated; empty if they are not.
    challenge_s : float or None
        When to challenge it, by :func:`time.monotonic`.
    """

    def __init__(self, connection: socket.socket, address: object) -> None:
        connection.setblocking(False)
        self.connection = connection
        self.name = _name_of(address)
        self.origin = _origin_of(connection, address)
        self.hello: Hello | None = None
        self.frame = bytearray()
        self.attempts = 0
        self.nonce, self.frame_key = "", b""
        self.challenge_s: float | None = None
        self._proof = bytearray()
        self._other: wire.VersionMismatchError | None = None
        self.deadline_s = time.monotonic() + TIME_LIMIT_S
        self._ending = select.poll()
        self._ending.register(connection, _LEFT)

    @property
    def client(self) -> str:
        """What it calls itself, fit for a log or a terminal."""
        return printable(self.hello.client, _NAME_LIMIT) if self.hello else "another client"

    @property
    def beside(self) -> str:
        """The ticket that it shows to be served beside another session; empty for none."""
        return self.hello.beside if self.hello else ""

    @property
    def asks_for_ticket(self) -> bool:
        """Whether it may open sessions beside its own."""
        return self.hello is not None and "beside" in self.hello.features

    @property
    def authenticates_frames(self) -> bool:
        """Whether every frame after HELLO is to be authenticated."""
        return self.hello is not None and "mac" in self.hello.features

    def receive(self) -> bool:
        """Read what is there; return whether HELLO is complete.

        Never reads beyond HELLO: what follows belongs to the session process.

        Raises
        ------
        RemoteProtocolError
            It is no HELLO, or the client closed the connection.
        VersionMismatchError
            It is one of another version of the protocol.
        OSError
            The connection failed.
        """
        # One of another version is read as well: unread, it would take the answer with it.
        if not self._received(self.frame, Type.HELLO, wire.HELLO_LIMIT_BYTES, self._header):
            return False
        if self._other is None:
            self.hello = payloads.decode(self.said, Hello)
        return True

    def challenge(self) -> None:
        """Ask for a proof that it has the token; nothing else is said to it before."""
        self.nonce, self.challenge_s = new_nonce(), None
        self.deadline_s = time.monotonic() + TIME_LIMIT_S
        self._answer(payloads.encode(Challenge(self.nonce)), Type.OK)

    def receive_proof(self) -> str | None:
        """Read what is there of its proof; return it once it is complete.

        Raises
        ------
        RemoteProtocolError
            It is none, or the client closed the connection.
        OSError
            The connection failed.
        """
        if not self._received(
            self._proof, Type.PROOF, wire.PROOF_LIMIT_BYTES, self._header_of_proof
        ):
            return None
        return payloads.decode(bytes(self._proof[HEADER_BYTES:]), Proof).proof

    def admit(self, proofs: Proofs) -> None:
        """Prove to it in return that this agent has the token."""
        if self.authenticates_frames:
            self.frame_key = proofs.frame_key
        sequence, content = self._header_of_proof()[2], payloads.encode(Proof(proofs.target))
        self._send(wire.encode_header(Type.OK, 0, sequence, len(content)) + content)

    @property
    def said(self) -> bytes:
        """Payload of its HELLO."""
        return bytes(self.frame[HEADER_BYTES:])

    def introduction(self) -> bytes:
        """Return HELLO for a session process: its model must not learn the ticket of another."""
        if self.hello is None or not self.hello.beside:
            return bytes(self.frame)
        content = payloads.encode(replace(self.hello, beside=""))
        return wire.encode_header(Type.HELLO, 0, self._header()[2], len(content)) + content

    def ask_to_wait(
        self,
        reason: str = "",
        ticket: str = "",
        position: int | None = None,
        wait_s: float | None = None,
    ) -> None:
        """Say that the target is in use, or, without a reason, that it takes a moment."""
        self._answer(payloads.encode(Queued(reason, ticket, position, wait_s)), Type.OK)

    def inform(self, what: msgspec.Struct) -> None:
        """Answer OK with what was asked for, and close."""
        try:
            self._answer(payloads.encode(what), Type.OK)
        finally:
            self.close()

    def refuse(self, code: str, message: str) -> None:
        """Answer ERROR and close."""
        versions = [wire.VERSION, wire.VERSION] if code == "version" else []
        try:
            self._answer(payloads.encode(Failure(code, message, versions)), Type.ERROR)
        finally:
            self.close()

    @property
    def other_version(self) -> str | None:
        """Why it cannot be served, if it speaks another version of the protocol."""
        return str(self._other) if self._other else None

    def tell(self, code: str, message: str) -> None:
        """Say how its session ended, once the process that served it is gone."""
        content = payloads.encode(Failure(code, message))
        self._send(wire.encode_header(Type.ERROR, 0, 0, len(content)) + content)

    def has_left(self) -> bool:
        """Tell whether the client has closed the connection and all it said was read."""
        try:
            return not self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def has_hung_up(self) -> bool:
        """Tell whether the client has closed its side, whatever is still to be read."""
        return bool(self._ending.poll(0))

    def close(self) -> None:
        """Close the connection, also for those who have got a duplicate of it."""
        # What is not connected any more needs no shutting down. A model that had the same socket
        # may have asked for a close() that waits until its client has read all that was sent.
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()

    def _answer(self, payload: bytes, type: int) -> None:
        sequence = self._header()[2]
        self._send(wire.encode_header(type, 0, sequence, len(payload)) + payload)

    def _send(self, frame: bytes) -> None:
        """Send a frame; what the connection cannot take at once is dropped."""
        # By a flag of the call: whether the socket itself waits is shared with the session.
        self.connection.send(frame, socket.MSG_DONTWAIT)

    def _received(
        self,
        frame: bytearray,
        wanted: int,
        limit_bytes: int,
        header: Callable[[], tuple[int, int, int, int]],
    ) -> bool:
        """Read what is there of one frame, never beyond it; return whether it is complete."""
        while (missing := _missing(frame, wanted, limit_bytes, header)) > 0:
            try:
                piece = self.connection.recv(missing)
            except BlockingIOError:
                return False
            if not piece:
                raise RemoteProtocolError("it closed the connection")
            frame += piece
        return True

    def _header_of_proof(self) -> tuple[int, int, int, int]:
        return wire.decode_header(bytes(self._proof[:HEADER_BYTES]))

    def _header(self) -> tuple[int, int, int, int]:
        """Return type, flags, sequence and length of HELLO, which every version has alike."""
        try:
            return wire.decode_header(bytes(self.frame[:HEADER_BYTES]))
        except wire.VersionMismatchError as error:
            self._other = error
            return error.type, error.flags, error.sequence, error.length


def _missing(
    frame: bytearray,
    wanted: int,
    limit_bytes: int,
    header: Callable[[], tuple[int, int, int, int]],
) -> int:
    """Return how many bytes are missing of a frame, which must be of one type."""
    have = len(frame)
    if have < HEADER_BYTES:
        return HEADER_BYTES - have
    type, flags, _, length = header()
    if type != wanted or flags or length > limit_bytes:
        raise RemoteProtocolError(f"its message is no {wire.TYPE_NAMES[wanted]}")
    return HEADER_BYTES + length - have


def _name_of(address: object) -> str:
    if isinstance(address, tuple):
        return printable(":".join(map(str, address[:2])))
    return "local client"


def _network_of(address: str) -> str:
    """Return by what an address is counted: of IPv6, whoever has one has the other 2**64 too."""
    # Late: for those who are reached that way.
    if ":" not in address:
        return address
    import ipaddress

    found = ipaddress.IPv6Address(address.partition("%")[0])
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((found, _ORIGIN_BITS), strict=False))


def _origin_of(connection: socket.socket, address: object) -> str:
    if isinstance(address, tuple):
        return _network_of(str(address[0]))
    if hasattr(socket, "SO_PEERCRED"):
        found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        return f"process {_CREDENTIALS.unpack(found)[0]}"
    return "this machine"
