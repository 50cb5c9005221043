"""Load patterns as people name them: by flags, in run files and in matrix files."""

import json

import jsonschema
import numpy as np
import pytest
import yaml

from edge_tester.core.errors import OptionError, PluginError
from edge_tester.core.pattern import LoadPattern
from edge_tester.core.record import read_record
from edge_tester.patterns.sensor_rate import SensorRate
from edge_tester.patterns.server import Server
from edge_tester.patterns.single_stream import SingleStream
from edge_tester.scenarios._matrix_file import read_matrix
from edge_tester.scenarios.inference_client import COMMAND
from tests.onnx_models import write

PAIRS = '''
from edge_tester.core.options import option
from edge_tester.core.pattern import LoadPattern, Schedule
from edge_tester.core.record import PatternFacts

class Pairs(LoadPattern):
    """Two by two."""
    pause_ms: float = option(1.0, unit="ms", help="Between pairs")

    def block(self, situation):
        return Schedule(min(2, situation.most, situation.left))

    def facts(self):
        return PatternFacts(kind="query", inferences_per_query=2)
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "m.onnx", "single")
    np.savez(tmp_path / "d.npz", x=np.zeros((2, 2)))
    return tmp_path


def pattern_of(line):
    return COMMAND.parse(f"m.onnx {line}".split()).part(LoadPattern)


def test_a_flag_names_it_and_its_options_are_flags(folder):
    assert SensorRate(period_ms=5) == pattern_of("d.npz --pattern sensor_rate --period-ms 5")
    # The class before or after its flags, and the report's name may be that of a pattern.
    parsed = COMMAND.parse("m.onnx d.npz out server --target-rate-hz 7 --pattern server".split())
    assert Server(target_rate_hz=7) == parsed.part(LoadPattern)
    assert "server" == parsed.trailing["report_name"]
    assert pattern_of("d.npz") is None


def test_a_seed_that_the_data_set_has_too_is_named_after_the_pattern(folder):
    line = "random_inputs --seed 3 --pattern server --server-seed 4"
    assert Server(seed=4) == pattern_of(line)
    assert Server(seed=5) == pattern_of("d.npz --pattern server --seed 5")


def test_what_is_none_is_refused(folder):
    with pytest.raises(PluginError, match="did you mean 'server'"):
        pattern_of("d.npz --pattern serve")
    with pytest.raises(PluginError, match="expected patterns here"):
        pattern_of("d.npz --pattern edge_tester.datasets.digits.DigitsDataset")
    with pytest.raises(OptionError, match="patterns.sensor_rate has --period-ms"):
        pattern_of("d.npz --pattern server --period-ms 5")


def test_a_matrix_has_one_for_all_its_runs(folder, user):
    content = {
        "modelwrapper": "m.onnx",
        "combinations": [{"runtime": {"class": "onnxruntime", "num_threads": [1, 2]}}],
        "pattern": {"class": "server", "target_rate_hz": 7},
    }
    schema = json.loads(user.does("schema", "matrix"))
    jsonschema.Draft202012Validator(schema).validate(content)
    (folder / "matrix.yml").write_text(yaml.safe_dump(content))
    plans = read_matrix(folder / "matrix.yml").plans
    assert [Server(target_rate_hz=7)] * 2 == [plan.pattern for plan in plans.values()]
    (folder / "matrix.yml").write_text(yaml.safe_dump({**content, "pattern": "server"}))
    assert [Server()] * 2 == [
        plan.pattern for plan in read_matrix(folder / "matrix.yml").plans.values()
    ]
    del content["pattern"]
    (folder / "matrix.yml").write_text(yaml.safe_dump(content))
    assert [SingleStream()] * 2 == [
        plan.pattern for plan in read_matrix(folder / "matrix.yml").plans.values()
    ]


def test_a_run_file_names_one_of_a_third_party(user):
    (user.folder / "elsewhere.py").write_text(PAIRS)
    content = {
        "scenario": "client",
        "modelwrapper": "m.tflite",
        "dataset": {"class": "digits", "limit": 20},
        "pattern": {"class": "elsewhere.Pairs", "pause_ms": 2},
        "start_agent": True,
        "replicates": 1,
        "report_directory": "build/report",
        "report_name": "pairs",
    }
    jsonschema.Draft202012Validator(json.loads(user.does("schema"))).validate(
        {**content, "pattern": {"class": "sensor_rate", "period_ms": 2}}
    )
    (user.folder / "scenario.yml").write_text(yaml.safe_dump(content))
    printed = user.does("run", "scenario.yml")
    assert "Query latency p50" in printed
    record = read_record(user.folder / "build/report/pairs.json")
    (part,) = [one for one in record.components if one.role == "pattern"]
    assert ("elsewhere.Pairs", {"pause_ms": 2.0}) == (part.name, part.options)
    assert [2] * 10 == [len(block.target_ns) for block in record.blocks]


def test_models_are_compared_under_a_pattern(user):
    words = "m.tflite m.onnx digits --limit 20 --replicates 2 --min-count 40".split()
    user.does("compare", *words, "--pattern", "sensor_rate", "--period-ms", "5")
    folder = user.folder / "build/compare"
    records = [read_record(path) for path in sorted(folder.glob("*.json"))]
    assert [5_000_000] * 2 == [one.pattern.deadline_ns for one in records]
    assert "Missed deadlines" in (folder / "report.html").read_text()


def test_the_highest_rate_that_keeps_a_latency(user):
    """Where nothing is in time, and where everything is."""
    words = ("throughput", "m.tflite", "data.npz", "--replicates", 2, "--min-count", 200)
    words = (*words, "--resolution", 50)
    said = " ".join(
        user.does(*words, "--latency-bound-ms", 1e-6, "--percentile", 90, "--probes", 2).split()
    )
    assert "No rate that was tried keeps 90 % of the queries within 1e-06 ms; the lowest" in said
    where = ("--report-directory", "highest", "--limit", 50)
    said = " ".join(
        user.does(
            *words, *where, "--latency-bound-ms", 1e4, "--percentile", 90, "--probes", 8
        ).split()
    )
    assert "queries/s the target keeps 90 % of the queries within 10000 ms" in said
    alone, *probes = sorted((user.folder / "highest").glob("*.json"), reverse=True)
    assert ("one-after-another", "inference") == (alone.stem, read_record(alone).pattern.kind)
    rates = [
        part.options["target_rate_hz"]
        for probe in probes
        for part in read_record(probe).components
        if part.role == "pattern"
    ]
    # The first one is half of what there would be time for.
    half_hz = 1e9 / np.mean(read_record(alone).target_ns) / 2
    assert any(rate_hz == pytest.approx(half_hz) for rate_hz in rates)
    record = read_record(probes[0])
    assert "query" == record.pattern.kind and len(record.target_ns) >= 200
    assert "--latency-bound-ms" in user.refused(*words)
