import math

import pytest

from edge_tester.core.results.words import (
    amount,
    moment,
    number,
    plural,
    shortened,
    unit_for,
    value_text,
)


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (9541, "time", "9.541 µs"),
        (999, "time", "999.0 ns"),
        (1_500_000_000, "time", "1.500 s"),
        (0, "time", "0 ns"),
        (28_056, "bytes", "27.40 KiB"),
        (1023, "bytes", "1,023 bytes"),
        (0.98328, "percent", "98.33 %"),
        (0.0, "percent", "0.00 %"),
        (1.0, "percent", "100.00 %"),
        (123456.7, "number", "123,457"),
        (-1.5, "number", "-1.500"),
        (1.25e-7, "number", "1.250e-07"),
        (None, "time", "not available"),
        (math.nan, "number", "not available"),
        (math.inf, "time", "not available"),
    ],
)
def test_amount(value, kind, expected):
    assert expected == amount(value, kind)


def test_a_column_takes_the_unit_of_its_least_value():
    unit = unit_for("time", [None, 2_000_000, 9_500, 0])
    assert ("µs", "2,000") == (unit.name, number(2_000_000, unit))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-21T04:07:00+00:00", "21 November 2026, 04:07 UTC"),
        ("2026-11-21T04:07:00+02:00", "21 November 2026, 02:07 UTC"),
        ("yesterday", "yesterday"),
    ],
)
def test_moment(text, expected):
    assert expected == moment(text)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "not set"),
        (True, "yes"),
        ("", "empty"),
        ([], "none"),
        ([1, None], "1, not set"),
        ({"a": {"b": 2}}, "a: b: 2"),
    ],
)
def test_value_text(value, expected):
    assert expected == value_text(value)


def test_plural():
    assert ["1 sample", "1,000 samples"] == [plural(1, "sample"), plural(1000, "sample")]


def test_shortened_keeps_both_ends_and_drops_what_xml_forbids():
    assert "abcd…wxyz" == shortened("abcdefghijklmnopqrstuvwxyz", 9)
    assert "a�b" == shortened("a\x00b", 9)
