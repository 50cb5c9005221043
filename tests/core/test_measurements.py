import json

import jsonschema
import msgspec
import numpy as np
import pytest

from edge_tester.core.errors import RecordError
from edge_tester.core.measurements import read_record, record_schema, write_record
from edge_tester.runtimes.echo import EchoRuntime
from tests.agents import echo_model
from tests.runs import EchoModel, measured, npz


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    folder = tmp_path_factory.mktemp("record")
    model = EchoModel(model_path=echo_model(folder).path)
    dataset = npz(folder, x=np.zeros((10, 4), np.uint8), y=np.zeros(10, int))
    return measured(model, dataset, EchoRuntime())


def test_a_record_survives_writing_and_reading(tmp_path, record):
    path = tmp_path / "new" / "record.json"
    write_record(record, path)
    assert record == read_record(path)
    assert [path] == list(path.parent.iterdir())


BROKEN = {
    "empty": b"",
    "garbage": np.random.default_rng(0).bytes(1000),
    "no json": b"The record is elsewhere.\n",
    "a list": b"[]",
    "nothing in it": b"{}",
    "deep": b"[" * 100_000,
    "deep in a key": b'{"x":' * 100_000,
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_what_is_no_record_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "record.json"
    path.write_bytes(content)
    with pytest.raises(RecordError) as caught:
        read_record(path)
    assert f"{path} is no run record of version 1" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("schema_version",), 2),
        (("schema_version",), "1"),
        (("latency",), {}),
        (("latency", "target_ns"), ["fast"]),
        (("latency", "target_ns"), [1.5]),
        (("complete",), None),
    ],
)
def test_a_record_of_another_version_is_refused(tmp_path, record, place, value):
    content = msgspec.to_builtins(record)
    part = content
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    path = tmp_path / "record.json"
    path.write_bytes(msgspec.json.encode(content))
    with pytest.raises(RecordError, match=f"no run record of version 1.*{place[0]}"):
        read_record(path)


def test_records_that_cannot_be_read_or_written(tmp_path, record):
    with pytest.raises(RecordError, match="cannot be read: No such file"):
        read_record(tmp_path / "absent.json")
    with pytest.raises(RecordError, match="cannot be read: Is a directory"):
        read_record(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(RecordError, match="cannot be written: (Not a directory|File exists)"):
        write_record(record, tmp_path / "file" / "record.json")


def test_records_keep_to_their_schema(record):
    jsonschema.validate(json.loads(msgspec.json.encode(record)), record_schema())


def test_a_schema_describes_what_is_in_it():
    """Field by field, so that somebody who finds a record in ten years can read it."""
    latency = record_schema()["$defs"]["Latency"]["properties"]
    assert "authoritative [ns]" in latency["target_ns"]["description"]


def test_an_earlier_record_stays_if_writing_fails(tmp_path, record):
    path = tmp_path / "record.json"
    write_record(record, path)
    before = path.read_bytes()
    unwritable = msgspec.structs.replace(record, runtime_facts={"what": object()})
    with pytest.raises(TypeError):
        write_record(unwritable, path)
    assert before == path.read_bytes()
    assert [path] == list(tmp_path.iterdir())
