"""One model, run in many ways: rows that fail, what is kept, going on where it was."""

import json
import shutil
import signal
import time

import numpy as np
import pytest

from edge_tester.core.record import read_record
from edge_tester.core.run.plan import Plan
from edge_tester.core.run.targets import Targets
from edge_tester.datasets.random_inputs import RandomDataset
from edge_tester.runtimeprotocols.network import NetworkProtocol
from edge_tester.runtimes.echo import EchoRuntime
from tests.agents import running_agent
from tests.runs import EchoModel

MATRIX = """
modelwrapper: m.onnx
dataset: {class: random_inputs, num_samples: 20, test_fraction: 1, calibration_fraction: 0}
report_directory: OUT
measurement: {replicates: 1}
combinations:
  - runtime: {class: onnxruntime, num_threads: [1, 2]}
  - compiler: onnx
  - name: impossible
    runtime: {class: onnxruntime, execution_providers: [NoSuchProvider]}
"""
NEEDY = '''
from edge_tester.core.compiler import ModelCompiler
class Needy(ModelCompiler):
    """Needs what nobody has."""
    input_formats = ("onnx",)
    output_format = "onnx"
    packages = ("no_such_package",)
'''
NAMES = ["onnxruntime-num_threads=1", "onnxruntime-num_threads=2", "onnx-onnxruntime"]


@pytest.fixture
def out(tmp_path):
    """Where the matrix writes; the user's folder outlives a test."""
    return tmp_path / "out"


def write(user, out, text=MATRIX):
    (user.folder / "matrix.yml").write_text(text.replace("OUT", str(out)))


@pytest.fixture(scope="module")
def first_run(user, tmp_path_factory):
    """What the first run of the matrix said, and the folder that it wrote; it is not changed."""
    folder = tmp_path_factory.mktemp("first") / "out"
    write(user, folder)
    explained = user.does("matrix", "matrix.yml", "--explain").splitlines()
    assert "onnx-onnxruntime: to be compiled: nothing by this compiler is kept" in explained[2]
    return folder, user.run("matrix", "matrix.yml")


@pytest.fixture
def measured(user, first_run, out):
    """The matrix as its first run left it, in a folder that the test may change."""
    shutil.copytree(first_run[0], out)
    write(user, out)
    return out


def test_a_matrix_is_measured_compared_and_not_done_twice(user, first_run, measured):
    out, (status, output, errors) = measured, first_run[1]
    assert 1 == status
    assert "1 of 4 failed: impossible" in output
    assert "onnx -> onnx (ONNXCompiler)" in errors
    records = {name: read_record(out / f"{name}.json") for name in NAMES}
    assert all(record.complete for record in records.values())
    assert [1, 2] == [records[name].runtime_facts["num_threads"] for name in NAMES[:2]]
    assert "onnx" == records["onnx-onnxruntime"].model.parents[0]["format"]
    report = (out / "report.html").read_text()
    assert "Not measured" in report
    assert "NoSuchProvider" in report
    assert all(name in report for name in NAMES)
    before = {path: path.read_bytes() for path in out.glob("*=*.json")}
    status, _, errors = user.run("matrix", "matrix.yml")
    assert 1 == status
    assert [f"{name}: done before" for name in NAMES] == [
        line for line in errors.splitlines() if "done before" in line
    ]
    assert before == {path: path.read_bytes() for path in before}
    explained = user.does("matrix", "matrix.yml", "--explain").splitlines()
    assert "onnx-onnxruntime: kept; measured before" == explained[2]
    assert "impossible: nothing to compile; to be measured" == explained[3]


def test_what_changed_is_measured_again(user, measured):
    out = measured
    write(user, out, MATRIX.replace("num_samples: 20", "num_samples: 21"))
    _, _, errors = user.run("matrix", "matrix.yml")
    assert "done before" not in errors
    # The model and its compiler are the same.
    assert "Compiling" not in errors
    _, _, errors = user.run("matrix", "matrix.yml", "--again")
    assert "done before" not in errors
    assert 21 == read_record(out / f"{NAMES[0]}.json").quality.samples


@pytest.mark.parametrize("old", ['\\"hostname\\":\\"', '\\"numpy\\":\\"'], ids=["host", "version"])
def test_what_ran_elsewhere_or_in_other_versions_is_measured_again(user, measured, old):
    state = measured / "matrix.json"
    before = state.read_text()
    assert old in before
    state.write_text(before.replace(old, old + "other-", 1))
    _, _, errors = user.run("matrix", "matrix.yml")
    assert 2 == errors.count("done before")


def test_packages_that_are_missing_are_said_before_the_first_run(user, out):
    (user.folder / "needy.py").write_text(NEEDY)
    write(user, out, MATRIX.replace("name: impossible", "compiler: needy.Needy"))
    status, output, errors = user.run("matrix", "matrix.yml")
    assert 1 == status
    first = errors.splitlines()[0]
    assert "cannot be run: Needy needs no_such_package: pip install" in first
    assert "1 of 4 failed" in output


