"""Plans that are dealt out to several targets, with real agents."""

import threading

import numpy as np
import pytest

from edge_tester.core.run.dealing import at_once, dealt
from edge_tester.core.run.matrix import MatrixRun, dealt_out
from edge_tester.core.run.observer import Observer
from edge_tester.core.run.plan import Measurement, Plan
from edge_tester.runtimeprotocols.network import NetworkProtocol
from edge_tester.runtimes.echo import EchoRuntime
from tests.agents import echo_model, running_agent
from tests.runs import EchoModel, npz


class Told(Observer):
    """Keeps what it is told."""

    def __init__(self):
        self.lines = []

    def tell(self, text):
        self.lines.append(text)


def test_items_are_dealt_one_after_another_and_always_alike():
    assert {"a": [0, 2, 4], "b": [1, 3]} == dealt(range(5), "ab")
    assert {"a": [0]} == dealt(range(1), "ab")


@pytest.fixture
def hosts(tmp_path):
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    with running_agent(folders[0]) as first, running_agent(folders[1]) as second:
        yield first.host, second.host


def plans(folder, count=4):
    values = np.arange(80, dtype=np.uint8).reshape(20, 4)
    dataset = npz(folder, x=values, y=np.arange(20) % 4)
    model = EchoModel(model_path=echo_model(folder).path)
    how = Measurement(replicates=1)
    return {
        f"plan-{number}": Plan(model, dataset, EchoRuntime(), None, None, how)
        for number in range(count)
    }


def places(run) -> dict[str, str]:
    found = {}
    for path, record in run.records().items():
        (link,) = [part for part in record.components if part.role == "runtimeprotocol"]
        found[path.stem] = link.options["host"]
    return found


def test_plans_run_on_all_targets_and_records_say_where(tmp_path, hosts):
    pool, told = [NetworkProtocol(host=host) for host in hosts], Told()
    run = MatrixRun(dealt_out(plans(tmp_path), pool), tmp_path / "matrix", at_once=True)
    assert {} == run.run(told)
    expected = {f"plan-{number}": hosts[number % 2] for number in range(4)}
    assert expected == places(run)
    for host in hosts:
        assert any(line.startswith(f"{host}: Running plan-") for line in told.lines)
    # What was done before is found again, on the same target.
    again = Told()
    assert {} == MatrixRun(dealt_out(plans(tmp_path), pool), tmp_path / "matrix", at_once=True).run(
        again
    )
    assert 4 == sum("done before" in line for line in again.lines)


def test_one_target_that_is_gone_costs_its_own_share(tmp_path, hosts):
    pool = [NetworkProtocol(host=hosts[0]), NetworkProtocol(host=str(tmp_path / "nowhere"))]
    run = MatrixRun(dealt_out(plans(tmp_path), pool), tmp_path / "matrix", at_once=True)
    failures = run.run(Told())
    assert {"plan-1", "plan-3"} == set(failures)
    assert all("No agent answers" in reason for reason in failures.values())
    assert {"plan-0", "plan-2"} == set(places(run))


def test_targets_work_at_the_same_time():
    meeting = threading.Barrier(2)
    at_once({name: lambda observer: meeting.wait(20) for name in "ab"}, Observer())


@pytest.mark.parametrize("kind", [KeyboardInterrupt, RuntimeError])
def test_what_ends_one_ends_all(kind):
    ended = []

    def fail(observer):
        raise kind

    def work(observer):
        try:
            while True:
                observer.advance(1)
        finally:
            ended.append(True)

    with pytest.raises(kind):
        at_once({"a": work, "b": fail}, Observer())
    assert [True] == ended
