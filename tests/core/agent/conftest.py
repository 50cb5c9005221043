"""Sessions for the tests of agents."""

import re
import subprocess

import pytest

from edge_tester.core.artifact import Artifact
from edge_tester.core.wire.payloads import Hello
from edge_tester.runtimeprotocols.network import NetworkProtocol
from edge_tester.scenarios import keys
from tests.agents import SampleClient, running_agent
from tests.hostile import SOURCE


@pytest.fixture
def opened():
    """Open sessions: the first, or one beside another; all are closed in the end."""
    clients = []

    def open_(agent, beside=None, port=None, **hello):
        if beside is None:
            address = {"port": port} if port else {"host": agent.host}
            client = SampleClient(NetworkProtocol(**address))
            client.connect(Hello(client="a test", wait=True, features=["beside"], **hello))
        else:
            client = beside.beside(Hello(client="a test", **hello))
        clients.append(client)
        return client

    yield open_
    for client in clients:
        client.disconnect()


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Tokens and certificates, made by the command."""
    folder = tmp_path_factory.mktemp("lab")
    for name in ("token", "other"):
        keys.main(["token", str(folder / name)])
    wanted = ["--target", "localhost,127.0.0.1", "--target", "elsewhere", "--host", "alice"]
    keys.main(["certificates", str(folder), *wanted])
    keys.main(["certificates", str(folder / "others"), "--host", "mallory"])
    return folder


@pytest.fixture(scope="module")
def guarded(lab, tmp_path_factory):
    folder = tmp_path_factory.mktemp("guarded")
    with running_agent(folder, "--token-file", str(lab / "token")) as running:
        yield running


@pytest.fixture(scope="module")
def mutual(lab, tmp_path_factory):
    """An agent that other machines could reach, and the port of it."""
    folder = tmp_path_factory.mktemp("mutual")
    certificate = str(lab / "target-localhost.pem")
    words = ["--host", "0.0.0.0", "--port", "0", "--tls-certificate", certificate]
    with running_agent(folder, *words, "--tls-ca", str(lab / "ca.pem")) as running:
        running.port = int(re.search(r":(\d+) ", running.greeting)[1])
        yield running


@pytest.fixture(scope="session")
def native_model(tmp_path_factory):
    path = tmp_path_factory.mktemp("native") / "model.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", path, SOURCE], check=True)
    return Artifact.from_file(path)
