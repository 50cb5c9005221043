"""What a target says may be anything: it is refused or remarked when it is heard."""

import msgspec
import numpy as np
import pytest

import edge_tester
from edge_tester.core.agent import session_process
from edge_tester.core.errors import RemoteProtocolError
from edge_tester.core.record import Machine, read_record
from edge_tester.core.run import heard
from edge_tester.core.wire.client import BlockAnswer, Client
from edge_tester.core.wire.payloads import Counters, Welcome
from edge_tester.runtimes.echo import EchoRuntime
from tests.agents import echo_model
from tests.runs import EchoModel, assert_consistent, npz, plan_of, run

MACHINE = {"hostname": "board", "system": "Linux", "architecture": "aarch64"}
SECOND_NS = 1_000_000_000


def welcome(machine=MACHINE, version=edge_tester.__version__):
    return Welcome(
        version=version, runtime="echo", input_formats=[], runtime_options={}, machine=machine
    )


def answer(start_ns, end_ns, outputs=None, host_ns=()):
    count = len(start_ns) if outputs is None else outputs
    return BlockAnswer([[]] * count, start_ns, end_ns, list(host_ns), Counters(), 0)


def test_an_honest_target_is_believed():
    assert Machine(**MACHINE) == heard.machine_of(welcome())
    assert [] == heard.version_remarks(welcome())
    assert {"a": [1, None]} == heard.plain("Facts", {"a": (1, None)})
    heard.require_answer(answer([1, 5], [4, 9], host_ns=[10]), 2)
    # A clock may be too coarse for a fast model.
    heard.require_answer(answer([1, 1], [1, 1], host_ns=[10]), 2)
    heard.require_growth(Counters(inferences=2, cpu_time_ns=5), Counters(inferences=1))


@pytest.mark.parametrize(
    "machine",
    [
        {},
        {**MACHINE, "hostname": 7},
        {**MACHINE, "versions": {"python": 3}},
        {**MACHINE, "load_average": [float("nan")]},
        {**MACHINE, "memory_bytes": "much"},
    ],
)
def test_a_machine_that_is_none(machine):
    with pytest.raises(RemoteProtocolError, match="describes its machine wrongly"):
        heard.machine_of(welcome(machine))


def test_what_a_machine_calls_itself_moves_no_cursor():
    said = {**MACHINE, "hostname": "a\x1b[2Jb", "cpu_model": "x" * 999}
    found = heard.machine_of(welcome({**said, "versions": {"num\npy": "1\r2"}}))
    assert ("a\ufffd[2Jb", 200) == (found.hostname, len(found.cpu_model))
    assert {"num\ufffdpy": "1\ufffd2"} == found.versions


def test_another_version_is_remarked():
    (remark,) = heard.version_remarks(welcome(version="9.9"))
    assert f"has edge_tester 9.9, this host {edge_tester.__version__}" in remark


@pytest.mark.parametrize("value", [msgspec.msgpack.Ext(1, b"x"), object(), {None: 1}, "\udcff"])
def test_facts_that_nobody_can_record(value):
    with pytest.raises(RemoteProtocolError, match="nobody can record. The facts"):
        heard.plain("The facts", {"a": [value]})


@pytest.mark.parametrize("remarks", ["text", [1], {"a": "b"}, None])
def test_remarks_that_are_none(remarks):
    with pytest.raises(RemoteProtocolError, match="must be texts"):
        heard.remarks_in({"remarks": remarks})


@pytest.mark.parametrize(
    ("said", "count", "match"),
    [
        (answer([1], [2]), 2, "asked for 2 inferences, it gives 1 starts"),
        (answer([1, 2], [2]), 2, "2 starts, 1 ends"),
        (answer([1, 2], [2, 3], outputs=1), 2, "1 outputs"),
        (answer([5], [4]), 1, "clock goes backwards"),
        (answer([5, 1], [6, 2]), 2, "clock goes backwards"),
        (answer([0], [10 * SECOND_NS], host_ns=[SECOND_NS]), 1, "but answered within"),
    ],
)
def test_times_that_cannot_be(said, count, match):
    with pytest.raises(RemoteProtocolError, match=match):
        heard.require_answer(said, count)


def test_arrivals_that_were_not_waited_for():
    """Begins are counted from the begin of the block."""
    begun = answer([100, 120], [110, 130])._replace(begin_ns=90)
    heard.require_answer(begun, 2, [10, 30])
    with pytest.raises(RemoteProtocolError, match="Inference 1 of a block arrives after 31 ns"):
        heard.require_answer(begun, 2, [10, 31])
    with pytest.raises(RemoteProtocolError, match="a block began at 101 ns"):
        heard.require_answer(begun._replace(begin_ns=101), 2)


@pytest.mark.parametrize(
    ("now", "match"),
    [
        (Counters(inferences=1, cpu_time_ns=9), "inferences, went from 2 back to 1"),
        (Counters(inferences=3, cpu_time_ns=1), "cpu_time_ns, went from 5 back to 1"),
        (Counters(inferences=3, readings={"energy_j": float("inf")}), "energy_j = inf"),
    ],
)
def test_counters_that_shrink(now, match):
    with pytest.raises(RemoteProtocolError, match=match):
        heard.require_growth(now, Counters(inferences=2, cpu_time_ns=5))


def prepared(folder, **measurement):
    model = EchoModel(model_path=echo_model(folder).path)
    dataset = npz(folder, x=np.zeros((6, 4), np.uint8), y=np.zeros(6, int))
    return plan_of(model, dataset, EchoRuntime(), **measurement)


def test_a_target_that_lies_about_itself_is_refused_before_the_model_is_sent(tmp_path, monkeypatch):
    honest = session_process.welcome_of
    monkeypatch.setattr(
        session_process,
        "welcome_of",
        lambda runtime: msgspec.structs.replace(honest(runtime), machine={"hostname": []}),
    )
    monkeypatch.setattr(Client, "upload_model", lambda *_, **__: pytest.fail("it was sent"))
    with pytest.raises(RemoteProtocolError, match="describes its machine wrongly"):
        run(prepared(tmp_path))


def test_a_target_that_begins_to_lie_loses_the_block_and_no_other(tmp_path, monkeypatch):
    blocks, honest = [], Client.run_block

    def lying(self, *arguments, **keywords):
        found = honest(self, *arguments, **keywords)
        blocks.append(found)
        # The cold one, the second one, and three honest blocks come before.
        return found if len(blocks) < 6 else found._replace(end_ns=[0])

    monkeypatch.setattr(Client, "run_block", lying)
    path = tmp_path / "r.json"
    with pytest.raises(RemoteProtocolError, match="clock goes backwards"):
        run(prepared(tmp_path, conversation="classical"), path=path)
    record = read_record(path)
    assert 3 == len(record.target_ns)
    assert "clock goes backwards" in record.incomplete_reason
    assert_consistent(record)
