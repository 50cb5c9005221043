"""Time per operator in a run: of a process of its own, and never the end of the others."""

import re

import msgspec
import numpy as np
import pytest

from edge_tester.core.errors import (
    LocalProtocolError,
    OptionError,
    RemoteProtocolError,
    TargetError,
)
from edge_tester.core.record import read_record, write_record
from edge_tester.core.results.profile import OperatorTime, Profile
from edge_tester.core.run import heard
from edge_tester.core.run.benchmark import run_plan
from edge_tester.core.run.capabilities import require_feature
from edge_tester.core.run.plan import Measurement, Plan
from edge_tester.core.wire import payloads
from edge_tester.core.wire.frames import Type
from edge_tester.core.wire.payloads import Welcome
from edge_tester.core.wire.profiling import profiled
from edge_tester.runtimeprotocols.network import NetworkProtocol
from edge_tester.runtimes.echo import EchoRuntime
from tests.agents import echo_model, running_agent, sample
from tests.profiling_runtimes import ProfilingEcho, operators
from tests.runs import EchoModel, measured, npz

RUNTIME = "tests.profiling_runtimes.ProfilingEcho"


@pytest.fixture
def parts(tmp_path):
    model = EchoModel(model_path=echo_model(tmp_path, 4, 100_000).path)
    return model, npz(tmp_path, x=np.zeros((30, 4), np.uint8))


@pytest.fixture(scope="module")
def agent(tmp_path_factory):
    with running_agent(tmp_path_factory.mktemp("agent"), runtime=RUNTIME) as agent:
        yield agent


def on_agent(parts, agent, tmp_path, fault="none", **measurement):
    runtime = ProfilingEcho(fault=fault)
    how = Measurement(profile=True, replicates=2, **measurement)
    plan = Plan(*parts, runtime, None, NetworkProtocol(host=agent.host), how)
    return run_plan(plan, tmp_path / "r.json")


def test_a_run_keeps_the_times_of_operators(parts, agent, tmp_path):
    record = on_agent(parts, agent, tmp_path)
    assert record.complete
    assert ["Op0", "Op1"] == [one.type for one in record.profile.operators]
    assert [2 / 3, 1 / 3] == [record.profile.share(one) for one in record.profile.operators]
    assert record == read_record(tmp_path / "r.json")
    # As many inferences as 2 replicates share, and none of the profile.
    assert 30 == len(record.target_ns)
    assert 2 == len(record.replicates)
    assert [] == record.remarks


def test_nobody_profiles_unasked(parts):
    assert measured(*parts, ProfilingEcho()).profile is None


def test_it_works_in_one_process(parts):
    record = measured(*parts, ProfilingEcho(), profile=True)
    assert 300_000 == record.profile.total_ns


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("crash", "SIGSEGV"),
        ("error", "the profiler is upside down"),
        ("no profile", "must give a Profile, got None"),
        ("huge", "70000 operators"),
        ("nonsense", "must be 0, 1, 2 and so on, got \\[0, 0\\]"),
    ],
)
def test_a_profile_that_goes_wrong_costs_no_other_figure(parts, agent, tmp_path, fault, said):
    record = on_agent(parts, agent, tmp_path, fault)
    assert record.complete
    assert record.profile is None
    assert 30 == len(record.target_ns)
    (remark,) = record.remarks
    assert re.search(said, remark), remark
    assert "no time per operator, the profiled run failed" in remark


def test_a_profile_that_hangs_is_ended_by_the_target(parts, tmp_path):
    with running_agent(tmp_path, "--time-limit-s", "2", runtime=RUNTIME) as agent:
        record = on_agent(parts, agent, tmp_path, "hang")
    assert record.complete
    assert "took longer than the target's limit of 2 s" in record.remarks[0]


def test_a_runtime_that_cannot_is_refused_before_anything_is_done(parts):
    with pytest.raises(OptionError, match=r"EchoRuntime cannot tell.*works with .*onnxruntime, op"):
        measured(*parts, EchoRuntime(), profile=True)


def test_a_target_that_cannot_is_refused_before_it_is_measured(parts):
    plan = Plan(*parts, ProfilingEcho(), measurement=Measurement(profile=True))
    welcome = Welcome(
        version="0.0", runtime="echo", input_formats=[], runtime_options={}, machine={}
    )
    with pytest.raises(OptionError, match=r"target's echo \(edge_tester 0.0\).*--profile"):
        require_feature(plan, welcome)
    require_feature(plan, msgspec.structs.replace(welcome, features=["profile"]))
    require_feature(Plan(*parts, ProfilingEcho()), welcome)


