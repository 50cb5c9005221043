"""The runtime protocol role: the link between host and target.

Nothing here imports numpy at module level: the supervisor of the target agent
uses this class and stays small.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Protocol, TypeVar, runtime_checkable

from edge_tester.core.errors import OptionError
from edge_tester.core.options import Configurable, state
from edge_tester.core.wire.channel import Channel
from edge_tester.core.wire.connections import Connection
from edge_tester.core.wire.writing import write_file

if TYPE_CHECKING:
    from edge_tester.core.runtime import Runtime

Self = TypeVar("Self", bound="RuntimeProtocol")


class Listener(Protocol):
    """A listening endpoint that a selector can watch; sockets are listeners."""

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when a client comes."""

    def accept(self) -> tuple[Any, Any]:
        """Return the connection of the next client, and the client's address."""

    def close(self) -> None:
        """Stop listening."""


@runtime_checkable
class ProcessListener(Listener, Protocol):
    """A listener for which a process of its own accepts clients.

    Its ``accept`` raises :class:`edge_tester.core.errors.ListenerEndedError` once that has ended.
    """

    @property
    def pids(self) -> set[int]:
        """The process that it has started."""

    def renew(self) -> None:
        """Start the process again that has ended; what is watched is another descriptor then.

        Raises
        ------
        OSError
            It cannot be started.
        """


class RuntimeProtocol(Configurable):
    """A subclass must make and end connections: the four methods below, and nothing else.

    * ``connection`` keeps to :class:`Connection`; ``checksums`` says if it may damage bytes.
    * ``disconnect`` may be called twice, and before anything was connected.
    * The same class serves both sides; an agent rebuilds it from its options in another process.

    The conversation itself exists once: requests of the host in
    :class:`edge_tester.core.wire.client.Client`, answers of the target in
    :class:`edge_tester.core.agent.session.Session`. Conformance suite:
    :class:`edge_tester.testing.RuntimeProtocolConformance`.
    """

    checksums: ClassVar[bool] = False
    """Whether payloads need a checksum: True for links without one of their own."""

    in_process: ClassVar[bool] = False
    """Whether host and target are one process: then the host's times say nothing."""

    several: ClassVar[bool] = False
    """Whether a host may have several connections to one target at a time."""

    owned: ClassVar[bool] = False
    """Whether the link starts the agent itself, with ``runtime``: then its owner is this user."""

    scheme: ClassVar[str | None] = None
    """What its addresses have before ``://``; empty for those without, None if it has none."""

    address_forms: ClassVar[tuple[str, ...]] = ()
    """Its addresses in words, such as ``ssh://user@host[:port]``."""

    runtime: Runtime | None = state()
    """What shall run on the target, where a link has to start it; set before connecting."""

    packet_size: int = state(1 << 20)
    """Most bytes to take by one receive."""

    connection: Connection = state()
    """What moves bytes, from connecting or attaching on."""

    @classmethod
    def from_address(cls: type[Self], address: str) -> Self:
        """Return a link, not connected, to what an address of its ``scheme`` names.

        Raises
        ------
        OptionError
            It is none.
        """
        raise OptionError(f"{cls.__name__} has no addresses, got {address!r}.")

    def start_server(self) -> Listener:
        """Listen for clients."""
        raise NotImplementedError

    def attach(self, connection: Any) -> None:
        """Use a connection that a listener accepted, in this or another process."""
        raise NotImplementedError

    def start_client(self) -> None:
        """Connect to the target.

        Raises
        ------
        UnreachableError
            Nothing answers; the message says what to start.
        """
        raise NotImplementedError

    def disconnect(self) -> None:
        """Close the connection; may be called twice."""
        raise NotImplementedError

    @property
    def exposed(self) -> bool:
        """Whether other machines could reach a server started with these options."""
        return False

    @property
    def mutual(self) -> bool:
        """Whether the link itself lets only clients in that have proven who they are."""
        return False

    @property
    def if_no_answer(self) -> str:
        """What may help where something listens that does not answer as an agent does."""
        return ""

    @property
    def authenticates_frames(self) -> bool:
        """Whether frames carry a code that only the two sides can make."""
        return False

    def tokens(self) -> list[str]:
        """Return what host and target prove to each other to have; empty for nothing."""
        return []

    @property
    def address(self) -> str:
        """Where the server listens or the client connects to, for people."""
        return type(self).__name__

    @contextlib.contextmanager
    def opened(self) -> Iterator[RuntimeProtocol]:
        """Give a link for several connections, not connected; what it keeps open ends with it.

        Where connecting means to start something, such a link does so once.
        """
        yield self

    def another(self) -> RuntimeProtocol:
        """Return a link to the same target, not connected."""
        return type(self).from_options(self.to_options())

    def send_file(self, file: BinaryIO, count: int, progress: Callable[[int], None]) -> None:
        """Send the next ``count`` bytes of a file; ``progress`` gets the size of each piece.

        Raises
        ------
        ModelError
            The file has fewer bytes; the target would wait for the rest.
        UnreachableError
            The other side is gone.
        """
        write_file(self.connection, self.address, file, count, progress)

    def open_channel(self, limits: dict[int, int], streamed: Collection[int] = ()) -> Channel:
        """Return a channel over the connection; see :class:`Channel` for what it is given."""
        return Channel(
            self.connection,
            limits,
            self.address,
            checksums=self.checksums,
            packet_size=self.packet_size,
            streamed=streamed,
        )
