"""Clients of agents that ask who they are."""

from edge_tester.core.wire.payloads import Hello
from edge_tester.runtimeprotocols.network import NetworkProtocol
from tests.agents import SampleClient, echo_model, sample


def connected(host="", port=0, **options) -> SampleClient:
    address = {"host": host} if host else {"host": "127.0.0.1", "port": port}
    client = SampleClient(NetworkProtocol(**address, **options))
    client.connect(Hello(client="a test", wait=True))
    return client


def assert_runs(client, tmp_path):
    with_model = client.upload_model(echo_model(tmp_path))
    assert 1 <= with_model.slots
    (output,) = client.run_sample(sample(1, 2, 3, 4)).outputs
    assert [[1, 2, 3, 4]] == output.tolist()
    client.disconnect()


def parent_of(pid: str) -> int:
    try:
        text = open(f"/proc/{pid}/stat").read()
    except OSError:
        return 0
    return int(text.rpartition(")")[2].split()[1])
