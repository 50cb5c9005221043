"""The system's ssh: its command line, commands that run behind it, and what its errors mean."""

from __future__ import annotations

import contextlib
import os
import re
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from edge_tester.core.deploying.shell import Answer
from edge_tester.core.errors import UnreachableError
from edge_tester.core.system.text import printable
from edge_tester.core.wire.frames import Type, encode_header
from edge_tester.runtimeprotocols._child import end

# A host that answers to nothing is given up after 15 seconds; one that goes away in the middle of
# something, after three times as long. Source of the options: ssh_config(5).
_ALWAYS = ("ConnectTimeout=15", "ServerAliveInterval=15", "ServerAliveCountMax=3")
# From starting ssh until something there answers; with somebody who types a password.
_LOGIN_LIMIT_S, _ASKING_LIMIT_S = 60.0, 300.0
_ANSWER_LIMIT_S = 10.0
_LINE_LIMIT, _OUTPUT_LIMIT_BYTES = 1000, 1 << 24
# What login shells do not hand on as it is, as printf writes it, and what runs $0 written so.
_ENCODED = {ord("\\"): "\\0134", ord("\n"): "\\0012", ord("!"): "\\0041"}
_DECODE = 'eval "$(printf %b "$0")"'
_VERSION_PLACE, _CRC_BYTES = 4, 4
# What ssh says, and what helps. Source: the messages of OpenSSH (sshconnect.c, ssh.c, packet.c).
_CAUSES = (
    (
        r"Could not resolve hostname (\S+)",
        "there is no host of this name: see whether it is spelt right, is switched on and in this "
        "network, or write its number; names of your own go into ~/.ssh/config",
    ),
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED",
        "its host key is another one than before: something else answers there, or it was set up "
        "anew. Where you know why, log in once by hand (ssh {place}), which names the old key and "
        "the command that removes it",
    ),
    (
        r"Host key verification failed",
        "its host key is not the one that is known here, or none is known yet: log in once by "
        "hand (ssh {place}), and compare the fingerprint",
    ),
    (
        r"Permission denied|Too many authentication failures|no such identity",
        "it refuses this user or key: log in once by hand (ssh {place}), and let it know your "
        "key: ssh-copy-id {place}",
    ),
    (
        r"Connection refused",
        "no SSH server listens there: start it (on a Raspberry Pi: sudo raspi-config, Interface "
        "Options, SSH), or give its port as in ssh://user@host:2222",
    ),
    (
        r"timed out|No route to host|Network is unreachable",
        "it does not answer: see whether it is switched on and in this network",
    ),
)


