"""Records that earlier versions wrote are read for ever, with the same figures."""

import re
from pathlib import Path

import msgspec
import pytest

from edge_tester.core.errors import RecordError
from edge_tester.core.record import read_record, write_record
from edge_tester.report import render_text

RECORDS = Path(__file__).parents[2] / "records"
NAMES = ("version-1", "version-1-classical")
# What a report says in other words since, and no figure of it.
CHANGED = {
    "| Version of the record's schema | 1 |": "| Version of the record's schema | 2 |",
    "### Modelcompiler: ": "### Compiler: ",
}


def test_the_report_on_records_of_version_1_is_the_one_of_then(tmp_path):
    """Word for word; the expected one was written by the version that wrote the records."""
    expected = (RECORDS / "version-1.md").read_text("utf-8")
    for old, new in CHANGED.items():
        assert old in expected
        expected = expected.replace(old, new)
    for name in NAMES:
        (tmp_path / f"{name}.json").write_bytes((RECORDS / f"{name}.json").read_bytes())
    paths = [tmp_path / f"{name}.json" for name in NAMES]
    records = [read_record(path) for path in paths]
    render_text(records, tmp_path / "version-1.md", sources=paths)
    assert expected == (tmp_path / "version-1.md").read_text("utf-8")


def test_raw_values_of_version_1_are_kept():
    content = msgspec.json.decode((RECORDS / "version-1.json").read_bytes())
    record = read_record(RECORDS / "version-1.json")
    assert content["latency"]["target_ns"] == record.target_ns
    assert content["latency"]["host_ns"] == record.host_ns
    assert content["cpu"]["time_ns"] == record.cpu_time_ns
    assert content["cold_start"] == msgspec.to_builtins(record.cold_start)
    assert content["memory"] == msgspec.to_builtins(record.memory)
    assert ("loop", "flight") == (record.pace, record.host_interval)
    (replicate,) = record.replicates
    assert content["created"] == replicate.started
    assert replicate.complete
    classical = read_record(RECORDS / "version-1-classical.json")
    assert ("isolated", "between_oks") == (classical.pace, classical.host_interval)
    assert [0] == [block.untimed for block in classical.blocks]


@pytest.mark.parametrize("name", NAMES)
def test_a_record_of_version_1_can_be_written_as_one_of_version_2(tmp_path, name):
    record = read_record(RECORDS / f"{name}.json")
    write_record(record, tmp_path / "new.json")
    assert record == read_record(tmp_path / "new.json")


@pytest.mark.parametrize("place", ["latency", "cpu", "created", "quality"])
def test_a_damaged_record_of_version_1_is_refused_by_the_place(tmp_path, place):
    content = (RECORDS / "version-1.json").read_text()
    (tmp_path / "bad.json").write_text(re.sub(f'"{place}": .*', f'"{place}": [],', content))
    with pytest.raises(RecordError, match=rf"no run record.*{place}"):
        read_record(tmp_path / "bad.json")
