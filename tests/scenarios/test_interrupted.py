"""Ctrl-C, lost agents and full disks: what was measured is kept, and nothing half-written."""

import json
import os
import resource
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edge_tester.core.record import read_record

WAIT_LIMIT_S = 60
# Long enough to be interrupted.
ENDLESS = "--num-samples 1000000 --outputs-directory"


def enough_disk_for(size_bytes):
    """Let a process write no file that is larger; the next byte is one too many."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, size_bytes))

    return limit


def wait_until_it_measures(user, process, name) -> None:
    """Wait until some samples have been measured."""
    path = user.folder / "outputs" / name / "output_0.npy"
    end_s = time.monotonic() + WAIT_LIMIT_S
    while not path.exists() or path.stat().st_size < 5000:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end_s
        time.sleep(0.02)


def start_endless(user, name, *words):
    flags = [*ENDLESS.split(), f"outputs/{name}"]
    process = user.start("client", "m.tflite", "random_inputs", "r", name, *flags, *words)
    wait_until_it_measures(user, process, name)
    return process


def assert_incomplete(user, name, reason):
    """What was measured is in the record, and all of it is whole."""
    record = read_record(user.folder / "r" / f"{name}.json")
    assert not record.complete
    assert reason in record.incomplete_reason
    count = len(record.target_ns)
    assert 100 < count < 1_000_000
    assert count == len(record.host_ns) == len(record.predictions.index)
    assert count == record.quality.samples
    outputs = np.load(user.folder / "outputs" / name / "output_0.npy")
    assert (count, 10) == outputs.shape
    assert not np.isnan(outputs).any()


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_an_interrupted_client_keeps_what_it_has_and_stops_its_agent(user, number, status):
    process = start_endless(user, number.name, "--start-agent")
    process.send_signal(number)
    _, errors = process.communicate(timeout=WAIT_LIMIT_S)
    assert status == process.returncode
    assert [f"Incomplete run kept in r/{number.name}.json", "interrupted"] == errors.splitlines()
    assert_incomplete(user, number.name, "interrupted by the user")
    user.assert_clean()


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_killed_client_leaves_no_agent(user):
    process = start_endless(user, "killed", "--start-agent")
    children = f"/proc/{process.pid}/task/{process.pid}/children"
    with open(children) as file:
        (agent,) = map(int, file.read().split())
    process.kill()
    process.communicate()
    end_s = time.monotonic() + WAIT_LIMIT_S
    while os.path.exists(f"/proc/{agent}"):
        with open(f"/proc/{agent}/stat") as file:
            if file.read().split()[2] == "Z":
                break
        assert time.monotonic() < end_s, "its agent still runs"
        time.sleep(0.05)
    # Nobody could write a record, but the outputs can be read.
    assert len(np.load(user.folder / "outputs" / "killed" / "output_0.npy")) > 10
    assert not (user.folder / "r" / "killed.json").exists()
    for path in user.scratch.glob("edge_tester-*"):
        shutil.rmtree(path)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_agent_that_ends_in_mid_run(user, number):
    name = f"agent-{number.name}"
    with user.agent() as (agent, port):
        process = start_endless(user, name, "--port", port)
        agent.send_signal(number)
        _, errors = process.communicate(timeout=WAIT_LIMIT_S)
        if number == signal.SIGKILL:
            agent.wait()
            for path in user.scratch_of_agents.glob("edge_tester-*"):
                shutil.rmtree(path)
    assert 2 == process.returncode
    kept, error = errors.splitlines()
    assert f"Incomplete run kept in r/{name}.json" == kept
    assert error.startswith("error: The ")
    assert_incomplete(user, name, error.removeprefix("error: "))
    user.assert_clean()


def test_a_target_that_falls_silent(user):
    """Neither side is gone and nothing is closed: only the host's deadline ends the wait."""
    with user.agent() as (agent, port):
        process = start_endless(user, "silent", "--port", port, "--answer-limit-s", "5")
        children = Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text().split()
        for child in children:
            os.kill(int(child), signal.SIGSTOP)
        _, errors = process.communicate(timeout=WAIT_LIMIT_S)
        for child in children:
            os.kill(int(child), signal.SIGCONT)
    assert 2 == process.returncode
    assert "said nothing for too long" in errors.splitlines()[-1]
    assert_incomplete(user, "silent", errors.splitlines()[-1].removeprefix("error: "))