class Words:
    """How a host is reached.

    Parameters
    ----------
    host : str
        ``host`` or ``user@host``, as ssh takes it; also an alias of its configuration.
    port : int, optional
        Without one ssh decides.
    """

    def __init__(self, host: str, port: int | None) -> None:
        self.place = host
        self._port = port

    def command(self, remote: str, further: Sequence[str] = ()) -> list[str]:
        """Return the command that runs another one there."""
        options = list(_ALWAYS)
        if not asks():
            # Nobody is there who could type a password.
            options.append("BatchMode=yes")
        port = ["-p", str(self._port)] if self._port is not None else []
        flags = [word for one in options for word in ("-o", one)]
        return ["ssh", "-T", *flags, *further, *port, "--", self.place, remote]

    def started(self, remote: str, further: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        """Start a command there, with pipes.

        Raises
        ------
        UnreachableError
            There is no ssh here.
        """
        if shutil.which("ssh") is None:
            raise UnreachableError(
                f"ssh://{self.place} needs the program ssh, which is not installed here: "
                "sudo apt install openssh-client"
            )
        # Ctrl-C is for this process, which then ends the other in order. One that may ask for a
        # password has to stay with the terminal, and ignores it.
        asking = asks()
        how: dict[str, Any] = {"start_new_session": not asking}
        if asking:
            how["preexec_fn"] = _ignore_interrupts
        pipe = subprocess.PIPE
        return subprocess.Popen(
            self.command(remote, further), stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, **how
        )

    def refusal(
        self, status: int | None, errors: Sequence[str], printed: str = ""
    ) -> UnreachableError:
        """Return what to raise when a command could not be run there, or ended too early.

        ``printed`` is the last line of its standard output: an account without a shell says
        so there.
        """
        said = [line for line in errors if line.strip()]
        none = f"no command could be run there; ssh ended with status {status} and said "
        last = said[-1] if said else none + (printed or "nothing")
        text = "\n".join(errors)
        for pattern, advice in _CAUSES:
            if re.search(pattern, text):
                line = next(line for line in said if re.search(pattern, line))
                # Not the frame of @ around a warning.
                told = line.strip("@ ")
                return UnreachableError(
                    f"ssh://{self.place}: {advice.format(place=self.place)}. ssh said: {told}"
                )
        return UnreachableError(f"ssh://{self.place}: {last}")


class SshShell:
    """A shell behind ssh; see :class:`edge_tester.core.deploying.shell.Shell`."""

    def __init__(self, words: Words) -> None:
        self._words = words

    @property
    def place(self) -> str:
        """User and host."""
        return self._words.place

    def run(
        self,
        script: str,
        arguments: Sequence[str] = (),
        content: BinaryIO | None = None,
        limit_s: float = 60.0,
    ) -> Answer:
        """Run a script there; its standard input stays open until it ends."""
        process = self._words.started(remote(script, arguments))
        errors, outputs = Errors(process), deque[bytes]()
        reader = threading.Thread(target=_gather, args=(process.stdout, outputs), daemon=True)
        reader.start()
        writer = threading.Thread(target=_send, args=(content, process.stdin), daemon=True)
        writer.start()
        try:
            status = process.wait(limit_s)
        except subprocess.TimeoutExpired as error:
            raise UnreachableError(
                f"ssh://{self.place}: a command took longer than {limit_s:g} s there."
            ) from error
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            with contextlib.suppress(OSError):
                process.stdin.close()  # type: ignore[union-attr]
        reader.join(5)
        lines = errors.lines()
        if status == 255:
            raise self._words.refusal(status, lines)
        return Answer(status, b"".join(outputs).decode(errors="replace"), "\n".join(lines))


class Staying:
    """An agent that stays on the other machine as long as ssh lives.

    Parameters
    ----------
    start : callable
        Starts it, given the socket of this machine that shall lead to it.
    socket : Path
    """

    def __init__(self, start: Callable[[Path], Child], socket: Path) -> None:
        self.socket = socket
        self._start = start
        self._child: Child | None = None

    def ensure(self) -> None:
        """Start it unless it lives."""
        if self._child is None or self._child.process.poll() is not None:
            self.close()
            self._child = self._start(self.socket)

    def show(self) -> None:
        """Show what it says."""
        if self._child is not None:
            self._child.errors.show()

    def close(self) -> None:
        """End it; may be called twice."""
        child, self._child = self._child, None
        if child is not None:
            # An agent that is told to stop says that it was.
            child.errors.hide()
            child.close()


class Errors:
    """What ssh, and what runs behind it, write to standard error.

    Kept until it is known whether they could be reached, shown as it comes from then on.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._lines = deque[str](maxlen=200)
        self._shown = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._pump, args=(process.stderr,), daemon=True)
        self._thread.start()

    def show(self) -> None:
        """Write to this process's standard error what was kept, and what comes."""
        with self._lock:
            for line in self._lines if not self._shown else ():
                print(line, file=sys.stderr, flush=True)
            self._shown = True

    def hide(self) -> None:
        """Keep again what comes."""
        with self._lock:
            self._shown = False

    def lines(self) -> list[str]:
        """Return the last lines, all of them if the process has ended."""
        self._thread.join(2)
        with self._lock:
            return list(self._lines)

    def _pump(self, stream: BinaryIO) -> None:
        with stream:
            for raw in iter(stream.readline, b""):
                # Whatever it is, it does nothing to this terminal.
                line = printable(raw.decode(errors="replace").rstrip(), _LINE_LIMIT)
                with self._lock:
                    self._lines.append(line)
                    if self._shown:
                        print(line, file=sys.stderr, flush=True)


class Child:
    """A command that runs behind ssh, and what it says.

    Parameters
    ----------
    words : Words
    remote : str
        The command.
    flags : sequence of str
        Further ones of ssh.
    """

    def __init__(self, words: Words, remote: str, flags: Sequence[str] = ()) -> None:
        self._words = words
        self.process = words.started(remote, flags)
        self.errors = Errors(self.process)

    def first_line(self, beginnings: tuple[str, ...]) -> str:
        """Return the next line that begins with one of some texts.

        What comes before was written by the user's own start files there.

        Raises
        ------
        UnreachableError
            There is none: nobody could log in, or the command ended before.
        """
        limit_s = _ASKING_LIMIT_S if asks() else _LOGIN_LIMIT_S
        try:
            found, printed = _first_line(self.process, beginnings, limit_s)
        except TimeoutError as error:
            self.process.kill()
            self.close()
            raise UnreachableError(
                f"ssh://{self._words.place}: no answer came within {limit_s:g} s."
            ) from error
        if not found:
            self.close()
            raise self._words.refusal(self.process.returncode, self.errors.lines(), printed)
        return found

    def close(self) -> None:
        """Close its standard input, and see that it ends."""
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        end(self.process)


def remote(script: str, arguments: Sequence[str]) -> str:
    """Return the text that a login shell, whichever it is, takes for a script of POSIX sh.

    In one line and without what quotes do not keep everywhere: csh ends them with the line and
    replaces ``!``, fish takes backslashes in them.
    """
    command = f"exec sh -c {shlex.join([script, *arguments])}"
    encoded = command.translate(_ENCODED)
    if encoded == command:
        return command
    return f"exec sh -c {shlex.join([_DECODE, encoded])}"


def asks() -> bool:
    """Tell whether somebody is there whom ssh can ask for a password."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def forwards(path: Path) -> bool:
    """Tell whether an agent answers at a forwarded socket; a server may forbid to forward.

    ssh takes every connection, and ends those that the other side refuses. So something is asked
    that any agent answers at once: the HELLO of a version that there is not (docs/wire.rst).
    """
    header = encode_header(Type.HELLO, 0, 0, 0)
    fields = header[:_VERSION_PLACE] + b"\0" + header[_VERSION_PLACE + 1 : -_CRC_BYTES]
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_ANSWER_LIMIT_S)
        try:
            probe.connect(str(path))
            probe.sendall(fields + zlib.crc32(fields).to_bytes(_CRC_BYTES, "big"))
            return bool(probe.recv(1))
        except OSError:
            return False


def _first_line(
    process: subprocess.Popen[bytes], beginnings: tuple[str, ...], limit_s: float
) -> tuple[str, str]:
    """Return the next line that begins with one of some texts, and the last one before it.

    The former is empty where the end comes.
    """
    end_s = time.monotonic() + limit_s
    descriptor = process.stdout.fileno()  # type: ignore[union-attr]
    poll, line, last = select.poll(), b"", ""
    poll.register(descriptor, select.POLLIN)
    while poll.poll(max(0, 1000 * (end_s - time.monotonic()))):
        # One by one: what follows the line is for whoever reads on.
        piece = os.read(descriptor, 1)
        if not piece:
            return "", printable(line.decode(errors="replace"), _LINE_LIMIT).strip() or last
        if piece != b"\n":
            line += piece
            continue
        if (text := line.decode(errors="replace").rstrip("\r")).startswith(beginnings):
            return text, last
        last = printable(text, _LINE_LIMIT).strip() or last
        line = b""
    raise TimeoutError


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _gather(stream: BinaryIO, pieces: deque[bytes]) -> None:
    size_bytes = 0
    with stream:
        while piece := stream.read(1 << 16):
            size_bytes += len(piece)
            # What a board says without end is read, so that it goes on, and not kept.
            if size_bytes <= _OUTPUT_LIMIT_BYTES:
                pieces.append(piece)


def _send(content: BinaryIO | None, stream: BinaryIO) -> None:
    # Whoever ends early has a status that tells why.
    with contextlib.suppress(OSError, ValueError):
        while content is not None and (piece := content.read(1 << 18)):
            view = memoryview(piece)
            while view:
                view = view[stream.write(view) :]
