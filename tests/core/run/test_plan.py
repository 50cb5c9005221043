import importlib.resources
import json
import shutil

import pytest

from edge_tester.compilers.onnx import ONNXCompiler
from edge_tester.core.errors import OptionError, PluginError
from edge_tester.core.run.plan import Measurement, Plan
from edge_tester.datasets.digits import DigitsDataset
from edge_tester.modelwrappers.generic.onnx_file import ONNXFile
from edge_tester.patterns.single_stream import SingleStream
from edge_tester.runtimeprotocols.network import NetworkProtocol
from edge_tester.runtimes.onnxruntime import ONNXRuntime
from edge_tester.runtimes.tflite import TFLiteRuntime
from tests.onnx_models import write

RESOURCES = importlib.resources.files("edge_tester.resources")


@pytest.fixture
def plan(tmp_path):
    return Plan(
        ONNXFile(model_path=write(tmp_path / "m.onnx", "single")),
        DigitsDataset(limit=7),
        ONNXRuntime(num_threads=2),
        ONNXCompiler(target="int8"),
        NetworkProtocol(port=1234),
        Measurement(pace="isolated"),
        SingleStream(block_s=0.5),
    )


def test_a_plan_survives_json(plan):
    mapping = json.loads(json.dumps(plan.to_mapping()))
    again = Plan.from_mapping(mapping)
    assert plan == again
    assert mapping == again.to_mapping()
    assert all(
        getattr(plan, name) is not getattr(again, name) for name in plan.__dataclass_fields__
    )


def test_only_what_was_chosen_is_in_a_mapping(plan):
    """What is sent to a target must be what somebody chose, also after a round trip."""
    assert {"num_threads": 2} == plan.fresh().runtime.chosen_options()
    bare = Plan(plan.model, plan.dataset, ONNXRuntime())
    assert {"modelwrapper", "dataset", "runtime", "measurement", "pattern"} == set(
        bare.to_mapping()
    )
    assert bare == bare.fresh()


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"runtim": "tflite"}, OptionError, "no part 'runtim'; did you mean 'runtime'"),
        ({"runtime": None}, OptionError, "must have a runtime"),
        ({"runtime": "tflit"}, PluginError, "did you mean 'tflite'"),
        ({"runtime": {"num_threads": 1}}, OptionError, "runtime must name its 'class'"),
        ({"runtime": 7}, OptionError, "runtime must be a class's name or a mapping"),
        ({"measurement": {"pac": "loop"}}, OptionError, "did you mean 'pace'"),
        ({"pattern": "edge_tester.core.run.plan.Measurement"}, PluginError, "is no pattern"),
    ],
)
def test_what_does_not_exist_is_refused(plan, change, error, said):
    with pytest.raises(error, match=said):
        Plan.from_mapping({**plan.to_mapping(), **change})


CHANGES = {
    "model": lambda p: {"model": ONNXFile(model_path=p.model.model_path, input_scale=2.0)},
    "dataset": lambda p: {"dataset": DigitsDataset(limit=8)},
    "runtime": lambda p: {"runtime": ONNXRuntime(num_threads=1)},
    "compiler": lambda p: {"compiler": ONNXCompiler(target="int8")},
    "link": lambda p: {"protocol": NetworkProtocol(port=1235)},
    "here": lambda p: {"protocol": None},
    "measurement": lambda p: {"measurement": Measurement(pace="loop")},
    "pattern": lambda p: {"pattern": SingleStream(block_s=0.6)},
}


def key_of(plan):
    plan.dataset.prepare()
    return plan.key()


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_the_key_tells_what_is_measured(tmp_path, change):
    """Equal plans have equal keys, whatever was done with one; each part counts."""
    path = tmp_path / "m.onnx"
    shutil.copy(RESOURCES / "digits.onnx", path)
    parts = {
        "model": ONNXFile(model_path=path),
        "dataset": DigitsDataset(limit=7),
        "runtime": ONNXRuntime(num_threads=2),
        "compiler": None,
        "protocol": NetworkProtocol(port=1234),
        "measurement": Measurement(pace="isolated"),
        "pattern": SingleStream(block_s=0.5),
    }
    plan = Plan(**parts)
    assert key_of(plan) == key_of(plan.fresh())
    assert key_of(plan) != key_of(Plan(**{**parts, **change(plan)}))


def test_the_content_of_the_model_counts_too(tmp_path):
    path = write(tmp_path / "m.onnx", "single")
    plan = Plan(ONNXFile(model_path=path), DigitsDataset(limit=7), ONNXRuntime())
    before = key_of(plan)
    assert before == key_of(plan.fresh())
    path.write_bytes(write(tmp_path / "other.onnx", "two").read_bytes())
    assert before != key_of(plan.fresh())


def test_options_of_the_owner_are_never_sent(plan):
    """An agent of one's own has them from its flags, another one has those of its owner."""
    runtime = TFLiteRuntime.from_options({"save_model_path": "x", "num_threads": 2})
    own = Plan(plan.model, plan.dataset, runtime)
    there = Plan(plan.model, plan.dataset, runtime, protocol=NetworkProtocol())
    for one, owners in ((own, {}), (there, {"save_model_path": "x"})):
        assert {"num_threads": 2} == one.client_options()
        assert owners == one.owners_options()


def test_plans_are_frozen(plan):
    with pytest.raises(AttributeError):
        plan.runtime = ONNXRuntime()
