"""Serial lines: real agents and clients on both ends of a cable that harms what it carries."""

import hashlib
import os
import select
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from edge_tester.core.errors import OptionError, UnreachableError
from edge_tester.core.wire.payloads import Hello
from edge_tester.core.wire.seriallink import LOST_S
from edge_tester.core.wire.serialpackets import Kind, Packet, Splitter, encode
from edge_tester.runtimeprotocols.serial import SerialProtocol
from edge_tester.testing import RuntimeProtocolConformance
from edge_tester.testing.runtimeprotocol import Link
from tests.agents import PROJECT, SERVER, SampleClient, echo_model, sample, wait_until
from tests.cables import Cable

pytest.importorskip("serial")

NOISE = {"flipped": 2e-4, "lost": 1e-4, "doubled": 1e-4, "inserted": 1e-4}


class TestConformance(RuntimeProtocolConformance):
    cls = SerialProtocol
    largest_bytes = 1_000_000

    @pytest.fixture
    def cable(self):
        with Cable() as cable:
            yield cable

    @pytest.fixture
    def server_options(self, cable):
        return {"serial_port": cable.devices[1], "baud": 3_000_000}

    @pytest.fixture
    def link(self, cable, server_options):
        server = SerialProtocol.from_options(server_options)
        listener = server.start_server()
        host = SerialProtocol(serial_port=cable.devices[0], baud=3_000_000)
        sides = [host]

        def connect():
            host.start_client()
            target = server.another()
            target.attach(listener.accept()[0])
            sides.append(target)
            return target

        yield Link(host, connect)
        for side in sides:
            side.disconnect()
        listener.close()


class TestConformanceOverNoise(TestConformance):
    """The same where one byte in two thousand is harmed."""

    largest_bytes = 200_000

    @pytest.fixture
    def cable(self):
        with Cable(3, **NOISE) as cable:
            yield cable


