"""Answer one client's requests, and measure: the only place where inferences are timed."""

from __future__ import annotations

import contextlib
import gc
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import structs, to_builtins

from edge_tester.core.agent.bench import Bench
from edge_tester.core.agent.limits import require_threads
from edge_tester.core.agent.profiling import can_profile, profile_of
from edge_tester.core.agent.shelf import Shelf
from edge_tester.core.agent.status import Activity, Status
from edge_tester.core.agent.storage import Store, receive_description
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
from edge_tester.core.meter import Meter, idle_powers_w
from edge_tester.core.options import options_of
from edge_tester.core.registry import name_of
from edge_tester.core.runtime import Runtime
from edge_tester.core.runtimeprotocol import RuntimeProtocol
from edge_tester.core.system.machine import peak_memory_bytes, reset_peak_memory, resident_bytes
from edge_tester.core.tensors import TensorSpec
from edge_tester.core.wire import frames, payloads
from edge_tester.core.wire.frames import TYPE_NAMES, Flag, Message, Type
from edge_tester.core.wire.payloads import (
    Block,
    Counters,
    Failure,
    Hello,
    Loaded,
    ModelDescription,
    Offered,
    Welcome,
)
from edge_tester.core.wire.states import (
    TRANSITIONS,
    State,
    allowed,
    flight_limit,
    names_of,
)

logger = logging.getLogger(__name__)

