import json
import sys

import jsonschema
import msgspec
import numpy as np
import pytest

import edge_tester
from edge_tester.core.classification import ClassificationAccumulator
from edge_tester.core.errors import BackendMissingError, RecordError
from edge_tester.core.record import (
    Block,
    ColdStart,
    Memory,
    Predictions,
    Replicate,
    read_record,
    record_schema,
    require_encodable,
    require_writable,
    write_record,
)
from edge_tester.datasets.npz_file import NpzDataset
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
    assert f"{path} is no run record of version 2" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("schema_version",), None),
        (("schema_version",), "1"),
        (("replicates",), {}),
        (("replicates", 0, "blocks", 0, "target_ns"), ["fast"]),
        (("replicates", 0, "blocks", 0, "target_ns"), [1.5]),
        (("complete",), None),
    ],
)
def test_a_record_that_does_not_fit_is_refused(tmp_path, record, place, value):
    content = msgspec.to_builtins(record)
    part = content
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    path = tmp_path / "record.json"
    path.write_bytes(msgspec.json.encode(content))
    with pytest.raises(RecordError, match=f"no run record of version 2.*{place[0]}"):
        read_record(path)


@pytest.mark.parametrize("version", [0, 3, 99])
def test_a_record_of_a_version_that_nobody_here_knows_names_both(tmp_path, version):
    path = tmp_path / "record.json"
    path.write_text(json.dumps({"schema_version": version, "what_is_new": []}))
    said = f"run record of version {version}, this edge_tester reads versions 1 to 2"
    with pytest.raises(RecordError, match=said):
        read_record(path)


def test_records_that_cannot_be_read_or_written(tmp_path, record):
    with pytest.raises(RecordError, match="cannot be read: No such file"):
        read_record(tmp_path / "absent.json")
    with pytest.raises(RecordError, match="cannot be read: Is a directory"):
        read_record(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(RecordError, match="cannot be written: (Not a directory|File exists)"):
        write_record(record, tmp_path / "file" / "record.json")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("\udcff.json", "must be UTF-8"),
        ("a" * 300 + ".json", "File name too long"),
        ("a\0b.json", "null byte"),
        ("file/record.json", "cannot be written"),
        ("file", "would be overwritten"),
    ],
)
def test_what_cannot_be_written_is_refused_before_the_work(tmp_path, name, message):
    (tmp_path / "file").write_text("somebody's other file")
    with pytest.raises(RecordError, match=message):
        require_writable(tmp_path / name)
    assert ["file"] == [path.name for path in tmp_path.iterdir()]


def test_the_earlier_record_is_known(tmp_path, record):
    path = tmp_path / "new" / "record.json"
    assert require_writable(path) is None
    write_record(record, path)
    assert record == require_writable(path)
    assert [path] == list(path.parent.iterdir())


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"a": [1, {"b": np.str_("x")}]}, "np.str_"),
        ([1.5, np.float32(2)], "float32"),
        (["good", "bad \udcff"], "bad"),
        ({"a": object()}, "object"),
    ],
)
def test_what_json_cannot_say_is_refused_when_it_is_heard(value, told):
    with pytest.raises(RecordError, match=f"The facts cannot be kept .*got .*{told}"):
        require_encodable(**{"The facts": value})
    require_encodable(**{"The facts": {"a": [1, None, "ä"]}})


def test_a_data_set_that_speaks_numpy_is_refused_before_the_model_is_touched(tmp_path):
    class Speaking(NpzDataset):
        """Says what no record can keep."""

        def facts(self):
            return {"resized": np.int64(3)}

    np.savez(tmp_path / "some.npz", x=np.zeros((3, 4), np.uint8))
    model = EchoModel(model_path=echo_model(tmp_path).path)
    dataset = Speaking(dataset_path=tmp_path / "some.npz")
    with pytest.raises(RecordError, match="The facts of Speaking cannot be kept"):
        measured(model, dataset, EchoRuntime())


def test_records_keep_to_their_schema(record):
    jsonschema.validate(json.loads(msgspec.json.encode(record)), record_schema())


def test_a_schema_describes_what_is_in_it():
    """Field by field, so that somebody who finds a record in ten years can read it."""
    block = record_schema()["$defs"]["Block"]["properties"]
    assert "authoritative [ns]" in block["target_ns"]["description"]


