"""Who keeps the agent's models for its sessions: no session can reach what others brought.

A session asks over a socket of its own: what is there of a model, a descriptor to write the
rest to, and to keep it then. It does so before its first model is loaded, while all of its code is
ours, and closes the socket right before that. So whatever a model does, it can neither read,
change nor remove another one, and what is kept is what was checked.

The file of the session's own model gets a second name in a folder that the session can only read.

Requests are lines of JSON; so are answers, of which one may come with a descriptor.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import selectors
import socket
import threading
from collections.abc import Collection
from pathlib import Path

import msgspec

from edge_tester.core.agent.shelf import Shelf, put

logger = logging.getLogger(__name__)

_LINE_BYTES = 4096
_CLOSE_LIMIT_S = 3.0
_SHA256 = re.compile("[0-9a-f]{64}")


class Request(msgspec.Struct, frozen=True):
    """What a session asks for.

    Attributes
    ----------
    what : str
        ``stored_bytes``, ``open``, ``keep`` or ``forget``.
    sha256 : str
    size_bytes, offset : int
        Of ``open``; ``stored_bytes`` has a size alone.
    place : str
        Of ``keep``: where the target's owner wants the model too; empty for nowhere.
    """

    what: str
    sha256: str
    size_bytes: int = 0
    offset: int = 0
    place: str = ""


class Answer(msgspec.Struct, frozen=True):
    """What comes of it: a number, or the number and the text of an error of the system."""

    number: int = 0
    error: int = 0
    reason: str = ""


class Storekeeper:
    """The agent's side, in a thread: a slow disk holds nobody up but who asked.

    Parameters
    ----------
    shelf : Shelf
    places : collection of str
        Where the target's owner wants models too.
    """

    def __init__(self, shelf: Shelf, places: Collection[str] = ()) -> None:
        self._shelf = shelf
        self._places = frozenset(places)
        self._selector = selectors.DefaultSelector()
        self._woken, self._wake = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._ending = False
        self._asking: dict[socket.socket, str] = {}
        self._thread = threading.Thread(target=self._serve, name="store", daemon=True)
        self._thread.start()

    def open(self, models: Path) -> socket.socket:
        """Return a session's end of a new connection.

        Parameters
        ----------
        models : Path
            Folder where its models are to appear.
        """
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        asking = _Asking(ours, models)
        self._selector.register(ours, selectors.EVENT_READ, asking)
        # What waits already does not see what is new, everywhere.
        self._wake.send(b"+")
        return theirs

    def close(self) -> None:
        """End the thread; sessions are gone by then."""
        self._ending = True
        self._wake.send(b"-")
        self._thread.join(_CLOSE_LIMIT_S)
        self._woken.close()
        self._wake.close()

    def _serve(self) -> None:
        try:
            self._shelf.tidy()
        except OSError as error:
            logger.warning("the store cannot be tidied up: %s", error)
        while not self._ending:
            for key, _ in self._selector.select():
                if key.data is None:
                    self._woken.recv(64)
                elif not self._answered(key.data):
                    self._selector.unregister(key.fileobj)
                    self._asking.pop(key.data.connection, None)
                    key.data.connection.close()
        for key in list(self._selector.get_map().values()):
            if key.data is not None:
                key.data.connection.close()
        self._selector.close()

    def _answered(self, asking: _Asking) -> bool:
        """Answer what has come; tell whether more may come."""
        descriptor: int | None = None
        try:
            line = asking.line()
            if line is None:
                return True
            request = msgspec.json.decode(line, type=Request)
            self._asking[asking.connection] = request.sha256
            self._shelf.in_use = self._asking.values()
            try:
                answer, descriptor = self._answer(request, asking)
            except OSError as error:
                logger.warning("the store: %s", error)
                answer = Answer(error=error.errno or errno.EIO, reason=error.strerror or str(error))
            descriptors = [] if descriptor is None else [descriptor]
            socket.send_fds(asking.connection, [msgspec.json.encode(answer) + b"\n"], descriptors)
        except (EOFError, OSError, msgspec.DecodeError, ValueError):
            # It has left, which is what each does before its model is loaded.
            return False
        finally:
            if descriptor is not None:
                os.close(descriptor)
        return True

    def _answer(self, request: Request, asking: _Asking) -> tuple[Answer, int | None]:
        sha256, shelf = request.sha256, self._shelf
        if not _SHA256.fullmatch(sha256) or (request.place and request.place not in self._places):
            raise ValueError("no session of ours asks for that")
        if request.what == "stored_bytes":
            return Answer(shelf.stored_bytes(sha256, request.size_bytes)), None
        if request.what == "open":
            shared = list(self._asking.values()).count(sha256) > 1
            return Answer(), shelf.open(sha256, request.size_bytes, request.offset, shared=shared)
        if request.what == "keep":
            kept = shelf.keep(sha256, asking.models / sha256)
            # The session may be another user's; nobody else gets into its folder.
            kept.chmod(0o644)
            if request.place:
                put(kept, Path(request.place))
        else:
            shelf.forget(sha256)
        return Answer(), None


class _Asking:
    """A session that may ask, and the beginning of what it asks for."""

    def __init__(self, connection: socket.socket, models: Path) -> None:
        self.connection, self.models = connection, models
        self._received = bytearray()

    def line(self) -> bytes | None:
        """Return the next request, None as long as it is not here as a whole."""
        piece = self.connection.recv(_LINE_BYTES)
        self._received += piece
        if not piece or len(self._received) > _LINE_BYTES:
            raise EOFError
        line, end, rest = self._received.partition(b"\n")
        if not end:
            return None
        self._received = rest
        return bytes(line)


class KeptElsewhere:
    """The session's side: what a :class:`Shelf` does, done by the agent.

    Parameters
    ----------
    connection : socket
    own : Path
        Folder of the session, in which a model appears under the name that its runtime expects.
    models : Path
        Folder where the agent puts it.
    """

    def __init__(self, connection: socket.socket, own: Path, models: Path) -> None:
        self._connection = connection
        self._own, self._models = own, models

    def stored_bytes(self, sha256: str, size_bytes: int) -> int:
        """Ask how many bytes of a model are there."""
        return self._ask(Request("stored_bytes", sha256, size_bytes))[0]

    def open(self, sha256: str, size_bytes: int, offset: int) -> int:
        """Ask for a descriptor of what is there of a model."""
        return self._ask(Request("open", sha256, size_bytes, offset))[1][0]

    def keep(self, sha256: str, place: Path) -> Path:
        """Have a model kept; return its name in the session's own folder."""
        elsewhere = place.parent != self._own
        self._ask(Request("keep", sha256, place=str(place) if elsewhere else ""))
        path = self._own / place.name
        path.unlink(missing_ok=True)
        path.symlink_to(self._models / sha256)
        return path

    def forget(self, sha256: str) -> None:
        """Have what is there of a model removed."""
        self._ask(Request("forget", sha256))

    def left(self) -> Shelf:
        """Ask for nothing any more; return where later models of this session are kept."""
        self._connection.close()
        return _OwnShelf(self._own, self._models)

    def _ask(self, request: Request) -> tuple[int, list[int]]:
        self._connection.sendall(msgspec.json.encode(request) + b"\n")
        received, descriptors = b"", list[int]()
        while not received.endswith(b"\n"):
            piece, found, _, _ = socket.recv_fds(self._connection, _LINE_BYTES, 1)
            if not piece:
                raise OSError(errno.EPIPE, "the agent keeps no models any more")
            received += piece
            descriptors += found
        answer = msgspec.json.decode(received, type=Answer)
        if answer.error:
            raise OSError(answer.error, answer.reason)
        return answer.number, descriptors


