"""An agent that is reached over sockets and killed, and the answers that are right."""

import os
import shutil
import socket
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from _killed import Home, House

from edge_tester.core.record import read_record
from edge_tester.core.wire.payloads import Hello
from edge_tester.runtimeprotocols.network import NetworkProtocol
from edge_tester.scenarios import keys
from tests.agents import PROJECT, SampleClient

SAMPLES = 20_000
# A client that waits longer has met a deaf agent.
DEAF_S = 30.0
# One that every user can start.
PYTHON = f"/usr/bin/python3.{sys.version_info[1]}"
RUN_LIMIT_S = 180.0


# What compiles in a process of its own.
COMPILED = ("compilers.onnx", "--target", "int8")


class Reference(NamedTuple):
    """The answers of a run that nobody disturbed, by the index of the sample."""

    predicted: dict[int, Any]
    outputs: dict[int, np.ndarray]


class Lab:
    """What all rounds share: model, data, keys, and the answers that are right."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model, self.data = folder / "m.tflite", folder / "data.npz"
        for suffix in ("tflite", "onnx"):
            shutil.copy(PROJECT / f"edge_tester/resources/digits.{suffix}", folder / f"m.{suffix}")
        shutil.copy(self.model, folder / "n.tflite")
        values = np.random.default_rng(0)
        images = values.random((SAMPLES, 8, 8, 1), dtype=np.float32)
        np.savez(self.data, x=images, y=values.integers(0, 10, SAMPLES))
        self.token = folder / "token"
        keys.main(["token", str(self.token)])
        names = ["--target", "localhost,127.0.0.1", "--host", "alice"]
        keys.main(["certificates", str(folder), *names])
        np.savez(folder / "few.npz", x=images[:200], y=np.zeros(200, int))
        self.home = Home(folder / "reference")
        self.references = {
            "whole": self._measured(self.model, self.data, "tflite"),
            "few": self._measured(self.model, folder / "few.npz", "tflite"),
            "onnx": self._measured(folder / "m.onnx", self.data),
            "compiled": self._measured(folder / "m.onnx", *COMPILED, self.data),
        }

    def _measured(self, *words: object) -> Reference:
        """Return the answers of a run in one process, which nobody disturbs."""
        outputs = outputs_in("it")
        run = self.home.start("client", *words, "loopback", "r", "it", *outputs)
        _, errors = run.communicate(timeout=RUN_LIMIT_S)
        if run.returncode:
            raise SystemExit(f"The reference cannot be measured: {errors}")
        record = read_record(self.home.folder / "r" / "it.json")
        found = np.load(self.home.folder / "it" / "output_0.npy")
        index = record.predictions.index
        return Reference(
            dict(zip(index, record.predictions.predicted, strict=True)),
            dict(zip(index, found, strict=True)),
        )

    def wrong_in(
        self, path: Path, outputs: Path | None, which: str, *, complete: bool | None = None
    ) -> str:
        """Return what is wrong in a record, empty if nothing is."""
        record, reference = read_record(path), self.references[which]
        index = record.predictions.index
        if record.predictions.predicted != [reference.predicted[one] for one in index]:
            return "the record has wrong answers"
        if len(index) != len(set(index)) or len(index) != record.quality.samples:
            return f"{len(index)} answers, {record.quality.samples} counted"
        if record.complete and len(index) != len(reference.predicted):
            return f"it says to be complete, with {len(index)} answers"
        if not record.complete and not record.incomplete_reason:
            return "it is incomplete, and does not say why"
        if complete is not None and record.complete != complete:
            return f"complete: {record.complete} ({record.incomplete_reason})"
        if outputs is not None:
            found = np.load(outputs / "output_0.npy")
            wanted = [reference.outputs[one] for one in index]
            if len(found) < len(index) or (found[: len(index)] != wanted).any():
                return "the raw outputs are wrong"
        return ""


def outputs_in(name: str) -> tuple[str, str]:
    """Return the words that keep raw outputs."""
    return "--outputs-directory", name


class Network:
    """An agent that is reached over sockets, its users, and how they reach it."""

    def __init__(self, lab: Lab, folder: Path, kind: str, isolation: str) -> None:
        self.lab, self.kind = lab, kind
        self.user = Home(folder / "user")
        store = folder / "models"
        words = ["network", "tflite", "--store-directory", str(store), "--store-limit", "100MB"]
        words += ["--isolation", isolation, "--token-file", str(lab.token), "--verbosity", "INFO"]
        words += ["--log-file", str(folder / "logs" / "agent"), "--log-limit-mib", "0.01"]
        self.store = store
        self.options: dict[str, Any] = {"token_file": lab.token}
        if kind == "unix":
            self.options["host"] = str(folder / "socket")
        else:
            with socket.create_server(("127.0.0.1", 0)) as probe:
                self.options["port"] = probe.getsockname()[1]
        if kind == "tls":
            certificate = lab.folder / "target-localhost.pem"
            words += ["--tls-certificate", str(certificate), "--tls-ca", str(lab.folder / "ca.pem")]
            self.options |= {
                "tls_ca": lab.folder / "ca.pem",
                "tls_certificate": lab.folder / "host-alice.pem",
            }
        flags = [(f"--{name.replace('_', '-')}", str(v)) for name, v in self.options.items()]
        self.words = [word for pair in flags for word in pair]
        where = [word for pair in flags if pair[0] in ("--host", "--port") for word in pair]
        if kind != "user":
            self.house = House(folder / "agent", [*words, *where])
            return
        # Another user can read neither the folders of root nor an interpreter there.
        self.house = House(folder / "agent", [*words, *where, "--run-as", "nobody"], PYTHON)
        self.house.home.environment["PYTHONPATH"] += f"{os.pathsep}{Path(np.__file__).parents[1]}"

    def client(self, hello: Hello, limit_s: float = DEAF_S) -> SampleClient:
        """Return a connected client, in this process."""
        client = SampleClient(NetworkProtocol(**self.options))
        client.connect(hello, answer_limit_s=limit_s)
        return client
