"""Runtimes that go wrong in every way that a model can."""

import array
import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from edge_tester.core.options import option
from edge_tester.runtimes.echo import EchoRuntime


class FaultyRuntime(EchoRuntime):
    """Echoes until an input begins with 1; then does what ``fault`` says."""

    fault: str = option("none", help="What goes wrong")

    def run(self) -> None:
        if self._inputs[0].flat[0] == 1:
            FAULTS[self.fault]()
        super().run()


class AnyFaultRuntime(FaultyRuntime):
    """The same; a client says which fault."""


class FaultyLoader(FaultyRuntime):
    """Does what ``fault`` says when it loads a model."""

    def load(self, path, batch_size):
        FAULTS[self.fault]()
        return super().load(path, batch_size)


def _segfault() -> None:
    ctypes.string_at(0)


def _abort() -> None:
    os.abort()


def _exit() -> None:
    os._exit(3)


def _polite_exit() -> None:
    raise SystemExit(3)


def _hang() -> None:
    while True:
        time.sleep(1)


def _out_of_memory() -> None:
    raise MemoryError


def _killed() -> None:
    os.kill(os.getpid(), 9)


def _error() -> None:
    raise ValueError("the weights are upside down")


def _scribble() -> None:
    for descriptor in range(3, 64):
        with contextlib.suppress(OSError):
            os.write(descriptor, b"\xff" * 64)


def _hang_with_a_child() -> None:
    subprocess.Popen(["sleep", "4711"])
    _hang()


def _own_descriptors() -> tuple[int, int]:
    """Control socket and status page, as a model finds them too: on its command line."""
    settings = json.loads(sys.argv[1])
    return settings["control"], settings["status"]


def _half_a_report() -> None:
    os.write(_own_descriptors()[0], b"\xff" * 8)
    _hang()


def _one_byte_of_a_report() -> None:
    os.write(_own_descriptors()[0], b"\0")
    _hang()


def _reports_without_end() -> None:
    while True:
        os.write(_own_descriptors()[0], b"\0\0\0\1x" * 10_000)


def _descriptors_without_end() -> None:
    control = socket.socket(fileno=os.dup(_own_descriptors()[0]))
    rights = array.array("i", [0] * 100)
    for _ in range(20):
        control.sendmsg([b"\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
    _hang()


def _shut_down() -> None:
    socket.socket(fileno=os.dup(_own_descriptors()[0])).shutdown(socket.SHUT_RDWR)


def _close_all() -> None:
    os.closerange(0, 256)
    _hang()


def _truncated_status() -> None:
    os.ftruncate(_own_descriptors()[1], 0)


def _status_of_a_liar() -> None:
    memory = os.fdopen(os.dup(_own_descriptors()[1]), "r+b", buffering=0)
    memory.write(b"\xff" * 4096)
    _hang()


def _real_time_signal() -> None:
    os.kill(os.getpid(), 40)


def _fork() -> None:
    """A child that lives on with all that its parent had, and the parent ends."""
    if os.fork():
        os._exit(0)
    os.execvp("sleep", ["sleep", "4712"])


def _daemon() -> None:
    """A child in a session of its own, whose parent has ended; the model goes on."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for descriptor in range(3, 64):
                with contextlib.suppress(OSError):
                    os.set_inheritable(descriptor, True)
            os.execvp("sleep", ["sleep", "4713"])
        os._exit(0)


def _daemon_and_hang() -> None:
    _daemon()
    _hang()


def _fork_without_end() -> None:
    """Children that leave the group and are gone, but for a child, before they are seen."""
    while True:
        if os.fork():
            os._exit(0)
        os.setsid()


def _orphans() -> None:
    """Twenty children of a child that is gone; each ends soon."""
    if child := os.fork():
        os.waitpid(child, 0)
        return
    for _ in range(20):
        if os.fork() == 0:
            time.sleep(0.2)
            os._exit(0)
    os._exit(0)


def _print_without_end() -> None:
    for _ in range(1000):
        print("nonsense " * 10_000)
    print("\x1b[2Jthe weights\x07 are upside down")
    os.abort()


def _print_native() -> None:
    os.write(2, b"native \x1b[31mwords\x07\n")
    os._exit(4)


def _litter() -> None:
    folder = Path(tempfile.mkdtemp())
    for number in range(200):
        (folder / str(number)).mkdir()
        (folder / str(number) / "file").touch()
    folder.chmod(0)
    os._exit(5)


def _hang_natively() -> None:
    """No thread of Python runs beside it."""
    ctypes.PyDLL(None).sleep(4714)


def _fill_the_disk() -> None:
    descriptor, _ = tempfile.mkstemp()
    with contextlib.suppress(OSError):
        while True:
            os.write(descriptor, bytes(4096))


def _fill_by_one_file() -> None:
    with tempfile.TemporaryFile() as file:
        while True:
            file.write(bytes(1 << 20))
            file.flush()


def _fill_by_many_files() -> None:
    folder = tempfile.mkdtemp()
    for number in range(300):
        (Path(folder) / str(number)).write_bytes(bytes(1 << 20))
    _hang()


def _fill_without_names() -> None:
    """Files that are open and that no folder has."""
    files = [tempfile.TemporaryFile(buffering=0) for _ in range(200)]
    for file in files:
        file.write(bytes(1 << 20))
    _hang()


def _threads_without_end() -> None:
    while True:
        threading.Thread(target=_hang, daemon=True).start()


def _ignore_signals() -> None:
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    _hang()


FAULTS = {
    "half a report": _half_a_report,
    "one byte of a report": _one_byte_of_a_report,
    "reports without end": _reports_without_end,
    "descriptors without end": _descriptors_without_end,
    "shut down": _shut_down,
    "close all": _close_all,
    "truncated status": _truncated_status,
    "status of a liar": _status_of_a_liar,
    "real-time signal": _real_time_signal,
    "fork": _fork,
    "daemon": _daemon,
    "daemon and hang": _daemon_and_hang,
    "fork without end": _fork_without_end,
    "orphans": _orphans,
    "print without end": _print_without_end,
    "print native": _print_native,
    "print": lambda: print("nonsense " * 10_000, flush=True),
    "litter": _litter,
    "hang natively": _hang_natively,
    "fill the disk": _fill_the_disk,
    "fill by one file": _fill_by_one_file,
    "fill by many files": _fill_by_many_files,
    "fill without names": _fill_without_names,
    "threads without end": _threads_without_end,
    "ignore signals": _ignore_signals,
    "scribble": _scribble,
    "hang with a child": _hang_with_a_child,
    "none": lambda: None,
    "segfault": _segfault,
    "abort": _abort,
    "exit": _exit,
    "polite exit": _polite_exit,
    "hang": _hang,
    "memory": _out_of_memory,
    "killed": _killed,
    "error": _error,
}
