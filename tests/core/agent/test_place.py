"""Processors and priority that a target's owner gives to models; several meters at once."""

import os
import subprocess

import pytest

from tests.agents import ECHO, SERVER, echo_model, running_agent, sample


def test_models_run_where_their_owner_lets_them(tmp_path):
    chosen = max(os.sched_getaffinity(0))
    with running_agent(tmp_path, "--pin-cpus", str(chosen), "--priority", "5") as agent:
        client = agent.connect()
        machine = client.welcome.machine
        assert ([chosen], 1, 5) == tuple(machine[k] for k in ("cpus", "cpu_count", "priority"))
        client.upload_model(echo_model(tmp_path))
        client.run_sample(sample())
        client.disconnect()
        # The agent itself, which models do not disturb, is anywhere.
        assert os.sched_getaffinity(agent.process.pid) == os.sched_getaffinity(0)


def test_all_processors_are_no_pinning(tmp_path):
    with running_agent(tmp_path) as agent:
        client = agent.connect()
        few = len(os.sched_getaffinity(0)) < os.cpu_count()
        assert few == (client.welcome.machine["cpus"] is not None)
        assert os.getpriority(os.PRIO_PROCESS, 0) == client.welcome.machine["priority"]
        client.disconnect()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--pin-cpus", "4000"), "--pin-cpus 4000"),
        (("--pin-cpus", "one"), "one"),
        (("--priority", "20"), "priority"),
    ],
)
def test_what_cannot_be_is_said_at_the_start(words, said):
    place = ("edge_tester.runtimeprotocols.network.NetworkProtocol", ECHO, "--port", "0")
    found = subprocess.run([*SERVER, *place, *words], capture_output=True, text=True, check=False)
    assert 2 == found.returncode
    assert said in found.stderr and "Traceback" not in found.stderr
    if words[1] == "4000":
        assert "may use the processors" in found.stderr


def test_several_meters_count_side_by_side(tmp_path):
    meters = ("meters.thermal", "tests.known_costs.ProcessorMeter")
    with running_agent(tmp_path, *meters) as agent:
        client = agent.connect()
        client.upload_model(echo_model(tmp_path))
        readings = client.run_sample(sample()).counters.readings
        client.disconnect()
    assert "machine_busy_s" in readings and readings["processor_s"] > 0
