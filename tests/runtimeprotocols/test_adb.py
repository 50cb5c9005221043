"""The Android Debug Bridge: the real program where it is installed, and no phone."""

import os
import re
import shutil
import socket
import subprocess

import pytest

from edge_tester.core.errors import LocalProtocolError, UnreachableError
from edge_tester.core.wire.payloads import Hello
from edge_tester.runtimeprotocols.adb import AdbProtocol
from edge_tester.testing import RuntimeProtocolConformance
from edge_tester.testing.runtimeprotocol import Link
from tests.agents import SampleClient, echo_model, running_agent, sample

needs_adb = pytest.mark.skipif(shutil.which("adb") is None, reason="adb is not installed")


class TestConformance(RuntimeProtocolConformance):
    cls = AdbProtocol

    @pytest.fixture
    def link(self):
        host, sides = AdbProtocol(), []

        def connect():
            target = AdbProtocol()
            ours, theirs = socket.socketpair()
            host.attach(ours)
            target.attach(theirs)
            sides.append(target)
            return target

        yield Link(host, connect)
        for side in (host, *sides):
            side.disconnect()

    # See test_without_a_device_it_is_said_what_to_do.
    test_a_target_that_does_not_answer_is_named = None


@pytest.fixture
def server(tmp_path, monkeypatch):
    """adb's own server, on a port of its own, which ends with the test."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
    monkeypatch.setenv("HOME", str(tmp_path))
    yield
    subprocess.run(["adb", "kill-server"], capture_output=True)


@needs_adb
@pytest.mark.parametrize(
    ("serial", "said"),
    [
        ("", "no device is connected: .*USB debugging.*no devices/emulators found"),
        ("R58M123ABC", "no device of this serial number.*device 'R58M123ABC' not found"),
    ],
)
def test_without_a_device_it_is_said_what_to_do(server, serial, said):
    with pytest.raises(UnreachableError, match=said) as caught:
        AdbProtocol(serial=serial).start_client()
    assert str(caught.value).startswith(f"adb://{serial}: ")


# What the real program does behind a device that the tests do not have: it forwards a port, lists
# nothing else, and forgets it. Its messages are those of the Android Debug Bridge 1.0.41.
ADB = """#!/bin/sh
echo "$@" >> "$ADB_LOG"
[ -z "$ADB_ERROR" ] || { echo "adb: error: $ADB_ERROR" >&2; exit 1; }
[ "$1" = -s ] && shift 2
case "$2" in tcp:0) echo "$ADB_PORT" ;; esac
"""


@pytest.fixture
def phone(tmp_path, monkeypatch):
    """A program in the place of adb, for whose device this machine stands."""
    (tmp_path / "adb").write_text(ADB)
    (tmp_path / "adb").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("ADB_LOG", str(tmp_path / "adb-log"))
    return tmp_path / "adb-log"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("device unauthorized.", "confirm the question on its screen"),
        ("more than one device/emulator", r"name one of them, as in adb://SERIAL"),
        ("device offline", "plug it in again"),
        ("something new", "adb failed. adb said: adb: error: something new"),
    ],
)
def test_what_adb_refuses_is_explained(phone, monkeypatch, error, said):
    monkeypatch.setenv("ADB_ERROR", error)
    with pytest.raises(UnreachableError, match=said):
        AdbProtocol().start_client()


def test_a_port_is_forwarded_and_no_longer_at_the_end(phone, monkeypatch, tmp_path):
    with running_agent(tmp_path, "--host", "127.0.0.1", "--port", "0") as agent:
        port = re.search(r"127\.0\.0\.1:(\d+)", agent.greeting)[1]
        monkeypatch.setenv("ADB_PORT", port)
        client = SampleClient(AdbProtocol(serial="R58M", port=5000))
        client.connect(Hello(client="a test"))
        client.upload_model(echo_model(tmp_path))
        assert [[4, 3, 2, 1]] == client.run_sample(sample(4, 3, 2, 1)).outputs[0].tolist()
        client.disconnect()
        client.disconnect()
    expected = ["-s R58M forward tcp:0 tcp:5000", f"-s R58M forward --remove tcp:{port}"]
    assert expected == phone.read_text().splitlines()


def test_a_port_where_nobody_listens_is_forwarded_no_longer(phone, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    monkeypatch.setenv("ADB_PORT", str(port))
    with pytest.raises(UnreachableError):
        AdbProtocol().start_client()
    assert f"forward --remove tcp:{port}" == phone.read_text().splitlines()[-1]


def test_without_adb_it_is_said_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnreachableError, match="apt install adb"):
        AdbProtocol().start_client()


def test_it_has_no_server():
    with pytest.raises(LocalProtocolError, match="on the phone, start edge-tester server"):
        AdbProtocol().start_server()
