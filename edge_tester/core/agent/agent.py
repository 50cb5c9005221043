"""The target agent: what a command or a test starts on the target."""

from __future__ import annotations

import contextlib
import logging
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from edge_tester.core.agent.desk import Desk
from edge_tester.core.agent.gate import Gate
from edge_tester.core.agent.isolation import (
    LEVELS,
    Isolation,
    named_by,
    unprotected,
    user_named,
)
from edge_tester.core.agent.logs import file_logging, patient_logging
from edge_tester.core.agent.process import SESSION_COMMAND, SessionProcess, SessionSettings
from edge_tester.core.agent.scratch import Scratch
from edge_tester.core.agent.service import Limits
from edge_tester.core.agent.shelf import Shelf
from edge_tester.core.agent.storekeeper import Storekeeper
from edge_tester.core.agent.supervisor import Supervisor
from edge_tester.core.errors import OptionError, RuntimeStateError
from edge_tester.core.meter import Meter
from edge_tester.core.options import Configurable, option, options_of, path_of
from edge_tester.core.runtime import Runtime
from edge_tester.core.runtimeprotocol import RuntimeProtocol
from edge_tester.core.system.sizes import size_of

_DAY_S = 86_400
_LEAST_SCRATCH_BYTES = 1 << 24
_UNPROTECTED = "WARNING: with --isolation {} on this system a model can {} (docs/security.rst)"
_INSECURE = (
    "WARNING: --insecure: anyone who can reach {} can run any code as this user, for clients are "
    "not authenticated and a model is code"
)


