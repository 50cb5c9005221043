"""Fresh processes that share the samples."""

import itertools
import signal

import msgspec
import numpy as np
import pytest

from edge_tester.core.errors import OptionError, RemoteProtocolError
from edge_tester.core.record import read_record
from edge_tester.core.run.deployment import deploy
from edge_tester.core.run.feed import Feed
from edge_tester.core.run.journal import journal_of, recover
from edge_tester.core.run.observer import Observer
from edge_tester.core.run.plan import Measurement, Plan
from edge_tester.core.run.replication import Replication
from edge_tester.core.tensors import TensorSpec
from edge_tester.runtimes.echo import EchoRuntime
from tests.agents import echo_model
from tests.known_costs import KnownCostsRuntime
from tests.runs import EchoModel, npz, plan_of, run

MILLISECOND_NS = 1_000_000


def parts(folder, count):
    model = EchoModel(model_path=echo_model(folder).path)
    values = np.arange(count * 4, dtype=np.uint8).reshape(count, 4)
    return model, npz(folder, x=values, y=np.arange(count) % 4)


def plan(folder, count=60, runtime=None, **measurement):
    """A plan for an agent of its own."""
    return Plan(
        *parts(folder, count), runtime or EchoRuntime(), measurement=Measurement(**measurement)
    )


def shared(folder, count, size=1, *, stateful=False, load_s=0.0, **measurement):
    """Return the shares of all replicates, and what was said of them."""
    model, dataset = parts(folder, count)
    dataset.prepare()
    spec = TensorSpec("x", (None, 4), "uint8")
    feed = Feed(model, dataset, [spec], [spec], dataset.test_indices(), size=size)
    made = Replication(Measurement(**measurement), feed, stateful=stateful, single=False)
    shares = []
    while made.more:
        shares.append(made.next(MILLISECOND_NS, load_s if shares else 0.0))
    return feed, shares, made.remark


@pytest.mark.parametrize(("count", "size"), [(60, 1), (359, 1), (103, 2), (1000, 7)])
def test_five_share_the_samples_so_that_each_is_run_once(tmp_path, count, size):
    feed, shares, remark = shared(tmp_path, count, size)
    assert 5 == len(shares)
    assert feed.indices.tolist() == [index for one in shares for index in one.indices]
    inferences = [feed.inferences(one.indices) for one in shares]
    assert inferences == [one.inferences for one in shares]
    # No more inferences than one replicate would have: whole ones are shared, and evenly.
    assert feed.inferences(feed.indices) == sum(inferences)
    assert max(inferences) - min(inferences) <= 1
    assert remark is None


def test_few_samples_are_not_divided_until_nothing_is_left(tmp_path):
    for count, expected in ((49, 4), (10, 1), (3, 1)):
        _, shares, remark = shared(tmp_path, count)
        assert expected == len(shares)
        assert f"there are {count} inferences to share" in remark
        assert "--replicates N" in remark


def test_a_load_that_takes_long_happens_less_often_and_nothing_is_lost(tmp_path):
    """1,000 inferences of 1 ms: the rest after the first fifth takes about 0.85 s."""
    for load_s, expected in ((1.0, 5), (2.0, 4), (6.0, 2)):
        feed, shares, remark = shared(tmp_path, 1000, load_s=load_s)
        assert expected == len(shares)
        assert feed.indices.tolist() == [index for one in shares for index in one.indices]
        assert (remark is None) == (expected == 5)
    assert "one takes 6.0 s until it begins" in remark
    _, shares, remark = shared(tmp_path, 1000, load_s=6.0, replicates=5)
    assert 5 == len(shares) and remark is None


def test_a_state_is_not_torn_apart(tmp_path):
    feed, shares, remark = shared(tmp_path, 100, stateful=True)
    assert [100] == [len(one.indices) for one in shares]
    assert "keeps a state" in remark
    _, shares, remark = shared(tmp_path, 100, stateful=True, replicates=3)
    assert [(100, 100), (0, 100), (0, 100)] == [(len(o.indices), o.inferences) for o in shares]


def test_more_inferences_than_samples_are_shared_too(tmp_path):
    _, shares, _ = shared(tmp_path, 50, min_count=503, min_duration_s=1.0)
    assert [10] * 5 == [len(one.indices) for one in shares]
    assert 503 == sum(one.inferences for one in shares)
    assert 10**9 == sum(one.duration_ns for one in shares)


