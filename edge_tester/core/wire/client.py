"""The host's conversation with a target."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from edge_tester.core.errors import (
    EdgeTesterError,
    LocalProtocolError,
    RemoteProtocolError,
    TargetError,
    UnreachableError,
)
from edge_tester.core.runtimeprotocol import RuntimeProtocol
from edge_tester.core.wire import frames, payloads
from edge_tester.core.wire.conversation import Conversation
from edge_tester.core.wire.frames import Flag, Message, Type
from edge_tester.core.wire.greeting import greet
from edge_tester.core.wire.payloads import (
    Block,
    Counters,
    Hello,
    Loaded,
    ModelDescription,
    Offered,
    Welcome,
)
from edge_tester.core.wire.states import FATAL_CODES, flight_limit

if TYPE_CHECKING:
    from edge_tester.core.artifact import Artifact
    from edge_tester.core.tensors import Array, TensorCodec, TensorSpec

# Most that a whole block of samples may have, wherever it lies [bytes].
BLOCK_BYTES = 1 << 24


class BlockAnswer(NamedTuple):
    """What a block of inferences came to.

    ``outputs`` has, for each sample, views that are valid until the next request. ``begin_ns`` of
    the block, and ``start_ns`` and ``end_ns`` of its inferences, are by the target's clock.
    ``host_ns`` is by the host's: one after another, the time between the two OKs of PROCESS;
    otherwise one time, from sending PROCESS to having heard all answers of the block.
    """

    outputs: list[list[Array]]
    start_ns: list[int]
    end_ns: list[int]
    host_ns: list[int]
    counters: Counters
    begin_ns: int


class Client:
    """Speaks for the host over a link.

    Parameters
    ----------
    protocol : RuntimeProtocol
        Not connected.

    Attributes
    ----------
    conversation : Conversation
        What requests and answers go through.
    welcome : Welcome or None
        What the target said of itself.
    ticket : str
        What :meth:`beside` shows; empty without the feature ``beside``.
    inputs, outputs : list of TensorSpec
        Of the model that was uploaded, as the target's runtime sees them.
    slots : int
        How many samples a block may have.
    """

    def __init__(self, protocol: RuntimeProtocol) -> None:
        self.protocol = protocol
        self.conversation = Conversation(protocol)
        self.welcome: Welcome | None = None
        self.ticket = ""
        self.inputs: list[TensorSpec] = []
        self.outputs: list[TensorSpec] = []
        self.slots = 0
        self._codecs: tuple[TensorCodec, TensorCodec] | None = None
        self._output_limit_bytes = 0

    def connect(
        self,
        hello: Hello,
        on_queued: Callable[[str], None] = lambda reason: None,
        answer_limit_s: float = 600.0,
    ) -> Welcome:
        """Connect, introduce this client and wait for the target's welcome.

        Parameters
        ----------
        hello : Hello
            The features that every client can use are named without it. With ``beside``, which
            has the target prepare for it, further sessions can be opened.
        on_queued : callable
            Called with the reason when the target is busy and ``hello.wait`` is set.
        answer_limit_s : float
            Time that the target may take for an answer.

        Raises
        ------
        UnreachableError, RemoteProtocolError, TargetError
        """
        try:
            welcome, self.ticket = greet(self.conversation, hello, on_queued, answer_limit_s)
        except BaseException:
            # A target serves one client: one that was refused must not keep its place.
            self.disconnect()
            raise
        self.welcome = welcome
        return welcome

    def beside(
        self,
        hello: Hello,
        on_queued: Callable[[str], None] = lambda reason: None,
        answer_limit_s: float = 600.0,
    ) -> Client:
        """Open a further session on the same target while this one lives; return its client.

        The target runs the blocks of one after those of the other; each may end before the other.

        Raises
        ------
        LocalProtocolError
            The target does not offer it, or this client did not name the feature ``beside``.
        UnreachableError, RemoteProtocolError, TargetError
            As :meth:`connect`.
        """
        from msgspec.structs import replace

        if not self.ticket:
            raise LocalProtocolError(
                f"{self.protocol.address} gave no ticket for a further session: it serves one of a "
                "client at a time, or was not asked for the feature 'beside'."
            )
        client = type(self)(self.protocol.another())
        wish = replace(hello, beside=self.ticket, features=[*hello.features, "beside"])
        client.connect(wish, on_queued, answer_limit_s)
        return client

    def upload_model(
        self,
        artifact: Artifact,
        batch_size: int = 1,
        batch_axis: int | None = 0,
        progress: Callable[[int], None] = lambda count: None,
        slots: int = 1,
    ) -> Loaded:
        """Have a model loaded; what the target has of its file is not sent again.

        The file never lies in memory as a whole.

        Parameters
        ----------
        artifact : Artifact
        batch_size : int
            Samples per inference.
        batch_axis : int or None
        progress : callable
            Hears how many bytes need no more sending.
        slots : int
            How many samples a block shall have at most.

        Raises
        ------
        TargetError
            The target cannot store or load it.
        RemoteProtocolError
            What it says of the model cannot be.
        """
        from edge_tester.core.tensors import TensorCodec, specs_of

        described = ModelDescription(
            format=artifact.format,
            size_bytes=artifact.size_bytes,
            sha256=artifact.sha256,
            batch_size=batch_size,
            batch_axis=batch_axis,
            name=str(artifact.path),
            slots=slots,
        )
        self._codecs, self.slots = None, 0
        stored_bytes = self._stored_bytes(described)
        try:
            answer = self._sent(artifact, described, stored_bytes, progress)
        except TargetError as error:
            if error.code != "storage" or not stored_bytes:
                raise
            # What the target had was no good; it has forgotten it.
            answer = self._sent(artifact, described, 0, progress)
        loaded = payloads.decode(answer.payload, Loaded)
        if loaded.slots > slots:
            raise RemoteProtocolError(f"The target gives {loaded.slots} slots, {slots} were asked.")
        try:
            self.inputs, self.outputs = specs_of(loaded.inputs), specs_of(loaded.outputs)
        except EdgeTesterError as error:
            raise RemoteProtocolError(f"What the target says of the model: {error}") from error
        codecs = self._codecs = TensorCodec(self.inputs), TensorCodec(self.outputs)
        self.slots = loaded.slots
        if codecs[0].nbytes:
            self.slots = max(1, min(loaded.slots, BLOCK_BYTES // codecs[0].nbytes))
        limit_bytes = frames.OPEN_DATA_LIMIT_BYTES
        if codecs[1].nbytes is not None:
            # With room for explicit shapes.
            limit_bytes = codecs[1].nbytes + frames.SHAPES_LIMIT_BYTES
            self.conversation.channel.expect(limit_bytes)
        self._output_limit_bytes = payloads.TENSORS.size + limit_bytes
        return loaded

    def run_block(
        self,
        samples: Sequence[Sequence[Array]],
        *,
        count: int | None = None,
        untimed: int = 0,
        arrivals_ns: Sequence[int] = (),
        classical: bool = False,
    ) -> BlockAnswer:
        """Run inferences over some samples, in turn.

        Parameters
        ----------
        samples : sequence of sequences of ndarray
            The input tensors of each, in the model's own dtypes; not more than ``slots``.
        count : int, optional
            Timed inferences; as many as samples by default.
        untimed : int
            Inferences right before the timed ones.
        arrivals_ns : sequence of int
            When each inference may begin, from the begin of the block on; empty for back to back.
        classical : bool
            Send one request after another, instead of all in one flight.

        Raises
        ------
        TargetError, RemoteProtocolError, UnreachableError
        """
        codecs = self._uploaded()
        if not 1 <= len(samples) <= self.slots:
            raise LocalProtocolError(f"A block has 1 to {self.slots} samples, got {len(samples)}.")
        block = Block(0, len(samples), count or len(samples), untimed, arrivals_ns)
        if arrivals_ns and self.welcome and "schedule" not in self.welcome.features:
            raise LocalProtocolError("This target cannot begin inferences at given times.")
        channel = self.conversation.channel
        channel.held = False
        flags = 0 if classical else Flag.MORE
        filled = []
        for slot, tensors in enumerate(samples):
            shapes, pieces = codecs[0].pack(tensors)
            head = payloads.TENSORS.pack(slot, len(shapes)) + shapes
            filled.append(self.conversation.request(Type.DATA, [head, *pieces], flags))
            if classical:
                self.conversation.answer(filled.pop(), 0)
        if not classical:
            # The rest is little, and arrives at once: nothing comes during the inferences.
            channel.flush()
        begin_ns = time.perf_counter_ns()
        process = self.conversation.request(Type.PROCESS, [block.encoded()], flags)
        if classical:
            return self._classical(process, block)
        wanted = [
            self.conversation.request(Type.OUTPUT, [payloads.OUTPUT.pack(slot, 0)], flags)
            for slot in range(min(block.slots, block.inferences))
        ]
        stats = self.conversation.request(Type.STATS)
        try:
            for sequence in filled:
                self.conversation.answer(sequence, 0)
            self.conversation.answer(process, 0)
            times = self._times(process, block)
            outputs = [self._tensors(sequence, slot) for slot, sequence in enumerate(wanted)]
            counters = self._counters(stats)
        except TargetError as error:
            if error.code not in FATAL_CODES:
                self.conversation.drain(stats, flight_limit(self.slots), self._output_limit_bytes)
            raise
        host_ns = [time.perf_counter_ns() - begin_ns]
        return BlockAnswer(outputs, *times[1:], host_ns, counters, times[0])

    def counters(self) -> Counters:
        """Return what the target counted since the model was loaded."""
        return self._counters(self.conversation.request(Type.STATS))

    def disconnect(self) -> None:
        """Close the connection; may be called twice."""
        self.conversation.end()

    def _classical(self, process: int, block: Block) -> BlockAnswer:
        self.conversation.answer(process, 0)
        begin_ns = time.perf_counter_ns()
        times = self._times(process, block)
        host_ns = time.perf_counter_ns() - begin_ns
        outputs = []
        for slot in range(min(block.slots, block.inferences)):
            sequence = self.conversation.request(Type.OUTPUT, [payloads.OUTPUT.pack(slot, 0)])
            outputs.append([one.copy() for one in self._tensors(sequence, slot)])
        return BlockAnswer(outputs, *times[1:], [host_ns], self.counters(), times[0])

    def _times(self, sequence: int, block: Block) -> tuple[int, list[int], list[int]]:
        limit_bytes = payloads.TIMES.size + 2 * payloads.INSTANT_BYTES * block.inferences
        return payloads.decode_times(
            self.conversation.answer(sequence, limit_bytes).payload, block.inferences
        )

    def _tensors(self, sequence: int, slot: int) -> list[Array]:
        message = self.conversation.answer(sequence, self._output_limit_bytes)
        # The views must outlive the answers that follow in the same flight.
        self.conversation.channel.held = True
        try:
            found, shape_bytes = payloads.TENSORS.unpack_from(message.payload)
        except struct.error as error:
            raise RemoteProtocolError(f"An output is too short: {error}") from error
        begin = payloads.TENSORS.size + shape_bytes
        if found != slot or begin > len(message.payload):
            raise RemoteProtocolError(
                f"The target sent an output of slot {found} with {shape_bytes} bytes of shapes, "
                f"that of slot {slot} was asked."
            )
        shapes = message.payload[payloads.TENSORS.size : begin]
        return self._uploaded()[1].unpack(message.payload[begin:], shapes)

    def _counters(self, sequence: int) -> Counters:
        answer = self.conversation.answer(sequence, frames.DESCRIPTION_LIMIT_BYTES)
        return payloads.decode(answer.payload, Counters)

    def _stored_bytes(self, described: ModelDescription) -> int:
        if self.welcome is None or "offer" not in self.welcome.features:
            return 0
        sequence = self.conversation.request(Type.OFFER, [payloads.encode(described)])
        answer = self.conversation.answer(sequence, frames.HELLO_LIMIT_BYTES)
        stored_bytes = payloads.decode(answer.payload, Offered).stored_bytes
        if stored_bytes > described.size_bytes:
            raise RemoteProtocolError(
                f"The target has {stored_bytes} bytes of a file of {described.size_bytes}."
            )
        return stored_bytes

    def _sent(
        self,
        artifact: Artifact,
        described: ModelDescription,
        offset: int,
        progress: Callable[[int], None],
    ) -> Message:
        """Send the bytes of a model from ``offset`` on, and hear the answer."""
        from msgspec.structs import replace

        description = payloads.encode(replace(described, offset=offset))
        head = len(description).to_bytes(4, "big") + description
        missing_bytes, sequence = described.size_bytes - offset, self.conversation.following()
        progress(offset)
        try:
            self.conversation.channel.begin(Type.MODEL, sequence, len(head) + missing_bytes, head)
            with artifact.open() as file:
                file.seek(offset)
                if not self.conversation.channel.send_file(file, missing_bytes, progress):
                    self.protocol.send_file(file, missing_bytes, progress)
        except UnreachableError as gone:
            raise self.conversation.last_words(gone) from gone
        return self.conversation.answer(sequence, frames.DESCRIPTION_LIMIT_BYTES)

    def _uploaded(self) -> tuple[TensorCodec, TensorCodec]:
        if self._codecs is None:
            raise LocalProtocolError("No model was uploaded over this connection.")
        return self._codecs
