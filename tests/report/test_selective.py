"""Layers in float and calibrations in a report: every number is in a table, every plot is drawn."""

import re

import msgspec
import pytest

from edge_tester.core.checking.calibrating import CalibrationReport, TensorRange, Trial
from edge_tester.core.checking.scoring import Worth
from edge_tester.core.checking.selective import Harm, Selection, Step
from edge_tester.report._selective import (
    calibration_drawing,
    calibration_table,
    harm_table,
    ranges_table,
    selection_drawing,
    selection_table,
)


def worth(accuracy, ratio=12.34):
    return Worth(samples=300, accuracy=accuracy, agreement=0.9, signal_to_noise_db=ratio)


def selection(**changes):
    found = Selection(
        compiler="a.B",
        model="m.onnx",
        figure="accuracy",
        goal=0.95,
        source=worth(0.96, None),
        layers=13,
        weighted_layers=12,
        ranking=[Harm(name="<t$>", what="tensor", harm=0.5, layers=["a", "b"])],
        steps=[
            Step(kept=[], weighted=0, weights_in_float=0.0, worth=worth(0.2), size_bytes=2048),
            Step(
                kept=["a", "b"],
                weighted=2,
                weights_in_float=0.25,
                worth=worth(0.955, 30.0),
                size_bytes=4096,
                latency_ns=1500.0,
            ),
        ],
        chosen=1,
        reached=True,
        path="x.onnx",
    )
    return msgspec.structs.replace(found, **changes)


def trial(method, samples, ratio, clipped=0.02):
    one = TensorRange(name="t", minimum=-1.0, maximum=2.5, clipped=clipped)
    return Trial(
        method=method,
        samples=samples,
        worth=worth(0.9, ratio),
        size_bytes=1,
        ranges=[one],
        remarks=[],
    )


def report(*trials):
    return CalibrationReport(
        compiler="a.B", model="m", source=worth(0.96, None), trials=list(trials), left_out=["9: no"]
    )


def test_the_table_of_steps_has_the_source_and_says_whether_the_goal_holds():
    table = selection_table(selection())
    assert ["float", "0", "1 (chosen)"] == [row[0] for row in table.rows]
    assert "2 of 12" == table.rows[2][1] and "4.000 KiB" == table.rows[2][-2]
    assert table.rows[2][-1].startswith("1.5") and "µs" in table.rows[2][-1]
    assert "is reached" in table.note and "95" in table.note and "a, b" in table.note
    assert "is not reached" in selection_table(selection(reached=False)).note
    assert all(len(table.head) == len(row) for row in table.rows)


def test_the_ranking_is_shown_and_left_out_where_there_is_none():
    assert ["<t$>", "tensor", "2", "0.5"] == harm_table(selection()).rows[0]
    assert harm_table(selection(ranking=[])) is None


@pytest.mark.parametrize("figure", ["accuracy", "agreement", "signal_to_noise_db"])
def test_the_plot_has_a_mark_for_each_step(figure):
    drawing = selection_drawing(selection(figure=figure))
    marks = [line for line in drawing.figure.axes[0].lines if line.get_marker() not in ("None", "")]
    assert 2 == len(marks) and "D" == marks[1].get_marker()
    svg = drawing.svg("p-", themed=True)
    assert re.search("Layers in float, of 12 with weights", svg)
    assert b"PNG" == drawing.png()[1:4]


def test_calibrations_stand_side_by_side_and_in_a_plot():
    found = report(trial("minmax", 10, 20.0), trial("minmax", 50, 30.0), trial("entropy", 10, 25.0))
    table = calibration_table(found)
    assert ["float", "minmax", "minmax", "entropy"] == [row[0] for row in table.rows]
    assert "20.0" == table.rows[1][4] and "2" in table.rows[1][5]
    assert "Left out: 9: no" in table.note
    ranges = ranges_table(found)
    assert ["Tensor", "minmax 10", "minmax 50", "entropy 10"] == ranges.head
    assert ranges.rows[0][1].startswith("-1 to 2.5 (2")
    lines = calibration_drawing(found).figure.axes[0].lines
    assert [[10, 50], [10]] == [list(map(int, line.get_xdata())) for line in lines]


def test_what_is_not_known_is_said_to_be_not():
    found = report(trial(None, 10, None, clipped=None))
    assert calibration_drawing(found) is None
    assert "the tool's own" == calibration_table(found).rows[1][0]
    bare = msgspec.structs.replace(found.trials[0], ranges=[])
    assert ranges_table(report(bare)) is None
    assert "10" == ranges_table(found).head[1]
