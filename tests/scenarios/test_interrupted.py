"""Ctrl-C, lost agents and full disks: what was measured is kept, and nothing half-written."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edge_tester.core.record import read_record
from edge_tester.core.run.journal import journal_of

WAIT_LIMIT_S = 60
# Long enough to be interrupted.
ENDLESS = "--num-samples 1000000 --outputs-directory"


def enough_disk_for(size_bytes):
    """Let a process write no file that is larger; the next byte is one too many."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, size_bytes))

    return limit


def wait_until_it_measures(user, process, name) -> None:
    """Wait until some blocks have been measured."""
    path = user.folder / "outputs" / name / "output_0.npy"
    end_s = time.monotonic() + WAIT_LIMIT_S
    while not path.exists() or path.stat().st_size < 100_000:
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
    assert {1} == {len(block.host_ns) for block in record.blocks}
    assert count == len(record.predictions.index) == record.quality.samples
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
    for path in user.scratch.glob("edge_tester-*"):
        shutil.rmtree(path)
    # It could write no record, but its journal becomes one, and the outputs can be read.
    path = user.folder / "r" / "killed.json"
    assert not path.exists()
    printed = user.does("recover", "r/killed.json")
    assert f"Recovered: r/killed.json ({len(read_record(path).target_ns):,} inferences" in printed
    assert_incomplete(user, "killed", "ended without a word")
    assert not journal_of(path).exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_agent_that_ends_in_mid_run(user, number):
    name = f"agent-{number.name}"
    with user.agent() as (agent, port):
        process = start_endless(user, name, "--port", port, "--reconnect-s", "0")
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
    limits = ("--answer-limit-s", "5", "--reconnect-s", "0")
    with user.agent() as (agent, port):
        process = start_endless(user, "silent", "--port", port, *limits)
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


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 40 kB."""
    command = ["mount", "-t", "tmpfs", "-o", "size=40k", "none", str(tmp_path)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs the permission to mount a disk")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_record_that_does_not_fit_the_disk(user, small_disk):
    """An earlier one stays, no part of the new one, and its journal until there is room."""
    # Room for the journal, and not for the record beside it.
    subprocess.run(["mount", "-o", "remount,size=48k", str(small_disk)], check=True)
    path = small_disk / "full.json"
    with user.agent() as (_, port):
        words = ["client", "m.tflite", "data.npz", small_disk, "full", "--port", port]
        user.does(*words, "--limit", 9)
        earlier = path.read_bytes()
        message = user.refused(*words)
        assert message == (
            f"The run record {path} cannot be written: No space left on device. What was measured "
            f"is kept in {path}.journal: make room, then 'edge-tester recover {path}.journal' "
            "makes a record of it."
        )
        assert earlier == path.read_bytes()
        assert {path, journal_of(path)} == set(small_disk.iterdir())
        subprocess.run(["mount", "-o", "remount,size=1m", str(small_disk)], check=True)
        assert f"{small_disk}/full-recovered.json" in user.does("recover", f"{path}.journal")
        recovered = read_record(path.with_name("full-recovered.json"))
        complete = user.does(*words) and read_record(path)
    assert complete.predictions == recovered.predictions
    assert complete.quality == recovered.quality
    assert "full-recovered" == recovered.name
    assert not journal_of(path).exists()


def test_a_journal_that_does_not_fit_the_disk(user):
    """The run does not go on for nothing, and what it has is in a record."""
    path = user.folder / "r" / "small.json"
    with user.agent() as (_, port):
        words = f"client m.tflite data.npz r small --conversation classical --port {port}"
        message = user.refused(*words.split(), preexec_fn=enough_disk_for(12_000))
    assert "The journal r/small.json.journal cannot be written: File too large." == message
    record = read_record(path)
    assert 1 < len(record.target_ns) < 359
    assert len(record.target_ns) == record.quality.samples == len(record.predictions.index)
    assert not journal_of(path).exists()


def test_outputs_that_do_not_fit_the_disk(user, small_disk):
    """What fits is kept, with a record of it."""
    folder = small_disk / "outputs"
    with user.agent() as (_, port):
        words = (
            f"client m.tflite r cramped --num-samples 5000 --conversation classical --port {port}"
        )
        status, _, errors = user.run(*words.split(), "--outputs-directory", folder)
    assert 2 == status
    assert f"error: The outputs cannot be written to {folder}: No space left on device." in errors
    record = read_record(user.folder / "r" / "cramped.json")
    # 128 bytes of header, 40 bytes per sample.
    assert (40 * 1024 - 128) // 40 == len(record.target_ns)
    assert len(record.target_ns) == len(np.load(folder / "output_0.npy"))


def test_a_disk_that_is_full_from_the_beginning(user, small_disk):
    """Nothing is measured that nobody could keep."""
    (small_disk / "full").write_bytes(bytes(40 * 1024))
    message = user.refused(*f"client m.tflite data.npz {small_disk} n --start-agent".split())
    assert "cannot be written: No space left on device" in message
    assert [small_disk / "full"] == list(small_disk.iterdir())


def test_a_second_run_on_the_same_record_is_refused(user):
    process = start_endless(user, "twice", "--start-agent")
    for words in ("client m.tflite data.npz r twice --start-agent", "recover r/twice.json"):
        status, _, errors = user.run(*words.split())
        assert 2 == status
        assert "error: r/twice.json.journal is written by another process" in errors
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=WAIT_LIMIT_S)
    assert_incomplete(user, "twice", "interrupted by the user")


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