class Agent(Configurable):
    """Serves clients on the target, one after another; one may have several sessions."""

    insecure: bool = option(
        False, help="Listen where other machines can connect; anyone there can run code here"
    )
    serve_code: bool = option(
        False, help="Without a runtime that is named, serve also those whose models are code"
    )
    time_limit_s: float = option(
        60.0, minimum=0.1, unit="s", help="Time that one load or one inference may take"
    )
    idle_limit_s: float = option(
        600.0, minimum=1, unit="s", help="Time that a client may say nothing"
    )
    stall_limit_s: float = option(
        60.0, minimum=0.1, unit="s", help="Time that nothing may come of a model on its way"
    )

    pin_cpus: tuple[int, ...] = option(
        (), help="Processors that models may run on, by their numbers; all by default"
    )
    priority: int | None = option(
        None,
        minimum=-20,
        maximum=19,
        help="Niceness of models: below 0 they come before others, which needs a privilege",
    )
    store_directory: Path | None = option(
        None,
        help="Folder where uploaded models are kept, to be used by later agents too; by default "
        "they go with the agent",
    )
    store_limit: str | None = option(
        None, help="Most that uploaded models take on the disk, such as 2GB; by default its size"
    )
    store_age_days: float | None = option(
        None, minimum=0, unit="days", help="Remove uploaded models that were not used for so long"
    )
    isolation: str = option(
        LEVELS[0],
        choices=LEVELS,
        help="What models are kept from: full; files, which lets a runtime start programs; none",
    )
    run_as: str | None = option(
        None, help="User whose rights models have, where the agent is started as root"
    )
    memory_limit: str | None = option(
        None, help="Memory that one session may take, such as 2GB; by default all there is"
    )
    scratch_limit: str | None = option(
        None,
        help="What one session may write to its temporary folder, such as 1GB; by default half of "
        "what is free when the agent starts",
    )
    allow_paths: tuple[Path, ...] = option(
        (),
        help="Files and folders that models may read beside what Python, libraries and runtimes "
        "have, and devices that they may use, such as /dev/bus/usb",
    )

    log_file: Path | None = option(
        None, help="File to log to as well; full ones are kept beside it, the last three of them"
    )
    log_format: str = option(
        "text", choices=("text", "json"), help="Of the file: json has one object per line"
    )
    log_limit_mib: float = option(
        10.0, minimum=0.01, unit="MiB", help="Size at which a file is full"
    )

    def serve(
        self,
        protocol: RuntimeProtocol,
        runtimes: Sequence[Runtime],
        on_ready: Callable[[], None] = lambda: None,
        session_command: Sequence[str] = SESSION_COMMAND,
        meters: Sequence[Meter] = (),
    ) -> None:
        """Serve until SIGTERM or SIGINT; SIGQUIT lets the session end, SIGHUP reads keys again.

        Parameters
        ----------
        protocol : RuntimeProtocol
        runtimes : sequence of Runtime
            What clients may use; the first is for those who do not say.
        on_ready : callable
            Called once, when clients can be served.
        session_command : sequence of str
            Program of the session process.
        meters : sequence of Meter
            What counts beside time and memory.

        Raises
        ------
        OptionError
            The address can be reached from other machines, clients are not authenticated, and
            ``insecure`` is not set; or the tokens cannot be read.
        OptionError
            A size is none, or the user of ``run_as`` cannot be had.
        UnreachableError
            The address is in use or does not exist.
        RuntimeStateError
            A runtime lacks something on this target.
        """
        gate = Gate(protocol.tokens, mac=protocol.authenticates_frames)
        open_to_all = protocol.exposed and not gate.closed and not protocol.mutual
        if open_to_all and not self.insecure:
            raise OptionError(
                f"Whoever can connect to {protocol.address} could run any code on this machine: "
                "a model is code, and clients are not authenticated. Give --token-file or --tls-ca "
                "(`edge-tester keys` makes what they need), listen on 127.0.0.1 and use an SSH "
                "tunnel, or say --insecure on a network that you trust."
            )
        if open_to_all:
            # Not by way of the log, whose level may hide it.
            print(_INSECURE.format(protocol.address), file=sys.stderr, flush=True)
        store_limit_bytes = _size(self.store_limit, "--store-limit")
        isolation = self._isolation([*runtimes, *meters])
        gaps = unprotected(self.isolation)
        for what in gaps:
            print(_UNPROTECTED.format(self.isolation, what), file=sys.stderr, flush=True)
        listener = protocol.start_server()
        try:
            scratch = Scratch()
        except OSError as error:
            listener.close()
            raise RuntimeStateError(
                f"The agent cannot make a folder in {tempfile.gettempdir()}: {error.strerror}. "
                "Set TMPDIR to where there is space."
            ) from error
        scratch.sweep()

        settings = SessionSettings(
            protocol=path_of(type(protocol)),
            protocol_options=protocol.to_options(),
            runtimes=[(path_of(type(r)), r.to_options()) for r in runtimes],
            meters=[(path_of(type(m)), m.to_options()) for m in meters if not m.early],
            early_meters=[(path_of(type(m)), m.to_options()) for m in meters if m.early],
            isolation=isolation,
            pin_cpus=list(self.pin_cpus),
            priority=self.priority,
            turn=str(scratch.turn) if protocol.several else "",
            log_level=logging.getLogger("edge_tester").getEffectiveLevel(),
        )

        age_limit_s = None if self.store_age_days is None else self.store_age_days * _DAY_S
        keeper = Storekeeper(
            Shelf(self.store_directory or scratch.store, store_limit_bytes, age_limit_s),
            [str(r.save_model_path) for r in runtimes if r.save_model_path],
        )

        def start_session() -> SessionProcess:
            return SessionProcess(settings, scratch, keeper, session_command)

        limits = Limits(
            time_limit_s=self.time_limit_s,
            idle_limit_s=self.idle_limit_s,
            stall_limit_s=self.stall_limit_s,
        )
        with patient_logging(), self._logging(), contextlib.closing(keeper):
            Supervisor(
                listener,
                start_session,
                scratch,
                limits=limits,
                several=protocol.several,
                on_ready=on_ready,
                gate=gate,
                desk=Desk(runtimes, self.store_directory or scratch.store, gaps),
            ).run()

    def _logging(self) -> contextlib.AbstractContextManager[None]:
        if self.log_file is None:
            return contextlib.nullcontext()
        return file_logging(
            self.log_file,
            as_json=self.log_format == "json",
            limit_bytes=round(self.log_limit_mib * (1 << 20)),
        )

    def _isolation(self, parts: Sequence[Configurable]) -> Isolation:
        """Return how sessions are isolated, with all that the owner named for them."""
        owned = [
            getattr(part, declared.name)
            for part in parts
            for declared in options_of(type(part))
            # What nobody chose names nothing, such as the /sys of meters.
            if declared.target_only and getattr(part, declared.name) != declared.default
        ]
        named, modules = named_by([*owned, *self.allow_paths])
        # On a disk that is full already, what a session needs for itself.
        share_bytes = max(shutil.disk_usage(tempfile.gettempdir()).free // 2, _LEAST_SCRATCH_BYTES)
        return Isolation(
            level=self.isolation,
            named=named,
            modules=[*modules, *(path_of(type(part)) for part in parts)],
            user=None if self.run_as is None else user_named(self.run_as),
            memory_limit_bytes=_size(self.memory_limit, "--memory-limit"),
            scratch_limit_bytes=_size(self.scratch_limit, "--scratch-limit") or share_bytes,
        )


def _size(text: str | None, flag: str) -> int | None:
    return None if text is None else size_of(text, flag)
