"""Scenario files: what the command line can say, as YAML."""

import json
import re
import textwrap

import jsonschema
import pytest
import yaml

from edge_tester.core.record import read_record

CLIENT = """
    scenario: client
    modelwrapper: m.tflite
    dataset: {class: digits, limit: 20}
    runtime: {class: edge_tester.runtimes.tflite.TFLiteRuntime, num_threads: 2}
    conversation: classical
    start_agent: true
    report_directory: build/report
    report_name: from-client
"""
MEASURE_HOST = """
    scenario: measure-host
    modelwrapper: {class: onnx_file, model_path: m.onnx, output_index: 0}
    dataset: {class: npz_file, dataset_path: data.npz, limit: 20}
    report_directory: build/report
    report_name: from-host
"""
SERVER = """
    scenario: server
    runtimeprotocol: {class: network, port: 0}
    runtime: [tflite, echo]
    time_limit_s: 5
"""
TRAIN = """
    scenario: train
    modelwrapper: {class: pytorch_digits, model_path: build/digits.pth}
    dataset: digits
    num_epochs: 1
"""


@pytest.fixture(scope="module")
def schema(user):
    return jsonschema.Draft202012Validator(json.loads(user.does("schema")))


def written(user, content, **changes):
    """Write a scenario with some keys changed; return its path and content."""
    mapping = yaml.safe_load(textwrap.dedent(content))
    mapping.update(changes)
    mapping = {key: value for key, value in mapping.items() if value is not None}
    (user.folder / "scenario.yml").write_text(yaml.safe_dump(mapping))
    return "scenario.yml", mapping


def test_client(user, schema):
    path, mapping = written(user, CLIENT)
    schema.validate(mapping)
    user.does("run", path)
    record = read_record(user.folder / "build/report/from-client.json")
    assert 20 == record.quality.samples
    assert ["edge-tester", "run", path] == record.command_line
    assert 2 == record.runtime_facts["num_threads"]
    assert "between_oks" == record.host_interval


def test_measure_host(user, schema):
    path, mapping = written(user, MEASURE_HOST)
    schema.validate(mapping)
    user.does("run", path)
    assert 20 == read_record(user.folder / "build/report/from-host.json").quality.samples


def test_server(user, schema):
    path, mapping = written(user, SERVER)
    schema.validate(mapping)
    with user.agent("run", path) as (_, port):
        words = f"client m.tflite data.npz build/report from-server --port {port} --limit 5"
        user.does(*words.split())
    assert 5 == read_record(user.folder / "build/report/from-server.json").quality.samples


def test_train(user, schema):
    path, mapping = written(user, TRAIN)
    schema.validate(mapping)
    assert "Saved build/digits.pth" in user.does("run", path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"modelwraper": "m.tflite"}, "unknown key 'modelwraper'; did you mean 'modelwrapper'?"),
        ({"modelwrapper": None}, "needs one of the modelwrappers"),
        ({"report_name": 7}, "report_name must be a text, got 7"),
        ({"dataset": {"class": "digits", "limt": 2}}, "no option 'limt'; did you mean 'limit'?"),
        ({"dataset": {"class": "digits", "limit": "2"}}, "limit must be of type int, got '2'"),
        ({"dataset": {"class": "digits", "limit": True}}, "limit must be of type int, got True"),
        ({"dataset": {"class": "digits", "limit": 0}}, "limit must be at least 1"),
        ({"dataset": {"limit": 2}}, "dataset must be a name or a mapping with 'class'"),
        ({"dataset": ["digits"]}, "dataset must be one class, got a list"),
        ({"dataset": 5}, "dataset must be a name"),
        ({"conversation": "chat"}, "conversation must be one of flight, classical, got 'chat'"),
        ({"start_agent": "yes"}, "start_agent must be of type bool"),
        ({"scenario": "clint"}, "no scenario 'clint'; did you mean 'client'?"),
        ({"scenario": ["client"]}, "no scenario ['client']"),
        ({1: 2}, "must be texts, got 1"),
    ],
)
def test_wrong_ones_are_refused_by_the_command_and_by_the_schema(user, schema, changes, said):
    path, mapping = written(user, CLIENT, **{})
    mapping = {**mapping, **changes}
    mapping = {key: value for key, value in mapping.items() if value is not None}
    (user.folder / path).write_text(yaml.safe_dump(mapping))
    assert said in user.refused("run", path)
    assert list(schema.iter_errors(mapping)) or 1 in mapping


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[1, 2]",
        "just a text",
        "{{{",
        "a: b: c",
        "scenario: client\n\tmodelwrapper: x",
        "? [1, 2]\n: 3",
        "[" * 3000,
        "scenario: !!python/object/apply:os.system ['touch hacked']",
        "\x00",
        "scenario: &a [*a]",
    ],
)
def test_what_is_no_scenario_is_refused(user, content):
    (user.folder / "odd.yml").write_text(content)
    message = user.refused("run", "odd.yml")
    assert re.search("odd.yml.* (no YAML|must hold keys|must have a key|no scenario)", message)
    assert not (user.folder / "hacked").exists()


def test_files_that_cannot_be_read(user):
    assert "no.yml cannot be read: No such file" in user.refused("run", "no.yml")
    assert "cannot be read: Is a directory" in user.refused("run", user.folder)
    assert "m.onnx is no YAML" in user.refused("run", "m.onnx")


def test_a_file_without_a_report_is_reported_by_the_name_of_its_model(user, schema):
    path, mapping = written(user, CLIENT)
    mapping = {key: value for key, value in mapping.items() if not key.startswith("report_")}
    schema.validate(mapping)
    (user.folder / path).write_text(yaml.safe_dump(mapping))
    user.does("run", path)
    assert (user.folder / "build" / "report" / "m.json").exists()