def test_each_replicate_is_a_fresh_process(tmp_path):
    """The first run of each process takes longer; so does its load, and its memory is new."""
    found = run(plan(tmp_path, 60, KnownCostsRuntime(load_bytes=20 << 20)))
    assert 5 == len(found.replicates)
    assert [12] * 5 == [sum(len(b.target_ns) for b in one.blocks) for one in found.replicates]
    for one in found.replicates:
        assert one.complete
        grown = one.memory.peak_bytes - one.memory.before_load_bytes
        # A second load in the same process would have twice as much.
        assert 20 << 20 <= grown < 35 << 20
    assert 5 == len({one.cold_start.load_ns for one in found.replicates})
    assert list(range(60)) == found.predictions.index
    assert found.target_ns == [
        t for one in found.replicates for b in one.blocks for t in b.target_ns
    ]
    assert [] == [text for text in found.remarks if "replicate" in text]


def test_samples_are_run_again_for_time_alone(tmp_path):
    once = run(plan(tmp_path, replicates=1))
    more = run(plan(tmp_path, min_count=200))
    assert 200 == len(more.target_ns)
    assert once.predictions == more.predictions and once.quality == more.quality
    assert once.input_facts == more.input_facts
    longer = run(plan(tmp_path, 60, KnownCostsRuntime(sleep_ns=MILLISECOND_NS), min_duration_s=0.5))
    assert 500 * MILLISECOND_NS <= sum(time_ns for one in longer.blocks for time_ns in one.host_ns)
    assert len(longer.target_ns) > 60
    assert longer.predictions.index == list(range(60))


def test_this_very_process_is_no_fresh_one(tmp_path):
    record = run(plan_of(*parts(tmp_path, 60), EchoRuntime()))
    assert 1 == len(record.replicates)
    assert [] == [text for text in record.remarks if "replicate" in text]
    with pytest.raises(OptionError, match="LoopbackProtocol .* several replicates. Use an agent"):
        run(plan_of(*parts(tmp_path, 60), EchoRuntime(), replicates=3))


def test_a_target_that_becomes_another_is_noticed(tmp_path):
    mine = plan_of(*parts(tmp_path, 60), EchoRuntime())
    mine.dataset.prepare()
    artifact = mine.model.artifact()
    with deploy(mine, artifact, Observer()) as first:
        pass
    machine = msgspec.structs.replace(first.machine, hostname="elsewhere")
    for what, change in (
        ("machine", {"machine": machine}),
        ("options of the runtime", {"runtime_options": {"num_threads": 3}}),
    ):
        for name, value in change.items():
            kept = getattr(first, name)
            setattr(first, name, value)
            with pytest.raises(RemoteProtocolError, match=f"every replicate: the {what} was"):
                with deploy(mine, artifact, Observer(), first=first):
                    pass
            setattr(first, name, kept)
    with deploy(mine, artifact, Observer(), first=first):
        pass


class Interrupting(Observer):
    """Presses Ctrl-C in the third replicate."""

    def __init__(self):
        self.samples = None

    def begin(self, what, total, unit):
        self.samples = 0 if unit == "samples" else None

    def advance(self, count):
        if self.samples is not None:
            self.samples += count
            if self.samples == 36:
                signal.raise_signal(signal.SIGINT)


def test_an_interrupted_run_keeps_whole_replicates(tmp_path):
    path = tmp_path / "r.json"
    with pytest.raises(KeyboardInterrupt):
        run(plan(tmp_path), Interrupting(), path)
    record = read_record(path)
    assert not record.complete
    assert [True, True, False] == [one.complete for one in record.replicates]
    assert list(range(36)) == record.predictions.index
    assert 36 == record.quality.samples


def test_a_journal_knows_its_replicates(tmp_path, monkeypatch):
    path = tmp_path / "r.json"
    with monkeypatch.context() as patch:
        patch.setattr("edge_tester.core.run.running.Run._write", lambda run, record: None)
        made = run(plan(tmp_path), path=path)
    lines = journal_of(path).read_bytes().splitlines(keepends=True)
    assert 1 + 5 == len(lines)
    found = read_record(recover(path))
    assert [True] * 4 + [False] == [one.complete for one in found.replicates]
    for mine, theirs in itertools.zip_longest(made.replicates, found.replicates):
        assert (mine.started, mine.blocks, mine.memory, mine.cold_start) == (
            *(theirs.started, theirs.blocks, theirs.memory, theirs.cold_start),
        )
