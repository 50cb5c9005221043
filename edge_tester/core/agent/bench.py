"""Slots and blocks: what a loaded model runs on, and the only place where that is timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from edge_tester.core.agent.status import Activity
from edge_tester.core.errors import RemoteProtocolError
from edge_tester.core.meter import Meter
from edge_tester.core.runtime import Runtime
from edge_tester.core.tensors import Array, TensorCodec, TensorSpec
from edge_tester.core.wire import frames, payloads
from edge_tester.core.wire.channel import Channel
from edge_tester.core.wire.frames import TYPE_NAMES, Type
from edge_tester.core.wire.payloads import Block, Counters
from edge_tester.core.wire.states import SLOT_TRANSITIONS, SlotState

# The members of a class cost a second look; these are needed for every inference.
_WAITING, _RUNNING = Activity.WAITING, Activity.RUNNING
# Slots that a client gets at most: in all, of how many bytes together, and where nothing
# tells how large the inputs are.
_SLOTS, _SLOT_BYTES, _OPEN_SLOTS = 256, 1 << 25, 16
# The system wakes a process up to a tenth of a millisecond late.
_SLEEP_ABOVE_NS = 200_000

Found = TypeVar("Found")


class Slot:
    """The inputs of one inference, and what came of them.

    Attributes
    ----------
    state : str
        One of :class:`SlotState`.
    inputs, outputs : list of ndarray
    """

    def __init__(self) -> None:
        self.state = SlotState.EMPTY
        self.inputs: list[Array] = []
        self.outputs: list[Array] = []
        self._content = bytearray()

    def receive(self, channel: Channel, codec: TensorCodec, shape_bytes: int, count: int) -> None:
        """Take the inputs from a channel, into the memory of earlier ones if they fit."""
        self.inputs, self.outputs = [], []
        shapes = bytes(channel.take(shape_bytes))
        if len(self._content) != count:
            self._content = channel.take(count)
        else:
            filled = 0
            with memoryview(self._content) as space:
                while filled < count:
                    filled += channel.take_into(space[filled:])
        self.inputs = codec.unpack(memoryview(self._content).toreadonly(), shapes)


class Bench:
    """A loaded model, the slots for its inputs, and what is counted of its inferences.

    Parameters
    ----------
    runtime : Runtime
        Loaded.
    inputs, outputs : sequence of TensorSpec
    slots : int
        How many slots the client would like.
    counters : Counters
        Of the load.
    meters : sequence of Meter
        Opened.
    say : callable
        Hears what is being done.
    """

    def __init__(
        self,
        runtime: Runtime,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        slots: int,
        counters: Counters,
        meters: Sequence[Meter],
        say: Callable[[int], None],
    ) -> None:
        self.counters = counters
        self._runtime = runtime
        self._inputs, self._outputs = TensorCodec(inputs), TensorCodec(outputs)
        self._meters = meters
        self._say = say
        count = min(slots, _OPEN_SLOTS)
        if self._inputs.nbytes is not None:
            count = max(1, min(slots, _SLOTS, _SLOT_BYTES // max(self._inputs.nbytes, 1)))
        self._slots = [Slot() for _ in range(count)]

    @property
    def slots(self) -> int:
        """How many slots there are."""
        return len(self._slots)

    @property
    def data_limit_bytes(self) -> int:
        """Largest payload of DATA."""
        if self._inputs.nbytes is None:
            return frames.OPEN_DATA_LIMIT_BYTES
        # The exact size, with room for explicit shapes.
        return payloads.TENSORS.size + self._inputs.nbytes + frames.SHAPES_LIMIT_BYTES

    def fill(self, channel: Channel, length: int) -> None:
        """Take the payload of DATA from a channel.

        Raises
        ------
        InputError
            It does not fit the model.
        RemoteProtocolError, UnreachableError
        """
        head = payloads.TENSORS.size
        number, shape_bytes = payloads.TENSORS.unpack(channel.take(head))
        ((slot, after),) = self._named(number, 1, Type.DATA)
        count = length - head - shape_bytes
        if count < 0 or shape_bytes > frames.SHAPES_LIMIT_BYTES:
            raise RemoteProtocolError(
                f"A DATA of {length} bytes cannot have shapes of {shape_bytes}."
            )
        slot.receive(channel, self._inputs, shape_bytes, count)
        slot.state = after

    def run(self, block: Block, started: Callable[[], None]) -> bytes:
        """Run a block; return the payload of the second answer to PROCESS.

        Parameters
        ----------
        block : Block
        started : callable
            Called between the untimed inferences and the timed ones.

        Raises
        ------
        Exception
            What the runtime raises.
        """
        named = self._named(block.first, block.slots, Type.PROCESS)
        slots = [slot for slot, _ in named]
        for index in range(block.untimed):
            self._runtime.set_inputs(slots[index % len(slots)].inputs)
            self._say(_RUNNING)
            self._runtime.run()
        # After these: the host's interval between the two answers is of the timed ones.
        started()
        times = self._timed(block, slots)
        for number, (slot, after) in enumerate(named):
            # One that had no turn still has its inputs.
            slot.state = after if number < block.inferences else SlotState.FILLED
        return payloads.encode_times(*times)

    def profile(self, number: int, run: Callable[[Sequence[Array]], Found]) -> Found:
        """Return what comes of the inputs in the slot that PROFILE names, which stay.

        Raises
        ------
        RemoteProtocolError
        Exception
            What ``run`` raises.
        """
        ((slot, after),) = self._named(number, 1, Type.PROFILE)
        self._say(_RUNNING)
        found = run(slot.inputs)
        slot.state = after
        return found

    def output(self, content: memoryview) -> list[frames.Buffer]:
        """Return the answer to OUTPUT.

        Raises
        ------
        RemoteProtocolError
        """
        number, _ = payloads.OUTPUT.unpack(content)
        ((slot, slot_after),) = self._named(number, 1, Type.OUTPUT)
        slot.state = slot_after
        shapes, pieces = self._outputs.pack(slot.outputs)
        return [payloads.TENSORS.pack(number, len(shapes)) + shapes, *pieces]

    def _timed(self, block: Block, slots: Sequence[Slot]) -> tuple[int, list[int], list[int]]:
        runtime, say, clock = self._runtime, self._say, time.perf_counter_ns
        count, inferences, arrivals_ns = len(slots), block.inferences, block.arrivals_ns
        starts_ns, ends_ns = [0] * inferences, [0] * inferences
        readings = [meter.read() for meter in self._meters]
        waited_ns, cpu_start_ns = 0, time.process_time_ns()
        begin_ns = clock()
        for index in range(inferences):
            slot = slots[index % count]
            # Again before each run: some runtimes compute in the memory of their inputs.
            runtime.set_inputs(slot.inputs)
            if arrivals_ns:
                say(_WAITING)
                waited_ns += _wait_until(begin_ns + arrivals_ns[index])
            say(_RUNNING)
            start_ns = clock()
            runtime.run()
            end_ns = clock()
            starts_ns[index], ends_ns[index] = start_ns, end_ns
            # A list of its own: the runtime may put later outputs into its own one.
            slot.outputs = list(runtime.get_outputs())
        self._count(time.process_time_ns() - cpu_start_ns - waited_ns, readings)
        if self.counters.inferences == 0:
            self.counters.first_inference_ns = ends_ns[0] - starts_ns[0]
        self.counters.inferences += inferences
        return begin_ns, starts_ns, ends_ns

    def _count(self, cpu_time_ns: int, before: Sequence[dict[str, float]]) -> None:
        counters = self.counters
        counters.cpu_time_ns = (counters.cpu_time_ns or 0) + cpu_time_ns
        for meter, earlier in zip(self._meters, before, strict=True):
            for name, value in meter.read().items():
                if name in earlier:
                    grown = value - earlier[name]
                    counters.readings[name] = counters.readings.get(name, 0) + grown

    def _named(self, first: int, count: int, request: int) -> list[tuple[Slot, str]]:
        """Return the slots that a request names, and the state of each after its success.

        Until then each is as after a failure.
        """
        slots = self._slots[first : first + count]
        if len(slots) != count:
            raise RemoteProtocolError(
                f"{TYPE_NAMES[request]} names slots {first} to {first + count - 1}, there are "
                f"{self.slots}."
            )
        named = []
        for number, slot in enumerate(slots, first):
            states = SLOT_TRANSITIONS.get((slot.state, request))
            if states is None:
                raise RemoteProtocolError(
                    f"{TYPE_NAMES[request]} is not allowed for slot {number}, which is "
                    f"{slot.state}."
                )
            after, slot.state = states
            named.append((slot, after))
        return named


def _wait_until(when_ns: int) -> int:
    """Sleep until shortly before a moment, and then look at the clock until it is there.

    Return the processor time that this took [ns].
    """
    clock, begin_ns = time.perf_counter_ns, time.thread_time_ns()
    while (left_ns := when_ns - clock()) > 0:
        if left_ns > _SLEEP_ABOVE_NS:
            time.sleep((left_ns - _SLEEP_ABOVE_NS) / 1e9)
    return time.thread_time_ns() - begin_ns