class _OwnShelf(Shelf):
    """Keeps models in a session's own folder, under whatever name the owner wanted them.

    The first one, which the agent has, is there too.
    """

    def __init__(self, own: Path, models: Path) -> None:
        super().__init__(own / "store")
        self._own, self._models = own, models

    def stored_bytes(self, sha256: str, size_bytes: int) -> int:
        """Return how many bytes of a model are here, from its first on."""
        if (first := self._models / sha256).exists():
            return min(first.stat().st_size, size_bytes)
        return super().stored_bytes(sha256, size_bytes)

    def open(self, sha256: str, size_bytes: int, offset: int, *, shared: bool = False) -> int:
        """Return a descriptor of what is here of a model, with ``offset`` bytes."""
        if offset == size_bytes and (self._models / sha256).exists():
            return os.open(self._models / sha256, os.O_RDONLY | os.O_CLOEXEC)
        return super().open(sha256, size_bytes, offset, shared=shared)

    def keep(self, sha256: str, place: Path) -> Path:
        """Let a model appear in the session's folder; elsewhere it must not write any more."""
        if place.parent != self._own:
            logger.warning("%s keeps the first model of a session; this is a later one", place)
        path = self._own / place.name
        if not self._whole(sha256).exists() and not self._part(sha256).exists():
            path.unlink(missing_ok=True)
            path.symlink_to(self._models / sha256)
            return path
        return super().keep(sha256, path)

    def _mark(self, whole: Path) -> None:
        """Note nothing: no session may change the time of a file, and this goes with it."""
