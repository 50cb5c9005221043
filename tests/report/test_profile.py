"""Time per operator in a report: what takes the most, how much of all, and how it is known."""

import re

import msgspec
import pytest

from edge_tester.core.record import OperatorTime, Profile
from edge_tester.report import render_html, render_text
from edge_tester.report._profile import profile_table
from tests.report.records import record
from tests.report.test_render import EVIL, Page


def profile(count=20, **changes):
    """The times are 1 to ``count`` us, the last operator's the longest."""
    operators = [
        OperatorTime(
            place=place,
            type="Conv" if place % 2 else "Add",
            name=f"layer{place}",
            time_ns=1000 * (place + 1),
            shapes=[[1, 8, 8, place]],
            dtypes=["float32"],
            delegate="CPUExecutionProvider",
        )
        for place in range(count)
    ]
    found = Profile(tool="a tool", operators=operators, inferences=100, resolution_ns=1000)
    return msgspec.structs.replace(found, **changes)


def shown(tmp_path, found, suffix):
    path = tmp_path / f"report{suffix}"
    (render_html if suffix == ".html" else render_text)([record(profile=found)], path)
    return path.read_text("utf-8")


def test_the_table_has_all_operators_in_their_order():
    table = profile_table(profile(4))
    assert ["Place", "Operator", "Name", "Output", "Run by", "Time (µs)", "Share (%)"] == table.head
    first, *_, last = table.rows
    name = ["CPUExecutionProvider", "1", "10.0"]
    assert ["0", "Add", "layer0", "1×8×8×0 float32", *name] == first
    assert ["4", "40.0"] == last[-2:]
    assert 100 == sum(float(row[-1]) for row in table.rows)


@pytest.mark.parametrize(
    ("resolution_ns", "times_ns", "expected"),
    [
        (1000, [38_000, 309_000], ["38", "309"]),
        (1, [38_123, 309_000], ["38.123", "309.000"]),
        (1000, [2_000, 1_500_000], ["0.002", "1.500"]),
        (1, [3, 400], ["3", "400"]),
        (1_000_000, [1_000_000, 20_000_000], ["1", "20"]),
    ],
)
def test_times_have_the_digits_that_their_steps_support(resolution_ns, times_ns, expected):
    found = [OperatorTime(place=n, type="x", time_ns=t) for n, t in enumerate(times_ns)]
    changed = profile(operators=found, resolution_ns=resolution_ns)
    assert expected == [row[-2] for row in profile_table(changed).rows]


def test_what_is_not_known_is_not_made_up():
    one = OperatorTime(place=0, type="x", time_ns=5)
    (row,) = profile_table(profile(operators=[one])).rows
    assert ["", "not available", "not available"] == row[2:5]


def test_what_was_fused_is_named():
    one = OperatorTime(place=0, type="x", name="a", fused=["a", "relu"], time_ns=5)
    assert "a (fused: a, relu)" == profile_table(profile(operators=[one])).rows[0][2]


def test_the_plot_shows_those_that_take_the_most_and_the_rest_as_one(tmp_path):
    (plot,) = re.findall(
        r'<svg[^>]*aria-label="Times of 20.*?</svg>', shown(tmp_path, profile(), ".html"), re.S
    )
    labels = re.findall(r">(\d+ (?:Conv|Add)  ?layer\d+|\d+ others[^<]*)<", plot)
    places = [int(label.split()[0]) for label in labels]
    assert [*range(19, 4, -1), 5] == places
    assert "5 others, each less than these" == labels[-1]
    # 1 to 5 of 1 to 20.
    assert re.findall(r">([\d.]+ %)<", plot)[-1] == f"{100 * 15 / 210:.1f} %"


def test_one_more_than_are_shown_is_shown_as_well(tmp_path):
    assert "each less than these" not in shown(tmp_path, profile(16), ".html")
    assert "2 others" in shown(tmp_path, profile(17), ".html")


@pytest.mark.parametrize("suffix", [".html", ".md", ".rst"])
def test_every_report_says_how_to_read_the_times(tmp_path, suffix):
    found = profile(differences=True, remarks=["The halves differed by 3 %."])
    text = " ".join(shown(tmp_path, found, suffix).split())
    for words in (
        "Time per operator",
        "Profiled in a run of its own: times of a profiled run are longer than timed ones, shares",
        "the median of 100 inferences, in steps of 1,000 ns",
        "It is a difference",
        "The halves differed by 3 %.",
        "layer19",
    ):
        # reStructuredText escapes colons.
        assert words.replace(":", "") in text.replace("\\", "").replace(":", ""), words


@pytest.mark.parametrize("suffix", [".html", ".md", ".rst"])
def test_a_report_says_why_there_are_no_times(tmp_path, suffix):
    found = Profile(tool="a tool", unavailable="They did not repeat.")
    text = shown(tmp_path, found, suffix)
    assert "They did not repeat." in text
    assert "operator-times" not in text


@pytest.mark.parametrize("suffix", [".html", ".md", ".rst"])
def test_nothing_is_said_where_nobody_asked(tmp_path, suffix):
    assert "per operator" not in shown(tmp_path, None, suffix)


def test_names_of_a_model_are_no_markup(tmp_path):
    one = OperatorTime(place=0, type=EVIL, name=EVIL, time_ns=5, delegate=EVIL, fused=[EVIL, EVIL])
    page = Page(shown(tmp_path, profile(operators=[one], tool=EVIL), ".html"))
    assert "script" not in page.tags
    assert [] == page.open
