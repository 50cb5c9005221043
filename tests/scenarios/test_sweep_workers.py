"""Workers that share a PostgreSQL server, each with an agent; one of them is killed."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import yaml

from edge_tester.core.search.databases import engine_options
from tests.agents import running_agent
from tests.databases import postgresql
from tests.scenarios.conftest import ROOT

# Generous: the machine that runs the tests has other things to do.
LIMIT_S = 600
LEASE_S = 6
TRIALS = 5
pytestmark = pytest.mark.timeout(LIMIT_S + 60)
ASKED = {
    "modelwrapper": {"class": "pytorch_digits", "model_path": "digits.pth"},
    "dataset": "digits",
    "training": {"num_epochs": 2},
    "space": {"pruning": {"low": 0, "high": 0.8}, "precision": ["fp32", "int8"]},
    "limits": {"parameters": 4000},
    "measurement": {"replicates": 1},
    "report_directory": "swept",
}


class Worker:
    """A process of the command, and what it says."""

    def __init__(self, user, name):
        self.log = user.folder / f"{name}.log"
        self.output = user.folder / f"{name}.out"
        with self.log.open("wb") as log, self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "edge_tester", "sweep", "sweep.yml"],
                cwd=user.folder,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=output,
                stderr=log,
            )

    def says(self, text, end_s):
        while text not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end_s, self.log.read_text()
            time.sleep(0.05)

    @property
    def device(self):
        (line,) = [one for one in self.log.read_text().splitlines() if one.startswith("Device: ")]
        return line.removeprefix("Device: ")


@pytest.fixture(scope="module")
def server():
    with postgresql() as found, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGPASSFILE", str(found.password_file))
        yield found


@pytest.fixture(scope="module")
def swept(user, server, tmp_path_factory):
    """All workers, the killed one first, and the folder of what they left."""
    pytest.importorskip("torch_pruning")
    pytest.importorskip("optuna")
    end_s = time.monotonic() + LIMIT_S
    with contextlib.ExitStack() as stack:
        targets, held = {}, []
        for name in "ab":
            folder = tmp_path_factory.mktemp(name)
            agent = stack.enter_context(running_agent(folder, runtime="onnxruntime"))
            targets[name] = {"class": "network", "host": agent.host}
            # While somebody else has it, the trial of a worker has begun and does not end.
            held.append(agent.connect())
            stack.callback(held[-1].disconnect)
        search = {"method": "tpe", "trials": TRIALS, "lease_s": LEASE_S, "storage": server.address}
        content = {**ASKED, "targets": targets, "search": search}
        (user.folder / "sweep.yml").write_text(yaml.safe_dump(content, sort_keys=False))
        workers = [Worker(user, name) for name in ("first", "second")]
        stack.callback(lambda: [one.process.kill() for one in workers])
        killed = workers[0]
        for one in workers:
            one.says(" in line", end_s)
        refused = user.run("sweep", "sweep.yml")
        killed.process.send_signal(signal.SIGKILL)
        killed.process.wait()
        workers.append(Worker(user, "third"))
        workers[2].says("Device: ", end_s)
        for client in held:
            client.disconnect()
        for one in workers[1:]:
            one.process.wait(end_s - time.monotonic())
        yield workers, refused, user.folder / "swept"


@pytest.fixture(scope="module")
def trials(swept, server):
    """All that the study has in the end."""
    import optuna

    storage = optuna.storages.RDBStorage(server.address, engine_options(server.address))
    return optuna.load_study(study_name="sweep", storage=storage).get_trials()


def states(trials):
    return [one.state.name for one in trials]


def test_a_worker_for_whom_there_is_no_device_is_refused(swept):
    status, _, errors = swept[1]
    assert 2 == status
    last = errors.splitlines()[-1]
    assert last.startswith("error: every device is in use by another worker: a is that of ")


def test_the_others_complete_the_study(swept, trials):
    workers = swept[0]
    assert [-signal.SIGKILL, 0, 0] == [one.process.returncode for one in workers]
    # Two that find the last one lacking in the same moment try one too many.
    ended = states(trials).count("COMPLETE")
    assert ended in (TRIALS, TRIALS + 1)
    assert 1 == states(trials).count("FAIL")
    assert ended + 1 == len(trials)


def test_what_the_killed_one_was_at_is_tried_again_by_another(swept, trials):
    killed = swept[0][0]
    (lost,) = [one for one in trials if one.state.name == "FAIL"]
    assert killed.device == lost.user_attrs["device"]
    again = [one for one in trials if one.params == lost.params and one is not lost]
    assert [("COMPLETE", 1)] == [(one.state.name, one.user_attrs["begun again"]) for one in again]
    assert lost.user_attrs["worker"] != again[0].user_attrs["worker"]


def test_its_device_is_that_of_another_when_the_lease_has_expired(swept, trials):
    killed, second, third = swept[0]
    assert {"a", "b"} == {killed.device, second.device}
    assert killed.device == third.device
    assert "Waiting to see whether the holders are alive" in third.log.read_text()
    for device in "ab":
        spans = [
            (one.datetime_start, one.datetime_complete)
            for one in trials
            if one.user_attrs["device"] == device
        ]
        spans.sort()
        assert all(one[1] <= following[0] for one, following in zip(spans, spans[1:], strict=False))
        assert len(spans) > 0


def test_workers_do_not_try_the_same(trials):
    found = [json.dumps(one.params) for one in trials if one.state.name == "COMPLETE"]
    assert len(set(found)) == len(found)


def test_each_of_them_leaves_the_whole_report(swept, trials):
    workers, _, folder = swept
    names = {
        content["name"]
        for one in trials
        for content in one.user_attrs.get("trials", [])
        if one.state.name == "COMPLETE"
    }
    for worker in workers[1:]:
        own = folder / worker.device
        manifest = json.loads((own / "manifest.json").read_text())
        assert names == {entry["trial"] for entry in manifest["entries"]}
        assert names == {path.stem for path in (own / "trials").glob("*.json")}
        page = (own / "report.html").read_text()
        assert "made by other workers are told in the reports of these" in page
        assert "a secret" not in page + json.dumps(manifest)
