"""Answer one client's requests, and measure: the only place where inferences are timed."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from edge_tester.core.agent.limits import require_threads
from edge_tester.core.agent.status import Activity, Status
from edge_tester.core.agent.storage import Stream, store
from edge_tester.core.errors import (
    BackendMissingError,
    EdgeTesterError,
    InputError,
    ModelError,
    OptionError,
    RemoteProtocolError,
    TargetError,
    UnreachableError,
)
from edge_tester.core.options import options_of, path_of
from edge_tester.core.runtime import Runtime
from edge_tester.core.runtimeprotocol import RuntimeProtocol
from edge_tester.core.system.machine import peak_memory_bytes, reset_peak_memory, resident_bytes
from edge_tester.core.tensors import TensorCodec, TensorSpec
from edge_tester.core.wire import frames as wire
from edge_tester.core.wire import payloads
from edge_tester.core.wire.frames import TRANSITIONS, TYPE_NAMES, Flag, Message, State, Type
from edge_tester.core.wire.payloads import Failure, Hello, Loaded, Statistics, Timing, Welcome

logger = logging.getLogger(__name__)

# The members of a class cost a second look; these are needed for every request.
_MORE, _WAITING = Flag.MORE, Activity.WAITING
_CODES: dict[type[Exception], str] = {
    ModelError: "model",
    InputError: "input",
    OptionError: "refused",
    BackendMissingError: "runtime",
    MemoryError: "memory",
}


class Session:
    """Serves one client over one connection.

    Parameters
    ----------
    protocol : RuntimeProtocol
        Attached to the client's connection.
    runtimes : sequence of Runtime
        Configured by the target's owner; a client chooses one of them.
    welcome : callable
        Gives the answer to HELLO for the runtime that was chosen.
    scratch : Path
        Folder for uploaded models whose runtime has no ``save_model_path``.
    status : Status, optional
        Where to say what is being done.
    """

    def __init__(
        self,
        protocol: RuntimeProtocol,
        runtimes: Sequence[Runtime],
        welcome: Callable[[Runtime], Welcome],
        scratch: Path,
        status: Status | None = None,
    ) -> None:
        self._protocol = protocol
        self._channel = protocol.open_channel({})
        self._runtimes = runtimes
        self._welcome = welcome
        self._scratch = scratch
        self._say: Callable[[int], None] = status.write if status else _say_nothing
        self._state = State.NEW
        self._limits = _limits_by_state(0)
        self._channel.limits = self._limits[State.NEW]
        self._failing = False
        self._stored: tuple[str, str] | None = None
        self._runtime = runtimes[0]
        self._inputs = TensorCodec([])
        self._outputs = TensorCodec([])
        self._statistics = Statistics()
        self._handlers: dict[int, Callable[[Message], None]] = {
            Type.HELLO: self._on_hello,
            Type.MODEL: self._on_model,
            Type.DATA: self._on_data,
            Type.PROCESS: self._on_process,
            Type.OUTPUT: self._on_output,
            Type.STATS: self._on_stats,
        }

    def serve(self) -> None:
        """Answer requests until the client closes the connection or breaks the protocol."""
        channel = self._channel
        try:
            self._say(Activity.WAITING)
            while (message := channel.receive()) is not None:
                self.handle(message)
        except RemoteProtocolError as error:
            logger.warning("client broke the protocol: %s", error)
            failure = payloads.encode(Failure("protocol", str(error)))
            channel.send(Type.ERROR, 0, 0, [failure])
        except UnreachableError as error:
            logger.info("client is gone: %s", error)

    def handle(self, message: Message) -> None:
        """Answer one request; answers leave once no more of its flight follow."""
        if self._failing:
            failure = Failure("skipped", "An earlier request of this flight failed.")
            self._protocol.report_failure(message, failure)
        else:
            type = message.type
            try:
                self._handlers[type](message)
                following = TRANSITIONS[self._state, type]
                if following != self._state:
                    self._enter(following)
            except (RemoteProtocolError, UnreachableError):
                raise
            # What a model or its runtime raises can be anything; the session goes on.
            except (Exception, SystemExit) as error:
                self._fail(message, error)
        if not message.flags & _MORE:
            if self._failing:
                self._failing = False
                self._channel.limits = self._limits[self._state]
            self._say(_WAITING)

    def _enter(self, state: str) -> None:
        self._state = state
        self._channel.limits = self._limits[state]

    def _fail(self, message: Message, error: BaseException) -> None:
        logger.debug("%s failed", TYPE_NAMES[message.type], exc_info=error)
        failure = _failure_of(error)
        # The client knows its model by another name, and nothing of the target's folders.
        said = failure.message.replace(*self._stored) if self._stored else failure.message
        self._protocol.report_failure(message, Failure(failure.code, said))
        self._enter(wire.AFTER_FAILURE.get(message.type, self._state))
        if message.flags & Flag.MORE:
            # The rest of the flight was sent in good faith: it is answered, not a violation.
            self._failing = True
            self._channel.limits = (
                self._limits[State.LOADED] | self._limits[State.FED] | self._limits[State.DONE]
            )

    def _on_hello(self, message: Message) -> None:
        hello = payloads.decode(message.payload, Hello)
        runtime = self._chosen(hello)
        # Importing a backend may take longer than a client waits for a sign of life.
        self._protocol.report_success(message, [payloads.encode(payloads.Queued())])
        runtime.prepare()
        self._runtime = runtime
        self._protocol.report_success(message, [payloads.encode(self._welcome(runtime))])

    def _on_model(self, message: Message) -> None:
        runtime = self._runtime
        stream = Stream.begin(self._pieces(), message.length)
        format = stream.description.format
        if format not in runtime.input_formats:
            stream.drain()
            raise ModelError(
                f"{type(runtime).__name__} runs {', '.join(runtime.input_formats)} models, "
                f"got {format!r}."
            )
        path = runtime.save_model_path or self._scratch / f"model.{format}"
        self._stored = str(path), stream.description.name or path.name
        store(stream, path)
        self._say(Activity.LOADING)
        before_load_bytes = resident_bytes()
        reset_peak_memory()
        start_ns = time.perf_counter_ns()
        runtime.batch_axis = stream.description.batch_axis
        inputs, outputs = runtime.load(path, stream.description.batch_size)
        load_ns = time.perf_counter_ns() - start_ns
        # What lives now lives on; the collector need not look at it during inferences.
        gc.collect()
        gc.freeze()
        self._statistics = Statistics(load_ns=load_ns, before_load_bytes=before_load_bytes)
        self._inputs, self._outputs = TensorCodec(inputs), TensorCodec(outputs)
        self._limits = _limits_by_state(_data_limit_bytes(inputs))
        self._state = State.READY
        loaded = Loaded(
            inputs=msgspec.to_builtins(inputs),
            outputs=msgspec.to_builtins(outputs),
            facts=runtime.facts(),
        )
        self._protocol.report_success(message, [payloads.encode(loaded)])
        logger.info(
            "loaded a %s model of %d bytes in %.1f ms",
            format,
            stream.description.size_bytes,
            load_ns / 1e6,
        )

    def _on_data(self, message: Message) -> None:
        inputs = self._inputs.unpack(message.payload, bool(message.flags & Flag.SHAPED))
        self._runtime.set_inputs(inputs)
        # A runtime may use the views until its run has ended.
        self._channel.held = True
        self._protocol.report_success(message)

    def _on_process(self, message: Message) -> None:
        run = self._runtime.run
        self._say(Activity.RUNNING)
        if message.flags & Flag.WARM:
            # Before OK (started): the host's interval between the two OKs is of one inference.
            run()
        self._protocol.report_success(message)
        cpu_start_ns = time.process_time_ns()
        start_ns = time.perf_counter_ns()
        run()
        end_ns = time.perf_counter_ns()
        cpu_end_ns = time.process_time_ns()
        self._channel.held = False
        statistics = self._statistics
        if statistics.inferences == 0:
            statistics.first_inference_ns = end_ns - start_ns
        statistics.inferences += 1
        statistics.cpu_time_ns += cpu_end_ns - cpu_start_ns
        self._protocol.report_success(message, [payloads.encode(Timing(start_ns, end_ns))])

    def _on_output(self, message: Message) -> None:
        shaped, pieces = self._outputs.pack(self._runtime.get_outputs())
        # From here on the answer may be cut off, and what follows is taken for its rest.
        self._say(Activity.ANSWERING)
        self._protocol.report_success(message, pieces, Flag.SHAPED if shaped else 0)

    def _on_stats(self, message: Message) -> None:
        # The kernel's two counters are a few pages apart.
        before_load_bytes = self._statistics.before_load_bytes or 0
        self._statistics.peak_bytes = max(peak_memory_bytes(), before_load_bytes)
        self._protocol.report_success(message, [payloads.encode(self._statistics)])

    def _chosen(self, hello: Hello) -> Runtime:
        offered = {path_of(type(runtime)): runtime for runtime in self._runtimes}
        runtime = offered.get(hello.runtime) if hello.runtime else self._runtimes[0]
        if runtime is None:
            raise TargetError(
                "refused",
                f"The agent runs {', '.join(offered)}; the client asked for {hello.runtime}.",
            )
        if not hello.runtime_options:
            return runtime
        owned = {declared.name for declared in options_of(type(runtime)) if declared.target_only}
        for name in hello.runtime_options:
            if name in owned:
                raise TargetError(
                    "refused",
                    f"{type(runtime).__name__}.{name} belongs to the target's owner: "
                    "set it where the agent is started.",
                )
        asked = type(runtime).from_options({**runtime.to_options(), **hello.runtime_options})
        require_threads(asked, runtime)
        return asked

    def _pieces(self) -> Iterator[memoryview]:
        for piece in self._channel.pieces():
            # Each piece is a sign of life, however slow the link.
            self._say(Activity.RECEIVING)
            yield piece


def _limits_by_state(data_limit_bytes: int) -> dict[str, dict[int, int]]:
    """Return, per state, the requests allowed and the largest payload of each [bytes]."""
    sizes = {
        Type.HELLO: wire.HELLO_LIMIT_BYTES,
        Type.MODEL: wire.TRANSFER_LIMIT_BYTES,
        Type.DATA: data_limit_bytes,
    }
    return {
        state: {request: sizes.get(request, 0) for request in wire.allowed(state)}
        for state, _ in TRANSITIONS
    }


def _data_limit_bytes(inputs: Sequence[TensorSpec]) -> int:
    if all(spec.static for spec in inputs):
        # The exact size, with room for explicit shapes.
        return sum(spec.nbytes for spec in inputs) + wire.HELLO_LIMIT_BYTES
    return wire.OPEN_DATA_LIMIT_BYTES


def _failure_of(error: BaseException) -> Failure:
    if isinstance(error, TargetError):
        return Failure(error.code, str(error))
    code = next((code for kind, code in _CODES.items() if isinstance(error, kind)), "runtime")
    if isinstance(error, EdgeTesterError):
        return Failure(code, str(error))
    if isinstance(error, MemoryError):
        return Failure(code, "The target ran out of memory.")
    return Failure(code, f"The runtime failed: {type(error).__name__}: {error}")


def _say_nothing(activity: int) -> None:
    """Stand in for a status that nobody watches."""
