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
    " (Wilson's for accuracy, a block bootstrap for p50). It speaks of that run alone: another run "
    "of the same model may differ by more, so a single run of each does not show which is "
    "faster. ": (
        ": Wilson's for accuracy; for times and memory that of replicates, which are fresh "
        "processes. A run of one replicate has no interval of its times: how much another process "
        "would differ, it cannot tell. "
    ),
}
# What a comparison shows is said since; of one replicate each it is nothing.
FINDINGS = {
    "> The runs used different samples.": (
        "* It is not known whether digits-v1 or classical-v1 is faster: digits-v1 and classical-v1 "
        "each have one replicate, and processes differ from each other: measure with "
        "--replicates 5.\n"
        "* No difference in accuracy is shown between digits-v1 and classical-v1; a loss of more "
        "than 8.27 points is ruled out at 95 %.\n\n"
        "> The runs used different samples."
    )
}
# Whether latencies settled is judged since.
SETTLED = {
    "| Quantized weights | 100.00 % |": (
        "| Quantized weights | 100.00 % |\n| Steady state | flat (1 replicate) |"
    ),
    "| Quantized weights | not available |": (
        "| Quantized weights | not available |\n| Steady state | flat (1 replicate) |"
    ),
    "the first after loading excluded.": (
        "the first after loading excluded. Dark lines are the levels that they had."
    ),
}
# Latencies that depend on each other support fewer figures than were told, and one replicate
# supports no interval.
REFUSED = {
    "3.285 µs (95 % interval 3.224–3.705)": "3.285 µs (its interval needs replicates)",
    "60.39 µs (95 % interval 52.51–63.78)": "60.39 µs (its interval needs replicates)",
    "3.285 (3.224–3.705)": "3.285",
    "60.39 (52.51–63.78, ×18.4)": "60.39 (×18.4)",
    "Latency p90 (µs)": "Latency p90",
    "| 4.397 | needs 259 more": "| needs about 22 more | needs about 592 more",
    "| 67.92 | needs 269 more": "| needs about 30 more | needs about 586 more",
    "Latency p90 | 4.397 µs": "Latency p90 | not available (needs about 22 more inferences)",
    "Latency p90 | 67.92 µs": "Latency p90 | not available (needs about 30 more inferences)",
    "| Latency p99 | not available (needs 259": "| Latency p99 | not available (needs about 592",
    "| Latency p99 | not available (needs 269": "| Latency p99 | not available (needs about 586",
    "(needs 259 more": "(needs about 259 more",
    "(needs 269 more": "(needs about 269 more",
}


def test_the_report_on_records_of_version_1_is_the_one_of_then(tmp_path):
    """Word for word; the expected one was written by the version that wrote the records."""
    expected = (RECORDS / "version-1.md").read_text("utf-8")
    for old, new in (CHANGED | FINDINGS | SETTLED | REFUSED).items():
        assert old in expected
        expected = expected.replace(old, new)
    for name in NAMES:
        (tmp_path / f"{name}.json").write_bytes((RECORDS / f"{name}.json").read_bytes())
    paths = [tmp_path / f"{name}.json" for name in NAMES]
    records = [read_record(path) for path in paths]
    render_text(records, tmp_path / "version-1.md", sources=paths)
    found = (tmp_path / "version-1.md").read_text("utf-8")
    # Its table is among the details since.
    parts = re.split(r"(?=### )", found)
    assert 2 == sum(part.startswith("### MLPerf LoadGen") for part in parts)
    assert expected == "".join(p for p in parts if not p.startswith("### MLPerf LoadGen"))


def test_raw_values_of_version_1_are_kept():
    content = msgspec.json.decode((RECORDS / "version-1.json").read_bytes())
    record = read_record(RECORDS / "version-1.json")
    assert content["latency"]["target_ns"] == record.target_ns
    assert content["latency"]["host_ns"] == record.host_ns
    assert content["cpu"]["time_ns"] == record.cpu_time_ns
    assert content["cold_start"] == msgspec.to_builtins(record.cold_start)
    apart = {"load_peak_bytes": None, "inference_peak_bytes": None}
    assert {**content["memory"], **apart} == msgspec.to_builtins(record.memory)
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
