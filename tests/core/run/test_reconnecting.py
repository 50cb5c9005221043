"""A link that breaks is made anew, and the run goes on with the next block."""

import contextlib
import socket
import threading
import time

import numpy as np
import pytest

from edge_tester.core.errors import UnreachableError
from edge_tester.core.record import read_record
from edge_tester.core.run.benchmark import run_plan
from edge_tester.core.run.plan import Measurement, Plan
from edge_tester.core.run.together import Job, run_together
from edge_tester.runtimeprotocols.network import NetworkProtocol
from edge_tester.runtimes.echo import EchoRuntime
from tests.agents import echo_model, running_agent
from tests.core.run.test_measuring import Tens
from tests.runs import EchoModel, npz

COUNT = 60


class Cable:
    """What lies between host and agent; it is pulled after some messages to the host."""

    def __init__(self, folder, host, breaks, closed_s=0.0):
        self.path = str(folder / "cable")
        self.connections = 0
        self._target, self._breaks, self._closed_s = host, list(breaks), closed_s
        self._open_s = 0.0
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self):
        self._listener.close()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                host = self._listener.accept()[0]
                if time.monotonic() < self._open_s:
                    host.close()
                    continue
                self.connections += 1
                target = socket.socket(socket.AF_UNIX)
                target.connect(self._target)
                limit = self._breaks.pop(0) if self._breaks else None
                both = [(host, target, None), (target, host, limit)]
                for source, sink, most in both:
                    arguments = (source, sink, most, (host, target))
                    threading.Thread(target=self._carry, args=arguments, daemon=True).start()

    def _carry(self, source, sink, most, both):
        with contextlib.suppress(OSError):
            while piece := source.recv(1 << 16):
                sink.sendall(piece if most is None else piece[:most])
                if most is not None and (most := most - len(piece)) <= 0:
                    self._open_s = time.monotonic() + self._closed_s
                    break
        for one in both:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def plan(tmp_path):
    values = np.arange(COUNT * 4, dtype=np.uint8).reshape(COUNT, 4)
    dataset = npz(tmp_path, x=values, y=np.arange(COUNT) % 4)

    def plan_of(host, **measurement):
        model = EchoModel(model_path=echo_model(tmp_path).path)
        how = Measurement(**{"replicates": 2, **measurement})
        link = NetworkProtocol(host=host)
        return Plan(model, dataset, EchoRuntime(), None, link, how, Tens())

    return plan_of


@pytest.fixture
def agent(tmp_path):
    with running_agent(tmp_path) as running:
        yield running


def bytes_of_a_replicate(folder, agent, plan) -> int:
    """What the host hears in one, by a cable that counts."""
    cable = Cable(folder, agent.host, [])
    heard = []

    def counting(source, sink, most, both):
        with contextlib.suppress(OSError):
            while piece := source.recv(1 << 16):
                if sink is both[0]:
                    heard.append(len(piece))
                sink.sendall(piece)
        for one in both:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    cable._carry = counting
    run_plan(plan(cable.path), folder / "whole.json")
    cable.close()
    (folder / "cable").unlink()
    return sum(heard) // 2


@pytest.mark.parametrize("shares", [[0.85], [0.96], [None, 0.85]], ids=str)
def test_every_sample_is_answered_once_and_the_gap_is_said(tmp_path, agent, plan, shares):
    whole = bytes_of_a_replicate(tmp_path, agent, plan)
    # What is before the first block is the same for each connection.
    breaks = [share and int(whole * share) for share in shares]
    cable = Cable(tmp_path, agent.host, breaks, closed_s=0.7)
    record = run_plan(plan(cable.path), tmp_path / "r.json")
    cable.close()
    assert record.complete and list(range(COUNT)) == record.predictions.index
    blocks = [block for part in record.replicates for block in part.blocks]
    assert COUNT == sum(len(block.target_ns) for block in blocks)
    (said,) = [one for one in record.remarks if "link was lost" in one]
    assert "made anew after" in said and "a fresh process went on" in said
    assert read_record(tmp_path / "r.json") == record


