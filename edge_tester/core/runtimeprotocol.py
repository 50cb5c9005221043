"""The runtime protocol role: the link between host and target.

Nothing here imports numpy at module level: the supervisor of the target agent
uses this class and stays small.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, NamedTuple, Protocol

from edge_tester.core.errors import (
    EdgeTesterError,
    LocalProtocolError,
    ModelError,
    ProtocolError,
    RemoteProtocolError,
    TargetError,
    UnreachableError,
)
from edge_tester.core.options import Configurable, state
from edge_tester.core.system.files import CHUNK_BYTES
from edge_tester.core.wire import frames as wire
from edge_tester.core.wire import payloads
from edge_tester.core.wire.channel import Channel, Connection, lost, write
from edge_tester.core.wire.frames import Buffer, Flag, Message, Type
from edge_tester.core.wire.payloads import (
    Failure,
    Hello,
    Loaded,
    Queued,
    Statistics,
    Timing,
    Welcome,
)

# Whoever answers within this time may take longer for what it then does.
HELLO_LIMIT_S = 10.0
_QUEUE_LIMIT_S = 86400.0

if TYPE_CHECKING:
    from edge_tester.core.artifact import Artifact
    from edge_tester.core.tensors import Array, TensorCodec, TensorSpec


class Listener(Protocol):
    """A listening endpoint that a selector can watch; sockets are listeners."""

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when a client comes."""

    def accept(self) -> tuple[Any, Any]:
        """Return the connection of the next client, and the client's address."""

    def close(self) -> None:
        """Stop listening."""


class Answer(NamedTuple):
    """What one sample came to.

    ``outputs`` are views that are valid until the next request. ``target_ns`` is
    the inference by the target's clock. ``host_ns`` is by the host's clock: one
    after another, the time between the two OKs of PROCESS; in one flight, the time
    from sending it to having heard all its answers.
    """

    outputs: list[Array]
    target_ns: int
    host_ns: int
    statistics: Statistics


