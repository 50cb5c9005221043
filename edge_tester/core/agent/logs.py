"""Logging that nobody has to wait for: a terminal that was stopped must not stop an agent."""

from __future__ import annotations

import collections
import contextlib
import datetime
import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from logging.handlers import RotatingFileHandler
from pathlib import Path

from edge_tester.core.errors import OptionError

_WAITING_LINES = 1000
_END_LIMIT_S = 1.0
# Full log files that are kept beside the one that is written.
_OLDER = 3
_WITH_TIME = "%(asctime)s %(levelname)s %(message)s"


class PatientHandler(logging.Handler):
    """Writes lines in a thread of its own; what it cannot keep, it drops.

    Parameters
    ----------
    write : callable
        Gets each line, and may wait; after an OSError it gets no more.
    """

    def __init__(self, write: Callable[[bytes], None]) -> None:
        super().__init__()
        self._write_line = write
        self._lines: collections.deque[bytes] = collections.deque()
        self._dropped = 0
        self._changed = threading.Condition()
        self._ending = False
        # A daemon: it may wait for ever for somebody to read.
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Put a line where the thread finds it."""
        line = f"{self.format(record)}\n".encode(errors="replace")
        with self._changed:
            # That some were dropped is a line too.
            if len(self._lines) + bool(self._dropped) >= _WAITING_LINES:
                self._dropped += 1
                return
            if self._dropped:
                self._lines.append(f"WARNING: {self._dropped} lines were dropped\n".encode())
                self._dropped = 0
            self._lines.append(line)
            self._changed.notify()

    def finish(self) -> None:
        """Give what waits a moment to be written, and end."""
        with self._changed:
            self._ending = True
            self._changed.notify()
        self._thread.join(_END_LIMIT_S)

    def _write(self) -> None:
        while True:
            with self._changed:
                while not self._lines:
                    if self._ending:
                        return
                    self._changed.wait()
                line = self._lines.popleft()
            try:
                self._write_line(line)
            except OSError:
                # Nobody reads any more, and there is nobody else to tell.
                return


def writer_to(descriptor: int) -> Callable[[bytes], None]:
    """Return what writes whole lines to a descriptor."""

    def write(line: bytes) -> None:
        while line:
            line = line[os.write(descriptor, line) :]

    return write


class _File(RotatingFileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Let the error be that of whoever writes, instead of printing it."""
        raise


class JsonFormatter(logging.Formatter):
    """One JSON object per line, for programs that collect logs."""

    def format(self, record: logging.LogRecord) -> str:
        """Return time (ISO 8601, UTC), level, logger, process and message."""
        when = datetime.datetime.fromtimestamp(record.created, datetime.timezone.utc)
        found = {
            "time": when.isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
        }
        if record.exc_info:
            found["traceback"] = self.formatException(record.exc_info)
        return json.dumps(found)


@contextlib.contextmanager
def file_logging(path: Path, *, as_json: bool, limit_bytes: int) -> Iterator[None]:
    """Write lines of level INFO and above to a file too; of full ones the last three are kept.

    Raises
    ------
    OptionError
        The file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = _File(path, maxBytes=limit_bytes, backupCount=_OLDER, delay=False)
    except OSError as error:
        raise OptionError(f"The log {path} cannot be written: {error.strerror}.") from error

    def write(line: bytes) -> None:
        text = line.decode(errors="replace").removesuffix("\n")
        # Where the disk is full, a later line may fit again.
        with contextlib.suppress(OSError):
            file.emit(logging.makeLogRecord({"msg": text}))

    handler = PatientHandler(write)
    handler.setFormatter(JsonFormatter() if as_json else logging.Formatter(_WITH_TIME))
    root, own = logging.getLogger(), logging.getLogger("edge_tester")
    # A file has what happens, whatever little a terminal is to show.
    before = own.level
    levels = [(other, other.level) for other in root.handlers]
    for other, level in levels:
        other.setLevel(max(level, own.getEffectiveLevel()))
    own.setLevel(min(own.getEffectiveLevel(), logging.INFO))
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        own.setLevel(before)
        for other, level in levels:
            other.setLevel(level)
        handler.finish()
        file.close()


@contextlib.contextmanager
def patient_logging() -> Iterator[None]:
    """Let handlers that write to standard error do so from a thread, for a time."""
    root = logging.getLogger()
    impatient = [
        handler
        for handler in root.handlers
        if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stderr
    ]
    try:
        descriptor = sys.stderr.fileno()
    except (OSError, ValueError, AttributeError):
        # It is no file: a test or a notebook collects what is said.
        impatient = []
    if not impatient:
        yield
        return
    patient = PatientHandler(writer_to(descriptor))
    patient.setFormatter(impatient[0].formatter)
    patient.setLevel(impatient[0].level)
    for handler in impatient:
        root.removeHandler(handler)
    root.addHandler(patient)
    try:
        yield
    finally:
        root.removeHandler(patient)
        for handler in impatient:
            root.addHandler(handler)
        patient.finish()