def loaded(agent, tmp_path):
    client = agent.connect()
    client.upload_model(echo_model(tmp_path))
    return client


def test_only_a_runtime_that_can_names_the_feature(tmp_path):
    with running_agent(tmp_path) as agent:
        client = loaded(agent, tmp_path)
        assert "profile" not in client.welcome.features
        with pytest.raises(LocalProtocolError, match="does not tell the time per operator"):
            profiled(client, sample(), 5)
        client.run_sample(sample())
        request = client.conversation.request(Type.PROFILE, [payloads.PROFILE.pack(0, 5)])
        with pytest.raises(TargetError, match="EchoRuntime does not tell") as caught:
            client.conversation.answer(request, 0)
        assert "unsupported" == caught.value.code
        # And the session goes on.
        assert 1 == client.counters().inferences
        client.disconnect()


def test_profiled_inferences_do_not_count(agent, tmp_path):
    client = loaded(agent, tmp_path)
    client.run_sample(sample())
    before = client.counters()
    assert 2 == len(profiled(client, sample(), 5).operators)
    after = client.counters()
    assert (1, before.cpu_time_ns) == (after.inferences, after.cpu_time_ns)
    client.disconnect()


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (payloads.PROFILE.pack(0, 0), "1 to 1000 inferences, got 0"),
        (payloads.PROFILE.pack(0, 1001), "1 to 1000 inferences, got 1001"),
        (payloads.PROFILE.pack(9, 5), "names slots 9 to 9"),
        (b"\0", "A PROFILE of 1 bytes"),
    ],
)
def test_a_request_that_breaks_the_protocol_ends_the_session(agent, tmp_path, payload, said):
    client = loaded(agent, tmp_path)
    client.run_sample(sample())
    with pytest.raises(TargetError, match=said) as caught:
        client.conversation.answer(client.conversation.request(Type.PROFILE, [payload]), 0)
    assert "protocol" == caught.value.code
    client.disconnect()


def test_a_slot_without_inputs_has_nothing_to_profile(agent, tmp_path):
    client = loaded(agent, tmp_path)
    request = client.conversation.request(Type.PROFILE, [payloads.PROFILE.pack(0, 5)])
    with pytest.raises(TargetError, match="PROFILE is not allowed for slot 0, which is empty"):
        client.conversation.answer(request, 0)
    client.disconnect()


@pytest.mark.parametrize(
    ("profile", "said"),
    [
        (Profile(tool="x"), "0 operators, and why there are none: ''"),
        (Profile(tool="x", operators=operators(1), unavailable="off", inferences=1), "'off'"),
        (Profile(tool="x", operators=operators(1)), "over no inference"),
        (Profile(tool="x", operators=operators(0, 0), inferences=1), "none of 2 operators took"),
        (
            Profile(tool="x", operators=operators(1 << 62, 1 << 62), inferences=1),
            f"took {1 << 63} ns",
        ),
    ],
)
def test_a_profile_that_cannot_be_is_refused(profile, said):
    with pytest.raises(RemoteProtocolError, match=said):
        heard.profile_in(profile)


@pytest.mark.parametrize("field", ["time_ns", "place"])
def test_negative_numbers_are_none(field):
    said = {"place": 0, "type": "x", "time_ns": 1, field: -1}
    content = payloads.encode({"tool": "x", "operators": [said], "inferences": 1})
    with pytest.raises(RemoteProtocolError, match=field):
        payloads.decode(content, Profile)


def test_names_of_a_target_do_not_move_the_cursor():
    one = OperatorTime(place=0, type="a\x1b[2J", name="b" * 999, time_ns=1, delegate="c\n")
    profile = Profile(tool="d\r", operators=[one], inferences=1, remarks=["e\x07"])
    kept = heard.profile_in(profile)
    texts = [kept.tool, *kept.remarks, kept.operators[0].type, kept.operators[0].delegate]
    assert all(text.isprintable() for text in texts)
    assert 300 == len(kept.operators[0].name)


def test_a_record_with_a_profile_is_read_as_it_was_written(parts, tmp_path):
    record = measured(*parts, ProfilingEcho(), profile=True)
    write_record(record, tmp_path / "r.json")
    assert record == read_record(tmp_path / "r.json")
