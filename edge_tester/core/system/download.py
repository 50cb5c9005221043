"""Get published files over the network: resumed, checked, whole or absent."""

from __future__ import annotations

import contextlib
import http
import http.client
import logging
import sys
import tarfile
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from edge_tester.core.backends import available, backend
from edge_tester.core.errors import DatasetError
from edge_tester.core.system.files import CHUNK_BYTES, extract_data, hashed
from edge_tester.core.system.temporary import folder_beside

TIMEOUT_S = 30.0
_REDRAW_S = 0.25

_logger = logging.getLogger(__name__)


class PublishedFile(msgspec.Struct, frozen=True):
    """A file that somebody published, and how to recognize it.

    Attributes
    ----------
    name : str
        File name in the user's folder.
    urls : tuple of str
        Where it is, tried in this order.
    checksum : str
        Algorithm and hexadecimal digest, such as ``md5:5c4f...``.
    """

    name: str
    urls: tuple[str, ...]
    checksum: str


class _Unusable(Exception):
    """One source did not give the file; another one may."""


class _Ended(Exception):
    """The connection ended before the file did."""


def download(file: PublishedFile, folder: Path, needed_by: object) -> Path:
    """Return the file in this folder, downloaded unless it is there.

    What has arrived of it is kept as ``name.part`` when the connection or the
    user ends the download; the next call asks for the rest alone.

    Parameters
    ----------
    file : PublishedFile
    folder : Path
        Made if missing.
    needed_by : object
        Who asks, for messages.

    Returns
    -------
    Path
        The whole file; its checksum is the published one.

    Raises
    ------
    DatasetError
        No source gave the file; the message says what to put where by hand.
    """
    path = folder / file.name
    if path.exists():
        _require_published(path, file, needed_by)
        return path
    folder.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    reasons = []
    for url in file.urls:
        try:
            _complete(part, url)
            _require_checksum(part, file)
        except _Unusable as error:
            reasons.append(f"{url}: {error}")
            _logger.info("%s: %s", url, error)
            continue
        part.replace(path)
        return path
    raise DatasetError(
        f"{type(needed_by).__name__} could not download {file.name} ({'; '.join(reasons)}). "
        f"Call again to resume, or put the file into {folder} by hand."
    )


def unpack(archive: Path, folder: Path, names: tuple[str, ...], needed_by: object) -> None:
    """Unpack an archive into a folder; what it names there appears whole or not at all.

    Parameters
    ----------
    archive : Path
        A .tar, perhaps compressed. Only plain files and folders inside ``folder``
        are written, whatever the archive says (PEP 706, filter ``data``).
    folder : Path
    names : tuple of str
        Files and folders at the top of the archive that are wanted.
    needed_by : object
        Who asks, for messages.

    Raises
    ------
    DatasetError
        The archive is corrupt, unsafe or lacks one of the names.
    """
    owner = type(needed_by).__name__
    with folder_beside(folder / archive.name) as temporary:
        try:
            with tarfile.open(archive) as opened:
                extract_data(opened, temporary)
        except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
            raise DatasetError(f"{owner} cannot unpack {archive}: {error}") from error
        missing = [name for name in names if not (temporary / name).exists()]
        if missing:
            raise DatasetError(f"{owner}: archive {archive} does not hold {', '.join(missing)}.")
        for name in names:
            (temporary / name).replace(folder / name)


def _complete(part: Path, url: str) -> None:
    """Fetch what is missing, again while each attempt brings something."""
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            _fetch_rest(part, url, before)
            return
        except _Ended as error:
            if not part.exists() or part.stat().st_size <= before:
                raise _Unusable(str(error)) from error


def _fetch_rest(part: Path, url: str, start: int) -> None:
    with _opened(url, start) as response:
        if response.status == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            # All of it is there, or something else is; the checksum tells.
            return
        resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT
        told = response.headers.get("Content-Range", "")
        if resumed and not told.startswith(f"bytes {start}-"):
            raise _Unusable(f"asked for bytes from {start}, got {told or 'no Content-Range'}")
        # A server that does not know ranges sends everything again.
        done = start if resumed else 0
        length = response.headers.get("Content-Length")
        total = None if length is None else done + int(length)
        with part.open("ab" if resumed else "wb") as file, _progress(part, done, total) as advance:
            while chunk := _next_chunk(response):
                file.write(chunk)
                done += len(chunk)
                advance(len(chunk))
    if total is not None and done < total:
        raise _Ended(f"the connection ended after {done} of {total} bytes")


def _opened(url: str, start: int) -> Any:
    request = urllib.request.Request(url, headers={"User-Agent": "edge_tester"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if start and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return error
        with error:
            raise _Unusable(f"status {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise _Unusable(f"no answer: {getattr(error, 'reason', error)}") from error


def _next_chunk(response: Any) -> bytes:
    try:
        # What has arrived, rather than waiting for a whole chunk: less is lost.
        chunk: bytes = response.read1(CHUNK_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise _Ended(f"the connection was lost: {error}") from error
    return chunk


def _require_published(path: Path, file: PublishedFile, needed_by: object) -> None:
    found = _digest(path, file.checksum)
    if found != file.checksum:
        raise DatasetError(
            f"{type(needed_by).__name__}: {path} is not the published file: its checksum must be "
            f"{file.checksum}, got {found}. Remove it, or put the right one there."
        )


def _require_checksum(part: Path, file: PublishedFile) -> None:
    found = _digest(part, file.checksum)
    if found != file.checksum:
        part.unlink()
        raise _Unusable(f"the checksum must be {file.checksum}, got {found}; removed")


def _digest(path: Path, like: str) -> str:
    import hashlib

    algorithm = like.partition(":")[0]
    with path.open("rb", buffering=0) as file:
        # MD5 recognizes what its publishers name by it; it protects from nobody.
        found = hashed(file, hashlib.new(algorithm, usedforsecurity=False))
    return f"{algorithm}:{found.hexdigest()}"


@contextlib.contextmanager
def _progress(part: Path, done: int, total: int | None) -> Iterator[Callable[[int], None]]:
    """Draw a bar on a terminal; elsewhere stay quiet."""
    if not sys.stderr.isatty() or not available("rich"):
        yield lambda count: None
        return
    classes = backend("rich.progress", "download")
    bar = classes.Progress(
        classes.TextColumn("{task.description}"),
        classes.BarColumn(),
        classes.DownloadColumn(),
        classes.TransferSpeedColumn(),
        classes.TimeRemainingColumn(),
        console=backend("rich.console", "download").Console(stderr=True),
        auto_refresh=False,
    )
    task = bar.add_task(part.stem, total=total, completed=done)
    drawn_s = time.monotonic()

    def advance(count: int) -> None:
        nonlocal drawn_s
        bar.advance(task, count)
        if time.monotonic() - drawn_s > _REDRAW_S:
            drawn_s = time.monotonic()
            bar.refresh()

    with bar:
        try:
            yield advance
        finally:
            bar.refresh()
