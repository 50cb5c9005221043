"""The black-box suite, on the project's own agent."""

import numpy as np
import pytest

from edge_tester.runtimeprotocols.network import NetworkProtocol
from edge_tester.testing import AgentConformance
from tests.agents import echo_model, running_agent, sample


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with running_agent(tmp_path_factory.mktemp("agent")) as agent:
        yield agent


class TestOurAgent(AgentConformance):
    @pytest.fixture
    def protocol(self, running):
        return NetworkProtocol(host=running.host)

    @pytest.fixture
    def model(self, tmp_path):
        return echo_model(tmp_path)

    @pytest.fixture
    def samples(self):
        return [sample(*np.arange(4) + start) for start in range(5)]
