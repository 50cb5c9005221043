"""Sessions for the tests of agents."""

import pytest

from edge_tester.core.wire.payloads import Hello
from edge_tester.runtimeprotocols.network import NetworkProtocol
from tests.agents import SampleClient


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