class RuntimeProtocol(Configurable):
    """A subclass must make and end connections: the four methods below, and nothing else.

    * A connection gives bytes whole and in order, or fails with OSError; ``checksums`` says if not.
    * ``disconnect`` may be called twice, and before anything was connected.
    * ``limit_wait`` bounds each send and receive from then on, where the link can stall.
    * The same class serves both sides; an agent rebuilds it from its options in another process.

    The conversation itself exists once, in this class: requests of the host
    here, answers of the target in :mod:`edge_tester.core.agent`. Conformance
    suite: :class:`edge_tester.testing.RuntimeProtocolConformance`.
    """

    checksums: ClassVar[bool] = False
    """Whether payloads need a checksum: True for links without one of their own."""

    in_process: ClassVar[bool] = False
    """Whether host and target are one process: then the host's times say nothing."""

    packet_size: int = state(1 << 20)
    """Most bytes to take by one receive."""

    connection: Connection = state()
    """What moves bytes, from connecting or attaching on: a socket, or what acts like one."""

    channel: Channel = state()
    answer_limit_s: float = state(600.0)
    """Time that the target may take for an answer, the host's."""
    loaded: tuple[list[TensorSpec], list[TensorSpec]] | None = state()
    _codecs: tuple[TensorCodec, TensorCodec] | None = state()
    _sequence: Iterator[int] = state(default_factory=lambda: itertools.cycle(range(wire.SEQUENCES)))

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

    def limit_wait(self, limit_s: float) -> None:
        """Let sending and receiving fail that take longer than this; from connecting on.

        A link that cannot stall needs nothing.
        """

    @property
    def exposed(self) -> bool:
        """Whether other machines could reach a server started with these options."""
        return False

    @property
    def address(self) -> str:
        """Where the server listens or the client connects to, for people."""
        return type(self).__name__

    def send_file(self, file: BinaryIO, count: int, progress: Callable[[int], None]) -> None:
        """Send ``count`` bytes of a file; ``progress`` gets the size of each piece.

        Raises
        ------
        ModelError
            The file has fewer bytes; the target would wait for the rest.
        UnreachableError
            The other side is gone.
        """
        while count:
            piece = file.read(min(count, CHUNK_BYTES))
            if not piece:
                raise ModelError(f"{file.name} became shorter while it was sent.")
            try:
                write(self.connection, [piece])
            except OSError as error:
                raise lost(self.address, error) from error
            progress(len(piece))
            count -= len(piece)

    def open_channel(self, limits: dict[int, int]) -> Channel:
        """Return the channel over the connection, also in ``channel``."""
        self.channel = Channel(
            self.connection,
            limits,
            self.address,
            checksums=self.checksums,
            packet_size=self.packet_size,
        )
        return self.channel

    def connect(
        self, hello: Hello, on_queued: Callable[[str], None] = lambda reason: None
    ) -> Welcome:
        """Connect, introduce this client and wait for the target's welcome.

        Parameters
        ----------
        hello : Hello
        on_queued : callable
            Called with the reason when the target is busy and ``hello.wait`` is set.

        Raises
        ------
        UnreachableError, RemoteProtocolError, TargetError
        """
        self.start_client()
        self.open_channel(_answer_limits(wire.OPEN_DATA_LIMIT_BYTES))
        try:
            self.limit_wait(HELLO_LIMIT_S)
            sequence = self._request(Type.HELLO, 0, [payloads.encode(hello)])
            answer = self._first_answer(sequence)
            while isinstance(answer, Queued):
                if answer.reason:
                    on_queued(answer.reason)
                self.limit_wait(_QUEUE_LIMIT_S if answer.reason else self.answer_limit_s)
                answer = self._greeting(sequence)
            self.limit_wait(self.answer_limit_s)
            return answer
        except BaseException:
            # A target serves one client: one that was refused must not keep its place.
            self.disconnect()
            raise

    def upload_model(
        self,
        artifact: Artifact,
        batch_size: int = 1,
        batch_axis: int | None = 0,
        progress: Callable[[int], None] = lambda count: None,
    ) -> Loaded:
        """Send a model file and have it loaded; it never lies in memory as a whole.

        Raises
        ------
        TargetError
            The target cannot store or load it.
        """
        import msgspec

        from edge_tester.core.tensors import TensorCodec, TensorSpec

        description = payloads.encode(
            payloads.ModelDescription(
                format=artifact.format,
                size_bytes=artifact.size_bytes,
                sha256=artifact.sha256,
                batch_size=batch_size,
                batch_axis=batch_axis,
                name=str(artifact.path),
            )
        )
        head = len(description).to_bytes(4, "big") + description
        sequence, channel = next(self._sequence), self.channel or self._unconnected()
        try:
            channel.begin(Type.MODEL, sequence, len(head) + artifact.size_bytes, head)
            with artifact.open() as file:
                self.send_file(file, artifact.size_bytes, progress)
        except UnreachableError as gone:
            raise self._last_words(gone) from gone
        loaded = payloads.decode(self._answer(sequence).payload, Loaded)
        inputs = msgspec.convert(loaded.inputs, list[TensorSpec])
        outputs = msgspec.convert(loaded.outputs, list[TensorSpec])
        self.loaded = inputs, outputs
        self._codecs = TensorCodec(inputs), TensorCodec(outputs)
        if all(spec.static for spec in outputs):
            expected = sum(spec.nbytes for spec in outputs)
            limit_bytes = max(wire.DESCRIPTION_LIMIT_BYTES, 2 * expected)
            channel.limits = _answer_limits(limit_bytes)
        return loaded

    def upload_input(self, tensors: Sequence[Array]) -> None:
        """Send the input tensors of one inference, in the model's own dtypes."""
        flags, payload = self._packed(tensors)
        self._answer(self._request(Type.DATA, flags, payload))

    def request_processing(self, *, warm: bool = False) -> tuple[int, int]:
        """Run the model once; return the target's and the host's time [ns].

        With ``warm`` the target runs it once more, untimed, right before.
        """
        sequence = self._request(Type.PROCESS, Flag.WARM if warm else 0)
        self._answer(sequence)
        start_ns = time.perf_counter_ns()
        finished = self._answer(sequence)
        host_ns = time.perf_counter_ns() - start_ns
        return _target_ns(finished), host_ns

    def download_output(self) -> list[Array]:
        """Return the outputs of the last inference, as views."""
        return self._unpacked(self._answer(self._request(Type.OUTPUT)))

    def download_statistics(self) -> Statistics:
        """Return what the target counted since the model was loaded."""
        return payloads.decode(self._answer(self._request(Type.STATS)).payload, Statistics)

    def run_sample(self, tensors: Sequence[Array], *, warm: bool = False) -> Answer:
        """Send DATA, PROCESS, OUTPUT and STATS in one flight and collect the answers.

        Nothing else moves on the link during the inference, not even the OK that
        it has started: a host that wakes up then takes time from it.
        """
        channel = self.channel or self._unconnected()
        flags, payload = self._packed(tensors)
        data, process, output, stats = itertools.islice(self._sequence, 4)
        channel.held = False
        channel.send(Type.DATA, flags | Flag.MORE, data, payload)
        channel.send(Type.PROCESS, Flag.MORE | Flag.WARM if warm else Flag.MORE, process)
        channel.send(Type.OUTPUT, Flag.MORE, output)
        start_ns = time.perf_counter_ns()
        try:
            channel.send(Type.STATS, 0, stats)
        except UnreachableError as gone:
            raise self._last_words(gone) from gone
        try:
            self._answer(data)
            self._answer(process)
            target_ns = _target_ns(self._answer(process))
            outputs = self._unpacked(self._answer(output))
            statistics = payloads.decode(self._answer(stats).payload, Statistics)
        except TargetError as error:
            if error.code not in wire.FATAL_CODES:
                # The target answers every request of the flight.
                while (message := self.channel.receive()) and message.sequence != stats:
                    continue
            raise
        return Answer(outputs, target_ns, time.perf_counter_ns() - start_ns, statistics)

    def report_success(
        self, request: Message, payload: Sequence[Buffer] = (), flags: int = 0
    ) -> None:
        """Answer a request with OK."""
        flags |= request.flags & Flag.MORE
        self.channel.send(Type.OK, flags, request.sequence, payload)

    def report_failure(self, request: Message, failure: Failure) -> None:
        """Answer a request with ERROR."""
        flags = request.flags & Flag.MORE
        self.channel.send(Type.ERROR, flags, request.sequence, [payloads.encode(failure)])

    def _request(self, type: int, flags: int = 0, payload: Sequence[Buffer] = ()) -> int:
        channel, sequence = self.channel or self._unconnected(), next(self._sequence)
        channel.held = False
        try:
            channel.send(type, flags, sequence, payload)
        except UnreachableError as gone:
            raise self._last_words(gone) from gone
        return sequence

    def _first_answer(self, sequence: int) -> Queued | Welcome:
        """Return the first answer; what it is not says what listens there."""
        try:
            return self._greeting(sequence)
        except (UnreachableError, RemoteProtocolError) as error:
            raise type(error)(
                f"Something listens at {self.address}, but no agent of edge_tester answers within "
                f"{HELLO_LIMIT_S:g} s: {error}"
            ) from error

    def _greeting(self, sequence: int) -> Queued | Welcome:
        content = self._answer(sequence).payload
        answer: Queued | Welcome = payloads.decode(content, Queued | Welcome)  # type: ignore[arg-type]
        return answer

    def _last_words(self, lost: UnreachableError) -> EdgeTesterError:
        """Return why the target closed the connection, if it said so before."""
        try:
            message = self.channel.receive()
        except ProtocolError:
            return lost
        if message is None or message.type != Type.ERROR:
            return lost
        failure = payloads.decode(message.payload, Failure)
        return TargetError(failure.code, failure.message)

    def _answer(self, sequence: int) -> Message:
        message = self.channel.receive()
        if message is None:
            raise UnreachableError(f"The other side, {self.address}, closed the connection.")
        if message.type != Type.OK:
            failure = payloads.decode(message.payload, Failure)
            raise TargetError(failure.code, failure.message)
        if message.sequence != sequence:
            raise RemoteProtocolError(
                f"The target answered request {message.sequence}, expected {sequence}."
            )
        return message

    def _packed(self, tensors: Sequence[Array]) -> tuple[int, Sequence[Buffer]]:
        shaped, pieces = self._uploaded()[0].pack(tensors)
        return (Flag.SHAPED if shaped else 0), pieces

    def _unpacked(self, message: Message) -> list[Array]:
        # The views must outlive the answers that follow in the same flight.
        self.channel.held = True
        return self._uploaded()[1].unpack(message.payload, bool(message.flags & Flag.SHAPED))

    def _uploaded(self) -> tuple[TensorCodec, TensorCodec]:
        if self._codecs is None:
            raise LocalProtocolError("No model was uploaded over this connection.")
        return self._codecs

    def _unconnected(self) -> Channel:
        raise LocalProtocolError(f"{type(self).__name__} is not connected.")


def _target_ns(finished: Message) -> int:
    timing = payloads.decode(finished.payload, Timing)
    return timing.end_ns - timing.start_ns


def _answer_limits(limit_bytes: int) -> dict[int, int]:
    """Return what a client lets a target send: answers, and no requests."""
    return {Type.OK: limit_bytes, Type.ERROR: wire.ERROR_LIMIT_BYTES}