def test_what_is_somebody_else_s_is_not_overwritten(user, out):
    out.mkdir()
    (out / f"{NAMES[1]}.json").write_text("{}")
    write(user, out)
    _, output, errors = user.run("matrix", "matrix.yml")
    assert "would be overwritten" in errors.splitlines()[0]
    assert f"2 of 4 failed: {NAMES[1]}" in output
    assert "{}" == (out / f"{NAMES[1]}.json").read_text()


def test_the_schema_of_matrices_takes_what_the_command_takes(user, out):
    jsonschema = pytest.importorskip("jsonschema")
    yaml = pytest.importorskip("yaml")
    schema = json.loads(user.does("schema", "matrix"))
    jsonschema.Draft202012Validator.check_schema(schema)
    for text in (MATRIX, MATRIX + "targets: {here: null, there: {class: network, port: 1}}\n"):
        jsonschema.validate(yaml.safe_load(text), schema)
    for old, new in (
        ("combinations:", "combination:"),
        ("num_threads", "num_thread"),
        ("[1, 2]", "[1, zero]"),
        ("- compiler", "- compilr"),
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(yaml.safe_load(MATRIX.replace(old, new)), schema)


def test_a_remote_target_is_asked_what_it_is(tmp_path):
    with running_agent(tmp_path) as agent:
        model = EchoModel(model_path=tmp_path / "m.echo")
        there = Plan(
            model, RandomDataset(), EchoRuntime(), protocol=NetworkProtocol(host=agent.host)
        )
        asked = Targets().identity(there)
    here = Targets().identity(Plan(model, RandomDataset(), EchoRuntime()))
    assert json.loads(here)["hostname"] == json.loads(asked)["hostname"]
    assert "python" in json.loads(asked)["versions"]
    assert Targets().identity(there) is None


def test_variants_are_named_by_what_differs(user, out):
    text = MATRIX.split("  - runtime")[0] + (
        "  - compiler: {class: onnx, target: [default, int8]}\n"
        "    runtime: {class: onnxruntime, graph_optimization_level: [all, basic]}\n"
    )
    write(user, out, text)
    explained = user.does("matrix", "matrix.yml", "--explain").splitlines()
    assert [
        f"onnx-onnxruntime-{target}-graph_optimization_level={level}"
        for target in ("default", "int8")
        for level in ("all", "basic")
    ] == [line.partition(":")[0] for line in explained]


def test_an_interrupted_matrix_goes_on_where_it_was(user, out):
    """Four run together; the fifth has begun when somebody presses Ctrl-C."""
    outputs = out / "outputs"
    text = MATRIX.partition("  - compiler")[0].replace("num_samples: 20", "num_samples: 2000")
    text = text.replace("[1, 2]", "[1, 2, 3, 4, 5]")
    measurement = f"measurement: {{replicates: 2, outputs_directory: {outputs}}}"
    write(user, out, text.replace("measurement: {replicates: 1}", measurement))
    process = user.start("matrix", "matrix.yml")
    state = out / "matrix.json"
    first = [f"onnxruntime-num_threads={number}" for number in range(1, 5)]
    fifth = outputs / "onnxruntime-num_threads=5" / "output_0.npy"
    end_s = time.monotonic() + 60
    while not fifth.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end_s
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert 130 == process.returncode, errors
    assert first == list(json.loads(state.read_text()))
    _, output, errors = user.run("matrix", "matrix.yml")
    assert [f"{name}: done before" for name in first] == [
        line for line in errors.splitlines() if "done before" in line
    ]
    records = [read_record(path) for path in sorted(out.glob("*=*.json"))]
    assert 5 == len(records) and all(one.complete for one in records)
    assert 1 == len({one.together for one in records[:4]}) and records[0].together
    for name in (*first, "onnxruntime-num_threads=5"):
        assert 2000 == len(np.load(outputs / name / "output_0.npy"))


def test_two_targets_are_two_runs(user, out):
    write(user, out, MATRIX.split("  - compiler")[0] + "targets: {here: null, there: null}\n")
    user.does("matrix", "matrix.yml")
    names = sorted(path.stem for path in out.glob("*=*.json"))
    assert [f"{t}-onnxruntime-num_threads={n}" for t in ("here", "there") for n in (1, 2)] == names


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("combinations:", "combination:"),
            "did you mean 'combinations'",
        ),
        (("num_threads", "num_thread"), "did you mean 'num_threads'"),
        (("num_threads: [1, 2]", "num_threads: 0"), "matrix.yml, line 7: ONNXRuntime.num_threads"),
        (("  - compiler: onnx", "    runtime: tflite"), "matrix.yml, line 8: the key 'runtime' is"),
        (("onnxruntime, num", "onnxruntim, num"), "No runtime is named 'onnxruntim'"),
        (("- compiler: onnx", "- compilr: onnx"), "combination 2 has an unknown key 'compilr'"),
        (("name: impossible", "name: onnx-onnxruntime"), "two combinations are named"),
        (("num_threads: [1, 2]", "num_threads: [1, zero]"), "num_threads"),
        (("m.onnx", "no.onnx"), "no.onnx"),
    ],
)
def test_mistakes_are_found_before_the_first_run(user, out, change, message):
    write(user, out, MATRIX.replace(*change))
    assert message in user.refused("matrix", "matrix.yml")
    assert not out.exists()
