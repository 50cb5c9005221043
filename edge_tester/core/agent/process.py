"""Start a session process, hand it a client, see what it does, and end it.

The process runs models: whatever it says or leaves may be wrong, late or hostile. No method
here waits for it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from edge_tester.core.agent import descendants
from edge_tester.core.agent import status as status_module
from edge_tester.core.agent.cgroup import ControlGroup, group_named
from edge_tester.core.agent.consumption import THREADS_LIMIT, Consumption
from edge_tester.core.agent.control import Control
from edge_tester.core.agent.environment import session_environment
from edge_tester.core.agent.isolation import Isolation
from edge_tester.core.agent.output import Output
from edge_tester.core.agent.scratch import Scratch
from edge_tester.core.agent.status import Activity
from edge_tester.core.agent.storekeeper import Storekeeper

logger = logging.getLogger(__name__)

_DOING = {
    Activity.STARTING: "while it started",
    Activity.WAITING: "between two requests",
    Activity.RECEIVING: "while it received a model",
    Activity.LOADING: "while it loaded the model",
    Activity.RUNNING: "during an inference",
    Activity.ANSWERING: "while it sent an answer",
    Activity.IN_LINE: "while another session had its turn",
}
SESSION_COMMAND = (sys.executable, "-m", "edge_tester.core.agent.session_process")


class SessionSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a session process is told on its command line.

    Attributes
    ----------
    protocol : str
        Dotted path of the runtime protocol.
    protocol_options : dict
    runtimes, meters : list of (dotted path, options)
        What clients may use, and what counts beside time and memory.
    early_meters : list of (dotted path, options)
        Those that open what an isolated process must not.
    isolation : Isolation
    pin_cpus : list of int
        Processors that it may run on; all that its parent may for none.
    priority : int, optional
        Its niceness.
    turn : str
        What to lock while a model loads or runs; empty where there are no other sessions.
    log_level : int
    control, status, keeper : int
        Descriptors, of this one process; the last leads to the store.
    own, models : str
        Folders of this one process: for all that it writes, and where its model is put.
    """

    protocol: str
    protocol_options: dict[str, Any]
    runtimes: list[tuple[str, dict[str, Any]]]
    meters: list[tuple[str, dict[str, Any]]] = []
    early_meters: list[tuple[str, dict[str, Any]]] = []
    isolation: Isolation = Isolation()
    pin_cpus: list[int] = []
    priority: int | None = None
    turn: str = ""
    log_level: int
    control: int = -1
    status: int = -1
    keeper: int = -1
    own: str = ""
    models: str = ""


