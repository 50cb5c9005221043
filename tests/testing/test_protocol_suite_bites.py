"""The suite of runtime protocols rejects protocols that are bad on purpose, each in one way."""

import contextlib
import inspect

import pytest

from edge_tester.core.errors import EdgeTesterError
from edge_tester.core.wire.writing import write
from edge_tester.runtimeprotocols.network import NetworkProtocol
from edge_tester.testing import RuntimeProtocolConformance


class BadConnection:
    """A socket in whose way something stands."""

    def __init__(self, connection):
        self.connection = connection

    def __getattr__(self, name):
        return getattr(self.connection, name)


class Hasty(BadConnection):
    """Forgets what the kernel does not take at once."""

    def sendmsg(self, buffers):
        self.connection.setblocking(False)
        self.connection.sendmsg(buffers)
        self.connection.setblocking(True)
        return sum(memoryview(buffer).nbytes for buffer in buffers)


class Reversing(BadConnection):
    """Sends the last buffer first."""

    def sendmsg(self, buffers):
        return self.connection.sendmsg(list(reversed(buffers)))


class Deaf(BadConnection):
    """Does not notice that nobody listens any more."""

    def sendmsg(self, buffers):
        with contextlib.suppress(OSError):
            self.connection.sendmsg(buffers)
        return sum(memoryview(buffer).nbytes for buffer in buffers)


class HastyProtocol(NetworkProtocol):
    def attach(self, connection):
        super().attach(connection)
        self.connection = Hasty(self.connection)


class ReversingProtocol(NetworkProtocol):
    def attach(self, connection):
        super().attach(connection)
        self.connection = Reversing(self.connection)


class DeafProtocol(NetworkProtocol):
    def attach(self, connection):
        super().attach(connection)
        self.connection = Deaf(self.connection)


class EndlessProtocol(NetworkProtocol):
    """Sends the whole file, however much was announced."""

    def send_file(self, file, count, progress):
        content = file.read()
        write(self.connection, [content])
        progress(len(content))


class CountlessProtocol(NetworkProtocol):
    """Says nothing of its progress."""

    def send_file(self, file, count, progress):
        super().send_file(file, count, lambda size: None)


class ProtocolSuite(RuntimeProtocolConformance):
    cls = NetworkProtocol
    options = {"port": 0}
    largest_bytes = 8_000_000
    time_limit_s = 2.0


def check_protocol(protocol, name, **values):
    suite = type("Chosen", (ProtocolSuite,), {"cls": protocol})()
    with suite.linked(suite.options) as link:
        getattr(suite, name)(link, **values)


@pytest.mark.parametrize(
    ("protocol", "name"),
    [
        (HastyProtocol, "test_messages_arrive_whole"),
        (ReversingProtocol, "test_order_is_kept"),
        (ReversingProtocol, "test_sends_buffers_of_all_kinds"),
        (DeafProtocol, "test_sending_to_nobody_is_refused"),
        (EndlessProtocol, "test_sends_files"),
        (EndlessProtocol, "test_a_file_that_became_shorter_is_refused"),
        (CountlessProtocol, "test_sends_files"),
    ],
)
def test_bad_protocol_is_rejected(protocol, name, tmp_path):
    wanted = inspect.signature(getattr(ProtocolSuite, name)).parameters
    offered = {"tmp_path": tmp_path, "leaving": "target"}
    values = {key: value for key, value in offered.items() if key in wanted}
    check_protocol(NetworkProtocol, name, **values)
    with pytest.raises((AssertionError, EdgeTesterError, pytest.fail.Exception)):
        check_protocol(protocol, name, **values)
