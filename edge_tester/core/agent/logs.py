"""Logging that nobody has to wait for: a terminal that was stopped must not stop an agent."""

from __future__ import annotations

import collections
import contextlib
import logging
import os
import sys
import threading
from collections.abc import Iterator

_WAITING_LINES = 1000
_END_LIMIT_S = 1.0


class PatientHandler(logging.Handler):
    """Writes lines to a descriptor in a thread of its own; what it cannot keep, it drops.

    Parameters
    ----------
    descriptor : int
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
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
            if len(self._lines) >= _WAITING_LINES:
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
                while line:
                    line = line[os.write(self._descriptor, line) :]
            except OSError:
                # Nobody reads any more, and there is nobody else to tell.
                return


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
    patient = PatientHandler(descriptor)
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