class SessionProcess:
    """A session process as the supervisor sees it.

    Parameters
    ----------
    settings : SessionSettings
        All but what belongs to this one process.
    scratch : Scratch
        Of the agent; the session gets a folder in it, for its model and for what it writes.
    keeper : Storekeeper
        Of the agent.
    command : sequence of str
        Program that becomes the session process.

    Attributes
    ----------
    control : Control
        Where it says that it is ready.
    output : Output
        What it prints.
    exit_descriptor : int or None
        Becomes readable when it ends, where the system has such descriptors (Linux).

    Raises
    ------
    OSError
        It cannot be started; nothing is left of it.
    """

    def __init__(
        self,
        settings: SessionSettings,
        scratch: Scratch,
        keeper: Storekeeper,
        command: Sequence[str] = SESSION_COMMAND,
    ) -> None:
        with contextlib.ExitStack() as undo:
            self._scratch, self._folder = scratch, scratch.new()
            undo.callback(scratch.discard, self._folder)
            ours, theirs = socket.socketpair()
            undo.callback(ours.close)
            undo.callback(theirs.close)
            self.control = Control(ours)
            self._status = status_module.create()
            undo.callback(os.close, self._status)
            self.output = Output()
            undo.callback(self.output.close)
            own, models = _places(self._folder, settings.isolation)
            shelf = keeper.open(models)
            undo.callback(shelf.close)
            settings = msgspec.structs.replace(
                settings,
                control=theirs.fileno(),
                status=self._status,
                keeper=shelf.fileno(),
                own=str(own),
                models=str(models),
            )
            mark = {descendants.MARK: str(self._folder)}
            # A process group of its own: Ctrl-C reaches the supervisor, which ends it in order.
            self._process = subprocess.Popen(
                [*command, msgspec.json.encode(settings).decode()],
                pass_fds=(theirs.fileno(), self._status, shelf.fileno()),
                stdin=subprocess.DEVNULL,
                stdout=self.output.theirs,
                stderr=self.output.theirs,
                env=session_environment(own) | mark,
                start_new_session=True,
            )
            undo.pop_all()
        name = f"{scratch.path.name}-{self._folder.name}"
        self._group = _own_group(name, self._process.pid, settings.isolation)
        self._consumption = Consumption(self._process.pid, own, settings.isolation)
        theirs.close()
        shelf.close()
        self.output.close_theirs()
        self.exit_descriptor = _exit_descriptor(self._process.pid)
        self._seen_activity: int = Activity.STARTING
        self._seen_change, self._seen_since_s = 0, time.monotonic()

    @property
    def pid(self) -> int:
        """Process number."""
        return self._process.pid

    @property
    def folder(self) -> Path:
        """Its own folder, which is the mark of what it starts."""
        return self._folder

    def has_ended(self) -> bool:
        """Tell whether the process has ended; its number stays its own until it is closed."""
        if self._process.returncode is None and hasattr(os, "waitid"):
            options = os.WEXITED | os.WNOHANG | os.WNOWAIT
            return os.waitid(os.P_PID, self._process.pid, options) is not None
        return self._process.poll() is not None

    def activity(self) -> tuple[int, float]:
        """Return what it does, and since when it was seen to do just this [s].

        Source of the time: :func:`time.monotonic`. Where a model has damaged the word, what
        was seen last counts on.
        """
        found = status_module.read(self._status)
        if found is not None and found[1] != self._seen_change:
            self._seen_activity, self._seen_change = found
            self._seen_since_s = time.monotonic()
        return self._seen_activity, self._seen_since_s

    def problem(self) -> str | None:
        """Return what it takes too much of, None if it keeps to its limits."""
        return self._consumption.problem()

    def kill(self) -> None:
        """Kill the process and what is in its group, whether or not it has ended itself.

        What a model started holds its client's connection too, and takes processor time from
        the next one.
        """
        self.kill_again()
        descendants.kill_group(self._process.pid)

    def kill_again(self) -> None:
        """Kill what was just being started when it was killed, where the system knows it."""
        if self._group is not None:
            self._group.kill()

    def close(self) -> str | None:
        """Let go of everything, after the end of the process.

        Returns
        -------
        str or None
            How it ended, in words; None if it ended by itself and in order.
        """
        self.activity()
        self._consumption.close()
        self.output.close()
        reason = self._reason()
        self.control.close()
        os.close(self._status)
        if self.exit_descriptor is not None:
            os.close(self.exit_descriptor)
        if self._group is not None:
            self._group.close()
        self._scratch.discard(self._folder)
        return reason

    def _reason(self) -> str | None:
        code = self._process.poll()
        if code == 0:
            return None
        if code is None:
            return "The session process could not be killed."
        doing = _DOING.get(self._seen_activity, "while it did something unknown")
        if code > 0:
            return f"The model ended the session process with exit status {code} {doing}."
        text = f"The model ended the session process with {_signal_name(-code)} {doing}"
        if -code == signal.SIGKILL:
            text += "; most likely the target ran out of memory"
        return f"{text}."


def _places(folder: Path, isolation: Isolation) -> tuple[Path, Path]:
    """Make the folder that a session may write to, and the one that its model is put in."""
    own, models = folder / "own", folder / "models"
    own.mkdir(mode=0o700)
    models.mkdir(mode=0o700)
    if isolation.user is not None:
        # It must get there, and need not see what else there is.
        for one in (folder.parent, folder, models):
            one.chmod(0o711)
        os.chown(own, isolation.user.uid, isolation.user.gid)
    return own, models


def _own_group(name: str, pid: int, isolation: Isolation) -> ControlGroup | None:
    """Put a process into a control group of its own, where there can be one."""
    group = group_named(name)
    if group is not None:
        # Where it cannot: one process is bounded by its own limits, and looked at.
        group.limit(isolation.memory_limit_bytes, THREADS_LIMIT)
        try:
            # It has started nothing yet: it is an interpreter that begins.
            group.add(pid)
        except OSError as error:
            logger.debug("the control group: %s", error)
            group.close()
            return None
    return group


def _exit_descriptor(pid: int) -> int | None:
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        # A sandbox may forbid it; the supervisor then looks from time to time.
        logger.debug("pidfd_open: %s", error)
        return None


def _signal_name(number: int) -> str:
    """Return what a signal is called, and means; real-time signals have no name."""
    names = {one.value: one.name for one in signal.Signals}
    return f"{names.get(number, f'signal {number}')} ({signal.strsignal(number)})"
