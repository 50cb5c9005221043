"""End TLS in processes of their own: a socket with TLS cannot be given to a session process.

One process forks the one that does the work, and replaces it should that ever end; the agent does
the same for the first one, and keeps the listening socket, so that clients wait meanwhile. For each
client whose TLS was agreed on, the supervisor gets one end of a
pair of Unix sockets with the client's address, and the worker carries bytes between the other
end and the client. So nothing else of an agent knows of TLS.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from edge_tester.core.errors import EdgeTesterError, ListenerEndedError, OptionError
from edge_tester.core.system.processes import end_with_parent

logger = logging.getLogger(__name__)

_HANDSHAKE_LIMIT_S = 5.0
# Clients whose TLS is not agreed on yet, and all others: more than the supervisor keeps.
_GREETED_AT_ONCE, _CARRIED_AT_ONCE = 64, 128
_PIECE_BYTES = 1 << 18
_PAUSE_S = 0.5
_START_LIMIT_S = 30.0
_PACKET_BYTES = 1 << 12
_REASON_BYTES = 200
_READY, _REFUSED = b"ready", b"refused "


class TLSListener:
    """The ProcessListener of TLS: each packet is a client whose TLS was agreed on.

    Parameters
    ----------
    listener : socket
        Listening; belongs to it from now on.
    certificate : Path
        Of the target, with its key.
    authority : Path or None
        Of the clients' certificates.

    Raises
    ------
    OptionError
        A file cannot be used.
    """

    def __init__(self, listener: socket.socket, certificate: Path, authority: Path | None) -> None:
        self._listener, self._certificate, self._authority = listener, certificate, authority
        self._begin()
        self._control.settimeout(_START_LIMIT_S)
        try:
            said = self._control.recv(_PACKET_BYTES)
        except TimeoutError:
            said = b""
        if said != _READY:
            self.close()
            raise OptionError(said.decode() or "The process that ends TLS could not be started.")
        self._control.setblocking(False)

    @property
    def pids(self) -> set[int]:
        """The process that it has started."""
        return {self._process.pid}

    def _begin(self) -> None:
        """Start the process, and do not wait for it."""
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            settings = {
                "listener": self._listener.fileno(),
                "control": theirs.fileno(),
                "certificate": str(self._certificate),
                "authority": str(self._authority) if self._authority else None,
            }
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", __name__, json.dumps(settings)],
                    pass_fds=(self._listener.fileno(), theirs.fileno()),
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                )
            except BaseException:
                self._control.close()
                raise

    def renew(self) -> None:
        """Start the process again that has ended; what is watched is another descriptor then.

        Raises
        ------
        OSError
            It cannot be started.
        """
        self._control.close()
        self._process.poll()
        self._begin()
        self._control.setblocking(False)

    def fileno(self) -> int:
        """Return what becomes readable when a client has come."""
        return self._control.fileno()

    def accept(self) -> tuple[socket.socket, tuple[str, int]]:
        """Return a connection to the next client, and its address.

        Raises
        ------
        OSError
            There is none, or it was turned away, which the error tells.
        ListenerEndedError
            Nobody accepts clients any more.
        """
        try:
            content, descriptors, _, _ = socket.recv_fds(self._control, _PACKET_BYTES, 1)
        except ConnectionError:
            content, descriptors = b"", []
        if not content:
            raise ListenerEndedError("the process that ends TLS has ended")
        if not descriptors:
            # A worker that took another one's place, or why it cannot.
            if content == _READY:
                raise BlockingIOError
            if content.startswith(_REFUSED):
                raise ConnectionAbortedError(content.removeprefix(_REFUSED).decode())
            raise ListenerEndedError(f"the process that ends TLS has ended ({content.decode()})")
        host, port = json.loads(content)[:2]
        return socket.socket(fileno=descriptors[0]), (host, port)

    def reload(self) -> None:
        """Read the certificates again, for clients to come."""
        self._process.send_signal(signal.SIGHUP)

    def close(self) -> None:
        """Stop listening."""
        self._listener.close()
        self._control.close()
        self._process.terminate()
        self._process.wait()


def main(arguments: list[str]) -> int:
    """Keep one worker alive until the supervisor is gone."""
    settings = json.loads(arguments[0])
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    end_with_parent()
    worker = 0

    def forward(number: int, frame: object) -> None:
        # It may have ended a moment before.
        with contextlib.suppress(ProcessLookupError):
            if worker:
                os.kill(worker, number)
        if number == signal.SIGTERM:
            os._exit(0)

    # Ctrl-C is for the supervisor.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, forward)
    while True:
        parent = os.getpid()
        worker = os.fork()
        if worker == 0:
            end_with_parent(parent)
            for number in (signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            os._exit(_work(settings))
        _, status = os.waitpid(worker, 0)
        worker = 0
        if os.waitstatus_to_exitcode(status) == 0:
            return 0
        logger.error("the process that ends TLS has ended (%d) and is started again", status)
        time.sleep(_PAUSE_S)


def _work(settings: dict[str, Any]) -> int:
    """Greet and carry; return 0 once the supervisor is gone, or can do nothing with us."""
    # Here and not above: what only waits stays small.
    import asyncio

    from edge_tester.core.wire.tls import server_context

    authority = Path(settings["authority"]) if settings["authority"] else None
    control = socket.socket(fileno=os.dup(settings["control"]))
    listener = socket.socket(fileno=os.dup(settings["listener"]))
    try:
        context = server_context(Path(settings["certificate"]), authority)
        said = _READY
    except EdgeTesterError as error:
        said = str(error).encode()[:_PACKET_BYTES]
    try:
        control.send(said)
    except OSError:
        # The supervisor is gone, and with it whoever could use this one or another.
        return 0
    if said != _READY:
        return 0
    control.setblocking(False)
    listener.setblocking(False)
    return asyncio.run(_Greeter(context, control, listener, settings, authority).run())


class _Greeter:
    """Accepts, agrees on TLS and carries bytes, for many clients at a time."""

    def __init__(
        self,
        context: Any,
        control: socket.socket,
        listener: socket.socket,
        settings: dict[str, Any],
        authority: Path | None,
    ) -> None:
        self._context = context
        self._control = control
        self._listener = listener
        self._certificate, self._authority = Path(settings["certificate"]), authority
        # In the order of their arrival.
        self._greeted: dict[Any, None] = {}
        self._carried: set[Any] = set()

    async def run(self) -> int:
        """Work until the supervisor is gone."""
        import asyncio

        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        # It says nothing, so what comes from it is its end.
        loop.add_reader(self._control.fileno(), ended.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        accepting = loop.create_task(self._accept())
        await ended.wait()
        accepting.cancel()
        return 0

    def _reload(self) -> None:
        from edge_tester.core.wire.tls import server_context

        try:
            self._context = server_context(self._certificate, self._authority)
        except EdgeTesterError as error:
            logger.error("the old certificates stay in use: %s", error)

    async def _accept(self) -> None:
        import asyncio

        loop = asyncio.get_running_loop()
        while True:
            try:
                client, address = await loop.sock_accept(self._listener)
            except OSError as error:
                logger.warning("a client could not be accepted: %s", error)
                await asyncio.sleep(_PAUSE_S)
                continue
            task = loop.create_task(self._serve(client, address))
            self._greeted[task] = None
            task.add_done_callback(lambda task: self._greeted.pop(task, None))
            task.add_done_callback(self._carried.discard)
            if len(self._greeted) > _GREETED_AT_ONCE:
                next(iter(self._greeted)).cancel()

    async def _serve(self, client: socket.socket, address: tuple[Any, ...]) -> None:
        import asyncio
        import ssl

        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_PIECE_BYTES)
        protocol = asyncio.StreamReaderProtocol(reader)
        try:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol,
                client,
                ssl=self._context,
                ssl_handshake_timeout=_HANDSHAKE_LIMIT_S,
            )
        except (OSError, ssl.SSLError) as error:
            # For the log; a supervisor that has no time for it has others to think of.
            with contextlib.suppress(OSError):
                self._control.send(_REFUSED + f"{address[0]}: {error}".encode()[:_REASON_BYTES])
            client.close()
            return
        except asyncio.CancelledError:
            client.close()
            return
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        task = asyncio.current_task()
        self._greeted.pop(task, None)
        if len(self._carried) >= _CARRIED_AT_ONCE:
            transport.abort()
            return
        self._carried.add(task)
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                content = json.dumps(address[:2]).encode()
                socket.send_fds(self._control, [content], [theirs.fileno()])
            inner_reader, inner_writer = await asyncio.open_connection(
                sock=ours, limit=_PIECE_BYTES
            )
            await asyncio.gather(
                _carry(reader, inner_writer), _carry(inner_reader, writer, last=True)
            )
        except (OSError, asyncio.TimeoutError) as error:
            logger.info("the connection of %s: %s", address[0], error)
            ours.close()
        finally:
            transport.abort()


async def _carry(reader: Any, writer: Any, *, last: bool = False) -> None:
    """Carry bytes until one side ends; what the session ends is ended as a whole."""
    import asyncio

    try:
        while piece := await reader.read(_PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
        if not last and writer.can_write_eof():
            writer.write_eof()
    except OSError as error:
        # One of them is gone, and the other hears of it below.
        logger.debug("a client's connection: %s", error)
        last = True
    if last:
        writer.close()
        await asyncio.wait_for(writer.wait_closed(), _HANDSHAKE_LIMIT_S)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