class SerialAgent:
    """An agent in a process of its own at the end of a cable."""

    def __init__(self, cable, baud, *words, device=None):
        self.baud, self.device = baud, device
        self.plug(cable)
        options = ("--serial-port", str(device or cable.devices[1]), "--baud", str(baud))
        command = [*SERVER, "serial", "echo", *options, *words]
        self.process = subprocess.Popen(
            command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def plug(self, cable):
        self.cable = cable
        if self.device is not None:
            self.device.unlink(missing_ok=True)
            self.device.symlink_to(cable.devices[1])

    def __enter__(self):
        assert b"agent on" in self.process.stdout.readline(), self.process.stderr.read()
        return self

    def __exit__(self, *problem):
        self.process.terminate()
        assert 0 == self.process.wait(30)
        self.process.stdout.close()
        self.process.stderr.close()

    def connect(self, options=None, **hello):
        options = {"serial_port": self.cable.devices[0], "baud": self.baud, **(options or {})}
        client = SampleClient(SerialProtocol(**options))
        client.connect(Hello(client="a test", **hello))
        return client


def assert_serves(agent, folder, size=4):
    client = agent.connect(wait=True)
    client.upload_model(echo_model(folder, size))
    values = np.arange(size, dtype=np.uint8)[np.newaxis]
    assert values.tolist() == client.run_sample([values]).outputs[0].tolist()
    client.disconnect()


def test_client_after_client_over_a_clean_line(tmp_path):
    with Cable() as cable, SerialAgent(cable, 3_000_000) as agent:
        for size in (4, 100_000, 1):
            assert_serves(agent, tmp_path, size)
        assert 0 == cable.harmed


@pytest.mark.parametrize("seed", [1, 2])
def test_client_after_client_over_a_noisy_line(tmp_path, seed):
    with Cable(seed, **NOISE) as cable, SerialAgent(cable, 3_000_000) as agent:
        for size in (4, 50_000):
            assert_serves(agent, tmp_path, size)
        assert cable.harmed > 10


def test_the_speed_of_115200_baud(tmp_path):
    """4 KB to the target and back take 0.36 s each; nothing here waits for more than the line."""
    with Cable(baud=115_200) as cable, SerialAgent(cable, 115_200) as agent:
        assert_serves(agent, tmp_path, 4096)


def test_a_cable_that_is_pulled_for_a_second(tmp_path):
    with Cable(baud=921_600) as cable, SerialAgent(cable, 921_600) as agent:
        client = agent.connect()
        client.upload_model(echo_model(tmp_path, 100_000))
        pull = threading.Timer(0.3, lambda: setattr(cable, "pulled", True))
        plug = threading.Timer(1.3, lambda: setattr(cable, "pulled", False))
        pull.start()
        plug.start()
        values = np.frombuffer(hashlib.shake_128(b"x").digest(100_000), np.uint8)[np.newaxis]
        assert values.tolist() == client.run_sample([values]).outputs[0].tolist()
        plug.join()
        assert [[7] * 100_000] == client.run_sample([np.full((1, 100_000), 7, np.uint8)]).outputs[
            0
        ].tolist()
        client.disconnect()


def test_an_adapter_that_is_put_in_again(tmp_path):
    """It has the same name, and is another device."""
    adapter = tmp_path / "ttyUSB0"
    with Cable() as first, SerialAgent(first, 3_000_000, device=adapter) as agent:
        assert_serves(agent, tmp_path)
        client = agent.connect()
        client.upload_model(echo_model(tmp_path))
        first.unplug()
        with pytest.raises(UnreachableError):
            client.run_sample(sample())
        client.disconnect()
        time.sleep(1)
        with Cable() as second:
            agent.plug(second)
            wait_until(lambda: serves(agent, tmp_path), 20)


def serves(agent, folder) -> bool:
    try:
        assert_serves(agent, folder)
    except UnreachableError:
        return False
    return True


def test_a_token_and_codes_over_a_serial_line(tmp_path):
    """Where the cable leads elsewhere than it should, too."""
    token = tmp_path / "token"
    token.touch(0o600)
    token.write_text("0123456789abcdef" * 2)
    words = ("--token-file", str(token), "--mac")
    with Cable(5, **NOISE) as cable, SerialAgent(cable, 3_000_000, *words) as agent:
        client = agent.connect({"token_file": token, "mac": True})
        client.upload_model(echo_model(tmp_path))
        assert [[0, 2, 3, 4]] == client.run_sample(sample()).outputs[0].tolist()
        client.disconnect()
        with pytest.raises(OptionError, match="asks for a token"):
            agent.connect()


def test_what_an_earlier_session_left_is_no_harm(tmp_path):
    """A host that was killed in the middle, and noise: the next one is served at once."""
    with Cable() as cable, SerialAgent(cable, 3_000_000) as agent:
        client = agent.connect()
        client.upload_model(echo_model(tmp_path))
        # As if killed: no end, and half a packet in the line.
        line, port = client.protocol._line, client.protocol._port
        line._failed = True
        line._wake.send(b"!")
        line._thread.join()
        half = encode(Packet(Kind.DATA, 77, 1, data=b"half of a packet"))
        port.write(half[:15])
        port.close()
        begin_s = time.monotonic()
        assert_serves(agent, tmp_path)
        # Nobody waits until the earlier one is given up.
        assert time.monotonic() - begin_s < LOST_S


def test_a_session_that_the_other_side_does_not_know_ends(tmp_path):
    """The agent was started anew meanwhile."""
    with Cable() as cable:
        with SerialAgent(cable, 3_000_000) as agent:
            client = agent.connect()
            client.upload_model(echo_model(tmp_path))
            agent.process.kill()
            agent.process.wait()
            with SerialAgent(cable, 3_000_000) as second:
                with pytest.raises(UnreachableError):
                    client.run_sample(sample())
                client.disconnect()
                assert_serves(second, tmp_path)
            agent.process = second.process


@pytest.mark.parametrize("kind", [Kind.DATA, Kind.ASK, Kind.END])
def test_who_asks_for_a_session_that_is_not_there_is_told(kind):
    with Cable() as cable:
        listener = SerialProtocol(serial_port=cable.devices[1]).start_server()
        device = os.open(cable.devices[0], os.O_RDWR | os.O_NOCTTY)
        try:
            # Answers alone are not answered.
            for packet in (Packet(Kind.STATE, 98), Packet(Kind.RESET, 97), Packet(kind, 99)):
                os.write(device, encode(packet))
            splitter, found = Splitter(), []
            while not found:
                assert select.select([device], [], [], 10)[0]
                found += splitter.packets(os.read(device, 4096))
            assert [Packet(Kind.RESET, 99)] == found
        finally:
            os.close(device)
            listener.close()


def test_a_device_that_is_not_there_says_what_to_do(tmp_path):
    with pytest.raises(UnreachableError, match="cannot open .*group dialout"):
        SerialProtocol(serial_port=tmp_path / "tty").start_client()


def test_nobody_at_the_other_end_says_what_to_start():
    with Cable() as cable:
        with pytest.raises(UnreachableError, match="edge-tester server serial") as caught:
            SerialProtocol(serial_port=cable.devices[0]).start_client()
        assert "115200 baud" in str(caught.value)


def test_a_line_that_is_in_use_is_not_taken_by_another():
    with Cable() as cable:
        listener = SerialProtocol(serial_port=cable.devices[1]).start_server()
        with pytest.raises(UnreachableError, match="cannot open"):
            SerialProtocol(serial_port=cable.devices[1]).start_server()
        listener.close()


def test_the_package_is_named_that_is_missing(tmp_path):
    script = (
        "import sys; sys.modules['serial'] = None\n"
        "from edge_tester.runtimeprotocols.serial import SerialProtocol\n"
        "from edge_tester.core.errors import BackendMissingError\n"
        "try: SerialProtocol().start_client()\n"
        "except BackendMissingError as error: print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "edge_tester[serial]" in run.stdout
