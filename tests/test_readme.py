"""Every block of the README runs, in its order, as a new user would run it."""

import os
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from edge_tester.core.record import read_record

ROOT = Path(__file__).parent.parent
START_LIMIT_S = 60
NETWORK = """
import torch

def make():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
"""


class Block(NamedTuple):
    language: str
    background: bool
    content: str


def blocks() -> list[Block]:
    """Return the code blocks of the README."""
    text = (ROOT / "README.rst").read_text()
    found = re.finditer(
        r"^\.\. code-block:: (\w+)\n((?:   :.*\n)*)\n((?:(?:    .*)?\n)+)", text, re.MULTILINE
    )
    return [
        Block(language, "background" in options, re.sub("^    ", "", content, flags=re.MULTILINE))
        for language, options, content in (match.groups() for match in found)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A new user's folder: a model, data and images, and nothing of the project."""
    from PIL import Image
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("user")
    for suffix in ("tflite", "onnx"):
        shutil.copy(ROOT / f"edge_tester/resources/digits.{suffix}", folder / f"model.{suffix}")
    digits = load_digits()
    images = (digits.images[..., np.newaxis] / 16).astype(np.float32)
    np.savez(folder / "data.npz", x=images, y=digits.target)
    for index in range(50):
        path = folder / "images" / str(digits.target[index]) / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((digits.images[index] * 15).astype(np.uint8)).save(path)
    (folder / "mynet.py").write_text(NETWORK)
    weights = "import torch, mynet; torch.save(mynet.make().state_dict(), 'net.pt')"
    subprocess.run([sys.executable, "-c", weights], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="module")
def environment(folder) -> dict[str, str]:
    """The environment of the user's shell."""
    # The script that the installation made, not python -m.
    script = Path(sysconfig.get_path("scripts")) / "edge-tester"
    assert script.exists(), "install the package: pip install --editable ."
    path = os.pathsep.join([str(script.parent), os.environ["PATH"]])
    # What tools need is made once and kept where everything that can be made again is.
    tools, cache = ROOT / "build" / "tools", folder / "cache"
    tools.mkdir(parents=True, exist_ok=True)
    (cache / "edge_tester").mkdir(parents=True)
    (cache / "edge_tester" / "tools").symlink_to(tools)
    return {
        **os.environ,
        "PATH": path,
        # What is tested is this checkout, whichever one is installed.
        "PYTHONPATH": str(ROOT),
        "XDG_CACHE_HOME": str(cache),
    }


def run(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    """Run a command; its output if it succeeds."""
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert 0 == done.returncode, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def wait_for(port: int) -> None:
    deadline_s = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline_s:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("the server did not start")


# The environment of a tool may have to be made.
@pytest.mark.timeout(1200)
def test_every_block_runs(folder, environment):
    port = free_port()
    kinds = []
    servers = []
    try:
        for block in blocks():
            kinds.append(block.language)
            content = block.content.replace("12345", str(port))
            if block.background:
                shell = ["bash", "-c", f"exec {content.strip()}"]
                servers.append(subprocess.Popen(shell, cwd=folder, env=environment))
                wait_for(port)
            elif block.language == "sh":
                run(["bash", "-ec", content], folder, environment)
            elif "combinations:" in content:
                (folder / "matrix.yml").write_text(content)
            elif block.language == "yaml":
                (folder / "scenario.yml").write_text(content)
                run(["edge-tester", "run", "scenario.yml"], folder, environment)
            elif "class AheadOfTimeONNXCompiler" in content:
                (folder / "ahead.py").write_text(content)
                words = "client model.onnx ahead.AheadOfTimeONNXCompiler digits build/report ahead"
                flags = "--start-agent --compiled-model-path build/ahead.onnx --level extended"
                run(["edge-tester", *words.split(), *flags.split()], folder, environment)
            else:
                assert "python" == block.language
                run([sys.executable, "-c", content], folder, environment)
    finally:
        for server in servers:
            server.terminate()
            server.wait(30)
    assert 6 <= kinds.count("sh")
    assert {"sh", "yaml", "python"} == set(kinds)
    accuracies = {
        path.stem: read_record(path).quality.accuracy
        for path in sorted((folder / "build/report").glob("*.json"))
    }
    expected = {
        *("my-model", "my-images", "latency-only", "my-int8", "digits-native", "digits-int8"),
        *("from-file", "run", "ahead", "net", "old", "new"),
    }
    assert expected == set(accuracies)
    assert accuracies.pop("latency-only") is None
    assert accuracies.pop("net") is None
    assert all(accuracy > 0.9 for accuracy in accuracies.values()), accuracies


def test_the_blocks_were_found():
    text = (ROOT / "README.rst").read_text()
    assert text.count(".. code-block::") == len(blocks())
