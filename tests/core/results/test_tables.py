"""Records as tables."""

import csv
import io

import pytest

import edge_tester.records
from edge_tester.core.record import OperatorTime, Profile, write_record
from edge_tester.core.results.measures import measure_all
from edge_tester.core.results.tables import csv_of, rows_of
from tests.core.results.series import disturbed, measured
from tests.report.records import record


@pytest.fixture
def two():
    return [measured("a", 1000, disturbed(1, 3, 4), 1), measured("b", 2000, disturbed(2, 2, 5), 2)]


def test_there_is_a_row_for_each(two):
    assert {"inference": 3 * 4 * 50 + 2 * 5 * 50, "block": 12 + 10, "replicate": 5, "run": 2} == {
        rows: len(rows_of(two, rows)) for rows in ("inference", "block", "replicate", "run")
    }


def test_the_values_are_those_of_the_records(two):
    inferences = rows_of(two, "inference")
    assert [t for one in two for t in one.target_ns] == [row["target_ns"] for row in inferences]
    assert ("b", 1, 4, 49) == tuple(
        inferences[-1][key] for key in ("record", "replicate", "block", "inference")
    )
    blocks = rows_of(two, "block")
    assert [sum(b.target_ns) for one in two for b in one.blocks] == [b["sum_ns"] for b in blocks]
    replicates = rows_of(two, "replicate")
    assert [200, 200, 200, 250, 250] == [row["inferences"] for row in replicates]
    assert 1_199_900 == replicates[0]["load_ns"]
    runs = rows_of(two, "run")
    for one, row in zip(two, runs, strict=True):
        value = measure_all(one)["p50"]
        assert value == value._replace(
            number=row["p50_ns"], interval=(row["p50_ns_low"], row["p50_ns_high"])
        )
        assert one.quality.accuracy == row["accuracy"]


def test_operators_have_rows_where_there_is_a_profile():
    one = OperatorTime(
        place=0, type="Conv", name="a", time_ns=30, shapes=[[1, 2], [3]], dtypes=["int8", "int8"]
    )
    other = OperatorTime(place=1, type="Add", time_ns=10, fused=["x", "y"])
    profile = Profile(tool="t", operators=[one, other], inferences=1, differences=True)
    first, second = rows_of([record("a", profile=profile), record("b")], "operator")
    assert ("a", 0, "Conv", 30, 0.75, "1x2 3", "int8 int8", True) == tuple(
        first[key] for key in "record place type time_ns share shapes dtypes difference".split()
    )
    # What is not known is None, and no text.
    assert (None, None, None, "x y") == tuple(
        second[key] for key in ("shapes", "dtypes", "delegate", "fused")
    )
    assert [] == rows_of([record("b")], "operator")


def test_csv_has_the_same(two):
    for rows in ("inference", "block", "replicate", "run"):
        table = rows_of([*two, record("c")], rows)
        read = list(csv.DictReader(io.StringIO(csv_of(table))))
        assert [
            {name: "" if value is None else str(value) for name, value in row.items()}
            for row in table
        ] == read
    assert "" == csv_of([])


def test_a_frame_takes_records_and_files(two, tmp_path):
    pytest.importorskip("pandas")
    write_record(two[1], tmp_path / "b.json")
    frame = edge_tester.records.frame([two[0], tmp_path / "b.json"], rows="replicate")
    assert ["a"] * 3 + ["b"] * 2 == frame.record.tolist()
    assert frame.median_ns.iloc[-1] == rows_of(two, "replicate")[-1]["median_ns"]