@pytest.mark.parametrize("shares", [[0.8], [None, 0.8], [0.8, 0.9], [0.8, 0.9, 0.7]], ids=str)
def test_those_that_are_measured_together_go_on_together(tmp_path, agent, plan, shares):
    whole = bytes_of_a_replicate(tmp_path, agent, plan)
    breaks = [share and int(whole * share) for share in shares]
    cable = Cable(tmp_path, agent.host, breaks, closed_s=0.7)
    jobs = [Job(plan(cable.path).fresh(), tmp_path / f"{name}.json") for name in "ab"]
    records = run_together(jobs)
    cable.close()
    for record in records:
        assert record.complete and list(range(COUNT)) == record.predictions.index
        blocks = [block for part in record.replicates for block in part.blocks]
        assert COUNT == sum(len(block.target_ns) for block in blocks)
    lost = [said for one in records for said in one.remarks if "link was lost" in said]
    # Whoever opens a session while the cable is out has lost its link too.
    assert sum(share is not None for share in shares) <= len(lost)


def test_together_with_one_that_is_given_up_the_other_goes_on(tmp_path, agent, plan):
    whole = bytes_of_a_replicate(tmp_path, agent, plan)
    cable = Cable(tmp_path, agent.host, [int(whole * 0.8)], closed_s=3600)
    (tmp_path / "other").mkdir()
    with running_agent(tmp_path / "other") as other:
        gone, record = run_together(
            [
                Job(plan(cable.path, reconnect_s=2.0).fresh(), tmp_path / "a.json"),
                Job(plan(other.host).fresh(), tmp_path / "b.json"),
            ]
        )
    cable.close()
    assert isinstance(gone, UnreachableError) and not read_record(tmp_path / "a.json").complete
    assert record.complete and list(range(COUNT)) == record.predictions.index


def test_it_may_break_again_and_again(tmp_path, agent, plan):
    whole = bytes_of_a_replicate(tmp_path, agent, plan)
    breaks = [int(whole * share) for share in (0.9, 0.5, 0.5)]
    cable = Cable(tmp_path, agent.host, breaks)
    record = run_plan(plan(cable.path), tmp_path / "r.json")
    cable.close()
    assert record.complete and list(range(COUNT)) == record.predictions.index
    assert 4 <= cable.connections


def test_it_is_given_up_after_a_time_and_what_was_measured_is_kept(tmp_path, agent, plan):
    whole = bytes_of_a_replicate(tmp_path, agent, plan)
    cable = Cable(tmp_path, agent.host, [int(whole * 0.96)], closed_s=3600)
    with pytest.raises(UnreachableError):
        run_plan(plan(cable.path, reconnect_s=2.0), tmp_path / "r.json")
    cable.close()
    record = read_record(tmp_path / "r.json")
    assert not record.complete and 0 < len(record.predictions.index) < COUNT


def test_what_never_gets_further_is_given_up_too(tmp_path, agent, plan):
    """As where a block takes the target down each time."""
    whole = bytes_of_a_replicate(tmp_path, agent, plan)
    cable = Cable(tmp_path, agent.host, [int(whole * share) for share in [0.96, *[0.5] * 20]])
    with pytest.raises(UnreachableError):
        run_plan(plan(cable.path, reconnect_s=2.0), tmp_path / "r.json")
    cable.close()
    assert 3 == cable.connections


def test_without_time_for_it_the_run_ends_at_once(tmp_path, agent, plan):
    whole = bytes_of_a_replicate(tmp_path, agent, plan)
    cable = Cable(tmp_path, agent.host, [int(whole * 0.96)])
    with pytest.raises(UnreachableError):
        run_plan(plan(cable.path, reconnect_s=0.0), tmp_path / "r.json")
    cable.close()
    assert 1 == cable.connections


def test_where_nobody_ever_answered_nothing_is_tried_again(tmp_path, plan):
    begun_s = time.monotonic()
    with pytest.raises(UnreachableError, match="No agent answers"):
        run_plan(plan(str(tmp_path / "nowhere")), tmp_path / "r.json")
    assert time.monotonic() - begun_s < 60
