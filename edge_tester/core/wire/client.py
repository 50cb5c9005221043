"""The host's conversation with a target."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from edge_tester.core.runtimeprotocol import RuntimeProtocol
from edge_tester.core.wire.payloads import Hello, Loaded, Statistics, Welcome

if TYPE_CHECKING:
    from edge_tester.core.artifact import Artifact
    from edge_tester.core.tensors import Array, TensorSpec

Counters = Statistics


class BlockAnswer(NamedTuple):
    """What a block of inferences came to.

    ``outputs`` has, for each sample, views that are valid until the next request.
    ``start_ns`` and ``end_ns`` are by the target's clock, one per timed inference. ``host_ns`` is
    by the host's: one after another, the time between the two OKs of PROCESS; otherwise one
    time, from sending the block to having heard all its answers.
    """

    outputs: list[list[Array]]
    start_ns: list[int]
    end_ns: list[int]
    host_ns: list[int]
    counters: Counters


class Client:
    """Speaks for the host over a link.

    Parameters
    ----------
    protocol : RuntimeProtocol
        Not connected.
    """

    def __init__(self, protocol: RuntimeProtocol) -> None:
        self.protocol = protocol
        self.inputs: list[TensorSpec] = []
        self.outputs: list[TensorSpec] = []
        self.slots = 1

    def connect(
        self,
        hello: Hello,
        on_queued: Callable[[str], None] = lambda reason: None,
        answer_limit_s: float = 600.0,
    ) -> Welcome:
        """Connect, introduce this client and wait for the target's welcome."""
        self.protocol.answer_limit_s = answer_limit_s
        return self.protocol.connect(hello, on_queued)

    def upload_model(
        self,
        artifact: Artifact,
        batch_size: int = 1,
        batch_axis: int | None = 0,
        progress: Callable[[int], None] = lambda count: None,
        slots: int = 1,
    ) -> Loaded:
        """Send a model file and have it loaded."""
        loaded = self.protocol.upload_model(artifact, batch_size, batch_axis, progress)
        self.inputs, self.outputs = self.protocol.loaded or ([], [])
        self.slots = slots
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
        """Run inferences over some samples, in turn."""
        outputs: list[list[Array]] = []
        start_ns, end_ns, host_ns = [], [], []
        begin_ns = time.perf_counter_ns()
        for index in range(count or len(samples)):
            tensors = samples[index % len(samples)]
            if classical:
                self.protocol.upload_input(tensors)
                target_ns, between_ns = self.protocol.request_processing(warm=untimed > 0)
                found = self.protocol.download_output()
                host_ns.append(between_ns)
            else:
                answer = self.protocol.run_sample(tensors, warm=untimed > 0)
                target_ns, found = answer.target_ns, answer.outputs
            outputs = [*outputs, [one.copy() for one in found]][-len(samples) :]
            start_ns.append(time.perf_counter_ns())
            end_ns.append(start_ns[-1] + target_ns)
        host_ns = host_ns or [time.perf_counter_ns() - begin_ns]
        return BlockAnswer(outputs, start_ns, end_ns, host_ns, self.counters())

    def counters(self) -> Counters:
        """Return what the target counted since the model was loaded."""
        return self.protocol.download_statistics()

    def disconnect(self) -> None:
        """Close the connection; may be called twice."""
        self.protocol.disconnect()
