"""Answer one client's requests, and measure: the only place where inferences are timed."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from edge_tester.core import payloads, wire
from edge_tester.core.channel import Channel
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
from edge_tester.core.machine import peak_memory_bytes, reset_peak_memory, resident_bytes
from edge_tester.core.options import options_of, path_of
from edge_tester.core.payloads import Failure, Hello, Loaded, Statistics, Timing, Welcome
from edge_tester.core.runtime import Runtime
from edge_tester.core.runtimeprotocol import RuntimeProtocol
from edge_tester.core.target.status import Activity, Status
from edge_tester.core.target.storage import Stream, store
from edge_tester.core.tensors import TensorSpec, pack, unpack
from edge_tester.core.wire import Flag, Message, State, Type

logger = logging.getLogger(__name__)

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
        self._channel = protocol.channel = Channel(protocol, self._limit_of)
        self._runtimes = runtimes
        self._welcome = welcome
        self._scratch = scratch
        self._say: Callable[..., None] = status.write if status else _say_nothing
        self._state = State.NEW
        self._failing = False
        self._runtime: Runtime | None = None
        self._specs: tuple[list[TensorSpec], list[TensorSpec]] = ([], [])
        self._data_limit_bytes = 0
        self._statistics: dict[str, Any] = {}
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
        channel, say = self._channel, self._say
        try:
            say(Activity.WAITING)
            while (message := channel.receive()) is not None:
                self.handle(message)
                say(Activity.WAITING)
        except RemoteProtocolError as error:
            logger.warning("client broke the protocol: %s", error)
            failure = payloads.encode(Failure("protocol", str(error)))
            channel.put(Type.ERROR, 0, 0, [failure])
            self._flush(0)
        except UnreachableError as error:
            logger.info("client is gone: %s", error)

    def handle(self, message: Message) -> None:
        """Answer one request; answers leave once no more of its flight follow."""
        if self._failing:
            failure = Failure("skipped", "An earlier request of this flight failed.")
            self._protocol.report_failure(message, failure)
        else:
            self._answer(message)
        if not message.flags & Flag.MORE:
            self._failing = False
            self._flush(message.sequence)

    def _answer(self, message: Message) -> None:
        following = wire.after(self._state, message.type)
        try:
            self._handlers[message.type](message)
        except (RemoteProtocolError, UnreachableError):
            raise
        # What a model or its runtime raises can be anything; the session goes on.
        except (Exception, SystemExit) as error:
            logger.debug("%s failed", Type(message.type).name, exc_info=True)
            self._protocol.report_failure(message, _failure_of(error))
            self._state = wire.AFTER_FAILURE.get(message.type, self._state)
            self._failing = bool(message.flags & Flag.MORE)
        else:
            self._state = following

    def _on_hello(self, message: Message) -> None:
        hello = payloads.decode(message.payload, Hello)
        runtime = self._chosen(hello)
        runtime.prepare()
        self._runtime = runtime
        self._protocol.report_success(message, [payloads.encode(self._welcome(runtime))])

    def _on_model(self, message: Message) -> None:
        runtime = self._ready_runtime()
        self._say(Activity.RECEIVING, message.sequence)
        stream = Stream.begin(self._channel.pieces(), message.length)
        format = stream.description.format
        if format not in runtime.input_formats:
            stream.drain()
            raise ModelError(
                f"{type(runtime).__name__} runs {', '.join(runtime.input_formats)} models, "
                f"got {format!r}."
            )
        path = runtime.save_model_path or self._scratch / f"model.{format}"
        store(stream, path)
        self._say(Activity.LOADING, message.sequence)
        before_load_bytes = resident_bytes()
        reset_peak_memory()
        start_ns = time.perf_counter_ns()
        self._specs = runtime.load(path, stream.description.batch_size)
        load_ns = time.perf_counter_ns() - start_ns
        # What lives now lives on; the collector need not look at it during inferences.
        gc.collect()
        gc.freeze()
        self._statistics = {
            "inferences": 0,
            "load_ns": load_ns,
            "first_inference_ns": None,
            "cpu_time_ns": 0,
            "before_load_bytes": before_load_bytes,
        }
        inputs, outputs = self._specs
        self._data_limit_bytes = _data_limit_bytes(inputs)
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
        inputs = unpack(message.payload, self._specs[0], bool(message.flags & Flag.SHAPED))
        self._ready_runtime().set_inputs(inputs)
        # A runtime may use the views until its run has ended.
        self._channel.inbox.held = True
        self._protocol.report_success(message)

    def _on_process(self, message: Message) -> None:
        run = self._ready_runtime().run
        self._protocol.report_success(message)
        if message.flags & Flag.NOTIFY:
            self._flush(message.sequence)
        self._say(Activity.RUNNING, message.sequence)
        cpu_start_ns = time.process_time_ns()
        start_ns = time.perf_counter_ns()
        run()
        end_ns = time.perf_counter_ns()
        cpu_end_ns = time.process_time_ns()
        self._channel.inbox.held = False
        statistics = self._statistics
        if statistics["inferences"] == 0:
            statistics["first_inference_ns"] = end_ns - start_ns
        statistics["inferences"] += 1
        statistics["cpu_time_ns"] += cpu_end_ns - cpu_start_ns
        self._protocol.report_success(message, [payloads.encode(Timing(start_ns, end_ns))])

    def _on_output(self, message: Message) -> None:
        shaped, pieces = pack(self._ready_runtime().get_outputs(), self._specs[1])
        self._protocol.report_success(message, pieces, Flag.SHAPED if shaped else 0)

    def _on_stats(self, message: Message) -> None:
        statistics = Statistics(
            inferences=self._statistics.get("inferences", 0),
            load_ns=self._statistics.get("load_ns"),
            first_inference_ns=self._statistics.get("first_inference_ns"),
            cpu_time_ns=self._statistics.get("cpu_time_ns", 0),
            before_load_bytes=self._statistics.get("before_load_bytes"),
            peak_bytes=peak_memory_bytes(),
        )
        self._protocol.report_success(message, [payloads.encode(statistics)])

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
        return type(runtime).from_options({**runtime.to_options(), **hello.runtime_options})

    def _ready_runtime(self) -> Runtime:
        if self._runtime is None:
            raise RemoteProtocolError("HELLO comes first.")
        return self._runtime

    def _flush(self, sequence: int) -> None:
        self._say(Activity.ANSWERING, sequence)
        self._channel.flush()

    def _limit_of(self, type: int) -> int:
        if not self._failing:
            wire.after(self._state, type)
        if type == Type.HELLO:
            return wire.HELLO_LIMIT_BYTES
        if type == Type.MODEL:
            return wire.TRANSFER_LIMIT_BYTES
        if type == Type.DATA:
            return self._data_limit_bytes
        return 0


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


def _say_nothing(activity: int, sequence: int = 0) -> None:
    """Stand in for a status that nobody watches."""