# The members of a class cost a second look; these are needed for every request.
_MORE, _WAITING, _RECEIVING = Flag.MORE, Activity.WAITING, Activity.RECEIVING
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
    store : Store, optional
        Where uploaded files are kept; gone with ``scratch`` by default.
    meters : sequence of Meter
        What counts beside time and memory; opened.
    turn : context manager, optional
        Held while the model loads or runs, where there may be other sessions.
    shared : bool
        Whether the process is somebody else's too, whose memory stays as it is.
    """

    def __init__(
        self,
        protocol: RuntimeProtocol,
        runtimes: Sequence[Runtime],
        welcome: Callable[[Runtime], Welcome],
        scratch: Path,
        status: Status | None = None,
        store: Store | None = None,
        meters: Sequence[Meter] = (),
        turn: contextlib.AbstractContextManager[None] | None = None,
        *,
        shared: bool = False,
    ) -> None:
        self._protocol = protocol
        self._channel = protocol.open_channel({}, streamed=(Type.MODEL, Type.DATA))
        self._channel.unknown_limit_bytes = frames.HELLO_LIMIT_BYTES
        self._runtimes = runtimes
        self._welcome = welcome
        self._scratch = scratch
        self._store = store or Store(Shelf(scratch / "store"))
        self._say: Callable[[int], None] = status.write if status else _say_nothing
        self._meters = meters
        self._turn = turn or contextlib.nullcontext()
        self._shared = shared
        self._state = State.NEW
        self._limits = _limits_by_state(0)
        self._channel.limits = self._limits[State.NEW]
        # Of a flight of which a request failed, the rest was sent in good faith: it is answered.
        self._every = _every(self._limits)
        self._in_flight = 0
        self._failing = False
        self._apart = False
        self._stored: tuple[str, str] | None = None
        self._runtime = runtimes[0]
        self._bench = self._bench_of(Counters())
        self._handlers: dict[int, Callable[[Message], None]] = {
            Type.HELLO: self._on_hello,
            Type.OFFER: self._on_offer,
            Type.MODEL: self._on_model,
            Type.DATA: self._on_data,
            Type.PROCESS: self._on_process,
            Type.OUTPUT: self._on_output,
            Type.STATS: self._on_stats,
            Type.PROFILE: self._on_profile,
        }

    def serve(self, received: bytes = b"", frame_key: bytes = b"") -> None:
        """Answer requests until the client closes the connection or breaks the protocol.

        Parameters
        ----------
        received : bytes
            What somebody else has received of them: the HELLO.
        frame_key : bytes
            By which all later frames are authenticated; empty if they are not.
        """
        channel = self._channel
        if received:
            channel.preload(received)
        try:
            self._say(Activity.WAITING)
            while (message := channel.receive()) is not None:
                if frame_key:
                    channel.trailers.authenticate(frame_key, host=False)
                    channel.trailers.require_authentic()
                    frame_key = b""
                self.handle(message)
        except RemoteProtocolError as error:
            logger.warning("client broke the protocol: %s", error)
            self._part("protocol", str(error))
        except UnreachableError as error:
            logger.info("client is gone: %s", error)

    def handle(self, message: Message) -> None:
        """Answer one request; answers leave once no more of its flight follow."""
        type, channel = message.type, self._channel
        self._in_flight += 1
        if self._in_flight > (most := flight_limit(self._bench.slots)):
            raise RemoteProtocolError(f"A flight has at most {most} requests.")
        if self._failing:
            self._report(message, Failure("skipped", "An earlier request of this flight failed."))
        elif type not in self._handlers:
            self._report(message, Failure("unsupported", f"Message type {type} is unknown here."))
        else:
            after, after_failure = TRANSITIONS[self._state, type]
            try:
                self._handlers[type](message)
            except (RemoteProtocolError, UnreachableError):
                raise
            # What a model or its runtime raises can be anything; the session goes on.
            except (Exception, SystemExit) as error:
                after = after_failure
                self._fail(message, error)
            self._state = after
            channel.limits = self._every if self._failing else self._limits[after]
        channel.skip()
        if not message.flags & _MORE:
            self._in_flight = 0
            if self._failing:
                self._failing = False
                channel.limits = self._limits[self._state]
            self._say(_WAITING)

    def _answer(self, request: Message, payload: Sequence[frames.Buffer] = ()) -> None:
        self._channel.send(Type.OK, request.flags & _MORE, request.sequence, payload)

    def _report(self, request: Message, failure: Failure) -> None:
        flags = request.flags & _MORE
        self._channel.send(Type.ERROR, flags, request.sequence, [payloads.encode(failure)])

    def _part(self, code: str, reason: str) -> None:
        """Say why the connection ends, to whoever still hears it."""
        try:
            self._channel.send(Type.ERROR, 0, 0, [payloads.encode(Failure(code, reason))])
        except UnreachableError as error:
            logger.info("client is gone: %s", error)

    def _fail(self, message: Message, error: BaseException) -> None:
        logger.debug("%s failed", TYPE_NAMES[message.type], exc_info=error)
        failure = _failure_of(error)
        # The client knows its model by another name, and nothing of the target's folders.
        said = failure.message.replace(*self._stored) if self._stored else failure.message
        self._report(message, Failure(failure.code, said))
        self._failing = bool(message.flags & _MORE)

    def _on_hello(self, message: Message) -> None:
        hello = payloads.decode(message.payload, Hello)
        runtime = self._chosen(hello)
        # Importing a backend may take longer than a client waits for a sign of life.
        self._answer(message, [payloads.encode(payloads.Queued())])
        with self._turn:
            runtime.prepare()
        self._runtime = runtime
        welcome = self._welcome(runtime)
        features = names_of(hello.features)
        if not self._channel.trailers.authentic:
            features = [one for one in features if one != "mac"]
        if not self._protocol.several:
            features = [one for one in features if one != "beside"]
        if not can_profile(runtime):
            features = [one for one in features if one != "profile"]
        self._answer(message, [payloads.encode(structs.replace(welcome, features=features))])

    def _on_offer(self, message: Message) -> None:
        described = payloads.decode(message.payload, ModelDescription)
        offered = Offered(stored_bytes=self._store.stored_bytes(described))
        self._answer(message, [payloads.encode(offered)])

    def _on_model(self, message: Message) -> None:
        runtime = self._runtime
        self._bench = self._bench_of(Counters())
        self._say(_RECEIVING)
        described = receive_description(self._channel, message.length)
        if described.format not in runtime.input_formats:
            raise ModelError(
                f"{type(runtime).__name__} runs {', '.join(runtime.input_formats)} models, "
                f"got {described.format!r}."
            )
        path = runtime.save_model_path or self._scratch / f"model.{described.format}"
        self._stored = str(path), described.name or path.name
        # Each piece is a sign of life, however slow the link.
        path = self._store.receive(self._channel, described, path, lambda: self._say(_RECEIVING))
        self._stored = str(path), self._stored[1]
        # From here on it is the model that decides what happens.
        self._store = self._store.left()
        with self._turn:
            self._say(Activity.LOADING)
            idle_w = idle_powers_w(self._meters)
            before_load_bytes = resident_bytes()
            reset_peak_memory()
            start_ns = time.perf_counter_ns()
            runtime.batch_axis = described.batch_axis
            inputs, outputs = runtime.load(path, described.batch_size)
            load_ns = time.perf_counter_ns() - start_ns
            load_peak_bytes = max(peak_memory_bytes(), before_load_bytes or 0)
            # What loading took for a moment is not what inferences take.
            self._apart = reset_peak_memory()
        if not self._shared:
            # What lives now lives on; the collector need not look at it during inferences.
            gc.collect()
            gc.freeze()
        counters = Counters(
            load_ns=load_ns,
            before_load_bytes=before_load_bytes,
            load_peak_bytes=load_peak_bytes,
            idle_w=idle_w,
            cpu_time_ns=0,
        )
        self._bench = self._bench_of(counters, inputs, outputs, described.slots)
        self._limits = _limits_by_state(self._bench.data_limit_bytes)
        self._every = _every(self._limits)
        loaded = Loaded(
            inputs=to_builtins(inputs),
            outputs=to_builtins(outputs),
            facts=runtime.facts(),
            slots=self._bench.slots,
        )
        self._answer(message, [payloads.encode(loaded)])
        logger.info(
            "loaded a %s model of %d bytes in %.1f ms",
            described.format,
            described.size_bytes,
            load_ns / 1e6,
        )

    def _on_data(self, message: Message) -> None:
        self._say(_RECEIVING)
        self._bench.fill(self._channel, message.length)
        self._answer(message)

    def _on_process(self, message: Message) -> None:
        block = Block.decoded(message.payload)
        with self._turn:
            times = self._bench.run(block, lambda: self._answer(message))
        self._answer(message, [times])

    def _on_output(self, message: Message) -> None:
        answer = self._bench.output(message.payload)
        # From here on the answer may be cut off, and what follows is taken for its rest.
        self._say(Activity.ANSWERING)
        self._answer(message, answer)

    def _on_stats(self, message: Message) -> None:
        # The kernel's two counters are a few pages apart.
        counters = self._bench.counters
        peak_bytes = max(peak_memory_bytes(), counters.before_load_bytes or 0)
        counters.peak_bytes = max(peak_bytes, counters.load_peak_bytes or 0)
        if self._apart and counters.inferences:
            counters.inference_peak_bytes = peak_bytes
        self._answer(message, [payloads.encode(counters)])

    def _on_profile(self, message: Message) -> None:
        with self._turn:
            answer = profile_of(self._runtime, self._bench, message.payload)
        self._say(Activity.ANSWERING)
        self._answer(message, [answer])

    def _bench_of(
        self,
        counters: Counters,
        inputs: Sequence[TensorSpec] = (),
        outputs: Sequence[TensorSpec] = (),
        slots: int = 1,
    ) -> Bench:
        return Bench(self._runtime, inputs, outputs, slots, counters, self._meters, self._say)

    def _chosen(self, hello: Hello) -> Runtime:
        offered = {name_of(type(runtime)): runtime for runtime in self._runtimes}
        runtime = offered.get(hello.runtime) if hello.runtime else self._runtimes[0]
        if runtime is None:
            raise TargetError(
                "refused",
                f"The agent runs {', '.join(offered)}; the client asked for {hello.runtime!r}.",
            )
        if not hello.runtime_options:
            return runtime
        # What belongs to the owner stays as it is: the client sees it in the Welcome.
        owned = {declared.name for declared in options_of(type(runtime)) if declared.target_only}
        wanted = {name: v for name, v in hello.runtime_options.items() if name not in owned}
        asked = type(runtime).from_options({**runtime.to_options(), **wanted})
        require_threads(asked, runtime)
        return asked


def _limits_by_state(data_limit_bytes: int) -> dict[str, dict[int, int]]:
    """Return, per state, the requests allowed and the largest payload of each [bytes]."""
    sizes = {
        Type.HELLO: frames.HELLO_LIMIT_BYTES,
        Type.OFFER: frames.DESCRIPTION_LIMIT_BYTES,
        Type.MODEL: frames.TRANSFER_LIMIT_BYTES,
        Type.DATA: data_limit_bytes,
        Type.PROCESS: payloads.PROCESS.size + payloads.INSTANT_BYTES * payloads.INFERENCES_LIMIT,
        Type.OUTPUT: payloads.OUTPUT.size,
        Type.PROFILE: payloads.PROFILE.size,
        Type.PROOF: frames.PROOF_LIMIT_BYTES,
    }
    return {
        state: {request: sizes.get(request, 0) for request in allowed(state)}
        for state, _ in TRANSITIONS
    }


def _every(limits: dict[str, dict[int, int]]) -> dict[int, int]:
    return limits[State.READY] | limits[State.LOADED]


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
