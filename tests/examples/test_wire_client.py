"""The example of a host in C, compiled and run against real agents."""

import re
import shutil
import subprocess

import pytest

from tests.agents import ECHO, PROJECT, echo_model, running_agent

SOURCE = PROJECT / "examples" / "wire_client" / "wire_client.c"
DIGITS = PROJECT / "edge_tester" / "resources" / "digits.tflite"
TFLITE = "edge_tester.runtimes.tflite.TFLiteRuntime"


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    for needed in ("cc", "sha256sum"):
        if not shutil.which(needed):
            pytest.skip(f"needs the program {needed}")
    path = tmp_path_factory.mktemp("program") / "wire_client"
    options = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-O2"]
    subprocess.run(["cc", *options, SOURCE, "-o", path], check=True, timeout=120)
    return path


@pytest.fixture(scope="module")
def echo(tmp_path_factory):
    with running_agent(tmp_path_factory.mktemp("agent"), runtime=ECHO) as agent:
        yield agent.host


def run(program, host, model_format, path, *count, status=0):
    """Return what the program prints, and what of that are errors."""
    done = subprocess.run(
        [program, host, "0", model_format, path, *count],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == status, done.stderr
    return done.stdout, done.stderr


def test_gets_the_inputs_back_from_an_echo(program, echo, tmp_path):
    path = echo_model(tmp_path).path
    printed, _ = run(program, echo, "echo", path)
    assert "runtime echo" in printed
    assert "inputs: x, uint8 [ 1 4 ]\noutputs: x, uint8 [ 1 4 ]\n" in printed
    assert re.search(r"median latency: \d+\.\d{3} us of 100 inferences", printed)
    assert re.findall(r"slot (\d) outputs: (\w+)", printed) == [
        (f"{n}", f"0{n}" * 4) for n in range(4)
    ]
    assert "counted: 100 inferences" in printed


def test_median_is_that_of_the_model(program, echo, tmp_path):
    path = echo_model(tmp_path, inference_ns=20_000_000).path
    printed, _ = run(program, echo, "echo", path, "3")
    (median,) = re.findall(r"median latency: (\S+) us of 3 inferences", printed)
    assert float(median) >= 20_000


def test_sends_a_model_once(program, echo, tmp_path):
    path = echo_model(tmp_path, size=5).path
    size = path.stat().st_size
    assert f"model: {size} of {size} bytes sent" in run(program, echo, "echo", path)[0]
    assert f"model: 0 of {size} bytes sent" in run(program, echo, "echo", path, "1")[0]


def test_prints_the_error_of_the_target(program, echo, tmp_path):
    _, errors = run(program, echo, "nonsense", echo_model(tmp_path).path, status=1)
    assert re.match(r"ERROR model: .*nonsense", errors)


def test_runs_a_real_model(program, tmp_path):
    pytest.importorskip("ai_edge_litert")
    with running_agent(tmp_path, runtime=TFLITE) as agent:
        printed, _ = run(program, agent.host, "tflite", DIGITS)
    assert re.search(r"inputs: \S+, float32 \[ 1 8 8 1 \]", printed)
    assert len(re.findall(r"slot \d outputs: [0-9a-f]{16}\n", printed)) == 4
    assert "counted: 100 inferences" in printed


def test_stays_short():
    assert len(SOURCE.read_text().splitlines()) < 200
