"""Nobody gets in without a certificate, where an agent wants them; with real agents."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys

import pytest

from edge_tester.core.errors import UnreachableError
from edge_tester.core.system import certificates
from edge_tester.core.wire.payloads import Hello
from edge_tester.runtimeprotocols.network import NetworkProtocol
from edge_tester.scenarios import keys
from tests.agents import (
    PROJECT,
    SampleClient,
    echo_model,
    running_agent,
    sample,
    wait_until,
)
from tests.core.agent.guarded import assert_runs, connected, parent_of


def tls(lab, **more):
    wanted = {"tls_ca": lab / "ca.pem", "tls_certificate": lab / "host-alice.pem"}
    return {**wanted, **more}


def test_who_has_a_certificate_is_served(mutual, lab, tmp_path):
    for _ in range(2):
        assert_runs(connected(port=mutual.port, **tls(lab)), tmp_path)
    client = connected(port=mutual.port, **tls(lab))
    large = echo_model(tmp_path, size=3_000_000)
    client.upload_model(large)
    values = [sample(*range(250))[0].repeat(12_000, axis=1)]
    assert (values[0] == client.run_sample(values).outputs[0]).all()
    client.disconnect()


def test_a_client_over_tls_has_sessions_beside_its_first(mutual, lab, tmp_path):
    first = SampleClient(NetworkProtocol(port=mutual.port, **tls(lab)))
    first.connect(Hello(client="a test", wait=True, features=["beside"]))
    second = first.beside(Hello(client="a test"))
    assert_runs(second, tmp_path)
    assert_runs(first, tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tls_certificate": None}, "certificate of its own authority"),
        ({"tls_certificate": "others/host-mallory.pem"}, "certificate of its own authority"),
        ({"tls_ca": "others/ca.pem", "tls_certificate": None}, "was refused for '127.0.0.1'"),
        ({"tls_name": "elsewhere"}, "was refused for 'elsewhere'"),
    ],
    ids=["none", "of others", "target unknown", "other name"],
)
def test_who_has_none_that_fits_is_told_why(mutual, lab, options, message):
    paths = ("tls_ca", "tls_certificate")
    found = {k: lab / v if v and k in paths else v for k, v in options.items()}
    with pytest.raises(UnreachableError, match=message):
        connected(port=mutual.port, **tls(lab, **found))


def test_what_has_expired_is_said_on_both_sides(mutual, lab, tmp_path, monkeypatch):
    monkeypatch.setattr(certificates, "_DAYS_OF_CERTIFICATE", -0.5)
    keys.main(["certificates", str(lab), "--target", "127.0.0.1", "--host", "late"])
    with pytest.raises(UnreachableError, match="not one that has expired"):
        connected(port=mutual.port, **tls(lab, tls_certificate=lab / "host-late.pem"))
    wait_until(lambda: re.search(r"127\.0\.0\.1: .*certificate has expired", mutual.log))
    words = ["--host", "127.0.0.1", "--port", "0"]
    words += ["--tls-certificate", str(lab / "target-127.0.0.1.pem")]
    with running_agent(tmp_path, *words) as agent:
        port = int(re.search(r":(\d+) ", agent.greeting)[1])
        with pytest.raises(UnreachableError, match="refused for .*: certificate has expired"):
            connected(port=port, tls_ca=lab / "ca.pem")
        # As the host has told it.
        wait_until(lambda: "127.0.0.1: [SSL: SSLV3_ALERT_CERTIFICATE_EXPIRED]" in agent.log)


def test_without_tls_nobody_is_understood(mutual, lab, tmp_path):
    with pytest.raises(UnreachableError, match="with --tls-certificate, give --tls-ca"):
        connected(port=mutual.port)
    with running_agent(tmp_path, "--host", "127.0.0.1", "--port", "0") as agent:
        port = int(re.search(r":(\d+) ", agent.greeting)[1])
        with pytest.raises(UnreachableError, match="started without --tls-certificate"):
            connected(port=port, **tls(lab))


def test_silent_strangers_before_tls_shut_nobody_out(mutual, lab, tmp_path):
    strangers = [socket.create_connection(("127.0.0.1", mutual.port)) for _ in range(100)]
    try:
        assert_runs(connected(port=mutual.port, **tls(lab)), tmp_path)
    finally:
        for one in strangers:
            one.close()


def test_the_process_that_ends_tls_is_replaced(lab, tmp_path):
    certificate = str(lab / "target-localhost.pem")
    words = ["--host", "127.0.0.1", "--port", "0", "--tls-certificate", certificate]
    with running_agent(tmp_path, *words) as agent:
        port = int(re.search(r":(\d+) ", agent.greeting)[1])
        (master,) = _children_named(agent.process.pid, "greeter")
        (worker,) = _children_named(master, "greeter")
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: set(_children_named(master, "greeter")) - {worker})
        assert_runs(connected(port=port, tls_ca=lab / "ca.pem"), tmp_path)


def test_who_replaces_it_is_replaced_too(lab, tmp_path):
    """Killed twice, with a client, in a session and beside one: nobody finds the agent deaf."""
    certificate = str(lab / "target-localhost.pem")
    words = ["--host", "127.0.0.1", "--port", "0", "--tls-certificate", certificate]
    with running_agent(tmp_path, *words) as agent:
        port = int(re.search(r":(\d+) ", agent.greeting)[1])
        link = {"port": port, "tls_ca": lab / "ca.pem"}
        descriptors = len(os.listdir(f"/proc/{agent.process.pid}/fd"))
        for _ in range(2):
            served = connected(**link)
            (master,) = _children_named(agent.process.pid, "greeter")
            os.kill(master, signal.SIGKILL)
            with pytest.raises(UnreachableError):
                assert_runs(served, tmp_path)
            # Connections wait in line until there is somebody to accept them.
            assert_runs(connected(**link), tmp_path)
        # What ends a session must not take it for something that a model has left.
        (master,) = _children_named(agent.process.pid, "greeter")
        assert_runs(connected(**link), tmp_path)
        assert [master] == _children_named(agent.process.pid, "greeter")
        wait_until(lambda: len(os.listdir(f"/proc/{agent.process.pid}/fd")) <= descriptors)
        assert 2 == agent.log.count("the process that ends TLS has ended and is started again")


def test_it_ends_with_an_agent_that_is_killed_while_it_starts(lab, tmp_path):
    """Then the kernel was not asked yet to end it with the agent; it holds the port."""
    script = (
        "import os, socket, subprocess, sys\n"
        "from pathlib import Path\n"
        "from edge_tester.core.agent import greeter\n"
        "start = subprocess.Popen\n"
        "def killed(*words, **options):\n"
        "    process = start(*words, **options)\n"
        "    print(process.pid, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
        "greeter.subprocess.Popen = killed\n"
        "listener = socket.create_server(('127.0.0.1', 0))\n"
        f"greeter.TLSListener(listener, Path({str(lab / 'target-localhost.pem')!r}), None)\n"
    )
    command = [sys.executable, "-c", script]
    agent = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE)
    greeter = int(agent.stdout.readline())
    agent.wait()
    try:
        wait_until(lambda: not parent_of(str(greeter)))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(greeter, signal.SIGKILL)
        agent.stdout.close()


def test_a_signal_when_its_worker_has_just_ended_is_no_error(lab):
    script = (
        "import json, os, signal, socket\n"
        "from edge_tester.core.agent import greeter\n"
        "wait = os.waitpid\n"
        "def waited(*words):\n"
        "    found = wait(*words)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    return found\n"
        "greeter.os.waitpid = waited\n"
        "listener, (ours, theirs) = socket.create_server(('127.0.0.1', 0)), socket.socketpair()\n"
        "ours.shutdown(socket.SHUT_RDWR)\n"
        "settings = {'authority': None,\n"
        "    'listener': listener.fileno(), 'control': theirs.fileno(),\n"
        f"    'certificate': {str(lab / 'target-localhost.pem')!r}}}\n"
        "greeter.main([json.dumps(settings)])\n"
    )
    command = [sys.executable, "-c", script]
    ended = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert (0, "") == (ended.returncode, ended.stderr)


def test_a_certificate_that_was_spoiled_shuts_nobody_out_once_it_is_mended(lab, tmp_path):
    certificate = tmp_path / "target.pem"
    good = (lab / "target-localhost.pem").read_bytes()
    certificate.write_bytes(good)
    words = ["--host", "127.0.0.1", "--port", "0", "--tls-certificate", str(certificate)]
    with running_agent(tmp_path, *words) as agent:
        port = int(re.search(r":(\d+) ", agent.greeting)[1])
        certificate.write_text("none")
        for pid in _children_named(agent.process.pid, "greeter"):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: "target.pem cannot be used" in agent.log)
        certificate.write_bytes(good)
        assert_runs(connected(port=port, tls_ca=lab / "ca.pem"), tmp_path)


def _children_named(pid: int, word: str) -> list[int]:
    found = []
    for path in os.scandir("/proc"):
        if path.name.isdigit() and parent_of(path.name) == pid:
            with open(f"/proc/{path.name}/cmdline", "rb") as file:
                if word.encode() in file.read():
                    found.append(int(path.name))
    return found


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tls-certificate", "ca.pem"], "must be a PEM file with the certificate and key"),
        (["--tls-certificate", "nowhere.pem"], "No such file"),
        (["--tls-ca", "ca.pem"], "needs --tls-certificate"),
    ],
)
def test_certificates_that_cannot_be_used_are_said(lab, tmp_path, words, message):
    words = [words[0], str(lab / words[1])]
    with pytest.raises(AssertionError, match=message):
        with running_agent(tmp_path, "--host", "127.0.0.1", "--port", "0", *words, status=None):
            pass


def test_off_loopback_an_agent_wants_one_of_them(lab, tmp_path):
    everywhere = ["--host", "0.0.0.0", "--port", "0"]
    with pytest.raises(AssertionError, match="Give --token-file or --tls-ca"):
        with running_agent(tmp_path, *everywhere, status=None):
            pass
    certificate = ["--tls-certificate", str(lab / "target-localhost.pem")]
    with pytest.raises(AssertionError, match="Give --token-file or --tls-ca"):
        with running_agent(tmp_path, *everywhere, *certificate, status=None):
            pass
    with running_agent(tmp_path, *everywhere, "--token-file", str(lab / "token")) as agent:
        assert "WARNING" not in agent.log
