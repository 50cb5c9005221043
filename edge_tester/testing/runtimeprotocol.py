"""The conformance suite of runtime protocols."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytest

from edge_tester.core.errors import LocalProtocolError, ModelError, UnreachableError
from edge_tester.core.runtimeprotocol import RuntimeProtocol
from edge_tester.core.wire.frames import Flag, Type, encode_header
from edge_tester.core.wire.writing import write
from edge_tester.testing.plugin import PluginConformance

_LIMITS = {Type.DATA: 1 << 40}


class Link(NamedTuple):
    """The host's side of a link, and what connects it.

    Attributes
    ----------
    host : RuntimeProtocol
        Not connected.
    connect : callable
        Connects ``host`` and returns the target's side; may be called again after
        both sides have disconnected.
    """

    host: RuntimeProtocol
    connect: Callable[[], RuntimeProtocol]


class RuntimeProtocolConformance(PluginConformance):
    """A subclass must name the protocol and the options that its server starts with.

    A protocol without a server, whose two sides find each other in another way,
    gives its own fixture ``link``. The class attributes are the only reasons to
    skip a check.
    """

    cls: ClassVar[type[RuntimeProtocol]]
    largest_bytes: ClassVar[int] = 10_000_000
    """Size of the largest message to try; less for slow links."""
    time_limit_s: ClassVar[float] = 30.0
    """Time in which the largest message must have arrived."""

    @pytest.fixture
    def server_options(self) -> Mapping[str, Any]:
        """Return the options of the server; a client takes what the server then has."""
        return self.options

    @pytest.fixture
    def link(self, server_options: Mapping[str, Any]) -> Iterator[Link]:
        """Return a link to a server that listens."""
        with self.linked(server_options) as link:
            yield link

    @contextlib.contextmanager
    def linked(self, server_options: Mapping[str, Any]) -> Iterator[Link]:
        """Start a server, give a link to it, and close everything at the end."""
        server = self.cls.from_options(server_options)
        listener = server.start_server()
        host = self.cls.from_options(server.to_options())
        sides = [host]

        def connect() -> RuntimeProtocol:
            host.start_client()
            connection, _ = listener.accept()
            target = self.cls.from_options(server.to_options())
            target.attach(connection)
            sides.append(target)
            return target

        try:
            yield Link(host, connect)
        finally:
            for side in sides:
                side.disconnect()
            listener.close()

    def test_importing_loads_no_numpy(self, tmp_path: Path) -> None:
        """The target's supervisor listens with it and must stay small."""
        script = "import importlib, sys; importlib.import_module(sys.argv[1])\n"
        assert [] == self.bare_python(script + "if 'numpy' in sys.modules: print(1)", tmp_path)

    def test_messages_arrive_whole(self, link: Link) -> None:
        """Empty ones, those of one byte and large ones, in both directions."""
        target = link.connect()
        generator = np.random.default_rng(0)
        for size in (0, 1, 23, 24, 25, 1 << 16, (1 << 16) + 1, self.largest_bytes):
            content = generator.bytes(size)
            assert [content] == self._carried(link.host, target, [content])
            assert [content] == self._carried(target, link.host, [content])

    def test_order_is_kept(self, link: Link) -> None:
        """Messages arrive in the order in which they were sent."""
        target = link.connect()
        sizes = np.random.default_rng(0).integers(0, 20_000, 200)
        contents = [bytes([index]) * size for index, size in enumerate(sizes)]
        assert contents == self._carried(link.host, target, contents)

    def test_sends_buffers_of_all_kinds(self, link: Link) -> None:
        """A payload may be bytes, views and arrays of any shape."""
        target = link.connect()
        array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
        buffers = [b"abc", array.data, np.array([[1.5]], np.float32), b"", array[:0]]

        def send() -> None:
            link.host.open_channel({}).send(Type.DATA, 0, 0, buffers)

        expected = b"abc" + array.tobytes() + np.float32(1.5).tobytes()
        expected = encode_header(Type.DATA, 0, 0, len(expected)) + expected
        assert expected == self._received(send, target, len(expected))

    def test_what_was_sent_may_be_changed(self, link: Link) -> None:
        """The next sample goes into the same array."""
        target = link.connect()
        array = np.ones(1000, np.uint8)

        def send() -> None:
            write(link.host.connection, [array])
            array[:] = 2

        assert bytes([1]) * 1000 == self._received(send, target, 1000)

    @pytest.mark.parametrize("leaving", ["host", "target"])
    def test_an_end_is_noticed(self, link: Link, leaving: str) -> None:
        """What the other side said before it left is heard; then comes the end."""
        target = link.connect()
        leaver, stayer = (link.host, target) if leaving == "host" else (target, link.host)
        leaver.open_channel({}).send(Type.DATA, 0, 7, [b"farewell"])
        leaver.disconnect()
        heard = stayer.open_channel(_LIMITS)
        (messages,) = self._done([lambda: [heard.receive(), heard.receive()]])
        assert messages[0] is not None
        assert b"farewell" == bytes(messages[0].payload)
        assert messages[1] is None

    def test_an_end_within_a_message_is_an_error(self, link: Link) -> None:
        """Half a message is none."""
        target = link.connect()
        write(link.host.connection, [encode_header(Type.DATA, 0, 0, 100), b"half"])
        link.host.disconnect()
        with pytest.raises(UnreachableError):
            self._done([target.open_channel(_LIMITS).receive])

    @pytest.mark.parametrize("leaving", ["host", "target"])
    def test_sending_to_nobody_is_refused(self, link: Link, leaving: str) -> None:
        """It may take a moment until the link knows, but not for ever."""
        target = link.connect()
        leaver, stayer = (link.host, target) if leaving == "host" else (target, link.host)
        leaver.disconnect()

        def send() -> None:
            channel, end_s = stayer.open_channel({}), time.monotonic() + self.time_limit_s / 2
            while time.monotonic() < end_s:
                channel.send(Type.DATA, 0, 0, [bytes(1 << 16)])

        with pytest.raises(UnreachableError):
            self._done([send])

    def test_disconnecting_is_idempotent(self, link: Link) -> None:
        """Whoever cleans up need not know how far it came."""
        link.host.disconnect()
        target = link.connect()
        for side in (link.host, target) * 2:
            side.disconnect()

    def test_connects_again(self, link: Link) -> None:
        """The same instance serves for the next connection, and nothing is left of the first."""
        for content in (b"first", b"second"):
            target = link.connect()
            assert [content] == self._carried(link.host, target, [content])
            write(link.host.connection, [b"unread"])
            link.host.disconnect()
            target.disconnect()

    def test_a_target_that_does_not_answer_is_named(
        self, server_options: Mapping[str, Any]
    ) -> None:
        """A user who forgot to start the agent learns what to start."""
        if self.cls.in_process:
            with pytest.raises(LocalProtocolError):
                self.cls.from_options(server_options).start_server()
            return
        server = self.cls.from_options(server_options)
        server.start_server().close()
        host = self.cls.from_options(server.to_options())
        with pytest.raises(UnreachableError, match="edge-tester server") as caught:
            host.start_client()
        assert host.address in str(caught.value)

    def test_sends_files(self, link: Link, tmp_path: Path) -> None:
        """As many bytes as were announced, and progress that adds up to them."""
        target, content = link.connect(), np.random.default_rng(1).bytes(self.largest_bytes)
        path, progress = tmp_path / "model", list[int]()
        path.write_bytes(content)
        for count in (0, 1, len(content) // 2, len(content)):
            progress.clear()

            def send(count: int = count) -> None:
                with path.open("rb") as file:
                    link.host.send_file(file, count, progress.append)

            assert content[:count] == self._received(send, target, count)
            assert count == sum(progress)

    def test_a_file_that_became_shorter_is_refused(self, link: Link, tmp_path: Path) -> None:
        """The other side would wait for the rest for ever."""
        link.connect()
        path = tmp_path / "model"
        path.write_bytes(b"short")
        with path.open("rb") as file, pytest.raises(ModelError, match="shorter"):
            link.host.send_file(file, 1000, lambda count: None)

    def _carried(
        self, sender: RuntimeProtocol, receiver: RuntimeProtocol, contents: Sequence[bytes]
    ) -> list[bytes]:
        """Send contents as messages, in two flights, and return what arrives."""
        outgoing, incoming = sender.open_channel({}), receiver.open_channel(_LIMITS)
        last = (len(contents) // 2, len(contents) - 1)

        def send() -> None:
            for index, content in enumerate(contents):
                outgoing.send(Type.DATA, 0 if index in last else Flag.MORE, index, [content])

        def receive() -> list[bytes]:
            found = []
            for index in range(len(contents)):
                message = incoming.receive()
                assert message is not None
                assert index == message.sequence
                found.append(bytes(message.payload))
            return found

        return self._done([send, receive])[1]  # type: ignore[no-any-return]

    def _received(
        self, send: Callable[[], None], receiver: RuntimeProtocol, size_bytes: int
    ) -> bytes:
        """Send, and return so many bytes of what arrives."""

        def receive() -> bytes:
            content, space = bytearray(), memoryview(bytearray(1 << 16))
            while len(content) < size_bytes:
                count = receiver.connection.recv_into(space[: size_bytes - len(content)])
                assert count > 0
                content += space[:count]
            return bytes(content)

        return self._done([send, receive])[1]  # type: ignore[no-any-return]

    def _done(self, works: Sequence[Callable[[], Any]]) -> list[Any]:
        """Do works at the same time, in one process one after another; return their results."""
        if self.cls.in_process:
            return [work() for work in works]
        results: list[Any] = [None] * len(works)
        errors: list[BaseException] = []

        def do(index: int) -> None:
            try:
                results[index] = works[index]()
            # Whatever goes wrong belongs to the thread of the test.
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=do, args=(i,), daemon=True) for i in range(len(works))]
        for thread in threads:
            thread.start()
        end_s = time.monotonic() + self.time_limit_s
        while any(thread.is_alive() for thread in threads) and not errors:
            if time.monotonic() > end_s:
                pytest.fail(f"nothing more moved within {self.time_limit_s:g} s")
            threads[0 if threads[0].is_alive() else -1].join(0.01)
        if errors:
            raise errors[0]
        return results
