"""Bytes that leave: whole buffers and files, whatever a connection takes at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import BinaryIO

from edge_tester.core.errors import ModelError, UnreachableError
from edge_tester.core.system.files import CHUNK_BYTES
from edge_tester.core.wire.connections import Connection
from edge_tester.core.wire.frames import Buffer


def write_file(
    connection: Connection,
    address: str,
    file: BinaryIO,
    count: int,
    progress: Callable[[int], None],
    seen: Callable[[bytes], None] = lambda piece: None,
) -> None:
    """Send the next ``count`` bytes of a file; ``progress`` gets the size of each piece.

    ``seen`` gets the piece itself.

    Raises
    ------
    ModelError
        The file has fewer bytes; the target would wait for the rest.
    UnreachableError
        The other side is gone.
    """
    while count:
        piece = file.read(min(count, CHUNK_BYTES))
        if not piece:
            raise ModelError(f"{file.name} became shorter while it was sent.")
        seen(piece)
        try:
            write(connection, [piece])
        except OSError as error:
            raise lost(address, error) from error
        progress(len(piece))
        count -= len(piece)


def write(connection: Connection, buffers: Sequence[Buffer], sent: int = 0) -> None:
    """Send all of these buffers but for the first ``sent`` bytes."""
    for buffer in buffers:
        view = memoryview(buffer)
        if sent >= view.nbytes:
            sent -= view.nbytes
            continue
        view, sent = view.cast("B")[sent:], 0
        while view:
            view = view[connection.sendmsg([view]) :]


def lost(address: str, error: OSError) -> UnreachableError:
    """Return what to raise when the system reports the end of a connection."""
    if isinstance(error, BlockingIOError | TimeoutError):
        return UnreachableError(f"{address} said nothing for too long.")
    return UnreachableError(f"The connection to {address} was lost ({error.strerror or error}).")