def test_an_earlier_record_stays_if_writing_fails(tmp_path, record):
    path = tmp_path / "record.json"
    write_record(record, path)
    before = path.read_bytes()
    unwritable = msgspec.structs.replace(record, runtime_facts={"what": object()})
    with pytest.raises(RecordError, match="The field .runtime_facts. cannot be kept"):
        write_record(unwritable, path)
    assert before == path.read_bytes()
    assert [path] == list(tmp_path.iterdir())


def test_a_file_leaves_out_what_follows_from_its_predictions(tmp_path, record):
    """A thousand classes would otherwise be a million counts, nearly all of them zero."""
    truth = np.arange(300) * 3
    scores = np.eye(1000)[np.where(truth % 5, truth, truth + 1)]
    scores[7] = np.nan
    accumulator = ClassificationAccumulator([])
    accumulator.update(scores, truth)
    kept = Predictions(
        index=list(range(300)), truth=truth.tolist(), predicted=accumulator.predicted(scores)
    )
    quality = accumulator.result()
    whole = msgspec.structs.replace(record, quality=quality, predictions=kept, class_names=[])
    write_record(whole, tmp_path / "r.json")
    stored = json.loads((tmp_path / "r.json").read_bytes())["quality"]
    assert (None, None) == (stored["confusion_matrix"], stored["per_class"])
    assert (tmp_path / "r.json").stat().st_size < 20_000
    assert quality == read_record(tmp_path / "r.json").quality


def two_replicates(record):
    """Two replicates of two blocks: raw values in an order that can be told."""

    def block(start, host_ns):
        times_ns = list(range(start, start + 10))
        return Block(start_ns=start, target_ns=times_ns, host_ns=host_ns, cpu_time_ns=start)

    def replicate(start, peak_bytes):
        return Replicate(
            started="2026-11-21T04:07:00+00:00",
            cold_start=ColdStart(load_ns=start, first_inference_ns=None),
            memory=Memory(peak_bytes=peak_bytes, before_load_bytes=start),
            blocks=[block(start, [1000]), block(start + 10, list(range(50, 60)))],
            complete=True,
        )

    return msgspec.structs.replace(record, replicates=[replicate(100, 7), replicate(200, 8)])


def test_what_is_computed_is_of_all_replicates(record):
    record = two_replicates(record)
    assert [*range(100, 120), *range(200, 220)] == record.target_ns
    # The time of a whole block is shared by its inferences.
    assert [100, *range(50, 60)] * 2 == record.host_ns
    assert 100 + 110 + 200 + 210 == record.cpu_time_ns
    assert 100 == record.cold_start.load_ns
    assert Memory(peak_bytes=8, before_load_bytes=200) == record.memory
    silent = msgspec.structs.replace(record.blocks[0], cpu_time_ns=None)
    first = msgspec.structs.replace(record.replicates[0], blocks=[silent])
    assert msgspec.structs.replace(record, replicates=[first]).cpu_time_ns is None


def test_a_frame_has_a_row_for_each_inference(record):
    pandas = pytest.importorskip("pandas")
    frame = two_replicates(record).to_pandas()
    assert ["replicate", "block", "inference", "target_ns", "host_ns"] == list(frame.columns)
    assert (0, 0, 0, 100, pandas.NA) == tuple(frame.iloc[0])
    assert (1, 1, 9, 219, 59) == tuple(frame.iloc[-1])
    assert 40 == len(frame)
    assert len(record.target_ns) == len(record.to_pandas())


def test_a_missing_pandas_says_what_installs_it(record, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(BackendMissingError, match=r"pip install 'edge_tester\[pandas\]'"):
        record.to_pandas()


def test_a_record_shows_itself(tmp_path, record):
    named = msgspec.structs.replace(record, name="<b>", complete=False, incomplete_reason="lost")
    write_record(named, tmp_path / "r.json")
    loaded = edge_tester.load(str(tmp_path / "r.json"))
    assert named == loaded
    lines = loaded.summary().splitlines()
    assert "<b> (incomplete: lost)" == lines[0]
    found = {line[:22].strip(): line[22:].strip() for line in lines[1:]}
    assert "100.00 % of 10 samples" == found["Accuracy"]
    assert found["Latency p99"] == "not available: needs about 289 more inferences"
    table = loaded._repr_html_()
    assert "<caption>&lt;b&gt; (incomplete: lost)</caption>" in table
    assert "<th>Accuracy</th><td>100.00 % of 10 samples</td>" in table