def test_the_next_client_is_served_after_one_that_left(user):
    with user.agent() as (_, port):
        process = start_endless(user, "left", "--port", port)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=WAIT_LIMIT_S)
        user.does("client", "m.tflite", "r", "next", "--num-samples", 20, "--port", port)
    assert read_record(user.folder / "r" / "next.json").complete


def test_a_record_that_does_not_fit_the_disk(user):
    """An earlier one stays, and no part of the new one."""
    path = user.folder / "r" / "full.json"
    with user.agent() as (_, port):
        user.does(*f"client m.tflite data.npz r full --limit 9 --port {port}".split())
        earlier = path.read_bytes()
        words = f"client m.tflite data.npz r full --port {port}"
        message = user.refused(*words.split(), preexec_fn=enough_disk_for(20_000))
    assert "The run record r/full.json cannot be written: File too large." == message
    assert earlier == path.read_bytes()
    assert not [p for p in path.parent.iterdir() if p.suffix != ".json"]


def test_outputs_that_do_not_fit_the_disk(user):
    """What fits is kept, with a record of it."""
    with user.agent() as (_, port):
        words = f"client m.tflite r cramped --num-samples 5000 --port {port}"
        flags = ["--outputs-directory", "outputs/cramped"]
        status, _, errors = user.run(*words.split(), *flags, preexec_fn=enough_disk_for(40_000))
    assert 2 == status
    assert "error: The outputs cannot be written to outputs/cramped: File too large." in errors
    record = read_record(user.folder / "r" / "cramped.json")
    # 128 bytes of header, 40 bytes per sample.
    assert (40_000 - 128) // 40 == len(record.target_ns)
    outputs = np.load(user.folder / "outputs" / "cramped" / "output_0.npy")
    assert len(record.target_ns) == len(outputs)


def test_a_model_that_does_not_fit_the_target_s_disk(user):
    with user.agent(
        *"server network tflite --port 0".split(), preexec_fn=enough_disk_for(20_000)
    ) as (_, port):
        for _ in range(2):
            words = f"client m.tflite data.npz r n --port {port}"
            message = user.refused(*words.split())
            assert "cannot write the model" in message
            assert "File too large" in message


def test_a_target_that_is_in_use(user):
    with user.agent() as (_, port):
        process = start_endless(user, "first", "--port", port)
        message = user.refused("client", "m.tflite", "r", "second", "--port", port)
        assert "The target is in use by edge_tester on " in message
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=WAIT_LIMIT_S)


def test_an_agent_that_is_not_there(user):
    message = user.refused("client", "m.tflite", "r", "n", "--port", 1)
    assert "Start one there: edge-tester server network tflite --host 127.0.0.1 --port 1" in message


def test_a_model_that_takes_too_long(user):
    spec = {"name": "x", "shape": [None, 4], "dtype": "uint8"}
    model = {"inputs": [spec], "outputs": [spec], "inference_ns": 3 * 10**9}
    (user.folder / "slow.echo").write_text(json.dumps(model))
    (user.folder / "echo_file.py").write_text(
        "from edge_tester.core.model import ModelWrapper\n"
        "class EchoFile(ModelWrapper):\n"
        "    '''An echo model.'''\n"
        "    format = 'echo'\n"
    )
    server = "server network echo --port 0 --time-limit-s 0.5"
    with user.agent(*server.split()) as (_, port):
        words = "client echo_file.EchoFile network echo r slow --model-path slow.echo --port"
        message = user.refused(*words.split(), port)
    assert "An inference took longer than the target's limit of 0.5 s" in message
